-- The addresses that a ban goes with, where the settings say so (`ban_addresses`): at most four, the last one first, with a space
-- between them. Of each the first half of an HMAC-SHA-256 of room and network, in lower-case hexadecimal. NULL: none.
ALTER TABLE room_limits ADD COLUMN addresses TEXT COLLATE "C";

-- Those that are forgotten when the ban is over.
CREATE INDEX room_limits_addresses ON room_limits (until) WHERE addresses IS NOT NULL;
