package server_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

func isForm(action string) func(*html.Node) bool {
	return func(n *html.Node) bool { return n.Data == "form" && strings.HasSuffix(attr(n, "action"), action) }
}

func TestProtocolFramesTellTheClientsThatSomebodyLeft(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		const out, left = "https://rp.example.test/out?a=b", "https://rp.example.test/left"
		client := s.register(t, map[string]any{"frontchannel_logout_uri": out, "frontchannel_logout_session_required": true, "post_logout_redirect_uris": []string{left}})
		s.register(t, map[string]any{"frontchannel_logout_uri": "https://unused.example.test/out", "redirect_uris": []string{"https://unused.example.test/callback"}})
		b := s.browser(t)
		code := s.walk(b, s.request(client.get("client_id"), "redirect_uri", registeredAt)).get("code")
		r := s.post(t, client.get("client_id"), client.get("client_secret"), "/oauth/token", "grant_type", "authorization_code", "code", code, "redirect_uri", registeredAt)
		id, _ := s.verified(t, r.get("id_token"))
		p := b.open(s.leave("id_token_hint", r.get("id_token"), "post_logout_redirect_uri", left, "state", "s"))
		var frames []*url.URL
		walk(p.doc, func(n *html.Node) {
			if n.Data == "iframe" {
				u, err := url.Parse(attr(n, "src"))
				if err != nil {
					t.Error(err)
				}
				frames = append(frames, u)
			}
		})
		if p.status != http.StatusOK || len(frames) != 1 {
			t.Fatalf("%d with %d frames, Location %v", p.status, len(frames), p.location)
		}
		q := frames[0].Query()
		if frames[0].Host != "rp.example.test" || frames[0].Path != "/out" || q.Get("a") != "b" || q.Get("iss") != s.issuer("conformance") || q.Get("sid") == "" || q.Get("sid") != id["sid"] {
			t.Errorf("%s, want sid %v", frames[0], id["sid"])
		}
		policy := p.header.Get("Content-Security-Policy")
		if !strings.Contains(policy, "frame-src") || !strings.Contains(policy, "https://rp.example.test") || strings.Contains(policy, "unused.example.test") {
			t.Errorf("policy %q", policy)
		}
		onward := attr(find(p.doc, func(n *html.Node) bool { return attr(n, "id") == "onward" }), "href")
		if onward != left+"?state=s" || !strings.HasSuffix(p.header.Get("Refresh"), "url="+onward) {
			t.Errorf("onward to %q, Refresh %q", onward, p.header.Get("Refresh"))
		}
		if o := s.ask(b, s.request("conformance-1", "prompt", "none")); o.get("error") != "login_required" {
			t.Errorf("silently afterwards: %v", o.values)
		}
	})
}
