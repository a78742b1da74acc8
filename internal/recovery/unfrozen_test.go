package recovery_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/account/accounttest"
	"github.com/portico-id/portico/internal/database/dbtest"
)

// both mounts My Account beside the recovery.
func (w *world) both(g *gin.Engine) {
	w.mount(g)
	account.NewHandler(w.Pages, w.Accounts).Mount(g)
}

// unfrozen makes an account that was frozen by the link of its newest notice and
// opened again: it has no password.
func (w *world) unfrozen(a account.Account) {
	w.T.Helper()
	b := w.Browser(w.both)
	link := w.LastFreezeLink(a.LoginEmail)
	b.Get(link)
	b.Post(link, url.Values{})
	b.Get("/freeze/confirm")
	if p := b.Post("/freeze/confirm", url.Values{"decision": {"yes"}}); p.Location() != "/patient/freeze/done" {
		w.T.Fatalf("%d %s", p.Status, p.Location())
	}
	if err := w.Accounts.Unfreeze(context.Background(), w.Realm, a.ID, account.By{Actor: account.Actor(staffMember), PracticeID: practiceID.String(), Practice: "Maple Pediatrics"}); err != nil {
		w.T.Fatal(err)
	}
	if w.CanSignIn(a.LoginEmail, accounttest.Password) || w.CanSignIn(a.LoginEmail, accounttest.NewPassword) {
		w.T.Fatal("a password still works")
	}
}

// The person's own question is older than the notice, so a link is enough.
func TestAnAccountWithoutAPasswordRecovers(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := context.Background()
		a := w.Person(accounttest.Email)
		dbtest.Advance(w.DB, time.Minute)
		hash, err := w.Accounts.HashPassword(ctx, w.Realm, a, "a long password of a thief")
		if err != nil {
			t.Fatal(err)
		}
		if err := w.DB.InTx(ctx, func(ctx context.Context) error {
			return w.Accounts.ReplacePassword(ctx, w.Realm, a.ID, hash, account.Reason{Why: account.Change, By: account.By{Actor: a.Actor()}})
		}); err != nil {
			t.Fatal(err)
		}
		w.unfrozen(a)
		b := w.Browser(w.both)
		if p := w.forgot(b, accounttest.Email); p.Location() != "/patient/forgot/sent" {
			t.Fatalf("%d", p.Status)
		}
		w.answered(b, w.LastLink(accounttest.Email))
		if p := choose(b, accounttest.NewPassword); p.Location() != "/patient/recovery/done" {
			t.Fatalf("%d %s", p.Status, p.Text())
		}
		if p := b.Get("/recovery/done"); strings.Contains(p.Text(), "no security question") {
			t.Errorf("%s", p.Text())
		}
		if !w.CanSignIn(accounttest.Email, accounttest.NewPassword) || w.CanSignIn(accounttest.Email, "a long password of a thief") {
			t.Error("not exactly the new password works")
		}
	})
}

// The question was the thief's. A link alone ends where it ends for everybody
// who has none; two members of staff help, and then there is a new one.
func TestAWaiverAndThenANewQuestionWhereTheThiefSetTheLast(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := context.Background()
		a := w.Person(accounttest.Email)
		dbtest.Advance(w.DB, time.Minute)
		if err := w.Accounts.SetQuestion(ctx, w.Realm, a, "first_concert", "los tigres", account.By{Actor: a.Actor()}); err != nil {
			t.Fatal(err)
		}
		w.unfrozen(a)
		b := w.Browser(w.both)
		open(b, w.link(accounttest.Email))
		if p := b.Get("/recovery/question"); p.Status != http.StatusOK || p.Has("answer") || p.H1() == "" || strings.Contains(p.Text(), "concert") {
			t.Errorf("%d %s", p.Status, p.Text())
		}
		if p := b.Get("/recovery/password"); p.Location() != "/patient/recovery/question" {
			t.Errorf("around the question: %d %s", p.Status, p.Location())
		}
		_, link := w.waived(accounttest.Email)
		open(b, link)
		b.Get("/recovery/password")
		if p := choose(b, accounttest.NewPassword); p.Location() != "/patient/recovery/done" {
			t.Fatalf("%d %s", p.Status, p.Text())
		}
		for lang, says := range map[string]string{"en": "You have no security question now. Sign in and choose one in My Account", "es": "Inicie sesión y elija una en Mi cuenta"} {
			if p := b.Get("/recovery/done?lang=" + lang); !strings.Contains(p.Text(), says) || p.Link(map[string]string{"en": "My Account", "es": "Mi cuenta"}[lang]) != "/patient/account" {
				t.Errorf("%s", p.Text())
			}
		}
		b.Get("/recovery/done?lang=en")
		// Signed in, the person finds the way to a new one.
		now, err := w.Accounts.Authenticate(ctx, w.Realm, accounttest.Email, accounttest.NewPassword)
		if err != nil {
			t.Fatal(err)
		}
		w.SignIn(b, now)
		if p := b.Get("/account"); !strings.Contains(p.Text(), "None. Choose one now") || p.Link("Change Security question") != "/patient/account/question" {
			t.Errorf("%s", p.Text())
		}
		b.Get("/account/question")
		if p := b.Post("/account/question", url.Values{"question": {accounttest.Question}, "answer": {accounttest.Answer}}); p.Location() != "/patient/account?done=question" {
			t.Fatalf("%d %s", p.Status, p.Text())
		}
		dbtest.Advance(w.DB, time.Hour)
		c := w.browser()
		w.answered(c, w.link(accounttest.Email))
	})
}
