package oauth

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/realm"
)

// signingKey is a key of a client.
type signingKey struct {
	kid string
	alg jose.SignatureAlgorithm
	key crypto.Signer
}

var clientKeysOnce = sync.OnceValue(func() map[string]signingKey {
	rs, _ := rsa.GenerateKey(rand.Reader, 2048)
	ec, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	return map[string]signingKey{
		"RS256": {"rs", jose.RS256, rs}, "PS256": {"rs", jose.PS256, rs}, "ES256": {"ec", jose.ES256, ec}, "EdDSA": {"ed", jose.EdDSA, ed},
	}
})

func jwksOf(keys ...signingKey) []byte {
	var set jose.JSONWebKeySet
	for _, k := range keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: k.key.Public(), KeyID: k.kid, Use: "sig"})
	}
	raw, err := json.Marshal(set)
	if err != nil {
		panic(err)
	}
	return raw
}

// signClaims makes a JWS of claims; a kid of "-" is left out.
func signClaims(t testing.TB, k signingKey, claims map[string]any, options ...func(*jose.SignerOptions)) string {
	t.Helper()
	var o jose.SignerOptions
	for _, option := range options {
		option(&o)
	}
	signing := jose.SigningKey{Algorithm: k.alg, Key: jose.JSONWebKey{Key: k.key, KeyID: k.kid}}
	if k.kid == "-" {
		signing.Key = k.key
	}
	signer, err := jose.NewSigner(signing, &o)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// assertionOf is a correct set of claims, with changes; nil removes.
func (w *world) assertionOf(client string, changes map[string]any) map[string]any {
	now := w.db.Now(context.Background()).Unix()
	claims := map[string]any{
		"iss": client, "sub": client, "aud": w.r.Issuer, "exp": now + 60, "iat": now, "jti": database.NewID().String(),
	}
	for name, value := range changes {
		if value == nil {
			delete(claims, name)
		} else {
			claims[name] = value
		}
	}
	return claims
}

func (w *world) assertion(client string) string {
	w.t.Helper()
	return signClaims(w.t, clientKeysOnce()["ES256"], w.assertionOf(client, nil))
}

// withAssertion posts a form with an assertion.
func (w *world) withAssertion(ctx context.Context, path, raw string, form url.Values, header ...string) reply {
	w.t.Helper()
	sent := maps.Clone(form)
	sent.Set("client_assertion_type", assertionType)
	sent.Set("client_assertion", raw)
	h := http.Header{}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return w.do(ctx, http.MethodPost, path, h, sent.Encode())
}

// keyed is a world whose realm has clients that sign.
func keyed(t *testing.T, fn func(t *testing.T, w *world), changes ...func(*realm.OAuthPolicy)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		w := newWorldIn(t, db, keyedRealm(t, changes...))
		w.account = w.newAccount("pat@example.test")
		fn(t, w)
	})
}

func keyedRealm(t testing.TB, changes ...func(*realm.OAuthPolicy)) *realm.Realm {
	t.Helper()
	base := testRealm(t, "patient")
	policy := base.OAuth
	for _, change := range changes {
		change(&policy)
	}
	keys := clientKeysOnce()
	all := jwksOf(keys["RS256"], keys["ES256"], keys["EdDSA"])
	signer := func(id string) *realm.Client {
		return &realm.Client{ID: id, AuthMethod: realm.AuthKey, FirstParty: true, JWKS: all, RedirectURIs: []string{testRedirect},
			GrantTypes: []string{realm.GrantCode, realm.GrantRefresh, realm.GrantClientCredentials},
			Scopes:     []string{"openid", "profile", "email", "offline_access"}, Audiences: []string{testAPI, "https://other.example.test"}, IDTokenAlg: realm.ES256}
	}
	one := signer("onlyes")
	one.AuthAlg = "ES256"
	r, err := realm.New(realm.Realm{Name: base.Name, Kind: base.Kind, Issuer: base.Issuer, DefaultLocale: "en", Locales: base.Locales,
		Brand: base.Brand, Home: base.Home, Lifetimes: base.Lifetimes, OAuth: policy}, append(testClients(), signer("signer"), signer("second"), one))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAClientMaySignInsteadOfKeepingASecret(t *testing.T) {
	keyed(t, func(t *testing.T, w *world) {
		ctx := context.Background()
		w.signIn(w.account)
		for alg, key := range clientKeysOnce() {
			r := w.withAssertion(ctx, "/oauth/token", signClaims(t, key, w.assertionOf("signer", nil)), exchange("signer", w.code("signer")))
			w.expect(alg, r, 200, "")
		}
		unnamed := clientKeysOnce()["ES256"]
		unnamed.kid = "-"
		now := w.db.Now(ctx).Unix()
		for name, raw := range map[string]string{
			"no kid":                 signClaims(t, unnamed, w.assertionOf("signer", nil)),
			"token endpoint":         signClaims(t, clientKeysOnce()["ES256"], w.assertionOf("signer", map[string]any{"aud": w.r.URL(pathToken)})),
			"list of ours":           signClaims(t, clientKeysOnce()["ES256"], w.assertionOf("signer", map[string]any{"aud": []string{w.r.Issuer, w.r.URL(pathToken)}})),
			"clock 8 seconds ahead":  signClaims(t, clientKeysOnce()["ES256"], w.assertionOf("signer", map[string]any{"iat": now + 8, "nbf": now + 8})),
			"clock 8 seconds behind": signClaims(t, clientKeysOnce()["ES256"], w.assertionOf("signer", map[string]any{"exp": now - 8})),
			"without iat":            signClaims(t, clientKeysOnce()["ES256"], w.assertionOf("signer", map[string]any{"iat": nil})),
		} {
			w.expect(name, w.withAssertion(ctx, "/oauth/token", raw, url.Values{"grant_type": {"client_credentials"}, "client_id": {"signer"}}), 200, "")
		}
		at := w.withAssertion(ctx, "/oauth/token", w.assertion("signer"), exchange("signer", w.code("signer"))).get("access_token")
		if r := w.withAssertion(ctx, "/oauth/introspect", w.assertion("signer"), url.Values{"token": {at}}); r.JSON["active"] != true {
			t.Errorf("introspection: %d %s", r.Status, r.Body)
		}
		w.expect("revocation", w.withAssertion(ctx, "/oauth/revoke", w.assertion("signer"), url.Values{"token": {at}}), 200, "")
		if w.alive(at) {
			t.Error("the token outlives its revocation")
		}
	})
}

func TestAnAssertionThatIsNotForUsOrNotTheirsIsRefusedAndBurnsNothing(t *testing.T) {
	keyed(t, func(t *testing.T, w *world) {
		ctx := context.Background()
		w.signIn(w.account)
		code := w.code("signer")
		now := w.db.Now(ctx).Unix()
		good, es := w.assertionOf("signer", nil), clientKeysOnce()["ES256"]
		claims := func(changes map[string]any) string { return signClaims(t, es, w.assertionOf("signer", changes)) }
		evil, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		stranger := signingKey{"ec", jose.ES256, evil}
		secret, _ := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: []byte(testSecret)}, nil)
		payload, _ := json.Marshal(good)
		hs, _ := secret.Sign(payload)
		hmac, _ := hs.CompactSerialize()
		es384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
		for name, raw := range map[string]string{
			"empty": "", "not a token": "x", "dots": "..",
			"alg none":            "eyJhbGciOiJub25lIn0." + b64(payload) + ".",
			"HMAC":                hmac,
			"ES384":               signClaims(t, signingKey{"ec", jose.ES384, es384}, good),
			"a stranger's key":    signClaims(t, stranger, good),
			"an unknown kid":      signClaims(t, signingKey{"other", jose.ES256, es.key.(*ecdsa.PrivateKey)}, good),
			"brings its own key":  signClaims(t, signingKey{"-", jose.ES256, evil}, good, func(o *jose.SignerOptions) { o.EmbedJWK = true }),
			"a jku":               signClaims(t, stranger, good, func(o *jose.SignerOptions) { o.WithHeader("jku", "https://evil.example.test/jwks") }),
			"an access token":     signClaims(t, es, good, func(o *jose.SignerOptions) { o.WithType("at+jwt") }),
			"a logout token":      signClaims(t, es, good, func(o *jose.SignerOptions) { o.WithType("logout+jwt") }),
			"a request object":    signClaims(t, es, good, func(o *jose.SignerOptions) { o.WithType("oauth-authz-req+jwt") }),
			"no aud":              claims(map[string]any{"aud": nil}),
			"another issuer":      claims(map[string]any{"aud": "https://other.example.test"}),
			"another realm":       claims(map[string]any{"aud": "http://localhost:9000/practice"}),
			"issuer with a slash": claims(map[string]any{"aud": w.r.Issuer + "/"}),
			"authorization":       claims(map[string]any{"aud": w.r.URL(pathAuthorize)}),
			"us and another":      claims(map[string]any{"aud": []string{w.r.Issuer, "https://other.example.test"}}),
			"empty list":          claims(map[string]any{"aud": []string{}}),
			"aud a number":        claims(map[string]any{"aud": 1}),
			"another iss":         claims(map[string]any{"iss": "second"}),
			"another client":      claims(map[string]any{"iss": "second", "sub": "second"}),
			"an unknown client":   claims(map[string]any{"iss": "x", "sub": "x"}),
			"a client of secrets": claims(map[string]any{"iss": "portal", "sub": "portal"}),
			"a public client":     claims(map[string]any{"iss": "spa", "sub": "spa"}),
			"nobody":              claims(map[string]any{"iss": nil, "sub": nil}),
			"no exp":              claims(map[string]any{"exp": nil}),
			"expired":             claims(map[string]any{"exp": now - 61}),
			"fifty years":         claims(map[string]any{"exp": now + 50*365*86400}),
			"a huge exp":          claims(map[string]any{"exp": 1e300}),
			"exp as text":         claims(map[string]any{"exp": "9999999999"}),
			"not yet":             claims(map[string]any{"nbf": now + 61}),
			"from the future":     claims(map[string]any{"iat": now + 61}),
			"no jti":              claims(map[string]any{"jti": nil}),
			"empty jti":           claims(map[string]any{"jti": ""}),
			"long jti":            claims(map[string]any{"jti": string(make([]byte, 300))}),
		} {
			r := w.withAssertion(ctx, "/oauth/token", raw, exchange("signer", code, "client_id=signer"))
			w.expect(name, r, 401, errInvalidClient)
		}
		only := signClaims(t, clientKeysOnce()["RS256"], w.assertionOf("onlyes", nil))
		w.expect("another registered algorithm", w.withAssertion(ctx, "/oauth/token", only, url.Values{"grant_type": {"client_credentials"}}), 401, errInvalidClient)
		w.expect("and a secret", w.withAssertion(ctx, "/oauth/token", w.assertion("signer"), exchange("signer", code, "client_secret=x")), 400, errInvalidRequest)
		w.expect("and basic", w.withAssertion(ctx, "/oauth/token", w.assertion("signer"), exchange("signer", code), "Authorization", basic("signer", "x")), 400, errInvalidRequest)
		w.expect("a secret instead", w.send("/oauth/token", "signer", exchange("signer", code)), 401, errInvalidClient)
		w.expect("a name alone", w.do(ctx, "POST", "/oauth/token", nil, exchange("signer", code, "client_id=signer").Encode()), 401, errInvalidClient)
		form := exchange("signer", code)
		form.Set("client_assertion", w.assertion("signer"))
		w.expect("no type", w.do(ctx, "POST", "/oauth/token", nil, form.Encode()), 401, errInvalidClient)
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer")
		w.expect("another type", w.do(ctx, "POST", "/oauth/token", nil, form.Encode()), 401, errInvalidClient)

		if n := w.count(`SELECT count(*) FROM client_assertions`); n != 0 {
			t.Errorf("%d refused assertions were spent", n)
		}
		// The very claims of the forgeries are still good, and so is the code.
		w.expect("the real one", w.withAssertion(ctx, "/oauth/token", signClaims(t, es, good), exchange("signer", code)), 200, "")
	})
}

func TestAnAssertionBuysOnce(t *testing.T) {
	keyed(t, func(t *testing.T, w *world) {
		ctx := context.Background()
		w.signIn(w.account)
		raw, code := w.assertion("signer"), w.code("signer")
		w.expect("first", w.withAssertion(ctx, "/oauth/token", raw, url.Values{"grant_type": {"client_credentials"}}), 200, "")
		w.expect("replay", w.withAssertion(ctx, "/oauth/token", raw, url.Values{"grant_type": {"client_credentials"}}), 401, errInvalidClient)
		w.expect("replay with a code", w.withAssertion(ctx, "/oauth/token", raw, exchange("signer", code)), 401, errInvalidClient)
		w.expect("replay elsewhere", w.withAssertion(ctx, "/oauth/introspect", raw, url.Values{"token": {"x"}}), 401, errInvalidClient)
		w.expect("replay at revocation", w.withAssertion(ctx, "/oauth/revoke", raw, url.Values{"token": {"x"}}), 401, errInvalidClient)
		w.expect("the code was not burnt", w.withAssertion(ctx, "/oauth/token", w.assertion("signer"), exchange("signer", code)), 200, "")

		raw = w.assertion("signer")
		w.expect("a request that fails", w.withAssertion(ctx, "/oauth/token", raw, exchange("signer", "nonsense")), 400, errInvalidGrant)
		w.expect("has spent it too", w.withAssertion(ctx, "/oauth/token", raw, url.Values{"grant_type": {"client_credentials"}}), 401, errInvalidClient)

		es, id := clientKeysOnce()["ES256"], map[string]any{"jti": "the same"}
		w.expect("one client's jti", w.withAssertion(ctx, "/oauth/token", signClaims(t, es, w.assertionOf("signer", id)), url.Values{"grant_type": {"client_credentials"}}), 200, "")
		w.expect("is not another's", w.withAssertion(ctx, "/oauth/token", signClaims(t, es, w.assertionOf("second", id)), url.Values{"grant_type": {"client_credentials"}}), 200, "")
		dbtest.Advance(w.db, 2*time.Minute)
		if err := w.p.CleanUp(ctx); err != nil || w.count(`SELECT count(*) FROM client_assertions`) == 0 {
			t.Errorf("cleaned up too early: %v", err)
		}
		dbtest.Advance(w.db, 2*time.Hour)
		if err := w.p.CleanUp(ctx); err != nil || w.count(`SELECT count(*) FROM client_assertions`) != 0 {
			t.Errorf("not cleaned up: %v", err)
		}
	})
}

func TestFiftyParallelReplaysOfAnAssertionBuyOnce(t *testing.T) {
	keyed(t, func(t *testing.T, w *world) {
		raw := w.assertion("signer")
		var mu sync.Mutex
		var wg sync.WaitGroup
		status := map[int]int{}
		for range 50 {
			wg.Go(func() {
				r := w.withAssertion(context.Background(), "/oauth/token", raw, url.Values{"grant_type": {"client_credentials"}})
				mu.Lock()
				defer mu.Unlock()
				status[r.Status]++
			})
		}
		wg.Wait()
		if status[200] != 1 || status[401] != 49 {
			t.Errorf("%v", status)
		}
	})
}

func TestAStrictRealmTakesTheIssuerAsAStringAlone(t *testing.T) {
	keyed(t, func(t *testing.T, w *world) {
		ctx, es := context.Background(), clientKeysOnce()["ES256"]
		alone := url.Values{"grant_type": {"client_credentials"}}
		for name, changes := range map[string]map[string]any{
			"token endpoint": {"aud": w.r.URL(pathToken)}, "PAR endpoint": {"aud": w.r.URL(pathPAR)},
			"list": {"aud": []string{w.r.Issuer}}, "an hour": {"exp": w.db.Now(ctx).Unix() + 3000},
		} {
			w.expect(name, w.withAssertion(ctx, "/oauth/token", signClaims(t, es, w.assertionOf("signer", changes)), alone), 401, errInvalidClient)
		}
		w.expect("RS256", w.withAssertion(ctx, "/oauth/token", signClaims(t, clientKeysOnce()["RS256"], w.assertionOf("signer", nil)), alone), 401, errInvalidClient)
		w.expect("PS256", w.withAssertion(ctx, "/oauth/token", signClaims(t, clientKeysOnce()["PS256"], w.assertionOf("signer", nil)), alone), 200, "")
		w.expect("issuer", w.withAssertion(ctx, "/oauth/token", w.assertion("signer"), alone), 200, "")
	}, func(p *realm.OAuthPolicy) { p.StrictAssertions = true })
}

func TestASignedRequestCostsTwoRoundTrips(t *testing.T) {
	keyed(t, func(t *testing.T, w *world) {
		w.signIn(w.account)
		code := w.code("signer")
		count := func(name string, most int, path, raw string, form url.Values) reply {
			t.Helper()
			ctx, trips := dbtest.CountTrips(context.Background())
			r := w.withAssertion(ctx, path, raw, form)
			w.expect(name, r, 200, "")
			if n := trips.Trips(); n > most {
				t.Errorf("%s: %d round trips, want %d at most", name, n, most)
			}
			return r
		}
		r := count("exchange", 2, "/oauth/token", w.assertion("signer"), exchange("signer", code))
		r = count("refresh", 2, "/oauth/token", w.assertion("signer"), url.Values{"grant_type": {"refresh_token"}, "refresh_token": {r.get("refresh_token")}})
		count("client credentials", 1, "/oauth/token", w.assertion("signer"), url.Values{"grant_type": {"client_credentials"}})
		count("introspection", 2, "/oauth/introspect", w.assertion("signer"), url.Values{"token": {r.get("access_token")}})
		count("revocation", 2, "/oauth/revoke", w.assertion("signer"), url.Values{"token": {r.get("refresh_token")}})
	})
}

func b64(raw []byte) string { return base64.RawURLEncoding.EncodeToString(raw) }
