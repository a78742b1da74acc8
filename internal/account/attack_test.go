package account_test

import (
	"errors"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/account/accounttest"
	"github.com/portico-id/portico/internal/database/dbtest"
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
		set := func(answer, current string) error {
			return w.Accounts.SetQuestion(ctx, w.Realm, a.ID, "first_pet", answer, current, account.By{Actor: a.Actor()})
		}
		for _, answer := range spellings {
			if err := set(answer, plain); !errors.Is(err, account.ErrAnswerObvious) {
				t.Errorf("%q as another answer: %v", answer, err)
			}
		}
		if err := set("Manchas", "senor bigotes del rio"); !errors.Is(err, account.ErrCredentials) {
			t.Errorf("without the password: %v", err)
		}
		if err := set("Manchas", plain); err != nil {
			t.Error(err)
		}
	})
}
