-- +goose Up
-- kept: the person asked to stay signed in on this device. confirmed_at: when the password or a
-- passkey was last proved in this session.
ALTER TABLE sessions ADD COLUMN kept INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN confirmed_at INTEGER;
UPDATE sessions SET confirmed_at = auth_time;

-- A sign-in whose password was right and that waits for its second step, in one browser, for one
-- authorization request (flow; empty: none). It is spent by the transaction that starts the session.
CREATE TABLE signin_steps (
    token_hash   BLOB PRIMARY KEY,
    realm        TEXT NOT NULL,
    account_id   BLOB NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    credential_version INTEGER NOT NULL,
    browser_hash BLOB NOT NULL,
    flow         TEXT NOT NULL,
    keep         INTEGER NOT NULL,
    tries        INTEGER NOT NULL DEFAULT 0,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    used_at      INTEGER
) STRICT;
CREATE INDEX signin_steps_account ON signin_steps (account_id);
CREATE INDEX signin_steps_expires ON signin_steps (expires_at);

-- When an account was first told, at a sign-in, that it has to have a second factor.
CREATE TABLE signin_told (
    account_id BLOB PRIMARY KEY REFERENCES accounts (id) ON DELETE CASCADE,
    told_at    INTEGER NOT NULL
) STRICT;
