package recovery

import (
	"errors"
	"time"

	"github.com/google/uuid"
)

// What callers test with errors.Is.
var (
	// ErrTicket says that a link is unknown, expired, used, or was voided.
	ErrTicket = errors.New("the reset link does not work any more")
	// ErrNotFound says that there is no such ticket.
	ErrNotFound = errors.New("no such ticket")
	// ErrLocked says that recovery is locked after too many wrong answers.
	ErrLocked = errors.New("recovery is locked for now")
	// ErrConfirmation says that the confirmed address is not the one on file.
	ErrConfirmation = errors.New("the confirmed address is not the login email")

	// ErrTooMany says that staff have sent an account enough links for a day.
	// The last one stays valid.
	ErrTooMany = errors.New("too many reset links from staff for one day")

	errStep    = errors.New("an earlier step is missing")
	errNoTries = errors.New("no tries left on this link")
)

// Origin says who asked for a ticket.
type Origin string

// A ticket comes from the person, or from staff who help.
const (
	SelfService Origin = "self_service"
	Staff       Origin = "staff"
)

// State is what staff may know about a ticket.
type State string

// The states, in the order in which a ticket passes through them; it may stop
// at any. The last five are final, but AnsweredWrong only once the link has no
// tries left.
const (
	Requested     State = "requested"      // no letter yet
	Queued        State = "queued"         // the letter waits
	Sent          State = "sent"           // the mail server has taken the letter
	Failed        State = "failed"         // the letter could not be delivered
	Opened        State = "opened"         // somebody pressed Continue behind the link
	AnsweredWrong State = "answered_wrong" // the last answer to the question was wrong
	Used          State = "used"           // the password was changed
	Expired       State = "expired"
	Replaced      State = "replaced"  // a newer link was sent
	Cancelled     State = "cancelled" // by staff, or the account changed; see VoidReason
)

// Reasons for which a ticket is voided. Others name what changed:
// "password_changed", "email_changed", "question_changed", "account_disabled".
const (
	voidReplaced  = "replaced"
	voidCancelled = "cancelled"
	voidAnswers   = "wrong_answers"
	voidLocked    = "recovery_locked"
)

// Ticket is one permission to choose a new password. It holds no secret. Times
// that did not come are nil.
type Ticket struct {
	ID, AccountID uuid.UUID
	Realm         string
	Email         string // to which the link was sent
	ClientID      string // where the person came from, "" when unknown
	Origin        Origin

	RequestedBy, PracticeID, AssociationID *uuid.UUID // of tickets from staff
	Reason                                 string

	Waiver Waiver // of the security question behind the link

	State           State
	VoidReason      string
	AnswerAttempts  int64 // wrong answers on this link
	RequestedAt     time.Time
	ExpiresAt       time.Time
	QueuedAt        *time.Time
	SentAt          *time.Time
	FailedAt        *time.Time
	OpenedAt        *time.Time
	AnsweredWrongAt *time.Time // last
	AnsweredAt      *time.Time // rightly
	UsedAt          *time.Time
	VoidedAt        *time.Time
}

// derive works the state out from what happened.
func (t *Ticket) derive(mailState string, now time.Time) {
	switch {
	case t.UsedAt != nil:
		t.State = Used
	case t.VoidedAt != nil && t.VoidReason == voidReplaced:
		t.State = Replaced
	case t.VoidedAt != nil && (t.VoidReason == voidAnswers || t.VoidReason == voidLocked):
		t.State = AnsweredWrong
	case t.VoidedAt != nil:
		t.State = Cancelled
	case !t.ExpiresAt.After(now):
		t.State = Expired
	case t.AnsweredWrongAt != nil && (t.AnsweredAt == nil || t.AnsweredAt.Before(*t.AnsweredWrongAt)):
		t.State = AnsweredWrong
	case t.OpenedAt != nil:
		t.State = Opened
	case mailState == "sent":
		t.State = Sent
	case mailState == "failed" || mailState == "expired":
		t.State = Failed
	case mailState == "queued":
		t.State = Queued
	default:
		t.State = Requested
	}
}

// Live reports whether the link still works.
func (t Ticket) Live() bool {
	switch t.State {
	case Used, Expired, Replaced, Cancelled:
		return false
	}
	return t.VoidedAt == nil
}
