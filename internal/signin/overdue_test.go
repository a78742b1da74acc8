package signin_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portico-id/portico/internal/account/accounttest"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/session"
)

// A session from before the last day is led where a sign-in would be.
func TestASessionFromBeforeTheLastDaySetsASecondStepUp(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Person(accounttest.Email)
		w.demand()
		w.Realm.Lifetimes.KeptSession = 60 * 24 * time.Hour
		b := w.browser("192.0.2.1")
		b.Get(plainPath)
		b.Post(plainPath, url.Values{"email": {accounttest.Email}, "password": {accounttest.Password}, "keep": {"yes"}})
		b.Get(enrol)
		b.Post(enrol, url.Values{})
		if s := w.sessionOf(b); s == nil || s.ACR != session.Password || s.Overdue || b.Get("/account").Status != 200 {
			t.Fatalf("%+v", s)
		}
		dbtest.Advance(w.DB, w.Realm.Factors.Grace+time.Second)
		w.goes(b, "/account/profile", second+"?return_to=%2Faccount%2Fprofile")
		w.goes(b, second+"?return_to=/account/profile", enrol+"?return_to=%2Faccount%2Fprofile")
		// Setting one up needs the password first, as ever.
		w.goes(b, enrol+"?return_to=/account/profile", plainPath+"?return_to=%2Faccount%2Fprofile")
		w.goes(b, enrolFlow, plainPath+"?flow="+flow.String())
		if p := b.Get(plainPath + "?return_to=/account/profile"); p.H1() != "Sign in" {
			t.Fatalf("%d %s %s", p.Status, p.Location(), p.Text())
		}
		p := b.Post(plainPath+"?return_to=/account/profile", url.Values{"email": {accounttest.Email}, "password": {accounttest.Password}})
		if p.Location() != "/patient"+enrol+"?return_to=%2Faccount%2Fprofile" {
			t.Fatalf("%d %s", p.Status, p.Location())
		}
		p = b.Get(enrolApp + "?return_to=/account/profile")
		app := appOf(w, keyOn(t, p))
		p = b.Post(enrolApp+"?return_to=/account/profile", url.Values{"code": {app.now()}})
		if p.Link("Continue") != "/patient/account/profile" || w.sessions() != 1 {
			t.Errorf("%d %s", p.Status, p.Text())
		}
		if p := b.Get("/account/profile"); p.Status != 200 {
			t.Errorf("%d %s", p.Status, p.Location())
		}
	})
}

// In a session of a moment ago the password need not be typed again, and "not
// now" is no answer.
func TestASessionThatBecomesTooWeakIsMadeStronger(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a := w.Person(accounttest.Email)
		b := w.browser("192.0.2.1")
		id := w.SignIn(b, a)
		w.demand()
		w.Realm.Factors.Grace = 0
		for _, path := range []string{enrol + "?return_to=/account", enrolFlow + "&lang=en"} {
			p := b.Get(path)
			if p.H1() != "Set up a second step" || strings.Contains(p.Text(), "Not now") || strings.Contains(p.Text(), "asks for more") ||
				!strings.Contains(p.Text(), "Your account must have a second step.") {
				t.Fatalf("%s: %d %s", path, p.Status, p.Text())
			}
			if p := b.Post(path, url.Values{}); p.Status != 422 || !strings.Contains(p.Text(), "It cannot wait any longer.") {
				t.Errorf("%s: not now: %d %s", path, p.Status, p.Location())
			}
		}
		app, _ := w.withApp(a)
		w.goes(b, "/account", second+"?return_to=%2Faccount")
		w.goes(b, enrol, second)
		b.Get(second)
		if p := b.Post(second, code(app.next())); p.Location() != "/patient/account" {
			t.Fatalf("%d %s", p.Status, p.Text())
		}
		if s := w.sessionOf(b); s == nil || s.ID != id || s.ACR != session.TwoFactors || b.Get("/account").Status != 200 {
			t.Errorf("%+v", s)
		}
	})
}
