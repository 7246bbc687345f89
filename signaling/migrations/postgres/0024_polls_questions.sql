-- What a host asks the audience, and what the audience asks the host.

CREATE TABLE polls (
    room_id   TEXT COLLATE "C" NOT NULL REFERENCES rooms (id) ON DELETE CASCADE,
    -- A UUID that rises with time.
    id        TEXT COLLATE "C" NOT NULL,
    question  TEXT   NOT NULL,
    opened_at BIGINT NOT NULL,
    -- NULL while it takes votes.
    closed_at BIGINT,
    PRIMARY KEY (room_id, id)
);

CREATE TABLE poll_options (
    room_id  TEXT COLLATE "C" NOT NULL,
    poll_id  TEXT COLLATE "C" NOT NULL,
    position BIGINT NOT NULL,
    body     TEXT   NOT NULL,
    votes    BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (room_id, poll_id, position),
    FOREIGN KEY (room_id, poll_id) REFERENCES polls (room_id, id) ON DELETE CASCADE
);

CREATE TABLE poll_votes (
    room_id  TEXT COLLATE "C" NOT NULL,
    poll_id  TEXT COLLATE "C" NOT NULL,
    identity TEXT COLLATE "C" NOT NULL,
    -- The place of the option.
    choice   BIGINT NOT NULL,
    PRIMARY KEY (room_id, poll_id, identity),
    FOREIGN KEY (room_id, poll_id) REFERENCES polls (room_id, id) ON DELETE CASCADE
);

CREATE TABLE questions (
    room_id     TEXT COLLATE "C" NOT NULL REFERENCES rooms (id) ON DELETE CASCADE,
    -- A UUID that rises with time.
    id          TEXT COLLATE "C" NOT NULL,
    ts          BIGINT NOT NULL,
    body        TEXT   NOT NULL,
    sender_id   TEXT   NOT NULL,
    sender_name TEXT   NOT NULL,
    sender_role TEXT   NOT NULL,
    -- The sender's own id: asked again, it is the same question.
    client_id   TEXT,
    votes       BIGINT NOT NULL DEFAULT 0,
    answered    BOOLEAN NOT NULL DEFAULT FALSE,
    PRIMARY KEY (room_id, id),
    UNIQUE (room_id, sender_id, client_id)
);

CREATE TABLE question_votes (
    room_id     TEXT COLLATE "C" NOT NULL,
    question_id TEXT COLLATE "C" NOT NULL,
    identity    TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (room_id, question_id, identity),
    FOREIGN KEY (room_id, question_id) REFERENCES questions (room_id, id) ON DELETE CASCADE
);
