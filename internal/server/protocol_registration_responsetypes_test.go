package server_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// The dynamic plan is run once for each response type: a client registers for
// it alone, uses it, changes, and leaves.
func TestProtocolAClientRegistersForOneResponseType(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		for i, kind := range responseTypes {
			t.Run(kind, func(t *testing.T) {
				client := s.register(t, map[string]any{"response_types": []string{kind}, "initiate_login_uri": "https://rp.example.test/login"})
				id, token := client.get("client_id"), client.get("registration_access_token")
				if got := texts(client.json["response_types"]); !slices.Equal(got, []string{kind}) {
					t.Errorf("response_types %v", got)
				}
				var grants []string
				if strings.Contains(kind, "code") {
					grants = append(grants, "authorization_code")
				}
				if kind != "code" {
					grants = append(grants, "implicit")
				}
				for _, grant := range grants {
					if !slices.Contains(texts(client.json["grant_types"]), grant) {
						t.Errorf("grant_types %v", client.json["grant_types"])
					}
				}
				b := s.known(t)
				q := s.request(id, "redirect_uri", registeredAt, "response_type", kind)
				o := s.walk(b, q)
				s.answers(t, "its own", q, o)
				for _, other := range responseTypes {
					if other == kind {
						continue
					}
					q := s.request(id, "redirect_uri", registeredAt, "response_type", other)
					s.refuses(t, other, q, s.ask(b.tab(), q), "unauthorized_client")
				}
				// It changes to the next one, by a document that says everything.
				next := responseTypes[(i+1)%len(responseTypes)]
				change := map[string]any{"client_id": id, "redirect_uris": []string{registeredAt}, "client_name": "Growth Charts Two", "response_types": []string{next}}
				if r := s.atClient(t, http.MethodPut, client, "wrong", asJSON(t, change)); r.status != http.StatusUnauthorized {
					t.Errorf("a change with a wrong token: %d %s", r.status, r.body)
				}
				r := s.atClient(t, http.MethodPut, client, token, asJSON(t, change))
				if r.status != http.StatusOK || !slices.Equal(texts(r.json["response_types"]), []string{next}) || r.get("client_name") != "Growth Charts Two" || r.json["initiate_login_uri"] != nil {
					t.Errorf("a change: %d %s", r.status, r.body)
				}
				if fresh := r.get("registration_access_token"); fresh != "" {
					token = fresh
				}
				read := s.atClient(t, http.MethodGet, client, token, "")
				if read.status != http.StatusOK || !slices.Equal(texts(read.json["response_types"]), []string{next}) || read.json["initiate_login_uri"] != nil {
					t.Errorf("read after a change: %d %s", read.status, read.body)
				}
				q = s.request(id, "redirect_uri", registeredAt, "response_type", next)
				o = s.walk(b.tab(), q)
				s.answers(t, "after a change", q, o)
				q = s.request(id, "redirect_uri", registeredAt, "response_type", kind)
				s.refuses(t, "the type of before", q, s.ask(b.tab(), q), "unauthorized_client")
				for what, wrong := range map[string]map[string]any{
					"another client":              {"client_id": "conformance-1", "redirect_uris": []string{registeredAt}},
					"no client":                   {"redirect_uris": []string{registeredAt}},
					"a secret of its own":         {"client_id": id, "client_secret": "chosen by the client itself 0123456789", "redirect_uris": []string{registeredAt}},
					"a response type nobody has":  {"client_id": id, "redirect_uris": []string{registeredAt}, "response_types": []string{"token"}},
					"grants that do not fit":      {"client_id": id, "redirect_uris": []string{registeredAt}, "response_types": []string{"id_token"}, "grant_types": []string{"authorization_code"}},
					"a redirect with a fragment":  {"client_id": id, "redirect_uris": []string{registeredAt + "#x"}},
					"a sign-in address over http": {"client_id": id, "redirect_uris": []string{registeredAt}, "initiate_login_uri": "http://rp.example.test/login"},
				} {
					if r := s.atClient(t, http.MethodPut, client, token, asJSON(t, wrong)); r.status != http.StatusBadRequest ||
						r.get("error") != "invalid_client_metadata" && r.get("error") != "invalid_redirect_uri" {
						t.Errorf("changed to %s: %d %s", what, r.status, r.body)
					}
				}
				if r := s.atClient(t, http.MethodDelete, client, token, ""); r.status != http.StatusNoContent || r.body != "" {
					t.Errorf("delete: %d %s", r.status, r.body)
				}
				for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
					if r := s.atClient(t, method, client, token, asJSON(t, change)); r.status != http.StatusUnauthorized {
						t.Errorf("%s afterwards: %d %s", method, r.status, r.body)
					}
				}
				if o := s.ask(b.tab(), s.request(id, "redirect_uri", registeredAt, "response_type", next)); o.mode != "page" || o.page.status != http.StatusBadRequest {
					t.Errorf("a request afterwards: %s to %q", o.mode, o.to)
				}
			})
		}
	})
}

// What a client holds when it leaves is worth nothing any more.
func TestProtocolATokenOfAClientThatLeftIsDead(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		client := s.register(t, map[string]any{"grant_types": []string{"authorization_code", "refresh_token"}})
		r, b := s.dynamicTokens(t, client, registeredAt, "openid offline_access", "prompt", "consent")
		code := s.walk(b, s.request(client.get("client_id"), "redirect_uri", registeredAt)).get("code")
		if r.get("refresh_token") == "" || code == "" || s.userinfo(t, r.get("access_token")).status != http.StatusOK {
			t.Fatalf("%s, code %q", r.body, code)
		}
		if r := s.atClient(t, http.MethodDelete, client, client.get("registration_access_token"), ""); r.status != http.StatusNoContent {
			t.Fatalf("%d %s", r.status, r.body)
		}
		if got := s.userinfo(t, r.get("access_token")); got.status != http.StatusUnauthorized {
			t.Errorf("userinfo: %d", got.status)
		}
		for what, pairs := range map[string][]string{"refresh": {"grant_type", "refresh_token", "refresh_token", r.get("refresh_token")},
			"code": {"grant_type", "authorization_code", "code", code, "redirect_uri", registeredAt}} {
			if got := s.post(t, client.get("client_id"), client.get("client_secret"), "/oauth/token", pairs...); got.status != http.StatusUnauthorized || got.get("error") != "invalid_client" {
				t.Errorf("%s: %d %s", what, got.status, got.body)
			}
		}
	})
}

func TestProtocolARealmMayAskForATokenToRegister(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		issuer := s.issuer("guarded")
		document := asJSON(t, map[string]any{"redirect_uris": []string{registeredAt}})
		endpoint := s.mustCall(t, http.MethodGet, issuer+"/.well-known/openid-configuration", nil, "").get("registration_endpoint")
		for what, header := range map[string]http.Header{"no token": {}, "a wrong one": {"Authorization": {"Bearer " + randomText(32)}},
			"a token as a password": {"Authorization": {"Basic " + s.env["CONFORMANCE_SECRET_2"]}}} {
			header.Set("Content-Type", "application/json")
			r := s.mustCall(t, http.MethodPost, endpoint, header, document)
			if r.status != http.StatusUnauthorized || !strings.HasPrefix(r.header.Get("WWW-Authenticate"), "Bearer") || r.json["client_id"] != nil {
				t.Errorf("%s: %d %q %s", what, r.status, r.header.Get("WWW-Authenticate"), r.body)
			}
		}
		header := http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + s.env["CONFORMANCE_SECRET_2"]}}
		client := s.mustCall(t, http.MethodPost, endpoint, header, document)
		if client.status != http.StatusCreated || client.get("client_id") == "" || client.get("registration_access_token") == s.env["CONFORMANCE_SECRET_2"] {
			t.Fatalf("%d %s", client.status, client.body)
		}
		// The initial token registers, and manages nobody.
		if r := s.atClient(t, http.MethodGet, client, s.env["CONFORMANCE_SECRET_2"], ""); r.status != http.StatusUnauthorized {
			t.Errorf("read with the initial token: %d %s", r.status, r.body)
		}
		if r := s.atClient(t, http.MethodDelete, client, client.get("registration_access_token"), ""); r.status != http.StatusNoContent {
			t.Errorf("delete: %d %s", r.status, r.body)
		}
		// What a realm does not allow cannot be registered there.
		for _, kind := range responseTypes[1:] {
			r := s.mustCall(t, http.MethodPost, endpoint, header, asJSON(t, map[string]any{"redirect_uris": []string{registeredAt}, "response_types": []string{kind}}))
			if r.status != http.StatusBadRequest || r.get("error") != "invalid_client_metadata" {
				t.Errorf("%s: %d %s", kind, r.status, r.body)
			}
		}
		if r := s.mustCall(t, http.MethodPost, endpoint, header, asJSON(t, map[string]any{"redirect_uris": []string{registeredAt}, "id_token_signed_response_alg": "none"})); r.get("error") != "invalid_client_metadata" {
			t.Errorf("unsigned ID tokens: %d %s", r.status, r.body)
		}
	})
}

// Bodies that are no document are refused before anything is made of them.
func TestProtocolABodyThatIsNoRegistrationIsRefused(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		form := url.Values{"redirect_uris": {registeredAt}}.Encode()
		for _, c := range []struct{ what, kind, body string }{
			{"a form", "application/x-www-form-urlencoded", form}, {"JSON called a form", "application/x-www-form-urlencoded", `{"redirect_uris":["` + registeredAt + `"]}`},
			{"no JSON", "application/json", "redirect_uris"}, {"a list", "application/json", `["` + registeredAt + `"]`}, {"nothing", "application/json", ""},
			{"a member twice", "application/json", `{"redirect_uris":["` + registeredAt + `"],"redirect_uris":["https://evil.example.test/"]}`},
			{"more behind it", "application/json", `{"redirect_uris":["` + registeredAt + `"]} {}`},
			{"a text for a list", "application/json", `{"redirect_uris":"` + registeredAt + `"}`},
		} {
			r := s.mustCall(t, http.MethodPost, s.at("/oauth/register"), http.Header{"Content-Type": {c.kind}}, c.body)
			if r.status != http.StatusBadRequest || r.get("error") != "invalid_client_metadata" && r.get("error") != "invalid_redirect_uri" || r.json["client_id"] != nil {
				t.Errorf("%s: %d %s", c.what, r.status, r.body)
			}
		}
	})
}
