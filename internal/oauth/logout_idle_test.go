package oauth

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/session"
)

func (w *world) ended() int64 {
	w.t.Helper()
	return w.count(`SELECT COUNT(*) FROM sessions WHERE ended_at IS NOT NULL AND end_reason = $1`, reasonSignOut)
}

// A session that ran into its idle limit has not ended: the refresh tokens of
// its clients are alive. Somebody who signs out then is signed out.
func TestASignOutCountsAlsoWhenTheSessionIsIdle(t *testing.T) {
	for name, after := range map[string]func(realm.Lifetimes) time.Duration{
		"idle":                    func(l realm.Lifetimes) time.Duration { return l.SessionIdle + time.Minute },
		"over its absolute limit": func(l realm.Lifetimes) time.Duration { return l.SessionAbsolute + time.Minute },
	} {
		t.Run(name, func(t *testing.T) {
			eachWithLogout(t, func(t *testing.T, w *world, _ *ear) {
				first, second := w.tokens("portal"), w.tokens("spa")
				dbtest.Advance(w.db, after(w.r.Lifetimes))
				if w.signedIn() {
					t.Fatal("still signed in")
				}
				page := w.Get(logoutRequestOf(first.get("id_token")))
				if page.Status != 303 || page.Location() != "https://rp.example.test/bye?state=s" {
					t.Fatalf("%d %s", page.Status, page.Location())
				}
				if w.Cookie("") != "" {
					t.Error("the cookie is still there")
				}
				if n := w.ended(); n != 1 {
					t.Errorf("%d sessions ended", n)
				}
				if n := w.count(`SELECT COUNT(*) FROM logout_deliveries WHERE state = 'queued'`); n != 2 {
					t.Errorf("%d clients are told", n)
				}
				if n := w.count(`SELECT COUNT(*) FROM audit_events WHERE kind = 'session.signed_out'`); n != 1 {
					t.Errorf("%d events", n)
				}
				if n := w.count(`SELECT COUNT(*) FROM grants WHERE revoked_at IS NULL`); n != 0 {
					t.Errorf("%d grants are left", n)
				}
				w.expect("refresh", w.renew("portal", first.get("refresh_token")), 400, errInvalidGrant)
				w.expect("refresh of another client", w.renew("spa", second.get("refresh_token")), 400, errInvalidGrant)
			})
		})
	}
}

func TestAnIdleSessionIsAskedAboutWithoutProofAndShowsNobody(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		tokens := w.tokens("portal")
		other := w.newAccount("sam@example.test")
		w.signIn(other)
		samsHint := w.tokens("spa").get("id_token")
		w.signIn(w.account)
		refresh := w.tokens("spa").get("refresh_token")
		dbtest.Advance(w.db, w.r.Lifetimes.SessionIdle+time.Minute)
		for name, path := range map[string]string{
			"a link": "/oauth/logout", "client only": "/oauth/logout?client_id=portal", "somebody else's hint": logoutRequestOf(samsHint),
			"forged": logoutRequestOf(tokens.get("id_token")[:40] + "AAAA"),
		} {
			page := w.Get(path)
			if page.Status != 200 || !page.Has("csrf") {
				t.Errorf("%s: %d %s", name, page.Status, page.Location())
			}
			if strings.Contains(page.Body, "pat@example.test") || strings.Contains(page.Body, "Patient Portal") {
				t.Errorf("%s: the page tells whoever sits there who it was", name)
			}
		}
		w.expect("a link is no sign-out", w.renew("spa", refresh), 200, "")
		page := w.Get("/oauth/logout?client_id=portal&post_logout_redirect_uri=https%3A%2F%2Frp.example.test%2Fbye&state=s")
		page = w.Post("/oauth/logout/confirm", url.Values{"csrf": {page.Value("csrf")}, "client_id": {page.Value("client_id")},
			"post_logout_redirect_uri": {page.Value("post_logout_redirect_uri")}, "state": {page.Value("state")}})
		if page.Location() != "https://rp.example.test/bye?state=s" || w.Cookie("") != "" || w.ended() != 1 {
			t.Errorf("the button: %d %s, %d ended", page.Status, page.Location(), w.ended())
		}
	})
}

// A hint travels in addresses; without the browser's cookie it proves nothing
// about a browser.
func TestAHintWithoutTheCookieSignsNobodyOut(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for _, after := range []time.Duration{0, w.r.Lifetimes.SessionIdle + time.Minute} {
			r := w.freshTokens("portal")
			dbtest.Advance(w.db, after)
			got := w.do(t.Context(), "GET", logoutRequestOf(r.get("id_token")), nil, "")
			if got.Status != 303 || got.Header.Get("Location") != "https://rp.example.test/bye?state=s" || w.ended() != 0 {
				t.Errorf("after %v: %d %s, %d ended", after, got.Status, got.Header.Get("Location"), w.ended())
			}
			w.expect("refresh", w.renew("portal", r.get("refresh_token")), 200, "")
		}
	})
}

// keep lets the realm's people stay signed in for 90 days, and signs one in so.
func (w *world) keep() {
	w.t.Helper()
	w.r.Lifetimes.KeptSession = 90 * 24 * time.Hour
	s, tok, err := w.p.sessions.Start(w.t.Context(), w.r, w.account, session.Device{},
		session.Method{ACR: "urn:test:pwd", AMR: []string{"pwd"}, Keep: true})
	if err != nil {
		w.t.Fatal(err)
	}
	w.SetCookie("", tok.Reveal())
	w.session = s
}

func TestClientsOfAKeptSessionAreToldLongAfterTheirGrants(t *testing.T) {
	eachWithLogout(t, func(t *testing.T, w *world, _ *ear) {
		w.keep()
		hint := w.tokens("portal").get("id_token")
		w.tokens("portal") // again: still one client
		w.tokens("third")
		dbtest.Advance(w.db, 40*24*time.Hour)
		if err := w.p.CleanUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := w.count(`SELECT COUNT(*) FROM grants`); n != 0 {
			t.Fatalf("%d grants are left", n)
		}
		page := w.Get(logoutRequestOf(hint))
		if page.Status != 200 || !strings.Contains(page.Body, "https://rp.example.test/frontchannel") {
			t.Errorf("front channel: %d %s\n%s", page.Status, page.Location(), page.Body)
		}
		if n := w.count(`SELECT COUNT(*) FROM logout_deliveries WHERE client_id = 'portal' AND state = 'queued'`); n != 1 {
			t.Errorf("back channel: %d deliveries", n)
		}
		w.exec(`DELETE FROM sessions`)
		if n := w.count(`SELECT COUNT(*) FROM session_clients`); n != 0 {
			t.Errorf("%d rows outlive their session", n)
		}
	})
}

func TestWhoASessionWasUsedForCostsNoRoundTrip(t *testing.T) {
	eachIn(t, allTypes, nil, func(t *testing.T, w *world) {
		w.signIn(w.account)
		cookie := map[string][]string{"Cookie": {w.r.CookieName("") + "=" + w.Cookie("")}}
		for range 2 { // the second finds its row there
			ctx, trips := dbtest.CountTrips(t.Context())
			got := w.do(ctx, "GET", "/oauth/authorize?"+request("portal").Encode(), cookie, "")
			if !strings.Contains(got.Header.Get("Location"), "code=") || trips.Trips() > 2 {
				t.Errorf("%s in %d trips", got.Header.Get("Location"), trips.Trips())
			}
		}
		if n := w.count(`SELECT COUNT(*) FROM session_clients WHERE session_id = $1 AND realm = 'patient' AND client_id = 'portal'`, w.session.ID); n != 1 {
			t.Errorf("%d rows", n)
		}
	})
}

func TestAHintOfAKeptSessionCountsAsLongAsTheSession(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.keep()
		hint := w.tokens("portal").get("id_token")
		if err := w.p.keys.Rotate(t.Context(), w.r); err != nil {
			t.Fatal(err)
		}
		dbtest.Advance(w.db, 89*24*time.Hour)
		if err := w.p.keys.Maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if page := w.Get(logoutRequestOf(hint)); page.Location() != "https://rp.example.test/bye?state=s" || w.signedIn() {
			t.Errorf("%d %s", page.Status, page.Location())
		}
	})
}
