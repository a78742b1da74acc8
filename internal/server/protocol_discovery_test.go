package server_test

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/text/language"
)

//go:embed testdata/metadata_names.txt
var metadataNames string

// metadataName is what stands in the list about one name.
type metadataName struct {
	kind        string // uri, list, bool, text, object, any
	iana, suite bool
}

// knownMetadata are the names that a document may have. One that the
// conformance suite does not know is a warning in every plan.
func knownMetadata(t testing.TB) map[string]metadataName {
	t.Helper()
	known := map[string]metadataName{}
	for line := range strings.Lines(metadataNames) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] == "#" {
			continue
		}
		known[fields[0]] = metadataName{fields[1], slices.Contains(fields[2:], "iana"), slices.Contains(fields[2:], "suite")}
	}
	if len(known) < 100 {
		t.Fatalf("only %d names are known", len(known))
	}
	return known
}

// unregistered are names that we say although the registry lacks them, and why.
var unregistered = map[string]string{
	"frontchannel_logout_session_supported": "OpenID Connect Front-Channel Logout 1.0 §3 defines it, and the plan for it asks for it",
	"prompt_values_supported":               "Initiating User Registration via OpenID Connect 1.0 §4 defines it",
}

// wrongMetadata says what is wrong with one member of a document, or nothing.
func wrongMetadata(known map[string]metadataName, name string, value any) string {
	n, ok := known[name]
	switch {
	case !ok || !n.suite:
		return "the conformance suite does not know the name"
	case !n.iana && unregistered[name] == "":
		return "the name is not registered"
	}
	good := n.kind == "any"
	switch v := value.(type) {
	case string:
		u, err := url.Parse(v)
		good = n.kind == "text" || n.kind == "uri" && err == nil && u.IsAbs() && u.Host != ""
	case bool:
		good = n.kind == "bool"
	case map[string]any:
		good = n.kind == "object"
	case []any: // RFC 8414 §3.2: empty ones are left out
		good = n.kind == "list" && len(v) > 0 && !slices.ContainsFunc(v, func(one any) bool { s, ok := one.(string); return !ok || s == "" })
	}
	if !good {
		return fmt.Sprintf("%v is no %s", value, n.kind)
	}
	return ""
}

func TestProtocolDiscoveryIsCompleteAndCacheable(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		issuer := s.issuer("conformance")
		var first string
		for _, address := range []string{issuer + "/.well-known/openid-configuration", issuer + "/.well-known/oauth-authorization-server",
			s.base + "/.well-known/oauth-authorization-server/conformance", s.base + "/.well-known/openid-configuration/conformance"} {
			r := s.mustCall(t, http.MethodGet, address, nil, "")
			if r.status != http.StatusOK || !strings.HasPrefix(r.header.Get("Content-Type"), "application/json") || r.get("issuer") != issuer {
				t.Errorf("%s: %d %s", address, r.status, r.body)
				continue
			}
			if first == "" {
				first = r.body
			}
			if r.body != first {
				t.Errorf("%s says something else", address)
			}
			if r.header.Get("Access-Control-Allow-Origin") != "*" || !strings.Contains(r.header.Get("Cache-Control"), "max-age=") {
				t.Errorf("%s: %v", address, r.header)
			}
			again := s.mustCall(t, http.MethodGet, address, http.Header{"If-None-Match": {r.header.Get("ETag")}}, "")
			if again.status != http.StatusNotModified || again.body != "" {
				t.Errorf("%s with its ETag: %d", address, again.status)
			}
		}
		var m map[string]any
		if err := json.Unmarshal([]byte(first), &m); err != nil {
			t.Fatal(err)
		}
		known := knownMetadata(t)
		for name, value := range m {
			if wrong := wrongMetadata(known, name, value); wrong != "" {
				t.Errorf("%s: %s", name, wrong)
			}
			if address, ok := value.(string); ok && name != "issuer" && name != "op_policy_uri" && !strings.HasPrefix(address, issuer+"/") {
				t.Errorf("%s = %s", name, address)
			}
		}
		for name, want := range map[string][]string{
			"response_types_supported":                      responseTypes,
			"response_modes_supported":                      {"query", "fragment", "form_post"},
			"grant_types_supported":                         {"authorization_code", "refresh_token", "implicit"},
			"subject_types_supported":                       {"public", "pairwise"},
			"id_token_signing_alg_values_supported":         {"RS256", "ES256", "none"},
			"userinfo_signing_alg_values_supported":         {"RS256"},
			"request_object_signing_alg_values_supported":   {"RS256", "ES256", "none"},
			"token_endpoint_auth_methods_supported":         {"client_secret_basic", "client_secret_post", "private_key_jwt", "none"},
			"scopes_supported":                              {"openid", "profile", "email", "address", "phone", "offline_access"},
			"claims_supported":                              {"sub", "name", "email", "email_verified", "phone_number", "phone_number_verified", "address", "auth_time", "acr"},
			"code_challenge_methods_supported":              {"S256"},
			"acr_values_supported":                          {},
			"ui_locales_supported":                          {"en", "es"},
			"display_values_supported":                      {"page"},
			"introspection_endpoint_auth_methods_supported": {"client_secret_basic"},
			"revocation_endpoint_auth_methods_supported":    {"client_secret_basic"},
		} {
			have := texts(m[name])
			if len(have) == 0 {
				t.Errorf("no %s", name)
			}
			for _, value := range want {
				if !slices.Contains(have, value) {
					t.Errorf("%s has no %s: %v", name, value, have)
				}
			}
		}
		for _, name := range []string{"claims_parameter_supported", "request_parameter_supported", "request_uri_parameter_supported",
			"require_request_uri_registration", "authorization_response_iss_parameter_supported", "backchannel_logout_supported",
			"backchannel_logout_session_supported", "frontchannel_logout_supported", "frontchannel_logout_session_supported"} {
			if m[name] != true {
				t.Errorf("%s = %v", name, m[name])
			}
		}
		for _, name := range []string{"check_session_iframe", "end_session_endpoint", "registration_endpoint", "pushed_authorization_request_endpoint"} {
			if m[name] == nil {
				t.Errorf("no %s", name)
			}
		}
		for _, tag := range texts(m["ui_locales_supported"]) {
			if parsed, err := language.Parse(tag); err != nil || parsed.String() != tag {
				t.Errorf("locale %q is not canonical: %v", tag, err)
			}
		}
	})
}

func texts(v any) (out []string) {
	all, _ := v.([]any)
	for _, one := range all {
		s, _ := one.(string)
		out = append(out, s)
	}
	return out
}

func TestProtocolAStrictRealmAdvertisesNoRelaxation(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		m := s.mustCall(t, http.MethodGet, s.issuer("strict")+"/.well-known/openid-configuration", nil, "").json
		known := knownMetadata(t)
		for name, value := range m {
			if wrong := wrongMetadata(known, name, value); wrong != "" {
				t.Errorf("%s: %s", name, wrong)
			}
		}
		for _, name := range []string{"registration_endpoint", "check_session_iframe"} {
			if m[name] != nil {
				t.Errorf("%s = %v", name, m[name])
			}
		}
		if got := texts(m["response_types_supported"]); !slices.Equal(got, []string{"code"}) {
			t.Errorf("response types %v", got)
		}
		for _, name := range []string{"id_token_signing_alg_values_supported", "request_object_signing_alg_values_supported"} {
			if slices.Contains(texts(m[name]), "none") {
				t.Errorf("%s has none", name)
			}
		}
		if m["request_uri_parameter_supported"] != false || slices.Contains(texts(m["grant_types_supported"]), "implicit") {
			t.Errorf("%v %v", m["request_uri_parameter_supported"], m["grant_types_supported"])
		}
		for _, c := range []struct{ method, path string }{{http.MethodGet, "/oauth/session"}, {http.MethodPost, "/oauth/register"}} {
			if r := s.mustCall(t, c.method, s.issuer("strict")+c.path, http.Header{"Content-Type": {"application/json"}}, "{}"); r.status != http.StatusNotFound {
				t.Errorf("%s: %d", c.path, r.status)
			}
		}
	})
}

func TestProtocolPublishedKeysArePublicAndHaveKidsOfTheirOwn(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		r := s.mustCall(t, http.MethodGet, s.at("/oauth/jwks"), nil, "")
		var set jose.JSONWebKeySet
		if err := json.Unmarshal([]byte(r.body), &set); err != nil || len(set.Keys) < 2 {
			t.Fatalf("%v: %s", err, r.body)
		}
		seen, algorithms := map[string]bool{}, map[string]bool{}
		for _, key := range set.Keys {
			if key.KeyID == "" || seen[key.KeyID] || !key.IsPublic() || !key.Valid() || key.Use != "sig" {
				t.Errorf("key %q: use %q, public %t", key.KeyID, key.Use, key.IsPublic())
			}
			seen[key.KeyID], algorithms[key.Algorithm] = true, true
		}
		if !algorithms["RS256"] || !algorithms["ES256"] {
			t.Errorf("algorithms %v", algorithms)
		}
		if other := s.mustCall(t, http.MethodGet, s.issuer("strict")+"/oauth/jwks", nil, ""); other.status != http.StatusOK || other.body == r.body {
			t.Error("two realms publish the same keys")
		}
	})
}
