-- The picture of who said it, as of then. NULL: none was known.
ALTER TABLE chat_messages ADD COLUMN sender_avatar TEXT;
ALTER TABLE held_messages ADD COLUMN sender_avatar TEXT;
ALTER TABLE questions ADD COLUMN sender_avatar TEXT;
