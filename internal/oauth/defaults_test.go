package oauth

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/realm"
)

func TestWhatAClientRegisteredCountsWhereItsRequestSaysNothing(t *testing.T) {
	keyed(t, func(t *testing.T, w *world) {
		id := w.register(map[string]any{"default_acr_values": []string{"2", "1"}, "default_max_age": 300, "require_auth_time": true}).get("client_id")
		plain := w.register(nil).get("client_id")
		read := func(form url.Values) *authorization {
			t.Helper()
			a, err := w.p.readAuthorization(t.Context(), w.r, form)
			if err != nil {
				t.Fatal(err)
			}
			return a
		}
		for what, c := range map[string]struct {
			form   url.Values
			acrs   string
			maxAge time.Duration
		}{
			"nothing said":            {request(id, "scope=openid"), "2 1", 5 * time.Minute},
			"said in the request":     {request(id, "scope=openid", "acr_values=1", "max_age=60"), "1", time.Minute},
			"said with nothing":       {request(id, "scope=openid", "acr_values="), "2 1", 5 * time.Minute},
			"registered with nothing": {request(plain, "scope=openid"), "", noMaxAge},
			"a wish of its own":       {request(plain, "scope=openid", "acr_values=2 1"), "2 1", noMaxAge},
			"never (max_age 0)":       {request(id, "scope=openid", "max_age=0"), "2 1", 0},
		} {
			a := read(c.form)
			if strings.Join(a.acrs, " ") != c.acrs || a.maxAge != c.maxAge || len(a.essentialACR) != 0 {
				t.Errorf("%s: acr %v (essential %v), max_age %s", what, a.acrs, a.essentialACR, a.maxAge)
			}
		}
		// It is the same on the way back from the sign-in page.
		w.flowIn(w.authorize(request(id, "scope=openid")), "/signin")
		var stored string
		if err := w.db.QueryRow(t.Context(), `SELECT request FROM interactions`).Scan(&stored); err != nil {
			t.Fatal(err)
		}
		form, _ := url.ParseQuery(stored)
		if a := read(form); !slices.Equal(a.acrs, []string{"2", "1"}) || a.maxAge != 5*time.Minute {
			t.Errorf("on the way back: %v %s", a.acrs, a.maxAge)
		}
		// An old session does not do, and the ID token says when it began.
		w.signIn(w.account)
		w.agreeAll(id, "openid")
		silent := request(id, "scope=openid", "prompt=none")
		if q := w.answered(w.authorize(silent), silent); !q.Has("code") {
			t.Errorf("a fresh session: %v", q)
		}
		dbtest.Advance(w.db, 6*time.Minute)
		if q := w.answered(w.authorize(silent), silent); q.Get("error") != errLoginRequired {
			t.Errorf("an old session: %v", q)
		}
	}, open)
}

func TestScopesNobodyKnowsAreLeftOutAndTheAnswerSaysSo(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.signIn(w.account)
		r := w.redeem("portal", w.code("portal", "scope=openid everything https://api.example.test/all email"))
		if w.expect("exchange", r, 200, ""); r.get("scope") != "email openid" || claims(t, r.get("access_token"))["scope"] != "email openid" {
			t.Errorf("granted %s", r.Body)
		}
		// They are neither shown nor remembered.
		form := request("third", "scope=openid everything")
		flow := w.flowIn(w.authorize(form), "/consent")
		if page := w.Get("/consent?flow=" + flow); strings.Contains(page.Text(), "everything") || strings.Contains(page.Text(), "Use more of what") {
			t.Errorf("the consent page: %s", page.Text())
		}
		for scope, code := range map[string]string{
			"everything":          errInvalidScope, // nothing is left
			"":                    errInvalidScope,
			"openid admin.manage": errInvalidScope, // known, but "third" is not registered for it
			"openid  email":       "",              // RFC 6749 has one space; two are nothing else
		} {
			client := "third"
			if code == "" {
				client = "portal"
			}
			form := request(client, "scope="+scope)
			page := w.authorize(form)
			if q := w.answered(page, form); q.Get("error") != code {
				t.Errorf("%q: %v", scope, q)
			}
		}
		// At the token endpoint nothing is left out: the client knows what it has.
		r = w.redeem("portal", w.code("portal"))
		w.expect("refresh", w.renew("portal", r.get("refresh_token"), "scope=openid everything"), 400, errInvalidScope)
		w.expect("alone", w.send("/oauth/token", "service", url.Values{"grant_type": {"client_credentials"}, "scope": {"profile everything"}}), 400, errInvalidScope)
	})
}

func TestARequestThatIsTooLongIsRefusedAndNotKept(t *testing.T) {
	eachIn(t, allTypes, []*realm.Client{hybrid()}, func(t *testing.T, w *world) {
		long := func(n int) string { return strings.Repeat("x", n) }
		for what, form := range map[string]url.Values{
			"nonce":       request("portal", "nonce="+long(maxNonce+1)),
			"hybrid":      request("hybrid", "response_type=code id_token", "nonce="+long(maxNonce+1)),
			"everything":  request("portal", "state="+long(maxState), "login_hint="+long(maxLocation)),
			"prompt=none": request("portal", "prompt=none", "nonce="+long(maxNonce+1)),
		} {
			if q := w.answered(w.authorize(form), form); q.Get("error") != errInvalidRequest {
				t.Errorf("%s: %v", what, q)
			}
		}
		// A state that is refused for its length is not sent on to a browser.
		page := w.authorize(request("portal", "state="+long(maxState+1)))
		if u, err := url.Parse(page.Location()); err != nil || u.Query().Get("error") != errInvalidRequest || u.Query().Has("state") || u.Query().Get("iss") != w.r.Issuer {
			t.Errorf("%d %.200s", page.Status, page.Location())
		}
		page = w.authorize(url.Values{"client_id": {"portal"}, "redirect_uri": {testRedirect}, "request": {"x"}, "state": {long(maxState + 1)}})
		if len(page.Location()) > 1000 {
			t.Errorf("an error about the source repeats it: %d bytes", len(page.Location()))
		}
		r := w.send("/oauth/par", "portal", request("portal", "state="+long(maxState+1)))
		w.expect("pushed", r, 400, errInvalidRequest)
		r = w.send("/oauth/par", "portal", request("portal", "login_hint="+long(maxLocation)))
		w.expect("pushed, everything", r, 400, errInvalidRequest)
		if n := w.count(`SELECT (SELECT count(*) FROM interactions) + (SELECT count(*) FROM pushed_requests)`); n != 0 {
			t.Errorf("%d rows kept", n)
		}
		for _, form := range []url.Values{request("portal", "state="+long(maxState)), request("portal", "nonce="+long(maxNonce))} {
			w.flowIn(w.authorize(form), "/signin")
		}
	})
}
