-- +goose Up
-- People and what proves who they are. Every lookup names the realm.
CREATE TABLE accounts (
    id                    uuid PRIMARY KEY,
    realm                 text NOT NULL,
    login_email           text COLLATE "C" NOT NULL,
    email_verified        boolean NOT NULL DEFAULT false,
    state                 text NOT NULL CHECK (state IN ('invited', 'active', 'disabled')),
    given_name            text NOT NULL DEFAULT '',
    family_name           text NOT NULL DEFAULT '',
    name                  text NOT NULL DEFAULT '',
    locale                text NOT NULL DEFAULT '',
    profile               jsonb NOT NULL DEFAULT '{}',
    credential_version    bigint NOT NULL DEFAULT 1,
    version               bigint NOT NULL DEFAULT 1,
    email_changed_at      timestamptz,
    recovery_locked_until timestamptz,
    last_signed_in_at     timestamptz,
    created_at            timestamptz NOT NULL,
    updated_at            timestamptz NOT NULL,
    UNIQUE (realm, login_email)
);

CREATE TABLE password_credentials (
    account_id uuid PRIMARY KEY REFERENCES accounts (id) ON DELETE CASCADE,
    hash       text NOT NULL,
    changed_at timestamptz NOT NULL
);

CREATE TABLE security_answers (
    account_id  uuid PRIMARY KEY REFERENCES accounts (id) ON DELETE CASCADE,
    question    text NOT NULL,
    answer_hash text NOT NULL,
    set_at      timestamptz NOT NULL
);

-- An invitation is spent once, by the commit that makes the account active.
CREATE TABLE invitations (
    id          uuid PRIMARY KEY,
    realm       text NOT NULL,
    account_id  uuid NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    token_hash  bytea NOT NULL UNIQUE,
    email       text NOT NULL,
    invited_by  uuid,
    practice_id uuid,
    client_id   text NOT NULL DEFAULT '',
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    used_at     timestamptz,
    voided_at   timestamptz
);
CREATE INDEX invitations_account ON invitations (account_id);
CREATE INDEX invitations_expires ON invitations (expires_at);

-- One browser's walk through an invitation. The password chosen in the first
-- step waits here, hashed, until the second step commits both; folded_hash is
-- the same one without case and accents, so that no answer repeats it.
CREATE TABLE activation_flows (
    flow_hash     bytea PRIMARY KEY,
    invitation_id uuid NOT NULL REFERENCES invitations (id) ON DELETE CASCADE,
    password_hash text NOT NULL DEFAULT '',
    folded_hash   text NOT NULL DEFAULT '',
    created_at    timestamptz NOT NULL,
    expires_at    timestamptz NOT NULL
);
CREATE INDEX activation_flows_invitation ON activation_flows (invitation_id);
CREATE INDEX activation_flows_expires ON activation_flows (expires_at);
