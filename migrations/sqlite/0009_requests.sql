-- +goose Up
-- Authorization requests that were pushed (RFC 9126), without what the client
-- authenticated with. A row may be shown until valid_until and is used up by the
-- answer it led to; it stays until expires_at, for the sign-ins it began.
CREATE TABLE pushed_requests (
    request_hash BLOB PRIMARY KEY,
    realm        TEXT NOT NULL,
    client_id    TEXT NOT NULL,
    request      TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    valid_until  INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    used_at      INTEGER
) STRICT;
CREATE INDEX pushed_requests_expires ON pushed_requests (expires_at);
ALTER TABLE interactions ADD COLUMN pushed_hash BLOB;
