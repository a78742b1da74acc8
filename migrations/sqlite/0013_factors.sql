-- +goose Up
-- The authenticator app of an account. sealed is its secret under the key-encryption key;
-- last_step is the time step of the newest code that was accepted: a code works once.
CREATE TABLE totp_secrets (
    account_id   BLOB PRIMARY KEY REFERENCES accounts (id) ON DELETE CASCADE,
    id           BLOB NOT NULL,
    sealed       BLOB NOT NULL,
    last_step    INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    confirmed_at INTEGER NOT NULL,
    last_used_at INTEGER
) STRICT;

-- An authenticator app that was shown its secret and has not sent a right code yet.
CREATE TABLE totp_setups (
    account_id BLOB PRIMARY KEY REFERENCES accounts (id) ON DELETE CASCADE,
    id         BLOB NOT NULL,
    sealed     BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX totp_setups_expires ON totp_setups (expires_at);

-- What authenticators know an account by (WebAuthn: user handle), random so that it says nothing.
CREATE TABLE passkey_handles (
    account_id BLOB PRIMARY KEY REFERENCES accounts (id) ON DELETE CASCADE,
    realm      TEXT NOT NULL,
    handle     BLOB NOT NULL,
    UNIQUE (realm, handle)
) STRICT;

CREATE TABLE passkeys (
    id              BLOB PRIMARY KEY,
    realm           TEXT NOT NULL,
    account_id      BLOB NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    credential_id   BLOB NOT NULL,
    public_key      BLOB NOT NULL,
    sign_count      INTEGER NOT NULL,
    aaguid          BLOB NOT NULL,
    transports      TEXT NOT NULL DEFAULT '',
    backup_eligible INTEGER NOT NULL,
    backed_up       INTEGER NOT NULL,
    name            TEXT NOT NULL,
    created_at      INTEGER NOT NULL,
    last_used_at    INTEGER,
    UNIQUE (realm, credential_id)
) STRICT;
CREATE INDEX passkeys_account ON passkeys (account_id);

-- Codes on paper that stand in for a lost factor. code_hash is keyed with a key that is not in the database.
CREATE TABLE recovery_codes (
    account_id BLOB NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    code_hash  BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    used_at    INTEGER,
    PRIMARY KEY (account_id, code_hash)
) STRICT;

-- Challenges that a passkey has answered: each is worth one answer.
CREATE TABLE spent_challenges (
    challenge_hash BLOB PRIMARY KEY,
    expires_at     INTEGER NOT NULL
) STRICT;
CREATE INDEX spent_challenges_expires ON spent_challenges (expires_at);
