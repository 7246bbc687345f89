-- How long viewers let pictures wait, in milliseconds; NULL: as long as they choose themselves.
ALTER TABLE rooms ADD COLUMN playout_delay_ms INTEGER;
