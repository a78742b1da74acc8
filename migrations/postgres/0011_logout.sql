-- +goose Up
-- Back-channel logout tokens that clients still have to get, written in the
-- transaction that ends a session. The token itself is made at each attempt.
CREATE TABLE logout_deliveries (
    id              uuid PRIMARY KEY,
    realm           text NOT NULL,
    client_id       text NOT NULL,
    session_id      uuid NOT NULL,
    subject         text NOT NULL,
    uri             text NOT NULL,
    alg             text NOT NULL,
    state           text NOT NULL CHECK (state IN ('queued', 'delivered', 'expired')),
    attempts        bigint NOT NULL DEFAULT 0,
    lease_until     timestamptz,
    next_attempt_at timestamptz NOT NULL,
    not_after       timestamptz NOT NULL,
    last_error      text NOT NULL DEFAULT '',
    created_at      timestamptz NOT NULL,
    finished_at     timestamptz
);
CREATE INDEX logout_deliveries_due ON logout_deliveries (next_attempt_at) WHERE state = 'queued';
CREATE INDEX logout_deliveries_finished ON logout_deliveries (finished_at);
-- Which clients a session was used for, whatever became of the grants.
CREATE INDEX grants_of_session ON grants (session_id);
