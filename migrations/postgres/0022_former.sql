-- +goose Up
-- The login emails that an account had before: whose an address is or was, in
-- one step, however long ago it was changed and however much the trail has.
CREATE TABLE former_emails (
    account_id  uuid NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    email       text NOT NULL,
    replaced_at timestamptz NOT NULL,
    PRIMARY KEY (account_id, email)
);
WITH changes AS MATERIALIZED (SELECT * FROM audit_events WHERE kind = 'email.changed'),
    former AS MATERIALIZED (SELECT realm, target, recorded_at, details::json ->> 'from' AS email FROM changes)
INSERT INTO former_emails (account_id, email, replaced_at)
    SELECT a.id, f.email, MAX(f.recorded_at) FROM former f
    JOIN accounts a ON 'account:' || a.id::text = f.target AND a.realm = f.realm
    WHERE f.email <> '' GROUP BY a.id, f.email;

-- What happened to an account, by kind: what strangers add to somebody's events,
-- failed sign-ins for one, stands in the way of nothing else.
CREATE INDEX audit_events_kind ON audit_events (target, kind, recorded_at, id);
DROP INDEX audit_events_history;

-- A frozen account distrusts what is newer than the oldest notice whose link
-- worked, not than the one whose link was used.
UPDATE accounts SET frozen_notice_at = (SELECT MIN(f.created_at) FROM freeze_links f WHERE f.account_id = accounts.id)
    WHERE frozen_at IS NOT NULL AND EXISTS (SELECT 1 FROM freeze_links f
        WHERE f.account_id = accounts.id AND f.created_at < COALESCE(frozen_notice_at, frozen_at));
