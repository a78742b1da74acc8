-- +goose Up
-- Which clients a session was used for: whom to tell when it ends. A kept session outlives its
-- grants, so this is not found there.
CREATE TABLE session_clients (
    session_id uuid NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    realm      text NOT NULL,
    client_id  text NOT NULL,
    PRIMARY KEY (session_id, realm, client_id)
);
INSERT INTO session_clients (session_id, realm, client_id)
    SELECT DISTINCT s.id, g.realm, g.client_id FROM grants g JOIN sessions s ON s.id = g.session_id;
DROP INDEX grants_of_session;

-- unused_since: from when on a client that registered itself has waited for its first tokens.
-- NULL once it had some. Those of before start waiting now, unless they certainly had some.
ALTER TABLE registered_clients ADD COLUMN unused_since timestamptz;
UPDATE registered_clients SET unused_since = now()
    WHERE NOT EXISTS (SELECT 1 FROM grants g WHERE g.realm = registered_clients.realm AND g.client_id = registered_clients.client_id)
    AND NOT EXISTS (SELECT 1 FROM consents k WHERE k.realm = registered_clients.realm AND k.client_id = registered_clients.client_id);
CREATE INDEX registered_clients_unused ON registered_clients (realm, unused_since) WHERE unused_since IS NOT NULL;

-- What people agreed to goes with its client.
CREATE INDEX consents_client ON consents (realm, client_id);
