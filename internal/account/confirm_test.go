package account_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/account/accounttest"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/web/webtest"
)

// signedIn opens a browser with a fresh session of a new person.
func signedIn(w *accounttest.World) (account.Account, *webtest.Browser) {
	w.T.Helper()
	a := w.Person(accounttest.Email)
	b := w.Browser(mount(w))
	w.SignIn(b, a)
	return a, b
}

// inSpanish looks at a page in both languages and wants them to differ.
func inSpanish(t *testing.T, b *webtest.Browser, path, english, spanish string) {
	t.Helper()
	if p := b.Get(path + "?lang=es"); p.H1() != spanish {
		t.Errorf("%s in Spanish: %d %q", path, p.Status, p.H1())
	}
	if p := b.Get(path + "?lang=en"); p.H1() != english {
		t.Errorf("%s in English: %d %q", path, p.Status, p.H1())
	}
}

func TestAnOpenBrowserChangesNothingThatProvesThePerson(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		a, thief := signedIn(w)
		forms := map[string]url.Values{
			"/account/email":    {"new-email": {"thief@example.test"}},
			"/account/question": {"question": {"first_concert"}, "answer": {"los tigres"}},
		}
		for path := range forms {
			if p := thief.Get(path); p.Status != http.StatusOK {
				t.Fatalf("%s right after signing in: %d", path, p.Status)
			}
		}
		dbtest.Advance(w.DB, w.Realm.Lifetimes.Reauthentication)
		before := w.Dump()
		for path, form := range forms {
			confirm := "/patient/account/confirm?return_to=" + url.QueryEscape(path)
			if p := thief.Get(path); p.Status != http.StatusSeeOther || p.Location() != confirm {
				t.Errorf("GET %s: %d %s", path, p.Status, p.Location())
			}
			thief.Get("/account")
			if p := thief.Post(path, form); p.Status != http.StatusSeeOther || p.Location() != confirm {
				t.Errorf("POST %s: %d %s", path, p.Status, p.Location())
			}
		}
		thief.Get("/account/password")
		if p := change(thief, "a guess", accounttest.NewPassword, accounttest.NewPassword); p.Status != http.StatusUnprocessableEntity {
			t.Errorf("POST /account/password: %d", p.Status)
		}
		if after := find(t, w, a.ID); after.CredentialVersion != a.CredentialVersion || after.LoginEmail != a.LoginEmail || w.Count(`SELECT COUNT(*) FROM email_changes`) != 0 ||
			w.Count(`SELECT COUNT(*) FROM mail_outbox`) != 0 {
			t.Errorf("something changed:\n%s\n%s", before, w.Dump())
		}
		if ok, err := w.Accounts.VerifyAnswer(ctx, a.ID, accounttest.Answer); !ok || err != nil {
			t.Error("the answer changed", err)
		}
	})
}

func TestThePasswordConfirmsASession(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		_, b := signedIn(w)
		dbtest.Advance(w.DB, 6*time.Minute)
		page := "/account/confirm?return_to=/account/email"
		p := b.Get(page)
		if p.H1() != "Confirm that it is you" || p.Value("username") != accounttest.Email || !p.Has("password") {
			t.Fatalf("%s", p.Text())
		}
		inSpanish(t, b, "/account/confirm", "Confirm that it is you", "Confirme que es usted")
		for typed, says := range map[string]string{"": "Enter your current password", "wrong": "That is not your current password. Check it and try again."} {
			b.Get(page)
			if p := b.Post(page, url.Values{"password": {typed}}); p.Status != http.StatusUnprocessableEntity || p.ByID("password-err") != says {
				t.Errorf("%q: %d %q", typed, p.Status, p.ByID("password-err"))
			}
		}
		if p := b.Get("/account/email"); p.Status != http.StatusSeeOther {
			t.Errorf("confirmed by nothing: %d", p.Status)
		}
		b.Get(page)
		stolen := b.Another()
		stolen.SetCookie("", b.Cookie(""))
		if p := b.Post(page, url.Values{"password": {accounttest.Password}}); p.Status != http.StatusSeeOther || p.Location() != "/patient/account/email" {
			t.Fatalf("%d %s", p.Status, p.Location())
		}
		if p := b.Get("/account/email"); p.Status != http.StatusOK {
			t.Errorf("confirmed: %d", p.Status)
		}
		if p := b.Get(page); p.Status != http.StatusSeeOther || p.Location() != "/patient/account/email" {
			t.Errorf("asked again: %d %s", p.Status, p.Location())
		}
		// A copy of the cookie from before gains nothing by it.
		if p := stolen.Get("/account"); p.Status != http.StatusSeeOther || !strings.Contains(p.Location(), "/signin") {
			t.Errorf("the old cookie: %d %s", p.Status, p.Location())
		}
		if w.Events("session.confirmed") != 1 || w.Events("password.confirm_failed") != 1 {
			t.Error("events")
		}
		dbtest.Advance(w.DB, w.Realm.Lifetimes.Reauthentication)
		if p := b.Get("/account/email"); p.Status != http.StatusSeeOther {
			t.Errorf("after five minutes: %d", p.Status)
		}
	})
}

func TestConfirmingLeadsToOwnPagesOnly(t *testing.T) {
	w := accounttest.New(t, dbtest.SQLite(t))
	_, b := signedIn(w)
	for _, evil := range []string{"https://evil.example.test", "//evil.example.test", "/account/../oauth/logout", "/oauth/authorize?x=y",
		"/account/email?x=y", "/account/email\n", "javascript:alert(1)", "/accountant", ""} {
		p := b.Get("/account/confirm?return_to=" + url.QueryEscape(evil))
		if p.Status != http.StatusSeeOther || p.Location() != "/patient/account" {
			t.Errorf("%q: %d %s", evil, p.Status, p.Location())
		}
	}
	out := w.Browser(mount(w))
	if p := out.Get("/account/confirm?return_to=/account/email"); p.Location() != "/patient/signin?return_to=%2Faccount%2Femail" {
		t.Errorf("signed out: %s", p.Location())
	}
}

func TestGuessingAtTheConfirmationEndsTheSession(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		w.Realm.SignIn.DisableAtFailures = 4
		_, thief := signedIn(w)
		dbtest.Advance(w.DB, 6*time.Minute)
		page := "/account/confirm?return_to=/account/email"
		thief.Get(page)
		for range 4 {
			if p := thief.Post(page, url.Values{"password": {"wrong"}}); p.Status != http.StatusUnprocessableEntity {
				t.Fatalf("%d", p.Status)
			}
		}
		p := thief.Post(page, url.Values{"password": {accounttest.Password}})
		if p.Location() != "/patient/signin?return_to=/account/email" || thief.Cookie("") != "" || w.Events("session.ended") != 1 {
			t.Errorf("%d %s", p.Status, p.Location())
		}
	})
}

func TestGuessingAtTheConfirmationIsSlowedDown(t *testing.T) {
	w := accounttest.New(t, dbtest.SQLite(t))
	_, thief := signedIn(w)
	dbtest.Advance(w.DB, 6*time.Minute)
	thief.Get("/account/confirm")
	slowed := false
	for range 7 {
		p := thief.Post("/account/confirm", url.Values{"password": {"wrong"}})
		slowed = slowed || p.ByID("password-err") == "Too many tries. Wait one minute or reset your password."
	}
	if !slowed {
		t.Error("not slowed down")
	}
}

func TestTheQuestionIsChanged(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		a, b := signedIn(w)
		p := b.Get("/account/question")
		// Which question is asked now stands behind a live link only: nothing
		// is chosen, and all of them are in the list.
		if p.H1() != "Change your security question" || strings.Contains(p.Body, " selected") || strings.Contains(p.Text(), accounttest.Answer) {
			t.Errorf("%s", p.Text())
		}
		for _, key := range account.Questions() {
			if !strings.Contains(p.Body, `value="`+key+`"`) {
				t.Errorf("%s is not offered", key)
			}
		}
		inSpanish(t, b, "/account/question", "Change your security question", "Cambiar su pregunta de seguridad")
		for _, c := range []struct{ question, answer, field, says string }{
			{"", "x", "question-err", "Choose a question"},
			{"mothers_maiden_name", "x", "question-err", "Choose a question"},
			{"first_concert", " ", "answer-err", "Enter an answer"},
			{"first_concert", strings.Repeat("x", 2000), "answer-err", "Use a shorter answer"},
			{"first_concert", accounttest.Email, "answer-err", "Choose an answer that is not your email, your password or the question itself"},
			{"first_concert", accounttest.Password, "answer-err", "Choose an answer that is not your email, your password or the question itself"},
			{"first_concert", "COPPER  lantern walking NORTH", "answer-err", "Choose an answer that is not your email, your password or the question itself"},
		} {
			p := b.Post("/account/question", url.Values{"question": {c.question}, "answer": {c.answer}})
			if p.Status != http.StatusUnprocessableEntity || p.ByID(c.field) != c.says || strings.Contains(p.Body, "x</input") {
				t.Errorf("%q %.20q: %d %q", c.question, c.answer, p.Status, p.ByID(c.field))
			}
		}
		if p := b.Post("/account/question", url.Values{"question": {"first_concert"}, "answer": {"Los Tigres"}}); p.Location() != "/patient/account?done=question" {
			t.Fatalf("%d %s", p.Status, p.Text())
		}
		if p := b.Get("/account?done=question"); !strings.Contains(p.Text(), "Your security question is changed.") || strings.Contains(p.Text(), "concert") {
			t.Errorf("%s", p.Text())
		}
		key, _, _ := w.Accounts.Question(ctx, a.ID)
		if ok, err := w.Accounts.VerifyAnswer(ctx, a.ID, "los tigres"); !ok || err != nil || key != "first_concert" {
			t.Errorf("%s %t %v", key, ok, err)
		}
		w.Deliver()
		if w.Post.To(accounttest.Email) != 1 || w.Events("question.changed") != 1 || len(w.Tickets.Reasons) != 1 {
			t.Error("no notice, no event, or links live on")
		}
		w.LastFreezeLink(accounttest.Email)
	})
}

func TestANewPasswordIsNotTheAnswer(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		w.Create(account.New{LoginEmail: accounttest.Email, State: account.Active, Password: accounttest.Password,
			Question: accounttest.Question, Answer: "Señor Bigotes del Río"})
		a, err := w.Accounts.FindByEmail(ctx, w.Realm.Name, accounttest.Email)
		if err != nil {
			t.Fatal(err)
		}
		b := w.Browser(mount(w))
		w.SignIn(b, a)
		b.Get("/account/password")
		for _, plain := range []string{"Señor Bigotes del Río", "SENOR  BIGOTES DEL RIO", "señor bigotes del río"} {
			p := change(b, accounttest.Password, plain, plain)
			if p.Status != http.StatusUnprocessableEntity || p.ByID("new-password-err") != "Choose a password that is not the answer to your security question" {
				t.Errorf("%q: %d %q", plain, p.Status, p.ByID("new-password-err"))
			}
		}
		// Without the current password nobody learns whether it is the answer.
		if p := change(b, "wrong", "Señor Bigotes del Río", "Señor Bigotes del Río"); p.ByID("new-password-err") != "" || p.ByID("current-password-err") == "" {
			t.Errorf("an oracle for the answer: %q", p.ByID("new-password-err"))
		}
		if p := change(b, accounttest.Password, accounttest.NewPassword, accounttest.NewPassword); p.Status != http.StatusSeeOther {
			t.Errorf("%d", p.Status)
		}
	})
}
