package server_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// TestProtocolClaimsAreAskedForWithTheValuesTheyMayHave walks OpenID Connect
// Core §5.5.1: a claim that does not have one of the values asked for is left
// out, in both places.
func TestProtocolClaimsAreAskedForWithTheValuesTheyMayHave(t *testing.T) {
	address := `{"formatted":"12 Juniper Lane\nSpringfield, IL 62701\nUnited States","street_address":"12 Juniper Lane","locality":"Springfield","region":"IL","postal_code":"62701","country":"US"}`
	protocol(t, func(t *testing.T, s *suite) {
		for _, c := range []struct {
			what, name, how string
			there           bool
		}{
			{"without more", "name", `null`, true},
			{"an empty wish", "name", `{}`, true},
			{"essential", "name", `{"essential":true}`, true},
			{"not essential", "name", `{"essential":false}`, true},
			{"with its value", "name", `{"value":"Robin Avery"}`, true},
			{"with another value", "name", `{"value":"Sam Okoro"}`, false},
			{"essential with another value", "name", `{"essential":true,"value":"Sam Okoro"}`, false},
			{"with values, its own among them", "name", `{"values":["Sam Okoro","Robin Avery"]}`, true},
			{"with other values", "name", `{"values":["Sam Okoro","robin avery",""]}`, false},
			{"with no values", "name", `{"values":[]}`, true},
			{"in another case", "email", `{"value":"ROBIN.AVERY@example.test"}`, false},
			{"a truth", "email_verified", `{"value":true}`, true},
			{"an untruth", "email_verified", `{"value":false}`, false},
			{"a truth as text", "email_verified", `{"values":["true"]}`, false},
			{"an object", "address", `{"value":` + address + `}`, true},
			{"half an object", "address", `{"value":{"locality":"Springfield"}}`, false},
			{"a member nobody knows", "name", `{"purpose":"x","essential":true}`, true},
			{"in a language", "name#es-MX", `{"essential":true}`, false},
			{"a claim nobody knows", "shoe_size", `{"essential":true,"values":[9]}`, false},
			{"a claim of ours", "password_hash", `{"essential":true}`, false},
			{"another's", "https://evil.example.test/claim", `null`, false},
		} {
			t.Run(c.what, func(t *testing.T) {
				for _, place := range []string{"userinfo", "id_token"} {
					r := s.tokens(t, s.known(t), s.request("conformance-1", "claims", `{"`+place+`":{"`+c.name+`":`+c.how+`}}`))
					id, _ := s.verified(t, r.get("id_token"))
					info := s.userinfo(t, r.get("access_token"))
					name, _, _ := strings.Cut(c.name, "#")
					for where, claims := range map[string]map[string]any{"userinfo": info.json, "id_token": id} {
						if _, ok := claims[name]; ok != (c.there && where == place) {
							t.Errorf("asked in %s, %s has %s: %t", place, where, name, ok)
						}
						if _, ok := claims[c.name]; ok && c.name != name {
							t.Errorf("%s has %s", where, c.name)
						}
					}
				}
			})
		}
		// Several at once, beside a scope.
		r := s.tokens(t, s.known(t), s.request("conformance-1", "scope", "openid email",
			"claims", `{"userinfo":{"given_name":{"essential":true},"nickname":null},"id_token":{"family_name":null,"auth_time":{"essential":true},"phone_number":{"value":"+1"}}}`))
		id, _ := s.verified(t, r.get("id_token"))
		info := s.userinfo(t, r.get("access_token")).json
		for name, want := range map[string]bool{"given_name": true, "nickname": true, "email": true, "email_verified": true, "family_name": false, "phone_number": false} {
			if _, ok := info[name]; ok != want {
				t.Errorf("userinfo has %s: %t", name, ok)
			}
		}
		for name, want := range map[string]bool{"family_name": true, "auth_time": true, "given_name": false, "email": false, "phone_number": false} {
			if _, ok := id[name]; ok != want {
				t.Errorf("the ID token has %s: %t", name, ok)
			}
		}
	})
}

func TestProtocolAnACRIsAWishOrACondition(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		reached := texts(s.mustCall(t, http.MethodGet, s.at("/.well-known/openid-configuration"), nil, "").json["acr_values_supported"])
		id, _ := s.verified(t, s.tokens(t, s.known(t), s.request("conformance-1")).get("id_token"))
		have, _ := id["acr"].(string)
		if !slices.Contains(reached, have) {
			t.Fatalf("acr %q is not advertised: %v", have, reached)
		}
		quoted, err := json.Marshal(have)
		if err != nil {
			t.Fatal(err)
		}
		own := string(quoted)
		for _, c := range []struct{ what, name, value, code string }{
			{"acr values", "acr_values", have, ""},
			{"acr values that nobody reaches", "acr_values", "urn:example:gold", ""},
			{"voluntary, nobody reaches it", "claims", `{"id_token":{"acr":{"value":"urn:example:gold"}}}`, ""},
			{"voluntary values", "claims", `{"id_token":{"acr":{"values":["urn:example:gold",` + own + `]}}}`, ""},
			{"essential without a value", "claims", `{"id_token":{"acr":{"essential":true}}}`, ""},
			{"essential, and reached", "claims", `{"id_token":{"acr":{"essential":true,"value":` + own + `}}}`, ""},
			{"essential, one of several", "claims", `{"id_token":{"acr":{"essential":true,"values":["urn:example:gold",` + own + `]}}}`, ""},
			{"essential, nobody reaches it", "claims", `{"id_token":{"acr":{"essential":true,"value":"urn:example:gold"}}}`, "unmet_authentication_requirements"},
			{"essential, none of several", "claims", `{"id_token":{"acr":{"essential":true,"values":["urn:example:gold","urn:example:silver"]}}}`, "unmet_authentication_requirements"},
		} {
			o := s.ask(s.known(t), s.request("conformance-1", c.name, c.value))
			if o.mode != "query" || o.get("error") != c.code {
				t.Errorf("%s: %s %v", c.what, o.mode, o.values)
				continue
			}
			if c.code == "" {
				if id, _ := s.verified(t, s.exchange(t, "conformance-1", o.get("code")).get("id_token")); id["acr"] != have {
					t.Errorf("%s: acr %v", c.what, id["acr"])
				}
			}
		}
	})
}

func TestProtocolClaimsThatCannotBeReadAreRefused(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		many := `{"userinfo":{` + strings.TrimSuffix(strings.Repeat(`"x`+randomText(3)+`":null,`, 100), ",") + `}}`
		for what, value := range map[string]string{"no JSON": "name", "a list": `["name"]`, "a text": `"name"`, "cut off": `{"userinfo":{"name":`,
			"a list of names": `{"userinfo":["name"]}`, "a name as a number": `{"userinfo":{"name":7}}`, "values that are none": `{"userinfo":{"name":{"values":"Robin"}}}`} {
			if o := s.ask(s.known(t), s.request("conformance-1", "claims", value)); o.mode != "query" || o.get("error") != "invalid_request" {
				t.Errorf("%s: %s %v", what, o.mode, o.values)
			}
		}
		if o := s.ask(s.known(t), s.request("conformance-1", "claims", many)); o.get("error") != "" && o.get("error") != "invalid_request" {
			t.Errorf("very many: %s %v", o.mode, o.values)
		}
		// Members beside the two are ignored.
		if o := s.ask(s.known(t), s.request("conformance-1", "claims", `{"verified_claims":{"x":[1]},"userinfo":null,"id_token":{}}`)); o.get("code") == "" {
			t.Errorf("members nobody knows: %v", o.values)
		}
	})
}
