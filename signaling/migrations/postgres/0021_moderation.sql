-- Who may not write or enter, who helps to keep order, what waits for a moderator, and what was reported.

-- JSON; NULL: as built in.
ALTER TABLE room_chat ADD COLUMN settings TEXT;

-- Who may do more than their account would: one role for each person.
CREATE TABLE room_roles (
    room_id  TEXT COLLATE "C" NOT NULL REFERENCES rooms (id) ON DELETE CASCADE,
    identity TEXT COLLATE "C" NOT NULL,
    name     TEXT   NOT NULL,
    role     TEXT   NOT NULL CHECK (role IN ('cohost', 'moderator')),
    at       BIGINT NOT NULL,
    PRIMARY KEY (room_id, identity)
);

-- Who may not write, and who may not enter.
CREATE TABLE room_limits (
    room_id  TEXT COLLATE "C" NOT NULL REFERENCES rooms (id) ON DELETE CASCADE,
    identity TEXT COLLATE "C" NOT NULL,
    kind     TEXT   NOT NULL CHECK (kind IN ('mute', 'ban')),
    name     TEXT   NOT NULL,
    reason   TEXT,
    at       BIGINT NOT NULL,
    -- NULL: for good.
    until    BIGINT,
    PRIMARY KEY (room_id, identity, kind)
);

-- Messages that a moderator looks at first.
CREATE TABLE held_messages (
    room_id     TEXT COLLATE "C" NOT NULL REFERENCES rooms (id) ON DELETE CASCADE,
    -- A UUID that rises with time.
    id          TEXT COLLATE "C" NOT NULL,
    ts          BIGINT NOT NULL,
    kind        TEXT   NOT NULL,
    body        TEXT   NOT NULL,
    sender_id   TEXT   NOT NULL,
    sender_name TEXT   NOT NULL,
    sender_role TEXT   NOT NULL,
    client_id   TEXT,
    -- JSON: who is meant.
    mentions    TEXT   NOT NULL,
    reply_to    TEXT,
    -- Why a moderator looks at it: link, word.
    reason      TEXT   NOT NULL,
    PRIMARY KEY (room_id, id),
    UNIQUE (room_id, sender_id, client_id)
);

CREATE TABLE reports (
    room_id       TEXT COLLATE "C" NOT NULL REFERENCES rooms (id) ON DELETE CASCADE,
    -- A UUID that rises with time.
    id            TEXT COLLATE "C" NOT NULL,
    ts            BIGINT NOT NULL,
    reporter_id   TEXT   NOT NULL,
    reporter_name TEXT   NOT NULL,
    reporter_role TEXT   NOT NULL,
    message_id    TEXT   NOT NULL,
    reason        TEXT   NOT NULL,
    PRIMARY KEY (room_id, id),
    -- Nobody reports a message twice.
    UNIQUE (room_id, reporter_id, message_id)
);

-- Who follows a host, and whom a host made a member.
CREATE TABLE audience (
    host_id  TEXT COLLATE "C" NOT NULL,
    identity TEXT COLLATE "C" NOT NULL,
    kind     TEXT   NOT NULL CHECK (kind IN ('followers', 'members')),
    name     TEXT   NOT NULL,
    since    BIGINT NOT NULL,
    PRIMARY KEY (host_id, identity, kind)
);
