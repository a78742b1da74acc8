-- +goose Up
CREATE TABLE practices (
    id            uuid PRIMARY KEY,
    name          text NOT NULL,
    support_phone text NOT NULL DEFAULT '',
    created_at    timestamptz NOT NULL
);

-- A staff member's role in a practice; the account is one of the practice realm.
CREATE TABLE staff_roles (
    account_id  uuid NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    practice_id uuid NOT NULL REFERENCES practices (id) ON DELETE CASCADE,
    role        text NOT NULL CHECK (role IN ('administrator', 'front_desk', 'viewer', 'provider')),
    granted_at  timestamptz NOT NULL,
    PRIMARY KEY (account_id, practice_id, role)
);
CREATE INDEX staff_roles_practice ON staff_roles (practice_id);

-- A member of staff and an account of the patient realm that are one person:
-- nobody helps themselves to their own account.
CREATE TABLE staff_persons (
    staff_id   uuid NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    account_id uuid NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    PRIMARY KEY (staff_id, account_id)
);
CREATE INDEX staff_persons_account ON staff_persons (account_id);

CREATE TABLE patients (
    id             uuid PRIMARY KEY,
    practice_id    uuid NOT NULL REFERENCES practices (id) ON DELETE CASCADE,
    account_number text NOT NULL,
    given_name     text NOT NULL,
    family_name    text NOT NULL,
    birth_date     text NOT NULL DEFAULT '',
    sort_key       text COLLATE "C" NOT NULL,
    created_at     timestamptz NOT NULL,
    UNIQUE (practice_id, account_number)
);
CREATE INDEX patients_sort ON patients (practice_id, sort_key, id);

-- A patient's tie to a portal account.
CREATE TABLE associations (
    id            uuid PRIMARY KEY,
    patient_id    uuid NOT NULL REFERENCES patients (id) ON DELETE CASCADE,
    account_id    uuid NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    relationship  text NOT NULL CHECK (relationship IN ('mother', 'father', 'parent', 'guardian', 'self', 'other')),
    authority     text NOT NULL CHECK (authority IN ('full', 'limited', 'none')),
    portal_access boolean NOT NULL DEFAULT true,
    starts_on     text NOT NULL DEFAULT '',
    ends_on       text NOT NULL DEFAULT '',
    created_at    timestamptz NOT NULL,
    UNIQUE (patient_id, account_id)
);
CREATE INDEX associations_account ON associations (account_id);

-- Folded words by which a patient is found. kind 'patient' holds the patient's
-- own name; kind 'account' the guardians' names and login emails and the account number.
CREATE TABLE patient_search_keys (
    practice_id uuid NOT NULL REFERENCES practices (id) ON DELETE CASCADE,
    kind        text COLLATE "C" NOT NULL CHECK (kind IN ('patient', 'account')),
    search_key  text COLLATE "C" NOT NULL,
    patient_id  uuid NOT NULL REFERENCES patients (id) ON DELETE CASCADE,
    PRIMARY KEY (practice_id, kind, search_key, patient_id)
);
CREATE INDEX patient_search_keys_patient ON patient_search_keys (patient_id);
