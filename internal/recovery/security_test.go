package recovery_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/account/accounttest"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/web"
)

// head asks for a link the way scanners do, and returns the status.
func (w *world) head(path string) int {
	engine := gin.New()
	engine.Use(w.Pages.Middleware())
	w.mount(engine)
	req := httptest.NewRequest(http.MethodHead, path, nil)
	req = req.WithContext(realm.WithRealm(req.Context(), w.Realm))
	recorder := httptest.NewRecorder()
	web.HeadAsGet(engine).ServeHTTP(recorder, req)
	return recorder.Code
}

func TestTwentyLooksAtTheLinkChangeNothing(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Person(accounttest.Email)
		link := w.link(accounttest.Email)
		before := w.Dump()
		scanner := w.browser()
		for i := range 20 {
			if i%3 == 0 {
				scanner = w.browser() // without the cookies of before
			}
			wantStatus(t, "look", scanner.Get(link), http.StatusOK)
		}
		for range 5 {
			if status := w.head(link); status != http.StatusOK {
				t.Errorf("HEAD: status %d", status)
			}
		}
		if w.Dump() != before || w.Count(`SELECT COUNT(*) FROM recovery_tickets WHERE opened_at IS NOT NULL`) != 0 {
			t.Error("looking changed something")
		}
		// A scanner that sends the form without having been on the page.
		wantStatus(t, "a form from nowhere", w.browser().Post(link, url.Values{"csrf": {""}}), http.StatusForbidden)
		b := w.browser()
		w.answered(b, link)
		if p := choose(b, accounttest.NewPassword); p.Location() != "/patient/recovery/done" {
			t.Errorf("status %d", p.Status)
		}
	})
}

func TestStepsCannotBeSkipped(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Person(accounttest.Email)
		link := w.link(accounttest.Email)
		stranger := w.browser()
		stranger.Get("/forgot") // for a form token
		csrf := stranger.Get("/forgot").Value("csrf")
		form := url.Values{"new-password": {accounttest.NewPassword}, "confirm-password": {accounttest.NewPassword},
			"answer": {accounttest.Answer}, "csrf": {csrf}}
		for _, path := range []string{"/recovery/question", "/recovery/password", "/recovery/done", "/recovery/help"} {
			wantStatus(t, "no cookie, GET "+path, stranger.Get(path), http.StatusGone)
		}
		for _, path := range []string{"/recovery/question", "/recovery/password", "/reset/" + strings.Repeat("A", 43), "/reset/x"} {
			wantStatus(t, "no cookie, POST "+path, stranger.Post(path, form), http.StatusGone)
		}
		// The link's token is no flow.
		stranger.SetCookie("recovery", strings.TrimPrefix(link, "/reset/"))
		wantStatus(t, "the token as a flow", stranger.Post("/recovery/password", form), http.StatusGone)

		b := w.browser()
		open(b, link)
		csrf = b.Get("/recovery/question").Value("csrf")
		form.Set("csrf", csrf)
		if p := b.Get("/recovery/password"); p.Location() != "/patient/recovery/question" {
			t.Errorf("password page before the answer: %d %s", p.Status, p.Location())
		}
		if p := b.Post("/recovery/password", form); p.Location() != "/patient/recovery/question" {
			t.Errorf("password before the answer: %d %s", p.Status, p.Location())
		}
		wantStatus(t, "done before the end", b.Get("/recovery/done"), http.StatusGone)

		// An answer in one browser opens nothing in another.
		second := w.browser()
		w.answered(second, link)
		if p := b.Post("/recovery/password", form); p.Location() != "/patient/recovery/question" {
			t.Errorf("another browser's answer opened the last step: %d %s", p.Status, p.Location())
		}
		// A link of one realm is nothing in the other.
		other := w.BrowserOf(w.Other, w.mount)
		wantStatus(t, "another realm", other.Get(link), http.StatusGone)
		other.SetCookie("recovery", second.Cookie("recovery"))
		wantStatus(t, "another realm's flow", other.Get("/recovery/password"), http.StatusGone)

		if !w.CanSignIn(accounttest.Email, accounttest.Password) {
			t.Error("the password changed")
		}
	})
}

func TestNoQuestionIsADeadEndAndNeverSkipped(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Create(account.New{LoginEmail: accounttest.Email, State: account.Active, Password: accounttest.Password})
		link := w.link(accounttest.Email)
		for _, break_ := range []string{"", `UPDATE security_answers SET answer_hash = ''`, `UPDATE security_answers SET question = 'gone_from_list'`} {
			if break_ != "" {
				a, _ := w.Accounts.FindByEmail(context.Background(), w.Realm.Name, accounttest.Email)
				if w.Count(`SELECT COUNT(*) FROM security_answers`) == 0 {
					w.Exec(`INSERT INTO security_answers (account_id, question, answer_hash, set_at) VALUES ($1, 'first_pet', 'x', $2)`, a.ID, time.Now())
				}
				w.Exec(break_)
			}
			b := w.browser()
			open(b, link)
			p := b.Get("/recovery/question")
			if p.H1() != "We can help you" || !strings.Contains(p.Text(), "555-0100") || p.Has("answer") {
				t.Fatalf("%s", p.Text())
			}
			csrf := b.Get("/forgot").Value("csrf")
			for _, form := range []url.Values{{}, {"answer": {""}}, {"answer[]": {"x"}}, {"answer": {"x"}}, {"answer": {"null", ""}}} {
				form.Set("csrf", csrf)
				p := b.Post("/recovery/question", form)
				if p.Status != http.StatusOK || p.H1() != "We can help you" {
					t.Errorf("answer %v: %d %s", form, p.Status, p.Location())
				}
			}
			if p := b.Get("/recovery/password"); p.Location() != "/patient/recovery/question" {
				t.Errorf("past the question: %d", p.Status)
			}
		}
	})
}

func TestNewPasswordsAreJudged(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t))
	w.Person(accounttest.Email)
	b := w.browser()
	w.answered(b, w.link(accounttest.Email))
	b.Get("/recovery/password")
	for plain, says := range map[string]string{
		"":                         "Use at least 15 characters",
		"fourteen chars":           "Use at least 15 characters",
		"passwordpassword":         "That password is easy to guess. Try three unrelated words.",
		"maria.gomez@example.test": "That password is easy to guess. Try three unrelated words.",
		strings.Repeat("é", 257):   "Use at most 256 characters",
		strings.Repeat("x", 2000):  "Use at most 256 characters",
	} {
		p := choose(b, plain)
		if p.Status != http.StatusUnprocessableEntity || p.ByID("new-password-err") != says {
			t.Errorf("%.20q: %d %q", plain, p.Status, p.ByID("new-password-err"))
		}
		if plain != "" && plain != accounttest.Email && len(plain) < 1000 && strings.Contains(p.Body, plain) {
			t.Errorf("%.20q is on the page", plain)
		}
	}
	p := b.Post("/recovery/password", url.Values{"new-password": {accounttest.NewPassword}, "confirm-password": {"x"}})
	if p.ByID("confirm-password-err") != "The two passwords are not the same" {
		t.Errorf("%s", p.Text())
	}
	if p := choose(b, accounttest.NewPassword); p.Location() != "/patient/recovery/done" {
		t.Errorf("a mistake cost the link: %d", p.Status)
	}
}

func TestSecretsAreInNoLogAuditOrDatabase(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Person(accounttest.Email)
		link := w.link(accounttest.Email)
		b := w.browser()
		open(b, link)
		answer(b, "canary wrong answer")
		w.answered(b, link)
		flow := b.Cookie("recovery")
		choose(b, "canary weak")
		choose(b, accounttest.NewPassword)
		w.Deliver()
		token := strings.TrimPrefix(link, "/reset/")
		for _, where := range []struct{ name, text string }{{"log", w.Log.String()}, {"database", w.Dump()}} {
			for _, canary := range []string{token, flow, accounttest.NewPassword, accounttest.Password, "canary wrong answer", "canary weak",
				accounttest.Answer, "senor bigotes"} {
				if strings.Contains(where.text, canary) {
					t.Errorf("%q is in the %s", canary, where.name)
				}
			}
		}
		if !strings.Contains(w.Log.String(), "/reset/:token") {
			t.Error("the log is empty, so it proves nothing")
		}
	})
}

func TestTheLinkPageSaysWhoIsSignedIn(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t))
	w.Person(accounttest.Email)
	other := w.Person("someone.else@example.test")
	link := w.link(accounttest.Email)
	b := w.browser()
	w.SignIn(b, other)
	if p := b.Get(link); !strings.Contains(p.Text(), "You are signed in here as someone.else@example.test") {
		t.Errorf("%s", p.Text())
	}
	w.answered(b, link)
	if p := choose(b, accounttest.NewPassword); p.Location() != "/patient/recovery/done" {
		t.Errorf("status %d", p.Status)
	}
}
