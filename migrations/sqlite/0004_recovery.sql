-- +goose Up
-- A forgot-password form that was sent. The request only writes this row; the
-- worker looks the person up afterwards, so every answer takes the same time.
CREATE TABLE recovery_requests (
    id           BLOB PRIMARY KEY,
    realm        TEXT NOT NULL,
    email        TEXT NOT NULL,
    client_id    TEXT NOT NULL DEFAULT '',
    locale       TEXT NOT NULL DEFAULT '',
    network      TEXT NOT NULL DEFAULT '',
    created_at   INTEGER NOT NULL,
    processed_at INTEGER
) STRICT;
CREATE INDEX recovery_requests_waiting ON recovery_requests (created_at) WHERE processed_at IS NULL;
CREATE INDEX recovery_requests_created ON recovery_requests (created_at);

-- One permission to reset a password: the e-mailed link, spent once.
CREATE TABLE recovery_tickets (
    id                 BLOB PRIMARY KEY,
    realm              TEXT NOT NULL,
    account_id         BLOB NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    token_hash         BLOB NOT NULL UNIQUE,
    origin             TEXT NOT NULL CHECK (origin IN ('self_service', 'staff')),
    email              TEXT NOT NULL,
    credential_version INTEGER NOT NULL,
    client_id          TEXT NOT NULL DEFAULT '',
    requested_by       BLOB,
    practice_id        BLOB,
    association_id     BLOB,
    reason             TEXT NOT NULL DEFAULT '',
    answer_attempts    INTEGER NOT NULL DEFAULT 0,
    created_at         INTEGER NOT NULL,
    expires_at         INTEGER NOT NULL,
    opened_at          INTEGER,
    answered_wrong_at  INTEGER,
    answered_at        INTEGER,
    used_at            INTEGER,
    voided_at          INTEGER,
    void_reason        TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX recovery_tickets_account ON recovery_tickets (account_id, created_at);
CREATE INDEX recovery_tickets_association ON recovery_tickets (association_id, created_at);
CREATE INDEX recovery_tickets_realm ON recovery_tickets (realm, created_at);
CREATE INDEX recovery_tickets_expires ON recovery_tickets (expires_at);

-- One browser's walk through a link: opened, answered.
CREATE TABLE recovery_flows (
    flow_hash   BLOB PRIMARY KEY,
    ticket_id   BLOB NOT NULL REFERENCES recovery_tickets (id) ON DELETE CASCADE,
    answered_at INTEGER,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX recovery_flows_ticket ON recovery_flows (ticket_id);
CREATE INDEX recovery_flows_expires ON recovery_flows (expires_at);

-- A try at the security question, written before the answer is verified and
-- removed when it was right: what is left counts against the account, over all
-- links.
CREATE TABLE recovery_attempts (
    id           BLOB PRIMARY KEY,
    account_id   BLOB NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    ticket_id    BLOB NOT NULL REFERENCES recovery_tickets (id) ON DELETE CASCADE,
    attempted_at INTEGER NOT NULL
) STRICT;
CREATE INDEX recovery_attempts_account ON recovery_attempts (account_id, attempted_at);
CREATE INDEX recovery_attempts_attempted ON recovery_attempts (attempted_at);
