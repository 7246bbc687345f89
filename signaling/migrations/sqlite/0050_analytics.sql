-- What is known of audiences (docs/analytics.md). Times are milliseconds since 1970. Rows say how much it is: writing one twice
-- changes nothing.

CREATE TABLE analytics_events (
    room_id    TEXT NOT NULL REFERENCES rooms (id) ON DELETE CASCADE,
    -- When the event began; its name within the room.
    started_at BIGINT  NOT NULL,
    -- When something was written last, and how many watched then.
    updated_at BIGINT  NOT NULL,
    watching   BIGINT  NOT NULL,
    -- Whether viewers are without names.
    anonymised BOOLEAN NOT NULL DEFAULT FALSE,
    PRIMARY KEY (room_id, started_at)
);

CREATE INDEX analytics_events_by_age ON analytics_events (updated_at) WHERE NOT anonymised;

CREATE TABLE analytics_minutes (
    room_id    TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    -- When the minute began.
    minute     BIGINT NOT NULL,
    -- Who added it up: another after each start of the server.
    run        TEXT NOT NULL,
    -- The most viewers who watched at once.
    peak       BIGINT NOT NULL,
    -- JSON: what orders came to, by currency, in the smallest unit of each.
    revenue    TEXT   NOT NULL,
    watched_ms  BIGINT NOT NULL,
    visits      BIGINT NOT NULL,
    came        BIGINT NOT NULL,
    messages    BIGINT NOT NULL,
    reactions   BIGINT NOT NULL,
    orders      BIGINT NOT NULL,
    frames      BIGINT NOT NULL,
    stalls      BIGINT NOT NULL,
    stalled_ms  BIGINT NOT NULL,
    reported_ms BIGINT NOT NULL,
    latency_0   BIGINT NOT NULL,
    latency_1   BIGINT NOT NULL,
    latency_2   BIGINT NOT NULL,
    latency_3   BIGINT NOT NULL,
    latency_4   BIGINT NOT NULL,
    latency_5   BIGINT NOT NULL,
    latency_6   BIGINT NOT NULL,
    latency_7   BIGINT NOT NULL,
    layer_0     BIGINT NOT NULL,
    layer_1     BIGINT NOT NULL,
    layer_2     BIGINT NOT NULL,
    layer_3     BIGINT NOT NULL,
    layer_4     BIGINT NOT NULL,
    layer_5     BIGINT NOT NULL,
    layer_6     BIGINT NOT NULL,
    layer_7     BIGINT NOT NULL,
    PRIMARY KEY (room_id, started_at, minute, run),
    FOREIGN KEY (room_id, started_at) REFERENCES analytics_events (room_id, started_at) ON DELETE CASCADE
);

CREATE TABLE analytics_viewers (
    room_id    TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    -- The first half of an HMAC-SHA-256 of room and identity, in lower-case hexadecimal; later a number.
    viewer     TEXT NOT NULL,
    -- As above; empty where there are no names any more.
    run        TEXT NOT NULL,
    watched_ms BIGINT NOT NULL,
    device     TEXT NOT NULL,
    region     TEXT NOT NULL,
    -- 1: they did something.
    engaged    BIGINT NOT NULL,
    PRIMARY KEY (room_id, started_at, viewer, run),
    FOREIGN KEY (room_id, started_at) REFERENCES analytics_events (room_id, started_at) ON DELETE CASCADE
);
