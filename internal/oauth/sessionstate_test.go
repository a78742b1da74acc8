package oauth

import (
	"net/http"
	"strings"
	"testing"

	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/realm"
)

func eachManaged(t *testing.T, fn func(t *testing.T, w *world)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		base := *testRealm(t, "patient")
		base.OAuth.SessionManagement = true
		r, err := realm.New(base, testClients())
		if err != nil {
			t.Fatal(err)
		}
		w := newWorldIn(t, db, r)
		w.account = w.newAccount("pat@example.test")
		fn(t, w)
	})
}

func TestSessionStateFollowsTheSession(t *testing.T) {
	eachManaged(t, func(t *testing.T, w *world) {
		w.signIn(w.account)
		form := request("portal")
		q := w.answered(w.authorize(form), form)
		value, salt, ok := strings.Cut(q.Get("session_state"), ".")
		state := w.Cookie("state")
		if !ok || value == "" || state == "" || q.Get("session_state") != sessionState("portal", "https://rp.example.test", state, salt) {
			t.Fatalf("session_state %q, cookie %q", q.Get("session_state"), state)
		}
		again := w.answered(w.authorize(form), form).Get("session_state")
		if again == q.Get("session_state") || w.Cookie("state") != state {
			t.Error("the salt stays, or the cookie changes while the session goes on")
		}
		// Another session in the same browser: the frame will answer "changed".
		w.signIn(w.account)
		w.answered(w.authorize(form), form)
		if w.Cookie("state") == state || w.Cookie("state") == "" {
			t.Error("a new session has the state of the old one")
		}
		hint := w.redeem("portal", w.code("portal")).get("id_token")
		w.Get(logoutRequestOf(hint))
		if w.Cookie("state") != "" {
			t.Error("the state outlives the session")
		}
		// A session that was ended elsewhere is noticed at the next request.
		w.signIn(w.account)
		w.answered(w.authorize(form), form)
		w.signOutQuietly()
		none := request("portal", "prompt=none")
		if q := w.answered(w.authorize(none), none); q.Get("error") != errLoginRequired || q.Has("session_state") || w.Cookie("state") != "" {
			t.Errorf("%v, cookie %q", q, w.Cookie("state"))
		}
	})
}

func TestTheStateCookieIsForScriptsAndNothingElse(t *testing.T) {
	eachManaged(t, func(t *testing.T, w *world) {
		w.signIn(w.account)
		page := w.authorize(request("portal"))
		var found bool
		for _, ck := range (&http.Response{Header: page.Header}).Cookies() {
			if ck.Name == "__Host-portico-patient-state" {
				found = true
				if ck.HttpOnly || !ck.Secure || ck.SameSite != http.SameSiteNoneMode || ck.Path != "/" || ck.Domain != "" {
					t.Errorf("%+v", ck)
				}
				if strings.Contains(ck.Value, w.Cookie("")) {
					t.Error("it tells the session's token")
				}
			}
		}
		if !found {
			t.Error("no cookie")
		}
	})
}

func TestTheFrameHasAPolicyAndNoInlineScript(t *testing.T) {
	eachManaged(t, func(t *testing.T, w *world) {
		page := w.do(t.Context(), http.MethodGet, "/oauth/session", http.Header{}, "")
		csp := page.Header.Get("Content-Security-Policy")
		if page.Status != 200 || !strings.Contains(csp, "default-src 'none'; script-src 'self'") || !strings.Contains(csp, "frame-ancestors *") {
			t.Fatalf("%d %s", page.Status, csp)
		}
		_, src, _ := strings.Cut(page.Body, `<script src="`)
		src, rest, _ := strings.Cut(src, `"`)
		if !strings.HasPrefix(src, "/patient/static/") || !strings.Contains(rest, `data-cookie="__Host-portico-patient-state" defer></script>`) {
			t.Errorf("%s", page.Body)
		}
	})
}

func TestOtherRealmsHaveNoSessionManagement(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.signIn(w.account)
		form := request("portal")
		if q := w.answered(w.authorize(form), form); q.Has("session_state") {
			t.Errorf("%v", q)
		}
		if w.Cookie("state") != "" {
			t.Error("a cookie for scripts")
		}
		if page := w.do(t.Context(), http.MethodGet, "/oauth/session", http.Header{}, ""); page.Status != 404 {
			t.Errorf("the frame: %d", page.Status)
		}
	})
}
