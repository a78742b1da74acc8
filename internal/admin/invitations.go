package admin

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/practice"
	"github.com/portico-id/portico/internal/realm"
)

type resendInput struct {
	ID  string `path:"id" example:"0195713e-7d52-7c3f-9d0c-7a1f6f1f2b12"`
	Key string `header:"Idempotency-Key" example:"4f1c4b1e0b7d4c8a" doc:"Required: made anew for each intended invitation"`
}

type resendOutput struct {
	Status   int
	Replayed string `header:"Idempotency-Replayed" example:"true" doc:"true when this answer was given before and nothing was done now"`
	Body     resentView
}

type resentView struct {
	LoginEmail string    `json:"login_email" example:"rosa.cruz@example.test" doc:"Where the invitation was sent"`
	WorksUntil time.Time `json:"works_until"`
}

var resendInvitation = operation{id: "resendInvitation", method: "POST", path: "/associations/{id}/invitation", scope: realm.ScopeAdminManage, tag: "Associations",
	summary: "Send a guardian's invitation again",
	text:    "For an account that is not active yet, as far as the practice knows. The earlier invitation stops working. Needs a recent sign-in.",
	errors:  []int{400, 404, 409, 422}, status: 202, example: exampleResent}

func (a *API) resendInvitation(ctx context.Context, who caller, in *resendInput) (*resendOutput, error) {
	if err := a.freshEnough(ctx, who); err != nil {
		return nil, err
	}
	claim, err := newClaim(who, resendInvitation.id, in.Key, in.ID, nil)
	if err != nil {
		return nil, err
	}
	open := func(ctx context.Context) (practice.Case, error) {
		c, err := a.openCase(ctx, who, in.ID)
		if err != nil {
			return c, err
		}
		if p := a.mayAct(ctx, who, c, c.Perms.Invite); p != nil && p.Status == 403 {
			return c, p.about(c)
		}
		return c, nil
	}
	var c practice.Case
	done, err := once(ctx, a, claim, 202, func(ctx context.Context) (err error) {
		c, err = open(ctx)
		return err
	}, func(ctx context.Context) (resentView, error) {
		if c, err = a.locked(ctx, who, c); err != nil {
			return resentView{}, err
		}
		if p := a.inviteBlocked(ctx, who, c); p != nil {
			return resentView{}, p.about(c)
		}
		code, err := a.sendAgain(ctx, a.d.Patient, c.Tie.AccountID, c.Tie.Hidden, a.by(who, c, ""), c.Practice.ID)
		if err != nil {
			return resentView{}, err
		}
		if code != "" {
			return resentView{}, newProblem(code, "").about(c)
		}
		if err := a.d.Audit.Record(ctx, a.eventAbout(who, "association.invited_again", c)); err != nil {
			return resentView{}, err
		}
		return resentView{c.Tie.Guardian.LoginEmail, a.d.DB.Now(ctx).Add(a.d.Patient.Lifetimes.Invitation)}, nil
	})
	if err != nil {
		return nil, err
	}
	return &resendOutput{Status: done.status, Replayed: done.replayed, Body: done.body}, nil
}

// sendAgain invites somebody once more, or names the problem that keeps it from
// being done. To somebody whose account was there before goes what went first.
func (a *API) sendAgain(ctx context.Context, r *realm.Realm, id uuid.UUID, hidden bool, by account.By, site uuid.UUID) (code string, err error) {
	if hidden {
		if code, err = a.invitedByPractice(ctx, r, site, id); err != nil || code != "" {
			return code, err
		}
		person, err := a.d.Accounts.Lock(ctx, r.Name, id)
		if err != nil {
			return "", fmt.Errorf("lock account: %w", err)
		}
		if _, err := a.welcome(ctx, r, person, by); err != nil {
			return "", err
		}
		return "", a.countInvitation(ctx, site, id)
	}
	if code, err = a.invitedEnough(ctx, r, id); err != nil || code != "" {
		return code, err
	}
	if err := a.sendInvitation(ctx, r, id, by); err != nil {
		return "", err
	}
	return "", a.countInvitation(ctx, site, id)
}

// inviteBlocked says why the caller cannot send an invitation again, or nil.
func (a *API) inviteBlocked(ctx context.Context, who caller, c practice.Case) *Problem {
	if p := a.mayAct(ctx, who, c, c.Perms.Invite); p != nil {
		return p
	}
	switch {
	case account.State(c.Tie.Guardian.State) != account.Invited:
		return newProblem("not_invited", "")
	case c.Tie.Guardian.FrozenAt != nil:
		return newProblem("account_frozen", "")
	}
	return nil
}

var cancelInvitation = operation{id: "cancelInvitation", method: "DELETE", path: "/associations/{id}/invitation", scope: realm.ScopeAdminManage, tag: "Associations",
	summary: "Take an invitation back",
	text: "An association that staff have made gives no portal access any more, whether or not the guardian has an account by now; inviting again gives it back. " +
		"The invitation of an account that is not active stops working, unless another practice has invited it too. Cancelling twice is no error. Needs a recent sign-in.",
	errors: []int{400, 404, 409}, example: exampleAssociation}

func (a *API) cancelInvitation(ctx context.Context, who caller, in *associationInput) (*associationOutput, error) {
	if err := a.freshEnough(ctx, who); err != nil {
		return nil, err
	}
	var out *associationOutput
	err := a.d.DB.InTx(ctx, func(ctx context.Context) error {
		c, err := a.openCase(ctx, who, in.ID)
		if err != nil {
			return err
		}
		if c, err = a.locked(ctx, who, c); err != nil {
			return err
		}
		if err := a.takeBack(ctx, who, c); err != nil {
			return err
		}
		if c, err = a.d.People.Case(ctx, who.AccountID, c.Tie.ID, a.today(ctx)); err != nil {
			return err
		}
		view, err := a.viewAssociation(ctx, who, c)
		out = &associationOutput{etag(c), view}
		return err
	})
	return out, err
}

// cancelBlocked says why the caller cannot take an invitation back, or nil.
func (a *API) cancelBlocked(who caller, c practice.Case) *Problem {
	invited := account.State(c.Tie.Guardian.State) == account.Invited
	switch {
	case !who.has(realm.ScopeAdminManage):
		return newProblem("scope", "")
	case !c.Perms.Invite:
		return newProblem("permission", "")
	case c.Own:
		return newProblem("own_account", "")
	case c.Tie.InvitedAt == nil && !invited:
		return newProblem("not_invited", "")
	case c.Tie.InvitedAt == nil && c.Elsewhere:
		return newProblem("shared_guardian", "Another practice has invited this guardian too, so one practice alone does not end the invitation.")
	}
	return nil
}

func (a *API) takeBack(ctx context.Context, who caller, c practice.Case) error {
	if p := a.cancelBlocked(who, c); p != nil {
		return p.about(c)
	}
	if c.Tie.InvitedAt != nil {
		if !c.Tie.PortalAccess {
			return nil // it was taken back before
		}
		if err := a.d.People.Withdraw(ctx, c.Tie.ID); err != nil {
			return err
		}
	}
	person, err := a.d.Accounts.Lock(ctx, a.d.Patient.Name, c.Tie.AccountID)
	if err != nil {
		return fmt.Errorf("lock account: %w", err)
	}
	if person.State == account.Invited && !c.Elsewhere {
		if err := a.d.Accounts.CancelInvitation(ctx, a.d.Patient, c.Tie.AccountID, a.by(who, c, "")); err != nil {
			return fmt.Errorf("cancel invitation: %w", err)
		}
	}
	e := a.eventAbout(who, "association.invitation_cancelled", c)
	e.Severity = audit.Warning
	return a.d.Audit.Record(ctx, e)
}
