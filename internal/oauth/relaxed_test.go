package oauth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/outbound"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/web/webtest"
)

// clientKey is the key of the clients that sign in these tests.
var clientKey = sync.OnceValue(func() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
})

func clientKeySet(t testing.TB) []byte {
	t.Helper()
	raw, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: clientKey().Public(), KeyID: "k1", Use: "sig", Algorithm: "ES256"}}})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// relax makes a realm like testRealm's whose policy and clients are changed.
func relax(t testing.TB, change func(*realm.OAuthPolicy), clients ...*realm.Client) *realm.Realm {
	t.Helper()
	base := testRealm(t, "patient")
	policy := base.OAuth
	if change != nil {
		change(&policy)
	}
	r, err := realm.New(realm.Realm{
		Name: base.Name, Kind: base.Kind, Issuer: base.Issuer, DefaultLocale: "en", Locales: base.Locales,
		Brand: base.Brand, Home: base.Home, Lifetimes: base.Lifetimes, OAuth: policy,
	}, append(testClients(), clients...))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func eachIn(t *testing.T, change func(*realm.OAuthPolicy), clients []*realm.Client, fn func(t *testing.T, w *world)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		w := newWorldIn(t, db, relax(t, change, clients...))
		w.account = w.newAccount("pat@example.test")
		fn(t, w)
	})
}

// allTypes allows every response type.
func allTypes(p *realm.OAuthPolicy) {
	p.ResponseTypes = realm.ResponseTypes
	p.GrantTypes = append(p.GrantTypes, realm.GrantImplicit)
}

// hybrid is a client that may use every response type.
func hybrid() *realm.Client {
	return &realm.Client{ID: "hybrid", Name: "Hybrid", SecretHash: realm.HashSecret(testSecret), AuthMethod: realm.AuthBasic, FirstParty: true,
		RedirectURIs: []string{testRedirect, "https://rp.example.test/other?x=1"}, ResponseTypes: realm.ResponseTypes,
		GrantTypes: []string{realm.GrantCode, realm.GrantRefresh, realm.GrantImplicit}, IDTokenAlg: realm.ES256,
		Scopes: []string{"openid", "profile", "email", "offline_access"}}
}

// signer is a client that signs its request objects.
func signer(t testing.TB, change func(*realm.Client)) *realm.Client {
	c := &realm.Client{ID: "signer", SecretHash: realm.HashSecret(testSecret), AuthMethod: realm.AuthBasic, FirstParty: true, JWKS: clientKeySet(t),
		RedirectURIs: []string{testRedirect}, GrantTypes: []string{realm.GrantCode, realm.GrantRefresh},
		Scopes: []string{"openid", "profile", "email", "offline_access"}}
	if change != nil {
		change(c)
	}
	return c
}

// asObject is a request as claims of an object, valid for the issuer.
func (w *world) asObject(form url.Values) map[string]any {
	now := w.p.db.Now(w.t.Context())
	claims := map[string]any{"iss": form.Get("client_id"), "aud": w.r.Issuer, "exp": now.Add(time.Minute).Unix(), "nbf": now.Unix()}
	for name := range form {
		claims[name] = form.Get(name)
	}
	return claims
}

func (w *world) signObject(claims map[string]any) string {
	w.t.Helper()
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: clientKey(), KeyID: "k1"}}, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		w.t.Fatal(err)
	}
	jws, err := s.Sign(payload)
	if err != nil {
		w.t.Fatal(err)
	}
	raw, err := jws.CompactSerialize()
	if err != nil {
		w.t.Fatal(err)
	}
	return raw
}

// fragment reads an answer in the fragment and insists that nothing of it
// stands in the query.
func (w *world) fragment(page *webtest.Page, form url.Values) url.Values {
	w.t.Helper()
	q := w.answered(page, form)
	u, err := url.Parse(page.Location())
	if err != nil || u.Fragment == "" || strings.ContainsAny(strings.TrimPrefix(page.Location()[:strings.Index(page.Location(), "#")], form.Get("redirect_uri")), "?&") {
		w.t.Fatalf("not in the fragment: %s", page.Location())
	}
	return q
}

// posted reads an answer on a page that posts it.
func (w *world) posted(page *webtest.Page, form url.Values) url.Values {
	w.t.Helper()
	if page.Status != http.StatusOK || page.Doc == nil || page.Location() != "" {
		w.t.Fatalf("no page that posts: %d %s", page.Status, page.Location())
	}
	if !strings.Contains(page.Body, `action="`+strings.ReplaceAll(form.Get("redirect_uri"), "&", "&amp;")+`"`) {
		w.t.Errorf("the form leads elsewhere:\n%s", page.Body)
	}
	q := url.Values{}
	for _, name := range []string{"code", "state", "iss", "id_token", "access_token", "token_type", "expires_in", "scope", "error", "error_description"} {
		if page.Has(name) {
			q.Set(name, page.Value(name))
		}
	}
	if q.Get("iss") != w.r.Issuer || q.Get("state") != form.Get("state") || q.Has("state") != form.Has("state") {
		w.t.Errorf("iss or state: %v", q)
	}
	return q
}

// exempt lets the provider call a server of the test.
func (w *world) exempt(server *httptest.Server) {
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	w.p.outbound = outbound.New(outbound.Options{Exempt: []string{server.Listener.Addr().String()}, RootCAs: &tls.Config{RootCAs: pool}})
}
