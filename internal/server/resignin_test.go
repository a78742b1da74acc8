package server_test

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/portico-id/portico/internal/database/dbtest"
)

// sid is the session that an ID token names.
func (got tokens) sid(t testing.TB) string {
	t.Helper()
	var claims struct {
		SID string `json:"sid"`
	}
	if err := got.identity.Claims(&claims); err != nil || claims.SID == "" {
		t.Fatalf("no sid: %v", err)
	}
	return claims.SID
}

// A client that asks for a fresh sign-in is no sign-out of the others.
func TestAFreshSignInOfTheSamePersonKeepsWhatOtherClientsHold(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		who := w.person(t, "patient")
		portal, app := w.party(t, "patient", "portal"), w.party(t, "patient", "native")
		b := w.browser(t)
		had := portal.signIn(b, who)
		stolen := b.tab() // a copy of the cookie from before
		a := app.begin(oauth2.SetAuthURLParam("prompt", "login"))
		app.finish(t, a, app.enter(b, a, who, who.password))
		if r := portal.userinfo(t, had.access); r.status != 200 {
			t.Errorf("the portal's access token: %d", r.status)
		}
		if r := portal.renew(t, had.refresh); r.status != 200 {
			t.Errorf("the portal's refresh token: %d %s", r.status, r.body)
		}
		if portal.silently(stolen) != "login_required" {
			t.Error("the cookie from before still signs in")
		}
		if again := portal.again(b); again.sid(t) != had.sid(t) {
			t.Error("the portal sees another session")
		}
		if n := w.count(t, `SELECT COUNT(*) FROM sessions WHERE account_id = $1`, who.id); n != 1 {
			t.Errorf("%d sessions", n)
		}
	})
}

// What clients hold of a session that has run into its idle limit ends with the
// sign-out of the session that came after it in the same browser, and at the
// sign-in of somebody else.
func TestNothingIsLeftBehindAnIdleSession(t *testing.T) {
	eachAlone(t, options{}, func(t *testing.T, w *world) {
		portal, app := w.party(t, "patient", "portal"), w.party(t, "patient", "native")
		idle := w.realm(t, "patient").Lifetimes.SessionIdle + time.Minute
		t.Run("the same person comes back", func(t *testing.T) {
			who, b := w.person(t, "patient"), w.browser(t)
			had := portal.signIn(b, who)
			dbtest.Advance(w.db(), idle)
			got := app.signIn(b, who)
			b.send(b.open(w.issuer("patient")+"/oauth/logout").want(t, 200, "Do you want to sign out?"))
			refusedGrant(t, portal.renew(t, had.refresh))
			refusedGrant(t, app.renew(t, got.refresh))
		})
		t.Run("somebody else comes", func(t *testing.T) {
			who, next, b := w.person(t, "patient"), w.person(t, "patient"), w.browser(t)
			had := portal.signIn(b, who)
			dbtest.Advance(w.db(), idle)
			app.signIn(b, next)
			refusedGrant(t, portal.renew(t, had.refresh))
		})
	})
}

// Whoever had a copy of the session until the person signed in again has used up
// none of the person's tries, and has not seen the key of the app that the person
// sets up.
func TestAFreshSignInLeavesAThiefsTriesBehind(t *testing.T) {
	eachAlone(t, options{}, func(t *testing.T, w *world) {
		who, at := w.person(t, "patient"), w.issuer("patient")
		portal, b := w.party(t, "patient", "portal"), w.browser(t)
		portal.signIn(b, who)
		thief := b.tab()
		seen := appKey.FindString(thief.open(at+"/account/second-step/app").want(t, 200, "Set up an authenticator app").body)
		form := thief.open(at+"/account/password").want(t, 200, "Change password")
		change := func(b *browser, form *page, current string) *page {
			return b.submit(form, "current-password", current, "new-password", who.other, "confirm-password", who.other)
		}
		var p *page
		for range 12 {
			p = change(thief, form, "wrong walnut it is")
		}
		if !strings.Contains(p.says(), "Too many tries") {
			t.Fatalf("the thief is not slowed down: %s", p.says())
		}
		a := portal.begin(oauth2.SetAuthURLParam("prompt", "login"))
		portal.finish(t, a, portal.enter(b, a, who, who.password))
		key := appKey.FindString(b.open(at+"/account/second-step/app").want(t, 200, "Set up an authenticator app").body)
		if seen == "" || key == "" || key == seen {
			t.Errorf("the thief knows the key: %q, %q", seen, key)
		}
		if p := change(b, b.open(at+"/account/password"), who.password); p.status != 303 {
			t.Errorf("the right password: %d %s", p.status, p.says())
		}
	})
}
