-- +goose Up
-- kept: the person asked to stay signed in on this device. confirmed_at: when the password or a
-- passkey was last proved in this session.
ALTER TABLE sessions ADD COLUMN kept boolean NOT NULL DEFAULT false;
ALTER TABLE sessions ADD COLUMN confirmed_at timestamptz;
UPDATE sessions SET confirmed_at = auth_time;

-- A sign-in whose password was right and that waits for its second step, in one browser, for one
-- authorization request (flow; empty: none). It is spent by the transaction that starts the session.
CREATE TABLE signin_steps (
    token_hash   bytea PRIMARY KEY,
    realm        text NOT NULL,
    account_id   uuid NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    credential_version bigint NOT NULL,
    browser_hash bytea NOT NULL,
    flow         text NOT NULL,
    keep         boolean NOT NULL,
    tries        bigint NOT NULL DEFAULT 0,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    used_at      timestamptz
);
CREATE INDEX signin_steps_account ON signin_steps (account_id);
CREATE INDEX signin_steps_expires ON signin_steps (expires_at);

-- When an account was first told, at a sign-in, that it has to have a second factor.
CREATE TABLE signin_told (
    account_id uuid PRIMARY KEY REFERENCES accounts (id) ON DELETE CASCADE,
    told_at    timestamptz NOT NULL
);
