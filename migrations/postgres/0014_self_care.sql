-- +goose Up
-- What people change about their own account. frozen_at: somebody with a link
-- out of a notice said "this wasn't me"; nobody gets in until the practice has
-- helped.
ALTER TABLE accounts ADD COLUMN frozen_at timestamptz;

-- A login email that was asked for. Its link goes to the new address when the
-- person asks (origin self), to the current one when staff do. It is worth
-- something only while the account is as it was when the link was made.
CREATE TABLE email_changes (
    id                 uuid PRIMARY KEY,
    realm              text NOT NULL,
    account_id         uuid NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    origin             text NOT NULL CHECK (origin IN ('self', 'staff')),
    token_hash         bytea NOT NULL UNIQUE,
    old_email          text NOT NULL,
    new_email          text NOT NULL,
    credential_version bigint NOT NULL,
    requested_by       uuid,
    practice_id        uuid,
    practice           text NOT NULL DEFAULT '',
    practice_phone     text NOT NULL DEFAULT '',
    client_id          text NOT NULL DEFAULT '',
    reason             text NOT NULL DEFAULT '',
    created_at         timestamptz NOT NULL,
    expires_at         timestamptz NOT NULL,
    used_at            timestamptz,
    voided_at          timestamptz,
    void_reason        text NOT NULL DEFAULT ''
);
CREATE INDEX email_changes_account ON email_changes (account_id, created_at);
CREATE INDEX email_changes_expires ON email_changes (expires_at);

-- "This wasn't me": one link per notice. It outlives later changes of the
-- account on purpose, and ends when the practice has helped.
CREATE TABLE freeze_links (
    token_hash bytea PRIMARY KEY,
    realm      text NOT NULL,
    account_id uuid NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    notice     text NOT NULL,
    email      text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX freeze_links_account ON freeze_links (account_id);
CREATE INDEX freeze_links_expires ON freeze_links (expires_at);
