package oauth

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"net/url"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/realm"
)

func TestASectorListsItsRedirectURIs(t *testing.T) {
	keyed(t, func(t *testing.T, w *world) {
		s := w.publishes(true)
		s.set("/good", `["`+testRedirect+`","https://other.example.test/cb"]`)
		s.set("/less", `["https://other.example.test/cb"]`)
		s.set("/html", `<html>`)
		s.set("/object", `{"redirect_uris":["`+testRedirect+`"]}`)
		s.set("/long", `["`+strings.Repeat("x", 70<<10)+`"]`)
		s.set("/moved", "-> /good")
		for _, path := range []string{"/less", "/html", "/object", "/long", "/moved", "/missing"} {
			w.expect(path, w.registration("POST", "/oauth/register", "", document(map[string]any{"sector_identifier_uri": s.URL + path})), 400, errClientMetadata)
		}
		w.register(map[string]any{"sector_identifier_uri": s.URL + "/good", "subject_type": "pairwise", "redirect_uris": []string{testRedirect, "https://other.example.test/cb"}})
		calls := s.calls.Load()
		w.expect("another mistake", w.registration("POST", "/oauth/register", "", document(map[string]any{"sector_identifier_uri": s.URL + "/good", "scope": "nonsense"})), 400, errClientMetadata)
		if s.calls.Load() != calls {
			t.Error("a registration that is refused anyway made a call")
		}
	}, open)
}

func TestKeysBehindAnAddressFollowTheClient(t *testing.T) {
	keyed(t, func(t *testing.T, w *world) {
		s := w.publishes(true)
		ctx, alone := context.Background(), url.Values{"grant_type": {"client_credentials"}}
		fresh := func(kid string) signingKey {
			k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			return signingKey{kid, jose.ES256, k}
		}
		one, two, nameless := fresh("one"), fresh("two"), fresh("-")
		s.set("/jwks", string(jwksOf(one)))
		id := w.register(map[string]any{"jwks_uri": s.URL + "/jwks", "token_endpoint_auth_method": "private_key_jwt", "grant_types": []string{"client_credentials"}, "redirect_uris": nil}).get("client_id")
		sign := func(k signingKey) string { return signClaims(t, k, w.assertionOf(id, nil)) }
		if s.calls.Load() != 0 {
			t.Error("fetched before it was needed")
		}
		w.expect("expired, before any key is fetched", w.withAssertion(ctx, "/oauth/token", signClaims(t, one, w.assertionOf(id, map[string]any{"exp": 1})), alone), 401, errInvalidClient)
		w.expect("first", w.withAssertion(ctx, "/oauth/token", sign(one), alone), 200, "")
		w.expect("again", w.withAssertion(ctx, "/oauth/token", sign(one), alone), 200, "")
		if s.calls.Load() != 1 {
			t.Errorf("%d fetches for a known key", s.calls.Load())
		}
		s.set("/jwks", string(jwksOf(two)))
		w.expect("rotated", w.withAssertion(ctx, "/oauth/token", sign(two), alone), 200, "")
		w.expect("the old one", w.withAssertion(ctx, "/oauth/token", sign(one), alone), 401, errInvalidClient)
		anonymous := nameless
		anonymous.kid = ""
		s.set("/jwks", string(jwksOf(anonymous)))
		w.expect("rotated without a name", w.withAssertion(ctx, "/oauth/token", sign(nameless), alone), 200, "")
		for range 20 {
			w.withAssertion(ctx, "/oauth/token", sign(fresh("unknown")), alone)
		}
		if n := s.calls.Load(); n > 6 {
			t.Errorf("%d fetches because of made-up keys", n)
		}
		w.expect("still there", w.withAssertion(ctx, "/oauth/token", sign(nameless), alone), 200, "")
	}, open)
}

func TestADatabaseThatIsAwayDoesNotUnregisterAnybody(t *testing.T) {
	w := newWorldIn(t, dbtest.Postgres(t), keyedRealm(t, open))
	w.account = w.newAccount("pat@example.test")
	w.signIn(w.account)
	id, auth, c := w.registered(nil)
	tokens, code := w.tokensOf(id, auth), w.code(id, "scope=openid offline_access")
	w.p.registered = newRegistrations(w.db) // a replica that remembers nobody
	assertion := w.assertion("signer")
	w.db.Close()
	for name, r := range map[string]reply{
		"exchange":      w.do(context.Background(), "POST", "/oauth/token", auth, exchange(id, code).Encode()),
		"refresh":       w.do(context.Background(), "POST", "/oauth/token", auth, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tokens.get("refresh_token")}}.Encode()),
		"alone":         w.do(context.Background(), "POST", "/oauth/token", auth, "grant_type=client_credentials"),
		"introspection": w.do(context.Background(), "POST", "/oauth/introspect", auth, "token=x"),
		"revocation":    w.do(context.Background(), "POST", "/oauth/revoke", auth, "token=x"),
		"userinfo":      w.get("/oauth/userinfo", "Authorization", "Bearer "+tokens.get("access_token")),
		"registration":  w.registration("GET", c.get("registration_client_uri"), c.get("registration_access_token"), ""),
		"assertion":     w.withAssertion(context.Background(), "/oauth/token", assertion, url.Values{"grant_type": {"client_credentials"}}),
	} {
		w.expect(name, r, 503, errUnavailable)
	}
	if page := w.authorize(request(id)); page.Status != 503 {
		t.Errorf("authorization: %d %s", page.Status, page.Location())
	}
}

func TestARelaxedRealmRegistersWhatConformanceRunsNeed(t *testing.T) {
	relaxed := func(p *realm.OAuthPolicy) {
		open(p)
		p.ResponseTypes, p.Objects, p.RequestURIs, p.UnsignedIDTokens, p.OptionalPKCE = realm.ResponseTypes, realm.ObjectsUnsigned, true, true, true
	}
	keyed(t, func(t *testing.T, w *world) {
		for name, changes := range map[string]map[string]any{
			"implicit":      {"response_types": []string{"id_token token", "id_token"}, "grant_types": []string{"implicit"}},
			"other order":   {"response_types": []string{"token id_token"}, "grant_types": []string{"implicit"}},
			"hybrid":        {"response_types": []string{"code id_token token"}, "grant_types": []string{"authorization_code", "implicit"}},
			"grants to fit": {"response_types": []string{"code token"}},
			"by reference":  {"request_uris": []string{"https://rp.example.test/request#sha256"}, "request_object_signing_alg": "none"},
			"unsigned":      {"id_token_signed_response_alg": "none"},
		} {
			r := w.register(changes)
			row, err := w.p.registered.read(context.Background(), w.r, r.get("client_id"))
			if err != nil {
				t.Fatal(err)
			}
			c := row.client(w.r)
			for _, responseType := range c.ResponseTypes {
				if !c.AllowsResponse(responseType) {
					t.Errorf("%s: %s is registered and refused", name, responseType)
				}
				for _, grant := range realm.NeedsGrants(responseType) {
					if !c.AllowsGrant(grant) {
						t.Errorf("%s: the grant %s is missing", name, grant)
					}
				}
			}
		}
		for name, changes := range map[string]map[string]any{
			"implicit without its grant": {"response_types": []string{"id_token"}, "grant_types": []string{"authorization_code"}},
			"unsigned in the browser":    {"response_types": []string{"code id_token"}, "grant_types": []string{"authorization_code", "implicit"}, "id_token_signed_response_alg": "none"},
		} {
			w.expect(name, w.registration("POST", "/oauth/register", "", document(changes)), 400, errClientMetadata)
		}
		w.expect("implicit at the token endpoint", w.send("/oauth/token", "portal", url.Values{"grant_type": {"implicit"}}), 400, errUnsupportedGrant)
	}, relaxed)
}
