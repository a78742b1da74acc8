package signin_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portico-id/portico/internal/account/accounttest"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/session"
)

func TestStepUpSwapsTheTokenAndKeepsTheSession(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		now := time.Date(2025, 3, 3, 9, 0, 0, 0, time.UTC)
		dbtest.SetNow(w.DB, func() time.Time { return now })
		a := w.Person(accounttest.Email)
		app, _ := w.withApp(a)
		b := w.browser("192.0.2.1")
		id := w.SignIn(b, a)
		old := copyOf(b, "")
		now = now.Add(2 * time.Minute)
		p := b.Get(secondFlow + "&lang=en")
		if p.H1() != "One more step" || p.Link("Sign in as somebody else") != "" || p.Has("password") {
			t.Fatalf("%d %s", p.Status, p.Text())
		}
		p = b.Post(secondFlow, code(app.now()))
		if p.Location() != "/patient/oauth/authorize?flow="+flow.String() {
			t.Fatalf("%d %s", p.Status, p.Text())
		}
		s := w.sessionOf(b)
		if s == nil || s.ID != id || s.ACR != session.TwoFactors || !slices.Equal(s.AMR, []string{"pwd", "otp", "mfa"}) || !s.AuthTime.Equal(now) {
			t.Fatalf("%+v", s)
		}
		if s.ConfirmedAt.Equal(now) {
			t.Error("a code stands for a password")
		}
		if p := old.Get("/account"); !strings.HasPrefix(p.Location(), "/patient/signin") {
			t.Errorf("the old token lives on: %d", p.Status)
		}
		if w.sessions() != 1 || w.Events("session.strengthened") != 1 || w.Events("signin.succeeded") != 0 {
			t.Error("not the same session")
		}
		if p := b.Get("/account"); p.Status != http.StatusOK {
			t.Errorf("%d", p.Status)
		}
	})
}

func TestStepUpWithAPasskeyConfirms(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		now := time.Date(2025, 3, 3, 9, 0, 0, 0, time.UTC)
		dbtest.SetNow(w.DB, func() time.Time { return now })
		a := w.Person(accounttest.Email)
		k := w.withPasskey(w.Realm, a)
		b := w.browser("192.0.2.1")
		w.SignIn(b, a)
		now = now.Add(2 * time.Minute)
		p := b.Get(second + "?return_to=/account/password")
		p = b.Post(second+"?return_to=/account/password", url.Values{"response": {k.get(t, p.Value("options"))}})
		if p.Location() != "/patient/account/password" {
			t.Fatalf("%d %s", p.Status, p.Text())
		}
		if s := w.sessionOf(b); s == nil || !s.ConfirmedAt.Equal(now) || !slices.Equal(s.AMR, []string{"pwd", "hwk", "user", "mfa"}) {
			t.Errorf("%+v", s)
		}
	})
}

// Whoever finds an open browser does not go on guessing in it.
func TestWrongCodesInASessionEndIt(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a := w.Person(accounttest.Email)
		app, _ := w.withApp(a)
		w.Realm.SignIn.DelayFromFailure = 50
		b := w.browser("192.0.2.1")
		id := w.SignIn(b, a)
		b.Get(secondFlow + "&lang=en")
		for range 4 {
			if p := b.Post(secondFlow, code(app.bad())); p.Status != http.StatusUnprocessableEntity {
				t.Fatalf("%d %s", p.Status, p.Text())
			}
		}
		kept := copyOf(b, "flow", "")
		p := b.Post(secondFlow, code(app.bad()))
		if p.Status != http.StatusForbidden || p.Link("Start again") != "/patient/signin?flow="+flow.String() || b.Cookie("") != "" || w.sessions() != 0 {
			t.Errorf("%d %s", p.Status, p.Text())
		}
		if !slices.Contains(w.Grants.Sessions, id) {
			t.Error("what clients got through the session goes on")
		}
		kept.Get(plainPath)
		if p := kept.Post(secondFlow, code(app.next())); p.Status != http.StatusForbidden {
			t.Errorf("%d", p.Status)
		}
		// Right codes in between start the count again.
		w.SignIn(b, a)
		b.Get(secondFlow)
		for range 4 {
			b.Post(secondFlow, code(app.bad()))
		}
		if p := b.Post(secondFlow, code(app.next())); p.Status != http.StatusSeeOther {
			t.Errorf("%d %s", p.Status, p.Text())
		}
	})
}

func TestAPasskeySignsInAlone(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Realm.Lifetimes.KeptSession = 30 * 24 * time.Hour
		a := w.Person(accounttest.Email)
		k := w.withPasskey(w.Realm, a)
		b := w.browser("192.0.2.1")
		w.SignIn(b, a)
		before := b.Cookie("")
		p := b.Get(flowPath)
		if !strings.Contains(p.Body, `autocomplete="username webauthn"`) || !strings.Contains(p.Body, "data-passkey-conditional") ||
			!strings.Contains(p.Body, `hidden data-passkey="get"`) || strings.Contains(p.Value("options"), "allowCredentials") {
			t.Errorf("%s", p.Body)
		}
		answer := url.Values{"response": {k.get(t, p.Value("options"))}, "keep": {"yes"}, "email": {"anything"}, "password": {"wrong"}}
		p = b.Post(flowPath, answer)
		if p.Location() != "/patient/oauth/authorize?flow="+flow.String() {
			t.Fatalf("%d %s", p.Status, p.Text())
		}
		s := w.sessionOf(b)
		if s == nil || s.ACR != session.TwoFactors || !slices.Equal(s.AMR, []string{"hwk", "user", "mfa"}) || !s.Kept {
			t.Errorf("%+v", s)
		}
		if b.Cookie("") == before || w.sessions() != 1 || w.Events("signin.succeeded") != 1 || b.Cookie("device") == "" {
			t.Error("not a sign-in like any other")
		}
		b.Get(flowPath)
		if p := b.Post(flowPath, answer); p.Status != http.StatusUnprocessableEntity {
			t.Errorf("the same answer again: %d", p.Status)
		}
		// The browser that signed in with it is known to the account.
		for range 8 {
			wrong(w.browser("192.0.2.1"))
		}
		if !again(b, accounttest.Password) {
			t.Error("strangers keep it out")
		}
	})
}

func TestEveryRefusedPasskeyLooksTheSame(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		people := map[string]*key{"unknown": newKey()}
		closed, frozen := w.Person("closed@example.test"), w.Person("frozen@example.test")
		people["disabled"], people["frozen"] = w.withPasskey(w.Realm, closed), w.withPasskey(w.Realm, frozen)
		must(t, w.Accounts.Disable(ctx, w.Realm, closed.ID, by))
		must(t, w.Accounts.Freeze(ctx, w.Realm, frozen.ID, by))
		staff := create(w, w.Other, "staff@example.test")
		people["of another realm"] = w.withPasskey(w.Other, staff)
		want := ""
		for what, k := range people {
			b := w.browser("192.0.2.1")
			p := b.Get(plainPath)
			p = b.Post(plainPath, url.Values{"response": {k.get(t, p.Value("options"))}})
			if want == "" {
				want = p.Text()
			}
			if p.Status != http.StatusUnprocessableEntity || p.Text() != want || b.Cookie("") != "" ||
				!strings.Contains(want, "We could not sign you in with that passkey.") {
				t.Errorf("%s: %d %s", what, p.Status, p.Text())
			}
		}
		for _, garbage := range []string{"x", "{}", "null", strings.Repeat("{", 10<<10)} {
			b := w.browser("192.0.2.1")
			b.Get(plainPath)
			if p := b.Post(plainPath, url.Values{"response": {garbage}}); p.Status != http.StatusUnprocessableEntity || p.Text() != want {
				t.Errorf("%.10q: %d", garbage, p.Status)
			}
		}
		if n := w.Events("signin.failed"); n != 8 || w.sessions() != 0 {
			t.Errorf("%d events", n)
		}
	})
}

func TestPasskeysOfANetworkAreCounted(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Realm.SignIn.AttemptsPerNetwork = 3
		k := w.withPasskey(w.Realm, w.Person(accounttest.Email))
		for range 3 {
			b := w.browser("203.0.113.1")
			b.Get(plainPath)
			b.Post(plainPath, url.Values{"response": {"{}"}})
		}
		b := w.browser("203.0.113.1")
		p := b.Get(plainPath)
		p = b.Post(plainPath, url.Values{"response": {k.get(t, p.Value("options"))}})
		if p.Status != http.StatusUnprocessableEntity || p.Header.Get("Retry-After") == "" || !strings.Contains(p.Text(), "Too many tries.") {
			t.Errorf("%d %s", p.Status, p.Text())
		}
		b = w.browser("203.0.113.2")
		p = b.Get(plainPath)
		if p := b.Post(plainPath, url.Values{"response": {k.get(t, p.Value("options"))}}); p.Status != http.StatusSeeOther {
			t.Errorf("another network: %d %s", p.Status, p.Text())
		}
	})
}

func TestWithoutPasskeysThePageIsAsItWas(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Realm.IssuerURL.Host = "127.0.0.1:9000"
		p := w.browser("192.0.2.1").Get(plainPath)
		if p.Has("options") || p.Has("response") || strings.Contains(p.Body, "passkey") || !strings.Contains(p.Body, `autocomplete="username"`) {
			t.Errorf("%s", p.Body)
		}
	})
}
