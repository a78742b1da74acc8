package config_test

import (
	"strings"
	"testing"

	"github.com/portico-id/portico/config"
)

// Whoever writes a section in braces need not know how its lists are parsed.
func TestAListInsideOfBracesTakesTextsWithColons(t *testing.T) {
	read := func(text string) (*config.Config, error) {
		return config.Parse("idp.yaml", []byte(strings.Replace(minimal, "    clients:", text+"\n    clients:", 1)), lookup)
	}
	for _, list := range []string{`[env:SECRET]`, `[ env:SECRET ]`, `["env:SECRET"]`, `[env:SECRET, 'env:SECRET', env:SECRET]`, `[sha256:` + strings.Repeat("ab", 32) + `]`} {
		c, err := read("    oauth: {registration: {mode: initial_access_token, initial_access_tokens: " + list + "}}")
		if err != nil {
			t.Errorf("%s: %v", list, err)
			continue
		}
		if n := len(c.Realms()[0].OAuth.Registration.TokenHashes); n != strings.Count(list, ",")+1 {
			t.Errorf("%s: %d tokens", list, n)
		}
	}
	for list, want := range map[string]string{`[env:NOT_THERE]`: "NOT_THERE is not set", `[sha256:abcd]`: "64 hexadecimal digits", `[env: SECRET]`: "a secret stands in the file",
		`[{env: SECRET}]`: "a secret stands in the file", `[hunter:2]`: "a secret stands in the file"} {
		if _, err := read("    oauth: {registration: {mode: initial_access_token, initial_access_tokens: " + list + "}}"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", list, err)
		}
	}
	at := strings.Index(minimal, "    clients:")
	text := minimal[:at] + "    clients: [{id: portal, secret: env:SECRET, redirect_uris: [https://rp.example.test/callback, https://rp.example.test:8443/a?b=c], scopes: [openid]}]\n"
	c, err := config.Parse("idp.yaml", []byte(text), lookup)
	if err != nil {
		t.Fatal(err)
	}
	cl, ok := c.Realms()[0].Client("portal")
	if !ok || len(cl.RedirectURIs) != 2 || cl.RedirectURIs[0] != "https://rp.example.test/callback" || cl.RedirectURIs[1] != "https://rp.example.test:8443/a?b=c" {
		t.Errorf("%+v", cl)
	}
}
