package account_test

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/account/accounttest"
	"github.com/portico-id/portico/internal/audit"
)

// lapses stands for practice: it remembers whose address was replaced, and by
// which practice.
type lapses struct {
	w  *accounttest.World
	mu sync.Mutex
	by []uuid.UUID
	of []audit.Event
}

func (l *lapses) Reindex(context.Context, uuid.UUID) error { return nil }

func (l *lapses) Lapse(ctx context.Context, _, practice uuid.UUID, e audit.Event) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.w.DB.InTransaction(ctx) {
		l.w.T.Error("not in the transaction of the change")
	}
	l.by, l.of = append(l.by, practice), append(l.of, e)
	return nil
}

// What practices gave to an address lapses whichever way it is replaced, and each
// address of before is remembered.
func TestEveryChangeOfTheEmailLetsGiftsToTheAddressLapse(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		heard := &lapses{w: w}
		w.Accounts.Connect(account.Peers{Grants: w.Grants, Tickets: w.Tickets, Directory: heard})
		a, b, link := asked(t, w)
		confirm(b, link, "yes") // by the person
		a = find(t, w, a.ID)
		if _, err := byStaff(t, w, a, "two@example.test"); err != nil {
			t.Fatal(err)
		}
		confirm(w.Browser(mount(w)), w.LastLink(newEmail), "yes") // staff's wish, which the person allows
		a = find(t, w, a.ID)
		if _, err := w.Accounts.ChangeEmail(ctx, w.Realm, a.ID, a.Version, "three@example.test", account.By{Actor: "system"}); err != nil {
			t.Fatal(err)
		}
		if want := []uuid.UUID{uuid.Nil, uuid.MustParse(staff.PracticeID), uuid.Nil}; !slices.Equal(heard.by, want) {
			t.Fatalf("%v, want %v", heard.by, want)
		}
		for i, actor := range []string{a.Actor(), staff.Actor, "system"} {
			if e := heard.of[i]; e.Kind != "association.lapsed" || e.Severity != audit.High || e.Actor != actor || e.Target != a.Actor() {
				t.Errorf("%d: %+v", i, e)
			}
		}
		if w.Count(`SELECT COUNT(*) FROM former_emails WHERE account_id = $1 AND email IN ($2, $3, 'two@example.test')`, a.ID, accounttest.Email, newEmail) != 3 {
			t.Error("an address of before is forgotten")
		}
	})
}
