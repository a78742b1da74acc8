package server_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// signers are kids of one client, by algorithm.
var signers = map[string]string{"RS256": "object", "PS256": "PS256-object", "ES256": "ES256-object", "EdDSA": "EdDSA-object"}

func signerKeys() jose.JSONWebKeySet {
	return keySet("object", "PS256-object", "ES256-object", "EdDSA-object")
}

// objectOf is an object signed with an algorithm, or with none.
func (s *suite) objectOf(t *testing.T, alg string, claims map[string]any) string {
	t.Helper()
	if alg == "none" {
		return unsigned(t, claims)
	}
	return signedBy(t, signers[alg], claims)
}

// agreed registers a client that the test person has agreed to.
func (s *suite) agreed(t *testing.T, metadata map[string]any) (client reply, b *browser) {
	t.Helper()
	client, b = s.register(t, metadata), s.known(t)
	kind := "code"
	if kinds, ok := metadata["response_types"].([]string); ok {
		kind = kinds[0]
	}
	o := s.walk(b, s.request(client.get("client_id"), "redirect_uri", registeredAt, "scope", everyScope, "response_type", kind))
	if o.get("state") == "" || o.get("error") != "" {
		t.Fatalf("%s %v %s", o.mode, o.values, o.page.says())
	}
	return client, b
}

func TestProtocolTheAlgorithmRegisteredForObjectsIsTheOnlyOne(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		algs := []string{"RS256", "PS256", "ES256", "EdDSA", "none"}
		if have := texts(s.mustCall(t, http.MethodGet, s.at("/.well-known/openid-configuration"), nil, "").json["request_object_signing_alg_values_supported"]); len(have) != len(algs) {
			t.Errorf("advertised: %v", have)
		}
		for _, pinned := range append([]string{""}, algs...) {
			metadata := map[string]any{"jwks": signerKeys()}
			if pinned != "" {
				metadata["request_object_signing_alg"] = pinned
			}
			client, b := s.agreed(t, metadata)
			if client.get("request_object_signing_alg") != pinned {
				t.Errorf("%s: registered %s", pinned, client.body)
			}
			for _, alg := range algs {
				q := s.request(client.get("client_id"), "redirect_uri", registeredAt, "state", alg)
				o := s.ask(b.tab(), outside(q, "request", s.objectOf(t, alg, s.asObject(q))))
				want := ""
				if pinned != "" && pinned != alg {
					want = "invalid_request_object"
				}
				if o.to != registeredAt || o.get("error") != want || (o.get("code") != "") != (want == "") || want == "" && o.get("state") != alg {
					t.Errorf("registered %q, signed %s: %s %v", pinned, alg, o.mode, o.values)
				}
			}
		}
		// A secret is no key, and none of ours or of anybody else's is the client's.
		client, b := s.agreed(t, map[string]any{"jwks": keySet("object")})
		q := s.request(client.get("client_id"), "redirect_uri", registeredAt)
		hmac, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: []byte(client.get("client_secret"))}, nil)
		if err != nil {
			t.Fatal(err)
		}
		jws, err := hmac.Sign([]byte(asJSON(t, s.asObject(q))))
		if err != nil {
			t.Fatal(err)
		}
		bySecret, _ := jws.CompactSerialize()
		for what, raw := range map[string]string{"a secret": bySecret, "a key that is not registered": s.objectOf(t, "ES256", s.asObject(q))} {
			if o := s.ask(b.tab(), outside(q, "request", raw)); o.get("error") != "invalid_request_object" {
				t.Errorf("%s: %s %v", what, o.mode, o.values)
			}
		}
	})
}

// Every response type, in both ways and all places an object may come from.
func TestProtocolEveryResponseTypeTakesObjects(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		address := s.site.publish("")
		client, b := s.agreed(t, map[string]any{"jwks": signerKeys(), "request_uris": []string{address}, "response_types": responseTypes})
		flows(t, func(t *testing.T, kind, mode string) {
			for _, alg := range []string{"none", "RS256"} {
				for _, by := range []string{"request", "request_uri", "POST", "pushed"} {
					q := s.request(client.get("client_id"), "redirect_uri", registeredAt, "response_type", kind, "response_mode", mode, "state", "inside")
					raw := s.objectOf(t, alg, s.asObject(q))
					sent, tab := outside(q, "request", raw), b.tab()
					var o outcome
					switch by {
					case "request":
						o = s.ask(tab, sent)
					case "request_uri":
						s.site.set(address, raw)
						o = s.ask(tab, outside(q, "request_uri", address))
					case "POST":
						o = s.outcome(tab, tab.follow(tab.do(http.MethodPost, s.at("/oauth/authorize"), sent, "cross-site")))
					case "pushed":
						o = s.ask(tab, url.Values{"client_id": {client.get("client_id")},
							"request_uri": {s.push(t, client.get("client_id"), client.get("client_secret"), query("request", raw))}})
					}
					s.answers(t, alg+" by "+by, q, o)
					if bringsID(kind) {
						if id, _ := s.verified(t, o.get("id_token")); id["nonce"] != q.Get("nonce") {
							t.Errorf("%s by %s: nonce %v", alg, by, id["nonce"])
						}
					}
				}
			}
		})
	})
}

// What does not stand in the object was not asked for.
func TestProtocolNothingFromOutsideGetsIntoAnObject(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		client, b := s.agreed(t, map[string]any{"jwks": keySet("object"), "response_types": []string{"code", "code id_token"}})
		id := client.get("client_id")
		for _, alg := range []string{"RS256", "none"} {
			ask := func(left string, pairs ...string) outcome {
				q := s.request(id, "redirect_uri", registeredAt, "nonce", "inside", "state", "inside")
				if left != "" {
					q.Del(left)
				}
				sent := outside(q, "request", s.objectOf(t, alg, s.asObject(q)))
				for i := 0; i+1 < len(pairs); i += 2 {
					sent.Set(pairs[i], pairs[i+1])
				}
				return s.ask(b.tab(), sent)
			}
			for _, pairs := range [][]string{{"prompt", "login"}, {"prompt", "consent"}, {"max_age", "0"}, {"claims", "{"}, {"response_mode", "form_post"},
				{"id_token_hint", "x.y.z"}, {"scope", "openid email"}, {"acr_values", "x"}, {"resource", "https://evil.example.test/"}, {"code_challenge", "x"},
				{"registration", "{}"}, {"nonce", "outside"}, {"response_type", "code id_token"}, {"display", "hologram"}} {
				o := ask("", pairs...)
				if o.mode != "query" || o.get("code") == "" || o.get("state") != "inside" {
					t.Errorf("%s, %v outside: %s %v", alg, pairs, o.mode, o.values)
					continue
				}
				r := s.post(t, id, client.get("client_secret"), "/oauth/token", "grant_type", "authorization_code", "code", o.get("code"), "redirect_uri", registeredAt)
				if claims, _ := s.verified(t, r.get("id_token")); claims["nonce"] != "inside" || r.get("scope") != "" && r.get("scope") != "openid" {
					t.Errorf("%s, %v outside: nonce %v, %s", alg, pairs, claims["nonce"], r.body)
				}
			}
			if o := ask("state", "state", "outside"); o.get("code") == "" || o.values.Has("state") {
				t.Errorf("%s, a state outside: %v", alg, o.values)
			}
			if o := ask("nonce", "nonce", "outside", "response_type", "code id_token"); o.get("code") == "" || o.mode != "query" {
				t.Errorf("%s, a nonce outside: %s %v", alg, o.mode, o.values)
			}
			for _, left := range []string{"response_type", "scope"} {
				if o := ask(left); o.get("code") != "" || o.get("error") == "" {
					t.Errorf("%s, %s only outside: %s %v", alg, left, o.mode, o.values)
				}
			}
			if o := ask("redirect_uri", "redirect_uri", registeredAt); o.mode != "page" || o.page.status != http.StatusBadRequest {
				t.Errorf("%s, the redirect URI only outside: %s to %q", alg, o.mode, o.to)
			}
			// The object's redirect URI counts, whatever stands outside.
			if o := ask("", "redirect_uri", "https://evil.example.test/"); o.to != registeredAt || o.get("code") == "" {
				t.Errorf("%s, another redirect URI outside: %s to %q", alg, o.mode, o.to)
			}
		}
	})
}

func TestProtocolValuesInAnObjectArriveAsTheyWereSent(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		client, b := s.agreed(t, map[string]any{"jwks": keySet("object")})
		id := client.get("client_id")
		for _, alg := range []string{"RS256", "none"} {
			for _, c := range []struct {
				what, name string
				value      any
				code       string // of the error, "sign-in" for the page
			}{
				{"a number of seconds", "max_age", 3600, ""}, {"the same as text", "max_age", "3600", ""}, {"zero", "max_age", 0, "sign-in"},
				{"a number in other words", "max_age", 3600.5, "invalid_request"}, {"seconds below zero", "max_age", -1, "invalid_request"},
				{"seconds as a list", "max_age", []int{3600}, ""}, {"seconds as nothing", "max_age", nil, "invalid_request_object"},
				{"percent signs", "state", "%s %d %!s(int64=3600) %25", ""}, {"quotes and brackets", "state", `"}<script>&amp;'`, ""},
				{"letters of the world", "state", "ñ 水 \u2028", ""}, {"claims as an object", "claims", map[string]any{"userinfo": map[string]any{"name": map[string]any{"essential": true}}}, ""},
				{"claims as text", "claims", `{"userinfo":{"name":{"essential":true}}}`, ""}, {"claims as a number", "claims", 7, "invalid_request"},
				{"a prompt as a list", "prompt", []string{"none", "none"}, "invalid_request"}, {"a nested object", "request", "x.y.z", "invalid_request_object"},
				{"a nested reference", "request_uri", "https://rp.example.test/object", "invalid_request_object"},
				{"the subject of an assertion", "sub", id, "invalid_request_object"}, {"another issuer", "iss", "conformance-1", "invalid_request_object"},
				{"another audience", "aud", "https://other.example.test", "invalid_request_object"}, {"an audience with more", "aud", []string{"x", s.issuer("conformance")}, ""},
				{"an audience with a slash", "aud", s.issuer("conformance") + "/", "invalid_request_object"}, {"another realm", "aud", s.issuer("strict"), "invalid_request_object"},
				{"an end that is no time", "exp", "tomorrow", "invalid_request_object"}, {"another client", "client_id", "conformance-1", "invalid_request_object"},
				{"seconds ago", "exp", time.Now().Add(-3 * time.Second).Unix(), ""}, {"seconds ahead", "nbf", time.Now().Add(4 * time.Second).Unix(), ""},
				{"too long ago", "exp", time.Now().Add(-70 * time.Second).Unix(), "invalid_request_object"}, {"too far ahead", "nbf", time.Now().Add(70 * time.Second).Unix(), "invalid_request_object"},
			} {
				q := s.request(id, "redirect_uri", registeredAt, "scope", "openid email")
				object := s.asObject(q)
				object[c.name] = c.value
				o := s.ask(b.tab(), outside(q, "request", s.objectOf(t, alg, object)))
				if c.code == "sign-in" {
					if o.mode != "page" || !strings.HasSuffix(o.page.url.Path, "/signin") {
						t.Errorf("%s, %s: %s %v", alg, c.what, o.mode, o.values)
					}
					continue
				}
				if o.to != registeredAt || o.get("error") != c.code || (o.get("code") != "") != (c.code == "") {
					t.Errorf("%s, %s: %s to %q: %v %s", alg, c.what, o.mode, o.to, o.values, o.page.h1())
					continue
				}
				if want, ok := c.value.(string); ok && c.name == "state" && o.get("state") != want {
					t.Errorf("%s, %s: state %q", alg, c.what, o.get("state"))
				}
				if c.code != "" || c.name != "claims" && c.name != "max_age" {
					continue
				}
				r := s.post(t, id, client.get("client_secret"), "/oauth/token", "grant_type", "authorization_code", "code", o.get("code"), "redirect_uri", registeredAt)
				claims, _ := s.verified(t, r.get("id_token"))
				if info := s.userinfo(t, r.get("access_token")); c.name == "claims" && info.get("name") != "Robin Avery" || c.name == "max_age" && claims["auth_time"] == nil {
					t.Errorf("%s, %s: auth_time %v, userinfo %s", alg, c.what, claims["auth_time"], info.body)
				}
			}
		}
	})
}

// A realm that relaxes nothing takes objects that are signed, whole and short-lived.
func TestProtocolAStrictRealmWantsObjectsOfItsOwnRules(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		issuer := s.issuer("guarded")
		_, challenge := pkce()
		r := s.mustCall(t, http.MethodPost, issuer+"/oauth/register", http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + s.env["CONFORMANCE_SECRET_2"]}},
			asJSON(t, map[string]any{"redirect_uris": []string{registeredAt}, "jwks": signerKeys(), "token_endpoint_auth_method": "private_key_jwt"}))
		id := r.get("client_id")
		if r.status != http.StatusCreated || id == "" {
			t.Fatalf("%d %s", r.status, r.body)
		}
		for _, c := range []struct {
			what   string
			change func(map[string]any) string
			code   string
		}{
			{"signed", func(m map[string]any) string { return signedBy(t, "ES256-object", m) }, ""},
			{"not signed", func(m map[string]any) string { return unsigned(t, m) }, "invalid_request_object"},
			{"without an end", func(m map[string]any) string { return signedBy(t, "object", without(m, "exp")) }, "invalid_request_object"},
			{"without an issuer", func(m map[string]any) string { return signedBy(t, "object", without(m, "iss")) }, "invalid_request_object"},
			{"without an audience", func(m map[string]any) string { return signedBy(t, "object", without(m, "aud")) }, "invalid_request_object"},
			{"for hours", func(m map[string]any) string {
				m["exp"] = time.Now().Add(3 * time.Hour).Unix()
				return signedBy(t, "object", m)
			}, "invalid_request_object"},
			{"of this morning", func(m map[string]any) string {
				m["nbf"] = time.Now().Add(-3 * time.Hour).Unix()
				return signedBy(t, "object", m)
			}, "invalid_request_object"},
			{"without PKCE", func(m map[string]any) string {
				return signedBy(t, "object", without(m, "code_challenge", "code_challenge_method"))
			}, "invalid_request"},
		} {
			q := s.request(id, "redirect_uri", registeredAt, "code_challenge", challenge, "code_challenge_method", "S256")
			claims := s.asObject(q)
			claims["aud"] = issuer
			now := time.Now()
			proof := signedBy(t, "object", map[string]any{"iss": id, "sub": id, "aud": issuer, "jti": randomText(16), "exp": now.Add(time.Minute).Unix(), "iat": now.Unix()})
			r := s.mustCall(t, http.MethodPost, issuer+"/oauth/par", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, query("request", c.change(claims),
				"client_id", id, "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", "client_assertion", proof).Encode())
			if r.get("error") != c.code || (r.status == http.StatusCreated) != (c.code == "") {
				t.Errorf("%s: %d %s", c.what, r.status, r.body)
			}
		}
	})
}
