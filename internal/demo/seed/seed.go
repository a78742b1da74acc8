package seed

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// The two realms of the demo.
const (
	PatientRealm  = "patient"
	PracticeRealm = "practice"
)

// States of an account.
const (
	Active   = "active"
	Invited  = "invited"
	Disabled = "disabled"
)

// Account is one person's sign-in in one realm. Password, Question and Answer
// are empty for somebody invited; Question and Answer for somebody without a
// security question.
type Account struct {
	ID                    uuid.UUID
	Realm                 string
	GivenName, FamilyName string
	Email                 string
	Password              string
	Question, Answer      string // Question is a key of the curated list
	Locale                string
	State                 string
	InvitedBy             uuid.UUID // practice in whose name an invited person was invited
	About                 string    // what makes this person worth trying
	Featured              bool      // worth naming first
}

// PasswordHash is the password as an import from another system brings it.
func (a Account) PasswordHash() string { return hashes[a.Password] }

// Name is the full name.
func (a Account) Name() string { return a.GivenName + " " + a.FamilyName }

// Practice is a clinic.
type Practice struct {
	ID    uuid.UUID
	Name  string
	Phone string
}

// StaffRole is one role of a person of the practice realm in a practice.
type StaffRole struct {
	AccountID, PracticeID uuid.UUID
	Role                  string // administrator, front_desk, viewer, provider
}

// Patient is a person in a practice's care.
type Patient struct {
	ID, PracticeID        uuid.UUID
	AccountNumber         string
	GivenName, FamilyName string
	BirthDate             string // YYYY-MM-DD
}

// Association is a patient's tie to a portal account.
type Association struct {
	ID, PatientID, AccountID uuid.UUID
	Relationship             string // mother, father, parent, guardian, self, other
	Authority                string // full, limited, none
	PortalAccess             bool
	StartsOn, EndsOn         string // YYYY-MM-DD or empty
}

// Data is everything the demo begins with.
type Data struct {
	Practices    []Practice
	Accounts     []Account
	StaffRoles   []StaffRole
	Patients     []Patient
	Associations []Association
}

// Target takes the data into a provider. Every method may be called again with
// the same values: an account that exists under its ID is left alone, whatever
// became of it since; the rest is written as it was. An account that is newly
// made in the state Invited is sent its invitation.
type Target interface {
	Practices(ctx context.Context, list []Practice) error
	// Accounts gets all accounts at once, because hashing their passwords is
	// slow and can be shared among processors.
	Accounts(ctx context.Context, list []Account) error
	StaffRoles(ctx context.Context, list []StaffRole) error
	Patients(ctx context.Context, list []Patient) error
	Associations(ctx context.Context, list []Association) error
}

// Apply puts the data into a provider, each kind after those it refers to.
func Apply(ctx context.Context, t Target, d *Data) error {
	if err := t.Practices(ctx, d.Practices); err != nil {
		return fmt.Errorf("seed practices: %w", err)
	}
	if err := t.Accounts(ctx, d.Accounts); err != nil {
		return fmt.Errorf("seed accounts: %w", err)
	}
	if err := t.StaffRoles(ctx, d.StaffRoles); err != nil {
		return fmt.Errorf("seed staff roles: %w", err)
	}
	if err := t.Patients(ctx, d.Patients); err != nil {
		return fmt.Errorf("seed patients: %w", err)
	}
	if err := t.Associations(ctx, d.Associations); err != nil {
		return fmt.Errorf("seed associations: %w", err)
	}
	return nil
}

// born is the instant in the identifiers; it makes them sort like UUIDv7s that
// were made that day.
var born = time.Date(2025, time.January, 6, 14, 0, 0, 0, time.UTC)

// id makes the same UUIDv7 of the same name every time.
func id(kind, name string) uuid.UUID {
	sum := sha256.Sum256([]byte("portico demo\n" + kind + "\n" + name))
	var u uuid.UUID
	copy(u[:], sum[:16])
	ms := uint64(born.UnixMilli())
	for i := range 6 {
		u[i] = byte(ms >> (8 * (5 - i)))
	}
	u[6] = u[6]&0x0f | 0x70
	u[8] = u[8]&0x3f | 0x80
	return u
}
