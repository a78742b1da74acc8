package recovery_test

import (
	"context"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/account/accounttest"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/recovery"
)

func TestAStartedRecoveryEndsWithTheLink(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		start := time.Date(2025, 3, 3, 9, 0, 0, 0, time.UTC)
		dbtest.SetNow(w.DB, func() time.Time { return start })
		w.Person(accounttest.Email)
		link := w.link(accounttest.Email)
		b := w.browser()
		dbtest.SetNow(w.DB, func() time.Time { return start.Add(48*time.Hour - 10*time.Second) })
		w.answered(b, link)
		wantStatus(t, "ten seconds before", b.Get("/recovery/password"), http.StatusOK)
		dbtest.SetNow(w.DB, func() time.Time { return start.Add(48*time.Hour + 10*time.Second) })
		wantStatus(t, "ten seconds after", choose(b, accounttest.NewPassword), http.StatusGone)
		wantStatus(t, "the link", b.Get(link), http.StatusGone)
		if !w.CanSignIn(accounttest.Email, accounttest.Password) {
			t.Error("the password changed")
		}
		if tickets, _ := w.tickets(); tickets[0].State != recovery.Expired {
			t.Errorf("state %s", tickets[0].State)
		}
	})
}

func TestAFlowDoesNotOutliveItsTime(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t))
	w.Person(accounttest.Email)
	link := w.link(accounttest.Email)
	b := w.browser()
	w.answered(b, link)
	dbtest.Advance(w.DB, w.Realm.Lifetimes.Interaction+time.Second)
	wantStatus(t, "an old walk", choose(b, accounttest.NewPassword), http.StatusGone)
	wantStatus(t, "the link itself", b.Get(link), http.StatusOK)
}

// tickets reads all tickets, oldest first.
func (w *world) tickets() ([]recovery.Ticket, error) {
	w.T.Helper()
	ctx := context.Background()
	rows, err := w.DB.Query(ctx, `SELECT id FROM recovery_tickets ORDER BY created_at, id`)
	ids, err := database.Collect(rows, err, func(r *database.Rows) (id uuid.UUID, err error) { err = r.Scan(&id); return id, err })
	if err != nil {
		w.T.Fatal(err)
	}
	var all []recovery.Ticket
	for _, id := range ids {
		t, err := w.recovery.Find(ctx, id)
		if err != nil {
			w.T.Fatal(err)
		}
		all = append(all, t)
	}
	return all, nil
}

// endings are the events that have to end older links and what was started from
// them, with what becomes of the first link.
var endings = map[string]struct {
	do    func(w *world) error
	state recovery.State
}{
	"a newer link": {func(w *world) error {
		dbtest.Advance(w.DB, 6*time.Minute)
		w.link(accounttest.Email)
		return nil
	}, recovery.Replaced},
	"a link from staff": {func(w *world) error {
		_, err := w.staffLink(accounttest.Email)
		return err
	}, recovery.Replaced},
	"a password change": {func(w *world) error {
		hash, err := w.Accounts.HashPassword(context.Background(), w.Realm, theOne(w), accounttest.NewPassword)
		if err != nil {
			return err
		}
		return w.DB.InTx(context.Background(), func(ctx context.Context) error {
			return w.Accounts.ReplacePassword(ctx, w.Realm, theOne(w).ID, hash, account.Reason{Why: account.Change, By: account.By{Actor: "system"}})
		})
	}, recovery.Cancelled},
	"an email change": {func(w *world) error {
		a := theOne(w)
		_, err := w.Accounts.ChangeEmail(context.Background(), w.Realm, a.ID, a.Version, "other@example.test", account.By{Actor: "system"})
		return err
	}, recovery.Cancelled},
	"another question": {func(w *world) error {
		return w.Accounts.SetQuestion(context.Background(), w.Realm, theOne(w), "first_concert", "los tigres", account.By{Actor: "system"})
	}, recovery.Cancelled},
	"a closed account": {func(w *world) error {
		return w.Accounts.Disable(context.Background(), w.Realm, theOne(w).ID, account.By{Actor: "system"})
	}, recovery.Cancelled},
	"a cancelled ticket": {func(w *world) error {
		tickets, _ := w.tickets()
		return w.recovery.Cancel(context.Background(), w.Realm, tickets[0].ID, account.By{Actor: "system"})
	}, recovery.Cancelled},
	"wrong answers elsewhere": {func(w *world) error {
		b := w.browser()
		open(b, w.LastLink(accounttest.Email))
		for range 5 {
			answer(b, "wrong")
		}
		return nil
	}, recovery.AnsweredWrong},
	"use elsewhere": {func(w *world) error {
		b := w.browser()
		w.answered(b, w.LastLink(accounttest.Email))
		choose(b, "another long new password")
		return nil
	}, recovery.Used},
}

func TestWhateverChangesThePersonEndsStartedRecoveries(t *testing.T) {
	for name, c := range endings {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, w *world) {
				w.Person(accounttest.Email)
				link := w.link(accounttest.Email)
				atQuestion, atPassword := w.browser(), w.browser()
				open(atQuestion, link)
				atQuestion.Get("/recovery/question")
				w.answered(atPassword, link)
				atPassword.Get("/recovery/password")
				if err := c.do(w); err != nil {
					t.Fatal(err)
				}
				wantStatus(t, "the link", w.browser().Get(link), http.StatusGone)
				wantStatus(t, "the question", atQuestion.Post("/recovery/question", url.Values{"answer": {accounttest.Answer}}), http.StatusGone)
				p := choose(atPassword, "a password nobody wants here")
				wantStatus(t, "the password", p, http.StatusGone)
				if p.H1() != "This link no longer works" || p.Link("Get a new link") != "/patient/forgot" {
					t.Errorf("page %q, link %q", p.H1(), p.Link("Get a new link"))
				}
				if w.CanSignIn(accounttest.Email, "a password nobody wants here") {
					t.Error("the dead link set a password")
				}
				if tickets, _ := w.tickets(); tickets[0].State != c.state {
					t.Errorf("state %s (%s), want %s", tickets[0].State, tickets[0].VoidReason, c.state)
				}
			})
		})
	}
}

// theOne is the person of these tests, as they are now.
func theOne(w *world) account.Account {
	w.T.Helper()
	a, err := w.Accounts.FindByEmail(context.Background(), w.Realm.Name, accounttest.Email)
	if err != nil {
		w.T.Fatal(err)
	}
	return a
}

// The letter of a link that was ended before it was sent is not sent.
func TestALetterThatWaitsIsNotSentAfterItsLinkEnded(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a := w.Person(accounttest.Email)
		w.forgot(w.browser(), accounttest.Email)
		if err := w.Accounts.Disable(context.Background(), w.Realm, a.ID, account.By{Actor: "system"}); err != nil {
			t.Fatal(err)
		}
		w.Deliver()
		if n := w.Post.To(accounttest.Email); n != 0 {
			t.Errorf("%d letters", n)
		}
	})
}

// Even a change that forgot to void the links does not leave them working.
func TestALinkIsBoundToEmailAndCredentialVersion(t *testing.T) {
	for name, change := range map[string]string{
		"credential version": `UPDATE accounts SET credential_version = credential_version + 1`,
		"email":              `UPDATE accounts SET login_email = 'moved@example.test'`,
		"state":              `UPDATE accounts SET state = 'disabled'`,
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, w *world) {
				w.Person(accounttest.Email)
				link := w.link(accounttest.Email)
				b := w.browser()
				w.answered(b, link)
				b.Get("/recovery/password")
				w.Exec(change)
				wantStatus(t, "the link", w.browser().Get(link), http.StatusGone)
				wantStatus(t, "the started recovery", choose(b, accounttest.NewPassword), http.StatusGone)
			})
		})
	}
}
