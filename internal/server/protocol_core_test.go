package server_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"
)

// standardClaims are all that OpenID Connect Core §5.1 has, by scope.
var standardClaims = map[string][]string{
	"profile": {"name", "family_name", "given_name", "middle_name", "nickname", "preferred_username", "profile", "picture", "website",
		"gender", "birthdate", "zoneinfo", "locale", "updated_at"},
	"email": {"email", "email_verified"}, "phone": {"phone_number", "phone_number_verified"}, "address": {"address"},
}

func TestProtocolUserinfoTellsWhatTheScopesStandForInEveryWayItIsAsked(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		address, form := s.at("/oauth/userinfo"), http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
		for scope, names := range standardClaims {
			r := s.tokens(t, s.known(t), s.request("conformance-1", "scope", "openid "+scope))
			id, _ := s.verified(t, r.get("id_token"))
			bearer := http.Header{"Authorization": {"Bearer " + r.get("access_token")}}
			for what, answer := range map[string]reply{
				"GET":                s.mustCall(t, http.MethodGet, address, bearer, ""),
				"POST with a header": s.mustCall(t, http.MethodPost, address, bearer, ""),
				"POST with a body":   s.mustCall(t, http.MethodPost, address, form, url.Values{"access_token": {r.get("access_token")}}.Encode()),
			} {
				if answer.status != http.StatusOK || !strings.HasPrefix(answer.header.Get("Content-Type"), "application/json") || answer.get("sub") != id["sub"] {
					t.Errorf("%s, %s: %d %s", scope, what, answer.status, answer.body)
					continue
				}
				for name := range answer.json {
					if name != "sub" && !slices.Contains(names, name) {
						t.Errorf("%s, %s: %s was not asked for", scope, what, name)
					}
				}
				for _, name := range names {
					if v := answer.json[name]; v == nil || v == "" {
						t.Errorf("%s, %s: no %s", scope, what, name)
					}
				}
			}
		}
		r := s.tokens(t, s.known(t), s.request("conformance-1", "scope", everyScope))
		all := s.userinfo(t, r.get("access_token"))
		for name, want := range map[string]any{"email": robinEmail, "email_verified": true, "phone_number_verified": true, "birthdate": "1985-04-12"} {
			if all.json[name] != want {
				t.Errorf("%s = %v", name, all.json[name])
			}
		}
		if _, ok := all.json["updated_at"].(float64); !ok {
			t.Errorf("updated_at is no number: %v", all.json["updated_at"])
		}
		if home, ok := all.json["address"].(map[string]any); !ok || home["locality"] != "Springfield" {
			t.Errorf("address %v", all.json["address"])
		}
		for what, c := range map[string]struct {
			header http.Header
			query  string
			status int
			code   string
		}{
			"no token":           {nil, "", 401, ""},
			"a made-up token":    {http.Header{"Authorization": {"Bearer abc.def.ghi"}}, "", 401, "invalid_token"},
			"the ID token":       {http.Header{"Authorization": {"Bearer " + r.get("id_token")}}, "", 401, "invalid_token"},
			"a token in the URL": {nil, "?access_token=" + r.get("access_token"), 400, "invalid_request"},
		} {
			got := s.mustCall(t, http.MethodGet, address+c.query, c.header, "")
			if got.status != c.status || !strings.HasPrefix(got.header.Get("WWW-Authenticate"), "Bearer") ||
				c.code != "" && !strings.Contains(got.header.Get("WWW-Authenticate"), `error="`+c.code+`"`) {
				t.Errorf("%s: %d %q", what, got.status, got.header.Get("WWW-Authenticate"))
			}
		}
	})
}

func TestProtocolIDTokensHoldProtocolClaimsAndNothingElse(t *testing.T) {
	allowed := strings.Fields("iss sub aud exp iat auth_time nonce acr amr azp sid at_hash c_hash s_hash jti nbf txn")
	protocol(t, func(t *testing.T, s *suite) {
		for _, nonce := range []string{"n-0S6_WzA2Mj", "1", ""} {
			r := s.tokens(t, s.known(t), s.request("conformance-1", "scope", everyScope, "nonce", nonce))
			claims, header := s.verified(t, r.get("id_token"))
			for name := range claims {
				if !slices.Contains(allowed, name) {
					t.Errorf("the ID token says %s", name)
				}
			}
			if got, _ := claims["nonce"].(string); got != nonce || header.Algorithm != "RS256" || claims["iss"] != s.issuer("conformance") {
				t.Errorf("nonce %q, want %q; alg %s, iss %v", got, nonce, header.Algorithm, claims["iss"])
			}
			if list, ok := claims["aud"].([]any); claims["aud"] != "conformance-1" && (!ok || len(list) != 1 || list[0] != "conformance-1") {
				t.Errorf("aud %v", claims["aud"])
			}
			if sub, _ := claims["sub"].(string); sub == "" || len(sub) > 255 {
				t.Errorf("sub %q", sub)
			}
			issued, _ := claims["iat"].(float64)
			expires, _ := claims["exp"].(float64)
			if now := float64(time.Now().Unix()); issued < now-60 || issued > now+5 || expires <= issued || expires > issued+86400 {
				t.Errorf("iat %v, exp %v", issued, expires)
			}
			if r.header.Get("Cache-Control") != "no-store" || !strings.EqualFold(r.get("token_type"), "Bearer") || r.json["expires_in"] == nil {
				t.Errorf("%v %s", r.header, r.body)
			}
		}
	})
}

func TestProtocolACodeUsedTwiceKillsWhatItBought(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		o := s.walk(s.known(t), s.request("conformance-1", "scope", "openid offline_access", "prompt", "consent"))
		first := s.exchange(t, "conformance-1", o.get("code"))
		if first.status != http.StatusOK || s.userinfo(t, first.get("access_token")).status != http.StatusOK {
			t.Fatalf("%d %s", first.status, first.body)
		}
		second := s.exchange(t, "conformance-1", o.get("code"))
		if second.status != http.StatusBadRequest || second.get("error") != "invalid_grant" || second.get("access_token") != "" {
			t.Errorf("second time: %d %s", second.status, second.body)
		}
		if got := s.userinfo(t, first.get("access_token")); got.status != http.StatusUnauthorized {
			t.Errorf("the access token lives: %d", got.status)
		}
		got := s.post(t, "conformance-1", s.secretOf("conformance-1"), "/oauth/token", "grant_type", "refresh_token", "refresh_token", first.get("refresh_token"))
		if first.get("refresh_token") == "" || got.get("error") != "invalid_grant" {
			t.Errorf("the refresh token lives: %d %s", got.status, got.body)
		}
	})
}

func TestProtocolAnotherClientCannotUseAndDoesNotBurnACode(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		code := s.ask(s.known(t), s.request("conformance-1")).get("code")
		if r := s.exchange(t, "conformance-2", code); r.status != http.StatusBadRequest || r.get("error") != "invalid_grant" {
			t.Errorf("another client: %d %s", r.status, r.body)
		}
		if r := s.exchange(t, "conformance-1", code); r.status != http.StatusOK {
			t.Errorf("its own client afterwards: %d %s", r.status, r.body)
		}
	})
}

func TestProtocolOfflineAccessBringsARefreshTokenOfOneClient(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		r := s.tokens(t, s.known(t), s.request("conformance-1", "scope", "openid offline_access", "prompt", "consent"))
		refresh := r.get("refresh_token")
		if refresh == "" {
			t.Fatalf("no refresh token: %s", r.body)
		}
		other := s.post(t, "conformance-2", s.secretOf("conformance-2"), "/oauth/token", "grant_type", "refresh_token", "refresh_token", refresh)
		if other.status != http.StatusBadRequest || other.get("error") != "invalid_grant" {
			t.Errorf("another client: %d %s", other.status, other.body)
		}
		own := s.post(t, "conformance-1", s.secretOf("conformance-1"), "/oauth/token", "grant_type", "refresh_token", "refresh_token", refresh)
		if own.status != http.StatusOK || own.get("access_token") == "" || own.get("access_token") == r.get("access_token") {
			t.Fatalf("its own client: %d %s", own.status, own.body)
		}
		before, _ := s.verified(t, r.get("id_token"))
		if own.get("id_token") != "" {
			after, _ := s.verified(t, own.get("id_token"))
			for _, name := range []string{"sub", "iss", "auth_time", "azp"} { // Core §12.2
				if before[name] != after[name] {
					t.Errorf("%s changed: %v, %v", name, before[name], after[name])
				}
			}
		}
	})
}

func TestProtocolClientsAuthenticateAsTheyAreRegistered(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		code := s.ask(s.known(t), s.request("conformance-post")).get("code")
		pairs := []string{"grant_type", "authorization_code", "code", code, "redirect_uri", exampleCallback}
		basic := s.post(t, "conformance-post", s.secretOf("conformance-post"), "/oauth/token", pairs...)
		wrong := s.post(t, "", "", "/oauth/token", append(pairs, "client_id", "conformance-post", "client_secret", "wrong")...)
		none := s.post(t, "", "", "/oauth/token", append(pairs, "client_id", "conformance-post")...)
		for what, r := range map[string]reply{"the other method": basic, "a wrong secret": wrong, "no secret": none} {
			if r.status != http.StatusUnauthorized || r.get("error") != "invalid_client" {
				t.Errorf("%s: %d %s", what, r.status, r.body)
			}
		}
		right := s.post(t, "", "", "/oauth/token", append(pairs, "client_id", "conformance-post", "client_secret", s.secretOf("conformance-post"))...)
		if right.status != http.StatusOK {
			t.Errorf("its method: %d %s", right.status, right.body)
		}
	})
}

// What a client asks for is there; what it sends beside that does no harm.
func TestProtocolRequestsWithMoreThanTheMinimumAreAnswered(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		acr := texts(s.mustCall(t, http.MethodGet, s.at("/.well-known/openid-configuration"), nil, "").json["acr_values_supported"])
		for _, c := range []struct{ what, name, value string }{
			{"display page", "display", "page"}, {"display popup", "display", "popup"},
			{"ui_locales", "ui_locales", "se es-MX"}, {"claims_locales", "claims_locales", "se"},
			{"a login hint", "login_hint", robinEmail}, {"an unknown parameter", "extra", "foobar"},
			{"acr values", "acr_values", strings.Join(acr, " ")}, {"acr values nobody knows", "acr_values", "urn:example:gold"},
			{"a max_age not reached", "max_age", "10000"}, {"prompt none", "prompt", "none"},
			{"a short state", "state", "s"}, {"no state", "state", ""},
		} {
			t.Run(c.what, func(t *testing.T) {
				q := s.request("conformance-1", c.name, c.value)
				o := s.ask(s.known(t), q)
				if o.mode != "query" || o.get("code") == "" || o.values.Has("state") != q.Has("state") || o.get("state") != q.Get("state") {
					t.Fatalf("%s %v", o.mode, o.values)
				}
				claims, _ := s.verified(t, s.exchange(t, "conformance-1", o.get("code")).get("id_token"))
				if c.name == "acr_values" && !slices.Contains(acr, claims["acr"].(string)) {
					t.Errorf("acr %v is not advertised", claims["acr"])
				}
				if c.name == "max_age" && claims["auth_time"] == nil {
					t.Error("no auth_time")
				}
			})
		}
		b := s.known(t)
		q := s.request("conformance-1")
		if o := s.outcome(b, b.follow(b.do(http.MethodPost, s.at("/oauth/authorize"), q, "cross-site"))); o.get("code") == "" || o.get("state") != q.Get("state") {
			t.Errorf("by POST: %s %v", o.mode, o.values)
		}
	})
}

func TestProtocolSingleClaimsAreAskedForByName(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		for _, c := range []struct {
			what, claims string
			userinfo     []string
			id           []string
		}{
			{"an essential name in userinfo", `{"userinfo":{"name":{"essential":true}}}`, []string{"name"}, nil},
			{"a name without more", `{"userinfo":{"name":null}}`, []string{"name"}, nil},
			{"an email in the ID token", `{"id_token":{"email":{"essential":true}}}`, nil, []string{"email"}},
			{"auth_time as essential", `{"id_token":{"auth_time":{"essential":true}}}`, nil, []string{"auth_time"}},
			{"claims nobody knows", `{"userinfo":{"shoe_size":{"essential":true}},"other":{}}`, nil, nil},
		} {
			t.Run(c.what, func(t *testing.T) {
				r := s.tokens(t, s.known(t), s.request("conformance-1", "claims", c.claims))
				info := s.userinfo(t, r.get("access_token"))
				id, _ := s.verified(t, r.get("id_token"))
				for _, name := range []string{"name", "email", "phone_number", "address", "shoe_size"} {
					if _, ok := info.json[name]; ok != slices.Contains(c.userinfo, name) {
						t.Errorf("userinfo has %s: %t", name, ok)
					}
					if _, ok := id[name]; ok != slices.Contains(c.id, name) {
						t.Errorf("the ID token has %s: %t", name, ok)
					}
				}
				if slices.Contains(c.id, "auth_time") && id["auth_time"] == nil {
					t.Error("no auth_time")
				}
			})
		}
		r := s.tokens(t, s.known(t), s.request("conformance-1"))
		id, _ := s.verified(t, r.get("id_token"))
		sub, _ := id["sub"].(string)
		if o := s.ask(s.known(t), s.request("conformance-1", "prompt", "none", "claims", `{"id_token":{"sub":{"value":"`+sub+`"}}}`)); o.get("code") == "" {
			t.Errorf("the person who is signed in: %v", o.values)
		}
		if o := s.ask(s.known(t), s.request("conformance-1", "prompt", "none", "claims", `{"id_token":{"sub":{"value":"somebody else"}}}`)); o.get("error") != "login_required" {
			t.Errorf("somebody else: %v", o.values)
		}
		if o := s.ask(s.known(t), s.request("conformance-1", "prompt", "none", "claims", `{"id_token":{"acr":{"essential":true,"value":"urn:example:gold"}}}`)); o.get("error") != "unmet_authentication_requirements" {
			t.Errorf("an essential acr that nobody reaches: %v", o.values)
		}
		hint := r.get("id_token")
		if o := s.ask(s.known(t), s.request("conformance-1", "prompt", "none", "id_token_hint", hint)); o.get("code") == "" {
			t.Errorf("a hint of the same person: %v", o.values)
		}
		if o := s.ask(s.known(t), s.request("conformance-2", "prompt", "none", "id_token_hint", hint)); o.get("error") != "invalid_request" {
			t.Errorf("a hint of another client: %v", o.values)
		}
	})
}

func TestProtocolThePersonIsAskedAgainWhereTheClientWantsIt(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		if o := s.ask(s.browser(t), s.request("conformance-1", "prompt", "none")); o.mode != "query" || o.get("error") != "login_required" {
			t.Errorf("nobody is signed in: %s %v", o.mode, o.values)
		}
		b := s.browser(t)
		before, _ := s.verified(t, s.tokens(t, b, s.request("conformance-1", "max_age", "1000")).get("id_token"))
		time.Sleep(1100 * time.Millisecond)
		for _, c := range []struct{ what, name, value string }{
			{"prompt login", "prompt", "login"}, {"max_age 0", "max_age", "0"},
		} {
			p := b.open(s.at("/oauth/authorize?" + s.request("conformance-1", c.name, c.value).Encode()))
			if p.status != http.StatusOK || !strings.HasSuffix(p.url.Path, "/signin") {
				t.Fatalf("%s: no sign-in page but %d %s", c.what, p.status, p.url.Path)
			}
			o := s.outcome(b, s.through(b, p))
			after, _ := s.verified(t, s.exchange(t, "conformance-1", o.get("code")).get("id_token"))
			if earlier, later := before["auth_time"].(float64), after["auth_time"]; later == nil || later.(float64) <= earlier || after["sub"] != before["sub"] {
				t.Errorf("%s: auth_time %v after %v", c.what, later, earlier)
			}
			if o := s.ask(b, s.request("conformance-1", "prompt", "none", "max_age", "1000")); o.get("code") == "" {
				t.Errorf("%s: silently afterwards: %v", c.what, o.values)
			}
		}
		b = s.known(t)
		p := b.open(s.at("/oauth/authorize?" + s.request("conformance-1", "prompt", "consent").Encode()))
		if !strings.HasSuffix(p.url.Path, "/consent") {
			t.Fatalf("prompt consent: %s", p.url.Path)
		}
		q := s.outcome(b, b.send(p, "answer", "deny"))
		if q.mode != "query" || q.get("error") != "access_denied" || q.values.Has("code") {
			t.Errorf("denied: %s %v", q.mode, q.values)
		}
		for _, c := range []struct{ what, name, value string }{
			{"a prompt nobody knows", "prompt", "tea"}, {"none and login", "prompt", "none login"}, {"a max_age that is no number", "max_age", "soon"},
			{"a negative max_age", "max_age", "-1"}, {"registration in the request", "registration", "{}"},
		} {
			want := "invalid_request"
			if c.name == "registration" {
				want = "registration_not_supported"
			}
			if o := s.ask(s.known(t), s.request("conformance-1", c.name, c.value)); o.mode != "query" || o.get("error") != want {
				t.Errorf("%s: %s %v", c.what, o.mode, o.values)
			}
		}
	})
}

func TestProtocolRedirectURIsAreRegisteredWordForWord(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		for _, c := range []struct{ what, name, value string }{
			{"none", "redirect_uri", ""}, {"one of somebody else", "redirect_uri", "https://evil.example.test/callback"},
			{"a query that is not registered", "redirect_uri", exampleCallback + "?foo=bar"},
			{"a query that is registered, and more", "redirect_uri", exampleCallback + "?dummy1=lorem&dummy2=ipsum&x=1"},
			{"half of a query", "redirect_uri", exampleCallback + "?dummy1=lorem"}, {"a fragment", "redirect_uri", exampleCallback + "#x"},
			{"http", "redirect_uri", strings.Replace(exampleCallback, "https", "http", 1)}, {"a longer path", "redirect_uri", exampleCallback + "/x"},
			{"a client nobody knows", "client_id", "nobody"}, {"no client", "client_id", ""},
		} {
			o := s.ask(s.known(t), s.request("conformance-1", c.name, c.value))
			if o.mode != "page" || o.page.status != http.StatusBadRequest || o.page.h1() == "" {
				t.Errorf("%s: %s to %q, %d", c.what, o.mode, o.to, o.page.status)
			}
		}
		both := s.request("conformance-1").Encode() + "&redirect_uri=" + url.QueryEscape("https://evil.example.test/")
		b := s.known(t)
		if o := s.outcome(b, b.open(s.at("/oauth/authorize?"+both))); o.mode != "page" || o.page.status != http.StatusBadRequest {
			t.Errorf("two: %s to %q", o.mode, o.to)
		}
		to := exampleCallback + "?dummy1=lorem&dummy2=ipsum"
		o := s.ask(s.known(t), s.request("conformance-1", "redirect_uri", to))
		if o.mode != "query" || o.get("code") == "" || o.get("dummy1") != "lorem" || o.get("dummy2") != "ipsum" {
			t.Errorf("a registered query: %s %v", o.mode, o.values)
		}
		r := s.exchange(t, "conformance-1", o.get("code")) // which says the address without the query
		if r.status != http.StatusBadRequest || r.get("error") != "invalid_grant" {
			t.Errorf("another address at the token endpoint: %d %s", r.status, r.body)
		}
	})
}

func TestProtocolAParameterSentTwiceIsRefused(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		for _, name := range []string{"scope", "nonce", "response_type", "prompt", "claims"} {
			q, b := s.request("conformance-1", "prompt", "none", "claims", "{}"), s.known(t)
			o := s.outcome(b, b.open(s.at("/oauth/authorize?"+q.Encode()+"&"+name+"="+url.QueryEscape(q.Get(name)))))
			if o.mode != "query" || o.get("error") != "invalid_request" || o.get("state") != q.Get("state") {
				t.Errorf("%s: %s %v", name, o.mode, o.values)
			}
		}
	})
}

func TestProtocolPKCEIsHeldToOnceAClientUsesIt(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		verifier := oauth2.GenerateVerifier()
		challenge := oauth2.S256ChallengeFromVerifier(verifier)
		ask := func() string {
			return s.ask(s.known(t), s.request("conformance-1", "code_challenge", challenge, "code_challenge_method", "S256")).get("code")
		}
		redeem := func(code, verifier string) reply {
			pairs := []string{"grant_type", "authorization_code", "code", code, "redirect_uri", exampleCallback}
			if verifier != "" {
				pairs = append(pairs, "code_verifier", verifier)
			}
			return s.post(t, "conformance-1", s.secretOf("conformance-1"), "/oauth/token", pairs...)
		}
		code := ask()
		for what, wrong := range map[string]string{"another verifier": oauth2.GenerateVerifier(), "no verifier": "", "the challenge itself": challenge} {
			if r := redeem(code, wrong); r.status != http.StatusBadRequest || r.get("error") != "invalid_grant" && r.get("error") != "invalid_request" {
				t.Errorf("%s: %d %s", what, r.status, r.body)
			}
		}
		if r := redeem(ask(), verifier); r.status != http.StatusOK {
			t.Errorf("the right verifier: %d %s", r.status, r.body)
		}
		if o := s.ask(s.known(t), s.request("conformance-1", "code_challenge", verifier, "code_challenge_method", "plain")); o.get("error") != "invalid_request" {
			t.Errorf("plain: %v", o.values)
		}
	})
}
