-- +goose Up
-- How each client fares that is told about sign-outs: whose turn it is, and how long
-- one that does not answer is left alone. A client with deliveries has a row.
CREATE TABLE logout_clients (
    realm      TEXT NOT NULL,
    client_id  TEXT NOT NULL,
    failures   INTEGER NOT NULL DEFAULT 0,
    not_before INTEGER NOT NULL,
    served_at  INTEGER NOT NULL,
    PRIMARY KEY (realm, client_id)
) STRICT;
INSERT INTO logout_clients (realm, client_id, not_before, served_at)
    SELECT realm, client_id, MIN(created_at), MIN(created_at) FROM logout_deliveries
    WHERE state = 'queued' GROUP BY realm, client_id;

-- sid is the session as the client knows it.
ALTER TABLE logout_deliveries ADD COLUMN sid TEXT NOT NULL DEFAULT '';
DROP INDEX logout_deliveries_due;
CREATE INDEX logout_deliveries_of_client ON logout_deliveries (realm, client_id, next_attempt_at) WHERE state = 'queued';
CREATE INDEX logout_deliveries_leased ON logout_deliveries (realm, client_id, lease_until)
    WHERE state = 'queued' AND lease_until IS NOT NULL;
CREATE INDEX logout_deliveries_over ON logout_deliveries (not_after) WHERE state = 'queued';

-- consented_to is a fingerprint of the client as the person saw it when they agreed.
ALTER TABLE interactions ADD COLUMN consented_to TEXT NOT NULL DEFAULT '';
