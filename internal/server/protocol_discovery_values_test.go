package server_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

func (s *suite) discovery(t *testing.T) map[string]any {
	t.Helper()
	return s.mustCall(t, http.MethodGet, s.at("/.well-known/openid-configuration"), nil, "").json
}

func TestProtocolEveryAdvertisedEndpointIsThere(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		for name, address := range s.discovery(t) {
			at, ok := address.(string)
			if !ok || !strings.HasSuffix(name, "_endpoint") && name != "jwks_uri" && name != "check_session_iframe" {
				continue
			}
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				r := s.mustCall(t, method, at, http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, "")
				// Asked for nothing, each says what is missing; none is absent or breaks.
				getOnly := method == http.MethodPost && (name == "jwks_uri" || name == "check_session_iframe")
				postOnly := method == http.MethodGet && slices.Contains([]string{"token_endpoint", "introspection_endpoint", "revocation_endpoint",
					"registration_endpoint", "pushed_authorization_request_endpoint"}, name)
				if gone := r.status == http.StatusNotFound || r.status == http.StatusMethodNotAllowed; gone != (getOnly || postOnly) || r.status >= 500 {
					t.Errorf("%s %s: %d", method, name, r.status)
				}
			}
		}
	})
}

func TestProtocolEveryGrantAdvertisedWorksAndNoOther(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		advertised := texts(s.discovery(t)["grant_types_supported"])
		slices.Sort(advertised)
		if want := []string{"authorization_code", "client_credentials", "implicit", "refresh_token"}; !slices.Equal(advertised, want) {
			t.Fatalf("%v, and this test walks %v", advertised, want) // the first three by their own tests
		}
		client := s.register(t, map[string]any{"grant_types": []string{"client_credentials"}, "redirect_uris": []string{}, "response_types": []string{}})
		own := s.post(t, client.get("client_id"), client.get("client_secret"), "/oauth/token", "grant_type", "client_credentials")
		if own.status != http.StatusOK || own.get("access_token") == "" || own.json["refresh_token"] != nil || own.json["id_token"] != nil {
			t.Errorf("client_credentials: %d %s", own.status, own.body)
		}
		if r := s.userinfo(t, own.get("access_token")); r.status != http.StatusForbidden && r.status != http.StatusUnauthorized {
			t.Errorf("userinfo about a client: %d %s", r.status, r.body)
		}
		for grant, form := range map[string][]string{
			"password": {"username", robinEmail, "password", examplePassword}, "implicit": nil, "": nil, "code": nil,
			"urn:ietf:params:oauth:grant-type:device_code":     {"device_code", "x"},
			"urn:ietf:params:oauth:grant-type:jwt-bearer":      {"assertion", "x.y.z"},
			"urn:ietf:params:oauth:grant-type:saml2-bearer":    {"assertion", "x"},
			"urn:ietf:params:oauth:grant-type:token-exchange":  {"subject_token", own.get("access_token"), "subject_token_type", "urn:ietf:params:oauth:token-type:access_token"},
			"urn:openid:params:grant-type:ciba":                {"auth_req_id", "x"},
			"urn:ietf:params:oauth:grant-type:uma-ticket":      {"ticket", "x"},
			"authorization_code refresh_token":                 {"code", "x", "refresh_token", "x"},
			"Authorization_Code":                               {"code", "x", "redirect_uri", exampleCallback},
			"urn:ietf:params:oauth:grant-type:pre-authorized_": nil,
		} {
			want := "unsupported_grant_type"
			if grant == "" {
				want = "invalid_request"
			}
			r := s.post(t, "conformance-1", s.secretOf("conformance-1"), "/oauth/token", append(form, "grant_type", grant)...)
			if r.status != http.StatusBadRequest || r.get("error") != want || r.get("access_token") != "" {
				t.Errorf("%q: %d %s", grant, r.status, r.body)
			}
			if grant == "implicit" || grant == "" {
				continue
			}
			if r := s.tryRegister(t, map[string]any{"grant_types": []string{"authorization_code", grant}}); r.get("error") != "invalid_client_metadata" {
				t.Errorf("registered for %q: %d %s", grant, r.status, r.body)
			}
		}
		// Advertised, but not registered for by this client.
		if r := s.post(t, "conformance-1", s.secretOf("conformance-1"), "/oauth/token", "grant_type", "client_credentials"); r.status != http.StatusBadRequest || r.get("error") != "unauthorized_client" {
			t.Errorf("a client that may not: %d %s", r.status, r.body)
		}
	})
}

// registered walks the values of one member: those that are advertised can be
// registered and used, all others of the world are refused at registration.
func (s *suite) registeredValues(t *testing.T, advertised, member string, others []string, also map[string]any, use func(t *testing.T, value string, client reply)) {
	t.Helper()
	values := texts(s.discovery(t)[advertised])
	if len(values) == 0 {
		t.Fatalf("nothing stands in %s", advertised)
	}
	for _, value := range values {
		metadata := map[string]any{member: value}
		for name, more := range also {
			metadata[name] = more
		}
		client := s.register(t, metadata)
		if client.get(member) != value {
			t.Errorf("%s %s: registered %v", member, value, client.json[member])
		}
		use(t, value, client)
	}
	for _, value := range others {
		if slices.Contains(values, value) {
			continue
		}
		metadata := map[string]any{member: value}
		for name, more := range also {
			metadata[name] = more
		}
		if r := s.tryRegister(t, metadata); r.status != http.StatusBadRequest || r.get("error") != "invalid_client_metadata" {
			t.Errorf("%s %s is not advertised: %d %s", member, value, r.status, r.body)
		}
	}
}

// algorithms are those of the JOSE registry, and two that do not exist.
var algorithms = strings.Fields("none HS256 HS384 HS512 RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 ES256K EdDSA Ed25519 Ed448 rs256 x")

func TestProtocolEveryAlgorithmAdvertisedWorksAndNoOther(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		s.registeredValues(t, "id_token_signing_alg_values_supported", "id_token_signed_response_alg", algorithms, nil, func(t *testing.T, alg string, client reply) {
			r, _ := s.dynamicTokens(t, client, registeredAt, "openid")
			if raw := r.get("id_token"); alg == "none" {
				if !strings.HasSuffix(raw, ".") {
					t.Errorf("signed: %q", raw)
				}
			} else if _, header := s.verified(t, raw); header.Algorithm != alg {
				t.Errorf("%s: an ID token signed with %s", alg, header.Algorithm)
			}
		})
		s.registeredValues(t, "userinfo_signing_alg_values_supported", "userinfo_signed_response_alg", algorithms, nil, func(t *testing.T, alg string, client reply) {
			r, _ := s.dynamicTokens(t, client, registeredAt, "openid email")
			info := s.userinfo(t, r.get("access_token"))
			if claims, header := s.verified(t, info.body); header.Algorithm != alg || claims["email"] != robinEmail || claims["aud"] != client.get("client_id") || claims["iss"] != s.issuer("conformance") {
				t.Errorf("%s: signed with %s: %v", alg, header.Algorithm, claims)
			}
		})
		s.registeredValues(t, "request_object_signing_alg_values_supported", "request_object_signing_alg", algorithms, map[string]any{"jwks": signerKeys()}, func(t *testing.T, alg string, client reply) {
			q := s.request(client.get("client_id"), "redirect_uri", registeredAt)
			if o := s.walk(s.known(t), outside(q, "request", s.objectOf(t, alg, s.asObject(q)))); o.get("code") == "" {
				t.Errorf("%s: %s %v", alg, o.mode, o.values)
			}
		})
		for _, endpoint := range []struct{ advertised, path string }{{"token_endpoint_auth_signing_alg_values_supported", "/oauth/token"},
			{"introspection_endpoint_auth_signing_alg_values_supported", "/oauth/introspect"}, {"revocation_endpoint_auth_signing_alg_values_supported", "/oauth/revoke"}} {
			also := map[string]any{"jwks": signerKeys(), "token_endpoint_auth_method": "private_key_jwt", "grant_types": []string{"authorization_code", "client_credentials"}}
			s.registeredValues(t, endpoint.advertised, "token_endpoint_auth_signing_alg", algorithms, also, func(t *testing.T, alg string, client reply) {
				for signed, kid := range signers {
					r := s.authenticated(t, "private_key_jwt", client, kid, endpoint.path, query("grant_type", "client_credentials", "token", "x"))
					if ok := r.status == http.StatusOK; ok != (signed == alg) || !ok && r.get("error") != "invalid_client" {
						t.Errorf("%s, registered %s, signed %s: %d %s", endpoint.path, alg, signed, r.status, r.body)
					}
				}
			})
		}
	})
}

func TestProtocolEveryMethodAdvertisedWorksAndNoOther(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		others := strings.Fields("client_secret_jwt tls_client_auth self_signed_tls_client_auth attest_jwt_client_auth bearer Basic x")
		m := s.discovery(t)
		all := map[string][]string{"/oauth/token": texts(m["token_endpoint_auth_methods_supported"]), "/oauth/introspect": texts(m["introspection_endpoint_auth_methods_supported"]),
			"/oauth/revoke": texts(m["revocation_endpoint_auth_methods_supported"])}
		_, challenge := pkce()
		for _, method := range append([]string{"client_secret_basic", "client_secret_post", "private_key_jwt", "none"}, others...) {
			metadata := map[string]any{"token_endpoint_auth_method": method, "grant_types": []string{"authorization_code", "refresh_token"}}
			if method == "private_key_jwt" {
				metadata["jwks"] = keySet("first")
			}
			if !slices.Contains(all["/oauth/token"], method) {
				if r := s.tryRegister(t, metadata); r.status != http.StatusBadRequest || r.get("error") != "invalid_client_metadata" {
					t.Errorf("%s is not advertised: %d %s", method, r.status, r.body)
				}
				continue
			}
			client := s.register(t, metadata)
			verifier, challenged := pkce()
			o := s.walk(s.known(t), s.request(client.get("client_id"), "redirect_uri", registeredAt, "scope", "openid offline_access", "prompt", "consent",
				"code_challenge", challenged, "code_challenge_method", "S256"))
			r := s.authenticated(t, method, client, "first", "/oauth/token", query("grant_type", "authorization_code", "code", o.get("code"), "redirect_uri", registeredAt, "code_verifier", verifier))
			if r.status != http.StatusOK || r.get("refresh_token") == "" {
				t.Errorf("%s: %s %v, %d %s", method, o.mode, o.values, r.status, r.body)
				continue
			}
			seen := s.authenticated(t, method, client, "first", "/oauth/introspect", query("token", r.get("access_token")))
			if slices.Contains(all["/oauth/introspect"], method) {
				if seen.status != http.StatusOK || seen.json["active"] != true || seen.get("client_id") != client.get("client_id") {
					t.Errorf("%s introspects: %d %s", method, seen.status, seen.body)
				}
			} else if seen.status != http.StatusUnauthorized || seen.json["active"] != nil {
				t.Errorf("%s introspects, not advertised: %d %s", method, seen.status, seen.body)
			}
			if r := s.authenticated(t, method, client, "first", "/oauth/revoke", query("token", r.get("refresh_token"))); (r.status == http.StatusOK) != slices.Contains(all["/oauth/revoke"], method) {
				t.Errorf("%s revokes: %d %s", method, r.status, r.body)
			}
			if got := s.userinfo(t, r.get("access_token")); got.status != http.StatusUnauthorized {
				t.Errorf("%s: alive after it was revoked: %d", method, got.status)
			}
		}
		for _, method := range []string{"plain", "S512", "s256", ""} {
			q := s.request("conformance-1", "code_challenge", challenge, "code_challenge_method", method)
			if o := s.ask(s.known(t), q); o.get("error") != "invalid_request" {
				t.Errorf("code_challenge_method %q: %v", method, o.values)
			}
		}
		if got := texts(m["code_challenge_methods_supported"]); !slices.Equal(got, []string{"S256"}) {
			t.Errorf("challenge methods %v", got)
		}
	})
}

func TestProtocolEverySubjectTypeScopeClaimAndWishAdvertisedWorksAndNoOther(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		m := s.discovery(t)
		subjects := map[string]bool{}
		s.registeredValues(t, "subject_types_supported", "subject_type", []string{"ephemeral", "Public", "x"}, nil, func(t *testing.T, kind string, client reply) {
			r, _ := s.dynamicTokens(t, client, registeredAt, "openid")
			id, _ := s.verified(t, r.get("id_token"))
			subjects[id["sub"].(string)] = true
		})
		if len(subjects) != 2 {
			t.Errorf("%d subjects for two types", len(subjects))
		}
		advertised := texts(m["scopes_supported"])
		for _, scope := range append(slices.Clone(advertised), "admin.read", "admin.manage", "groups", "fhirUser", "launch/patient") {
			r := s.tokens(t, s.known(t), s.request("conformance-1", "scope", "openid "+scope, "prompt", "consent"))
			granted := strings.Fields(r.get("scope"))
			if !slices.Contains(advertised, scope) && slices.Contains(granted, scope) {
				t.Errorf("%s is not advertised and was granted: %v", scope, granted)
			}
			if scope == "offline_access" && r.get("refresh_token") == "" {
				t.Errorf("no refresh token: %s", r.body)
			}
			info := s.userinfo(t, r.get("access_token")).json
			for name := range info {
				if name != "sub" && !slices.Contains(standardClaims[scope], name) {
					t.Errorf("%s brings %s", scope, name)
				}
			}
		}
		// Every claim that is advertised comes somewhere, when all are asked for.
		asked, ids := map[string]any{}, map[string]any{}
		claims := texts(m["claims_supported"])
		for _, name := range claims {
			asked[name], ids[name] = nil, nil
		}
		state := "some state"
		q := s.request("conformance-1", "response_type", "code id_token token", "state", state, "claims", asJSON(t, map[string]any{"userinfo": asked, "id_token": ids}))
		o := s.walk(s.known(t), q)
		s.answers(t, "all claims", q, o)
		id, _ := s.verified(t, o.get("id_token"))
		info := s.userinfo(t, o.get("access_token")).json
		for _, name := range claims {
			if id[name] == nil && info[name] == nil {
				t.Errorf("%s is advertised and comes nowhere", name)
			}
		}
		for name := range info {
			if !slices.Contains(claims, name) {
				t.Errorf("userinfo has %s, which is not advertised", name)
			}
		}
		for name := range id {
			if !slices.Contains(append(claims, "jti", "azp"), name) {
				t.Errorf("the ID token has %s, which is not advertised", name)
			}
		}
		for _, display := range append(texts(m["display_values_supported"]), "hologram", "Page") {
			o := s.ask(s.known(t), s.request("conformance-1", "display", display))
			if ok := o.get("code") != ""; ok != slices.Contains(texts(m["display_values_supported"]), display) || !ok && display != "wap" && o.get("error") != "invalid_request" {
				t.Errorf("display %s: %v", display, o.values)
			}
		}
		pages := map[string]string{"none": "", "login": "/signin", "consent": "/consent", "select_account": "/signin"}
		for _, prompt := range append(texts(m["prompt_values_supported"]), "create", "Login") {
			o := s.ask(s.known(t), s.request("conformance-1", "prompt", prompt))
			path, ok := pages[prompt]
			switch {
			case !ok && o.get("error") != "invalid_request", ok && path == "" && o.get("code") == "",
				ok && path != "" && (o.mode != "page" || !strings.HasSuffix(o.page.url.Path, path)):
				t.Errorf("prompt %s: %s %v", prompt, o.mode, o.values)
			}
		}
		for _, tag := range texts(m["ui_locales_supported"]) {
			p := s.browser(t).open(s.at("/oauth/authorize?" + s.request("conformance-1", "ui_locales", "se "+tag).Encode()))
			if lang := attr(find(p.doc, func(n *html.Node) bool { return n.Data == "html" }), "lang"); lang != tag {
				t.Errorf("ui_locales %s: the page is in %q", tag, lang)
			}
		}
		for _, mode := range append(texts(m["response_modes_supported"]), "jwt", "query.jwt", "fragment.jwt", "form_post.jwt", "web_message", "cookie") {
			o := s.ask(s.known(t), s.request("conformance-1", "response_mode", mode))
			if ok := slices.Contains(texts(m["response_modes_supported"]), mode); ok != (o.get("code") != "") || ok && o.mode != mode || !ok && o.get("error") != "invalid_request" {
				t.Errorf("response mode %s: %s %v", mode, o.mode, o.values)
			}
		}
		types := texts(m["response_types_supported"])
		if !slices.Equal(types, responseTypes) {
			t.Errorf("response types %v, and the tests walk %v", types, responseTypes)
		}
		for _, kind := range []string{"token", "none", "device", "code none", "id_token none", "code code", "vp_token", "CODE", "code,id_token"} {
			if o := s.ask(s.known(t), s.request("conformance-1", "response_type", kind)); o.get("error") != "unsupported_response_type" {
				t.Errorf("response type %q: %s %v", kind, o.mode, o.values)
			}
		}
		if m["claim_types_supported"] == nil || !slices.Equal(texts(m["claim_types_supported"]), []string{"normal"}) || info["_claim_names"] != nil {
			t.Errorf("claim types %v", m["claim_types_supported"])
		}
	})
}

// Scripts of other origins may read what they need, and nothing that acts for
// the person in the browser.
func TestProtocolScriptsOfOtherOriginsReachWhatTheyNeedAndNothingElse(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		m := s.discovery(t)
		for name, open := range map[string]bool{"jwks_uri": true, "token_endpoint": true, "userinfo_endpoint": true, "revocation_endpoint": true,
			"authorization_endpoint": false, "end_session_endpoint": false} {
			at, err := url.Parse(m[name].(string))
			if err != nil {
				t.Fatal(err)
			}
			r := s.mustCall(t, http.MethodOptions, at.String(), http.Header{"Origin": {"https://rp.example.test"}, "Access-Control-Request-Method": {"POST"},
				"Access-Control-Request-Headers": {"authorization"}}, "")
			if got := r.header.Get("Access-Control-Allow-Origin"); (got != "") != open || r.header.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%s: Access-Control-Allow-Origin %q", name, got)
			}
		}
	})
}
