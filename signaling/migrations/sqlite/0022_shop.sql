-- What rooms sell, and what was bought.

CREATE TABLE products (
    room_id        TEXT NOT NULL REFERENCES rooms (id) ON DELETE CASCADE,
    id             TEXT NOT NULL,
    -- Its place among the others.
    position       BIGINT NOT NULL,
    name           TEXT   NOT NULL,
    image_url      TEXT,
    buy_url        TEXT,
    -- In the smallest unit of the currency.
    price          BIGINT NOT NULL,
    original_price BIGINT,
    currency       TEXT   NOT NULL,
    -- NULL: nobody counts.
    stock          BIGINT,
    quantity_limit BIGINT,
    sold           BIGINT NOT NULL DEFAULT 0,
    -- What the shop calls it.
    external_id    TEXT,
    PRIMARY KEY (room_id, id),
    UNIQUE (room_id, external_id)
);

-- The product that is shown large. No row: none.
CREATE TABLE featured_products (
    room_id    TEXT NOT NULL PRIMARY KEY REFERENCES rooms (id) ON DELETE CASCADE,
    product_id TEXT NOT NULL
);

CREATE TABLE orders (
    room_id      TEXT NOT NULL REFERENCES rooms (id) ON DELETE CASCADE,
    -- The shop's own id: an order counts once.
    id           TEXT NOT NULL,
    ts           BIGINT NOT NULL,
    -- NULL for what is none of the room's products.
    product_id   TEXT,
    product_name TEXT   NOT NULL,
    buyer_id     TEXT,
    buyer_name   TEXT   NOT NULL,
    quantity     BIGINT NOT NULL,
    amount       BIGINT NOT NULL,
    currency     TEXT   NOT NULL,
    PRIMARY KEY (room_id, id)
);

ALTER TABLE rooms ADD COLUMN order_count BIGINT NOT NULL DEFAULT 0;
-- JSON: what was earned, by currency, in the smallest unit of each.
ALTER TABLE rooms ADD COLUMN revenue TEXT NOT NULL DEFAULT '{}';

-- JSON: the product that a held message is about; NULL for none.
ALTER TABLE held_messages ADD COLUMN product TEXT;
