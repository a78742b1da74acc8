package oauth

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/keyring"
)

// TestRPInitiatedLogout walks the certification plan of RP-Initiated Logout:
// who is sent back, who sees a page, and that whoever signed out is signed out.
func TestRPInitiatedLogout(t *testing.T) {
	const bye = "https://rp.example.test/bye"
	unsigned := func(hint string) string {
		return "eyJhbGciOiJub25lIn0." + strings.Split(hint, ".")[1] + "."
	}
	changed := func(hint string) string {
		parts := strings.Split(hint, ".")
		return parts[0] + "." + parts[1][:20] + flip(parts[1][20]) + parts[1][21:] + "." + parts[2]
	}
	cases := []struct {
		name    string
		form    func(hint string) url.Values
		to      string // where the browser ends, "" for a page
		signOut bool   // without being asked
	}{
		{"hint, address and state", func(h string) url.Values {
			return url.Values{"id_token_hint": {h}, "post_logout_redirect_uri": {bye}, "state": {"a b&c"}}
		}, bye + "?state=a+b%26c", true},
		{"no state", func(h string) url.Values {
			return url.Values{"id_token_hint": {h}, "post_logout_redirect_uri": {bye}}
		}, bye, true},
		{"client beside the hint", func(h string) url.Values {
			return url.Values{"id_token_hint": {h}, "client_id": {"portal"}, "post_logout_redirect_uri": {bye}}
		}, bye, true},
		{"address with something added", func(h string) url.Values {
			return url.Values{"id_token_hint": {h}, "post_logout_redirect_uri": {bye + "?foo=bar"}, "state": {"s"}}
		}, "", true},
		{"another address", func(h string) url.Values {
			return url.Values{"id_token_hint": {h}, "post_logout_redirect_uri": {"https://evil.example.test/"}, "state": {"s"}}
		}, "", true},
		{"no address", func(h string) url.Values { return url.Values{"id_token_hint": {h}, "state": {"s"}} }, "", true},
		{"unsigned hint", func(h string) url.Values {
			return url.Values{"id_token_hint": {unsigned(h)}, "post_logout_redirect_uri": {bye}, "state": {"s"}}
		}, "", false},
		{"changed hint", func(h string) url.Values {
			return url.Values{"id_token_hint": {changed(h)}, "post_logout_redirect_uri": {bye}, "state": {"s"}}
		}, "", false},
		{"hint of another client", func(h string) url.Values {
			return url.Values{"id_token_hint": {h}, "client_id": {"spa"}, "post_logout_redirect_uri": {bye}}
		}, "", false},
		{"no hint", func(string) url.Values { return url.Values{"post_logout_redirect_uri": {bye}, "state": {"s"}} }, "", false},
		{"client and no hint", func(string) url.Values {
			return url.Values{"client_id": {"portal"}, "post_logout_redirect_uri": {bye}, "state": {"s"}}
		}, "", false},
		{"only state", func(string) url.Values { return url.Values{"state": {"s"}} }, "", false},
		{"nothing", func(string) url.Values { return url.Values{} }, "", false},
	}
	each(t, func(t *testing.T, w *world) {
		for _, c := range cases {
			hint := w.freshTokens("portal").get("id_token")
			page := w.Get("/oauth/logout?" + c.form(hint).Encode())
			switch {
			case c.to != "" && page.Location() != c.to:
				t.Errorf("%s: %d to %q", c.name, page.Status, page.Location())
			case c.to == "" && c.signOut && !strings.HasPrefix(page.Location(), w.r.Path+"/oauth/signed-out"):
				t.Errorf("%s: %d to %q, not to our page", c.name, page.Status, page.Location())
			case !c.signOut && (page.Status != 200 || !page.Has("csrf")):
				t.Errorf("%s: %d to %q, nobody is asked", c.name, page.Status, page.Location())
			}
			if w.signedIn() == c.signOut {
				t.Errorf("%s: signed in %v", c.name, !c.signOut)
			}
			if c.signOut {
				form := request("portal", "prompt=none")
				if q := w.answered(w.authorize(form), form); q.Get("error") != errLoginRequired {
					t.Errorf("%s: afterwards prompt=none answers %v", c.name, q)
				}
			}
			// With nobody signed in, a page is a page and a redirect stays one.
			w.signOutQuietly()
			page = w.Get("/oauth/logout?" + c.form(hint).Encode())
			if to := page.Location(); c.to != "" && to != c.to || c.to == "" && !strings.HasPrefix(to, w.r.Path+"/oauth/signed-out") {
				t.Errorf("%s, signed out: %d to %q", c.name, page.Status, to)
			}
		}
	})
}

func flip(b byte) string {
	if b == 'A' {
		return "B"
	}
	return "A"
}

func (w *world) signOutQuietly() {
	w.t.Helper()
	if err := w.p.sessions.EndAll(w.t.Context(), w.account, [16]byte{}, "test"); err != nil {
		w.t.Fatal(err)
	}
}

func TestAnOldHintCountsWhileItsSessionCan(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		hint := w.tokens("portal").get("id_token")
		// The key that signed it is replaced and retired, and it expired long ago.
		if err := w.p.keys.Rotate(t.Context(), w.r); err != nil {
			t.Fatal(err)
		}
		dbtest.Advance(w.db, keyring.PublishAhead+time.Minute)
		w.signIn(w.account)
		if page := w.Get(logoutRequestOf(hint)); page.Location() != "https://rp.example.test/bye?state=s" || w.signedIn() {
			t.Errorf("a hint of yesterday: %d %s", page.Status, page.Location())
		}
		dbtest.Advance(w.db, hintAge(w.r)-keyring.PublishAhead)
		w.signIn(w.account)
		if page := w.Get(logoutRequestOf(hint)); page.Status != 200 || !w.signedIn() {
			t.Errorf("a hint older than any session: %d %s", page.Status, page.Location())
		}
	})
}

func TestAnAccessTokenIsNoHint(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		access := w.tokens("portal").get("access_token")
		if page := w.Get(logoutRequestOf(access)); page.Status != 200 || !w.signedIn() {
			t.Errorf("%d %s", page.Status, page.Location())
		}
	})
}
