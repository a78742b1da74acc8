package account

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/google/uuid"
)

// State says whether a person can use an account.
type State string

// An account is invited until its person has chosen a password and a security
// question; active from then on; disabled when staff or operators closed it.
const (
	Invited  State = "invited"
	Active   State = "active"
	Disabled State = "disabled"
)

// What callers test with errors.Is.
var (
	// ErrEmail says that a text is no login email this system accepts.
	ErrEmail = errors.New("not an email address")
	// ErrEmailTaken says that another account of the realm has the login email.
	ErrEmailTaken = errors.New("the login email is taken")
	// ErrNotFound says that the realm has no such account.
	ErrNotFound = errors.New("no such account")
	// ErrCredentials is the one answer to an unknown email, a wrong password
	// and an account that is not active.
	ErrCredentials = errors.New("email and password do not match an account")
	// ErrVersion says that the account changed since the caller read it.
	ErrVersion = errors.New("the account has changed in the meantime")
	// ErrState says that an account is not in the state an action needs.
	ErrState = errors.New("the account is not in the right state")
	// ErrFrozen says that somebody has said "this wasn't me" and the practice
	// has not helped yet. It is an ErrState.
	ErrFrozen = fmt.Errorf("%w: it is frozen", ErrState)
	// ErrInvitation says that an invitation is unknown, expired, used or replaced.
	ErrInvitation = errors.New("the invitation does not work any more")
	// ErrQuestion says that a question is not one of the list.
	ErrQuestion = errors.New("not a question of the list")
	// ErrAnswerEmpty says that nothing is left of an answer once folded.
	ErrAnswerEmpty = errors.New("the answer is empty")
	// ErrAnswerLong says that an answer is longer than any honest one.
	ErrAnswerLong = errors.New("the answer is too long")
	// ErrAnswerObvious says that an answer repeats the email, the password or
	// the question.
	ErrAnswerObvious = errors.New("the answer repeats the email, the password or the question")
)

// Account is one person's sign-in in one realm. It holds no secret.
type Account struct {
	ID            uuid.UUID
	Realm         string
	LoginEmail    string // as NormalizeEmail made it
	EmailVerified bool
	State         State
	GivenName     string
	FamilyName    string
	Name          string
	Locale        string          // "" until the person or an import has said
	Profile       json.RawMessage // further OpenID Connect claims (Core §5.1), an object

	CredentialVersion int64 // grows with every change of what proves the person
	Version           int64 // grows with every change that callers can see

	EmailChangedAt      *time.Time
	RecoveryLockedUntil *time.Time
	FrozenAt            *time.Time // since when nobody gets in until the practice has helped
	FrozenNoticeAt      *time.Time // the oldest notice whose link worked then: what is newer is not trusted
	LastSignedInAt      *time.Time
	CreatedAt           time.Time
	UpdatedAt           time.Time
}

// Actor is how the audit trail names the account.
func (a Account) Actor() string { return Actor(a.ID) }

// Actor is how the audit trail names an account.
func Actor(id uuid.UUID) string { return "account:" + id.String() }

// DisplayName is what the account's own pages call the person.
func (a Account) DisplayName() string {
	switch {
	case a.Name != "":
		return a.Name
	case a.GivenName != "" && a.FamilyName != "":
		return a.GivenName + " " + a.FamilyName
	case a.GivenName != "":
		return a.GivenName
	case a.FamilyName != "":
		return a.FamilyName
	}
	return a.LoginEmail
}

// New describes an account to be created.
type New struct {
	ID            uuid.UUID // uuid.Nil: a new one
	LoginEmail    string
	EmailVerified bool
	State         State // Invited, or Active with Password or PasswordHash
	GivenName     string
	FamilyName    string
	Name          string
	Locale        string
	Profile       json.RawMessage
	Password      string // Active only; judged like any other
	PasswordHash  string // instead, brought along from another system: see password.CheckImported
	Question      string // key of a question, with Answer; "" leaves the account without
	Answer        string
}

// By says who acts on an account and from where, for the audit trail and the
// letters.
type By struct {
	Actor      string // "account:<uuid>", "client:<id>", "system", "anonymous"
	Name       string // how a letter names the actor, "" for nobody
	PracticeID string
	Practice   string // its name, and its phone for the letter to the person
	Phone      string
	ClientID   string
	IP         string
	Device     string // "Safari, iPhone"
	Reason     string // what the actor gave as a reason
}

// Details adds to those of an event on which device it happened, for the
// person's history.
func (b By) Details(details map[string]any) map[string]any {
	if b.Device == "" {
		return details
	}
	all := map[string]any{"device": b.Device}
	maps.Copy(all, details)
	return all
}

// Why names the journey on which a password is set.
type Why string

// The three journeys that end in ReplacePassword.
const (
	Activation Why = "activation"
	Change     Why = "change"
	Recovery   Why = "recovery"
)

// Reason says on which journey and by whom a password is replaced.
type Reason struct {
	Why Why
	By  By
}

// Refusal is the error of Authenticate. It is ErrCredentials to everybody but
// the audit trail.
type Refusal struct {
	AccountID uuid.UUID // uuid.Nil for an unknown address
	Why       string    // "unknown", "no_password", "not_active", "frozen", "wrong_password"
}

// Error says no more than ErrCredentials.
func (r *Refusal) Error() string { return ErrCredentials.Error() }

// Is makes errors.Is(err, ErrCredentials) true.
func (r *Refusal) Is(target error) bool { return target == ErrCredentials }
