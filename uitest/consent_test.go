package uitest

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
)

// consent is what a person sees when an application that is not the practice's
// own asks for the account. The public client of the demo comes back to any
// port of 127.0.0.1.
func consent(t *testing.T, d *demo, pr profile) {
	p := d.open(t, "consent", pr)
	who := d.person(t, "patient", familyOf(pr).other)
	authorize := application(t, d.Realms["patient"].Issuer)

	p.visit(authorize)
	p.await("sign-in", p.or("Sign in", "Iniciar sesión"), "")
	p.signIn(who.Email, who.Password)
	title := p.say("consent.title", "client", "Single-page app")
	p.shown("1-ask", title)
	p.at(d.Realms["patient"].Issuer + "/consent")
	p.says(who.Email)
	p.follow(p.say("consent.deny"))
	p.await("refused", "refused", "")
	p.visit(authorize)
	p.await("asked again", title, "")
	p.follow(p.say("consent.allow"))
	p.await("allowed", "allowed", "")
	p.visit(authorize)
	p.await("remembered", "allowed", "")
}

// application runs an application of somebody else and returns the address at
// which it asks for an account, with more parameters if given.
func application(t *testing.T, issuer string, more ...string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/callback" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		outcome := "refused"
		if r.FormValue("code") != "" {
			outcome = "allowed"
		}
		fmt.Fprintf(w, `<!doctype html><html lang=en><title>Application</title><link rel=icon href="data:,"><main><h1>%s</h1></main>`, outcome)
	}))
	t.Cleanup(server.Close)
	challenge := sha256.Sum256([]byte("a-verifier-that-is-long-enough-for-rfc-7636-0123"))
	query := url.Values{
		"client_id": {"spa"}, "response_type": {"code"}, "scope": {"openid profile email"},
		"redirect_uri": {server.URL + "/callback"}, "state": {"a-state-long-enough"}, "nonce": {"a-nonce-long-enough"},
		"code_challenge":        {base64.RawURLEncoding.EncodeToString(challenge[:])},
		"code_challenge_method": {"S256"},
	}
	for i := 0; i+1 < len(more); i += 2 {
		query.Set(more[i], more[i+1])
	}
	return issuer + "/oauth/authorize?" + query.Encode()
}
