package server_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// leave is a sign-out request; pairs as in request.
func (s *suite) leave(pairs ...string) string {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	return s.at("/oauth/logout?" + q.Encode())
}

func TestProtocolSigningOutLeadsBackToTheClientThatProvesItself(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			b := s.browser(t)
			id := s.tokens(t, b, s.request("conformance-2")).get("id_token")
			address := s.leave("id_token_hint", id, "post_logout_redirect_uri", leftAt, "state", "a state & more")
			var p *page
			if method == http.MethodPost {
				u, _ := url.Parse(address)
				p = b.follow(b.do(method, s.at("/oauth/logout"), u.Query(), "cross-site"))
			} else {
				p = b.open(address)
			}
			o := s.outcome(b, p)
			if o.mode != "query" || o.to != leftAt || o.get("state") != "a state & more" || len(o.values) != 1 {
				t.Errorf("%s: %s to %q: %v", method, o.mode, o.to, o.values)
			}
			if o := s.ask(b, s.request("conformance-2", "prompt", "none")); o.get("error") != "login_required" {
				t.Errorf("%s: silently afterwards: %v", method, o.values)
			}
		}
	})
}

func TestProtocolSigningOutWithoutProofAsksThePersonAndRedirectsNobody(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		b := s.browser(t)
		id := s.tokens(t, b, s.request("conformance-2")).get("id_token")
		claims, _ := s.verified(t, id)
		parts := strings.Split(id, ".")
		for _, c := range []struct{ what, hint, uri string }{
			{"nothing at all", "", ""},
			{"no hint", "", leftAt},
			{"a hint that is none", "x.y.z", leftAt},
			{"a hint nobody signed", unsigned(t, claims), leftAt},
			{"a hint with another signature", parts[0] + "." + parts[1] + "." + strings.Repeat("A", len(parts[2])), leftAt},
			{"a hint of another issuer", signedBy(t, "stranger", claims), leftAt},
		} {
			p := b.open(s.leave("id_token_hint", c.hint, "post_logout_redirect_uri", c.uri, "state", "s"))
			if p.location != nil || p.status != http.StatusOK || find(p.doc, isForm("/oauth/logout/confirm")) == nil {
				t.Errorf("%s: %d, Location %v", c.what, p.status, p.location)
			}
			if o := s.ask(b, s.request("conformance-2", "prompt", "none")); o.get("code") == "" {
				t.Fatalf("%s: signed out without being asked: %v", c.what, o.values)
			}
		}
		// With the hint the person leaves, but not for an address that is not
		// registered word for word.
		for what, uri := range map[string]string{"no address": "", "a query that is not registered": leftAt + "?foo=bar", "another host": "https://evil.example.test/",
			"a longer path": leftAt + "/x"} {
			b := s.browser(t)
			id := s.tokens(t, b, s.request("conformance-2")).get("id_token")
			p := b.open(s.leave("id_token_hint", id, "post_logout_redirect_uri", uri, "state", "s"))
			if p.location != nil || p.status != http.StatusOK || !strings.HasSuffix(p.url.Path, "/oauth/signed-out") || p.h1() == "" {
				t.Errorf("%s: %d %s, Location %v", what, p.status, p.url.Path, p.location)
			}
		}
		// The button ends it.
		p := b.send(b.open(s.leave()))
		if p.location != nil || p.status != http.StatusOK || !strings.HasSuffix(p.url.Path, "/oauth/signed-out") {
			t.Errorf("the button: %d %s", p.status, p.url.Path)
		}
		if o := s.ask(b, s.request("conformance-2", "prompt", "none")); o.get("error") != "login_required" {
			t.Errorf("after the button: %v", o.values)
		}
		// Nobody is signed in any more: still a page, and no error.
		for what, address := range map[string]string{"nobody, nothing": s.leave(), "nobody, no hint": s.leave("post_logout_redirect_uri", leftAt)} {
			if p := b.open(address); p.location != nil || p.status != http.StatusOK || p.h1() == "" {
				t.Errorf("%s: %d, Location %v", what, p.status, p.location)
			}
		}
	})
}
