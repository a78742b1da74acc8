package server_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
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
