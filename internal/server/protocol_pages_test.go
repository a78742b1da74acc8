package server_test

import (
	"net/http"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// driven are the elements that programs find on the pages of a sign-in, by id;
// the browsers of the certification suite are told them. Renaming one breaks
// what is written elsewhere.
var driven = map[string][]string{
	"sign-in":      {"email", "password", "signin-submit"},
	"consent":      {"consent-allow", "consent-deny"},
	"form post":    {"form-post", "form-post-continue"},
	"sign-out":     {"logout-submit"},
	"frames":       {"onward"},
	"client links": {"client-logo", "client-links"},
}

// has insists that the elements of a page are there, once each, and can be
// used: nothing is hidden until a script has run.
func (p *page) has(t *testing.T, name string) {
	t.Helper()
	for _, id := range driven[name] {
		var found []*html.Node
		walk(p.doc, func(n *html.Node) {
			if attr(n, "id") == id {
				found = append(found, n)
			}
		})
		if len(found) != 1 {
			t.Errorf("%s: %d elements with the id %s", name, len(found), id)
			continue
		}
		for n := found[0]; n != nil; n = n.Parent {
			for _, a := range n.Attr {
				if a.Key == "hidden" || a.Key == "disabled" || a.Key == "inert" || n.Data == "template" || n.Data == "noscript" {
					t.Errorf("%s: %s cannot be used: %s of %s", name, id, a.Key, n.Data)
				}
			}
		}
	}
	// A script only ever helps: forms are sent by their buttons.
	walk(p.doc, func(n *html.Node) {
		switch {
		case n.Data == "script" && (attr(n, "src") == "" || text(n) != ""):
			t.Errorf("%s: a script in the page", name)
		case n.Data == "form" && attr(n, "method") == "post" && find(n, func(b *html.Node) bool { return b.Data == "button" && attr(b, "type") == "submit" }) == nil:
			t.Errorf("%s: a form without a button", name)
		case n.Data == "button" && attr(n, "type") == "":
			t.Errorf("%s: a button without a type", name)
		}
	})
}

// TestProtocolPagesWorkWithoutScriptsAndKeepTheirIDs walks a sign-in, a consent,
// an answer by form and a sign-out, and looks for what programs look for.
func TestProtocolPagesWorkWithoutScriptsAndKeepTheirIDs(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		client := s.register(t, map[string]any{"logo_uri": "https://rp.example.test/logo.png", "policy_uri": "https://rp.example.test/policy", "tos_uri": "https://rp.example.test/terms",
			"frontchannel_logout_uri": "https://rp.example.test/out", "response_types": []string{"code id_token"}})
		for _, lang := range []string{"en", "es"} {
			b := s.browser(t)
			q := s.request(client.get("client_id"), "redirect_uri", registeredAt, "response_type", "code id_token", "response_mode", "form_post", "prompt", "consent", "ui_locales", lang)
			p := b.open(s.at("/oauth/authorize?" + q.Encode()))
			p.has(t, "sign-in")
			p.has(t, "client links")
			p = b.send(p, "email", robinEmail, "password", "not the right lantern 31")
			p.has(t, "sign-in") // also the second time
			if p.status != http.StatusUnprocessableEntity || p.value("email") != robinEmail {
				t.Errorf("a wrong password: %d, email %q", p.status, p.value("email"))
			}
			p = b.send(p, "email", robinEmail, "password", examplePassword)
			p.has(t, "consent")
			p = b.send(p, "answer", "allow")
			p.has(t, "form post")
			if o := s.outcome(b, p); o.get("code") == "" || o.get("id_token") == "" || o.to != registeredAt {
				t.Errorf("%s %v", o.mode, o.values)
			}
			p = b.open(s.leave())
			p.has(t, "sign-out")
			p = b.send(p)
			p.has(t, "frames")
			if refresh := p.header.Get("Refresh"); !strings.Contains(refresh, "/oauth/signed-out") {
				t.Errorf("without scripts nobody gets on: %q", refresh)
			}
		}
	})
}

// TestProtocolThePagesThatPeopleJudgeAreThere: a certification shows pictures of
// these. Each is a page of ours in its language, says what is wrong, and leads
// nowhere by itself.
func TestProtocolThePagesThatPeopleJudgeAreThere(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		for what, pairs := range map[string][]string{
			"redirect URI missing": {"redirect_uri", ""}, "redirect URI with more": {"redirect_uri", exampleCallback + "?added=1"},
			"redirect URI of nobody": {"redirect_uri", "https://rp.example.test/" + randomText(8)}, "client of nobody": {"client_id", "nobody"},
		} {
			for _, lang := range []string{"en", "es"} {
				p := s.browser(t).open(s.at("/oauth/authorize?" + s.request("conformance-1", append(pairs, "ui_locales", lang)...).Encode()))
				if p.status != http.StatusBadRequest || p.h1() == "" || len(p.says()) < 40 || p.location != nil || p.header.Get("Refresh") != "" {
					t.Errorf("%s: %d %q %q", what, p.status, p.h1(), p.says())
				}
				for _, host := range p.elsewhere() {
					if host != "op.example.test" { // the policy of the realm
						t.Errorf("%s: the page leads to %s", what, host)
					}
				}
			}
		}
		for what, pairs := range map[string][]string{"response type missing": {"response_type", ""}, "nonce missing": {"response_type", "id_token", "nonce", ""}} {
			if o := s.ask(s.known(t), s.request("conformance-1", pairs...)); o.get("error") != "invalid_request" || o.get("error_description") == "" {
				t.Errorf("%s: %s %v", what, o.mode, o.values)
			}
		}
	})
}
