package oauth

import (
	"net/http"
	"net/url"
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
		if q := w.answered(w.authorize(none), none); q.Get("error") != errLoginRequired || !ofNobody(q) || w.Cookie("state") != "" {
			t.Errorf("%v, cookie %q", q, w.Cookie("state"))
		}
		if q := w.answered(w.authorize(none), none); q.Get("error") != errLoginRequired || !ofNobody(q) {
			t.Errorf("with nobody signed in from the start: %v", q)
		}
	})
}

// ofNobody reports whether the session_state of an answer is that of a browser
// in which nobody is signed in.
func ofNobody(q url.Values) bool {
	_, salt, ok := strings.Cut(q.Get("session_state"), ".")
	return ok && salt != "" && q.Get("session_state") == sessionState("portal", "https://rp.example.test", "", salt)
}

func TestAnErrorTellsTheStateOfTheSessionToo(t *testing.T) {
	eachManaged(t, func(t *testing.T, w *world) {
		w.signIn(w.account)
		w.answered(w.authorize(request("portal")), request("portal"))
		state := w.Cookie("state")
		for what, form := range map[string]url.Values{"a prompt nobody knows": request("portal", "prompt=tea"), "a sign-in that is too old": request("portal", "prompt=none", "max_age=0")} {
			q := w.answered(w.authorize(form), form)
			_, salt, _ := strings.Cut(q.Get("session_state"), ".")
			if !q.Has("error") || q.Get("session_state") != sessionState("portal", "https://rp.example.test", state, salt) || w.Cookie("state") != state {
				t.Errorf("%s: %v, cookie %q", what, q, w.Cookie("state"))
			}
		}
	})
}

// Frames and forms of other sites come without the session's cookie and with the
// one for scripts.
func TestAnotherSiteCannotHaveClientsHearOfASignOut(t *testing.T) {
	eachManaged(t, func(t *testing.T, w *world) {
		w.signIn(w.account)
		form := request("portal", "prompt=none")
		w.answered(w.authorize(form), form)
		state := w.Cookie("state")
		if state == "" {
			t.Fatal("no state")
		}
		scripts := (&http.Cookie{Name: w.r.CookieName("state"), Value: state}).String()
		for what, c := range map[string]struct {
			method string
			header http.Header
			body   url.Values
		}{
			"a frame":               {http.MethodGet, http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Dest": {"iframe"}, "Sec-Fetch-Mode": {"navigate"}}, form},
			"a form":                {http.MethodPost, http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Dest": {"document"}, "Content-Type": {contentTypeForm}}, request("portal", "prompt=tea")},
			"an old browser's form": {http.MethodPost, http.Header{"Content-Type": {contentTypeForm}}, request("portal", "prompt=tea")},
		} {
			c.header.Set("Cookie", scripts)
			target, body := "/oauth/authorize", c.body.Encode()
			if c.method == http.MethodGet {
				target, body = target+"?"+body, ""
			}
			page := w.do(t.Context(), c.method, target, c.header, body)
			at, err := url.Parse(page.Header.Get("Location"))
			if err != nil {
				t.Fatal(err)
			}
			q := at.Query()
			if !q.Has("error") || q.Has("session_state") || strings.Contains(strings.Join(page.Header.Values("Set-Cookie"), " "), w.r.CookieName("state")) {
				t.Errorf("%s: %v, cookies %q", what, q, page.Header.Values("Set-Cookie"))
			}
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
