-- +goose Up
-- A setup belongs to whoever it was shown to (holder, a hash: a session, or a sign-in that waits),
-- who is shown the same one again. Others of the same account have setups of their own. Those under
-- way begin again.
DROP TABLE totp_setups;
CREATE TABLE totp_setups (
    id         uuid PRIMARY KEY,
    account_id uuid NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    holder     bytea NOT NULL,
    sealed     bytea NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    UNIQUE (account_id, holder)
);
CREATE INDEX totp_setups_expires ON totp_setups (expires_at);
