-- The whole life of a room, what lists and searches go by, and what outlives a request.
-- A column's CHECK cannot be changed, so the table is made anew; foreign keys are off while migrations run.

CREATE TABLE rooms_anew (
    -- What the index of words calls the room.
    number           INTEGER PRIMARY KEY AUTOINCREMENT,
    id               TEXT    NOT NULL UNIQUE,
    title            TEXT    NOT NULL,
    description      TEXT    NOT NULL DEFAULT '',
    category         TEXT,
    visibility       TEXT    NOT NULL CHECK (visibility IN ('public', 'unlisted', 'private')),
    quality          TEXT    NOT NULL DEFAULT 'auto',
    -- JSON: [{title, url}].
    documents        TEXT    NOT NULL DEFAULT '[]',
    host_avatar_url  TEXT,
    -- JSON: {platform, url}.
    external_link    TEXT,
    allow_guest_chat BOOLEAN NOT NULL,
    -- Whether the room waits for another event when one has ended.
    reusable         BOOLEAN NOT NULL DEFAULT FALSE,
    owner_id         TEXT    NOT NULL,
    owner_name       TEXT    NOT NULL,
    -- SHA-256 of the stream key, in lower-case hexadecimal. The key itself is nowhere.
    stream_key_hash  TEXT    NOT NULL UNIQUE,
    -- Rises with every change of what the owner wrote.
    version          BIGINT  NOT NULL DEFAULT 1,
    status           TEXT    NOT NULL CHECK (status IN ('scheduled', 'ready', 'live', 'interrupted',
                                                        'ended', 'processing', 'archived', 'cancelled')),
    created_at       BIGINT  NOT NULL,
    scheduled_at     BIGINT,
    started_at       BIGINT,
    ended_at         BIGINT,
    -- When the status changed last.
    changed_at       BIGINT  NOT NULL,
    peak_viewers     BIGINT  NOT NULL DEFAULT 0,
    total_viewers    BIGINT  NOT NULL DEFAULT 0,
    watch_ms         BIGINT  NOT NULL DEFAULT 0,
    message_count    BIGINT  NOT NULL DEFAULT 0,
    -- The number of the room's last event, of whatever kind; never reused.
    last_seq         BIGINT  NOT NULL DEFAULT 0,
    -- The place in lists: 2 on air, 1 to come, 0 over, -1 cancelled; then by time.
    rank             BIGINT  NOT NULL,
    since            BIGINT  NOT NULL,
    -- Words in lower case without accents.
    search_text      TEXT    NOT NULL
);

INSERT INTO rooms_anew (id, title, visibility, allow_guest_chat, owner_id, owner_name, stream_key_hash, status,
                        created_at, started_at, changed_at, peak_viewers, message_count, last_seq, rank, since,
                        search_text)
SELECT id, title, visibility, allow_guest_chat, owner_id, owner_name, stream_key_hash, status,
       created_at, started_at, COALESCE(started_at, created_at), peak_viewers,
       (SELECT COUNT(*) FROM chat_messages WHERE room_id = rooms.id), last_seq,
       CASE WHEN status = 'ready' THEN 1 ELSE 2 END, COALESCE(started_at, created_at),
       LOWER(title || ' ' || owner_name)
FROM rooms ORDER BY created_at, id;

DROP TABLE rooms;
ALTER TABLE rooms_anew RENAME TO rooms;

CREATE INDEX rooms_active ON rooms (visibility, rank, since, id);
CREATE INDEX rooms_by_status ON rooms (visibility, status, rank, since, id);
CREATE INDEX rooms_by_category ON rooms (visibility, category, rank, since, id);
CREATE INDEX rooms_by_owner ON rooms (owner_id, rank, since, id);
CREATE INDEX rooms_newest ON rooms (visibility, created_at, id);
CREATE INDEX rooms_newest_by_category ON rooms (visibility, category, created_at, id);
CREATE INDEX rooms_newest_by_status ON rooms (visibility, status, created_at, id);
CREATE INDEX rooms_popular ON rooms (visibility, peak_viewers, id);
CREATE INDEX rooms_popular_by_category ON rooms (visibility, category, peak_viewers, id);
CREATE INDEX rooms_popular_by_status ON rooms (visibility, status, peak_viewers, id);
CREATE INDEX rooms_soonest ON rooms (visibility, scheduled_at, id) WHERE status = 'scheduled';
CREATE INDEX rooms_unfinished ON rooms (status, changed_at)
    WHERE status IN ('scheduled', 'ready', 'live', 'interrupted');

-- The index of words holds listed rooms only: no search can tell of others.
CREATE VIRTUAL TABLE rooms_search USING fts5 (words, content = '', contentless_delete = 1, prefix = '2 3',
                                              tokenize = 'unicode61 remove_diacritics 0');

INSERT INTO rooms_search (rowid, words) SELECT number, search_text FROM rooms WHERE visibility = 'public';

CREATE TRIGGER rooms_search_insert AFTER INSERT ON rooms WHEN new.visibility = 'public' BEGIN
    INSERT INTO rooms_search (rowid, words) VALUES (new.number, new.search_text);
END;

CREATE TRIGGER rooms_search_update AFTER UPDATE OF search_text, visibility ON rooms BEGIN
    DELETE FROM rooms_search WHERE rowid = old.number;
    INSERT INTO rooms_search (rowid, words)
        SELECT new.number, new.search_text WHERE new.visibility = 'public';
END;

CREATE TRIGGER rooms_search_delete AFTER DELETE ON rooms BEGIN
    DELETE FROM rooms_search WHERE rowid = old.number;
END;

-- What a client created under a key of its own, so that asking twice creates once.
CREATE TABLE idempotency_keys (
    identity   TEXT   NOT NULL,
    name       TEXT   NOT NULL,
    -- SHA-256 of the request, in lower-case hexadecimal.
    request    TEXT   NOT NULL,
    room_id    TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (identity, name)
);

CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);

-- What others are to be told of, in the order of each room; written with the event itself.
CREATE TABLE outbox (
    id         TEXT   NOT NULL PRIMARY KEY,
    room_id    TEXT   NOT NULL,
    seq        BIGINT NOT NULL,
    kind       TEXT   NOT NULL,
    content    TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (room_id, seq)
);

CREATE INDEX outbox_by_age ON outbox (created_at);

-- Who was put out of a room: tokens that were minted before do not let them in.
CREATE TABLE expulsions (
    room_id  TEXT   NOT NULL REFERENCES rooms (id) ON DELETE CASCADE,
    identity TEXT   NOT NULL,
    at       BIGINT NOT NULL,
    PRIMARY KEY (room_id, identity)
);

CREATE INDEX expulsions_by_age ON expulsions (at);
