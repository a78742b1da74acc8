package signin_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portico-id/portico/internal/account/accounttest"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/session"
	"github.com/portico-id/portico/internal/web/webtest"
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

// What is turned away unseen is no try: else a double click would end a session
// in which nobody has guessed.
func TestThrottledCodesEndNoSession(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		now := time.Date(2025, 3, 3, 9, 0, 0, 0, time.UTC)
		dbtest.SetNow(w.DB, func() time.Time { return now })
		w.Realm.SignIn.DelayFromFailure, w.Realm.SignIn.FirstDelay, w.Realm.SignIn.MaxDelay = 2, time.Minute, time.Minute
		a := w.Person(accounttest.Email)
		app, _ := w.withApp(a)
		b := w.browser("192.0.2.1")
		w.SignIn(b, a)
		b.Get(secondFlow + "&lang=en")
		for range 2 {
			b.Post(secondFlow, code(app.bad()))
		}
		for range 8 {
			if p := b.Post(secondFlow, code(app.bad())); p.Status != http.StatusUnprocessableEntity || !strings.Contains(p.Text(), "Wait one minute") {
				t.Fatalf("%d %s", p.Status, p.Text())
			}
		}
		now = now.Add(time.Minute)
		if p := b.Post(secondFlow, code(app.bad())); !strings.Contains(p.Text(), "Tries left: 2.") {
			t.Errorf("%d %s", p.Status, p.Text())
		}
		now = now.Add(time.Minute)
		if p := b.Post(secondFlow, code(app.now())); p.Status != http.StatusSeeOther || w.sessionOf(b).ACR != session.TwoFactors {
			t.Errorf("%d %s", p.Status, p.Text())
		}
	})
}

// Tries that come at once are as many as others.
func TestManyWrongCodesAtOnceInASession(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a := w.Person(accounttest.Email)
		app, _ := w.withApp(a)
		w.Realm.SignIn.DelayFromFailure = 50
		b := w.browser("192.0.2.1")
		w.SignIn(b, a)
		bad := app.bad()
		var all sync.WaitGroup
		for range 32 {
			tab := copyOf(b, "flow", "")
			tab.Get(secondFlow)
			all.Go(func() { tab.Post(secondFlow, code(bad)) })
		}
		all.Wait()
		seen := w.Count(`SELECT COUNT(*) FROM audit_events WHERE kind = 'signin.second_failed' AND details LIKE '%wrong_code%'`)
		if seen != 5 || w.sessions() != 0 {
			t.Errorf("%d codes were verified, want 5; %d sessions", seen, w.sessions())
		}
	})
}

// A code for a sign-in that is over is no try at the session that the browser
// has beside it, which may be another person's.
func TestACodeForASignInThatIsOverCountsNowhereElse(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		other := w.Person("other@example.test")
		w.withApp(other)
		app, _ := w.withApp(w.Person(accounttest.Email))
		for what, over := range map[string]func(b *webtest.Browser){
			"expired":     func(*webtest.Browser) { dbtest.Advance(w.DB, 11*time.Minute) },
			"another tab": func(b *webtest.Browser) { b.SetCookie("step", "") },
			"spent":       func(*webtest.Browser) { w.Exec(`UPDATE signin_steps SET used_at = created_at`) },
			"begun once more": func(b *webtest.Browser) {
				tab := copyOf(b, "flow", "")
				w.half(tab, flowPath)
				b.SetCookie("step", tab.Cookie("step"))
			},
		} {
			b := w.browser("192.0.2.1")
			w.SignIn(b, other)
			page := w.half(b, flowPath)
			over(b)
			before := w.Events("signin.second_failed")
			for _, form := range []url.Values{code(app.bad()), {"response": {"{}"}}} {
				form.Set("csrf", page.Value("csrf"))
				form.Set("step", page.Value("step"))
				p := b.Post(secondFlow, form)
				if p.Status != http.StatusForbidden || p.H1() != "Sign in again" || p.Link("Start again") != "/patient/signin?flow="+flow.String() {
					t.Errorf("%s: %d %s", what, p.Status, p.Text())
				}
			}
			if s := w.sessionOf(b); s == nil || s.AccountID != other.ID || s.ACR != session.Password {
				t.Errorf("%s: %+v", what, s)
			}
			if n := w.Count(`SELECT COUNT(*) FROM rate_counters WHERE counter_key LIKE 'second-step/%' OR counter_key LIKE 'factor-tries/%'`); n != 0 ||
				w.Events("signin.second_failed") != before || w.Count(`SELECT COALESCE(MAX(tries), 0) FROM signin_steps`) != 0 {
				t.Errorf("%s: it counts", what)
			}
		}
	})
}
