-- +goose Up
-- Back-channel logout tokens that clients still have to get, written in the
-- transaction that ends a session. The token itself is made at each attempt.
CREATE TABLE logout_deliveries (
    id              BLOB PRIMARY KEY,
    realm           TEXT NOT NULL,
    client_id       TEXT NOT NULL,
    session_id      BLOB NOT NULL,
    subject         TEXT NOT NULL,
    uri             TEXT NOT NULL,
    alg             TEXT NOT NULL,
    state           TEXT NOT NULL CHECK (state IN ('queued', 'delivered', 'expired')),
    attempts        INTEGER NOT NULL DEFAULT 0,
    lease_until     INTEGER,
    next_attempt_at INTEGER NOT NULL,
    not_after       INTEGER NOT NULL,
    last_error      TEXT NOT NULL DEFAULT '',
    created_at      INTEGER NOT NULL,
    finished_at     INTEGER
) STRICT;
CREATE INDEX logout_deliveries_due ON logout_deliveries (next_attempt_at) WHERE state = 'queued';
CREATE INDEX logout_deliveries_finished ON logout_deliveries (finished_at);
-- Which clients a session was used for, whatever became of the grants.
CREATE INDEX grants_of_session ON grants (session_id);
