-- +goose Up
-- A forgot-password form that was sent. The request only writes this row; the
-- worker looks the person up afterwards, so every answer takes the same time.
CREATE TABLE recovery_requests (
    id           uuid PRIMARY KEY,
    realm        text NOT NULL,
    email        text NOT NULL,
    client_id    text NOT NULL DEFAULT '',
    locale       text NOT NULL DEFAULT '',
    network      text NOT NULL DEFAULT '',
    created_at   timestamptz NOT NULL,
    processed_at timestamptz
);
CREATE INDEX recovery_requests_waiting ON recovery_requests (created_at) WHERE processed_at IS NULL;
CREATE INDEX recovery_requests_created ON recovery_requests (created_at);

-- One permission to reset a password: the e-mailed link, spent once.
CREATE TABLE recovery_tickets (
    id                 uuid PRIMARY KEY,
    realm              text NOT NULL,
    account_id         uuid NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    token_hash         bytea NOT NULL UNIQUE,
    origin             text NOT NULL CHECK (origin IN ('self_service', 'staff')),
    email              text NOT NULL,
    credential_version bigint NOT NULL,
    client_id          text NOT NULL DEFAULT '',
    requested_by       uuid,
    practice_id        uuid,
    association_id     uuid,
    reason             text NOT NULL DEFAULT '',
    answer_attempts    bigint NOT NULL DEFAULT 0,
    created_at         timestamptz NOT NULL,
    expires_at         timestamptz NOT NULL,
    opened_at          timestamptz,
    answered_wrong_at  timestamptz,
    answered_at        timestamptz,
    used_at            timestamptz,
    voided_at          timestamptz,
    void_reason        text NOT NULL DEFAULT ''
);
CREATE INDEX recovery_tickets_account ON recovery_tickets (account_id, created_at);
CREATE INDEX recovery_tickets_association ON recovery_tickets (association_id, created_at);
CREATE INDEX recovery_tickets_realm ON recovery_tickets (realm, created_at);
CREATE INDEX recovery_tickets_expires ON recovery_tickets (expires_at);

-- One browser's walk through a link: opened, answered.
CREATE TABLE recovery_flows (
    flow_hash   bytea PRIMARY KEY,
    ticket_id   uuid NOT NULL REFERENCES recovery_tickets (id) ON DELETE CASCADE,
    answered_at timestamptz,
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL
);
CREATE INDEX recovery_flows_ticket ON recovery_flows (ticket_id);
CREATE INDEX recovery_flows_expires ON recovery_flows (expires_at);

-- A try at the security question, written before the answer is verified and
-- removed when it was right: what is left counts against the account, over all
-- links.
CREATE TABLE recovery_attempts (
    id           uuid PRIMARY KEY,
    account_id   uuid NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    ticket_id    uuid NOT NULL REFERENCES recovery_tickets (id) ON DELETE CASCADE,
    attempted_at timestamptz NOT NULL
);
CREATE INDEX recovery_attempts_account ON recovery_attempts (account_id, attempted_at);
CREATE INDEX recovery_attempts_attempted ON recovery_attempts (attempted_at);
