-- +goose Up
-- People and what proves who they are. Every lookup names the realm.
CREATE TABLE accounts (
    id                    BLOB PRIMARY KEY,
    realm                 TEXT NOT NULL,
    login_email           TEXT NOT NULL,
    email_verified        INTEGER NOT NULL DEFAULT 0,
    state                 TEXT NOT NULL CHECK (state IN ('invited', 'active', 'disabled')),
    given_name            TEXT NOT NULL DEFAULT '',
    family_name           TEXT NOT NULL DEFAULT '',
    name                  TEXT NOT NULL DEFAULT '',
    locale                TEXT NOT NULL DEFAULT '',
    profile               TEXT NOT NULL DEFAULT '{}',
    credential_version    INTEGER NOT NULL DEFAULT 1,
    version               INTEGER NOT NULL DEFAULT 1,
    email_changed_at      INTEGER,
    recovery_locked_until INTEGER,
    last_signed_in_at     INTEGER,
    created_at            INTEGER NOT NULL,
    updated_at            INTEGER NOT NULL,
    UNIQUE (realm, login_email)
) STRICT;

CREATE TABLE password_credentials (
    account_id BLOB PRIMARY KEY REFERENCES accounts (id) ON DELETE CASCADE,
    hash       TEXT NOT NULL,
    changed_at INTEGER NOT NULL
) STRICT;

CREATE TABLE security_answers (
    account_id  BLOB PRIMARY KEY REFERENCES accounts (id) ON DELETE CASCADE,
    question    TEXT NOT NULL,
    answer_hash TEXT NOT NULL,
    set_at      INTEGER NOT NULL
) STRICT;

-- An invitation is spent once, by the commit that makes the account active.
CREATE TABLE invitations (
    id          BLOB PRIMARY KEY,
    realm       TEXT NOT NULL,
    account_id  BLOB NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    token_hash  BLOB NOT NULL UNIQUE,
    email       TEXT NOT NULL,
    invited_by  BLOB,
    practice_id BLOB,
    client_id   TEXT NOT NULL DEFAULT '',
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    used_at     INTEGER,
    voided_at   INTEGER
) STRICT;
CREATE INDEX invitations_account ON invitations (account_id);
CREATE INDEX invitations_expires ON invitations (expires_at);

-- One browser's walk through an invitation. The password chosen in the first
-- step waits here, hashed, until the second step commits both; folded_hash is
-- the same one without case and accents, so that no answer repeats it.
CREATE TABLE activation_flows (
    flow_hash     BLOB PRIMARY KEY,
    invitation_id BLOB NOT NULL REFERENCES invitations (id) ON DELETE CASCADE,
    password_hash TEXT NOT NULL DEFAULT '',
    folded_hash   TEXT NOT NULL DEFAULT '',
    created_at    INTEGER NOT NULL,
    expires_at    INTEGER NOT NULL
) STRICT;
CREATE INDEX activation_flows_invitation ON activation_flows (invitation_id);
CREATE INDEX activation_flows_expires ON activation_flows (expires_at);
