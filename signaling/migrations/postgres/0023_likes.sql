-- Who likes a room: each once.

CREATE TABLE likes (
    room_id  TEXT COLLATE "C" NOT NULL REFERENCES rooms (id) ON DELETE CASCADE,
    identity TEXT COLLATE "C" NOT NULL,
    at       BIGINT NOT NULL,
    PRIMARY KEY (room_id, identity)
);

ALTER TABLE rooms ADD COLUMN like_count BIGINT NOT NULL DEFAULT 0;
