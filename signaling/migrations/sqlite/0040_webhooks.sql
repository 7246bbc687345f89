-- Who is told outside of what happens in rooms, and what became of each telling.

-- Nobody read it before: what is in it has no endpoint that it is for.
DROP TABLE outbox;

-- What others are to be told, written with what it tells of; only where somebody wants to know.
CREATE TABLE outbox (
    -- Rises; within a room it is the order in which things happened, for it is given under the lock of the room's row.
    number     INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    -- What receivers know it by.
    id         TEXT    NOT NULL UNIQUE,
    -- Empty for what is of no room.
    room_id    TEXT    NOT NULL,
    -- Its number among the room's events; NULL where it has none.
    seq        BIGINT,
    kind       TEXT    NOT NULL,
    content    TEXT    NOT NULL,
    created_at BIGINT  NOT NULL
);

CREATE INDEX outbox_by_age ON outbox (created_at, number);

CREATE TABLE webhooks (
    id            TEXT    NOT NULL PRIMARY KEY,
    url           TEXT    NOT NULL,
    description   TEXT    NOT NULL,
    -- Kinds with a space before and behind each; ' * ': all.
    events        TEXT    NOT NULL,
    -- Only of this room; NULL: of all.
    room_id       TEXT,
    -- Only of the rooms of this host; NULL: of all.
    owner_id      TEXT,
    enabled       BOOLEAN NOT NULL,
    secret        TEXT    NOT NULL,
    -- Signs, too, until then.
    old_secret    TEXT,
    old_until     BIGINT,
    -- Since when nothing gets through; NULL while the last attempt did.
    failing_since BIGINT,
    created_at    BIGINT  NOT NULL
);

-- One event on its way to one endpoint.
CREATE TABLE webhook_deliveries (
    webhook_id  TEXT   NOT NULL,
    number      BIGINT NOT NULL,
    room_id     TEXT   NOT NULL,
    status      TEXT   NOT NULL CHECK (status IN ('pending', 'delivered', 'failed')),
    -- Attempts since it was queued.
    attempts    BIGINT NOT NULL,
    -- When it happened, or was replayed last.
    queued_at   BIGINT NOT NULL,
    -- The last attempt: when, what was answered, what went wrong, how long it took.
    last_at     BIGINT,
    last_status BIGINT,
    last_error  TEXT,
    last_ms     BIGINT,
    PRIMARY KEY (webhook_id, number)
);

CREATE INDEX webhook_deliveries_by_status ON webhook_deliveries (webhook_id, status, number);
CREATE INDEX webhook_deliveries_by_number ON webhook_deliveries (number);
CREATE INDEX webhook_deliveries_pending ON webhook_deliveries (webhook_id, room_id, number)
    WHERE status = 'pending';
CREATE INDEX webhook_deliveries_waiting ON webhook_deliveries (queued_at) WHERE status = 'pending';

-- What waits for one endpoint from one room: one of it is on its way at a time.
CREATE TABLE webhook_lanes (
    webhook_id TEXT   NOT NULL,
    room_id    TEXT   NOT NULL,
    -- When the next attempt is due; while a server is at it, until when the others leave it alone.
    due_at     BIGINT NOT NULL,
    -- Which run of which server is at it; NULL: none.
    lease      TEXT,
    -- Rises when something is added: a lane goes only if nothing was since it was looked at.
    changes    BIGINT NOT NULL,
    PRIMARY KEY (webhook_id, room_id)
);

CREATE INDEX webhook_lanes_due ON webhook_lanes (webhook_id, due_at);

-- Not only rooms are created under keys of clients.
ALTER TABLE idempotency_keys RENAME COLUMN room_id TO created_id;
