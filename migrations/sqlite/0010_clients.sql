-- +goose Up
-- Clients that registered themselves (RFC 7591). metadata is what they registered;
-- version counts the changes, so that replicas notice that what they remember is old.
CREATE TABLE registered_clients (
    realm       TEXT NOT NULL,
    client_id   TEXT NOT NULL,
    metadata    TEXT NOT NULL,
    sector      TEXT NOT NULL DEFAULT '',
    secret_hash BLOB,
    access_hash BLOB NOT NULL,
    version     INTEGER NOT NULL DEFAULT 1,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    PRIMARY KEY (realm, client_id)
) STRICT;

-- Client assertions that were used (RFC 7523). jti_hash is the SHA-256 of the jti: what
-- a client sends may have any length.
CREATE TABLE client_assertions (
    realm      TEXT NOT NULL,
    client_id  TEXT NOT NULL,
    jti_hash   BLOB NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (realm, client_id, jti_hash)
) STRICT;
CREATE INDEX client_assertions_expires ON client_assertions (expires_at);
