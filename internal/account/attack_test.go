package account_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/account/accounttest"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/web/webtest"
)

func TestGuessingInAnOpenBrowserIsRecordedAndEndsItsSession(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		w.Realm.SignIn.DisableAtFailures = 4
		a := w.Person(accounttest.Email)
		left, elsewhere := w.Browser(mount(w)), w.Browser(mount(w))
		session := w.SignIn(left, a)
		w.SignIn(elsewhere, a)
		left.Get("/account/password")
		for range 4 {
			if p := change(left, "wrong", accounttest.NewPassword, accounttest.NewPassword); p.Status != http.StatusUnprocessableEntity {
				t.Fatalf("%d", p.Status)
			}
		}
		n := w.Count(`SELECT COUNT(*) FROM audit_events WHERE kind = 'password.confirm_failed' AND outcome = 'failure'
			AND actor = $1 AND target = $1 AND ip <> ''`, a.Actor())
		if n != 4 {
			t.Errorf("%d events", n)
		}
		p := change(left, accounttest.Password, accounttest.NewPassword, accounttest.NewPassword)
		if p.Status != http.StatusSeeOther || p.Location() != "/patient/signin?return_to=/account/password" || left.Cookie("") != "" {
			t.Errorf("%d %s", p.Status, p.Location())
		}
		if w.Count(`SELECT COUNT(*) FROM sessions WHERE id = $1 AND ended_at IS NULL`, session) != 0 || w.Events("session.ended") != 1 ||
			len(w.Grants.Sessions) != 1 || w.Grants.Sessions[0] != session {
			t.Error("the session goes on")
		}
		if !w.CanSignIn(accounttest.Email, accounttest.Password) {
			t.Error("the password was changed, or the person is out")
		}
		// The person's own browser is none the worse, after the delay.
		dbtest.Advance(w.DB, 2*time.Minute)
		elsewhere.Get("/account/password")
		if p := change(elsewhere, accounttest.Password, accounttest.NewPassword, accounttest.NewPassword); p.Location() != "/patient/account?done=password" {
			t.Errorf("%d %s", p.Status, p.Location())
		}
	})
}

func TestThePasswordInAnotherSpellingIsNoAnswer(t *testing.T) {
	const plain = "Señor Bigotes del Río"
	spellings := []string{plain, "SEÑOR BIGOTES DEL RÍO", "senor bigotes del rio", " señor  bigotes del rio "}
	each(t, func(t *testing.T, w *accounttest.World) {
		_, link := invite(t, w)
		b := w.Browser(mount(w))
		b.Get(link)
		b.Post(link, url.Values{})
		b.Get("/activation/password")
		if p := b.Post("/activation/password", url.Values{"new-password": {plain}, "confirm-password": {plain}}); p.Status != http.StatusSeeOther {
			t.Fatalf("%d %s", p.Status, p.Text())
		}
		b.Get("/activation/question")
		for _, answer := range spellings {
			p := b.Post("/activation/question", url.Values{"question": {"first_pet"}, "answer": {answer}})
			if p.Status != http.StatusUnprocessableEntity || p.ByID("answer-err") == "" {
				t.Errorf("%q at activation: %d", answer, p.Status)
			}
		}
		if p := b.Post("/activation/question", url.Values{"question": {"first_pet"}, "answer": {"Bigotes"}}); p.Location() != "/patient/activation/done" {
			t.Fatalf("an honest answer: %d", p.Status)
		}
		a, err := w.Accounts.FindByEmail(ctx, w.Realm.Name, accounttest.Email)
		if err != nil {
			t.Fatal(err)
		}
		set := func(answer string) error {
			return w.Accounts.SetQuestion(ctx, w.Realm, find(t, w, a.ID), "first_pet", answer, account.By{Actor: a.Actor()})
		}
		for _, answer := range []string{plain, "  Señor   Bigotes del Río "} {
			if err := set(answer); !errors.Is(err, account.ErrAnswerObvious) {
				t.Errorf("%q as another answer: %v", answer, err)
			}
		}
		if err := set("Manchas"); err != nil {
			t.Error(err)
		}
	})
}

// Whoever has an open browser in which the password was typed a moment ago does
// not keep the hashes busy, nor fill the mailbox.
func TestTheQuestionIsTriedOnlySoOften(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		a, b := signedIn(w)
		b.Get("/account/question")
		try := func() *webtest.Page {
			return b.Post("/account/question", url.Values{"question": {"first_pet"}, "answer": {" "}})
		}
		w.Realm.Recovery.RequestsPerNetworkPerHour, w.Realm.Recovery.QuestionChangesPerHour = 1, 7
		for range w.Realm.Recovery.QuestionChangesPerHour {
			if p := try(); p.Status != http.StatusUnprocessableEntity {
				t.Fatalf("%d %s", p.Status, p.Text())
			}
		}
		if p := try(); p.Status != http.StatusServiceUnavailable || p.Header.Get("Retry-After") == "" {
			t.Errorf("%d", p.Status)
		}
		dbtest.Advance(w.DB, time.Hour+2*time.Minute)
		if err := w.Accounts.SetQuestion(ctx, w.Realm, find(t, w, a.ID), "first_pet", "Bigotes", account.By{Actor: a.Actor()}); err != nil {
			t.Errorf("an hour later: %v", err)
		}
	})
}

// Whoever has an invitation, or a link and the answer, does not keep the hashes
// busy either.
func TestBehindALinkPasswordsAreTriedOnlySoOften(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		_, link := invite(t, w)
		b := w.Browser(mount(w))
		b.Get(link)
		b.Post(link, url.Values{})
		w.Realm.Recovery.ChoicesPerHour = 3
		try := func() *webtest.Page {
			b.Get("/activation/password")
			return b.Post("/activation/password", url.Values{"new-password": {"seven walnut harbour"}, "confirm-password": {"seven walnut harbour"}})
		}
		for range w.Realm.Recovery.ChoicesPerHour {
			if p := try(); p.Status != http.StatusSeeOther {
				t.Fatalf("%d %s", p.Status, p.Text())
			}
		}
		if p := try(); p.Status != http.StatusServiceUnavailable || p.Header.Get("Retry-After") == "" {
			t.Errorf("one more password: %d", p.Status)
		}
		b.Get("/activation/question")
		answer := url.Values{"question": {"first_pet"}, "answer": {"Bigotes"}}
		if p := b.Post("/activation/question", answer); p.Status != http.StatusServiceUnavailable {
			t.Errorf("the question: %d", p.Status)
		}
		w.Realm.Recovery.ChoicesPerHour = 30
		b.Get("/activation/question")
		if p := b.Post("/activation/question", answer); p.Location() != "/patient/activation/done" {
			t.Errorf("within the limit: %d %s", p.Status, p.Location())
		}
	})
}

// heldGrants are one row that both ways of ending grants write. Ending those of a
// session takes its time once.
type heldGrants struct {
	db   *database.DB
	held chan struct{}
	once sync.Once
}

func (g *heldGrants) RevokeAll(ctx context.Context, _ uuid.UUID, _ string) error {
	_, err := g.db.Exec(ctx, `UPDATE held_grants SET n = n + 1`)
	return err
}

func (g *heldGrants) RevokeSession(ctx context.Context, _ uuid.UUID, _ string) error {
	_, err := g.db.Exec(ctx, `UPDATE held_grants SET n = n + 1`)
	g.once.Do(func() {
		close(g.held)
		time.Sleep(200 * time.Millisecond)
	})
	return err
}

// A thief who signs out all others again and again must not undo the new password.
func TestSigningOutTheOthersDoesNotStopANewPassword(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		a, thief := signedIn(w)
		w.SignIn(w.Browser(mount(w)), a)
		w.Exec(`CREATE TABLE held_grants (n bigint)`)
		w.Exec(`INSERT INTO held_grants VALUES (0)`)
		g := &heldGrants{db: w.DB, held: make(chan struct{})}
		w.Accounts.Connect(account.Peers{Grants: g, Tickets: w.Tickets})
		hash, err := w.Accounts.HashPassword(ctx, w.Realm, a, accounttest.NewPassword)
		if err != nil {
			t.Fatal(err)
		}
		thief.Get("/account")
		done := make(chan int)
		go func() { done <- thief.Post("/account/sessions/end-others", nil).Status }()
		<-g.held
		err = w.DB.InTx(ctx, func(ctx context.Context) error {
			return w.Accounts.ReplacePassword(ctx, w.Realm, a.ID, hash, account.Reason{Why: account.Change, By: account.By{Actor: a.Actor()}})
		})
		if status := <-done; err != nil || status != http.StatusSeeOther {
			t.Errorf("the new password: %v; the thief: %d", err, status)
		}
	})
}
