-- +goose Up
-- A browser signed in to a realm. The cookie's token is stored hashed; id is the OpenID Connect sid.
CREATE TABLE sessions (
    id           uuid PRIMARY KEY,
    realm        text NOT NULL,
    account_id   uuid NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    token_hash   bytea NOT NULL UNIQUE,
    auth_time    timestamptz NOT NULL,
    acr          text NOT NULL,
    amr          text NOT NULL,
    user_agent   text NOT NULL DEFAULT '',
    ip           text NOT NULL DEFAULT '',
    created_at   timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    ended_at     timestamptz,
    end_reason   text NOT NULL DEFAULT ''
);
CREATE INDEX sessions_account ON sessions (account_id) WHERE ended_at IS NULL;
CREATE INDEX sessions_expires ON sessions (expires_at);
