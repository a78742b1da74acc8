-- +goose Up
-- A setup belongs to whoever it was shown to (holder, a hash: a session, or a sign-in that waits),
-- who is shown the same one again. Others of the same account have setups of their own. Those under
-- way begin again.
DROP TABLE totp_setups;
CREATE TABLE totp_setups (
    id         BLOB PRIMARY KEY,
    account_id BLOB NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    holder     BLOB NOT NULL,
    sealed     BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    UNIQUE (account_id, holder)
) STRICT;
CREATE INDEX totp_setups_expires ON totp_setups (expires_at);
