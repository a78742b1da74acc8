package recovery_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/account/accounttest"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/recovery"
)

func TestRequestsForLinksAreTracedToTheirNetwork(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Realm.Recovery.RequestsPerNetworkPerHour = 3
		w.Person(accounttest.Email)
		w.Create(account.New{LoginEmail: "invited@example.test", State: account.Invited})
		for _, email := range []string{accounttest.Email, "invited@example.test", "nobody@example.test", accounttest.Email, "nobody@example.test"} {
			if err := w.recovery.Request(context.Background(), w.Realm, recovery.Ask{Email: email, Network: "2001:db8:1:2::/64"}); err != nil {
				t.Fatal(err)
			}
		}
		w.process()
		for kind, want := range map[string]int{"recovery.requested": 3, "account.invited": 1, "recovery.throttled": 2} {
			if n := w.Count(`SELECT COUNT(*) FROM audit_events WHERE kind = $1 AND ip = '2001:db8:1:2::/64'`, kind); n != want {
				t.Errorf("%d events %s name the network, want %d", n, kind, want)
			}
		}
	})
}

// order is what one of a practice's staff orders for an account.
func (w *world) order(a account.Account, practice, staff uuid.UUID) (recovery.Ticket, error) {
	return w.recovery.CreateStaffTicket(context.Background(), w.Realm, recovery.StaffTicket{AccountID: a.ID, ConfirmedEmail: a.LoginEmail,
		By: staff, PracticeID: practice, AssociationID: tieID, Practice: "Maple Pediatrics", Reason: "called us"})
}

func TestStaffCannotFloodAMailbox(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a := w.Person(accounttest.Email)
		var last recovery.Ticket
		var err error
		for range w.Realm.Recovery.LinksPerDay * 4 {
			if last, err = w.order(a, uuid.New(), uuid.New()); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := w.order(a, practiceID, staffMember); !errors.Is(err, recovery.ErrTooMany) {
			t.Errorf("one more: %v", err)
		}
		if got, err := w.recovery.Find(context.Background(), last.ID); err != nil || !got.Live() {
			t.Errorf("the last link is %s, %v", got.State, err)
		}
		dbtest.Advance(w.DB, 24*time.Hour)
		if _, err := w.order(a, practiceID, staffMember); err != nil {
			t.Errorf("on the next day: %v", err)
		}
	})
}
