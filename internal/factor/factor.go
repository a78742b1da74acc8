package factor

import (
	"errors"
	"html/template"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/account"
)

// What callers test with errors.Is.
var (
	// ErrCode says that a code is not right, was used before, or that there is
	// nothing it could be right for.
	ErrCode = errors.New("the code is not right")
	// ErrTooMany says that an account has had its tries at codes for today.
	// Passkeys still work.
	ErrTooMany = errors.New("too many wrong codes today")
	// ErrPasskey is the one answer to a passkey that is unknown or does not
	// prove what it should. The *Refusal behind it says more.
	ErrPasskey = errors.New("the passkey does not match")
	// ErrChallenge says that what a passkey answered was not asked in this
	// browser for this purpose, is too old, or was answered before.
	ErrChallenge = errors.New("the passkey answered another question")
	// ErrKnown says that a passkey is registered already.
	ErrKnown = errors.New("the passkey is registered already")
	// ErrFull says that an account has as many passkeys as the realm allows.
	ErrFull = errors.New("no more passkeys for this account")
	// ErrNotFound says that the account has no such factor.
	ErrNotFound = errors.New("no such second factor")
	// ErrSetup says that no authenticator app is waiting to be confirmed.
	ErrSetup = errors.New("no setup is under way")
	// ErrRequired says that the realm demands a second factor of the account,
	// so that the last one stays.
	ErrRequired = errors.New("the account must keep a second factor")
	// ErrChanged says that the account is not as it was when the caller read it:
	// another password, closed, frozen. What was proved before does not count.
	ErrChanged = errors.New("the account has changed meanwhile")
	// ErrNoPasskeys says that a realm cannot have passkeys: its host is an IP
	// address.
	ErrNoPasskeys = errors.New("no passkeys at an IP address")
)

// Refusal is the error of a passkey that was refused. It is ErrPasskey to
// everybody but the audit trail.
type Refusal struct {
	AccountID uuid.UUID // uuid.Nil when nobody knows whose it is
	Why       string    // "unknown", "signature", "cloned", …
	Err       error     // what the library says, for the log
}

// Error says no more than ErrPasskey.
func (r *Refusal) Error() string { return ErrPasskey.Error() }

// Is makes errors.Is(err, ErrPasskey) true.
func (r *Refusal) Is(target error) bool { return target == ErrPasskey }

// Summary is what an account has. Recovery codes stand in for a second factor;
// they are none.
type Summary = account.FactorSummary

func factors(s Summary) int {
	if s.TOTP {
		return s.Passkeys + 1
	}
	return s.Passkeys
}

// TOTPSetup is an authenticator app that waits to be confirmed.
type TOTPSetup struct {
	Key string        // base32 in groups of four, to be typed
	URI string        // otpauth://…
	SVG template.HTML // the URI as a QR code; wrap it in an element with role=img and a label
}

// Proof is what a passkey has proved.
type Proof struct {
	AccountID   uuid.UUID
	PasskeyName string
	AMR         []string  // RFC 8176: hwk or swk, user, mfa
	Since       time.Time // as in Summary
}

// Passkey is a credential of a person, as its owner sees it.
type Passkey struct {
	ID         uuid.UUID
	Name       string
	Synced     bool // it may live on several devices
	CreatedAt  time.Time
	LastUsedAt *time.Time
}

// App is the authenticator app of a person.
type App struct {
	CreatedAt  time.Time
	LastUsedAt *time.Time
}

// What a letter says has happened: the value of "what".
const (
	totpAdded      = "totp_added"
	totpRemoved    = "totp_removed"
	passkeyAdded   = "passkey_added"
	passkeyRemoved = "passkey_removed"
	codeUsed       = "code_used"
	codesRenewed   = "codes_renewed"
	factorsReset   = "factors_reset"
)
