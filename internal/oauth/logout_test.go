package oauth

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portico-id/portico/internal/database/dbtest"
)

func (w *world) signedIn() bool {
	w.t.Helper()
	form := request("portal", "prompt=none")
	return w.answered(w.authorize(form), form).Has("code")
}

func logoutRequestOf(hint string, changes ...string) string {
	form := url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {"https://rp.example.test/bye"}, "state": {"s"}}
	for _, change := range changes {
		if name, ok := strings.CutPrefix(change, "-"); ok {
			form.Del(name)
			continue
		}
		name, value, _ := strings.Cut(change, "=")
		form.Set(name, value)
	}
	return "/oauth/logout?" + form.Encode()
}

func TestAClientWithAHintSignsItsPersonOut(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		r := w.tokens("portal")
		dbtest.Advance(w.db, 10*time.Minute) // the hint has expired meanwhile
		other := w.tokens("spa")
		page := w.Get(logoutRequestOf(r.get("id_token")))
		if page.Status != 303 || page.Location() != "https://rp.example.test/bye?state=s" {
			t.Fatalf("%d %s", page.Status, page.Location())
		}
		if w.Cookie("") != "" {
			t.Error("the cookie is still there")
		}
		if w.signedIn() || w.alive(other.get("access_token")) {
			t.Error("still signed in")
		}
		w.expect("refresh", w.renew("portal", r.get("refresh_token")), 400, errInvalidGrant)
		w.expect("refresh of another client", w.renew("spa", other.get("refresh_token")), 400, errInvalidGrant)
		if page := w.Get(logoutRequestOf(r.get("id_token"))); page.Location() != "https://rp.example.test/bye?state=s" {
			t.Errorf("twice: %s", page.Location())
		}
	})
}

func TestWithoutProofAPageAsksFirst(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		hint := w.tokens("portal").get("id_token")
		other := w.newAccount("sam@example.test")
		w.signIn(other)
		samsHint := w.tokens("spa").get("id_token")
		w.signIn(w.account)
		none := "eyJhbGciOiJub25lIn0." + strings.Split(hint, ".")[1] + "."
		for name, path := range map[string]string{
			"an image": "/oauth/logout", "client only": "/oauth/logout?client_id=portal",
			"somebody else's hint": logoutRequestOf(samsHint), "unsigned": logoutRequestOf(none),
			"forged": logoutRequestOf(hint[:len(hint)-8] + "AAAAAAAA"), "garbage": logoutRequestOf("x"),
			"hint of another client": logoutRequestOf(hint, "client_id=spa"), "no hint": logoutRequestOf("", "-id_token_hint"),
			"twice": logoutRequestOf(hint) + "&state=x",
		} {
			page := w.Get(path)
			if page.Status != 200 || page.Location() != "" || !page.Has("csrf") {
				t.Errorf("%s: %d %s", name, page.Status, page.Location())
			}
			if !w.signedIn() {
				t.Fatalf("%s signed out", name)
			}
		}
	})
}

func TestOnlyARegisteredPageIsReturnedTo(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for _, uri := range []string{"https://rp.example.test/bye?x=1", "https://rp.example.test/bye/", "https://evil.example.test/",
			"https://rp.example.test/callback", "javascript:alert(1)"} {
			w.signIn(w.account)
			hint := w.tokens("portal").get("id_token")
			page := w.Get(logoutRequestOf(hint, "post_logout_redirect_uri="+uri))
			if page.Location() != w.r.Path+"/oauth/signed-out?client_id=portal" {
				t.Errorf("%s: %d %s", uri, page.Status, page.Location())
			}
		}
		page := w.Get("/oauth/signed-out?client_id=portal")
		if page.Status != 200 || page.Link("Sign in again") != "https://rp.example.test/" {
			t.Errorf("%d %s", page.Status, page.Body)
		}
		if page := w.Get("/oauth/signed-out?client_id=nobody"); page.Link("Sign in again") != w.r.Home {
			t.Errorf("%s", page.Body)
		}
	})
}

func TestTheButtonSignsOutAndAForgedFormDoesNot(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.tokens("portal")
		page := w.Get("/oauth/logout?client_id=portal&state=s&post_logout_redirect_uri=" + url.QueryEscape("https://rp.example.test/bye"))
		if !strings.Contains(page.Text(), "Patient Portal") || !strings.Contains(page.Text(), "pat@example.test") {
			t.Errorf("%s", page.Text())
		}
		if forged := w.Post("/oauth/logout/confirm", url.Values{"csrf": {"x"}}); forged.Status != 403 || !w.signedIn() {
			t.Errorf("forged: %d", forged.Status)
		}
		w.Get("/oauth/logout")
		done := w.Post("/oauth/logout/confirm", url.Values{
			"client_id": {page.Value("client_id")}, "post_logout_redirect_uri": {page.Value("post_logout_redirect_uri")}, "state": {page.Value("state")},
		})
		if done.Location() != "https://rp.example.test/bye?state=s" || w.signedIn() {
			t.Errorf("%d %s", done.Status, done.Location())
		}
		if n := w.count(`SELECT count(*) FROM audit_events WHERE kind = 'session.signed_out'`); n != 1 {
			t.Errorf("%d events", n)
		}
		// A form on the client's site comes without our cookies and is sent on.
		posted := w.Post("/oauth/logout", url.Values{"client_id": {"portal"}})
		if posted.Status != 303 || posted.Location() != w.r.Path+"/oauth/logout?client_id=portal" {
			t.Errorf("%d %s", posted.Status, posted.Location())
		}
		if page := w.Get("/oauth/logout"); page.Location() != w.r.Path+"/oauth/signed-out" {
			t.Errorf("nobody signed in: %s", page.Location())
		}
	})
}
