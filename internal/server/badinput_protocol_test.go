package server_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/oauth2"

	"github.com/portico-id/portico/internal/database/dbtest"
)

func TestRequestsOfNobodysClientStayHere(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.party(t, "patient", "portal")
		good, err := url.Parse(p.begin().url)
		if err != nil {
			t.Fatal(err)
		}
		type change struct{ what, name, value, title string }
		changes := []change{
			{"unknown client", "client_id", "nobody", "We do not know this app"},
			{"client of the other realm", "client_id", "Portal", "We do not know this app"},
			{"no client", "client_id", "", "We do not know this app"},
			{"no redirect", "redirect_uri", "", "We cannot send you back"},
		}
		for _, uri := range []string{
			"https://patients.example.test/callback/", "https://patients.example.test/callback?x=1", "https://patients.example.test/callback#x",
			"https://patients.example.test/Callback", "http://patients.example.test/callback", "https://patients.example.test:443/callback",
			"https://patients.example.test@evil.example.test/callback", "https://patients.example.test.evil.example.test/callback",
			"https://patients.example.test/callback/../evil", "https://patients.example.test\\@evil.example.test/callback", "//patients.example.test/callback",
			"javascript:alert(1)//https://patients.example.test/callback", "https://practices.example.test/callback", "http://localhost:9099/callback",
			"https://patients.example.test/callback\x00", "data:text/html,x", "urn:ietf:wg:oauth:2.0:oob",
		} {
			changes = append(changes, change{uri, "redirect_uri", uri, "We cannot send you back"})
		}
		for _, c := range changes {
			q := good.Query()
			q.Set(c.name, c.value)
			if c.value == "" {
				q.Del(c.name)
			}
			b := w.browser(t)
			get := b.get(p.config.Endpoint.AuthURL + "?" + q.Encode())
			if get.location != nil {
				t.Errorf("%s: redirected to %s", c.what, get.location)
				continue
			}
			get.want(t, http.StatusBadRequest, c.title)
			for _, host := range get.elsewhere() {
				if host != "patients.example.test" {
					t.Errorf("%s: the page links to %s", c.what, host)
				}
			}
			if b.cookie("patient", "") != "" {
				t.Errorf("%s: a session", c.what)
			}
			if post := b.post(p.config.Endpoint.AuthURL, q); post.location != nil || post.status != 400 {
				t.Errorf("%s posted: %d %v", c.what, post.status, post.location)
			}
		}
		// With a client and an address to answer to, errors are the client's.
		for want, change := range map[string][2]string{
			"unsupported_response_type": {"response_type", "token"}, "invalid_scope": {"scope", "admin.manage"},
			"invalid_request": {"code_challenge_method", "plain"}, "invalid_request_object": {"request", "eyJhbGciOiJub25lIn0.e30."},
			"request_uri_not_supported": {"request_uri", w.base + "/x"}, "login_required": {"prompt", "none"},
		} {
			a := p.begin(oauth2.SetAuthURLParam(change[0], change[1]))
			q := p.answered(t, a, w.browser(t).get(a.url))
			if q.Get("error") != want || q.Get("code") != "" {
				t.Errorf("%s=%s: %s", change[0], change[1], q.Encode())
			}
		}
		// A flow of another browser, or none.
		a := p.begin()
		mine := w.browser(t)
		signIn := mine.open(a.url)
		for _, address := range []string{signIn.url.String(), w.issuer("patient") + "/oauth/authorize?" + signIn.url.RawQuery} {
			if got := w.browser(t).open(address); got.status < 400 || got.h1() == "Sign in" {
				t.Errorf("another browser got %d %q at %s", got.status, got.h1(), address)
			}
		}
		for _, flow := range []string{"x", uuid.NewString()} {
			if got := mine.open(w.issuer("patient") + "/signin?flow=" + flow); got.status < 400 {
				t.Errorf("flow %s: %d %q", flow, got.status, got.h1())
			}
		}
	})
}

func TestMalformedTokensAreRefused(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		who, p := w.person(t, "patient"), w.party(t, "patient", "native")
		good := p.signIn(w.browser(t), who)
		header, rest, _ := strings.Cut(good.access, ".")
		payload, signature, _ := strings.Cut(rest, ".")
		tokens := []string{"x", "..", header + "." + payload + ".", header + "." + payload + "." + strings.Repeat("A", len(signature)),
			"eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0." + payload + ".", good.id, good.refresh, good.access + "x", strings.Repeat("A", 9000)}
		for _, token := range tokens {
			if r := p.userinfo(t, token); r.status != 401 || !strings.Contains(r.header.Get("WWW-Authenticate"), "invalid_token") {
				t.Errorf("userinfo with %.30s: %d %s", token, r.status, r.body)
			}
			if r := w.api(t, token, "GET", "/me", nil); r.status != 401 || r.get("code") != "token_invalid" {
				t.Errorf("admin API with %.30s: %d %s", token, r.status, r.body)
			}
			if token != good.refresh && p.alive(t, token) {
				t.Errorf("%.30s is alive", token)
			}
			if token == good.refresh {
				continue
			}
			if r := p.renew(t, token); r.status != 400 || r.get("error") != "invalid_grant" {
				t.Errorf("refresh with %.30s: %d %s", token, r.status, r.body)
			}
			if r := p.redeem(t, p.begin(), token); r.status != 400 || r.get("error") != "invalid_grant" {
				t.Errorf("code %.30s: %d %s", token, r.status, r.body)
			}
		}
		// What is wrong with the request itself.
		token := p.config.Endpoint.TokenURL
		form := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
		for what, r := range map[string]reply{
			"twice":     w.mustCall(t, "POST", token, form, "grant_type=refresh_token&grant_type=refresh_token&refresh_token=x&client_id=spa"),
			"query":     w.mustCall(t, "POST", token+"?refresh_token=x", form, "grant_type=refresh_token&client_id=spa"),
			"JSON":      w.mustCall(t, "POST", token, http.Header{"Content-Type": {"application/json"}}, `{"grant_type":"refresh_token"}`),
			"encoding":  w.mustCall(t, "POST", token, form, "grant_type=%zz"),
			"no grant":  p.form(t, token),
			"password":  p.form(t, token, "grant_type", "password", "username", who.email, "password", who.password),
			"none":      w.mustCall(t, "POST", token, form, ""),
			"two ways":  p.form(t, token, "grant_type", "client_credentials", "client_secret", p.secret),
			"no device": p.form(t, token, "grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
		} {
			if r.status != 400 && r.status != 401 || r.get("error") == "" || r.get("access_token") != "" {
				t.Errorf("%s: %d %s", what, r.status, r.body)
			}
		}
		wrong := *p
		wrong.secret = randomText(32)
		unknown := wrong
		unknown.client = "nobody"
		for _, other := range []party{wrong, unknown} {
			r := other.form(t, token, "grant_type", "client_credentials")
			if r.status != 401 || r.get("error") != "invalid_client" || r.header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s with a wrong secret: %d %s", other.client, r.status, r.body)
			}
		}
		if !p.alive(t, good.access) {
			t.Error("bad requests ended a good token")
		}
	})
}

func TestLargeBodiesAreRefused(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		large := strings.Repeat("x", 80<<10)
		b := w.browser(t)
		signIn := b.open(w.issuer("patient") + "/signin")
		b.send(signIn, "email", "a@example.test", "password", large).want(t, http.StatusRequestEntityTooLarge, "That was too much at once")
		b.send(b.open(w.issuer("patient")+"/forgot"), "email", large).want(t, http.StatusRequestEntityTooLarge, "That was too much at once")
		p := w.party(t, "patient", "native")
		for _, endpoint := range []string{p.config.Endpoint.TokenURL, p.more.Introspection, p.more.Revocation} {
			if r := p.form(t, endpoint, "token", large, "grant_type", "refresh_token", "refresh_token", large); r.status != 413 {
				t.Errorf("%s: %d %s", endpoint, r.status, r.body)
			}
		}
		guardian := w.guardian(t)
		access := w.admin(t, w.staff(t, maple, "front_desk"))
		r := w.api(t, access, "POST", "/associations/"+guardian.association.String()+"/password-resets",
			map[string]any{"confirm_login_email": guardian.email, "reason": large}, "Idempotency-Key", "k")
		if r.status != 413 || r.get("code") != "too_large" {
			t.Errorf("admin API: %d %.300s", r.status, r.body)
		}
		if r := w.mustCall(t, "GET", w.issuer("patient")+"/signin", http.Header{"X-Large": {strings.Repeat("x", 24<<10)}}, ""); r.status != 431 {
			t.Errorf("a large header: %d", r.status)
		}
		if n := w.count(t, `SELECT COUNT(*) FROM recovery_tickets WHERE account_id = $1`, guardian.id); n != 0 {
			t.Error("a refused request sent a link")
		}
	})
}

func TestBackAfterASignInLeadsToNoOtherCode(t *testing.T) {
	eachAlone(t, options{}, func(t *testing.T, w *world) {
		who, p, b := w.person(t, "patient"), w.party(t, "patient", "portal"), w.browser(t)
		a := p.begin()
		answer := b.submit(b.open(a.url), "email", who.email, "password", who.password)
		p.finish(t, a, b.follow(answer))
		dbtest.Advance(w.db(), 2*time.Minute)
		b.open(answer.location.String()).want(t, http.StatusGone, "This sign-in is over")
		// And a form that was left open for too long changes nothing.
		b = w.browser(t)
		form := b.open(p.begin().url)
		dbtest.Advance(w.db(), 31*time.Minute)
		b.send(form, "email", who.email, "password", who.password).want(t, http.StatusForbidden, "This page timed out")
		if b.cookie("patient", "") != "" {
			t.Error("signed in all the same")
		}
	})
}
