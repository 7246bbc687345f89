-- Times are milliseconds since 1970 (UTC). The text runs on SQLite and on PostgreSQL.

CREATE TABLE users (
    id         TEXT   NOT NULL PRIMARY KEY,
    name       TEXT   NOT NULL,
    -- The name in lower case: what must be unique.
    name_key   TEXT   NOT NULL UNIQUE,
    created_at BIGINT NOT NULL
);

CREATE TABLE rooms (
    id               TEXT    NOT NULL PRIMARY KEY,
    title            TEXT    NOT NULL,
    visibility       TEXT    NOT NULL CHECK (visibility IN ('public', 'unlisted', 'private')),
    status           TEXT    NOT NULL CHECK (status IN ('ready', 'live', 'interrupted')),
    owner_id         TEXT    NOT NULL,
    owner_name       TEXT    NOT NULL,
    allow_guest_chat BOOLEAN NOT NULL,
    -- SHA-256 of the stream key, in lower-case hexadecimal. The key itself is nowhere.
    stream_key_hash  TEXT    NOT NULL UNIQUE,
    created_at       BIGINT  NOT NULL,
    started_at       BIGINT,
    peak_viewers     BIGINT  NOT NULL DEFAULT 0,
    -- The number of the room's last event, of whatever kind; never reused.
    last_seq         BIGINT  NOT NULL DEFAULT 0
);

CREATE INDEX rooms_by_owner ON rooms (owner_id);

-- Room events other than chat: kept only as long as `resume` may ask for them.
CREATE TABLE room_events (
    room_id TEXT   NOT NULL REFERENCES rooms (id) ON DELETE CASCADE,
    seq     BIGINT NOT NULL,
    ts      BIGINT NOT NULL,
    kind    TEXT   NOT NULL,
    content TEXT   NOT NULL,
    PRIMARY KEY (room_id, seq)
);

CREATE TABLE chat_messages (
    room_id     TEXT   NOT NULL REFERENCES rooms (id) ON DELETE CASCADE,
    seq         BIGINT NOT NULL,
    id          TEXT   NOT NULL UNIQUE,
    ts          BIGINT NOT NULL,
    kind        TEXT   NOT NULL,
    body        TEXT   NOT NULL,
    sender_id   TEXT   NOT NULL,
    sender_name TEXT   NOT NULL,
    sender_role TEXT   NOT NULL,
    -- The sender's own id of the message: what makes sending it twice harmless.
    client_id   TEXT,
    PRIMARY KEY (room_id, seq),
    UNIQUE (room_id, sender_id, client_id)
);
