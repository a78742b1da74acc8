package admin

import (
	"context"
	"errors"
	"fmt"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/practice"
	"github.com/portico-id/portico/internal/realm"
)

type unfreezeStaffInput struct {
	ID   string `path:"id" example:"0195713e-7d52-7c3f-9d0c-7a1f6f1f2b14"`
	Key  string `header:"Idempotency-Key" example:"4f1c4b1e0b7d4c8a" doc:"Required: made anew for each intended act"`
	Body identityBody
}

type unfreezeStaffOutput struct {
	Status   int
	Replayed string `header:"Idempotency-Replayed" example:"true" doc:"true when this answer was given before and nothing was done now"`
	ETag     string `header:"ETag" example:"\"3\"" doc:"Version of the roles, for If-Match"`
	Body     staffView
}

var unfreezeStaff = operation{id: "unfreezeStaff", method: "POST", path: "/staff/{id}/unfreeze", scope: realm.ScopeAdminManage, tag: "Staff",
	summary: "Let a member of staff whose account is frozen in again",
	text: "An account is frozen when somebody said “this wasn't me” with a link out of a notice. Make sure who you are talking to. The old password goes, and so do an answer and second factors that may be a thief's, whosever they are: unfreezing_removes of the member says before what it will be. The person is told, and uses “Forgot your password?”. Every earlier freeze link ends. " +
		"Never one's own, nor by who has changed its login email in the last days. Nor in the first days of an account that was there before the practice added it, nor, where more than the password goes, in the first days of a login email. Needs the permission manage_staff, by a role that no colleague gave in the last days, and a recent sign-in. " +
		"The operator can do it too, with idp account unfreeze.",
	errors: []int{400, 404, 409, 413, 415, 422}, example: exampleStaff}

func (a *API) unfreezeStaff(ctx context.Context, who caller, in *unfreezeStaffInput) (*unfreezeStaffOutput, error) {
	if err := a.freshEnough(ctx, who); err != nil {
		return nil, err
	}
	check, err := textOf("identity_check", "Enter how you checked the person's identity", in.Body.IdentityCheck)
	if err != nil {
		return nil, err
	}
	claim, err := newClaim(who, unfreezeStaff.id, in.Key, in.ID, in.Body)
	if err != nil {
		return nil, err
	}
	var m practice.Member
	done, err := once(ctx, a, claim, 200, func(ctx context.Context) (err error) {
		if m, err = a.openStaff(ctx, who, in.ID); err != nil {
			return err
		}
		return a.mayUnfreezeStaff(ctx, who, m)
	}, func(ctx context.Context) (staffView, error) {
		return a.letStaffIn(ctx, who, m, check)
	})
	if err != nil {
		return nil, err
	}
	return &unfreezeStaffOutput{Status: done.status, Replayed: done.replayed, ETag: fmt.Sprintf("%q", fmt.Sprint(done.body.Version)), Body: done.body}, nil
}

// mayUnfreezeStaff refuses oneself, who has the role only since a short while
// (whoever had the frozen account may have given it), and who changed the
// address.
func (a *API) mayUnfreezeStaff(ctx context.Context, who caller, m practice.Member) error {
	if m.AccountID == who.AccountID {
		return newProblem("own_account", "").on(m)
	}
	if p, err := a.recentRole(ctx, who.AccountID, m.Practice.ID, mayManage); err != nil || p != nil {
		if err != nil {
			return err
		}
		return p.on(m)
	}
	if p, err := a.staffNewlyAttached(ctx, m); err != nil || p != nil {
		if err != nil {
			return err
		}
		return p.on(m)
	}
	by, _, err := a.changers(ctx, a.d.Practice, m.AccountID)
	if err != nil {
		return err
	}
	if by[audit.Account(who.AccountID)] {
		return newProblem("second_person", "").on(m)
	}
	if p, err := a.staffRemovalBlocked(ctx, who, m); err != nil || p != nil {
		if err != nil {
			return err
		}
		return p.on(m)
	}
	return nil
}

// staffNewlyAttached refuses power over an account that was there before a
// colleague added it, for as long as its owner may need to object: otherwise an
// administrator opens anybody's frozen account by inviting its address.
func (a *API) staffNewlyAttached(ctx context.Context, m practice.Member) (*Problem, error) {
	if !m.Attached || m.Hidden { // what is hidden is answered like an account that is not frozen
		return nil, nil
	}
	given, err := a.d.People.GivenAt(ctx, m.AccountID, m.Practice.ID, func(practice.Perms) bool { return true })
	if err != nil || given.IsZero() || a.d.DB.Now(ctx).Sub(given) >= a.quiet() {
		return nil, err
	}
	return newProblem("recently_attached", "It was there before your practice added it. From "+a.moment(given.Add(a.quiet()))+
		" on an administrator can unfreeze it; until then one of a practice that has known the person for longer, or the operator."), nil
}

func (a *API) letStaffIn(ctx context.Context, who caller, m practice.Member, check string) (staffView, error) {
	if m.Hidden { // whether it is frozen is not for the practice to know yet
		return staffView{}, newProblem("not_frozen", "").on(m)
	}
	by := a.byFor(who, m.Practice)
	by.Reason = check
	err := a.d.Accounts.Unfreeze(ctx, a.d.Practice, m.AccountID, by)
	if errors.Is(err, account.ErrState) {
		return staffView{}, newProblem("not_frozen", "").on(m)
	}
	if err != nil {
		return staffView{}, fmt.Errorf("unfreeze: %w", err)
	}
	e := a.eventOn(who, "staff.unfrozen", m)
	e.Severity = audit.High
	e.Details["identity_check"] = check
	if err := a.d.Audit.Record(ctx, e); err != nil {
		return staffView{}, err
	}
	// What one practice lets past, all rely on.
	memberships, err := a.d.People.Memberships(ctx, m.AccountID)
	if err != nil {
		return staffView{}, err
	}
	for _, other := range memberships {
		if other.Practice.ID == m.Practice.ID {
			continue
		}
		e := a.eventOn(who, "staff.unfrozen_elsewhere", m)
		e.Severity, e.PracticeID, e.IP = audit.High, other.Practice.ID.String(), ""
		e.Details = map[string]any{"by_practice": m.Practice.ID.String()}
		if err := a.d.Audit.Record(ctx, e); err != nil {
			return staffView{}, err
		}
	}
	if m, err = a.d.People.Member(ctx, who.AccountID, m.ID); err != nil {
		return staffView{}, err
	}
	return a.seeStaff(ctx, who, m)
}
