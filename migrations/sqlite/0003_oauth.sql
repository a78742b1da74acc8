-- +goose Up
-- Signing keys of a realm. sealed is the private key under the key-encryption key.
-- generation counts the keys of an algorithm: its uniqueness decides which of
-- several replicas makes the next key.
CREATE TABLE signing_keys (
    kid        TEXT NOT NULL,
    realm      TEXT NOT NULL,
    alg        TEXT NOT NULL CHECK (alg IN ('ES256', 'RS256')),
    public_jwk TEXT NOT NULL,
    sealed     BLOB NOT NULL,
    generation INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    active_at  INTEGER NOT NULL,
    retired_at INTEGER,
    remove_at  INTEGER,
    PRIMARY KEY (realm, kid),
    UNIQUE (realm, alg, generation)
) STRICT;

-- An authorization request that waits for its person, bound to one browser.
CREATE TABLE interactions (
    id           BLOB PRIMARY KEY,
    realm        TEXT NOT NULL,
    client_id    TEXT NOT NULL,
    browser_hash BLOB NOT NULL,
    request      TEXT NOT NULL,
    consented_by BLOB,
    consented_at INTEGER,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    finished_at  INTEGER
) STRICT;
CREATE INDEX interactions_expires ON interactions (expires_at);

-- What an account has agreed to, remembered so that it is asked once.
CREATE TABLE consents (
    realm      TEXT NOT NULL,
    account_id BLOB NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    client_id  TEXT NOT NULL,
    scopes     TEXT NOT NULL,
    granted_at INTEGER NOT NULL,
    PRIMARY KEY (realm, account_id, client_id)
) STRICT;

-- What an account allowed a client. Revoking the row ends every token that came of it,
-- and so does a newer credential_version of the account.
CREATE TABLE grants (
    id            BLOB PRIMARY KEY,
    realm         TEXT NOT NULL,
    client_id     TEXT NOT NULL,
    account_id    BLOB NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    session_id    BLOB NOT NULL,
    scopes        TEXT NOT NULL,
    audiences     TEXT NOT NULL,
    session_data  TEXT NOT NULL,
    credential_version INTEGER NOT NULL,
    created_at    INTEGER NOT NULL,
    expires_at    INTEGER NOT NULL,
    revoked_at    INTEGER,
    revoke_reason TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX grants_account ON grants (account_id) WHERE revoked_at IS NULL;
CREATE INDEX grants_session ON grants (session_id) WHERE revoked_at IS NULL;
CREATE INDEX grants_expires ON grants (expires_at);

CREATE TABLE authorization_codes (
    code_hash  BLOB PRIMARY KEY,
    grant_id   BLOB NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
    request    TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at    INTEGER,
    used_by    BLOB
) STRICT;
CREATE INDEX authorization_codes_grant ON authorization_codes (grant_id);
CREATE INDEX authorization_codes_expires ON authorization_codes (expires_at);

CREATE TABLE refresh_tokens (
    token_hash BLOB PRIMARY KEY,
    grant_id   BLOB NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
    scopes     TEXT NOT NULL,
    parent     BLOB,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at    INTEGER,
    used_by    BLOB,
    retries    INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX refresh_tokens_grant ON refresh_tokens (grant_id);
CREATE INDEX refresh_tokens_expires ON refresh_tokens (expires_at);

-- Access tokens without a grant (client credentials) that were revoked before their time.
CREATE TABLE revoked_access_tokens (
    realm      TEXT NOT NULL,
    jti        TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (realm, jti)
) STRICT;
CREATE INDEX revoked_access_tokens_expires ON revoked_access_tokens (expires_at);
