-- +goose Up
CREATE TABLE practices (
    id            BLOB PRIMARY KEY,
    name          TEXT NOT NULL,
    support_phone TEXT NOT NULL DEFAULT '',
    created_at    INTEGER NOT NULL
) STRICT;

-- A staff member's role in a practice; the account is one of the practice realm.
CREATE TABLE staff_roles (
    account_id  BLOB NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    practice_id BLOB NOT NULL REFERENCES practices (id) ON DELETE CASCADE,
    role        TEXT NOT NULL CHECK (role IN ('administrator', 'front_desk', 'viewer', 'provider')),
    granted_at  INTEGER NOT NULL,
    PRIMARY KEY (account_id, practice_id, role)
) STRICT;
CREATE INDEX staff_roles_practice ON staff_roles (practice_id);

-- A member of staff and an account of the patient realm that are one person:
-- nobody helps themselves to their own account.
CREATE TABLE staff_persons (
    staff_id   BLOB NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    account_id BLOB NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    PRIMARY KEY (staff_id, account_id)
) STRICT;
CREATE INDEX staff_persons_account ON staff_persons (account_id);

CREATE TABLE patients (
    id             BLOB PRIMARY KEY,
    practice_id    BLOB NOT NULL REFERENCES practices (id) ON DELETE CASCADE,
    account_number TEXT NOT NULL,
    given_name     TEXT NOT NULL,
    family_name    TEXT NOT NULL,
    birth_date     TEXT NOT NULL DEFAULT '',
    sort_key       TEXT NOT NULL,
    created_at     INTEGER NOT NULL,
    UNIQUE (practice_id, account_number)
) STRICT;
CREATE INDEX patients_sort ON patients (practice_id, sort_key, id);

-- A patient's tie to a portal account.
CREATE TABLE associations (
    id            BLOB PRIMARY KEY,
    patient_id    BLOB NOT NULL REFERENCES patients (id) ON DELETE CASCADE,
    account_id    BLOB NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    relationship  TEXT NOT NULL CHECK (relationship IN ('mother', 'father', 'parent', 'guardian', 'self', 'other')),
    authority     TEXT NOT NULL CHECK (authority IN ('full', 'limited', 'none')),
    portal_access INTEGER NOT NULL DEFAULT 1,
    starts_on     TEXT NOT NULL DEFAULT '',
    ends_on       TEXT NOT NULL DEFAULT '',
    created_at    INTEGER NOT NULL,
    UNIQUE (patient_id, account_id)
) STRICT;
CREATE INDEX associations_account ON associations (account_id);

-- Folded words by which a patient is found. kind 'patient' holds the patient's
-- own name; kind 'account' the guardians' names and login emails and the account number.
CREATE TABLE patient_search_keys (
    practice_id BLOB NOT NULL REFERENCES practices (id) ON DELETE CASCADE,
    kind        TEXT NOT NULL CHECK (kind IN ('patient', 'account')),
    search_key  TEXT NOT NULL,
    patient_id  BLOB NOT NULL REFERENCES patients (id) ON DELETE CASCADE,
    PRIMARY KEY (practice_id, kind, search_key, patient_id)
) STRICT;
CREATE INDEX patient_search_keys_patient ON patient_search_keys (patient_id);
