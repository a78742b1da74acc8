-- +goose Up
-- granted_by: the member of staff who gave a role; none: an import did.
ALTER TABLE staff_roles ADD COLUMN granted_by uuid;

-- What staff typed when they tied a patient to an account that was there before,
-- or made its owner a colleague. It stands for the account until its owner has
-- signed in since.
ALTER TABLE associations ADD COLUMN invited_email text NOT NULL DEFAULT '';
ALTER TABLE associations ADD COLUMN invited_name text NOT NULL DEFAULT '';
ALTER TABLE associations ADD COLUMN invited_locale text NOT NULL DEFAULT '';
CREATE INDEX associations_invited ON associations (account_id) WHERE invited_email <> '';
ALTER TABLE staff_members ADD COLUMN invited_email text NOT NULL DEFAULT '';
ALTER TABLE staff_members ADD COLUMN invited_name text NOT NULL DEFAULT '';

-- Who was invited in the last day or so, by which practice.
CREATE TABLE practice_invitations (
    id          uuid PRIMARY KEY,
    practice_id uuid NOT NULL REFERENCES practices (id) ON DELETE CASCADE,
    account_id  uuid NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    sent_at     timestamptz NOT NULL
);
CREATE INDEX practice_invitations_practice ON practice_invitations (practice_id, sent_at);
CREATE INDEX practice_invitations_account ON practice_invitations (account_id, sent_at);
CREATE INDEX practice_invitations_sent ON practice_invitations (sent_at);
