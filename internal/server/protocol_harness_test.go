package server_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/net/html"

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
}

const (
	everyScope   = "openid profile email phone address"
	robinEmail   = "robin.avery@example.test"
	registeredAt = "https://rp.example.test/callback"
	leftAt       = "https://localhost.emobix.co.uk:8443/test/a/portico/post_logout_redirect"
)

// strictRealm is what an operator gets who relaxes nothing.
const strictRealm = `
  - name: strict
    kind: patient
    issuer: https://op.example.test/strict
    clients:
      - id: conformance-1
        secret: env:CONFORMANCE_SECRET_1
        redirect_uris: [` + exampleCallback + `]
        scopes: [openid]
`

var suites = map[string]func() (*suite, error){
	"sqlite":   sync.OnceValues(func() (*suite, error) { return newSuite("sqlite") }),
	"postgres": sync.OnceValues(func() (*suite, error) { return newSuite("postgres") }),
}

// protocol runs fn on both engines.
func protocol(t *testing.T, fn func(t *testing.T, s *suite)) {
	t.Helper()
	t.Parallel()
	for _, engine := range engines {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			s, err := suites[engine]()
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
	text, err := os.ReadFile("../../config/conformance.example.yaml")
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "protocol")
	if err != nil {
		return err
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	ca := filepath.Join(folder, "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.site.Certificate().Raw}), 0o600); err != nil {
		return err
	}
	mail := startMail(t)
	var failed error
	for range 5 {
		ports := freePorts(2)
		w := &world{log: &logBuffer{}, settings: settings{dsn: dsn, mail: mail, host: fmt.Sprintf("localhost:%d", ports[0]),
			private: fmt.Sprintf("localhost:%d", ports[1]),
			env: map[string]string{"PORTICO_DATABASE_URL": dsn, "PORTICO_KEY_ENCRYPTION_KEY": testSecrets["KEK"], "PORTICO_PEPPER": testSecrets["PEPPER"],
				"CONFORMANCE_PASSWORD": examplePassword, "CONFORMANCE_SECRET_1": testSecrets["PATIENT_PORTAL"],
				"CONFORMANCE_SECRET_2": testSecrets["PATIENT_NATIVE"], "CONFORMANCE_SECRET_POST": testSecrets["PATIENT_SERVICE"]}}}
		w.base = "http://" + w.host
		w.yaml = strings.NewReplacer(`listen: ":9000"`, "listen: "+w.host, "private_listen: localhost:9090", "private_listen: "+w.private,
			"https://op.example.test/conformance", w.base+"/conformance", "https://op.example.test/strict", w.base+"/strict",
			"port: 1025", fmt.Sprintf("port: %d", mail.port),
			`exempt_hosts: ["localhost.emobix.co.uk:8443"]`, fmt.Sprintf("exempt_hosts: [%q]\n  ca_file: %s", s.site.Listener.Addr(), ca),
			"https://localhost.emobix.co.uk:8443/test/a/portico/backchannel_logout", s.site.URL+"/backchannel",
		).Replace(string(text) + strictRealm)
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

func (s *suite) secretOf(client string) string {
	return s.env[map[string]string{"conformance-1": "CONFORMANCE_SECRET_1", "conformance-2": "CONFORMANCE_SECRET_2",
		"conformance-post": "CONFORMANCE_SECRET_POST"}[client]]
}

func (s *suite) at(path string) string { return s.issuer("conformance") + path }

// known is a browser in which the test person is signed in, a copy of its own.
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
	for range 4 {
		switch {
		case p.location != nil || p.status != 200:
			return p
		case strings.HasSuffix(p.url.Path, "/consent"):
			p = b.send(p, "answer", "allow")
		case strings.HasSuffix(p.url.Path, "/signin"):
			p = b.send(p, "email", robinEmail, "password", examplePassword)
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
	jws, err := jose.ParseSigned(raw, []jose.SignatureAlgorithm{jose.RS256, jose.ES256})
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

// keyOf makes keys for clients; few, since they are slow to make.
var keyOf = func() func(kid string) jose.JSONWebKey {
	var mu sync.Mutex
	made := map[string]*rsa.PrivateKey{}
	return func(kid string) jose.JSONWebKey {
		mu.Lock()
		defer mu.Unlock()
		if made[kid] == nil {
			key, err := rsa.GenerateKey(rand.Reader, 2048)
			if err != nil {
				panic(err)
			}
			made[kid] = key
		}
		return jose.JSONWebKey{Key: made[kid], KeyID: kid, Algorithm: "RS256", Use: "sig"}
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
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: keyOf(kid)}, nil)
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

// clientSite is what clients publish, and where they listen.
type clientSite struct {
	*httptest.Server
	mu    sync.Mutex
	pages map[string]string
	hits  map[string][]siteHit
}

type siteHit struct {
	method, kind, body string
	version            uint16
}

func newClientSite(t testing.TB) *clientSite {
	s := &clientSite{pages: map[string]string{}, hits: map[string][]siteHit{}}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		s.mu.Lock()
		defer s.mu.Unlock()
		s.hits[r.URL.Path] = append(s.hits[r.URL.Path], siteHit{r.Method, r.Header.Get("Content-Type"), string(body), r.TLS.Version})
		_, _ = io.WriteString(w, s.pages[r.URL.Path])
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// publish puts a document at an address that nobody else uses.
func (s *clientSite) publish(body string) (address string) {
	path := "/" + randomText(9)
	s.set(path, body)
	return s.URL + path
}

func (s *clientSite) set(path, body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pages[strings.TrimPrefix(path, s.URL)] = body
}

// asked lists the requests to an address.
func (s *clientSite) asked(address string) []siteHit {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hits[strings.TrimPrefix(address, s.URL)]
}
