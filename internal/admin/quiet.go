package admin

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/practice"
	"github.com/portico-id/portico/internal/realm"
)

func mayWaive(p practice.Perms) bool { return p.Waive }

func mayManage(p practice.Perms) bool { return p.ManageStaff }

// recentRole refuses somebody whose role a colleague has given a short while
// ago: otherwise one administrator is two people, by inviting an address of
// their own.
func (a *API) recentRole(ctx context.Context, staff, site uuid.UUID, allows func(practice.Perms) bool) (*Problem, error) {
	given, err := a.d.People.GivenAt(ctx, staff, site, allows)
	if err != nil || given.IsZero() {
		return nil, err
	}
	counts := given.Add(a.quiet())
	if !a.d.DB.Now(ctx).Before(counts) {
		return nil, nil
	}
	return newProblem("recent_role", "A colleague gave it a short while ago. It counts for this from "+a.moment(counts)+
		" on; until then somebody who has had it for longer can help."), nil
}

// moment is a time in words for staff, with the zone it is in.
func (a *API) moment(t time.Time) string {
	return t.In(a.d.Practice.TimeZone).Format("2 January 2006, 15:04 MST")
}

// emailTooNew says until when nobody is let past a question or a second factor
// after a change of the login email, and why: staff who have put a stranger's
// change right wait as well, since nobody can tell that from the stranger's.
func (a *API) emailTooNew(c practice.Case) *Problem { return a.tooNew(c.Tie.Guardian.EmailChangedAt) }

func (a *API) tooNew(changed *time.Time) *Problem {
	if changed == nil {
		return newProblem("email_changed_recently", "")
	}
	return newProblem("email_changed_recently", "The login email was changed on "+a.moment(*changed)+", by its owner, by staff or by a stranger. "+
		"Until "+a.moment(changed.Add(a.quiet()))+" nobody is let past the security question or the second factor, whoever made the change: "+
		"the two together would open the account to whoever reads the new address.")
}

// waiveBlocked says why the caller cannot let the guardian past a question or a
// second factor, or nil.
func (a *API) waiveBlocked(ctx context.Context, who caller, c practice.Case) (*Problem, error) {
	if p := a.beyondProof(ctx, who, c, c.Perms.Waive); p != nil {
		return p, nil
	}
	return a.recentRole(ctx, who.AccountID, c.Practice.ID, mayWaive)
}

// changerBlocked refuses to unfreeze an account whose login email staff have
// changed a short while ago, unless it is an administrator who did not: the
// freezing may be the guardian's answer to the change.
func (a *API) changerBlocked(ctx context.Context, who caller, c practice.Case) (*Problem, error) {
	by, latest, err := a.changers(ctx, a.d.Patient, c.Tie.AccountID)
	if err != nil || len(by) == 0 {
		return nil, err
	}
	until := "Until " + a.moment(latest.Add(a.quiet())) + " an administrator who did not change it can unfreeze the account."
	switch {
	case by[audit.Account(who.AccountID)]:
		return newProblem("second_person", "You have changed the login email a short while ago. "+until), nil
	case !c.Perms.Waive:
		return newProblem("permission", "Staff have changed the login email a short while ago. "+until), nil
	}
	return a.recentRole(ctx, who.AccountID, c.Practice.ID, mayWaive)
}

// changers are the people other than its owner who have changed an account's
// login email lately, and when that was last done. The trail has all of them,
// where the account would only know the last.
func (a *API) changers(ctx context.Context, r *realm.Realm, id uuid.UUID) (by map[string]bool, latest time.Time, err error) {
	since := a.d.DB.Now(ctx).Add(-a.quiet())
	by = map[string]bool{}
	var from audit.Place
	for {
		const page = 100
		events, err := a.d.Audit.History(ctx, r.Name, audit.Account(id), []string{"email.changed"}, from, page)
		if err != nil {
			return nil, latest, err
		}
		for _, e := range events {
			if !e.At.After(since) {
				return by, latest, nil
			}
			if strings.HasPrefix(e.Actor, "account:") && e.Actor != audit.Account(id) {
				by[e.Actor] = true
				if e.At.After(latest) {
					latest = e.At
				}
			}
		}
		if len(events) < page {
			return by, latest, nil
		}
		from = events[page-1].Place()
	}
}
