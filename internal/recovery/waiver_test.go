package recovery_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/account/accounttest"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/recovery"
)

var colleague = uuid.MustParse("0192f0c1-0000-7000-8000-000000000009")

// ask is one member of staff's request for a waiver.
func (w *world) ask(ticket, staff uuid.UUID) error {
	_, err := w.recovery.RequestWaiver(context.Background(), w.Realm, recovery.StaffWaiver{ResetID: ticket, By: staff,
		PracticeID: practiceID, IdentityCheck: "photo ID at the desk", IP: "192.0.2.7"})
	return err
}

func (w *world) agree(ticket, staff uuid.UUID) error {
	_, err := w.recovery.ApproveWaiver(context.Background(), w.Realm, recovery.StaffWaiver{ResetID: ticket, By: staff, PracticeID: practiceID})
	return err
}

// waived makes a staff link whose question is not asked.
func (w *world) waived(email string) (recovery.Ticket, string) {
	w.T.Helper()
	ticket, err := w.staffLink(email)
	if err == nil {
		err = errors.Join(w.ask(ticket.ID, staffMember), w.agree(ticket.ID, colleague))
	}
	if err != nil {
		w.T.Fatal(err)
	}
	return ticket, w.LastLink(email)
}

func TestAWaiverOfTwoLeadsPastTheQuestionOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Person(accounttest.Email)
		ticket, err := w.staffLink(accounttest.Email)
		if err != nil {
			t.Fatal(err)
		}
		link := w.LastLink(accounttest.Email)
		early := w.browser()
		open(early, link)
		if err := w.ask(ticket.ID, staffMember); err != nil {
			t.Fatal(err)
		}
		// Asked for is not agreed to.
		if p := early.Get("/recovery/question"); p.Status != http.StatusOK || !p.Has("answer") {
			t.Fatalf("before the second person: %d %s", p.Status, p.Location())
		}
		if p := early.Get("/recovery/password"); p.Location() != "/patient/recovery/question" {
			t.Fatalf("past the question: %d %s", p.Status, p.Location())
		}
		if err := w.agree(ticket.ID, colleague); err != nil {
			t.Fatal(err)
		}
		// The browser that waits at the question, or at the page for help, gets on.
		for _, at := range []string{"/recovery/question", "/recovery/help"} {
			if p := early.Get(at); p.Location() != "/patient/recovery/password" {
				t.Errorf("%s: %d %s", at, p.Status, p.Location())
			}
		}
		b := w.browser()
		if p := b.Get(link); !strings.Contains(p.Text(), "Step 1 of 2") || strings.Contains(p.Text(), "you answer your security question") {
			t.Errorf("the link: %s", p.Text())
		}
		open(b, link)
		if p := b.Get("/recovery/password"); p.Status != http.StatusOK || !strings.Contains(p.Text(), "Step 2 of 2") {
			t.Fatalf("the password: %d %s", p.Status, p.Text())
		}
		if p := choose(b, accounttest.NewPassword); p.Location() != "/patient/recovery/done" {
			t.Fatalf("save: %d %s", p.Status, p.Text())
		}
		wantStatus(t, "done", b.Get("/recovery/done"), http.StatusOK)
		if !w.CanSignIn(accounttest.Email, accounttest.NewPassword) {
			t.Error("the new password does not work")
		}
		wantStatus(t, "the other browser", choose(early, "another long password of mine"), http.StatusGone)
		wantStatus(t, "the link again", w.browser().Get(link), http.StatusGone)
		if w.Events("waiver.requested") != 1 || w.Count(`SELECT COUNT(*) FROM audit_events WHERE kind = 'waiver.approved' AND severity = 'high'
			AND actor = $1`, account.Actor(colleague)) != 1 {
			t.Error("the waiver is not in the trail")
		}
		// The next link asks again.
		next, err := w.staffLink(accounttest.Email)
		if err != nil {
			t.Fatal(err)
		}
		c := w.browser()
		open(c, w.LastLink(accounttest.Email))
		if p := c.Get("/recovery/question"); !p.Has("answer") {
			t.Errorf("the next link: %d %s", p.Status, p.Location())
		}
		if err := w.agree(next.ID, colleague); !errors.Is(err, recovery.ErrWaiver) {
			t.Errorf("agree to what nobody asked for: %v", err)
		}
	})
}

func TestAWaiverNeedsTwoPeople(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Person(accounttest.Email)
		ticket, err := w.staffLink(accounttest.Email)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.ask(ticket.ID, staffMember); err != nil {
			t.Fatal(err)
		}
		if err := w.ask(ticket.ID, colleague); !errors.Is(err, recovery.ErrWaiver) {
			t.Errorf("ask twice: %v", err)
		}
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if err := w.agree(ticket.ID, staffMember); !errors.Is(err, recovery.ErrSecondPerson) {
					t.Errorf("the same person: %v", err)
				}
			})
		}
		wg.Wait()
		if _, err := w.DB.Exec(context.Background(), `UPDATE answer_waivers SET approved_by = requested_by, approved_at = requested_at`); err == nil {
			t.Error("the table takes one person for two")
		}
		got, err := w.recovery.Find(context.Background(), ticket.ID)
		if err != nil || got.Waived() || got.Waiver.IdentityCheck != "photo ID at the desk" {
			t.Errorf("%+v %v", got.Waiver, err)
		}
		var won int
		var mu sync.Mutex
		for range 20 {
			wg.Go(func() {
				switch err := w.agree(ticket.ID, uuid.New()); {
				case err == nil:
					mu.Lock()
					won++
					mu.Unlock()
				case !errors.Is(err, recovery.ErrWaiver):
					t.Errorf("%v", err)
				}
			})
		}
		wg.Wait()
		if won != 1 || w.Events("waiver.approved") != 1 {
			t.Errorf("%d agreed", won)
		}
	})
}

func TestWhatNeitherMayBeWaivedNorAgreedTo(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := context.Background()
		for name, c := range map[string]struct {
			spoil func(a account.Account, ticket recovery.Ticket)
			want  error
		}{
			"replaced":  {func(account.Account, recovery.Ticket) { _, _ = w.staffLink(accounttest.Email) }, recovery.ErrTicket},
			"cancelled": {func(_ account.Account, k recovery.Ticket) { _ = w.recovery.Cancel(ctx, w.Realm, k.ID, account.By{}) }, recovery.ErrTicket},
			"expired":   {func(account.Account, recovery.Ticket) { dbtest.Advance(w.DB, 48*time.Hour) }, recovery.ErrTicket},
			"another practice": {func(_ account.Account, k recovery.Ticket) {
				w.Exec(`UPDATE recovery_tickets SET practice_id = $2 WHERE id = $1`, k.ID, uuid.New())
			}, recovery.ErrTicket},
			"the person asked": {func(_ account.Account, k recovery.Ticket) {
				w.Exec(`UPDATE recovery_tickets SET origin = 'self_service', practice_id = NULL WHERE id = $1`, k.ID)
			}, recovery.ErrTicket},
			"email changed 6 days ago": {func(a account.Account, _ recovery.Ticket) {
				w.Exec(`UPDATE accounts SET email_changed_at = $2 WHERE id = $1`, a.ID, w.DB.Now(ctx).Add(-6*24*time.Hour))
			}, recovery.ErrEmailChanged},
			"frozen": {func(a account.Account, _ recovery.Ticket) {
				_ = w.Accounts.Freeze(ctx, w.Realm, a.ID, account.By{Actor: "x"})
			}, account.ErrFrozen},
			"disabled": {func(a account.Account, _ recovery.Ticket) {
				_ = w.Accounts.Disable(ctx, w.Realm, a.ID, account.By{Actor: "x"})
			}, account.ErrState},
		} {
			w.Exec(`DELETE FROM accounts`)
			a := w.Person(accounttest.Email)
			ticket, err := w.staffLink(accounttest.Email)
			if err == nil {
				err = w.ask(ticket.ID, staffMember)
			}
			if err != nil {
				t.Fatal(err)
			}
			c.spoil(a, ticket)
			if err := w.agree(ticket.ID, colleague); !errors.Is(err, c.want) {
				t.Errorf("%s: agree: %v", name, err)
			}
			w.Exec(`DELETE FROM answer_waivers`)
			if err := w.ask(ticket.ID, staffMember); !errors.Is(err, c.want) {
				t.Errorf("%s: ask: %v", name, err)
			}
		}
		w.Exec(`DELETE FROM accounts`)
		a := w.Person(accounttest.Email)
		w.Exec(`UPDATE accounts SET email_changed_at = $2 WHERE id = $1`, a.ID, w.DB.Now(ctx).Add(-7*24*time.Hour-time.Minute))
		w.waived(accounttest.Email)
		if err := w.ask(uuid.New(), staffMember); !errors.Is(err, recovery.ErrNotFound) {
			t.Errorf("no such link: %v", err)
		}
	})
}

func TestAWaiverDiesWithItsLink(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a := w.Person(accounttest.Email)
		_, link := w.waived(accounttest.Email)
		b := w.browser()
		open(b, link)
		wantStatus(t, "before", b.Get("/recovery/password"), http.StatusOK)
		if _, err := w.Accounts.ChangeEmail(context.Background(), w.Realm, a.ID, a.Version, "insider@example.test", account.By{Actor: "system"}); err != nil {
			t.Fatal(err)
		}
		wantStatus(t, "after a change of the address", choose(b, accounttest.NewPassword), http.StatusGone)
		wantStatus(t, "the link", w.browser().Get(link), http.StatusGone)
		if _, err := w.staffLink("insider@example.test"); err != nil {
			t.Fatal(err)
		}
		c := w.browser()
		open(c, w.LastLink("insider@example.test"))
		if p := c.Get("/recovery/password"); p.Location() != "/patient/recovery/question" {
			t.Errorf("the new link skips the question: %d", p.Status)
		}
	})
}

func TestAWaiverHelpsWhereNoAnswerCan(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a := w.Person(accounttest.Email)
		w.Exec(`UPDATE accounts SET recovery_locked_until = $2 WHERE id = $1`, a.ID, w.DB.Now(context.Background()).Add(time.Hour))
		if _, err := w.staffLink(accounttest.Email); !errors.Is(err, recovery.ErrLocked) {
			t.Fatalf("locked: %v", err)
		}
		ticket, err := w.recovery.CreateStaffTicket(context.Background(), w.Realm, recovery.StaffTicket{AccountID: a.ID, ConfirmedEmail: a.LoginEmail,
			By: staffMember, PracticeID: practiceID, AssociationID: tieID, Practice: "Maple Pediatrics", Reason: "called us", WhileLocked: true})
		if err != nil {
			t.Fatal(err)
		}
		link := w.LastLink(accounttest.Email)
		if p := w.browser().Get(link); p.Status != http.StatusGone || p.H1() != "This link does not work yet" {
			t.Errorf("while locked: %d %s", p.Status, p.Text())
		}
		if err := errors.Join(w.ask(ticket.ID, staffMember), w.agree(ticket.ID, colleague)); err != nil {
			t.Fatal(err)
		}
		b := w.browser()
		open(b, link)
		if p := choose(b, accounttest.NewPassword); p.Location() != "/patient/recovery/done" {
			t.Errorf("save: %d %s", p.Status, p.Text())
		}
		// And for an account without a question.
		w.Exec(`DELETE FROM security_answers`)
		w.Exec(`UPDATE accounts SET recovery_locked_until = NULL`)
		_, link = w.waived(accounttest.Email)
		b = w.browser()
		open(b, link)
		wantStatus(t, "without a question", b.Get("/recovery/password"), http.StatusOK)
	})
}

func TestAFrozenAccountGetsNoLinkAndKeepsNone(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := context.Background()
		a := w.Person(accounttest.Email)
		b := w.browser()
		w.answered(b, w.link(accounttest.Email))
		if err := w.Accounts.Freeze(ctx, w.Realm, a.ID, account.By{Actor: "anonymous"}); err != nil {
			t.Fatal(err)
		}
		wantStatus(t, "a started recovery", choose(b, accounttest.NewPassword), http.StatusGone)
		// A link that survived its freezing would not work either.
		w.Exec(`UPDATE recovery_tickets SET voided_at = NULL, credential_version = (SELECT credential_version FROM accounts)`)
		wantStatus(t, "a link that was forgotten", b.Get("/recovery/password"), http.StatusGone)
		if _, err := w.staffLink(accounttest.Email); !errors.Is(err, account.ErrFrozen) {
			t.Errorf("from staff: %v", err)
		}
		w.Deliver()
		before, tickets := w.Post.To(accounttest.Email), w.Count(`SELECT COUNT(*) FROM recovery_tickets`)
		dbtest.Advance(w.DB, time.Hour)
		c := w.browser()
		if p := w.forgot(c, accounttest.Email); p.Location() != "/patient/forgot/sent" {
			t.Errorf("asked: %d %s", p.Status, p.Location())
		}
		w.Deliver()
		if w.Post.To(accounttest.Email) != before || w.Count(`SELECT COUNT(*) FROM recovery_tickets`) != tickets {
			t.Error("a link was sent")
		}
		if w.Count(`SELECT COUNT(*) FROM audit_events WHERE kind = 'recovery.requested' AND details LIKE '%frozen%'`) != 1 {
			t.Error("the trail does not say why")
		}
		if err := w.Accounts.Unfreeze(ctx, w.Realm, a.ID, account.By{Actor: "system"}); err != nil {
			t.Fatal(err)
		}
		w.answered(w.browser(), w.link(accounttest.Email))
	})
}

func TestACancelledInvitationIsNotSentAgainToWhoeverAsks(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := context.Background()
		a := w.Create(account.New{LoginEmail: accounttest.Email, State: account.Invited})
		if err := errors.Join(w.Accounts.Invite(ctx, w.Realm, a.ID, account.By{Actor: "system"}),
			w.Accounts.CancelInvitation(ctx, w.Realm, a.ID, account.By{Actor: "system"})); err != nil {
			t.Fatal(err)
		}
		dbtest.Advance(w.DB, time.Hour)
		w.forgot(w.browser(), accounttest.Email)
		if n := w.Count(`SELECT COUNT(*) FROM mail_outbox WHERE state = 'queued'`); n != 0 {
			t.Errorf("%d letters", n)
		}
		if err := w.Accounts.Invite(ctx, w.Realm, a.ID, account.By{Actor: "system"}); err != nil {
			t.Fatal(err)
		}
		dbtest.Advance(w.DB, time.Hour)
		w.forgot(w.browser(), accounttest.Email)
		if n := w.Count(`SELECT COUNT(*) FROM invitations`); n != 3 {
			t.Errorf("%d invitations after inviting anew", n)
		}
	})
}
