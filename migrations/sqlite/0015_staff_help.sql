-- +goose Up
-- Somebody's place among the staff of a practice, as long as they have a role
-- there. It is what is invited, changed and removed; version grows with every
-- change of the roles.
CREATE TABLE staff_members (
    id          BLOB PRIMARY KEY,
    account_id  BLOB NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    practice_id BLOB NOT NULL REFERENCES practices (id) ON DELETE CASCADE,
    version     INTEGER NOT NULL DEFAULT 1,
    created_at  INTEGER NOT NULL,
    UNIQUE (account_id, practice_id)
) STRICT;
CREATE INDEX staff_members_practice ON staff_members (practice_id);
INSERT INTO staff_members (id, account_id, practice_id, created_at)
    SELECT randomblob(16), account_id, practice_id, MIN(granted_at) FROM staff_roles GROUP BY account_id, practice_id;

-- invited_at: staff made the association, no import. attached_at: to an account
-- that was there before, so it gives its practice no power over the account yet.
ALTER TABLE associations ADD COLUMN invited_by BLOB;
ALTER TABLE associations ADD COLUMN invited_at INTEGER;
ALTER TABLE associations ADD COLUMN attached_at INTEGER;

-- One reset link whose security question is not asked, once a second person
-- has agreed. It dies with the link.
CREATE TABLE answer_waivers (
    ticket_id      BLOB PRIMARY KEY REFERENCES recovery_tickets (id) ON DELETE CASCADE,
    practice_id    BLOB NOT NULL,
    requested_by   BLOB NOT NULL,
    requested_at   INTEGER NOT NULL,
    identity_check TEXT NOT NULL,
    approved_by    BLOB,
    approved_at    INTEGER,
    CHECK (approved_by IS NULL OR approved_by <> requested_by),
    CHECK ((approved_by IS NULL) = (approved_at IS NULL))
) STRICT;
