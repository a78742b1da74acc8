-- +goose Up
-- Letters, written in the transaction that causes them. sealed holds what the
-- letter says (links included) under the key-encryption key and is emptied when
-- the letter has gone or was given up.
CREATE TABLE mail_outbox (
    id              uuid PRIMARY KEY,
    realm           text NOT NULL,
    kind            text NOT NULL,
    recipient       text NOT NULL,
    locale          text NOT NULL,
    sealed          bytea NOT NULL,
    account_id      uuid,
    ticket_id       uuid,
    message_id      text NOT NULL,
    state           text NOT NULL CHECK (state IN ('queued', 'sent', 'failed', 'expired', 'cancelled')),
    attempts        bigint NOT NULL DEFAULT 0,
    lease_until     timestamptz,
    next_attempt_at timestamptz NOT NULL,
    not_after       timestamptz NOT NULL,
    last_error      text NOT NULL DEFAULT '',
    created_at      timestamptz NOT NULL,
    sent_at         timestamptz,
    finished_at     timestamptz
);
CREATE INDEX mail_outbox_due ON mail_outbox (next_attempt_at) WHERE state = 'queued';
CREATE INDEX mail_outbox_ticket ON mail_outbox (ticket_id);
CREATE INDEX mail_outbox_finished ON mail_outbox (finished_at);
