-- +goose Up
-- Clients that registered themselves (RFC 7591). metadata is what they registered;
-- version counts the changes, so that replicas notice that what they remember is old.
CREATE TABLE registered_clients (
    realm       text NOT NULL,
    client_id   text NOT NULL,
    metadata    text NOT NULL,
    sector      text NOT NULL DEFAULT '',
    secret_hash bytea,
    access_hash bytea NOT NULL,
    version     bigint NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    PRIMARY KEY (realm, client_id)
);

-- Client assertions that were used (RFC 7523). jti_hash is the SHA-256 of the jti: what
-- a client sends may have any length.
CREATE TABLE client_assertions (
    realm      text NOT NULL,
    client_id  text NOT NULL,
    jti_hash   bytea NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (realm, client_id, jti_hash)
);
CREATE INDEX client_assertions_expires ON client_assertions (expires_at);
