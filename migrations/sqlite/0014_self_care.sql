-- +goose Up
-- What people change about their own account. frozen_at: somebody with a link
-- out of a notice said "this wasn't me"; nobody gets in until the practice has
-- helped.
ALTER TABLE accounts ADD COLUMN frozen_at INTEGER;

-- A login email that was asked for. Its link goes to the new address when the
-- person asks (origin self), to the current one when staff do. It is worth
-- something only while the account is as it was when the link was made.
CREATE TABLE email_changes (
    id                 BLOB PRIMARY KEY,
    realm              TEXT NOT NULL,
    account_id         BLOB NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    origin             TEXT NOT NULL CHECK (origin IN ('self', 'staff')),
    token_hash         BLOB NOT NULL UNIQUE,
    old_email          TEXT NOT NULL,
    new_email          TEXT NOT NULL,
    credential_version INTEGER NOT NULL,
    requested_by       BLOB,
    practice_id        BLOB,
    practice           TEXT NOT NULL DEFAULT '',
    practice_phone     TEXT NOT NULL DEFAULT '',
    client_id          TEXT NOT NULL DEFAULT '',
    reason             TEXT NOT NULL DEFAULT '',
    created_at         INTEGER NOT NULL,
    expires_at         INTEGER NOT NULL,
    used_at            INTEGER,
    voided_at          INTEGER,
    void_reason        TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX email_changes_account ON email_changes (account_id, created_at);
CREATE INDEX email_changes_expires ON email_changes (expires_at);

-- "This wasn't me": one link per notice. It outlives later changes of the
-- account on purpose, and ends when the practice has helped.
CREATE TABLE freeze_links (
    token_hash BLOB PRIMARY KEY,
    realm      TEXT NOT NULL,
    account_id BLOB NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    notice     TEXT NOT NULL,
    email      TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX freeze_links_account ON freeze_links (account_id);
CREATE INDEX freeze_links_expires ON freeze_links (expires_at);
