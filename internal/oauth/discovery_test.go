package oauth

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/language"

	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/realm"
)

var update = flag.Bool("update", false, "write the golden files anew")

// registeredNames are those of the IANA registry "OAuth Authorization Server
// Metadata" that an OpenID provider may use. What is not here belongs into a
// document of its own.
var registeredNames = strings.Fields(`issuer authorization_endpoint token_endpoint jwks_uri registration_endpoint scopes_supported
	response_types_supported response_modes_supported grant_types_supported token_endpoint_auth_methods_supported
	token_endpoint_auth_signing_alg_values_supported service_documentation ui_locales_supported op_policy_uri op_tos_uri
	revocation_endpoint revocation_endpoint_auth_methods_supported revocation_endpoint_auth_signing_alg_values_supported
	introspection_endpoint introspection_endpoint_auth_methods_supported introspection_endpoint_auth_signing_alg_values_supported
	code_challenge_methods_supported signed_metadata userinfo_endpoint acr_values_supported subject_types_supported
	id_token_signing_alg_values_supported id_token_encryption_alg_values_supported id_token_encryption_enc_values_supported
	userinfo_signing_alg_values_supported userinfo_encryption_alg_values_supported userinfo_encryption_enc_values_supported
	request_object_signing_alg_values_supported request_object_encryption_alg_values_supported
	request_object_encryption_enc_values_supported display_values_supported claim_types_supported claims_supported
	claims_locales_supported claims_parameter_supported request_parameter_supported request_uri_parameter_supported
	require_request_uri_registration require_signed_request_object pushed_authorization_request_endpoint
	require_pushed_authorization_requests authorization_response_iss_parameter_supported
	check_session_iframe end_session_endpoint frontchannel_logout_supported frontchannel_logout_session_supported
	backchannel_logout_supported backchannel_logout_session_supported prompt_values_supported
	tls_client_certificate_bound_access_tokens dpop_signing_alg_values_supported`)

func (w *world) discovery(path string) (map[string]any, reply) {
	w.t.Helper()
	r := w.do(w.t.Context(), http.MethodGet, path, http.Header{}, "")
	if r.Status != 200 || r.Header.Get("Content-Type") != "application/json" {
		w.t.Fatalf("%s: %d %s", path, r.Status, r.Header.Get("Content-Type"))
	}
	return r.JSON, r
}

func TestDiscoveryOfASecureRealmIsThisDocument(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t))
	w.p.acrs = []string{"urn:test:pwd"}
	_, r := w.discovery(pathDiscovery)
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, []byte(r.Body), "", "  "); err != nil {
		t.Fatal(err)
	}
	pretty.WriteByte('\n')
	golden := filepath.Join("testdata", "discovery_secure.json")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, pretty.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, pretty.Bytes()) {
		t.Errorf("discovery has changed; if that is meant, run with -update\n%s", pretty.String())
	}
	if _, other := w.discovery(pathMetadata); other.Body != r.Body {
		t.Error("the two locations say different things")
	}
}

func TestDiscoveryFollowsTheRulesOfTheCertification(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t))
	document, _ := w.discovery(pathDiscovery)
	for name, value := range document {
		if !slices.Contains(registeredNames, name) {
			t.Errorf("%s is no registered name", name)
		}
		if list, ok := value.([]any); ok && len(list) == 0 || value == nil || value == "" {
			t.Errorf("%s is empty: leave it out", name)
		}
		address, ok := value.(string)
		if ok && (strings.HasSuffix(name, "_endpoint") || name == "jwks_uri") && !strings.HasPrefix(address, w.r.Issuer+"/") {
			t.Errorf("%s = %s is not of this realm", name, address)
		}
	}
	for name, must := range map[string][]string{
		"claims_supported": {"sub", "iss", "auth_time", "acr", "name", "email", "email_verified", "address", "phone_number"},
		"scopes_supported": {"openid"}, "id_token_signing_alg_values_supported": {"RS256"}, "response_types_supported": {"code"},
		"subject_types_supported": {"public"}, "code_challenge_methods_supported": {"S256"},
	} {
		for _, value := range must {
			if !slices.Contains(document[name].([]any), any(value)) {
				t.Errorf("%s lacks %s", name, value)
			}
		}
	}
	for _, raw := range document["ui_locales_supported"].([]any) {
		if tag, err := language.Parse(raw.(string)); err != nil || tag.String() != raw {
			t.Errorf("%s is no canonical BCP 47 language", raw)
		}
	}
	if document["issuer"] != w.r.Issuer {
		t.Errorf("issuer %v", document["issuer"])
	}
}

// Every endpoint that is advertised answers, whatever it says to an empty
// request; a realm that is not relaxed advertises none of the relaxations.
func TestWhatIsAdvertisedIsThere(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t))
	document, _ := w.discovery(pathDiscovery)
	for name, value := range document {
		address, ok := value.(string)
		if !ok || !strings.HasSuffix(name, "_endpoint") && name != "jwks_uri" {
			continue
		}
		path := strings.TrimPrefix(address, w.r.Issuer)
		get, post := w.do(t.Context(), http.MethodGet, path, http.Header{}, ""), w.do(t.Context(), http.MethodPost, path, http.Header{}, "")
		if get.Status == 404 && post.Status == 404 || get.Status >= 500 || post.Status >= 500 {
			t.Errorf("%s: GET %d, POST %d", name, get.Status, post.Status)
		}
	}
	if _, on := document["check_session_iframe"]; on {
		t.Error("check_session_iframe is advertised where it is off")
	}
	for _, name := range []string{"backchannel_logout_supported", "backchannel_logout_session_supported", "frontchannel_logout_supported", "frontchannel_logout_session_supported"} {
		if document[name] != true {
			t.Errorf("%s = %v", name, document[name])
		}
	}
	base := *w.r
	base.OAuth.SessionManagement = true
	managed, err := realm.New(base, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := w.p.metadata(managed).CheckSession; got != w.r.Issuer+pathCheck {
		t.Errorf("check_session_iframe %q", got)
	}
}

func TestDiscoveryAndKeysMayBeKeptForAWhile(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t))
	for _, path := range []string{pathDiscovery, pathJWKS} {
		first := w.do(t.Context(), http.MethodGet, path, http.Header{}, "")
		etag := first.Header.Get("ETag")
		if !strings.HasPrefix(etag, `"`) || first.Header.Get("Cache-Control") != "public, max-age=900" {
			t.Errorf("%s: %v", path, first.Header)
		}
		for sent, status := range map[string]int{etag: 304, "W/" + etag: 304, `"x", ` + etag: 304, "*": 304, `"x"`: 200, "": 200} {
			again := w.do(t.Context(), http.MethodGet, path, http.Header{"If-None-Match": {sent}}, "")
			if again.Status != status || status == 304 && (again.Body != "" || again.Header.Get("ETag") != etag) {
				t.Errorf("%s with If-None-Match %q: %d %q", path, sent, again.Status, again.Body)
			}
		}
	}
	before := w.do(t.Context(), http.MethodGet, pathJWKS, http.Header{}, "")
	if err := w.p.keys.Rotate(t.Context(), w.r); err != nil {
		t.Fatal(err)
	}
	after := w.do(t.Context(), http.MethodGet, pathJWKS, http.Header{"If-None-Match": {before.Header.Get("ETag")}}, "")
	if after.Status != 200 {
		t.Error("a rotation is not noticed")
	}
	var kids []string
	for _, key := range after.JSON["keys"].([]any) {
		kids = append(kids, key.(map[string]any)["kid"].(string))
		for _, private := range []string{"d", "p", "q", "k"} {
			if _, leaked := key.(map[string]any)[private]; leaked {
				t.Errorf("a private part is published: %s", private)
			}
		}
	}
	slices.Sort(kids)
	if len(slices.Compact(kids)) != 4 {
		t.Errorf("kids %v", kids)
	}
}

// Scripts of single-page apps read what is for clients without a cookie. What
// people look at, or only servers call, is for no script of another site.
func TestCORSMatrix(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t))
	w.signIn(w.account)
	origin := http.Header{"Origin": {"https://spa.example.test"}}
	preflighted := http.Header{"Origin": {"https://spa.example.test"}, "Access-Control-Request-Method": {"POST"},
		"Access-Control-Request-Headers": {"authorization"}}
	for _, c := range []struct {
		path, method string
		open         bool
	}{
		{pathDiscovery, "GET", true}, {pathMetadata, "GET", true}, {pathJWKS, "GET", true},
		{pathToken, "POST", true}, {pathUserinfo, "GET", true}, {pathUserinfo, "POST", true}, {pathRevoke, "POST", true},
		{pathAuthorize, "GET", false}, {pathAuthorize, "POST", false}, {pathIntrospect, "POST", false}, {pathLogout, "GET", false},
		{pathLogout, "POST", false}, {pathConfirm, "POST", false}, {pathSignedOut, "GET", false}, {pathConsent, "GET", false},
		{pathCheck, "GET", false},
	} {
		answer := w.do(t.Context(), c.method, c.path, origin, "")
		pre := w.do(t.Context(), http.MethodOptions, c.path, preflighted, "")
		for what, got := range map[string]reply{"answer": answer, "preflight": pre} {
			allowed := got.Header.Get("Access-Control-Allow-Origin")
			if c.open && allowed != "*" || !c.open && allowed != "" {
				t.Errorf("%s %s, %s: Access-Control-Allow-Origin %q", c.method, c.path, what, allowed)
			}
			if got.Header.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%s %s: cookies are allowed", c.method, c.path)
			}
		}
		if c.open && (pre.Status != 204 || !strings.Contains(pre.Header.Get("Access-Control-Allow-Headers"), "Authorization")) {
			t.Errorf("%s: preflight %d %v", c.path, pre.Status, pre.Header)
		}
	}
}
