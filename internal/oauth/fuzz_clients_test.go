package oauth

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4/json"

	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/oauth/clientkeys"
	"github.com/portico-id/portico/internal/outbound"
	"github.com/portico-id/portico/internal/realm"
)

// FuzzClientAssertion looks for an assertion that is accepted although it is
// not for this realm, not the client's own, or good for too long.
func FuzzClientAssertion(f *testing.F) {
	r := keyedRealm(f)
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for _, seed := range []string{
		`{"iss":"signer","sub":"signer","aud":"` + r.Issuer + `","exp":1795435260,"iat":1795435200,"jti":"x"}`,
		`{"iss":"signer","sub":"signer","aud":["` + r.Issuer + `","` + r.URL(pathToken) + `"],"exp":1795435260,"jti":"x"}`,
		`{"iss":"signer","sub":"signer","aud":["` + r.Issuer + `","https://other.example.test"],"exp":1795435260,"jti":"x"}`,
		`{"iss":"signer","sub":"other","aud":"` + r.Issuer + `","exp":1e308,"jti":"x"}`,
		`{"ISS":"signer","sub":"signer","sub":"other","aud":{},"exp":-1,"nbf":1e400}`, `{`, `null`, `[]`, `{"exp":null}`,
	} {
		f.Add(seed, "JWT", signClaims(f, clientKeysOnce()["ES256"], map[string]any{"iss": "x"}))
	}
	f.Add(`{}`, "at+jwt", "eyJhbGciOiJub25lIn0.e30.")
	f.Fuzz(func(t *testing.T, payload, typ, raw string) {
		if signed, err := clientkeys.Parse(raw, clientkeys.Algorithms); err == nil {
			if !strings.Contains("RS256 PS256 ES256 EdDSA", signed.Alg) || signed.Alg == "" {
				t.Errorf("algorithm %q", signed.Alg)
			}
		}
		var claims assertionClaims
		if json.Unmarshal([]byte(payload), &claims) != nil {
			return
		}
		until, err := claims.check(r, typ, now)
		if err != nil {
			return
		}
		if claims.Issuer == "" || claims.Issuer != claims.Subject || claims.ID == "" || len(claims.ID) > maxJTI {
			t.Errorf("accepted: %s", payload)
		}
		if until.After(now.Add(maxAssertion+time.Minute)) || until.Before(now.Add(-time.Minute)) {
			t.Errorf("good until %s: %s", until, payload)
		}
		var one string
		var several []string
		if json.Unmarshal(claims.Audience, &one) != nil && json.Unmarshal(claims.Audience, &several) != nil {
			t.Errorf("audience of another kind: %s", payload)
		}
		for _, audience := range append(several, one) {
			if audience != "" && !strings.HasPrefix(audience, r.Issuer) {
				t.Errorf("for somebody else: %s", payload)
			}
		}
	})
}

// FuzzRedirectURI looks for a URI that can be registered although a browser
// would run it, send the answer elsewhere, or cut it off.
func FuzzRedirectURI(f *testing.F) {
	for _, seed := range []string{testRedirect, "http://127.0.0.1/cb", "http://[::1]:8080/cb?x=1", "com.example.app:/cb", "javascript:alert(1)",
		"https://user@evil.example.test/", "https://rp.example.test/cb#x", "https://rp.example.test\\@evil.example.test", "https://rp.example.test/%2e%2e/x",
		"http://evil@127.0.0.1/cb", "http://127.0.0.1.evil.example.test/cb", "data:text/html,x", "https:", "//x", "http://127.0.0.1:99999/cb"} {
		f.Add(seed, seed, true, true)
		f.Add(seed, testRedirect, false, false)
	}
	f.Fuzz(func(t *testing.T, raw, requested string, native, public bool) {
		if loopbackMatch(raw, requested) {
			a, err1 := url.Parse(raw)
			b, err2 := url.Parse(requested)
			if err1 == nil && err2 == nil && (a.Hostname() != b.Hostname() || a.EscapedPath() != b.EscapedPath() || a.RawQuery != b.RawQuery ||
				b.Scheme != "http" || b.User != nil && a.User == nil) {
				t.Errorf("%q matches %q", requested, raw)
			}
		}
		if checkRedirectURI(raw, native, public) != nil {
			return
		}
		u, err := url.Parse(raw)
		if err != nil || u.User != nil || strings.ContainsAny(raw, "#\\ \r\n\t*") || !secureRedirect(u) {
			t.Errorf("registered: %q", raw)
		}
		switch u.Scheme {
		case "javascript", "data", "vbscript", "file", "blob", "about":
			t.Errorf("registered: %q", raw)
		case "http":
			if !native || !realm.Loopback(u.Hostname()) {
				t.Errorf("registered: %q", raw)
			}
		}
		// What comes after it stays what the client registered.
		if with := withParameters(raw, url.Values{"code": {"x"}}); !strings.HasPrefix(with, raw) {
			t.Errorf("%q becomes %q", raw, with)
		}
	})
}

// FuzzRegistration looks for a document that is accepted although something in
// it is dangerous, or is another one after it was stored.
func FuzzRegistration(f *testing.F) {
	r := keyedRealm(f, open)
	check := outbound.New(outbound.Options{}).Check
	keys, _ := json.Marshal(string(jwksOf(clientKeysOnce()["ES256"])))
	for _, seed := range []string{
		document(nil), document(map[string]any{"logo_uri": "https://rp.example.test/l", "scope": "openid email", "subject_type": "pairwise"}),
		document(map[string]any{"jwks_uri": "https://rp.example.test/jwks", "token_endpoint_auth_method": "private_key_jwt"}),
		document(map[string]any{"application_type": "native", "token_endpoint_auth_method": "none", "redirect_uris": []string{"com.example.app:/cb"}}),
		document(map[string]any{"redirect_uris": []string{"javascript:alert(1)"}}),
		`{"redirect_uris":["` + testRedirect + `"],"jwks":` + string(jwksOf(clientKeysOnce()["RS256"])) + `}`,
		`{"redirect_uris":null,"jwks":` + string(keys) + `}`, `{"grant_types":["client_credentials"]}`, `{"scope":7}`, `[]`, `null`, ``, `{"a":{"a":{"a":{}}}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := parseMetadata(r, raw, check)
		if err != nil {
			return
		}
		for _, uri := range append(append([]string{}, m.RedirectURIs...), m.PostLogoutRedirectURIs...) {
			if u, err := url.Parse(uri); err != nil || !secureRedirect(u) || strings.Contains(uri, "#") {
				t.Errorf("registered: %q", uri)
			}
		}
		for _, uri := range []string{m.LogoURI, m.ClientURI, m.PolicyURI, m.TermsURI, m.InitiateLoginURI, m.FrontchannelURI, m.JWKSURI, m.SectorURI, m.BackchannelURI} {
			if uri != "" && !strings.HasPrefix(strings.ToLower(uri), "https://") {
				t.Errorf("registered: %q", uri)
			}
		}
		if m.IDTokenAlg == algNone || m.RequestObjectAlg == algNone || strings.Contains(m.Scope, "admin.") {
			t.Errorf("registered: %s", raw)
		}
		stored, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseMetadata(r, stored, check)
		if err != nil {
			t.Fatalf("%s is stored as %s: %v", raw, stored, err)
		}
		if twice, err := json.Marshal(again); err != nil || string(twice) != string(stored) {
			t.Errorf("%s becomes %s", stored, twice)
		}
		row := registration{id: "dyn-x", metadata: m, version: 1}
		if c := row.client(r); c.FirstParty || c.Introspect || len(c.Audiences) != 0 {
			t.Errorf("a client may not give itself this: %+v", c)
		}
	})
}

// FuzzTokenRequest looks for a request to the token endpoint that is answered
// with anything but a refusal in the words of the protocol.
func FuzzTokenRequest(f *testing.F) {
	w := newWorldIn(f, dbtest.SQLite(f), keyedRealm(f, open))
	for _, seed := range []string{
		exchange("portal", "x").Encode(), "grant_type=refresh_token&refresh_token=x", "grant_type=client_credentials&scope=openid",
		"grant_type=client_credentials&resource=https://a.example.test&resource=%00", "grant_type=&grant_type=", "a=%zz", "client_id=dyn-AAAAAAAAAAAAAAAAAAAAAA&grant_type=refresh_token&refresh_token=AAAA",
		url.Values{"grant_type": {"client_credentials"}, "client_assertion_type": {assertionType}, "client_assertion": {w.assertion("signer")}, "client_id": {"second"}}.Encode(),
	} {
		f.Add(seed, basic("portal", "wrong"), contentTypeForm)
		f.Add(seed, "", contentTypeForm)
	}
	f.Add("{}", "Bearer x", "application/json")
	f.Fuzz(func(t *testing.T, body, authorization, kind string) {
		w.t = t
		h := http.Header{"Content-Type": {kind}}
		if authorization != "" {
			h.Set("Authorization", authorization)
		}
		r := w.do(context.Background(), http.MethodPost, "/oauth/token", h, body)
		if r.Status != 400 && r.Status != 401 && r.Status != 413 || r.get("error") == "" || r.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%d %s", r.Status, r.Body)
		}
	})
}
