package oauth

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portico-id/portico/internal/database/dbtest"
)

func TestAWrongVerifierAndThenNoneGetsNoToken(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.signIn(w.account)
		for _, client := range []string{"portal", "spa"} {
			code := w.code(client)
			w.expect("wrong verifier", w.redeem(client, code, "code_verifier="+strings.Repeat("x", 50)), 400, errInvalidGrant)
			w.expect("no verifier", w.redeem(client, code, "-code_verifier"), 400, errInvalidGrant)
			w.expect("short verifier", w.redeem(client, code, "code_verifier=x"), 400, errInvalidGrant)
			if r := w.redeem(client, code); r.Status != 200 {
				t.Errorf("the right verifier afterwards: %d %s", r.Status, r.Body)
			}
		}
	})
}

func TestPKCEWithS256IsDemandedOfEveryClient(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.signIn(w.account)
		for _, client := range []string{"portal", "spa"} {
			for _, change := range []string{"-code_challenge", "code_challenge_method=plain", "-code_challenge_method",
				"code_challenge=short", "code_challenge=" + strings.Repeat("!", 43)} {
				form := request(client, change)
				if q := w.answered(w.authorize(form), form); q.Get("error") != errInvalidRequest || q.Has("code") {
					t.Errorf("%s, %s: %v", client, change, q)
				}
			}
		}
	})
}

func TestAnotherClientWithAStolenTokenRevokesNothing(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.signIn(w.account)
		code := w.code("portal")
		w.expect("another client's code", w.redeem("third", code), 400, errInvalidGrant)
		first := w.redeem("portal", code)
		second := w.renew("portal", first.get("refresh_token"))
		third := w.renew("portal", second.get("refresh_token"))

		w.expect("used code", w.redeem("third", code), 400, errInvalidGrant)
		w.expect("used refresh token", w.renew("third", first.get("refresh_token")), 400, errInvalidGrant)
		w.expect("live refresh token", w.renew("third", third.get("refresh_token")), 400, errInvalidGrant)
		if !w.alive(third.get("access_token")) {
			t.Error("another client ended the family")
		}
		if r := w.renew("portal", third.get("refresh_token")); r.Status != 200 {
			t.Errorf("the owner's refresh: %d %s", r.Status, r.Body)
		}
	})
}

func TestNoTokenPassesForOneOfAnotherKind(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		r := w.tokens("portal")
		code := w.code("portal")
		w.expect("refresh token as code", w.redeem("portal", r.get("refresh_token")), 400, errInvalidGrant)
		w.expect("code as refresh token", w.renew("portal", code), 400, errInvalidGrant)
		w.expect("access token as refresh token", w.renew("portal", r.get("access_token")), 400, errInvalidGrant)
		for what, raw := range map[string]string{"ID token": r.get("id_token"), "refresh token": r.get("refresh_token"), "code": code} {
			if w.alive(raw) {
				t.Errorf("%s opens userinfo", what)
			}
			if _, err := w.p.VerifyAccessToken(context.Background(), w.r, raw, w.r.Issuer); err == nil {
				t.Errorf("%s passes for an access token", what)
			}
		}
		if w.redeem("portal", code).Status != 200 {
			t.Error("the code was burnt by being sent to the wrong place")
		}
		form := request("portal", "id_token_hint="+r.get("access_token"))
		if q := w.answered(w.authorize(form), form); q.Get("error") != errInvalidRequest {
			t.Errorf("access token as hint: %v", q)
		}
	})
}

func TestTokensOfARefreshAreFreshAndEnd(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		first := w.tokens("portal")
		dbtest.Advance(w.db, 2*time.Minute)
		second := w.renew("portal", first.get("refresh_token"))
		a, b := claims(t, first.get("access_token")), claims(t, second.get("access_token"))
		if b["iat"].(float64)-a["iat"].(float64) < 119 || b["exp"].(float64)-b["iat"].(float64) != 300 {
			t.Errorf("iat %v then %v, exp %v", a["iat"], b["iat"], b["exp"])
		}
		if a["jti"] == b["jti"] || a["gid"] != b["gid"] {
			t.Errorf("jti %v %v, gid %v %v", a["jti"], b["jti"], a["gid"], b["gid"])
		}
		if w.alive(first.get("access_token")) != true {
			t.Error("the first access token lives for five minutes")
		}
		dbtest.Advance(w.db, 4*time.Minute)
		if w.alive(first.get("access_token")) || !w.alive(second.get("access_token")) {
			t.Error("expiry is not by the database's clock")
		}
		dbtest.Advance(w.db, w.r.Lifetimes.RefreshIdle)
		w.expect("idle for too long", w.renew("portal", second.get("refresh_token")), 400, errInvalidGrant)
	})
}

func TestNoRefreshOutlivesTheGrant(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		r := w.tokens("portal")
		for left := w.r.Lifetimes.GrantAbsolute; left > time.Hour; left -= time.Hour {
			dbtest.Advance(w.db, time.Hour)
			if r = w.renew("portal", r.get("refresh_token")); r.Status != 200 {
				t.Fatalf("with %s left: %s", left, r.Body)
			}
		}
		dbtest.Advance(w.db, 58*time.Minute)
		r = w.renew("portal", r.get("refresh_token"))
		if in, _ := r.JSON["expires_in"].(float64); r.Status != 200 || in > 120 {
			t.Errorf("an access token outlives its grant: %s", r.Body)
		}
		dbtest.Advance(w.db, 3*time.Minute)
		w.expect("after the end", w.renew("portal", r.get("refresh_token")), 400, errInvalidGrant)
		if w.alive(r.get("access_token")) {
			t.Error("the access token outlives the grant")
		}
	})
}

func TestOtherGrantsAndResponseTypesDoNotExist(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.signIn(w.account)
		for _, grant := range []string{"password", "implicit", "urn:ietf:params:oauth:grant-type:jwt-bearer",
			"urn:ietf:params:oauth:grant-type:token-exchange", "authorization_code refresh_token", "x"} {
			r := w.send("/oauth/token", "portal", url.Values{"grant_type": {grant}, "username": {"pat@example.test"}, "password": {"x"}})
			w.expect(grant, r, 400, errUnsupportedGrant)
		}
		w.expect("no grant_type", w.send("/oauth/token", "portal", url.Values{"code": {"x"}}), 400, errInvalidRequest)
		w.expect("no code", w.send("/oauth/token", "portal", exchange("portal", "")), 400, errInvalidRequest)
		for _, typ := range []string{"token", "id_token", "code id_token", "code token", "id_token token", "none", "x"} {
			form := request("portal", "response_type="+typ)
			if q := w.answered(w.authorize(form), form); q.Get("error") != errUnsupportedResponse {
				t.Errorf("%s: %v", typ, q)
			}
		}
	})
}

func TestParametersComeOnceAndInTheBody(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.signIn(w.account)
		code := w.code("portal")
		ctx, auth := context.Background(), http.Header{"Authorization": {basic("portal", testSecret)}}
		body := exchange("portal", code).Encode()
		w.expect("duplicate", w.do(ctx, "POST", "/oauth/token", auth, body+"&code=x"), 400, errInvalidRequest)
		w.expect("in the query", w.do(ctx, "POST", "/oauth/token?"+body, auth, ""), 400, errInvalidRequest)
		w.expect("partly in the query", w.do(ctx, "POST", "/oauth/token?client_secret=x", auth, body), 400, errInvalidRequest)
		w.expect("JSON", w.do(ctx, "POST", "/oauth/token", http.Header{"Authorization": auth["Authorization"],
			"Content-Type": {"application/json"}}, `{"grant_type":"authorization_code"}`), 400, errInvalidRequest)
		w.expect("broken encoding", w.do(ctx, "POST", "/oauth/token", auth, body+"&x=%zz"), 400, errInvalidRequest)
		w.expect("huge", w.do(ctx, "POST", "/oauth/token", auth, body+"&x="+strings.Repeat("x", 70<<10)), 413, errInvalidRequest)
		if r := w.do(ctx, "GET", "/oauth/token?"+body, auth, ""); r.Status < 400 {
			t.Errorf("GET: %d", r.Status)
		}
		for _, path := range []string{"/oauth/introspect", "/oauth/revoke"} {
			w.expect(path, w.do(ctx, "POST", path, auth, "token=a&token=b"), 400, errInvalidRequest)
			w.expect(path, w.do(ctx, "POST", path+"?token=a", auth, "token=b"), 400, errInvalidRequest)
		}
		if w.redeem("portal", code).Status != 200 {
			t.Error("a refused request burnt the code")
		}
		for _, name := range []string{"scope", "state", "nonce", "prompt", "code_challenge", "response_type"} {
			form := request("portal")
			raw := form.Encode() + "&" + name + "=x"
			page := w.Get("/oauth/authorize?" + raw)
			if name == "state" {
				form.Del("state")
			}
			if q := w.answered(page, form); q.Get("error") != errInvalidRequest {
				t.Errorf("two of %s: %v", name, q)
			}
		}
		for _, name := range []string{"client_id", "redirect_uri"} {
			form := request("portal")
			if page := w.Get("/oauth/authorize?" + form.Encode() + "&" + name + "=" + url.QueryEscape(form.Get(name))); page.Status != 400 || page.Location() != "" {
				t.Errorf("two of %s: %d %s", name, page.Status, page.Location())
			}
		}
	})
}

func TestStateAndNonceMayBeShortOrMissing(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.signIn(w.account)
		for _, changes := range [][]string{{"-state"}, {"state="}, {"state=x"}, {"nonce=x"}, {"-nonce"}, {"-state", "-nonce"}} {
			form := request("portal", changes...)
			q := w.answered(w.authorize(form), form)
			r := w.redeem("portal", q.Get("code"))
			if r.Status != 200 {
				t.Fatalf("%v: %s", changes, r.Body)
			}
			if nonce, _ := claims(t, r.get("id_token"))["nonce"].(string); nonce != form.Get("nonce") {
				t.Errorf("%v: nonce %q", changes, nonce)
			}
		}
	})
}

func TestRequestObjectsThatProveNothingAreRefusedNotIgnored(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.signIn(w.account)
		for change, code := range map[string]string{
			"request=eyJhbGciOiJub25lIn0.eyJzY29wZSI6Im9wZW5pZCJ9.": errInvalidObject, "request=": errInvalidObject,
			"request_uri=https://rp.example.test/request":     errRequestURI,
			"request_uri=urn:ietf:params:oauth:request_uri:x": errInvalidRequestURI, "registration={}": errRegistration,
		} {
			for _, scope := range []string{"scope=openid", "scope=email"} {
				form := request("portal", change, scope)
				if q := w.answered(w.authorize(form), form); q.Get("error") != code || q.Has("code") {
					t.Errorf("%s, %s: %v", change, scope, q)
				}
			}
		}
	})
}

func TestErrorsDoNotRepeatWhatWasSent(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.signIn(w.account)
		form := request("portal", "scope=canary<script>")
		q := w.answered(w.authorize(form), form)
		if q.Get("error") != errInvalidScope || strings.Contains(q.Get("error_description"), "canary") {
			t.Errorf("%v", q)
		}
		r := w.send("/oauth/token", "service", url.Values{"grant_type": {"client_credentials"}, "scope": {"canary"}})
		w.expect("scope", r, 400, errInvalidScope)
		r2 := w.send("/oauth/token", "service", url.Values{"grant_type": {"client_credentials"}, "audience": {"https://canary.example.test"}})
		if r2.Status != 400 || strings.Contains(r.Body+r2.Body, "canary") {
			t.Errorf("%s %s", r.Body, r2.Body)
		}
	})
}

func TestAudiencesAndScopesMatchExactly(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for _, audience := range []string{"https://reports.example.test/x", "https://reports.example", testAPI} {
			r := w.send("/oauth/token", "service", url.Values{"grant_type": {"client_credentials"}, "audience": {audience}})
			if r.Status != 400 {
				t.Errorf("%s: %s", audience, r.Body)
			}
		}
		for _, scope := range []string{"profile.read", "admin", "admin.*", "email", "openid", "offline_access"} {
			w.expect(scope, w.send("/oauth/token", "service", url.Values{"grant_type": {"client_credentials"}, "scope": {scope}}), 400, errInvalidScope)
		}
	})
}
