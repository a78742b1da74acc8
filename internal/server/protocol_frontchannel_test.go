package server_test

import (
	"net/http"
	"net/url"
	"slices"
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

// frames are the addresses that a page loads into frames.
func (p *page) frames(t *testing.T) (all []*url.URL) {
	t.Helper()
	walk(p.doc, func(n *html.Node) {
		if n.Data != "iframe" {
			return
		}
		u, err := url.Parse(attr(n, "src"))
		if err != nil {
			t.Error(err)
		}
		all = append(all, u)
	})
	return all
}

// directive is what a page's policy says about one thing.
func (p *page) directive(name string) []string {
	for _, one := range strings.Split(p.header.Get("Content-Security-Policy"), ";") {
		if words := strings.Fields(one); len(words) > 0 && words[0] == name {
			return words[1:]
		}
	}
	return nil
}

func TestProtocolThePageOfFramesLoadsTheClientsOfThisSessionAndNothingElse(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		at := func(host string) map[string]any {
			return map[string]any{"redirect_uris": []string{"https://" + host + "/callback"}, "frontchannel_logout_uri": "https://" + host + "/out", "frontchannel_logout_session_required": true}
		}
		for _, way := range []string{"with a hint", "by the button"} {
			b, _ := s.enter(t, robinEmail, "conformance-2")
			other, _ := s.enter(t, robinEmail, "conformance-2")
			wanted, hint := map[string]map[string]any{}, ""
			for _, host := range []string{"one.example.test", "two.example.test:8443", "three.example.test"} {
				metadata := at(host)
				if host == "three.example.test" {
					metadata["subject_type"] = "pairwise"
				}
				_, wanted[host], hint = s.used(t, b, metadata)
			}
			_, _, _ = s.used(t, b, map[string]any{"redirect_uris": []string{"https://quiet.example.test/callback"}})
			s.register(t, at("unused.example.test"))
			s.used(t, other, at("elsewhere.example.test"))
			var p *page
			if way == "with a hint" {
				p = b.open(s.leave("id_token_hint", hint))
			} else {
				p = b.send(b.open(s.leave()))
			}
			var origins []string
			for _, u := range p.frames(t) {
				id := wanted[u.Host]
				if id == nil || u.Scheme != "https" || u.Path != "/out" || u.Query().Get("iss") != s.issuer("conformance") || u.Query().Get("sid") == "" || u.Query().Get("sid") != id["sid"] || len(u.Query()) != 2 {
					t.Errorf("%s: a frame of %s, want sid %v", way, u, id)
				}
				origins = append(origins, "https://"+u.Host)
			}
			allowed := p.directive("frame-src")
			slices.Sort(origins)
			slices.Sort(allowed)
			if len(origins) != len(wanted) || !slices.Equal(origins, allowed) {
				t.Errorf("%s: frames of %v, and the policy allows %v", way, origins, allowed)
			}
			if scripts := p.directive("script-src"); slices.Contains(scripts, "'unsafe-inline'") || p.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: scripts %v, Cache-Control %q", way, scripts, p.header.Get("Cache-Control"))
			}
			// The way on is there without scripts, and the next visit tells nobody.
			onward := attr(find(p.doc, func(n *html.Node) bool { return attr(n, "id") == "onward" }), "href")
			if !strings.HasPrefix(onward, "/conformance/oauth/signed-out") {
				t.Errorf("%s: onward to %q", way, onward)
			}
			if p := b.open(s.leave("id_token_hint", hint)); len(p.frames(t)) != 0 {
				t.Errorf("%s: frames when nobody is signed in", way)
			}
			if o := s.ask(other, s.request("conformance-2", "prompt", "none")); o.get("code") == "" {
				t.Errorf("%s: the other session ended too: %v", way, o.values)
			}
		}
	})
}
