-- +goose Up
-- What happened, in the transaction in which it happened. Rows are never
-- changed; they may be removed after six years.
CREATE TABLE audit_events (
    id          BLOB PRIMARY KEY,
    recorded_at INTEGER NOT NULL,
    realm       TEXT NOT NULL,
    kind        TEXT NOT NULL,
    outcome     TEXT NOT NULL,
    severity    TEXT NOT NULL,
    actor       TEXT NOT NULL DEFAULT '',
    target      TEXT NOT NULL DEFAULT '',
    practice_id TEXT NOT NULL DEFAULT '',
    client_id   TEXT NOT NULL DEFAULT '',
    ip          TEXT NOT NULL DEFAULT '',
    details     TEXT NOT NULL DEFAULT '{}'
) STRICT;
CREATE INDEX audit_events_target ON audit_events (target, recorded_at);
CREATE INDEX audit_events_recorded ON audit_events (recorded_at);

-- Events waiting to be chained: a queue, so that finding them never scans.
CREATE TABLE audit_unchained (
    event_id BLOB PRIMARY KEY
) STRICT;

-- The chain: each link's hash covers the event's digest and the link before it.
CREATE TABLE audit_chain (
    seq      INTEGER PRIMARY KEY,
    event_id BLOB NOT NULL UNIQUE,
    digest   BLOB NOT NULL,
    hash     BLOB NOT NULL
) STRICT;

-- The end of the chain. Whoever locks its row makes the next links.
CREATE TABLE audit_head (
    id   INTEGER PRIMARY KEY CHECK (id = 1),
    seq  INTEGER NOT NULL,
    hash BLOB NOT NULL,
    seal BLOB NOT NULL
) STRICT;
INSERT INTO audit_head (id, seq, hash, seal) VALUES (1, 0, x'', x'');

-- recorded_at counts microseconds since 1970.
-- +goose StatementBegin
CREATE TRIGGER audit_events_no_update BEFORE UPDATE ON audit_events
BEGIN
    SELECT RAISE(ABORT, 'audit rows are append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_events_no_delete BEFORE DELETE ON audit_events
WHEN OLD.recorded_at >= (unixepoch('now', '-6 years')) * 1000000
BEGIN
    SELECT RAISE(ABORT, 'audit rows are append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_chain_no_update BEFORE UPDATE ON audit_chain
BEGIN
    SELECT RAISE(ABORT, 'audit rows are append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_chain_no_delete BEFORE DELETE ON audit_chain
BEGIN
    SELECT RAISE(ABORT, 'audit rows are append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_head_stays BEFORE DELETE ON audit_head
BEGIN
    SELECT RAISE(ABORT, 'audit rows are append-only');
END;
-- +goose StatementEnd
