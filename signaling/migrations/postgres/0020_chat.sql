-- Replies, mentions, tombstones, the pinned message, and what those who keep order did.

-- JSON: mentions and the message that was answered; NULL where there is neither.
ALTER TABLE chat_messages ADD COLUMN details TEXT;
-- When its text was taken away; NULL while it is there.
ALTER TABLE chat_messages ADD COLUMN deleted_at BIGINT;

-- What a room's chat has beside its messages. No row: nothing was ever set.
CREATE TABLE room_chat (
    room_id   TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES rooms (id) ON DELETE CASCADE,
    -- The id of a message.
    pinned_id TEXT
);

CREATE TABLE audit (
    room_id    TEXT COLLATE "C" NOT NULL REFERENCES rooms (id) ON DELETE CASCADE,
    -- A UUID that rises with time.
    id         TEXT COLLATE "C" NOT NULL,
    ts         BIGINT NOT NULL,
    actor_id   TEXT   NOT NULL,
    actor_name TEXT   NOT NULL,
    actor_role TEXT   NOT NULL,
    action     TEXT   NOT NULL,
    -- The message or the person that it was done to; NULL for the room itself.
    target     TEXT,
    -- JSON: what else there is to know.
    details    TEXT   NOT NULL,
    PRIMARY KEY (room_id, id)
);
