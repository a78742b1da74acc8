package uitest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestStrangers is an application that registered itself, which the demo's
// realms do not allow: nobody has checked it, and every page says so.
func TestStrangers(t *testing.T) {
	t.Parallel()
	r := startRelaxed(t, "trust_redirect_uris: true", "trust_redirect_uris: false")
	for _, pr := range []profile{phoneLight, desktopDark} {
		t.Run(pr.lang, func(t *testing.T) { stranger(t, r, pr) })
	}
}

func stranger(t *testing.T, r *relaxed, pr profile) {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, `<!doctype html><html lang=en><title>Recipes</title><link rel=icon href="data:,"><main><h1>Recipes %s</h1></main>`, strings.Trim(r.URL.Path, "/"))
	}))
	t.Cleanup(app.Close)
	at := strings.Replace(app.URL, "127.0.0.1", "localhost", 1)
	name := map[string]string{"en": "Recipe box", "es": "Recetario"}[pr.lang]
	id := r.register(t, map[string]any{"client_name": name, "redirect_uris": []string{at + "/callback"}, "token_endpoint_auth_method": "none", "application_type": "native",
		"policy_uri": "https://recipes.example.test/privacy", "tos_uri": "https://recipes.example.test/terms", "scope": "openid profile email address phone"})
	p := open(t, "stranger", pr)
	p.issuers = []string{r.issuer}
	authorize := func(more ...string) string {
		return r.request(append([]string{"client_id", id, "redirect_uri", at + "/callback", "scope", "openid profile email address phone", "state", "a-state-long-enough",
			"code_challenge", strings.Repeat("A", 43), "code_challenge_method", "S256"}, more...)...)
	}

	p.visit(authorize())
	p.await("sign-in", p.say("signin.title"), "")
	p.insists()
	p.shown("1-signin", p.say("signin.title"))
	p.reads("stranger.unverified")
	p.reads("signin.client_terms")
	p.signIn("robin.avery@example.test", r.password)
	p.shown("2-consent", p.say("consent.title", "client", name))
	p.reads("stranger.host")
	p.follow(p.say("consent.allow"))
	p.await("in the application", "Recipes callback", "")

	p.visit(r.issuer + "/account/apps")
	p.await("3-apps", p.say("apps.title"), p.say("apps.unverified"))
	p.check("3-apps")
	p.follow(p.say("apps.remove") + " " + name)
	p.shown("4-remove", p.say("apps.remove.title", "app", name))
	p.visit(r.issuer + "/account/history")
	p.await("5-history", p.say("history.title"), p.say("apps.unverified_name", "app", name))
	p.check("5-history")

	host := strings.TrimPrefix(at, "http://")
	p.visit(authorize("response_type", "rubbish"))
	p.refusedWith("6-leave", p.say("leave.title", "host", host), http.StatusBadRequest, "leave.what")
	p.visit(authorize("response_type", "rubbish", "response_mode", "form_post"))
	p.refusedWith("7-leave-by-post", p.say("leave.title", "host", host), http.StatusBadRequest, "leave.what")
	p.follow(p.say("leave.stay"))
	p.await("stayed", p.say("account.title"), "")

	p.visit(r.request("prompt", "consent"))
	p.await("consent", p.say("consent.title", "client", "Conformance client 1"), "")
	p.follow(p.say("consent.allow"))
	p.awaitLoad("in the other application")

	// The page that tells the applications goes on when they have heard, or, in
	// a browser without scripts, after a while.
	p.withoutScripts()
	p.visit(r.issuer + "/oauth/logout")
	p.await("sign out", p.say("logout.title"), name)
	p.follow(p.say("logout.submit"))
	p.shown("8-leaving", p.say("logout.leaving.title"))
}

// register is what an application does that registers itself (RFC 7591).
func (r *relaxed) register(t *testing.T, metadata map[string]any) (id string) {
	t.Helper()
	var discovery struct {
		Registration string `json:"registration_endpoint"`
	}
	if err := getJSON(r.issuer+"/.well-known/openid-configuration", &discovery); err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(metadata)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.Post(discovery.Registration, "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var made struct {
		ID          string `json:"client_id"`
		Description string `json:"error_description"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&made); err != nil || made.ID == "" {
		t.Fatalf("registration answers %s: %s (%v)", answer.Status, made.Description, err)
	}
	return made.ID
}

// TestNoPasskeysAtAnAddress is a provider that is reached by a number instead
// of a name: passkeys belong to names.
func TestNoPasskeysAtAnAddress(t *testing.T) {
	t.Parallel()
	d := startDemo(t, sqlite, "-host", "127.0.0.1")
	for _, pr := range []profile{phoneLight, desktopDark} {
		t.Run(pr.lang, func(t *testing.T) {
			p, _ := d.states(t, "state-number", pr, familyOf(pr).other)
			p.visit(d.Realms["patient"].Issuer + "/account/second-step")
			p.await("1-no-passkeys", p.say("factor.title"), p.say("factor.passkeys.impossible"))
			p.check("1-no-passkeys")
		})
	}
}
