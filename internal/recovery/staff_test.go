package recovery_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/account/accounttest"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/recovery"
)

var (
	staffMember = uuid.MustParse("0192f0c1-0000-7000-8000-000000000001")
	practiceID  = uuid.MustParse("0192f0c1-0000-7000-8000-000000000002")
	tieID       = uuid.MustParse("0192f0c1-0000-7000-8000-000000000003")
)

func (w *world) staffLink(email string) (recovery.Ticket, error) {
	w.T.Helper()
	ctx := context.Background()
	a, err := w.Accounts.FindByEmail(ctx, w.Realm.Name, email)
	if err != nil {
		w.T.Fatal(err)
	}
	return w.recovery.CreateStaffTicket(ctx, w.Realm, recovery.StaffTicket{AccountID: a.ID, ConfirmedEmail: email,
		By: staffMember, PracticeID: practiceID, AssociationID: tieID, Practice: "Maple Pediatrics", PracticePhone: "555-0101",
		Reason: "called us"})
}

func TestStaffSeeWhatBecomesOfTheirLink(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := context.Background()
		w.Person(accounttest.Email)
		ticket, err := w.staffLink(accounttest.Email)
		if err != nil {
			t.Fatal(err)
		}
		state := func(want recovery.State) recovery.Ticket {
			t.Helper()
			got, err := w.recovery.Find(ctx, ticket.ID)
			if err != nil || got.State != want {
				t.Errorf("state %s, want %s (%v)", got.State, want, err)
			}
			return got
		}
		if got := state(recovery.Queued); got.QueuedAt == nil || *got.RequestedBy != staffMember || got.Origin != recovery.Staff {
			t.Errorf("%+v", got)
		}
		link := w.LastLink(accounttest.Email)
		if got := state(recovery.Sent); got.SentAt == nil {
			t.Error("no time of sending")
		}
		w.browser().Get(link)
		state(recovery.Sent)
		b := w.browser()
		open(b, link)
		state(recovery.Opened)
		// The question is asked behind staff's links too.
		answer(b, "wrong")
		if got := state(recovery.AnsweredWrong); got.AnsweredWrongAt == nil || got.AnswerAttempts != 1 {
			t.Errorf("%+v", got)
		}
		answer(b, accounttest.Answer)
		state(recovery.Opened)
		choose(b, accounttest.NewPassword)
		if got := state(recovery.Used); got.UsedAt == nil {
			t.Error("no time of use")
		}
		list, err := w.recovery.ListByAssociation(ctx, tieID, 10)
		if err != nil || len(list) != 1 || list[0].State != recovery.Used {
			t.Errorf("list %+v, %v", list, err)
		}
		text := w.Post.All()[0].Content.Text
		if !strings.Contains(text, "Maple Pediatrics") {
			t.Errorf("the letter does not name the practice:\n%s", text)
		}
		if _, err := w.recovery.Find(ctx, uuid.New()); !errors.Is(err, recovery.ErrNotFound) {
			t.Errorf("unknown ticket: %v", err)
		}
		if err := w.recovery.Cancel(ctx, w.Realm, ticket.ID, account.By{Actor: "system"}); !errors.Is(err, recovery.ErrTicket) {
			t.Errorf("cancel a used ticket: %v", err)
		}
	})
}

func TestStaffSeeThatALetterWasRefused(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t))
	w.Person(accounttest.Email)
	w.Post.Refuse = true
	ticket, err := w.staffLink(accounttest.Email)
	if err != nil {
		t.Fatal(err)
	}
	w.Deliver()
	got, err := w.recovery.Find(context.Background(), ticket.ID)
	if err != nil || got.State != recovery.Failed || got.FailedAt == nil {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestStaffLinksNeedAnActiveAccountAndTheAddressOnFile(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := context.Background()
		a := w.Person(accounttest.Email)
		create := func(email string) error {
			_, err := w.recovery.CreateStaffTicket(ctx, w.Realm, recovery.StaffTicket{AccountID: a.ID, ConfirmedEmail: email, By: staffMember, Practice: "x"})
			return err
		}
		for _, email := range []string{"", "other@example.test", "maria.gomez@example.tes"} {
			if err := create(email); !errors.Is(err, recovery.ErrConfirmation) {
				t.Errorf("%q: %v", email, err)
			}
		}
		if err := w.Accounts.Disable(ctx, w.Realm, a.ID, account.By{Actor: "system"}); err != nil {
			t.Fatal(err)
		}
		if err := create(accounttest.Email); !errors.Is(err, account.ErrState) {
			t.Errorf("disabled: %v", err)
		}
		_, err := w.recovery.CreateStaffTicket(ctx, w.Other, recovery.StaffTicket{AccountID: a.ID, ConfirmedEmail: accounttest.Email, Practice: "x"})
		if !errors.Is(err, account.ErrNotFound) {
			t.Errorf("another realm: %v", err)
		}
		if n := w.Count(`SELECT COUNT(*) FROM mail_outbox`); n != 0 {
			t.Errorf("%d letters", n)
		}
	})
}

func TestAResetSoonAfterAnEmailChangeRaisesAnAlert(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a := w.Person(accounttest.Email)
		if _, err := w.Accounts.ChangeEmail(context.Background(), w.Realm, a.ID, a.Version, "insider@example.test",
			account.By{Actor: account.Actor(staffMember)}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.staffLink("insider@example.test"); err != nil {
			t.Fatal(err)
		}
		n := w.Count(`SELECT COUNT(*) FROM audit_events WHERE kind = 'recovery.staff_requested' AND severity = 'high'`)
		if n != 1 {
			t.Error("no alert")
		}
		b := w.browser()
		open(b, w.LastLink("insider@example.test"))
		if p := b.Get("/recovery/question"); p.Status != http.StatusOK || !p.Has("answer") {
			t.Error("the question is not asked")
		}
		w.Deliver()
		if w.Post.To(accounttest.Email) != 1 {
			t.Error("the old address was not told")
		}
	})
}

func TestCleanUpRemovesWhatIsOver(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Person(accounttest.Email)
		b := w.browser()
		open(b, w.link(accounttest.Email))
		answer(b, "wrong")
		count := func() int {
			return w.Count(`SELECT (SELECT COUNT(*) FROM recovery_tickets) + (SELECT COUNT(*) FROM recovery_flows) +
				(SELECT COUNT(*) FROM recovery_requests) + (SELECT COUNT(*) FROM recovery_attempts)`)
		}
		before := count()
		if err := w.recovery.CleanUp(context.Background()); err != nil || count() != before {
			t.Errorf("%d of %d rows left, %v", count(), before, err)
		}
		dbtest.Advance(w.DB, 100*24*time.Hour)
		if err := w.recovery.CleanUp(context.Background()); err != nil || count() != 0 {
			t.Errorf("%d rows left, %v", count(), err)
		}
	})
}
