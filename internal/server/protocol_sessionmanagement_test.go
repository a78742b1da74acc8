package server_test

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

func TestProtocolAFrameSeesThatTheSessionChanged(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		frame := s.mustCall(t, http.MethodGet, s.at("/.well-known/openid-configuration"), nil, "").get("check_session_iframe")
		b := s.browser(t)
		p := s.mustCall(t, http.MethodGet, frame, nil, "") // no page that people see
		policy := p.header.Get("Content-Security-Policy")
		if p.status != http.StatusOK || p.header.Get("X-Frame-Options") != "" || !strings.Contains(policy, "frame-ancestors *") || strings.Contains(policy, "unsafe") {
			t.Errorf("%d, X-Frame-Options %q, policy %q", p.status, p.header.Get("X-Frame-Options"), policy)
		}
		doc, err := html.Parse(strings.NewReader(p.body))
		if err != nil {
			t.Fatal(err)
		}
		script := attr(find(doc, func(n *html.Node) bool { return n.Data == "script" }), "src")
		base, err := url.Parse(frame)
		if err != nil || script == "" {
			t.Fatalf("script %q: %v", script, err)
		}
		u, err := base.Parse(script)
		if err != nil {
			t.Fatal(err)
		}
		if r := s.mustCall(t, http.MethodGet, u.String(), nil, ""); r.status != http.StatusOK || !strings.Contains(r.header.Get("Content-Type"), "javascript") || !strings.Contains(r.body, "postMessage") {
			t.Errorf("script: %d %s", r.status, r.header.Get("Content-Type"))
		}
		// What the script computes out of the cookie is what the client was told.
		told := func(kind string) (state, cookie string) {
			o := s.walk(b, s.request("conformance-2", "response_type", kind))
			return o.get("session_state"), b.cookie("conformance", "state")
		}
		var first string
		for _, kind := range []string{"code", "id_token", "code id_token token"} {
			state, cookie := told(kind)
			hash, salt, ok := strings.Cut(state, ".")
			sum := sha256.Sum256([]byte("conformance-2 https://localhost.emobix.co.uk:8443 " + cookie + " " + salt))
			if !ok || salt == "" || cookie == "" || hash != base64.RawURLEncoding.EncodeToString(sum[:]) {
				t.Errorf("%s: session_state %q, cookie %q", kind, state, cookie)
			}
			if first == "" {
				first = cookie
			}
			if cookie != first {
				t.Errorf("%s: the state changed, the session did not", kind)
			}
		}
		is := func(what string, o outcome, cookie string) {
			t.Helper()
			hash, salt, ok := strings.Cut(o.get("session_state"), ".")
			sum := sha256.Sum256([]byte("conformance-2 https://localhost.emobix.co.uk:8443 " + cookie + " " + salt))
			if o.get("error") == "" || !ok || salt == "" || hash != base64.RawURLEncoding.EncodeToString(sum[:]) || strings.Contains(o.get("session_state"), " ") {
				t.Errorf("%s: %v", what, o.values)
			}
		}
		// An error tells the state as well (§2), also that nobody is signed in.
		for _, mode := range []string{"", "fragment", "form_post"} {
			is("an error by "+mode, s.ask(b, s.request("conformance-2", "prompt", "none", "claims", "{", "response_mode", mode)), first)
			is("nobody, by "+mode, s.ask(s.browser(t), s.request("conformance-2", "prompt", "none", "response_mode", mode)), "")
		}
		b.send(b.open(s.leave()))
		is("signed out", s.ask(b, s.request("conformance-2", "prompt", "none")), "")
		if gone := b.cookie("conformance", "state"); gone == first {
			t.Error("the state is the same after signing out")
		}
		if _, again := told("code"); again == "" || again == first {
			t.Errorf("the state after signing in again: %q, before %q", again, first)
		}
	})
}
