-- Whose owner may host no more: deleted, or made a viewer. The stream key is useless, and what is on air ends.
ALTER TABLE rooms ADD COLUMN revoked BOOLEAN NOT NULL DEFAULT FALSE;

CREATE INDEX rooms_revoked ON rooms (id) WHERE revoked AND status IN ('live', 'interrupted');
