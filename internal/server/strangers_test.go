package server_test

import (
	"net/http"
	"strings"
	"testing"
)

func TestTheSignInPageNamesTheHostOfAnAppNobodyHasChecked(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		client := s.register(t, map[string]any{"client_name": "Growth Diary"})
		request := s.at("/oauth/authorize?" + s.request(client.get("client_id"), "redirect_uri", registeredAt).Encode())
		b := s.browser(t)
		p := b.open(request)
		p.want(t, http.StatusOK, "Sign in")
		for _, text := range []string{"Conformance has not checked this app.", "You will go to <strong>rp.example.test</strong>."} {
			if !strings.Contains(p.body, text) {
				t.Errorf("not on the page: %s\n%s", text, p.body)
			}
		}
		if p := s.browser(t).open(s.at("/signin?lang=es&" + p.url.RawQuery)); strings.Contains(p.body, "stranger") {
			t.Error("another browser learns of it")
		}
		// A wrong password shows the page again.
		again := b.send(p, "email", "nobody@example.test", "password", "not the password")
		if !strings.Contains(again.body, "<strong>rp.example.test</strong>") {
			t.Errorf("gone after a wrong password: %d", again.status)
		}
		// Clients of the configuration were checked.
		p = s.browser(t).open(s.at("/oauth/authorize?" + s.request("conformance-1").Encode()))
		if p.want(t, http.StatusOK, "Sign in"); strings.Contains(p.body, "has not checked") {
			t.Error("the notice stands on a portal's page")
		}
	})
}
