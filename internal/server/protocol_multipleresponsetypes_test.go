package server_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

var responseTypes = []string{"code", "id_token", "id_token token", "code id_token", "code token", "code id_token token"}

// TestProtocolEveryResponseTypeBringsWhatItNames walks OAuth 2.0 Multiple
// Response Type Encoding Practices and OAuth 2.0 Form Post Response Mode: every
// type in every mode, with the hashes of OpenID Connect Core §3.3.2.11.
func TestProtocolEveryResponseTypeBringsWhatItNames(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		for _, kind := range responseTypes {
			for _, mode := range []string{"", "query", "fragment", "form_post"} {
				t.Run(kind+" by "+mode, func(t *testing.T) {
					q := s.request("conformance-1", "response_type", kind, "response_mode", mode, "scope", everyScope)
					o := s.ask(s.known(t), q)
					want := mode
					if mode == "" {
						want = "fragment"
						if kind == "code" {
							want = "query"
						}
					}
					if o.to != exampleCallback || o.get("state") != q.Get("state") || o.get("iss") != s.issuer("conformance") {
						t.Fatalf("to %q, state %q, iss %q: %s", o.to, o.get("state"), o.get("iss"), o.page.says())
					}
					if mode == "query" && kind != "code" { // tokens never stand in a query
						if o.mode != "fragment" || o.get("error") != "invalid_request" || o.values.Has("code") || o.values.Has("access_token") || o.values.Has("id_token") {
							t.Fatalf("%s %v", o.mode, o.values)
						}
						return
					}
					if o.mode != want {
						t.Fatalf("mode %s, want %s: %v", o.mode, want, o.values)
					}
					s.checkFront(t, q.Get("nonce"), q.Get("state"), kind, o)
				})
			}
		}
	})
}

// checkFront looks at all that an authorization endpoint has given.
func (s *suite) checkFront(t *testing.T, nonce, state, kind string, o outcome) {
	t.Helper()
	types := strings.Fields(kind)
	for parameter, part := range map[string]string{"code": "code", "id_token": "id_token", "access_token": "token", "token_type": "token", "expires_in": "token"} {
		if o.values.Has(parameter) != slices.Contains(types, part) {
			t.Errorf("%s: has %s = %t", kind, parameter, o.values.Has(parameter))
		}
	}
	if o.values.Has("access_token") {
		if o.get("token_type") != "Bearer" || o.get("expires_in") == "0" {
			t.Errorf("token_type %q, expires_in %q", o.get("token_type"), o.get("expires_in"))
		}
		if r := s.userinfo(t, o.get("access_token")); r.status != http.StatusOK || r.get("name") != "Robin Avery" {
			t.Errorf("userinfo with the token of the front: %d %s", r.status, r.body)
		}
	}
	var sub any
	if o.values.Has("id_token") {
		claims, header := s.verified(t, o.get("id_token"))
		sub = claims["sub"]
		if header.Algorithm != "RS256" || claims["nonce"] != nonce || claims["aud"] == nil || claims["iss"] != s.issuer("conformance") {
			t.Errorf("alg %s, %v", header.Algorithm, claims)
		}
		for hash, value := range map[string]string{"at_hash": o.get("access_token"), "c_hash": o.get("code")} {
			if value == "" && claims[hash] != nil || value != "" && claims[hash] != halfHash(value) {
				t.Errorf("%s = %v", hash, claims[hash])
			}
		}
		if claims["s_hash"] != nil && claims["s_hash"] != halfHash(state) {
			t.Errorf("s_hash = %v", claims["s_hash"])
		}
		// Core §5.4: only where there is no access token do the scopes' claims
		// stand in the ID token.
		if alone := kind == "id_token"; (claims["name"] == "Robin Avery") != alone || (claims["email"] == robinEmail) != alone {
			t.Errorf("%s: name %v, email %v", kind, claims["name"], claims["email"])
		}
	}
	if o.values.Has("code") {
		r := s.exchange(t, "conformance-1", o.get("code"))
		if r.status != http.StatusOK {
			t.Fatalf("exchange: %d %s", r.status, r.body)
		}
		claims, _ := s.verified(t, r.get("id_token"))
		if claims["nonce"] != nonce || sub != nil && claims["sub"] != sub || claims["name"] != nil {
			t.Errorf("the second ID token differs: %v", claims)
		}
		if claims["at_hash"] != nil && claims["at_hash"] != halfHash(r.get("access_token")) {
			t.Errorf("at_hash = %v", claims["at_hash"])
		}
	}
}

func TestProtocolTheNonceIsNeededWhereTheBrowserCarriesAnIDToken(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		for _, kind := range responseTypes {
			o := s.ask(s.known(t), s.request("conformance-1", "response_type", kind, "nonce", ""))
			if strings.Contains(kind, "id_token") {
				if o.mode != "fragment" || o.get("error") != "invalid_request" || o.values.Has("code") {
					t.Errorf("%s: %s %v", kind, o.mode, o.values)
				}
			} else if o.get("error") != "" || o.get("code") == "" {
				t.Errorf("%s: %s %v", kind, o.mode, o.values)
			}
		}
	})
}

func TestProtocolOnlyKnownResponseTypesAndModesAreAnswered(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		for _, c := range []struct{ what, name, value, mode, code string }{
			{"no response type", "response_type", "", "query", "invalid_request"},
			{"a response type nobody knows", "response_type", "foo", "query", "unsupported_response_type"},
			{"none, which is not offered", "response_type", "none", "query", "unsupported_response_type"},
			{"a token without an ID token", "response_type", "token", "fragment", "unsupported_response_type"},
			{"a type twice", "response_type", "code code", "query", "unsupported_response_type"},
			{"a response mode nobody knows", "response_mode", "carrier_pigeon", "query", "invalid_request"},
			{"a signed response, which is not offered", "response_mode", "jwt", "query", "invalid_request"},
		} {
			t.Run(c.what, func(t *testing.T) {
				q := s.request("conformance-1", c.name, c.value)
				o := s.ask(s.known(t), q)
				if o.mode != c.mode || o.to != exampleCallback || o.get("error") != c.code || o.get("state") != q.Get("state") || o.get("iss") != s.issuer("conformance") || o.values.Has("code") {
					t.Errorf("%s to %q: %v", o.mode, o.to, o.values)
				}
			})
		}
		// The order of the words says nothing.
		if o := s.ask(s.known(t), s.request("conformance-1", "response_type", "token id_token code")); o.mode != "fragment" || o.get("code") == "" || o.get("id_token") == "" {
			t.Errorf("another order: %v", o.values)
		}
		// A realm that relaxes nothing knows the code flow only, with PKCE.
		for kind, code := range map[string]string{"id_token": "unsupported_response_type", "code token": "unsupported_response_type", "code": "invalid_request"} {
			b := s.known(t)
			if o := s.outcome(b, b.open(s.issuer("strict")+"/oauth/authorize?"+s.request("conformance-1", "response_type", kind).Encode())); o.get("error") != code {
				t.Errorf("strict realm, %s: %s %v", kind, o.mode, o.values)
			}
		}
	})
}
