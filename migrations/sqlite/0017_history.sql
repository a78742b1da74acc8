-- +goose Up
-- What happened to an account, newest first, page by page. The index of 0007 is a
-- part of this one.
CREATE INDEX audit_events_history ON audit_events (target, recorded_at, id);
DROP INDEX audit_events_target;
-- Consent is an event about a client; the person who gave it is the actor.
CREATE INDEX audit_events_consent ON audit_events (actor, recorded_at, id) WHERE kind = 'consent.given';

-- What somebody agreed to in a request that is still under way, for taking it back.
CREATE INDEX interactions_consented ON interactions (consented_by) WHERE consented_by IS NOT NULL;
