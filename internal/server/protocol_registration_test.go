package server_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
)

func (s *suite) atClient(t testing.TB, method string, client reply, token, body string) reply {
	t.Helper()
	return s.mustCall(t, method, client.get("registration_client_uri"), http.Header{"Authorization": {"Bearer " + token}, "Content-Type": {"application/json"}}, body)
}

func TestProtocolAClientRegistersReadsAndLeaves(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		client := s.register(t, map[string]any{"initiate_login_uri": "https://rp.example.test/login", "unknown": "value"})
		token := client.get("registration_access_token")
		if client.get("client_id") == "" || client.get("client_secret") == "" || client.json["client_secret_expires_at"] != 0.0 || token == "" ||
			!strings.HasPrefix(client.get("registration_client_uri"), s.issuer("conformance")+"/") || client.header.Get("Cache-Control") != "no-store" ||
			client.get("token_endpoint_auth_method") != "client_secret_basic" || client.get("id_token_signed_response_alg") != "RS256" || client.json["unknown"] != nil {
			t.Errorf("%v %s", client.header, client.body)
		}
		read := s.atClient(t, http.MethodGet, client, token, "")
		if read.status != http.StatusOK || read.get("client_id") != client.get("client_id") || read.get("initiate_login_uri") != "https://rp.example.test/login" {
			t.Errorf("read: %d %s", read.status, read.body)
		}
		if fresh := read.get("registration_access_token"); fresh != "" {
			token = fresh
		}
		if r := s.atClient(t, http.MethodGet, client, "wrong", ""); r.status != http.StatusUnauthorized || r.json["redirect_uris"] != nil {
			t.Errorf("read with a wrong token: %d %s", r.status, r.body)
		}
		other := s.register(t, nil)
		if r := s.atClient(t, http.MethodGet, client, other.get("registration_access_token"), ""); r.status != http.StatusUnauthorized && r.status != http.StatusForbidden {
			t.Errorf("read by another client: %d %s", r.status, r.body)
		}
		if r := s.atClient(t, http.MethodDelete, client, token, ""); r.status != http.StatusNoContent || r.body != "" {
			t.Errorf("delete: %d %s", r.status, r.body)
		}
		if r := s.atClient(t, http.MethodGet, client, token, ""); r.status != http.StatusUnauthorized {
			t.Errorf("read afterwards: %d %s", r.status, r.body)
		}
		if o := s.ask(s.known(t), s.request(client.get("client_id"), "redirect_uri", registeredAt)); o.mode != "page" {
			t.Errorf("sign-in afterwards: %s to %q", o.mode, o.to)
		}
	})
}

func TestProtocolWhatCannotBeRegisteredIsRefused(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		sector := s.site.publish(`["https://other.example.test/callback"]`)
		garbled := s.site.publish(`{"redirect_uris":[]}`)
		never := s.site.publish(`{"keys":[]}`)
		for _, c := range []struct {
			what, name string
			value      any
			code       string
		}{
			{"a redirect URI with a fragment", "redirect_uris", []string{registeredAt + "#x"}, "invalid_redirect_uri"},
			{"an http redirect URI of a web client", "redirect_uris", []string{"http://rp.example.test/callback"}, "invalid_redirect_uri"},
			{"a script as redirect URI", "redirect_uris", []string{"javascript:alert(1)"}, "invalid_redirect_uri"},
			{"no redirect URI", "redirect_uris", []string{}, "invalid_redirect_uri"},
			{"a sign-in address without TLS", "initiate_login_uri", "http://rp.example.test/login", "invalid_client_metadata"},
			{"a sector without the redirect URI", "sector_identifier_uri", sector, "invalid_client_metadata"},
			{"a sector that is no list", "sector_identifier_uri", garbled, "invalid_client_metadata"},
			{"a sector on this machine's network", "sector_identifier_uri", "https://127.0.0.1:9/sector", "invalid_client_metadata"},
			{"a logo without TLS", "logo_uri", "http://rp.example.test/logo.png", "invalid_client_metadata"},
			{"a script as policy", "policy_uri", "javascript:alert(1)", "invalid_client_metadata"},
			{"a script as terms", "tos_uri", "data:text/html,x", "invalid_client_metadata"},
			{"a back channel without TLS", "backchannel_logout_uri", "http://rp.example.test/out", "invalid_client_metadata"},
			{"a frame of another origin", "frontchannel_logout_uri", "https://evil.example.test/out", "invalid_client_metadata"},
			{"an encrypted ID token", "id_token_encrypted_response_alg", "RSA-OAEP", "invalid_client_metadata"},
			{"an algorithm not offered", "id_token_signed_response_alg", "HS256", "invalid_client_metadata"},
			{"a way to authenticate that is not offered", "token_endpoint_auth_method", "client_secret_jwt", "invalid_client_metadata"},
			{"private_key_jwt without keys", "token_endpoint_auth_method", "private_key_jwt", "invalid_client_metadata"},
			{"a list where a text belongs", "client_name", []string{"x"}, "invalid_client_metadata"},
		} {
			t.Run(c.what, func(t *testing.T) {
				r := s.tryRegister(t, map[string]any{c.name: c.value, "subject_type": "pairwise"})
				if r.status != http.StatusBadRequest || r.get("error") != c.code || r.json["client_id"] != nil {
					t.Errorf("%d %s", r.status, r.body)
				}
			})
		}
		if r := s.tryRegister(t, map[string]any{"jwks_uri": never, "redirect_uris": []string{registeredAt + "#x"}}); r.status != http.StatusBadRequest || len(s.site.asked(never)) != 0 {
			t.Errorf("%d, and %d requests for the keys of a client that is refused", r.status, len(s.site.asked(never)))
		}
	})
}

func TestProtocolASectorSharesItsSubjects(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		const there = "https://rp.example.test/other"
		sector := s.site.publish(`["` + registeredAt + `","` + there + `"]`)
		subject := func(metadata map[string]any) string {
			client := s.register(t, metadata)
			id, _ := s.dynamicTokens(t, client, metadata["redirect_uris"].([]string)[0], "openid")
			claims, _ := s.verified(t, id.get("id_token"))
			sub, _ := claims["sub"].(string)
			if info := s.userinfo(t, id.get("access_token")); info.get("sub") != sub {
				t.Errorf("sub %q, and in userinfo %q", sub, info.get("sub"))
			}
			return sub
		}
		first := subject(map[string]any{"subject_type": "pairwise", "sector_identifier_uri": sector, "redirect_uris": []string{registeredAt}})
		second := subject(map[string]any{"subject_type": "pairwise", "sector_identifier_uri": sector, "redirect_uris": []string{there}})
		apart := subject(map[string]any{"subject_type": "pairwise", "redirect_uris": []string{"https://apart.example.test/callback"}})
		public := subject(map[string]any{"subject_type": "public", "redirect_uris": []string{registeredAt}})
		if first == "" || first != second || first == apart || first == public || apart == public {
			t.Errorf("%q %q, apart %q, public %q", first, second, apart, public)
		}
		if hits := s.site.asked(sector); len(hits) != 2 || hits[0].method != http.MethodGet {
			t.Errorf("the sector was asked %d times", len(hits))
		}
	})
}

// dynamicTokens signs the test person in to a registered client.
func (s *suite) dynamicTokens(t testing.TB, client reply, redirect, scope string, pairs ...string) (reply, *browser) {
	t.Helper()
	b := s.known(t)
	o := s.walk(b, s.request(client.get("client_id"), append([]string{"redirect_uri", redirect, "scope", scope}, pairs...)...))
	if o.get("code") == "" {
		t.Fatalf("%s %v %s", o.mode, o.values, o.page.says())
	}
	r := s.post(t, client.get("client_id"), client.get("client_secret"), "/oauth/token", "grant_type", "authorization_code", "code", o.get("code"), "redirect_uri", redirect)
	if r.status != http.StatusOK {
		t.Fatalf("exchange: %d %s", r.status, r.body)
	}
	return r, b
}

func TestProtocolUserinfoIsSignedForClientsThatWantIt(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		client := s.register(t, map[string]any{"userinfo_signed_response_alg": "RS256"})
		r, _ := s.dynamicTokens(t, client, registeredAt, "openid email")
		info := s.userinfo(t, r.get("access_token"))
		if info.status != http.StatusOK || !strings.HasPrefix(info.header.Get("Content-Type"), "application/jwt") {
			t.Fatalf("%d %s %s", info.status, info.header.Get("Content-Type"), info.body)
		}
		claims, header := s.verified(t, info.body)
		id, _ := s.verified(t, r.get("id_token"))
		audience := claims["aud"] == client.get("client_id")
		if list, ok := claims["aud"].([]any); ok {
			audience = slices.Contains(list, any(client.get("client_id")))
		}
		if header.Algorithm != "RS256" || claims["iss"] != s.issuer("conformance") || !audience || claims["sub"] != id["sub"] || claims["nonce"] != nil || claims["email"] != robinEmail {
			t.Errorf("%s %v", header.Algorithm, claims)
		}
	})
}

func TestProtocolAnIDTokenIsUnsignedOnlyForClientsThatAskedForIt(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		client := s.register(t, map[string]any{"id_token_signed_response_alg": "none"})
		r, _ := s.dynamicTokens(t, client, registeredAt, "openid")
		if raw := r.get("id_token"); !strings.HasSuffix(raw, ".") || strings.Count(raw, ".") != 2 {
			t.Errorf("%q is signed", raw)
		}
		front := s.tryRegister(t, map[string]any{"id_token_signed_response_alg": "none", "response_types": []string{"id_token"}, "grant_types": []string{"implicit"}})
		if front.status != http.StatusBadRequest || front.get("error") != "invalid_client_metadata" {
			t.Errorf("from the authorization endpoint: %d %s", front.status, front.body)
		}
	})
}

func TestProtocolAClientChangesItsKeys(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		keys := s.site.publish(asJSON(t, keySet("first")))
		client := s.register(t, map[string]any{"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": keys})
		id := client.get("client_id")
		if client.get("client_secret") != "" {
			t.Error("a secret for a client that has none")
		}
		b := s.known(t)
		redeem := func(kid string, change func(map[string]any)) reply {
			code := s.walk(b, s.request(id, "redirect_uri", registeredAt)).get("code")
			claims := map[string]any{"iss": id, "sub": id, "aud": s.issuer("conformance"), "jti": randomText(16), "exp": time.Now().Add(time.Minute).Unix(), "iat": time.Now().Unix()}
			if change != nil {
				change(claims)
			}
			return s.post(t, "", "", "/oauth/token", "grant_type", "authorization_code", "code", code, "redirect_uri", registeredAt,
				"client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", "client_assertion", signedBy(t, kid, claims))
		}
		if r := redeem("first", nil); r.status != http.StatusOK {
			t.Fatalf("first key: %d %s", r.status, r.body)
		}
		s.site.set(keys, asJSON(t, keySet("second")))
		if r := redeem("second", nil); r.status != http.StatusOK {
			t.Errorf("a new kid: %d %s", r.status, r.body)
		}
		for what, change := range map[string]func(map[string]any){
			"for somebody else":  func(m map[string]any) { m["aud"] = "https://other.example.test" },
			"of somebody else":   func(m map[string]any) { m["sub"], m["iss"] = "conformance-1", "conformance-1" },
			"expired":            func(m map[string]any) { m["exp"] = time.Now().Add(-10 * time.Minute).Unix() },
			"without identifier": func(m map[string]any) { delete(m, "jti") },
		} {
			if r := redeem("second", change); r.status != http.StatusUnauthorized || r.get("error") != "invalid_client" {
				t.Errorf("%s: %d %s", what, r.status, r.body)
			}
		}
		if r := redeem("stranger", nil); r.status != http.StatusUnauthorized || r.get("error") != "invalid_client" {
			t.Errorf("an unknown key: %d %s", r.status, r.body)
		}
	})
}

func TestProtocolTheSignInPageShowsLogoPolicyAndTerms(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		want := map[string]string{"logo_uri": "https://rp.example.test/logo.png", "policy_uri": "https://rp.example.test/policy", "tos_uri": "https://rp.example.test/terms"}
		client := s.register(t, map[string]any{"logo_uri": want["logo_uri"], "policy_uri": want["policy_uri"], "tos_uri": want["tos_uri"], "client_name": `<b>Charts</b>`})
		p := s.browser(t).open(s.at("/oauth/authorize?" + s.request(client.get("client_id"), "redirect_uri", registeredAt).Encode()))
		for name, address := range want {
			key := "href"
			if name == "logo_uri" {
				key = "src"
			}
			if find(p.doc, func(n *html.Node) bool { return attr(n, key) == address }) == nil {
				t.Errorf("%s is not on the page", name)
			}
		}
		if !strings.Contains(p.header.Get("Content-Security-Policy"), "https://rp.example.test") || strings.Contains(p.body, "<b>Charts") {
			t.Errorf("policy %q", p.header.Get("Content-Security-Policy"))
		}
	})
}
