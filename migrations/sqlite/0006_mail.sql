-- +goose Up
-- Letters, written in the transaction that causes them. sealed holds what the
-- letter says (links included) under the key-encryption key and is emptied when
-- the letter has gone or was given up.
CREATE TABLE mail_outbox (
    id              BLOB PRIMARY KEY,
    realm           TEXT NOT NULL,
    kind            TEXT NOT NULL,
    recipient       TEXT NOT NULL,
    locale          TEXT NOT NULL,
    sealed          BLOB NOT NULL,
    account_id      BLOB,
    ticket_id       BLOB,
    message_id      TEXT NOT NULL,
    state           TEXT NOT NULL CHECK (state IN ('queued', 'sent', 'failed', 'expired', 'cancelled')),
    attempts        INTEGER NOT NULL DEFAULT 0,
    lease_until     INTEGER,
    next_attempt_at INTEGER NOT NULL,
    not_after       INTEGER NOT NULL,
    last_error      TEXT NOT NULL DEFAULT '',
    created_at      INTEGER NOT NULL,
    sent_at         INTEGER,
    finished_at     INTEGER
) STRICT;
CREATE INDEX mail_outbox_due ON mail_outbox (next_attempt_at) WHERE state = 'queued';
CREATE INDEX mail_outbox_ticket ON mail_outbox (ticket_id);
CREATE INDEX mail_outbox_finished ON mail_outbox (finished_at);
