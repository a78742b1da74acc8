package practice

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/database"
)

// What callers test with errors.Is.
var (
	// ErrNotFound: there is no such thing, or the person who asks has no role
	// in its practice. Nobody can tell which.
	ErrNotFound = errors.New("not found")
	// ErrAccount: the account does not exist or belongs to another realm.
	ErrAccount = errors.New("no such account in the realm")
	// ErrValue: something to be stored is empty, too long or malformed.
	ErrValue = errors.New("value cannot be stored")
	// ErrVersion: what is to be changed has changed since it was read.
	ErrVersion = errors.New("changed in the meantime")
	// ErrLastAdministrator: nobody would be left who manages the staff.
	ErrLastAdministrator = errors.New("the practice's last administrator")
	// ErrExists: the patient is tied to the account already.
	ErrExists = errors.New("the association exists already")
)

// Realms names the realm of guardians and the realm of staff.
type Realms struct{ Patient, Practice string }

// Store reads and writes practices, staff roles, patients and associations.
type Store struct {
	db     *database.DB
	realms Realms
	audit  *audit.Log
}

// New makes a store. Accounts of other realms than the two named are never
// read.
func New(db *database.DB, realms Realms, trail *audit.Log) *Store {
	return &Store{db: db, realms: realms, audit: trail}
}

// Who says who acts and from where, for the audit trail.
type Who struct{ Actor, ClientID, IP string }

// account is the acting person's, or nil.
func (w Who) account() *uuid.UUID {
	id, err := uuid.Parse(strings.TrimPrefix(w.Actor, "account:"))
	if err != nil {
		return nil
	}
	return &id
}

// Practice is a clinic.
type Practice struct {
	ID           uuid.UUID
	Name         string
	SupportPhone string // whom guardians call, as it is printed in letters
}

// Patient is a person in a practice's care.
type Patient struct {
	ID            uuid.UUID
	PracticeID    uuid.UUID
	AccountNumber string // in the practice's health-record system
	GivenName     string
	FamilyName    string
	BirthDate     string // YYYY-MM-DD or empty
}

// Association is a patient's tie to an account of the patient realm.
type Association struct {
	ID           uuid.UUID
	PatientID    uuid.UUID
	AccountID    uuid.UUID
	Relationship string // mother, father, parent, guardian, self, other
	Authority    string // full, limited, none
	PortalAccess bool
	StartsOn     string // YYYY-MM-DD or empty: since ever
	EndsOn       string // YYYY-MM-DD, the last day; empty: open
}

// UpsertPractice writes a practice under its ID.
func (s *Store) UpsertPractice(ctx context.Context, p Practice) error {
	if err := check(text("name", p.Name), length("support phone", p.SupportPhone)); err != nil {
		return err
	}
	_, err := s.db.Exec(ctx, `
		INSERT INTO practices (id, name, support_phone, created_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (id) DO UPDATE SET name = excluded.name, support_phone = excluded.support_phone`,
		p.ID, p.Name, p.SupportPhone, s.db.Now(ctx))
	if err != nil {
		return fmt.Errorf("write practice: %w", err)
	}
	return nil
}

// UpsertPatient writes a patient, known by practice and account number, and
// the keys by which they are found. It returns the patient's ID: p.ID (or a new
// one when that is empty) for a new patient, otherwise the one the patient has.
func (s *Store) UpsertPatient(ctx context.Context, p Patient) (uuid.UUID, error) {
	if err := check(text("account number", p.AccountNumber), text("given name", p.GivenName),
		text("family name", p.FamilyName), date("birth date", p.BirthDate)); err != nil {
		return uuid.Nil, err
	}
	if p.ID == uuid.Nil {
		p.ID = database.NewID()
	}
	err := s.db.InTx(ctx, func(ctx context.Context) error {
		err := s.db.QueryRow(ctx, `
			INSERT INTO patients (id, practice_id, account_number, given_name, family_name, birth_date, sort_key, created_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
			ON CONFLICT (practice_id, account_number) DO UPDATE SET given_name = excluded.given_name,
				family_name = excluded.family_name, birth_date = excluded.birth_date, sort_key = excluded.sort_key
			RETURNING id`,
			p.ID, p.PracticeID, p.AccountNumber, p.GivenName, p.FamilyName, p.BirthDate,
			sortKey(p.GivenName, p.FamilyName), s.db.Now(ctx)).Scan(&p.ID)
		if err != nil {
			return fmt.Errorf("write patient: %w", err)
		}
		return s.index(ctx, p.ID)
	})
	return p.ID, err
}

// UpsertAssociation writes a patient's tie to an account, known by the two,
// and the keys by which the patient is found through it. It returns the
// association's ID, as UpsertPatient does. From then on it is the import's,
// also when staff had made it. ErrAccount when the account is not one of the
// patient realm.
func (s *Store) UpsertAssociation(ctx context.Context, a Association) (uuid.UUID, error) {
	if err := check(date("start", a.StartsOn), date("end", a.EndsOn)); err != nil {
		return uuid.Nil, err
	}
	if a.ID == uuid.Nil {
		a.ID = database.NewID()
	}
	err := s.db.InTx(ctx, func(ctx context.Context) error {
		if err := s.inRealm(ctx, a.AccountID, s.realms.Patient); err != nil {
			return err
		}
		err := s.db.QueryRow(ctx, `
			INSERT INTO associations (id, patient_id, account_id, relationship, authority, portal_access, starts_on, ends_on, created_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
			ON CONFLICT (patient_id, account_id) DO UPDATE SET relationship = excluded.relationship,
				authority = excluded.authority, portal_access = excluded.portal_access,
				starts_on = excluded.starts_on, ends_on = excluded.ends_on,
				invited_by = NULL, invited_at = NULL, attached_at = NULL,
				invited_email = '', invited_name = '', invited_locale = ''
			RETURNING id`,
			a.ID, a.PatientID, a.AccountID, a.Relationship, a.Authority, a.PortalAccess, a.StartsOn, a.EndsOn,
			s.db.Now(ctx)).Scan(&a.ID)
		if err != nil {
			return fmt.Errorf("write association: %w", err)
		}
		return s.index(ctx, a.PatientID)
	})
	return a.ID, err
}

func (s *Store) inRealm(ctx context.Context, account uuid.UUID, realm string) error {
	var id uuid.UUID
	err := s.db.QueryRow(ctx, `SELECT id FROM accounts WHERE id = $1 AND realm = $2`, account, realm).Scan(&id)
	if errors.Is(err, database.ErrNoRows) {
		return fmt.Errorf("%w %s", ErrAccount, realm)
	}
	if err != nil {
		return fmt.Errorf("find account: %w", err)
	}
	return nil
}

// maxText bounds names and numbers, in code points.
const maxText = 200

func check(errs ...error) error { return errors.Join(errs...) }

func text(what, value string) error {
	if value == "" {
		return fmt.Errorf("%w: %s is empty", ErrValue, what)
	}
	return length(what, value)
}

func length(what, value string) error {
	if !utf8.ValidString(value) || strings.ContainsRune(value, 0) || utf8.RuneCountInString(value) > maxText {
		return fmt.Errorf("%w: %s is longer than %d characters or no text", ErrValue, what, maxText)
	}
	return nil
}

func date(what, value string) error {
	if value == "" {
		return nil
	}
	if _, err := time.Parse(time.DateOnly, value); err != nil {
		return fmt.Errorf("%w: %s is no date like 2019-03-27", ErrValue, what)
	}
	return nil
}
