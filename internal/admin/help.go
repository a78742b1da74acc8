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

// Helps are the parts of Accounts for guardians whom a link alone does not
// help.
type Helps interface {
	Unfreeze(ctx context.Context, r *realm.Realm, id uuid.UUID, by account.By) error
	// UnfreezingRemoves is what Unfreeze would take away.
	UnfreezingRemoves(ctx context.Context, r *realm.Realm, id uuid.UUID) (account.Removal, error)
	// RequestEmailChangeByStaff has the guardian allow the change.
	RequestEmailChangeByStaff(ctx context.Context, r *realm.Realm, id uuid.UUID, version int64, email string, by account.By) (account.EmailChange, error)
	PendingEmailChange(ctx context.Context, r *realm.Realm, id uuid.UUID) (account.EmailChange, error)
	CancelEmailChange(ctx context.Context, r *realm.Realm, id uuid.UUID, origin account.Origin, by account.By) error
}

type helpInput struct {
	ID   string `path:"id" example:"0195713e-7d52-7c3f-9d0c-7a1f6f1f2b12"`
	Key  string `header:"Idempotency-Key" example:"4f1c4b1e0b7d4c8a" doc:"Required: made anew for each intended act"`
	Body identityBody
}

type identityBody struct {
	IdentityCheck string `json:"identity_check" minLength:"1" maxLength:"500" example:"Came to the desk, photo ID seen" doc:"How the person's identity was checked. Kept in the audit trail"`
}

type helpOutput struct {
	Status   int
	Replayed string `header:"Idempotency-Replayed" example:"true" doc:"true when this answer was given before and nothing was done now"`
	ETag     string `header:"ETag" example:"\"8\""`
	Body     helpedView
}

type helpedView struct {
	AssociationID uuid.UUID `json:"association_id" format:"uuid"`
	Frozen        bool      `json:"frozen"`
	SecondFactors bool      `json:"second_factors" doc:"Whether the account has one now"`
	Version       int64     `json:"version" doc:"Of the guardian's account; also the ETag"`
}

var unfreeze = operation{id: "unfreezeAccount", method: "POST", path: "/associations/{id}/account/unfreeze", scope: realm.ScopeAdminManage, tag: "Help",
	summary: "Let the guardian of a frozen account in again",
	text: "An account is frozen when somebody said “this wasn't me” with a link out of a notice. Make sure who you are talking to and that the login email is theirs; " +
		"change it first if it is not. The old password goes, and so do an answer and second factors that may be a thief's, whosever they are: unfreezing_removes of the association says before what it will be. The guardian is told, and chooses a new password with a reset link. Every earlier freeze link ends. " +
		"Where more than the password goes, it needs what removing second factors needs. For some days after staff have changed the login email it needs the permission waive and somebody else than who changed it. Needs a recent sign-in.",
	errors: []int{400, 404, 409, 413, 415, 422}, example: exampleUnfrozen}

func (a *API) unfreeze(ctx context.Context, who caller, in *helpInput) (*helpOutput, error) {
	return a.help(ctx, who, in, unfreeze.id, a.unfreezeBlocked, func(ctx context.Context, c practice.Case, by account.By) error {
		err := a.d.Accounts.Unfreeze(ctx, a.d.Patient, c.Tie.AccountID, by)
		if errors.Is(err, account.ErrState) {
			return newProblem("not_frozen", "").about(c)
		}
		if err != nil {
			return fmt.Errorf("unfreeze: %w", err)
		}
		return a.recordHelp(ctx, who, "admin.unfrozen", c, by)
	})
}

var removeFactors = operation{id: "removeSecondFactors", method: "POST", path: "/associations/{id}/account/second-factor-removal", scope: realm.ScopeAdminManage, tag: "Help",
	summary: "Remove a guardian's second factors",
	text: "For a guardian who has lost them: authenticator app, passkeys and recovery codes all go, and the password alone signs in again. The guardian is told. " +
		"Not for an account whose login email was changed in the last days. Needs the permission waive, by a role that no colleague gave in the last days, and a recent sign-in.",
	errors: []int{400, 404, 409, 413, 415, 422}, example: exampleHelped}

func (a *API) removeFactors(ctx context.Context, who caller, in *helpInput) (*helpOutput, error) {
	return a.help(ctx, who, in, removeFactors.id, a.factorsBlocked, func(ctx context.Context, c practice.Case, by account.By) error {
		if err := a.d.Factors.RemoveAll(ctx, a.d.Patient, c.Tie.AccountID, by); err != nil {
			return fmt.Errorf("remove second factors: %w", err)
		}
		return a.recordHelp(ctx, who, "admin.second_factors_removed", c, by)
	})
}

// help is what acts on a guardian's account have in common that need a check
// of the person's identity.
func (a *API) help(ctx context.Context, who caller, in *helpInput, operation string,
	blocked func(context.Context, caller, practice.Case) (*Problem, error), do func(context.Context, practice.Case, account.By) error) (*helpOutput, error) {
	if err := a.freshEnough(ctx, who); err != nil {
		return nil, err
	}
	check, err := textOf("identity_check", "Enter how you checked the person's identity", in.Body.IdentityCheck)
	if err != nil {
		return nil, err
	}
	claim, err := newClaim(who, operation, in.Key, in.ID, in.Body)
	if err != nil {
		return nil, err
	}
	var c practice.Case
	done, err := once(ctx, a, claim, 200, func(ctx context.Context) (err error) {
		if c, err = a.openCase(ctx, who, in.ID); err != nil {
			return err
		}
		p, err := blocked(ctx, who, c)
		if err == nil && p != nil && p.Status == 403 {
			return p.about(c)
		}
		return err
	}, func(ctx context.Context) (helpedView, error) {
		if c, err = a.locked(ctx, who, c); err != nil {
			return helpedView{}, err
		}
		p, err := blocked(ctx, who, c)
		if err != nil {
			return helpedView{}, err
		}
		if p != nil {
			return helpedView{}, p.about(c)
		}
		if err := do(ctx, c, a.by(who, c, check)); err != nil {
			return helpedView{}, err
		}
		if c, err = a.d.People.Case(ctx, who.AccountID, c.Tie.ID, a.today(ctx)); err != nil {
			return helpedView{}, err
		}
		has, err := a.hasFactors(ctx, c)
		return helpedView{AssociationID: c.Tie.ID, Frozen: c.Tie.Guardian.FrozenAt != nil, SecondFactors: has, Version: c.Tie.Guardian.Version}, err
	})
	if err != nil {
		return nil, err
	}
	return &helpOutput{Status: done.status, Replayed: done.replayed, ETag: fmt.Sprintf("%q", fmt.Sprint(done.body.Version)), Body: done.body}, nil
}

// recordHelp leaves an event, and one for every other practice that the guardian
// belongs to: what one lets past, all rely on.
func (a *API) recordHelp(ctx context.Context, who caller, kind string, c practice.Case, by account.By) error {
	e := a.eventAbout(who, kind, c)
	e.Severity = audit.High
	e.Details["identity_check"] = by.Reason
	if err := a.d.Audit.Record(ctx, e); err != nil {
		return err
	}
	others, err := a.d.People.Others(ctx, c.Tie.AccountID, c.Practice.ID, a.today(ctx))
	if err != nil {
		return err
	}
	return a.tellOthers(ctx, who, kind+"_elsewhere", c, others)
}

// tellOthers records what one practice did in the names of others.
func (a *API) tellOthers(ctx context.Context, who caller, kind string, c practice.Case, others []practice.Elsewhere) error {
	for _, o := range others {
		e := a.eventAbout(who, kind, c)
		e.Severity, e.PracticeID, e.IP = audit.High, o.PracticeID.String(), ""
		e.Details = map[string]any{"association": o.AssociationID.String(), "by_practice": c.Practice.ID.String()}
		if err := a.d.Audit.Record(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// locked reads a case again with the guardian's account locked, so that what
// is decided on holds until the end of the transaction.
func (a *API) locked(ctx context.Context, who caller, c practice.Case) (practice.Case, error) {
	if _, err := a.d.Accounts.Lock(ctx, a.d.Patient.Name, c.Tie.AccountID); err != nil {
		return c, fmt.Errorf("lock account: %w", err)
	}
	return a.d.People.Case(ctx, who.AccountID, c.Tie.ID, a.today(ctx))
}

func (a *API) hasFactors(ctx context.Context, c practice.Case) (bool, error) {
	if a.d.Factors == nil || c.Tie.Hidden {
		return false, nil
	}
	s, err := a.d.Factors.Of(ctx, c.Tie.AccountID)
	if err != nil {
		return false, fmt.Errorf("count second factors: %w", err)
	}
	return s.Any() || s.RecoveryCodes > 0, nil
}

// quiet is how long a new login email, a new tie to an account that was there
// before, and a role that a colleague gave keep staff from letting anybody past
// what the guardian alone can prove.
func (a *API) quiet() time.Duration { return a.d.Patient.Recovery.RecentEmailChange }

func (a *API) emailIsNew(ctx context.Context, c practice.Case) bool {
	changed := c.Tie.Guardian.EmailChangedAt
	return changed != nil && a.d.DB.Now(ctx).Sub(*changed) < a.quiet()
}

// newlyAttached tells whether staff have tied the patient to an account that
// was there before, and the guardian has not had the time to object. Otherwise
// staff could give themselves power over any account by inviting its address.
// What is hidden needs no reason of its own: it is refused like an account that
// has only been invited.
func (a *API) newlyAttached(ctx context.Context, c practice.Case) bool {
	if c.Tie.Hidden {
		return false
	}
	at, signedIn := c.Tie.AttachedAt, c.Tie.Guardian.LastSignedInAt
	return at != nil && (a.d.DB.Now(ctx).Sub(*at) < a.quiet() || signedIn == nil || signedIn.Before(*at))
}

// beyondProof is mayAct for what goes past the guardian's own proof.
func (a *API) beyondProof(ctx context.Context, who caller, c practice.Case, permitted bool) *Problem {
	if p := a.mayAct(ctx, who, c, permitted); p != nil {
		return p
	}
	if a.newlyAttached(ctx, c) {
		return newProblem("recently_attached", "")
	}
	return nil
}

// unfreezeBlocked says why the caller cannot unfreeze the account, or nil.
func (a *API) unfreezeBlocked(ctx context.Context, who caller, c practice.Case) (*Problem, error) {
	if p := a.beyondProof(ctx, who, c, c.Perms.Unfreeze); p != nil {
		return p, nil
	}
	if c.Tie.Guardian.FrozenAt == nil {
		return newProblem("not_frozen", ""), nil
	}
	if p, err := a.removalBlocked(ctx, who, c); p != nil || err != nil || !a.emailIsNew(ctx, c) {
		return p, err
	}
	return a.changerBlocked(ctx, who, c)
}

// factorsBlocked says why the caller cannot remove second factors, or nil.
func (a *API) factorsBlocked(ctx context.Context, who caller, c practice.Case) (*Problem, error) {
	if p, err := a.waiveBlocked(ctx, who, c); p != nil || err != nil {
		return p, err
	}
	if c.Tie.Guardian.FrozenAt != nil {
		return newProblem("account_frozen", ""), nil
	}
	if a.emailIsNew(ctx, c) {
		return a.emailTooNew(c), nil
	}
	has, err := a.hasFactors(ctx, c)
	if err != nil {
		return nil, err
	}
	if !has {
		return newProblem("no_second_factor", ""), nil
	}
	return nil, nil
}

var cancelEmailChange = operation{id: "cancelLoginEmailChange", method: "DELETE", path: "/associations/{id}/login-email-change", scope: realm.ScopeAdminManage, tag: "Associations",
	summary: "Cancel a change that waits for the guardian",
	text:    "Only what the person's own practice has asked for. The link in the guardian's letter stops working. Needs a recent sign-in.",
	errors:  []int{400, 404, 409}, example: exampleAssociation}

func (a *API) cancelEmailChange(ctx context.Context, who caller, in *associationInput) (*associationOutput, error) {
	if err := a.freshEnough(ctx, who); err != nil {
		return nil, err
	}
	var out *associationOutput
	err := a.d.DB.InTx(ctx, func(ctx context.Context) error {
		c, err := a.openCase(ctx, who, in.ID)
		if err != nil {
			return err
		}
		switch {
		case !c.Perms.ChangeEmail:
			return newProblem("permission", "").about(c)
		case c.Own:
			return newProblem("own_account", "").about(c)
		}
		if c, err = a.locked(ctx, who, c); err != nil {
			return err
		}
		waiting, err := a.waitingChange(ctx, c)
		if err != nil {
			return err
		}
		if waiting == nil {
			return newProblem("no_email_change", "").about(c)
		}
		if err := a.d.Accounts.CancelEmailChange(ctx, a.d.Patient, c.Tie.AccountID, account.StaffsWish, a.by(who, c, "")); err != nil {
			return fmt.Errorf("cancel change: %w", err)
		}
		if err := a.d.Audit.Record(ctx, a.eventAbout(who, "admin.email_change_cancelled", c)); err != nil {
			return err
		}
		view, err := a.viewAssociation(ctx, who, c)
		out = &associationOutput{etag(c), view}
		return err
	})
	return out, err
}

// waitingChange is the change of the login email that this practice has asked
// for and that waits for the guardian; nil when there is none. What another
// practice has asked for is not this one's to know.
func (a *API) waitingChange(ctx context.Context, c practice.Case) (*account.EmailChange, error) {
	if c.Tie.Hidden {
		return nil, nil
	}
	e, err := a.d.Accounts.PendingEmailChange(ctx, a.d.Patient, c.Tie.AccountID)
	switch {
	case errors.Is(err, account.ErrEmailChange):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("find change of the email: %w", err)
	case e.PracticeID == nil || *e.PracticeID != c.Practice.ID:
		return nil, nil
	}
	return &e, nil
}
