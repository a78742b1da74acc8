-- +goose Up
-- Signing keys of a realm. sealed is the private key under the key-encryption key.
-- generation counts the keys of an algorithm: its uniqueness decides which of
-- several replicas makes the next key.
CREATE TABLE signing_keys (
    kid        text NOT NULL,
    realm      text NOT NULL,
    alg        text NOT NULL CHECK (alg IN ('ES256', 'RS256')),
    public_jwk text NOT NULL,
    sealed     bytea NOT NULL,
    generation bigint NOT NULL,
    created_at timestamptz NOT NULL,
    active_at  timestamptz NOT NULL,
    retired_at timestamptz,
    remove_at  timestamptz,
    PRIMARY KEY (realm, kid),
    UNIQUE (realm, alg, generation)
);

-- An authorization request that waits for its person, bound to one browser.
CREATE TABLE interactions (
    id           uuid PRIMARY KEY,
    realm        text NOT NULL,
    client_id    text NOT NULL,
    browser_hash bytea NOT NULL,
    request      text NOT NULL,
    consented_by uuid,
    consented_at timestamptz,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    finished_at  timestamptz
);
CREATE INDEX interactions_expires ON interactions (expires_at);

-- What an account has agreed to, remembered so that it is asked once.
CREATE TABLE consents (
    realm      text NOT NULL,
    account_id uuid NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    client_id  text NOT NULL,
    scopes     text NOT NULL,
    granted_at timestamptz NOT NULL,
    PRIMARY KEY (realm, account_id, client_id)
);

-- What an account allowed a client. Revoking the row ends every token that came of it,
-- and so does a newer credential_version of the account.
CREATE TABLE grants (
    id            uuid PRIMARY KEY,
    realm         text NOT NULL,
    client_id     text NOT NULL,
    account_id    uuid NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    session_id    uuid NOT NULL,
    scopes        text NOT NULL,
    audiences     text NOT NULL,
    session_data  text NOT NULL,
    credential_version bigint NOT NULL,
    created_at    timestamptz NOT NULL,
    expires_at    timestamptz NOT NULL,
    revoked_at    timestamptz,
    revoke_reason text NOT NULL DEFAULT ''
);
CREATE INDEX grants_account ON grants (account_id) WHERE revoked_at IS NULL;
CREATE INDEX grants_session ON grants (session_id) WHERE revoked_at IS NULL;
CREATE INDEX grants_expires ON grants (expires_at);

CREATE TABLE authorization_codes (
    code_hash  bytea PRIMARY KEY,
    grant_id   uuid NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
    request    text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at    timestamptz,
    used_by    uuid
);
CREATE INDEX authorization_codes_grant ON authorization_codes (grant_id);
CREATE INDEX authorization_codes_expires ON authorization_codes (expires_at);

CREATE TABLE refresh_tokens (
    token_hash bytea PRIMARY KEY,
    grant_id   uuid NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
    scopes     text NOT NULL,
    parent     bytea,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at    timestamptz,
    used_by    uuid,
    retries    bigint NOT NULL DEFAULT 0
);
CREATE INDEX refresh_tokens_grant ON refresh_tokens (grant_id);
CREATE INDEX refresh_tokens_expires ON refresh_tokens (expires_at);

-- Access tokens without a grant (client credentials) that were revoked before their time.
CREATE TABLE revoked_access_tokens (
    realm      text NOT NULL,
    jti        text NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (realm, jti)
);
CREATE INDEX revoked_access_tokens_expires ON revoked_access_tokens (expires_at);
