package admin

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/practice"
	"github.com/portico-id/portico/internal/realm"
)

// What unfreezing takes away stood between a reset link and the account. Whoever
// reads the mailbox can freeze the account with any old notice, so unfreezing
// must not be the easier way past a second factor.

// unfreezingRemoves is what the documents say about it. frozen is what the asking
// person can know of the account.
func (a *API) unfreezingRemoves(ctx context.Context, r *realm.Realm, id uuid.UUID, frozen *time.Time) ([]string, error) {
	out := []string{}
	if frozen == nil {
		return out, nil
	}
	gone, err := a.d.Accounts.UnfreezingRemoves(ctx, r, id)
	if err != nil {
		return nil, fmt.Errorf("find what unfreezing removes: %w", err)
	}
	for _, each := range []struct {
		is   bool
		name string
	}{{gone.Password, "password"}, {gone.Question, "security_question"}, {gone.Factors, "second_factors"}} {
		if each.is {
			out = append(out, each.name)
		}
	}
	return out, nil
}

// removalBlocked demands of who unfreezes a guardian's account what removing
// second factors demands, where more than the password would go.
func (a *API) removalBlocked(ctx context.Context, who caller, c practice.Case) (*Problem, error) {
	gone, err := a.d.Accounts.UnfreezingRemoves(ctx, a.d.Patient, c.Tie.AccountID)
	if err != nil {
		return nil, fmt.Errorf("find what unfreezing removes: %w", err)
	}
	return a.goneBlocked(ctx, who, c.Practice.ID, c.Perms, gone, c.Tie.Guardian.EmailChangedAt)
}

// staffRemovalBlocked is removalBlocked for a colleague.
func (a *API) staffRemovalBlocked(ctx context.Context, who caller, m practice.Member) (*Problem, error) {
	if m.FrozenAt == nil {
		return nil, nil
	}
	person, err := a.d.Accounts.Lock(ctx, a.d.Practice.Name, m.AccountID)
	if err != nil {
		return nil, fmt.Errorf("lock account: %w", err)
	}
	gone, err := a.d.Accounts.UnfreezingRemoves(ctx, a.d.Practice, m.AccountID)
	if err != nil {
		return nil, fmt.Errorf("find what unfreezing removes: %w", err)
	}
	return a.goneBlocked(ctx, who, m.Practice.ID, m.Perms, gone, person.EmailChangedAt)
}

func (a *API) goneBlocked(ctx context.Context, who caller, site uuid.UUID, perms practice.Perms, gone account.Removal, emailChanged *time.Time) (*Problem, error) {
	if !gone.Proof() {
		return nil, nil
	}
	why := takesAway(gone)
	if !perms.Waive {
		return newProblem("permission", why+"So an administrator has to do it."), nil
	}
	if p, err := a.recentRole(ctx, who.AccountID, site, mayWaive); p != nil || err != nil {
		if p != nil {
			p.Detail = why + "So an administrator has to do it whose role counts for this. " + p.Detail
		}
		return p, err
	}
	if emailChanged == nil || a.d.DB.Now(ctx).Sub(*emailChanged) >= a.quiet() {
		return nil, nil
	}
	p := a.tooNew(emailChanged)
	p.Detail = why + p.Detail + " Before that only the operator can unfreeze it, with idp account unfreeze."
	return p, nil
}

// takesAway says in words for staff what goes, and what it means.
func takesAway(gone account.Removal) string {
	var what []string
	if gone.Question {
		what = append(what, "the security question")
	}
	if gone.Factors {
		what = append(what, "second factors")
	}
	return "Unfreezing this account takes away " + strings.Join(what, " and ") + ": what was set since the oldest notice that still counted may be a stranger's, or the person's own. " +
		"After that a link to the mailbox leads further in than before. "
}

// seeStaff is viewStaff with what unfreezing would take away.
func (a *API) seeStaff(ctx context.Context, who caller, m practice.Member) (v staffView, err error) {
	v = viewStaff(who, m)
	v.UnfreezingRemoves, err = a.unfreezingRemoves(ctx, a.d.Practice, m.AccountID, m.FrozenAt)
	return v, err
}
