package server_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// party is a relying party, written as any customer would write it.
type party struct {
	w             *world
	realm, client string
	secret        string
	redirect      string
	config        oauth2.Config
	provider      *oidc.Provider
	more          struct {
		EndSession    string `json:"end_session_endpoint"`
		Introspection string `json:"introspection_endpoint"`
		Revocation    string `json:"revocation_endpoint"`
	}
}

// where the clients of the configuration are answered.
var redirects = map[string]string{
	"patient/portal": "https://patients.example.test/callback", "practice/portal": "https://practices.example.test/callback",
	"annex/portal": "https://patients.example.test/callback", "door/portal": "https://patients.example.test/callback",
	"patient/native": "http://localhost:9099/callback", "practice/native": "http://localhost:9099/callback",
	"patient/spa": "http://127.0.0.1:4711/callback", "practice/spa": "http://127.0.0.1:4711/callback",
}

func (w *world) party(t testing.TB, realm, client string, scopes ...string) *party {
	t.Helper()
	p := &party{w: w, realm: realm, client: client, secret: secretOf(realm, client), redirect: redirects[realm+"/"+client]}
	var err error
	if p.provider, err = oidc.NewProvider(p.context(), w.issuer(realm)); err != nil {
		t.Fatalf("discovery: %v", err)
	}
	if err := p.provider.Claims(&p.more); err != nil {
		t.Fatal(err)
	}
	if scopes == nil {
		scopes = []string{"openid", "offline_access"}
	}
	endpoint := p.provider.Endpoint()
	endpoint.AuthStyle = oauth2.AuthStyleInHeader
	if p.secret == "" {
		endpoint.AuthStyle = oauth2.AuthStyleInParams
	}
	p.config = oauth2.Config{ClientID: client, ClientSecret: p.secret, Endpoint: endpoint, RedirectURL: p.redirect, Scopes: scopes}
	return p
}

func (p *party) context() context.Context { return oidc.ClientContext(context.Background(), p.w.http) }

// attempt is a sign-in that a party has begun.
type attempt struct{ state, nonce, verifier, url string }

func (p *party) begin(options ...oauth2.AuthCodeOption) attempt {
	a := attempt{state: randomText(16), nonce: randomText(16), verifier: oauth2.GenerateVerifier()}
	options = append([]oauth2.AuthCodeOption{oidc.Nonce(a.nonce), oauth2.S256ChallengeOption(a.verifier)}, options...)
	a.url = p.config.AuthCodeURL(a.state, options...)
	return a
}

// answered reads the authorization response and insists that it is for this
// attempt and from this issuer (RFC 9207).
func (p *party) answered(t testing.TB, a attempt, answer *page) url.Values {
	t.Helper()
	to := ""
	if answer.location != nil {
		to = answer.location.String()
	}
	parameters, ok := strings.CutPrefix(to, p.redirect+"?")
	if !ok { // the response mode of response types that are not supported here
		parameters, ok = strings.CutPrefix(to, p.redirect+"#error=")
		parameters = "error=" + parameters
	}
	q, err := url.ParseQuery(parameters)
	if !ok || err != nil {
		t.Fatalf("%s is %d %q, not an answer to the client: %s\n%s", answer.url.Path, answer.status, answer.h1(), to, answer.says())
	}
	if q.Get("state") != a.state || q.Get("iss") != p.w.issuer(p.realm) {
		t.Fatalf("state %q, iss %q", q.Get("state"), q.Get("iss"))
	}
	return q
}

func (p *party) code(t testing.TB, a attempt, answer *page) string {
	t.Helper()
	q := p.answered(t, a, answer)
	if q.Get("code") == "" {
		t.Fatalf("no code: %s %s", q.Get("error"), q.Get("error_description"))
	}
	return q.Get("code")
}

// tokens are what a party has of a sign-in.
type tokens struct {
	access, refresh, id string
	identity            *oidc.IDToken
	oauth               *oauth2.Token
}

// finish exchanges the code and verifies the ID token.
func (p *party) finish(t testing.TB, a attempt, answer *page) tokens {
	t.Helper()
	token, err := p.config.Exchange(p.context(), p.code(t, a, answer), oauth2.VerifierOption(a.verifier))
	if err != nil {
		t.Fatalf("exchange: %v", err)
	}
	out := tokens{access: token.AccessToken, refresh: token.RefreshToken, oauth: token}
	out.id, _ = token.Extra("id_token").(string)
	p.w.seen.tokens(out.access, out.refresh, out.id)
	out.identity, err = p.provider.VerifierContext(p.context(), &oidc.Config{ClientID: p.client}).Verify(p.context(), out.id)
	if err != nil {
		t.Fatalf("ID token: %v", err)
	}
	if out.identity.Nonce != a.nonce {
		t.Fatal("the ID token has another nonce")
	}
	if err := out.identity.VerifyAccessToken(out.access); err != nil {
		t.Fatalf("at_hash: %v", err)
	}
	return out
}

// enter begins a sign-in, types email and password, and agrees where asked.
func (p *party) enter(b *browser, a attempt, who *person, password string) *page {
	b.t.Helper()
	answer := b.send(b.open(a.url).want(b.t, 200, "Sign in"), "email", who.email, "password", password)
	if answer.status == 200 && strings.HasSuffix(answer.url.Path, "/consent") {
		answer = b.send(answer, "answer", "allow")
	}
	return answer
}

// signIn is the whole journey of somebody who is not signed in.
func (p *party) signIn(b *browser, who *person) tokens {
	b.t.Helper()
	a := p.begin()
	got := p.finish(b.t, a, p.enter(b, a, who, who.password))
	if got.identity.Subject != who.id.String() {
		b.t.Fatalf("%s is signed in, not %s", got.identity.Subject, who.id)
	}
	return got
}

// again asks for tokens with the session that the browser has.
func (p *party) again(b *browser) tokens {
	b.t.Helper()
	a := p.begin(oauth2.SetAuthURLParam("prompt", "none"))
	return p.finish(b.t, a, b.open(a.url))
}

// silently asks whether the browser is signed in, and returns the error.
func (p *party) silently(b *browser) string {
	b.t.Helper()
	a := p.begin(oauth2.SetAuthURLParam("prompt", "none"))
	return p.answered(b.t, a, b.open(a.url)).Get("error")
}

// reply is what an endpoint answers to a program.
type reply struct {
	status int
	header http.Header
	body   string
	json   map[string]any
}

func (r reply) get(name string) string { s, _ := r.json[name].(string); return s }

// call sends a request that no browser makes.
func (w *world) call(method, address string, header http.Header, body string) (reply, error) {
	req, err := http.NewRequest(method, address, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	for name, values := range header {
		if name == "Host" {
			req.Host = values[0]
			continue
		}
		req.Header[name] = values
	}
	answer, err := w.http.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	r := reply{status: answer.StatusCode, header: answer.Header, body: string(text)}
	_ = json.Unmarshal(text, &r.json)
	w.seen.tokens(r.get("access_token"), r.get("refresh_token"), r.get("id_token"))
	return r, err
}

func (w *world) mustCall(t testing.TB, method, address string, header http.Header, body string) reply {
	t.Helper()
	r, err := w.call(method, address, header, body)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// form posts parameters as the party, authenticated as it is registered.
func (p *party) form(t testing.TB, endpoint string, pairs ...string) reply {
	t.Helper()
	form, header := url.Values{}, http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	if p.secret == "" {
		form.Set("client_id", p.client)
	} else {
		req := http.Request{Header: header}
		req.SetBasicAuth(url.QueryEscape(p.client), url.QueryEscape(p.secret))
	}
	r, err := p.w.call(http.MethodPost, endpoint, header, form.Encode())
	if err != nil {
		t.Errorf("%s: %v", endpoint, err)
	}
	return r
}

// redeem exchanges a code without looking at what comes.
func (p *party) redeem(t testing.TB, a attempt, code string) reply {
	t.Helper()
	return p.form(t, p.config.Endpoint.TokenURL, "grant_type", "authorization_code", "code", code,
		"redirect_uri", p.redirect, "code_verifier", a.verifier)
}

func (p *party) renew(t testing.TB, refresh string) reply {
	t.Helper()
	return p.form(t, p.config.Endpoint.TokenURL, "grant_type", "refresh_token", "refresh_token", refresh)
}

// alive asks the realm whether a token is worth anything.
func (p *party) alive(t testing.TB, token string) bool {
	t.Helper()
	r := p.form(t, p.more.Introspection, "token", token)
	if r.status != http.StatusOK {
		t.Errorf("introspection: %d %s", r.status, r.body)
	}
	active, _ := r.json["active"].(bool)
	return active
}

// userinfo asks who a token stands for.
func (p *party) userinfo(t testing.TB, access string) reply {
	t.Helper()
	return p.w.mustCall(t, http.MethodGet, p.provider.UserInfoEndpoint(), http.Header{"Authorization": {"Bearer " + access}}, "")
}

// api calls the admin API.
func (w *world) api(t testing.TB, access, method, path string, body any, header ...string) reply {
	t.Helper()
	h := http.Header{"Authorization": {"Bearer " + access}}
	text := ""
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		text = string(raw)
		h.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return w.mustCall(t, method, w.base+"/admin/v1"+path, h, text)
}

// admin signs a member of staff in to the Practice Portal and returns the
// access token it calls the admin API with.
func (w *world) admin(t testing.TB, who *person) string {
	t.Helper()
	return w.party(t, "practice", "portal", "openid", "admin.read", "admin.manage").signIn(w.browser(t), who).access
}
