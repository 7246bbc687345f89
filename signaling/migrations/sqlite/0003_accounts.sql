-- Accounts with passwords and roles, and their sign-ins.

-- Argon2id as PHC string; NULL: nobody signs in with a password.
ALTER TABLE users ADD COLUMN password_hash TEXT;
ALTER TABLE users ADD COLUMN role TEXT NOT NULL DEFAULT 'host' CHECK (role IN ('admin', 'host', 'viewer'));

CREATE TABLE sign_ins (
    id         TEXT   NOT NULL PRIMARY KEY,
    user_id    TEXT   NOT NULL,
    -- Which of its refresh tokens holds: they are numbered, and each is used once.
    generation BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    renewed_at BIGINT NOT NULL,
    -- When the refresh token ends.
    expires_at BIGINT NOT NULL,
    -- When somebody ended it; NULL while it holds. Rows outlive their accounts, so that every server learns of it.
    ended_at   BIGINT
);

CREATE INDEX sign_ins_by_user ON sign_ins (user_id, renewed_at);
CREATE INDEX sign_ins_by_end ON sign_ins (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX sign_ins_by_expiry ON sign_ins (expires_at);
