-- +goose Up
-- Authorization requests that were pushed (RFC 9126), without what the client
-- authenticated with. A row may be shown until valid_until and is used up by the
-- answer it led to; it stays until expires_at, for the sign-ins it began.
CREATE TABLE pushed_requests (
    request_hash bytea PRIMARY KEY,
    realm        text NOT NULL,
    client_id    text NOT NULL,
    request      text NOT NULL,
    created_at   timestamptz NOT NULL,
    valid_until  timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    used_at      timestamptz
);
CREATE INDEX pushed_requests_expires ON pushed_requests (expires_at);
ALTER TABLE interactions ADD COLUMN pushed_hash bytea;
