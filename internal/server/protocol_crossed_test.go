package server_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/keyring"
)

// Here the variants of the plans meet each other: ways to authenticate, response
// types, response modes, ways to send a request, keys that change. Each works on
// its own elsewhere.

var authMethods = []string{"client_secret_basic", "client_secret_post", "private_key_jwt", "none"}

// frontOf looks at what the authorization endpoint gave: everything that the
// type names, with its hashes, and nothing else.
func (s *suite) frontOf(t *testing.T, q url.Values, o outcome) {
	t.Helper()
	s.answers(t, q.Get("response_type"), q, o)
	kind := strings.Fields(q.Get("response_type"))
	for parameter, word := range map[string]string{"code": "code", "id_token": "id_token", "access_token": "token"} {
		if o.values.Has(parameter) != slices.Contains(kind, word) {
			t.Errorf("%s: has %s = %t", q.Get("response_type"), parameter, o.values.Has(parameter))
		}
	}
	if !o.values.Has("id_token") {
		return
	}
	id, _ := s.verified(t, o.get("id_token"))
	for hash, value := range map[string]string{"at_hash": o.get("access_token"), "c_hash": o.get("code")} {
		if value == "" && id[hash] != nil || value != "" && id[hash] != halfHash(value) {
			t.Errorf("%s: %s = %v", q.Get("response_type"), hash, id[hash])
		}
	}
	if id["aud"] != q.Get("client_id") || id["nonce"] != q.Get("nonce") {
		t.Errorf("%s: aud %v, nonce %v", q.Get("response_type"), id["aud"], id["nonce"])
	}
}

func TestProtocolEveryWayToAuthenticateGoesWithEveryResponseType(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		for _, method := range authMethods {
			metadata := map[string]any{"token_endpoint_auth_method": method, "response_types": responseTypes, "grant_types": []string{"authorization_code", "implicit", "refresh_token"}}
			if method == "private_key_jwt" {
				metadata["jwks"] = keySet("first")
			}
			client, b := s.register(t, metadata), s.known(t)
			verifier, challenge := pkce()
			if o := s.walk(b, s.request(client.get("client_id"), "redirect_uri", registeredAt, "code_challenge", challenge, "code_challenge_method", "S256")); o.get("code") == "" {
				t.Fatalf("%s: %s %v", method, o.mode, o.values)
			}
			flows(t, func(t *testing.T, kind, mode string) {
				for _, by := range []string{"the browser", "a push"} {
					q := s.request(client.get("client_id"), "redirect_uri", registeredAt, "response_type", kind, "response_mode", mode,
						"code_challenge", challenge, "code_challenge_method", "S256")
					sent := q
					if by == "a push" {
						r := s.authenticated(t, method, client, "first", "/oauth/par", q)
						if r.status != http.StatusCreated {
							t.Fatalf("%s pushes: %d %s", method, r.status, r.body)
						}
						sent = url.Values{"client_id": {client.get("client_id")}, "request_uri": {r.get("request_uri")}}
					}
					o := s.ask(b.tab(), sent)
					s.frontOf(t, q, o)
					if !o.values.Has("code") {
						continue
					}
					form := query("grant_type", "authorization_code", "code", o.get("code"), "redirect_uri", registeredAt, "code_verifier", verifier)
					for _, other := range authMethods { // which burns nothing
						if other == method || client.get("client_secret") == "" && strings.HasPrefix(other, "client_secret") {
							continue
						}
						if r := s.authenticated(t, other, client, "first", "/oauth/token", form); r.status != http.StatusUnauthorized || r.get("error") != "invalid_client" {
							t.Errorf("%s, by %s: %d %s", method, other, r.status, r.body)
						}
					}
					r := s.authenticated(t, method, client, "first", "/oauth/token", form)
					if r.status != http.StatusOK || r.get("id_token") == "" {
						t.Errorf("%s after %s: %d %s", method, by, r.status, r.body)
						continue
					}
					if id, _ := s.verified(t, r.get("id_token")); id["nonce"] != q.Get("nonce") || id["at_hash"] != halfHash(r.get("access_token")) {
						t.Errorf("%s after %s: %v", method, by, id)
					}
					if info := s.userinfo(t, r.get("access_token")); info.status != http.StatusOK {
						t.Errorf("%s after %s: userinfo %d", method, by, info.status)
					}
				}
			})
		}
	})
}

// A client that changes its keys between sign-in and refresh goes on.
func TestProtocolAClientWithNewKeysRefreshesWithThem(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		for i, kind := range []string{"code", "code id_token", "code token", "code id_token token"} {
			first, second := []string{"first", "second"}[i%2], []string{"second", "first"}[i%2]
			keys := s.site.publish(asJSON(t, keySet(first)))
			client := s.register(t, map[string]any{"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": keys, "response_types": []string{kind},
				"grant_types": []string{"authorization_code", "implicit", "refresh_token"}})
			o := s.walk(s.known(t), s.request(client.get("client_id"), "redirect_uri", registeredAt, "response_type", kind, "scope", "openid offline_access", "prompt", "consent"))
			r := s.authenticated(t, "private_key_jwt", client, first, "/oauth/token", query("grant_type", "authorization_code", "code", o.get("code"), "redirect_uri", registeredAt))
			if r.get("refresh_token") == "" {
				t.Fatalf("%s: %v, %d %s", kind, o.values, r.status, r.body)
			}
			refresh := query("grant_type", "refresh_token", "refresh_token", r.get("refresh_token"))
			if r := s.authenticated(t, "private_key_jwt", client, "stranger", "/oauth/token", refresh); r.status != http.StatusUnauthorized || r.get("error") != "invalid_client" {
				t.Errorf("%s, a key of nobody: %d %s", kind, r.status, r.body)
			}
			s.site.set(keys, asJSON(t, keySet(second)))
			again := s.authenticated(t, "private_key_jwt", client, second, "/oauth/token", refresh)
			if again.status != http.StatusOK || s.userinfo(t, again.get("access_token")).status != http.StatusOK {
				t.Errorf("%s, the new key: %d %s", kind, again.status, again.body)
			}
		}
	})
}

// An address with a fragment names a version of an object (Core §6.2): it is
// registered and sent with it, and fetched without.
func TestProtocolEveryResponseTypeTakesObjectsFromAddressesWithAFragment(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		address := s.site.publish("")
		client, b := s.agreed(t, map[string]any{"jwks": signerKeys(), "request_uris": []string{address + "#v1"}, "response_types": responseTypes})
		flows(t, func(t *testing.T, kind, mode string) {
			for _, alg := range []string{"none", "RS256"} {
				q := s.request(client.get("client_id"), "redirect_uri", registeredAt, "response_type", kind, "response_mode", mode, "state", "inside")
				s.site.set(address, s.objectOf(t, alg, s.asObject(q)))
				s.frontOf(t, q, s.ask(b.tab(), outside(q, "request_uri", address+"#v1")))
				for what, wrong := range map[string]string{"another fragment": address + "#v2", "no fragment": address} {
					sent := outside(q, "request_uri", wrong)
					sent.Set("state", q.Get("state"))
					if mode != "" {
						sent.Set("response_mode", mode)
					}
					s.refuses(t, what, q, s.ask(b.tab(), sent), "invalid_request_uri")
				}
			}
		})
	})
}

// An ID token without a signature never passes through a browser, proves
// nothing, and is as complete as any other.
func TestProtocolAnUnsignedIDTokenComesFromTheTokenEndpointAlone(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		for _, kind := range responseTypes {
			metadata := map[string]any{"id_token_signed_response_alg": "none", "response_types": []string{kind}, "post_logout_redirect_uris": []string{leftAt},
				"grant_types": []string{"authorization_code", "implicit", "refresh_token"}}
			if bringsID(kind) {
				if r := s.tryRegister(t, metadata); r.status != http.StatusBadRequest || r.get("error") != "invalid_client_metadata" {
					t.Errorf("%s: %d %s", kind, r.status, r.body)
				}
				continue
			}
			client := s.register(t, metadata)
			id, b := client.get("client_id"), s.browser(t)
			o := s.walk(b, s.request(id, "redirect_uri", registeredAt, "response_type", kind, "scope", "openid offline_access", "prompt", "consent", "nonce", "n"))
			r := s.post(t, id, client.get("client_secret"), "/oauth/token", "grant_type", "authorization_code", "code", o.get("code"), "redirect_uri", registeredAt)
			raw := r.get("id_token")
			claims := bodyOf(t, raw)
			if !strings.HasSuffix(raw, ".") || claims["iss"] != s.issuer("conformance") || claims["aud"] != id || claims["nonce"] != "n" || claims["sub"] == nil {
				t.Errorf("%s: %q says %v", kind, raw, claims)
			}
			again := s.post(t, id, client.get("client_secret"), "/oauth/token", "grant_type", "refresh_token", "refresh_token", r.get("refresh_token"))
			if after := again.get("id_token"); again.status != http.StatusOK || after != "" && (!strings.HasSuffix(after, ".") || bodyOf(t, after)["sub"] != claims["sub"]) {
				t.Errorf("%s, refreshed: %d %s", kind, again.status, again.body)
			}
			if o := s.ask(b, s.request(id, "redirect_uri", registeredAt, "response_type", kind, "prompt", "none", "id_token_hint", raw)); o.get("error") != "invalid_request" {
				t.Errorf("%s, as a hint: %v", kind, o.values)
			}
			p := b.open(s.leave("id_token_hint", raw, "post_logout_redirect_uri", leftAt, "state", "s"))
			if p.location != nil || find(p.doc, isForm("/oauth/logout/confirm")) == nil {
				t.Errorf("%s, to sign out: %d, Location %v", kind, p.status, p.location)
			}
		}
	})
}

// Time passes and keys change, for every response type in every mode.
func TestProtocolHintsAndKeysOutliveWhatTheySigned(t *testing.T) {
	later(t, func(t *testing.T, s *suite) {
		b, hint := s.enter(t, robinEmail, "conformance-1")
		before := s.kids(t)
		_, old := s.verified(t, hint)
		s.rotate(t, "conformance", true)
		dbtest.Advance(s.db(), max(keyring.SoonAhead, 6*time.Minute)+time.Second) // and the hint has expired
		flows(t, func(t *testing.T, kind, mode string) {
			q := s.request("conformance-1", "response_type", kind, "response_mode", mode, "prompt", "none", "id_token_hint", hint)
			o := s.ask(b.tab(), q)
			s.frontOf(t, q, o)
			if o.values.Has("id_token") {
				if _, header := s.verified(t, o.get("id_token")); header.KeyID == old.KeyID {
					t.Error("the old key signs on")
				}
			}
			if r := s.userinfo(t, o.get("access_token")); o.values.Has("access_token") && r.status != http.StatusOK {
				t.Errorf("userinfo: %d %s", r.status, r.body)
			}
			q = s.request("conformance-1", "response_type", kind, "response_mode", mode, "id_token_hint", unsigned(t, bodyOf(t, hint)))
			s.refuses(t, "the same without its signature", q, s.ask(b.tab(), q), "invalid_request")
		})
		for kid := range before {
			if s.kids(t)[kid] == "" {
				t.Errorf("the key %s is not published any more", kid)
			}
		}
	})
}

func TestProtocolSigningOutWithoutAStateBringsNoneBack(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		b := s.browser(t)
		id := s.tokens(t, b, s.request("conformance-2")).get("id_token")
		o := s.outcome(b, b.open(s.leave("id_token_hint", id, "post_logout_redirect_uri", leftAt)))
		if o.to != leftAt || len(o.values) != 0 || strings.Contains(o.page.location.String(), "?") {
			t.Errorf("%s to %v", o.mode, o.page.location)
		}
		// A state alone is no proof and leads nowhere, whoever is signed in.
		for what, b := range map[string]*browser{"somebody": s.known(t), "nobody": s.browser(t)} {
			if p := b.open(s.leave("state", "s")); p.location != nil || p.status != http.StatusOK || p.h1() == "" || strings.Contains(p.header.Get("Refresh"), "http") {
				t.Errorf("%s: %d, Location %v", what, p.status, p.location)
			}
		}
	})
}

// bodyOf is what a JWT says, whoever signed it.
func bodyOf(t *testing.T, raw string) (claims map[string]any) {
	t.Helper()
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		t.Fatalf("%q is no JWT", raw)
	}
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err == nil {
		err = json.Unmarshal(body, &claims)
	}
	if err != nil {
		t.Fatalf("%q: %v", raw, err)
	}
	return claims
}
