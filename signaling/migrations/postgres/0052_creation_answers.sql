-- What was answered to whoever created something within a room, as JSON. NULL: nothing yet, and for rooms and webhooks, which are
-- read anew.
ALTER TABLE idempotency_keys ADD COLUMN answer TEXT COLLATE "C";
