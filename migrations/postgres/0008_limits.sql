-- +goose Up
-- Counters shared by replicas: a row per key and slice of its window, and one
-- at time zero that serves as the key's lock.
CREATE TABLE rate_counters (
    counter_key text COLLATE "C" NOT NULL,
    window_at   timestamptz NOT NULL,
    hits        bigint NOT NULL,
    expires_at  timestamptz NOT NULL,
    PRIMARY KEY (counter_key, window_at)
);
CREATE INDEX rate_counters_expires ON rate_counters (expires_at);

-- Failed sign-ins in a row, per account and network.
CREATE TABLE rate_delays (
    counter_key text COLLATE "C" PRIMARY KEY,
    failures    bigint NOT NULL,
    last_at     timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL
);
CREATE INDEX rate_delays_expires ON rate_delays (expires_at);

-- Answers kept for repeated admin requests with the same Idempotency-Key.
CREATE TABLE idempotency_keys (
    actor_id   uuid NOT NULL,
    key        text NOT NULL,
    body_hash  bytea NOT NULL,
    status     bigint NOT NULL,
    response   text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (actor_id, key)
);
CREATE INDEX idempotency_keys_expires ON idempotency_keys (expires_at);
