package admin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/practice"
	"github.com/portico-id/portico/internal/realm"
)

// What Links and Timeline answer with.
var (
	// ErrNoReset: there is no such link.
	ErrNoReset = errors.New("no such reset")
	// ErrTooMany: the account was sent enough links today; the last one works.
	ErrTooMany = errors.New("enough links for a day")
	// ErrFinished: the link was used, replaced or has expired.
	ErrFinished = errors.New("the reset is over")
	// ErrLocked: too many wrong answers have locked recovery of the account.
	ErrLocked = errors.New("recovery is locked for now")
)

// Reset is a reset link as staff may see it: never the link itself.
type Reset struct {
	ID            uuid.UUID
	AccountID     uuid.UUID
	AssociationID uuid.UUID // uuid.Nil when no staff sent it
	PracticeID    uuid.UUID
	State         string // requested, queued, sent, failed, opened, answered_wrong, used, expired, replaced, cancelled
	LoginEmail    string // where it was sent
	ExpiresAt     time.Time
	Events        []ResetEvent // oldest first
	Waiver        *Waiver      // nil: nobody has asked for one
}

// ResetEvent is a step in the life of a link.
type ResetEvent struct {
	State string
	At    time.Time
}

// StaffTicket is an order for a reset link.
type StaffTicket struct {
	AccountID      uuid.UUID
	AssociationID  uuid.UUID
	ConfirmedEmail string            // it is the one on file
	Practice       practice.Practice // name and phone for the letter
	RequestedBy    uuid.UUID         // the member of staff
	Reason         string
	By             account.By
	// MayWaive: the member of staff may ask for the question not to be asked,
	// so a link is of use also while recovery is locked.
	MayWaive bool
}

// Links makes and ends reset links. recovery has it; both methods join the
// caller's transaction, in which the account is locked.
type Links interface {
	// Send makes a ticket for the account's login email, which replaces older
	// ones, and queues its letter. ErrLocked when the security question
	// behind the link could not be answered now.
	Send(ctx context.Context, r *realm.Realm, t StaffTicket) (Reset, error)
	// Cancel ends a link that still works and keeps its letter from being
	// sent. ErrFinished when it does not work any more.
	Cancel(ctx context.Context, r *realm.Realm, id uuid.UUID, by account.By) error
}

// Timeline tells how far links have got. recovery has it.
type Timeline interface {
	// Find reads a link, or returns ErrNoReset.
	Find(ctx context.Context, r *realm.Realm, id uuid.UUID) (Reset, error)
	// Latest reads the latest link that a practice sent to an account, or
	// returns ErrNoReset.
	Latest(ctx context.Context, r *realm.Realm, accountID, practiceID uuid.UUID) (Reset, error)
}

type sendInput struct {
	ID   string `path:"id" example:"0195713e-7d52-7c3f-9d0c-7a1f6f1f2b12"`
	Key  string `header:"Idempotency-Key" example:"4f1c4b1e0b7d4c8a" doc:"Required: made anew for each intended reset. A repetition with the same body within 24 hours gets the same answer, one with another body 422"`
	Body sendBody
}

type sendBody struct {
	ConfirmLoginEmail string `json:"confirm_login_email" maxLength:"254" example:"rosa.cruz@example.test" doc:"The address the staff member read out; it has to be the one on file"`
	Reason            string `json:"reason" minLength:"1" maxLength:"500" example:"Called in, forgot the password" doc:"Kept in the audit trail"`
}

type sendOutput struct {
	Status   int
	Location string `header:"Location" doc:"Where to follow the link's state"`
	Replayed string `header:"Idempotency-Replayed" example:"true" doc:"true when this answer was given before and nothing was done now"`
	Body     resetView
}

var sendReset = operation{id: "sendPasswordReset", method: "POST", path: "/associations/{id}/password-resets", scope: realm.ScopeAdminManage, tag: "Password resets",
	summary: "Send a reset link",
	text: "Mails the guardian a link, valid for 48 hours, behind which the security question is asked. The current password works until a new one is chosen. " +
		"An earlier link stops working. Needs a recent sign-in.",
	errors: []int{400, 404, 409, 413, 415, 422}, status: 202, example: exampleReset}

func (a *API) sendReset(ctx context.Context, who caller, in *sendInput) (*sendOutput, error) {
	if err := a.freshEnough(ctx, who); err != nil {
		return nil, err
	}
	reason, err := reasonOf(in.Body.Reason)
	if err != nil {
		return nil, err
	}
	claim, err := newClaim(who, sendReset.id, in.Key, in.ID, in.Body)
	if err != nil {
		return nil, err
	}
	var c practice.Case
	done, err := once(ctx, a, claim, 202, func(ctx context.Context) (err error) {
		if c, err = a.openCase(ctx, who, in.ID); err != nil {
			return err
		}
		if p := a.mayAct(ctx, who, c, c.Perms.Reset); p != nil && p.Status == 403 {
			return p.about(c)
		}
		return nil
	}, func(ctx context.Context) (resetView, error) {
		reset, err := a.send(ctx, who, c, in.Body.ConfirmLoginEmail, reason)
		return viewReset(who, c.Perms, reset), err
	})
	if err != nil {
		return nil, err
	}
	return &sendOutput{Status: done.status, Location: Path + "/password-resets/" + done.body.ID.String(), Replayed: done.replayed, Body: done.body}, nil
}

// send makes the ticket, in the caller's transaction. Soon after a change of
// the login email it is worth an alarm: changing the address and then sending
// the link there is how an insider would take over an account.
func (a *API) send(ctx context.Context, who caller, c practice.Case, confirm, reason string) (Reset, error) {
	locked, err := a.d.Accounts.Lock(ctx, a.d.Patient.Name, c.Tie.AccountID)
	if err != nil {
		return Reset{}, fmt.Errorf("lock account: %w", err)
	}
	if p := a.resetBlocked(ctx, who, c); p != nil {
		return Reset{}, p.about(c)
	}
	if locked.Version != c.Tie.Guardian.Version {
		return Reset{}, newProblem("changed_meanwhile", "").about(c)
	}
	if email, err := account.NormalizeEmail(confirm); err != nil || email != locked.LoginEmail {
		return Reset{}, newProblem("mismatch", "").about(c)
	}
	reset, err := a.d.Links.Send(ctx, a.d.Patient, StaffTicket{AccountID: c.Tie.AccountID, AssociationID: c.Tie.ID,
		ConfirmedEmail: locked.LoginEmail, Practice: c.Practice, RequestedBy: who.AccountID, Reason: reason, By: a.by(who, c, reason), MayWaive: c.Perms.Waive})
	if errors.Is(err, ErrTooMany) {
		return Reset{}, newProblem("enough_links", "").about(c)
	}
	if errors.Is(err, ErrLocked) {
		return Reset{}, newProblem("recovery_locked", "").about(c)
	}
	if errors.Is(err, account.ErrFrozen) {
		return Reset{}, newProblem("account_frozen", "").about(c)
	}
	if err != nil {
		return Reset{}, fmt.Errorf("send link: %w", err)
	}
	e := a.eventAbout(who, "admin.reset_sent", c)
	e.Details = map[string]any{"association": c.Tie.ID.String(), "reset": reset.ID.String(), "reason": reason}
	if err := a.d.Audit.Record(ctx, e); err != nil {
		return Reset{}, err
	}
	changed := locked.EmailChangedAt
	if changed != nil && (!locked.EmailVerified || a.d.DB.Now(ctx).Sub(*changed) < a.d.Patient.Recovery.RecentEmailChange) {
		e := a.eventAbout(who, "admin.reset_after_email_change", c)
		e.Severity = audit.High
		e.Details = map[string]any{"association": c.Tie.ID.String(), "reset": reset.ID.String(),
			"email_changed_at": changed.Format(time.RFC3339), "email_verified": locked.EmailVerified}
		if err := a.d.Audit.Record(ctx, e); err != nil {
			return Reset{}, err
		}
	}
	return reset, nil
}

type resetInput struct {
	ID string `path:"id" example:"0195713e-7d52-7c3f-9d0c-7a1f6f1f2b13"`
}

type resetOutput struct {
	Body resetView
}

var getReset = operation{id: "getPasswordReset", method: "GET", path: "/password-resets/{id}", scope: realm.ScopeAdminRead, tag: "Password resets",
	summary: "How far a reset link has got",
	text:    "Only links that the person's own practice sent; never the link itself.",
	errors:  []int{400, 404}, example: exampleReset}

func (a *API) getReset(ctx context.Context, who caller, in *resetInput) (*resetOutput, error) {
	reset, c, err := a.openReset(ctx, who, in.ID)
	if err != nil {
		return nil, err
	}
	e := a.eventAbout(who, "reset.viewed", c)
	e.Details["reset"] = reset.ID.String()
	if err := a.d.Audit.Record(ctx, e); err != nil {
		return nil, err
	}
	return &resetOutput{viewReset(who, c.Perms, reset)}, nil
}

var cancelReset = operation{id: "cancelPasswordReset", method: "DELETE", path: "/password-resets/{id}", scope: realm.ScopeAdminManage, tag: "Password resets",
	summary: "Cancel a reset link",
	text:    "The link stops working, and its letter is not sent if it still waits. Cancelling twice is no error.",
	errors:  []int{400, 404, 409}, example: exampleCancelled}

func (a *API) cancelReset(ctx context.Context, who caller, in *resetInput) (*resetOutput, error) {
	var out *resetOutput
	err := a.d.DB.InTx(ctx, func(ctx context.Context) error {
		reset, c, err := a.openReset(ctx, who, in.ID)
		if err != nil {
			return err
		}
		switch {
		case !c.Perms.Reset:
			return newProblem("permission", "").about(c)
		case c.Own:
			return newProblem("own_account", "").about(c)
		}
		if _, err := a.d.Accounts.Lock(ctx, a.d.Patient.Name, c.Tie.AccountID); err != nil {
			return fmt.Errorf("lock account: %w", err)
		}
		if reset.State == "cancelled" {
			out = &resetOutput{viewReset(who, c.Perms, reset)}
			return nil
		}
		err = a.d.Links.Cancel(ctx, a.d.Patient, reset.ID, a.by(who, c, ""))
		if errors.Is(err, ErrFinished) {
			return newProblem("reset_finished", "").about(c)
		}
		if err != nil {
			return fmt.Errorf("cancel link: %w", err)
		}
		e := a.eventAbout(who, "admin.reset_cancelled", c)
		e.Details["reset"] = reset.ID.String()
		if err := a.d.Audit.Record(ctx, e); err != nil {
			return err
		}
		if reset, err = a.d.Timeline.Find(ctx, a.d.Patient, reset.ID); err != nil {
			return fmt.Errorf("read cancelled link: %w", err)
		}
		out = &resetOutput{viewReset(who, c.Perms, reset)}
		return nil
	})
	return out, err
}

// openReset finds a link through the association it was sent for, so that the
// caller's practices decide here too.
func (a *API) openReset(ctx context.Context, who caller, id string) (Reset, practice.Case, error) {
	if err := a.someRole(ctx, who); err != nil {
		return Reset{}, practice.Case{}, err
	}
	resetID, err := identifier(id)
	if err != nil {
		return Reset{}, practice.Case{}, err
	}
	reset, err := a.d.Timeline.Find(ctx, a.d.Patient, resetID)
	if errors.Is(err, ErrNoReset) || err == nil && reset.AssociationID == uuid.Nil {
		return Reset{}, practice.Case{}, fmt.Errorf("find link: %w", practice.ErrNotFound)
	}
	if err != nil {
		return Reset{}, practice.Case{}, fmt.Errorf("find link: %w", err)
	}
	c, err := a.d.People.Case(ctx, who.AccountID, reset.AssociationID, a.today(ctx))
	if err != nil {
		return Reset{}, practice.Case{}, err
	}
	if c.Tie.AccountID != reset.AccountID || c.Practice.ID != reset.PracticeID {
		return Reset{}, practice.Case{}, fmt.Errorf("find link: %w", practice.ErrNotFound)
	}
	return reset, c, nil
}
