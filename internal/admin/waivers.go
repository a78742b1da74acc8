package admin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/practice"
	"github.com/portico-id/portico/internal/realm"
)

// What Waivers answers with besides ErrFinished and account.ErrFrozen.
var (
	// ErrWaiver: somebody has asked already; or nobody has; or it is agreed.
	ErrWaiver = errors.New("the waiver is not in the right state")
	// ErrSecondPerson: the one who asked cannot agree.
	ErrSecondPerson = errors.New("a second person has to agree")
	// ErrEmailChanged: the login email is too new.
	ErrEmailChanged = errors.New("the login email was changed a short while ago")
)

// Waiver is one link's way past the security question.
type Waiver struct {
	RequestedBy   uuid.UUID
	RequestedAt   time.Time
	IdentityCheck string
	ApprovedAt    *time.Time // nil: nobody has agreed yet
}

// StaffWaiver is one member of staff's part in a waiver.
type StaffWaiver struct {
	ResetID       uuid.UUID
	By            uuid.UUID
	PracticeID    uuid.UUID
	IdentityCheck string
	ClientID, IP  string
}

// Waivers lets single links past the security question, when two people agree.
// recovery has it; both join the caller's transaction and record the event.
type Waivers interface {
	RequestWaiver(ctx context.Context, r *realm.Realm, w StaffWaiver) (Reset, error)
	ApproveWaiver(ctx context.Context, r *realm.Realm, w StaffWaiver) (Reset, error)
}

type waiverInput struct {
	ID   string `path:"id" example:"0195713e-7d52-7c3f-9d0c-7a1f6f1f2b13"`
	Key  string `header:"Idempotency-Key" example:"4f1c4b1e0b7d4c8a" doc:"Required: made anew for each intended act"`
	Body identityBody
}

type approvalInput struct {
	ID  string `path:"id" example:"0195713e-7d52-7c3f-9d0c-7a1f6f1f2b13"`
	Key string `header:"Idempotency-Key" example:"4f1c4b1e0b7d4c8a" doc:"Required: made anew for each intended act"`
}

type waiverOutput struct {
	Status   int
	Replayed string `header:"Idempotency-Replayed" example:"true" doc:"true when this answer was given before and nothing was done now"`
	Body     resetView
}

const waiverRules = "Only for a link that the person's practice has sent and that still works, on an account that is not frozen and whose login email was not changed in the last days. " +
	"Needs the permission waive, by a role that no colleague gave in the last days, and a recent sign-in."

var requestWaiver = operation{id: "requestAnswerWaiver", method: "POST", path: "/password-resets/{id}/answer-waiver", scope: realm.ScopeAdminManage, tag: "Password resets",
	summary: "Ask for a link's security question not to be asked",
	text: "For a guardian who cannot remember the answer and whose identity you have checked. Nothing changes until a second member of staff of the practice approves; " +
		"then this one link leads straight to the new password. " + waiverRules,
	errors: []int{400, 404, 409, 413, 415, 422}, example: exampleWaived}

func (a *API) requestWaiver(ctx context.Context, who caller, in *waiverInput) (*waiverOutput, error) {
	check, err := textOf("identity_check", "Enter how you checked the person's identity", in.Body.IdentityCheck)
	if err != nil {
		return nil, err
	}
	return a.waive(ctx, who, requestWaiver.id, in.ID, in.Key, in.Body, check, a.d.Waivers.RequestWaiver)
}

var approveWaiver = operation{id: "approveAnswerWaiver", method: "POST", path: "/password-resets/{id}/answer-waiver/approval", scope: realm.ScopeAdminManage, tag: "Password resets",
	summary: "Approve what a colleague has asked for",
	text:    "Never by the person who asked, nor for one's own account. answer_waiver of the link says how the colleague checked the guardian's identity. " + waiverRules,
	errors:  []int{400, 404, 409, 422}, example: exampleApproved}

func (a *API) approveWaiver(ctx context.Context, who caller, in *approvalInput) (*waiverOutput, error) {
	return a.waive(ctx, who, approveWaiver.id, in.ID, in.Key, nil, "", a.d.Waivers.ApproveWaiver)
}

func (a *API) waive(ctx context.Context, who caller, operation, id, key string, body any, check string,
	do func(context.Context, *realm.Realm, StaffWaiver) (Reset, error)) (*waiverOutput, error) {
	if err := a.freshEnough(ctx, who); err != nil {
		return nil, err
	}
	claim, err := newClaim(who, operation, key, id, body)
	if err != nil {
		return nil, err
	}
	var reset Reset
	var c practice.Case
	done, err := once(ctx, a, claim, 200, func(ctx context.Context) (err error) {
		if reset, c, err = a.openReset(ctx, who, id); err != nil {
			return err
		}
		if p := a.mayAct(ctx, who, c, c.Perms.Waive); p != nil && p.Status == 403 {
			return p.about(c)
		}
		return nil
	}, func(ctx context.Context) (resetView, error) {
		if c, err = a.locked(ctx, who, c); err != nil {
			return resetView{}, err
		}
		if p, err := a.waiveBlocked(ctx, who, c); err != nil || p != nil {
			if err != nil {
				return resetView{}, err
			}
			return resetView{}, p.about(c)
		}
		if err := a.stillMay(ctx, reset, c); err != nil {
			return resetView{}, err
		}
		reset, err = do(ctx, a.d.Patient, StaffWaiver{ResetID: reset.ID, By: who.AccountID, PracticeID: c.Practice.ID,
			IdentityCheck: check, ClientID: who.ClientID, IP: who.address()})
		if err != nil {
			return resetView{}, a.waiverProblem(err, c)
		}
		return viewReset(who, c.Perms, reset), nil
	})
	if err != nil {
		return nil, err
	}
	return &waiverOutput{Status: done.status, Replayed: done.replayed, Body: done.body}, nil
}

// stillMay refuses to agree to what somebody has asked for who has lost the
// role since.
func (a *API) stillMay(ctx context.Context, reset Reset, c practice.Case) error {
	if reset.Waiver == nil {
		return nil
	}
	perms, err := a.d.People.Permissions(ctx, reset.Waiver.RequestedBy)
	if err != nil {
		return err
	}
	recent, err := a.recentRole(ctx, reset.Waiver.RequestedBy, c.Practice.ID, mayWaive)
	if err != nil {
		return err
	}
	if !perms[c.Practice.ID].Waive || recent != nil {
		return newProblem("waiver_state", "Who asked for it has no such role any more, or again only for a short while. Send a new link.").about(c)
	}
	return nil
}

func (a *API) waiverProblem(err error, c practice.Case) error {
	switch {
	case errors.Is(err, ErrFinished):
		return newProblem("reset_finished", "The link was used, replaced or has expired, so there is nothing to waive.").about(c)
	case errors.Is(err, ErrWaiver):
		return newProblem("waiver_state", "").about(c)
	case errors.Is(err, ErrSecondPerson):
		return newProblem("second_person", "").about(c)
	case errors.Is(err, ErrEmailChanged):
		return a.emailTooNew(c).about(c)
	case errors.Is(err, account.ErrFrozen):
		return newProblem("account_frozen", "").about(c)
	case errors.Is(err, account.ErrState):
		return newProblem("account_disabled", "").about(c)
	}
	return fmt.Errorf("waive: %w", err)
}

type waiverView struct {
	State          string     `json:"state" enum:"requested,approved"`
	RequestedAt    time.Time  `json:"requested_at"`
	RequestedByYou bool       `json:"requested_by_you" doc:"Then somebody else has to approve"`
	IdentityCheck  string     `json:"identity_check" example:"Came to the desk, photo ID seen" doc:"Empty for those who could not approve"`
	ApprovedAt     *time.Time `json:"approved_at" nullable:"true"`
}

func viewWaiver(who caller, perms practice.Perms, w *Waiver) *waiverView {
	if w == nil {
		return nil
	}
	v := &waiverView{State: "requested", RequestedAt: w.RequestedAt, RequestedByYou: w.RequestedBy == who.AccountID, ApprovedAt: w.ApprovedAt}
	if w.ApprovedAt != nil {
		v.State = "approved"
	}
	if perms.Waive {
		v.IdentityCheck = w.IdentityCheck
	}
	return v
}
