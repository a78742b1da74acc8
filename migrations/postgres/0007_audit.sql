-- +goose Up
-- What happened, in the transaction in which it happened. Rows are never
-- changed; they may be removed after six years.
CREATE TABLE audit_events (
    id          uuid PRIMARY KEY,
    recorded_at timestamptz NOT NULL,
    realm       text NOT NULL,
    kind        text NOT NULL,
    outcome     text NOT NULL,
    severity    text NOT NULL,
    actor       text NOT NULL DEFAULT '',
    target      text NOT NULL DEFAULT '',
    practice_id text NOT NULL DEFAULT '',
    client_id   text NOT NULL DEFAULT '',
    ip          text NOT NULL DEFAULT '',
    details     text NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_events_target ON audit_events (target, recorded_at);
CREATE INDEX audit_events_recorded ON audit_events (recorded_at);

-- Events waiting to be chained: a queue, so that finding them never scans.
CREATE TABLE audit_unchained (
    event_id uuid PRIMARY KEY
);

-- The chain: each link's hash covers the event's digest and the link before it.
CREATE TABLE audit_chain (
    seq      bigint PRIMARY KEY,
    event_id uuid NOT NULL UNIQUE,
    digest   bytea NOT NULL,
    hash     bytea NOT NULL
);

-- The end of the chain. Whoever locks its row makes the next links.
CREATE TABLE audit_head (
    id   bigint PRIMARY KEY CHECK (id = 1),
    seq  bigint NOT NULL,
    hash bytea NOT NULL,
    seal bytea NOT NULL
);
INSERT INTO audit_head (id, seq, hash, seal) VALUES (1, 0, '', '');

-- +goose StatementBegin
CREATE FUNCTION portico_audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND TG_TABLE_NAME = 'audit_events' THEN
        IF OLD.recorded_at < now() - interval '6 years' THEN
            RETURN OLD;
        END IF;
    END IF;
    RAISE EXCEPTION 'audit rows are append-only';
END $$;
-- +goose StatementEnd
CREATE TRIGGER audit_events_append_only BEFORE UPDATE OR DELETE ON audit_events
    FOR EACH ROW EXECUTE FUNCTION portico_audit_is_append_only();
CREATE TRIGGER audit_events_no_truncate BEFORE TRUNCATE ON audit_events
    FOR EACH STATEMENT EXECUTE FUNCTION portico_audit_is_append_only();
CREATE TRIGGER audit_chain_append_only BEFORE UPDATE OR DELETE ON audit_chain
    FOR EACH ROW EXECUTE FUNCTION portico_audit_is_append_only();
CREATE TRIGGER audit_chain_no_truncate BEFORE TRUNCATE ON audit_chain
    FOR EACH STATEMENT EXECUTE FUNCTION portico_audit_is_append_only();
CREATE TRIGGER audit_head_stays BEFORE DELETE ON audit_head
    FOR EACH ROW EXECUTE FUNCTION portico_audit_is_append_only();
