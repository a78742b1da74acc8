-- +goose Up
-- Counters shared by replicas: a row per key and slice of its window, and one
-- at time zero that serves as the key's lock.
CREATE TABLE rate_counters (
    counter_key TEXT NOT NULL,
    window_at   INTEGER NOT NULL,
    hits        INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    PRIMARY KEY (counter_key, window_at)
) STRICT;
CREATE INDEX rate_counters_expires ON rate_counters (expires_at);

-- Failed sign-ins in a row, per account and network.
CREATE TABLE rate_delays (
    counter_key TEXT PRIMARY KEY,
    failures    INTEGER NOT NULL,
    last_at     INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX rate_delays_expires ON rate_delays (expires_at);

-- Answers kept for repeated admin requests with the same Idempotency-Key.
CREATE TABLE idempotency_keys (
    actor_id   BLOB NOT NULL,
    key        TEXT NOT NULL,
    body_hash  BLOB NOT NULL,
    status     INTEGER NOT NULL,
    response   TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (actor_id, key)
) STRICT;
CREATE INDEX idempotency_keys_expires ON idempotency_keys (expires_at);
