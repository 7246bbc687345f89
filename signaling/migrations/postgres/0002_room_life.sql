-- The whole life of a room, what lists and searches go by, and what outlives a request.

ALTER TABLE rooms DROP CONSTRAINT rooms_status_check;
DROP INDEX rooms_by_owner;

ALTER TABLE rooms
    ADD COLUMN description     TEXT    NOT NULL DEFAULT '',
    ADD COLUMN category        TEXT,
    ADD COLUMN quality         TEXT    NOT NULL DEFAULT 'auto',
    -- JSON: [{title, url}].
    ADD COLUMN documents       TEXT    NOT NULL DEFAULT '[]',
    ADD COLUMN host_avatar_url TEXT,
    -- JSON: {platform, url}.
    ADD COLUMN external_link   TEXT,
    -- Whether the room waits for another event when one has ended.
    ADD COLUMN reusable        BOOLEAN NOT NULL DEFAULT FALSE,
    -- Rises with every change of what the owner wrote.
    ADD COLUMN version         BIGINT  NOT NULL DEFAULT 1,
    ADD COLUMN scheduled_at    BIGINT,
    ADD COLUMN ended_at        BIGINT,
    -- When the status changed last.
    ADD COLUMN changed_at      BIGINT  NOT NULL DEFAULT 0,
    ADD COLUMN total_viewers   BIGINT  NOT NULL DEFAULT 0,
    ADD COLUMN watch_ms        BIGINT  NOT NULL DEFAULT 0,
    ADD COLUMN message_count   BIGINT  NOT NULL DEFAULT 0,
    -- The place in lists: 2 on air, 1 to come, 0 over, -1 cancelled; then by time.
    ADD COLUMN rank            BIGINT  NOT NULL DEFAULT 0,
    ADD COLUMN since           BIGINT  NOT NULL DEFAULT 0,
    -- Words in lower case without accents.
    ADD COLUMN search_text     TEXT    NOT NULL DEFAULT '';

UPDATE rooms SET changed_at    = COALESCE(started_at, created_at),
                 since         = COALESCE(started_at, created_at),
                 rank          = CASE WHEN status = 'ready' THEN 1 ELSE 2 END,
                 message_count = (SELECT COUNT(*) FROM chat_messages WHERE room_id = rooms.id),
                 search_text   = LOWER(title || ' ' || owner_name);

ALTER TABLE rooms
    ADD CONSTRAINT rooms_status_check CHECK (status IN ('scheduled', 'ready', 'live', 'interrupted',
                                                        'ended', 'processing', 'archived', 'cancelled')),
    ALTER COLUMN changed_at DROP DEFAULT,
    ALTER COLUMN rank DROP DEFAULT,
    ALTER COLUMN since DROP DEFAULT,
    ALTER COLUMN search_text DROP DEFAULT,
    -- The index of words holds listed rooms only: no search can tell of others.
    ADD COLUMN search TSVECTOR GENERATED ALWAYS AS (
        to_tsvector('simple', CASE WHEN visibility = 'public' THEN search_text ELSE '' END)
    ) STORED;

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
CREATE INDEX rooms_search ON rooms USING GIN (search);

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
    room_id  TEXT   COLLATE "C" NOT NULL REFERENCES rooms (id) ON DELETE CASCADE,
    identity TEXT   NOT NULL,
    at       BIGINT NOT NULL,
    PRIMARY KEY (room_id, identity)
);

CREATE INDEX expulsions_by_age ON expulsions (at);
