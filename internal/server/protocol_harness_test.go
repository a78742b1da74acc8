package server_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/net/html"
	"golang.org/x/oauth2"

	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/server"
)

// The tests named TestProtocol walk the certification plans of the OpenID
// Foundation as a client sees them: one file per specification, black box, on
// the realm of config/conformance.example.yaml and on one beside it that is as
// strict as realms for people are.

// suite is the provider that these tests share, and what clients publish.
type suite struct {
	*world
	site  *clientSite
	robin *jar // of a browser in which the test person is signed in
	clock sync.Mutex
}

const (
	everyScope   = "openid profile email phone address"
	robinEmail   = "robin.avery@example.test"
	registeredAt = "https://rp.example.test/callback"
	leftAt       = "https://localhost.emobix.co.uk:8443/test/a/portico/post_logout_redirect"
)

// strictRealms are what an operator gets who relaxes nothing, and one who asks
// for more still: requests that are pushed, and a token to register with.
const strictRealms = `
  - name: strict
    kind: patient
    issuer: https://op.example.test/strict
    sign_in: {attempts_per_network_per_hour: 100000}
    test_people:
      - {email: robin.avery@example.test, password: env:CONFORMANCE_PASSWORD}
    clients:
      - id: conformance-1
        secret: env:CONFORMANCE_SECRET_1
        first_party: true
        redirect_uris: [` + exampleCallback + `]
        post_logout_redirect_uris: [` + leftAt + `]
        scopes: [openid]
  - name: guarded
    kind: patient
    issuer: https://op.example.test/guarded
    sign_in: {attempts_per_network_per_hour: 100000}
    oauth:
      require_pushed_authorization_requests: true
      registration: {mode: initial_access_token, initial_access_tokens: ["env:CONFORMANCE_SECRET_2"], per_network_per_hour: 5000}
    test_people:
      - {email: robin.avery@example.test, password: env:CONFORMANCE_PASSWORD}
    clients:
      - id: conformance-1
        secret: env:CONFORMANCE_SECRET_1
        first_party: true
        redirect_uris: [` + exampleCallback + `]
        scopes: [openid]
`

// sam stands beside the test person of the example: somebody else.
const (
	samEmail = "sam.okoro@example.test"
	sam      = `      - {email: ` + samEmail + `, password: env:CONFORMANCE_PASSWORD, given_name: Sam, family_name: Okoro}

`
)

var suites = map[string]func() (*suite, error){
	"sqlite":   sync.OnceValues(func() (*suite, error) { return newSuite("sqlite") }),
	"postgres": sync.OnceValues(func() (*suite, error) { return newSuite("postgres") }),
}

// laterSuites are providers whose clocks are moved, each by one test at a time.
var laterSuites = map[string]func() (*suite, error){
	"sqlite":   sync.OnceValues(func() (*suite, error) { return newSuite("sqlite") }),
	"postgres": sync.OnceValues(func() (*suite, error) { return newSuite("postgres") }),
}

// protocol runs fn on both engines.
func protocol(t *testing.T, fn func(t *testing.T, s *suite)) {
	t.Helper()
	onSuites(t, suites, fn)
}

// later is protocol for tests that move the clock. Nobody is signed in when fn
// begins, and it may be any time and any key's.
func later(t *testing.T, fn func(t *testing.T, s *suite)) {
	t.Helper()
	onSuites(t, laterSuites, func(t *testing.T, s *suite) {
		s.clock.Lock()
		defer s.clock.Unlock()
		fn(t, s)
	})
}

func onSuites(t *testing.T, all map[string]func() (*suite, error), fn func(t *testing.T, s *suite)) {
	t.Helper()
	t.Parallel()
	for _, engine := range engines {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			s, err := all[engine]()
			var skip skipped
			if errors.As(err, &skip) {
				t.Skip(skip)
			}
			if err != nil {
				t.Fatal(err)
			}
			showErrors(t, s.world)
			fn(t, s)
		})
	}
}

func newSuite(engine string) (s *suite, err error) {
	err = forever.try(func(t testing.TB) error {
		s = &suite{site: newClientSite(t)}
		dsn := ""
		if engine == "sqlite" {
			dsn = dbtest.SQLiteURL(t)
		} else {
			dsn = dbtest.PostgresURL(t)
		}
		if err := s.launch(t, dsn); err != nil {
			return err
		}
		b := s.browser(t)
		for _, client := range []string{"conformance-1", "conformance-2", "conformance-post"} {
			a := s.walk(b, s.request(client, "scope", everyScope+" offline_access", "prompt", "consent"))
			if a.get("code") == "" {
				return fmt.Errorf("the test person cannot sign in to %s: %v", client, a.values)
			}
		}
		s.robin = b.jar
		return nil
	})
	return s, err
}

func (s *suite) launch(t testing.TB, dsn string) error {
	mail := startMail(t)
	var failed error
	for range 5 {
		w := &world{log: &logBuffer{}}
		if w.settings, failed = s.configure(t, dsn, mail); failed != nil {
			return failed
		}
		if failed = w.start(); failed == nil {
			t.Cleanup(func() {
				if err := w.stop(); err != nil {
					t.Errorf("the server did not end in order: %v", err)
				}
			})
			s.world = w
			return nil
		}
		if !errors.Is(failed, server.ErrPortTaken) {
			break
		}
	}
	return failed
}

// configure is the example with ports that are free, and what stands beside it.
func (s *suite) configure(t testing.TB, dsn string, mail *mailServer) (w settings, err error) {
	text, err := os.ReadFile("../../config/conformance.example.yaml")
	if err != nil {
		return w, err
	}
	folder, err := os.MkdirTemp("", "protocol")
	if err != nil {
		return w, err
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	ca := filepath.Join(folder, "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.site.Certificate().Raw}), 0o600); err != nil {
		return w, err
	}
	ports := freePorts(2)
	w = settings{dsn: dsn, mail: mail, host: fmt.Sprintf("localhost:%d", ports[0]), private: fmt.Sprintf("localhost:%d", ports[1]),
		env: map[string]string{"PORTICO_DATABASE_URL": dsn, "PORTICO_KEY_ENCRYPTION_KEY": testSecrets["KEK"], "PORTICO_PEPPER": testSecrets["PEPPER"],
			"CONFORMANCE_PASSWORD": examplePassword, "CONFORMANCE_SECRET_1": testSecrets["PATIENT_PORTAL"],
			"CONFORMANCE_SECRET_2": testSecrets["PATIENT_NATIVE"], "CONFORMANCE_SECRET_POST": testSecrets["PATIENT_SERVICE"]}}
	w.base = "http://" + w.host
	const beforeClients = "    # For the plans with static clients."
	w.yaml = strings.NewReplacer(`listen: ":9000"`, "listen: "+w.host, "private_listen: localhost:9090", "private_listen: "+w.private,
		"https://op.example.test/conformance", w.base+"/conformance", "https://op.example.test/strict", w.base+"/strict",
		"https://op.example.test/guarded", w.base+"/guarded", beforeClients, sam+beforeClients,
		"port: 1025", fmt.Sprintf("port: %d", mail.port),
		`exempt_hosts: ["localhost.emobix.co.uk:8443"]`, fmt.Sprintf("exempt_hosts: [%q]\n  ca_file: %s", s.site.Listener.Addr(), ca),
		"https://localhost.emobix.co.uk:8443/test/a/portico/backchannel_logout", s.site.URL+"/backchannel",
	).Replace(string(text) + strictRealms)
	return w, nil
}

func (s *suite) secretOf(client string) string {
	return s.env[map[string]string{"conformance-1": "CONFORMANCE_SECRET_1", "conformance-2": "CONFORMANCE_SECRET_2",
		"conformance-post": "CONFORMANCE_SECRET_POST"}[client]]
}

func (s *suite) at(path string) string { return s.issuer("conformance") + path }

// known is a browser in which the test person is signed in, a copy of its own.
// Do not sign in or out in it: that ends the session of all copies.
func (s *suite) known(t testing.TB) *browser {
	b := s.browser(t)
	b.jar = s.robin.clone()
	return b
}

// request is an authorization request for a code; pairs change it, and "" as a
// value removes.
func (s *suite) request(client string, pairs ...string) url.Values {
	q := url.Values{"client_id": {client}, "redirect_uri": {exampleCallback}, "response_type": {"code"}, "scope": {"openid"},
		"state": {"a state of the client & more"}, "nonce": {"n-" + randomText(6)}}
	for i := 0; i+1 < len(pairs); i += 2 {
		q.Set(pairs[i], pairs[i+1])
		if pairs[i+1] == "" {
			q.Del(pairs[i])
		}
	}
	return q
}

func query(pairs ...string) url.Values {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		q.Set(pairs[i], pairs[i+1])
	}
	return q
}

func pkce() (verifier, challenge string) {
	verifier = oauth2.GenerateVerifier()
	return verifier, oauth2.S256ChallengeFromVerifier(verifier)
}

// outcome is what a browser ends at: an answer to the client, or a page here.
type outcome struct {
	mode   string // "query", "fragment", "form_post"; "page" when the client hears nothing
	to     string // the client's address, without what was added
	values url.Values
	page   *page
}

func (o outcome) get(name string) string { return o.values.Get(name) }

func (s *suite) outcome(b *browser, p *page) outcome {
	b.t.Helper()
	o := outcome{mode: "page", page: p, values: url.Values{}}
	switch {
	case p.location != nil && p.location.Port() != b.port():
		to := p.location.String()
		o.mode, o.values = "query", p.location.Query()
		o.to, _, _ = strings.Cut(to, "?")
		if before, fragment, ok := strings.Cut(to, "#"); ok {
			o.mode, o.to = "fragment", before
			o.values, _ = url.ParseQuery(fragment)
		}
	case find(p.doc, func(n *html.Node) bool { return attr(n, "id") == "form-post" }) != nil:
		o.mode = "form_post"
		o.to, o.values = p.form(b.t, "")
	}
	return o
}

// ask sends a request and answers no page.
func (s *suite) ask(b *browser, q url.Values) outcome {
	b.t.Helper()
	return s.outcome(b, b.open(s.at("/oauth/authorize?"+q.Encode())))
}

// walk sends a request, signs the test person in and agrees, where asked.
func (s *suite) walk(b *browser, q url.Values) outcome {
	b.t.Helper()
	return s.outcome(b, s.through(b, b.open(s.at("/oauth/authorize?"+q.Encode()))))
}

func (s *suite) through(b *browser, p *page) *page {
	b.t.Helper()
	return s.throughAs(b, p, robinEmail)
}

func (s *suite) throughAs(b *browser, p *page, email string) *page {
	b.t.Helper()
	for range 4 {
		switch {
		case p.location != nil || p.status != 200:
			return p
		case strings.HasSuffix(p.url.Path, "/consent"):
			p = b.send(p, "answer", "allow")
		case strings.HasSuffix(p.url.Path, "/signin"):
			p = b.send(p, "email", email, "password", examplePassword)
		default:
			return p
		}
	}
	return p
}

// post sends a form to an endpoint, with client_secret_basic unless client is "".
func (s *suite) post(t testing.TB, client, secretText, path string, pairs ...string) reply {
	t.Helper()
	form, header := url.Values{}, http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	if client != "" {
		req := http.Request{Header: header}
		req.SetBasicAuth(url.QueryEscape(client), url.QueryEscape(secretText))
	}
	return s.mustCall(t, http.MethodPost, s.at(path), header, form.Encode())
}

// exchange redeems a code and returns what came of it.
func (s *suite) exchange(t testing.TB, client, code string) reply {
	t.Helper()
	return s.post(t, client, s.secretOf(client), "/oauth/token", "grant_type", "authorization_code", "code", code, "redirect_uri", exampleCallback)
}

// tokens are those of a request for a code.
func (s *suite) tokens(t testing.TB, b *browser, q url.Values) reply {
	t.Helper()
	o := s.walk(b, q)
	if o.get("code") == "" {
		t.Fatalf("no code: %s %v %s", o.mode, o.values, o.page.says())
	}
	r := s.exchange(t, q.Get("client_id"), o.get("code"))
	if r.status != http.StatusOK {
		t.Fatalf("exchange: %d %s", r.status, r.body)
	}
	return r
}

func (s *suite) userinfo(t testing.TB, access string) reply {
	t.Helper()
	return s.mustCall(t, http.MethodGet, s.at("/oauth/userinfo"), http.Header{"Authorization": {"Bearer " + access}}, "")
}

// verified checks a signature with the published keys and returns the claims.
func (s *suite) verified(t testing.TB, raw string) (claims map[string]any, header jose.Header) {
	t.Helper()
	jws, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{jose.RS256, jose.ES256})
	if err != nil {
		t.Fatalf("%q: %v", raw, err)
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(s.mustCall(t, http.MethodGet, s.at("/oauth/jwks"), nil, "").body), &set); err != nil {
		t.Fatal(err)
	}
	header = jws.Signatures[0].Header
	keys := set.Key(header.KeyID)
	if len(keys) != 1 {
		t.Fatalf("%d keys with kid %q", len(keys), header.KeyID)
	}
	payload, err := jws.Verify(keys[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	return claims, header
}

// halfHash is the value of at_hash, c_hash and s_hash for SHA-256.
func halfHash(value string) string {
	sum := sha256.Sum256([]byte(value))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// register registers a client; it fails the test when that is refused.
func (s *suite) register(t testing.TB, metadata map[string]any) reply {
	t.Helper()
	r := s.tryRegister(t, metadata)
	if r.status != http.StatusCreated {
		t.Fatalf("registration: %d %s", r.status, r.body)
	}
	return r
}

func (s *suite) tryRegister(t testing.TB, metadata map[string]any) reply {
	t.Helper()
	all := map[string]any{"redirect_uris": []string{registeredAt}, "client_name": "Growth Charts"}
	for name, value := range metadata {
		all[name] = value
	}
	raw, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return s.mustCall(t, http.MethodPost, s.at("/oauth/register"), http.Header{"Content-Type": {"application/json"}}, string(raw))
}

// keyOf makes keys for clients; few, since they are slow to make. The kid names
// the algorithm if it is not RS256.
var keyOf = func() func(kid string) jose.JSONWebKey {
	var mu sync.Mutex
	made := map[string]any{}
	return func(kid string) jose.JSONWebKey {
		mu.Lock()
		defer mu.Unlock()
		alg := "RS256"
		for _, other := range []string{"PS256", "ES256", "EdDSA"} {
			if strings.HasPrefix(kid, other) {
				alg = other
			}
		}
		if made[kid] == nil {
			var err error
			switch alg {
			case "ES256":
				made[kid], err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			case "EdDSA":
				_, made[kid], err = ed25519.GenerateKey(rand.Reader)
			default:
				made[kid], err = rsa.GenerateKey(rand.Reader, 2048)
			}
			if err != nil {
				panic(err)
			}
		}
		return jose.JSONWebKey{Key: made[kid], KeyID: kid, Algorithm: alg, Use: "sig"}
	}
}()

func keySet(kids ...string) jose.JSONWebKeySet {
	var set jose.JSONWebKeySet
	for _, kid := range kids {
		key := keyOf(kid)
		set.Keys = append(set.Keys, key.Public())
	}
	return set
}

func asJSON(t testing.TB, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// signedBy is a JWT of a client.
func signedBy(t testing.TB, kid string, claims map[string]any) string {
	t.Helper()
	key := keyOf(kid)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(key.Algorithm), Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := signer.Sign([]byte(asJSON(t, claims)))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// unsigned is a JWT with alg none.
func unsigned(t testing.TB, claims map[string]any) string {
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString([]byte(asJSON(t, claims))) + "."
}
