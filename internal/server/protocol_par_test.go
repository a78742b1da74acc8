package server_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portico-id/portico/internal/database/dbtest"
)

func TestProtocolAPushedRequestIsAnsweredOnce(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		secretText := s.secretOf("conformance-1")
		push := func(pairs ...string) reply {
			return s.post(t, "conformance-1", secretText, "/oauth/par", append([]string{"response_type", "code", "redirect_uri", exampleCallback,
				"scope", "openid", "state", "pushed", "nonce", "pushed"}, pairs...)...)
		}
		r := push()
		expires, _ := r.json["expires_in"].(float64)
		uri := r.get("request_uri")
		if r.status != http.StatusCreated || !strings.HasPrefix(uri, "urn:ietf:params:oauth:request_uri:") || expires <= 0 || expires > 600 || r.header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%d %v %s", r.status, r.header, r.body)
		}
		// Another client cannot use it, and looking at it does not use it up.
		if o := s.ask(s.known(t), url.Values{"client_id": {"conformance-2"}, "request_uri": {uri}}); o.values.Has("code") {
			t.Errorf("another client: %s %v", o.mode, o.values)
		}
		if p := s.browser(t).open(s.at("/oauth/authorize?" + url.Values{"client_id": {"conformance-1"}, "request_uri": {uri}}.Encode())); p.status != 200 || !strings.HasSuffix(p.url.Path, "/signin") {
			t.Errorf("a first look: %d %s", p.status, p.url.Path)
		}
		o := s.ask(s.known(t), url.Values{"client_id": {"conformance-1"}, "request_uri": {uri}, "state": {"outside"}, "nonce": {"outside"}})
		if o.get("code") == "" || o.get("state") != "pushed" {
			t.Fatalf("%s %v", o.mode, o.values)
		}
		claims, _ := s.verified(t, s.exchange(t, "conformance-1", o.get("code")).get("id_token"))
		if claims["nonce"] != "pushed" {
			t.Errorf("nonce %v", claims["nonce"])
		}
		if o := s.ask(s.known(t), url.Values{"client_id": {"conformance-1"}, "request_uri": {uri}}); o.values.Has("code") {
			t.Errorf("a second answer: %v", o.values)
		}
		for _, c := range []struct {
			what   string
			got    reply
			status int
			code   string
		}{
			{"a wrong secret", s.post(t, "conformance-1", "wrong", "/oauth/par", "response_type", "code"), 401, "invalid_client"},
			{"nobody", s.post(t, "", "", "/oauth/par", "response_type", "code"), 401, "invalid_client"},
			{"a request_uri in it", push("request_uri", uri), 400, "invalid_request"},
			{"another client's id", push("client_id", "conformance-2"), 400, "invalid_request"},
			{"a redirect URI that is not registered", push("redirect_uri", "https://evil.example.test/"), 400, "invalid_request"},
			{"a response type nobody knows", push("response_type", "foo"), 400, "unsupported_response_type"},
			{"a prompt nobody knows", push("prompt", "tea"), 400, "invalid_request"},
			{"an object nobody signed", push("request", "x.y.z"), 400, "invalid_request_object"},
		} {
			if c.got.status != c.status || c.got.get("error") != c.code || c.got.json["request_uri"] != nil {
				t.Errorf("%s: %d %s", c.what, c.got.status, c.got.body)
			}
		}
		if r := s.mustCall(t, http.MethodGet, s.at("/oauth/par"), nil, ""); r.status != http.StatusMethodNotAllowed && r.status != http.StatusNotFound {
			t.Errorf("GET: %d", r.status)
		}
	})
}

// push pushes a request of a client that authenticates by client_secret_basic.
func (s *suite) push(t *testing.T, client, secret string, q url.Values) string {
	t.Helper()
	var pairs []string
	for name := range q {
		pairs = append(pairs, name, q.Get(name))
	}
	r := s.post(t, client, secret, "/oauth/par", pairs...)
	if r.status != http.StatusCreated {
		t.Fatalf("push: %d %s", r.status, r.body)
	}
	return r.get("request_uri")
}

func TestProtocolAPushedRequestIsKeptUntilItsPersonHasSignedIn(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		for _, kind := range responseTypes {
			q := s.request("conformance-1", "response_type", kind, "response_mode", "form_post", "prompt", "login")
			carried := url.Values{"client_id": {"conformance-1"}, "request_uri": {s.push(t, "conformance-1", s.secretOf("conformance-1"), q)}}
			b := s.browser(t)
			var p *page
			for range 3 { // opened, loaded again, opened again
				if p = b.open(s.at("/oauth/authorize?" + carried.Encode())); !strings.HasSuffix(p.url.Path, "/signin") {
					t.Fatalf("%s: %d %s", kind, p.status, p.url.Path)
				}
			}
			o := s.outcome(b, s.through(b, p))
			s.answers(t, kind, q, o)
			if got := s.collect(t, q, o); got.ids[0]["nonce"] != q.Get("nonce") {
				t.Errorf("%s: %v", kind, got.ids)
			}
			// Used up, in this browser and in every other.
			for what, b := range map[string]*browser{"the same browser": b, "another": s.browser(t)} {
				carried.Set("redirect_uri", exampleCallback)
				if o := s.outcome(b, b.open(s.at("/oauth/authorize?"+carried.Encode()))); o.get("error") != "invalid_request_uri" || o.values.Has("code") {
					t.Errorf("%s, %s: %s %v", kind, what, o.mode, o.values)
				}
			}
		}
	})
}

func TestProtocolAPushedRequestExpires(t *testing.T) {
	later(t, func(t *testing.T, s *suite) {
		q := s.request("conformance-1")
		push := func() url.Values {
			return url.Values{"client_id": {"conformance-1"}, "request_uri": {s.push(t, "conformance-1", s.secretOf("conformance-1"), q)}}
		}
		begun, late := push(), push()
		b := s.browser(t)
		p := b.open(s.at("/oauth/authorize?" + begun.Encode()))
		dbtest.Advance(s.db(), 2*time.Minute)
		if o := s.ask(b.tab(), late); o.mode != "page" || o.page.status != http.StatusBadRequest {
			t.Errorf("too late: %s %v", o.mode, o.values)
		}
		late.Set("redirect_uri", exampleCallback) // which is where the client hears of it
		if o := s.ask(b.tab(), late); o.get("error") != "invalid_request_uri" {
			t.Errorf("too late: %s %v", o.mode, o.values)
		}
		// Who was typing meanwhile is not turned away.
		if o := s.outcome(b, s.through(b, p)); o.get("code") == "" || o.get("state") != q.Get("state") {
			t.Errorf("begun in time: %s %v %s", o.mode, o.values, o.page.says())
		}
	})
}

func TestProtocolWhereRequestsHaveToBePushedNoOtherIsAnswered(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		client := s.register(t, map[string]any{"require_pushed_authorization_requests": true, "jwks": keySet("object")})
		if client.json["require_pushed_authorization_requests"] != true {
			t.Errorf("registered: %s", client.body)
		}
		id := client.get("client_id")
		q := s.request(id, "redirect_uri", registeredAt)
		for what, sent := range map[string]url.Values{"a plain request": q, "an object": outside(q, "request", signedBy(t, "object", s.asObject(q)))} {
			if o := s.ask(s.known(t), sent); o.to != registeredAt || o.get("error") != "invalid_request" || o.values.Has("code") {
				t.Errorf("%s: %s to %q: %v", what, o.mode, o.to, o.values)
			}
		}
		uri := s.push(t, id, client.get("client_secret"), query("request", signedBy(t, "object", s.asObject(q))))
		if o := s.walk(s.known(t), url.Values{"client_id": {id}, "request_uri": {uri}}); o.get("code") == "" || o.get("state") != q.Get("state") {
			t.Errorf("an object that was pushed: %s %v", o.mode, o.values)
		}
		// A whole realm that wants it.
		issuer := s.issuer("guarded")
		if m := s.mustCall(t, http.MethodGet, issuer+"/.well-known/openid-configuration", nil, ""); m.json["require_pushed_authorization_requests"] != true {
			t.Errorf("not advertised: %v", m.json["require_pushed_authorization_requests"])
		}
		verifier, challenge := pkce()
		q = s.request("conformance-1", "code_challenge", challenge, "code_challenge_method", "S256")
		b := s.browser(t)
		if o := s.outcome(b, b.open(issuer+"/oauth/authorize?"+q.Encode())); o.to != exampleCallback || o.get("error") != "invalid_request" {
			t.Errorf("a realm: %s to %q: %v", o.mode, o.to, o.values)
		}
		if p := b.follow(b.do(http.MethodPost, issuer+"/oauth/authorize", q, "cross-site")); s.outcome(b, p).get("error") != "invalid_request" {
			t.Errorf("a realm, by POST: %d %v", p.status, p.location)
		}
		header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
		(&http.Request{Header: header}).SetBasicAuth("conformance-1", s.secretOf("conformance-1"))
		uri = s.mustCall(t, http.MethodPost, issuer+"/oauth/par", header, q.Encode()).get("request_uri")
		o := s.outcome(b, s.through(b, b.open(issuer+"/oauth/authorize?"+query("client_id", "conformance-1", "request_uri", uri).Encode())))
		r := s.mustCall(t, http.MethodPost, issuer+"/oauth/token", header, query("grant_type", "authorization_code", "code", o.get("code"),
			"redirect_uri", exampleCallback, "code_verifier", verifier).Encode())
		if r.status != http.StatusOK || r.get("id_token") == "" {
			t.Errorf("pushed: %s %v, %d %s", o.mode, o.values, r.status, r.body)
		}
		// A reference of one realm is none in another.
		if o := s.ask(s.known(t), query("client_id", "conformance-1", "request_uri", uri, "redirect_uri", exampleCallback)); o.get("error") != "invalid_request_uri" {
			t.Errorf("in another realm: %s %v", o.mode, o.values)
		}
	})
}

// Each client pushes as it is registered, and a public one without a secret.
func TestProtocolEveryKindOfClientCanPush(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		_, challenge := pkce()
		for _, method := range []string{"client_secret_basic", "client_secret_post", "private_key_jwt", "none"} {
			metadata := map[string]any{"token_endpoint_auth_method": method}
			if method == "private_key_jwt" {
				metadata["jwks"] = keySet("first")
			}
			client := s.register(t, metadata)
			id := client.get("client_id")
			q := s.request(id, "redirect_uri", registeredAt, "code_challenge", challenge, "code_challenge_method", "S256")
			r := s.authenticated(t, method, client, "first", "/oauth/par", q)
			if r.status != http.StatusCreated {
				t.Errorf("%s: %d %s", method, r.status, r.body)
				continue
			}
			o := s.walk(s.known(t), url.Values{"client_id": {id}, "request_uri": {r.get("request_uri")}})
			if o.get("code") == "" || o.get("state") != q.Get("state") {
				t.Errorf("%s: %s %v", method, o.mode, o.values)
			}
			// By no other method than its own.
			for _, other := range []string{"client_secret_basic", "client_secret_post", "private_key_jwt", "none"} {
				if other == method || client.get("client_secret") == "" && slices.Contains([]string{"client_secret_basic", "client_secret_post"}, other) {
					continue
				}
				if r := s.authenticated(t, other, client, "first", "/oauth/par", q); r.status != http.StatusUnauthorized || r.get("error") != "invalid_client" {
					t.Errorf("%s, by %s: %d %s", method, other, r.status, r.body)
				}
			}
		}
	})
}

// authenticated posts a form to an endpoint by any method of client
// authentication; kid names the key that signs an assertion.
func (s *suite) authenticated(t *testing.T, method string, client reply, kid, path string, form url.Values) reply {
	t.Helper()
	id, sent := client.get("client_id"), url.Values{}
	for name := range form {
		sent.Set(name, form.Get(name))
	}
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	sent.Set("client_id", id)
	switch method {
	case "client_secret_basic":
		sent.Del("client_id")
		(&http.Request{Header: header}).SetBasicAuth(url.QueryEscape(id), url.QueryEscape(client.get("client_secret")))
	case "client_secret_post":
		sent.Set("client_secret", client.get("client_secret"))
	case "private_key_jwt":
		sent.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		sent.Set("client_assertion", s.assertion(t, kid, id))
	}
	return s.mustCall(t, http.MethodPost, s.at(path), header, sent.Encode())
}

// assertion is what a client proves itself with that has a key.
func (s *suite) assertion(t *testing.T, kid, client string) string {
	now := s.now()
	return signedBy(t, kid, map[string]any{"iss": client, "sub": client, "aud": s.issuer("conformance"), "jti": randomText(16),
		"exp": now.Add(time.Minute).Unix(), "iat": now.Unix()})
}
