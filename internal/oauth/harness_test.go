package oauth

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/keyring"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/secret"
	"github.com/portico-id/portico/internal/session"
	"github.com/portico-id/portico/internal/web"
	"github.com/portico-id/portico/internal/web/webtest"
)

const (
	testSecret   = "a secret of the tests that is long enough"
	testVerifier = "the-code-verifier-of-the-tests-has-at-least-43-characters"
	testRedirect = "https://rp.example.test/callback"
	testAPI      = "https://api.example.test/admin"
)

var testPages = sync.OnceValue(func() *web.Pages { return webtest.Pages(silent{}) })

// silent is a testing.TB for what is made once for all tests.
type silent struct{ testing.TB }

func (silent) Helper()               {}
func (silent) Fatalf(string, ...any) { panic("templates do not load; see the tests of internal/web") }
func (silent) Output() io.Writer     { return io.Discard }

func testClients() []*realm.Client {
	hash := realm.HashSecret(testSecret)
	user := []string{realm.GrantCode, realm.GrantRefresh}
	scopes := []string{"openid", "profile", "email", "phone", "address", "offline_access"}
	return []*realm.Client{
		{ID: "portal", Name: "Patient Portal", SecretHash: hash, AuthMethod: realm.AuthBasic, FirstParty: true,
			RedirectURIs: []string{testRedirect, "https://rp.example.test/other?x=1"}, GrantTypes: user,
			PostLogoutRedirectURIs: []string{"https://rp.example.test/bye"},
			Scopes:                 append(scopes, "admin.read", "admin.manage"), Audiences: []string{testAPI}, IDTokenAlg: realm.ES256,
			ClientURI: "https://rp.example.test/"},
		{ID: "poster", SecretHash: hash, AuthMethod: realm.AuthPost, FirstParty: true,
			RedirectURIs: []string{testRedirect}, GrantTypes: user, Scopes: scopes},
		{ID: "spa", AuthMethod: realm.AuthNone, FirstParty: true, RedirectURIs: []string{"http://127.0.0.1/callback"},
			GrantTypes: user, Scopes: scopes, IDTokenAlg: realm.ES256},
		{ID: "third", Name: "Growth Charts", SecretHash: hash, AuthMethod: realm.AuthBasic,
			RedirectURIs: []string{testRedirect}, GrantTypes: user, Scopes: scopes},
		{ID: "service", SecretHash: hash, AuthMethod: realm.AuthBasic, GrantTypes: []string{realm.GrantClientCredentials},
			Scopes: []string{"profile", "admin.read"}, Audiences: []string{"https://reports.example.test"}},
		{ID: "api", SecretHash: hash, AuthMethod: realm.AuthBasic, Introspect: true, Audiences: []string{testAPI}},
		{ID: "norefresh", SecretHash: hash, AuthMethod: realm.AuthBasic, FirstParty: true,
			RedirectURIs: []string{testRedirect}, GrantTypes: []string{realm.GrantCode}, Scopes: scopes},
	}
}

func testRealm(t testing.TB, name string) *realm.Realm {
	t.Helper()
	policies := realm.Defaults(realm.Patient)
	policies.OAuth.Scopes = append(policies.OAuth.Scopes, "admin.read", "admin.manage")
	policies.OAuth.ScopeAudiences = map[string]string{"admin.read": testAPI, "admin.manage": testAPI}
	r, err := realm.New(realm.Realm{
		Name: name, Kind: realm.Patient, Issuer: "http://localhost:9000/" + name, DefaultLocale: "en", Locales: []string{"en", "es"},
		Brand: realm.Brand{Name: "Maple Clinic", Color: "#0b5c8a"}, Home: "http://localhost:9001/",
		Lifetimes: policies.Lifetimes, OAuth: policies.OAuth,
	}, testClients())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// world is a provider with one account, and a browser.
type world struct {
	*webtest.Browser
	t       testing.TB
	db      *database.DB
	p       *Provider
	r       *realm.Realm
	handler http.Handler
	account uuid.UUID
	session session.Session
	log     *bytes.Buffer
}

func newWorld(t testing.TB, db *database.DB) *world {
	t.Helper()
	w := newWorldIn(t, db, testRealm(t, "patient"))
	w.account = w.newAccount("pat@example.test")
	return w
}

func newWorldIn(t testing.TB, db *database.DB, r *realm.Realm) *world {
	t.Helper()
	sealer, err := secret.NewSealer(bytes.Repeat([]byte{1}, secret.KeyBytes))
	if err != nil {
		t.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	events, err := audit.New(db, audit.Options{Keys: [][]byte{sealer.DeriveKey(audit.KeyPurpose, 32)}, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	keys := keyring.New(db, sealer, quiet)
	if err := keys.Ensure(context.Background(), r); err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, db: db, r: r, log: &bytes.Buffer{}}
	w.p = New(Deps{
		ACRValues: []string{"urn:test:pwd"}, DB: db, Keys: keys, Sealer: sealer, Sessions: session.NewManager(db), Audit: events, Pages: testPages(),
		Log: slog.New(slog.NewTextHandler(&lockedWriter{w: w.log}, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log:\n%s", w.log)
		}
	})
	mount := func(g *gin.Engine) { w.p.Mount(g) }
	w.Browser = webtest.New(t, r, testPages(), mount)

	engine := gin.New()
	engine.Use(testPages().Middleware())
	mount(engine)
	w.handler = http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		req = req.WithContext(realm.WithRealm(req.Context(), r))
		inner := *req.URL
		inner.Path = strings.TrimPrefix(inner.Path, r.Path)
		req.URL = &inner
		engine.ServeHTTP(rw, req)
	})
	return w
}

type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

func (w *world) exec(query string, args ...any) int64 {
	w.t.Helper()
	n, err := w.db.Exec(context.Background(), query, args...)
	if err != nil {
		w.t.Fatalf("%s: %v", query, err)
	}
	return n
}

func (w *world) count(query string, args ...any) (n int64) {
	w.t.Helper()
	if err := w.db.QueryRow(context.Background(), query, args...).Scan(&n); err != nil {
		w.t.Fatalf("%s: %v", query, err)
	}
	return n
}

func (w *world) newAccount(email string) uuid.UUID {
	w.t.Helper()
	id, now := database.NewID(), w.db.Now(context.Background())
	w.exec(`INSERT INTO accounts (id, realm, login_email, email_verified, state, given_name, family_name, locale, profile, created_at, updated_at)
		VALUES ($1, $2, $3, $4, 'active', 'Pat', 'Rivera', 'es', $5, $6, $6)`, id, w.r.Name, email, true,
		`{"phone_number":"+1 555 0100","phone_number_verified":true,"address":{"formatted":"1 Elm Street"},"nickname":"P","secret_note":"x"}`, now)
	return id
}

// signIn gives the browser a session of an account.
func (w *world) signIn(account uuid.UUID) session.Session {
	w.t.Helper()
	s, tok, err := w.p.sessions.Start(context.Background(), w.r, account, session.Device{}, session.Method{ACR: "urn:test:pwd", AMR: []string{"pwd"}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.SetCookie("", tok.Reveal())
	w.session = s
	return s
}

func challengeOf(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// request is a correct authorization request, with changes: "name=value" sets,
// "-name" removes.
func request(client string, changes ...string) url.Values {
	form := url.Values{
		"client_id": {client}, "redirect_uri": {testRedirect}, "response_type": {"code"}, "scope": {"openid offline_access"},
		"state": {"s"}, "nonce": {"n"}, "code_challenge": {challengeOf(testVerifier)}, "code_challenge_method": {"S256"},
	}
	if client == "spa" {
		form.Set("redirect_uri", "http://127.0.0.1:4711/callback")
	}
	for _, change := range changes {
		if name, ok := strings.CutPrefix(change, "-"); ok {
			form.Del(name)
			continue
		}
		name, value, _ := strings.Cut(change, "=")
		form.Set(name, value)
	}
	return form
}

func (w *world) authorize(form url.Values) *webtest.Page {
	w.t.Helper()
	return w.Get("/oauth/authorize?" + form.Encode())
}

// answered reads an authorization response and insists that it goes to the
// client, repeats the state and names the issuer.
func (w *world) answered(page *webtest.Page, form url.Values) url.Values {
	w.t.Helper()
	location := page.Location()
	if page.Status != http.StatusSeeOther || !strings.HasPrefix(location, form.Get("redirect_uri")) {
		w.t.Fatalf("answer %d %q does not go to %s\n%s", page.Status, location, form.Get("redirect_uri"), page.Body)
	}
	u, err := url.Parse(location)
	if err != nil {
		w.t.Fatal(err)
	}
	q := u.Query()
	if u.Fragment != "" {
		if q, err = url.ParseQuery(u.EscapedFragment()); err != nil {
			w.t.Fatal(err)
		}
	}
	if q.Get("iss") != w.r.Issuer {
		w.t.Errorf("iss = %q in %s", q.Get("iss"), location)
	}
	if q.Get("state") != form.Get("state") || q.Has("state") != form.Has("state") {
		w.t.Errorf("state = %q in %s", q.Get("state"), location)
	}
	return q
}

func (w *world) code(client string, changes ...string) string {
	w.t.Helper()
	form := request(client, changes...)
	q := w.answered(w.authorize(form), form)
	if q.Get("code") == "" {
		w.t.Fatalf("no code: %v", q)
	}
	return q.Get("code")
}

// reply is an answer of an endpoint for machines.
type reply struct {
	Status int
	Header http.Header
	Body   string
	JSON   map[string]any
}

func (r reply) get(name string) string { s, _ := r.JSON[name].(string); return s }

// send posts a form as a client, each with the method it is registered with.
func (w *world) send(path, client string, form url.Values) reply {
	w.t.Helper()
	sent := url.Values{}
	for k, v := range form {
		sent[k] = v
	}
	header := http.Header{}
	switch client {
	case "":
	case "spa":
		sent.Set("client_id", client)
	case "poster":
		sent.Set("client_id", client)
		sent.Set("client_secret", testSecret)
	default:
		header.Set("Authorization", basic(client, testSecret))
	}
	return w.do(context.Background(), http.MethodPost, path, header, sent.Encode())
}

func basic(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret)))
}

func (w *world) do(ctx context.Context, method, path string, header http.Header, body string) reply {
	w.t.Helper()
	req := httptest.NewRequestWithContext(ctx, method, w.r.Path+path, strings.NewReader(body))
	for k, v := range header {
		req.Header[k] = v
	}
	if method == http.MethodPost && req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", contentTypeForm)
	}
	recorder := httptest.NewRecorder()
	w.handler.ServeHTTP(recorder, req)
	out := reply{Status: recorder.Code, Header: recorder.Header(), Body: recorder.Body.String()}
	_ = json.Unmarshal(recorder.Body.Bytes(), &out.JSON)
	return out
}

func exchange(client, code string, changes ...string) url.Values {
	form := url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {testRedirect}, "code_verifier": {testVerifier},
	}
	if client == "spa" {
		form.Set("redirect_uri", "http://127.0.0.1:4711/callback")
	}
	for _, change := range changes {
		if name, ok := strings.CutPrefix(change, "-"); ok {
			form.Del(name)
			continue
		}
		name, value, _ := strings.Cut(change, "=")
		form.Set(name, value)
	}
	return form
}

func (w *world) redeem(client, code string, changes ...string) reply {
	w.t.Helper()
	return w.send("/oauth/token", client, exchange(client, code, changes...))
}

func (w *world) renew(client, token string, changes ...string) reply {
	w.t.Helper()
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}
	for _, change := range changes {
		name, value, _ := strings.Cut(change, "=")
		form.Set(name, value)
	}
	return w.send("/oauth/token", client, form)
}

// tokens signs in, if nobody is, and runs the whole flow.
func (w *world) tokens(client string, changes ...string) reply {
	w.t.Helper()
	if w.session.ID == uuid.Nil {
		w.signIn(w.account)
	}
	r := w.redeem(client, w.code(client, changes...))
	if r.Status != http.StatusOK {
		w.t.Fatalf("exchange: %d %s", r.Status, r.Body)
	}
	return r
}

func (w *world) expect(what string, r reply, status int, code string) {
	w.t.Helper()
	if r.Status != status || r.get("error") != code {
		w.t.Errorf("%s: %d %s, want %d %q", what, r.Status, r.Body, status, code)
	}
}

// alive reports whether an access token still opens userinfo.
func (w *world) alive(access string) bool {
	w.t.Helper()
	r := w.do(context.Background(), http.MethodGet, "/oauth/userinfo", http.Header{"Authorization": {"Bearer " + access}}, "")
	return r.Status == http.StatusOK
}

// claims reads a token without looking at its signature.
func claims(t testing.TB, raw string) map[string]any {
	t.Helper()
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		t.Fatalf("%q is no JSON Web Token", raw)
	}
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(body, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func each(t *testing.T, fn func(t *testing.T, w *world)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, db *database.DB) { fn(t, newWorld(t, db)) })
}
