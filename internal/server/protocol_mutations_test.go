package server_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// nasty are values that nobody should send.
var nasty = []string{
	"", " ", "\x00", "a\x00b", "\xff\xfe", "\xc3\x28", "\xed\xa0\x80", "\r\nSet-Cookie: a=b", "\r\n\r\n<script>", "%00", "%", "%zz", "../../..", "//evil.example.test", "'; DROP TABLE grants; --",
	"{{.}}", "${jndi:ldap://x}", "%s%d%n", "-1", "0", "9223372036854775808", "1e400", "NaN", "null", "true", "[]", "{}", `{"a":`, `[[[[[[[[`, `{"userinfo":{"sub":{"values":[{}]}}}`,
	"\u202e\u2066\ufeff", "ñ水🙂", "openid openid openid", "\t", "code\u00a0token", "x.y.z", "e30.e30.e30", "eyJhbGciOiJub25lIn0.e30.", "eyJhbGciOiJSUzI1NiJ9.bnVsbA.AAAA", "eyJhbGciOiJSUzI1NiIsImtpZCI6MX0.W10.",
	"urn:ietf:params:oauth:request_uri:", "urn:ietf:params:oauth:request_uri:\x00", "00000000-0000-0000-0000-000000000000", "https://[::1", "https://%41:99999999/", "javascript:alert(1)", "data:,", "http://[fe80::1%25eth0]/",
	strings.Repeat("A", 5000), strings.Repeat("a ", 2000), strings.Repeat("[", 4000), strings.Repeat("9", 400), strings.Repeat("ab=c&", 500),
}

// endpoint is an endpoint, and a request that it understands.
type endpoint struct {
	method, path string
	form         url.Values
	document     map[string]any // instead of a form
	header       http.Header
}

func (s *suite) doors(t *testing.T) []endpoint {
	t.Helper()
	client := s.register(t, map[string]any{"jwks": keySet("object"), "request_uris": []string{s.site.URL + "/never"}, "response_types": responseTypes})
	b := s.known(t)
	r := s.tokens(t, b, s.request("conformance-1", "scope", "openid offline_access", "prompt", "consent"))
	session := http.Header{"Cookie": {"__Host-portico-conformance=" + b.cookie("conformance", "")}}
	basic, bearer := http.Header{}, http.Header{"Authorization": {"Bearer " + r.get("access_token")}}
	(&http.Request{Header: basic}).SetBasicAuth("conformance-1", s.secretOf("conformance-1"))
	form := func(h http.Header) http.Header {
		h = h.Clone()
		h.Set("Content-Type", "application/x-www-form-urlencoded")
		return h
	}
	ask := s.request("conformance-1", "prompt", "none", "max_age", "1000", "claims", `{"userinfo":{"name":null}}`, "acr_values", "1", "id_token_hint", r.get("id_token"), "login_hint", robinEmail,
		"ui_locales", "es", "claims_locales", "en", "display", "page", "response_mode", "form_post", "code_challenge", strings.Repeat("A", 43), "code_challenge_method", "S256", "resource", "https://api.example.test/",
		"registration", "", "request", "x.y.z", "request_uri", s.site.URL+"/never", "flow", "")
	ask.Del("registration")
	plain := url.Values{}
	for name := range ask {
		if !slices.Contains([]string{"request", "request_uri", "flow"}, name) {
			plain.Set(name, ask.Get(name))
		}
	}
	registration := map[string]any{"redirect_uris": []string{registeredAt}, "client_name": "x", "client_name#es": "y", "logo_uri": "https://rp.example.test/l", "policy_uri": "https://rp.example.test/p", "tos_uri": "https://rp.example.test/t",
		"client_uri": "https://rp.example.test/", "contacts": []string{"a@example.test"}, "jwks": keySet("object"), "subject_type": "pairwise", "response_types": []string{"code"}, "grant_types": []string{"authorization_code"},
		"application_type": "web", "token_endpoint_auth_method": "client_secret_basic", "id_token_signed_response_alg": "RS256", "userinfo_signed_response_alg": "RS256", "request_object_signing_alg": "RS256", "default_max_age": 60,
		"require_auth_time": true, "default_acr_values": []string{"1"}, "initiate_login_uri": "https://rp.example.test/login", "request_uris": []string{"https://rp.example.test/o"}, "post_logout_redirect_uris": []string{registeredAt},
		"backchannel_logout_uri": "https://rp.example.test/b", "backchannel_logout_session_required": true, "frontchannel_logout_uri": "https://rp.example.test/f", "frontchannel_logout_session_required": true, "scope": "openid",
		"software_id": "x", "software_version": "1", "software_statement": "x.y.z", "require_pushed_authorization_requests": false, "sector_identifier_uri": "https://127.0.0.1/"}
	manage := http.Header{"Authorization": {"Bearer " + client.get("registration_access_token")}, "Content-Type": {"application/json"}}
	own := "/oauth/register/" + client.get("client_id")
	change := map[string]any{"client_id": client.get("client_id"), "client_secret": client.get("client_secret")}
	for name, value := range registration {
		change[name] = value
	}
	assertion := query("client_id", client.get("client_id"), "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", "client_assertion", s.assertion(t, "object", client.get("client_id")))
	token := func(pairs ...string) url.Values {
		q := query(pairs...)
		for name := range assertion {
			q.Set(name, assertion.Get(name))
		}
		return q
	}
	return []endpoint{
		{"GET", "/oauth/authorize", ask, nil, session}, {"GET", "/oauth/authorize", plain, nil, session}, {"GET", "/oauth/authorize", query("flow", "00000000-0000-0000-0000-000000000000", "declined", "yes"), nil, session},
		{"POST", "/oauth/authorize", plain, nil, form(http.Header{})}, {"POST", "/oauth/par", ask, nil, form(basic)}, {"POST", "/oauth/par", plain, nil, form(basic)},
		{"POST", "/oauth/token", query("grant_type", "authorization_code", "code", "x", "redirect_uri", exampleCallback, "code_verifier", strings.Repeat("A", 43), "resource", "https://api.example.test/"), nil, form(basic)},
		{"POST", "/oauth/token", query("grant_type", "refresh_token", "refresh_token", "x", "scope", "openid", "resource", "https://api.example.test/"), nil, form(basic)},
		{"POST", "/oauth/token", token("grant_type", "client_credentials", "scope", "openid"), nil, form(http.Header{})},
		{"POST", "/oauth/token", query("grant_type", "refresh_token", "refresh_token", "x", "client_id", "conformance-post", "client_secret", "x"), nil, form(http.Header{})},
		{"POST", "/oauth/introspect", query("token", "x", "token_type_hint", "access_token"), nil, form(basic)}, {"POST", "/oauth/revoke", query("token", "x", "token_type_hint", "refresh_token"), nil, form(basic)},
		{"GET", "/oauth/userinfo", url.Values{}, nil, bearer}, {"POST", "/oauth/userinfo", query("access_token", "x"), nil, form(http.Header{})},
		{"GET", "/oauth/logout", query("id_token_hint", "x", "client_id", "conformance-1", "post_logout_redirect_uri", leftAt, "state", "s", "logout_hint", "x", "ui_locales", "es", "sid", "x"), nil, http.Header{}},
		{"POST", "/oauth/logout", query("id_token_hint", "x", "client_id", "conformance-1", "post_logout_redirect_uri", leftAt, "state", "s"), nil, form(http.Header{})},
		{"POST", "/oauth/logout/confirm", query("csrf", "x", "client_id", "conformance-1", "post_logout_redirect_uri", leftAt, "state", "s"), nil, form(session)},
		{"GET", "/oauth/signed-out", query("x", "y", "lang", "es"), nil, http.Header{}}, {"GET", "/oauth/session", query("x", "y"), nil, session}, {"GET", "/oauth/jwks", query("x", "y"), nil, http.Header{}},
		{"GET", "/.well-known/openid-configuration", query("x", "y"), nil, http.Header{}}, {"GET", "/consent", query("flow", "x", "lang", "es"), nil, session},
		{"POST", "/consent", query("csrf", "x", "flow", "x", "account", "x", "client", "x", "answer", "allow"), nil, form(session)}, {"GET", "/signin", query("flow", "x", "lang", "es"), nil, session},
		{"POST", "/oauth/register", nil, registration, http.Header{"Content-Type": {"application/json"}}}, {"PUT", own, nil, change, manage}, {"GET", own, url.Values{}, nil, manage},
		{"GET", "/oauth/register/x", url.Values{}, nil, manage},
	}
}

// TestProtocolNothingThatIsSentBreaksAnEndpoint sends every parameter of every
// endpoint with every foreign value, then several at once: nothing is answered
// with an error of ours, and nothing that was good before is worth less.
func TestProtocolNothingThatIsSentBreaksAnEndpoint(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		alive := s.tokens(t, s.known(t), s.request("conformance-1", "scope", "openid offline_access", "prompt", "consent"))
		doors := s.doors(t)
		client := newClient()
		seen := map[int]int{}
		knock := func(d endpoint, what string) {
			t.Helper()
			address, body := s.at(d.path), ""
			switch {
			case d.document != nil:
				body = asJSON(t, d.document)
			case d.method == "GET":
				address += "?" + d.form.Encode()
			default:
				body = d.form.Encode()
			}
			status := s.knock(t, client, d.method, address, d.header, body)
			seen[status/100]++
			if status >= 500 || status == 0 {
				t.Errorf("%s %s, %s: %d", d.method, d.path, what, status)
			}
		}
		turn := 0
		for _, d := range doors {
			for _, value := range nasty {
				// PostgreSQL refuses some texts; the file takes what it gets.
				if turn++; s.db().Engine() == "sqlite" && turn%3 != 0 {
					continue
				}
				for name := range d.form {
					one := d
					one.form = url.Values{}
					for other := range d.form {
						one.form.Set(other, d.form.Get(other))
					}
					one.form.Set(name, value)
					knock(one, fmt.Sprintf("%s=%.40q", name, value))
				}
				for name := range d.header {
					if clean := headerValue(value); clean == value {
						one := d
						one.header = d.header.Clone()
						one.header.Set(name, value)
						knock(one, fmt.Sprintf("%s: %.40q", name, value))
						if name == "Authorization" {
							for _, scheme := range []string{"Bearer ", "Basic ", "DPoP "} {
								one.header.Set(name, scheme+value)
								knock(one, fmt.Sprintf("%s: %s%.40q", name, scheme, value))
							}
						}
					}
				}
			}
		}
		random := rand.New(rand.NewPCG(7, 11))
		odd := []any{nil, true, -1, 1e300, "", "\x00", []any{}, []any{nil}, []any{"\x00"}, map[string]any{}, map[string]any{"keys": []any{nil}}, "https://rp.example.test/\x00", strings.Repeat("x", 3000), []any{registeredAt, registeredAt}, "ñ\u202e"}
		for range 400 {
			d := doors[random.IntN(len(doors))]
			one := d
			if d.document != nil {
				one.document = map[string]any{}
				for name, value := range d.document {
					if one.document[name] = value; random.IntN(6) == 0 {
						one.document[name] = odd[random.IntN(len(odd))]
					}
				}
				knock(one, asJSON(t, one.document))
				continue
			}
			one.form = url.Values{}
			for name, values := range d.form {
				switch random.IntN(5) {
				case 0: // left out
				case 1:
					one.form[name] = []string{values[0], nasty[random.IntN(len(nasty))]}
				case 2:
					one.form.Set(name, nasty[random.IntN(len(nasty))])
				default:
					one.form[name] = values
				}
			}
			one.form.Add(nasty[random.IntN(len(nasty))], nasty[random.IntN(len(nasty))])
			knock(one, fmt.Sprintf("%.300q", one.form.Encode()))
		}
		for name, value := range map[string]any{"redirect_uris": []any{7}, "jwks": "x", "response_types": map[string]any{}, "client_name": "\x00", "contacts": []any{"\x00"}, "scope": "\x00"} {
			for _, d := range doors {
				if d.document == nil {
					continue
				}
				one := d
				one.document = map[string]any{}
				for other, v := range d.document {
					one.document[other] = v
				}
				one.document[name] = value
				knock(one, fmt.Sprintf("%s: %v", name, value))
			}
		}
		if seen[4] < 300 || seen[2]+seen[3] < 100 {
			t.Errorf("answers by class: %v: the requests are not understood at all", seen)
		}
		if r := s.userinfo(t, alive.get("access_token")); r.status != 200 {
			t.Errorf("a token of before: %d", r.status)
		}
		if r := s.post(t, "conformance-1", s.secretOf("conformance-1"), "/oauth/token", "grant_type", "refresh_token", "refresh_token", alive.get("refresh_token")); r.status != 200 {
			t.Errorf("a refresh token of before: %d %s", r.status, r.body)
		}
		if o := s.ask(s.known(t), s.request("conformance-1", "prompt", "none")); o.get("code") == "" {
			t.Errorf("the person is signed out: %v", o.values)
		}
	})
}

// headerValue is what of a value may stand in a header at all.
func headerValue(value string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7f {
			return -1
		}
		return r
	}, value)
}

func (s *suite) knock(t *testing.T, client *http.Client, method, address string, header http.Header, body string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatalf("%s: %v", address, err)
	}
	req.Header = header.Clone()
	if method == http.MethodPost {
		req.Header.Set("Origin", s.base)
	}
	res, err := client.Do(req)
	if err != nil {
		t.Errorf("%s %.200s: %v", method, address, err)
		return 0
	}
	res.Body.Close()
	return res.StatusCode
}
