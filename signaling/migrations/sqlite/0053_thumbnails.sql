-- The picture that its owner gave a room: JPEG, PNG or WebP, 256 KiB at most. Apart from the rooms, which lists read whole.

CREATE TABLE thumbnails (
    room_id TEXT PRIMARY KEY NOT NULL REFERENCES rooms (id) ON DELETE CASCADE,
    image   BLOB NOT NULL
);

-- When it was given it. NULL: it has none.
ALTER TABLE rooms ADD COLUMN thumbnail_at BIGINT;
