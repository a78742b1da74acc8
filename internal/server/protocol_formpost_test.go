package server_test

import (
	"net/http"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

func TestProtocolAFormPostWorksUnderThePolicyAndWithoutScripts(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		for _, c := range []struct{ what, name, value, code string }{
			{"an answer", "scope", "openid", ""},
			{"silence where the person has to be asked", "prompt", "none", "login_required"},
			{"a missing nonce", "nonce", "", "invalid_request"},
			{"an ID token without openid", "scope", "profile", "invalid_scope"},
			{"an unknown response type", "response_type", "foo", "unsupported_response_type"},
			{"an unreadable claims parameter", "claims", "{", "invalid_request"},
		} {
			t.Run(c.what, func(t *testing.T) {
				b := s.known(t)
				if c.code == "login_required" {
					b = s.browser(t)
				}
				q := s.request("conformance-2", "response_type", "code id_token", "response_mode", "form_post", "state", `"><script>x</script>&amp;`, c.name, c.value)
				o := s.ask(b, q)
				if o.mode != "form_post" || o.to != exampleCallback || o.get("error") != c.code || o.get("state") != q.Get("state") || o.get("iss") != s.issuer("conformance") {
					t.Fatalf("%s to %q: %v", o.mode, o.to, o.values)
				}
				if (c.code == "") != (o.get("code") != "" && o.get("id_token") != "") {
					t.Errorf("%v", o.values)
				}
				if o.page.status != http.StatusOK || o.page.header.Get("Cache-Control") != "no-store" {
					t.Errorf("%d, Cache-Control %q", o.page.status, o.page.header.Get("Cache-Control"))
				}
				policy := o.page.header.Get("Content-Security-Policy")
				if !strings.Contains(policy, "form-action 'self' https://localhost.emobix.co.uk:8443") || strings.Contains(policy, "unsafe-inline") {
					t.Errorf("policy %q", policy)
				}
				button := find(o.page.doc, func(n *html.Node) bool { return n.Data == "button" && attr(n, "type") == "submit" })
				if button == nil || attr(button, "id") != "form-post-continue" {
					t.Error("no button for browsers without scripts")
				}
			})
		}
	})
}

// What stands in the registered address stays there, and is no parameter.
func TestProtocolAFormPostKeepsTheQueryOfTheRedirectURI(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		to := exampleCallback + "?dummy1=lorem&dummy2=ipsum"
		o := s.ask(s.known(t), s.request("conformance-2", "response_mode", "form_post", "redirect_uri", to))
		if o.mode != "form_post" || o.to != to || o.get("code") == "" || o.values.Has("dummy1") {
			t.Errorf("%s to %q: %v", o.mode, o.to, o.values)
		}
	})
}
