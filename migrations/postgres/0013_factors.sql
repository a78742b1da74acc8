-- +goose Up
-- The authenticator app of an account. sealed is its secret under the key-encryption key;
-- last_step is the time step of the newest code that was accepted: a code works once.
CREATE TABLE totp_secrets (
    account_id   uuid PRIMARY KEY REFERENCES accounts (id) ON DELETE CASCADE,
    id           uuid NOT NULL,
    sealed       bytea NOT NULL,
    last_step    bigint NOT NULL,
    created_at   timestamptz NOT NULL,
    confirmed_at timestamptz NOT NULL,
    last_used_at timestamptz
);

-- An authenticator app that was shown its secret and has not sent a right code yet.
CREATE TABLE totp_setups (
    account_id uuid PRIMARY KEY REFERENCES accounts (id) ON DELETE CASCADE,
    id         uuid NOT NULL,
    sealed     bytea NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX totp_setups_expires ON totp_setups (expires_at);

-- What authenticators know an account by (WebAuthn: user handle), random so that it says nothing.
CREATE TABLE passkey_handles (
    account_id uuid PRIMARY KEY REFERENCES accounts (id) ON DELETE CASCADE,
    realm      text NOT NULL,
    handle     bytea NOT NULL,
    UNIQUE (realm, handle)
);

CREATE TABLE passkeys (
    id              uuid PRIMARY KEY,
    realm           text NOT NULL,
    account_id      uuid NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    credential_id   bytea NOT NULL,
    public_key      bytea NOT NULL,
    sign_count      bigint NOT NULL,
    aaguid          bytea NOT NULL,
    transports      text NOT NULL DEFAULT '',
    backup_eligible boolean NOT NULL,
    backed_up       boolean NOT NULL,
    name            text NOT NULL,
    created_at      timestamptz NOT NULL,
    last_used_at    timestamptz,
    UNIQUE (realm, credential_id)
);
CREATE INDEX passkeys_account ON passkeys (account_id);

-- Codes on paper that stand in for a lost factor. code_hash is keyed with a key that is not in the database.
CREATE TABLE recovery_codes (
    account_id uuid NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    code_hash  bytea NOT NULL,
    created_at timestamptz NOT NULL,
    used_at    timestamptz,
    PRIMARY KEY (account_id, code_hash)
);

-- Challenges that a passkey has answered: each is worth one answer.
CREATE TABLE spent_challenges (
    challenge_hash bytea PRIMARY KEY,
    expires_at     timestamptz NOT NULL
);
CREATE INDEX spent_challenges_expires ON spent_challenges (expires_at);
