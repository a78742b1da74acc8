package oauth

import (
	"net/url"
	"testing"

	"github.com/portico-id/portico/internal/realm"
)

func TestARedirectURIIsComparedByteForByte(t *testing.T) {
	client := &realm.Client{RedirectURIs: []string{
		"https://rp.example.test/callback",
		"https://rp.example.test/with?query=1",
		"http://localhost:9099/callback",
	}}
	for _, good := range client.RedirectURIs {
		if !allowedRedirect(client, good) {
			t.Errorf("%s is registered and was refused", good)
		}
	}
	for _, bad := range []string{
		"", " ", "https://rp.example.test/callback ", "https://rp.example.test/callback/",
		"https://rp.example.test/callback?", "https://rp.example.test/callback#", "https://rp.example.test/callback#x",
		"https://rp.example.test/callback?x=1", "https://rp.example.test/Callback", "HTTPS://rp.example.test/callback",
		"https://RP.example.test/callback", "https://rp.example.test:443/callback", "https://rp.example.test./callback",
		"https://rp.example.test//callback", "https://rp.example.test/./callback", "https://rp.example.test/a/../callback",
		"https://rp.example.test/%63allback", "https://rp.example.test/callback%00", "https://rp.example.test\\callback",
		"https://user@rp.example.test/callback", "https://evil.example.test/callback",
		"https://rp.example.test.evil.example.test/callback", "https://rp.example.test@evil.example.test/callback",
		"http://rp.example.test/callback", "//rp.example.test/callback", "/callback", "javascript:alert(1)",
		"https://rp.example.test/with", "https://rp.example.test/with?query=2", "https://rp.example.test/with?query=1&x=2",
		"http://localhost:9098/callback", "http://localhost/callback", "http://127.0.0.1:9099/callback",
	} {
		if allowedRedirect(client, bad) {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestALoopbackAddressMatchesWithAnyPortAndNothingElse(t *testing.T) {
	client := &realm.Client{RedirectURIs: []string{
		"http://127.0.0.1/callback", "http://[::1]:8080/cb?x=1", "https://127.0.0.1/tls",
	}}
	for _, good := range []string{
		"http://127.0.0.1/callback", "http://127.0.0.1:1/callback", "http://127.0.0.1:65535/callback",
		"http://[::1]/cb?x=1", "http://[::1]:9/cb?x=1", "https://127.0.0.1/tls",
	} {
		if !allowedRedirect(client, good) {
			t.Errorf("%s was refused", good)
		}
	}
	for _, bad := range []string{
		"http://evil@127.0.0.1/callback", "http://127.0.0.1:1@evil.example.test/callback",
		"http://127.0.0.1:/callback", "http://127.0.0.1:x/callback", "http://127.0.0.1:123456/callback",
		"http://127.0.0.1:1:2/callback", "http://127.0.0.1:8080.evil.example.test/callback",
		"http://127.0.0.1.evil.example.test/callback", "http://127.0.0.2/callback", "http://127.1/callback",
		"http://localhost/callback", "http://[::1]/callback", "https://127.0.0.1:8443/callback",
		"https://127.0.0.1:8443/tls", "http://127.0.0.1:8080/tls", "http://127.0.0.1:8080/callback/x",
		"http://127.0.0.1:8080/callback?x", "http://127.0.0.1:8080/callback#x", "http://127.0.0.1:8080\\callback",
		"http://127.0.0.1:8080", "http://[::1]:9/cb", "http://[::1]:9/cb?x=1#", "HTTP://127.0.0.1:1/callback",
	} {
		if allowedRedirect(client, bad) {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestParametersAreAddedWithoutTouchingTheRegisteredURI(t *testing.T) {
	for uri, want := range map[string]string{
		"https://rp.example.test/cb":             "https://rp.example.test/cb?code=a+b",
		"https://rp.example.test/cb?":            "https://rp.example.test/cb?code=a+b",
		"https://rp.example.test/cb?z=%7e&a=%2F": "https://rp.example.test/cb?z=%7e&a=%2F&code=a+b",
		"com.example.app:/cb":                    "com.example.app:/cb?code=a+b",
	} {
		if got := withParameters(uri, url.Values{"code": {"a b"}}); got != want {
			t.Errorf("withParameters(%s) = %s, want %s", uri, got, want)
		}
	}
}

func TestARegisteredScriptIsNeverFollowed(t *testing.T) {
	for uri, want := range map[string]bool{
		"https://rp.example.test/cb": true, "http://localhost:9099/cb": true, "http://127.0.0.1/cb": true,
		"com.example.app:/cb": true, "http://rp.example.test/cb": false, "javascript:alert(1)": false,
		"data:text/html,x": false, "file:///etc/passwd": false,
	} {
		u, err := url.Parse(uri)
		if err != nil {
			t.Fatal(err)
		}
		if secureRedirect(u) != want {
			t.Errorf("secureRedirect(%s) = %v", uri, !want)
		}
	}
}
