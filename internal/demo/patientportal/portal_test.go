package patientportal

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portico-id/portico/internal/demo/look/looktest"
	"github.com/portico-id/portico/internal/demo/relyingparty/optest"
)

func start(t *testing.T) (*optest.OP, string) {
	t.Helper()
	op := optest.New(t)
	server := httptest.NewUnstartedServer(nil)
	base := "http://" + server.Listener.Addr().String()
	op.Redirect = base + "/callback"
	zone, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	portal, err := New(Config{BaseURL: base, Issuer: op.Issuer, ClientID: optest.ClientID, ClientSecret: optest.ClientSecret, Zone: zone})
	if err != nil {
		t.Fatal(err)
	}
	server.Config.Handler = portal
	server.Start()
	t.Cleanup(server.Close)
	return op, base
}

func TestAPersonSignsInLooksAtTheAccountAndSignsOut(t *testing.T) {
	op, base := start(t)
	b := looktest.NewBrowser(t, "en")
	if p := b.Get(base + "/"); p.Title() != "Welcome to your Patient Portal" || p.Link("Settings") != "" {
		t.Fatalf("landing page: %s", p.Body)
	}
	if p := b.Click("Sign in"); p.Title() != "Hello, Ana" || !p.Says("ana.rivera@example.test") {
		t.Fatalf("home page: %s", p.Body)
	}
	q := op.Authorized[0]
	if q.Get("scope") != "openid profile email offline_access" || q.Get("ui_locales") != "en" || q.Get("state") == "" || q.Get("nonce") == "" || len(q.Get("code_challenge")) != 43 {
		t.Errorf("authorization request: %v", q)
	}
	b.Click("Settings")
	if p := b.Get(b.Page.URL.ResolveReference(&url.URL{Path: "/settings/account"}).String()); p.Title() != "My Account" ||
		!strings.HasPrefix(p.Link("Change password"), op.Issuer+"/account/password") ||
		!strings.HasPrefix(p.Link("See everything in your account"), op.Issuer+"/account") {
		t.Fatalf("account page: %s", p.Body)
	}
	if p := b.Send("Sign out", nil); p.Title() != "You are signed out" {
		t.Fatalf("after sign-out: %s", p.Body)
	}
	if out := op.LoggedOut; len(out) != 1 || out[0].Get("id_token_hint") == "" || out[0].Get("post_logout_redirect_uri") != base+"/signed-out" || out[0].Get("client_id") != optest.ClientID {
		t.Errorf("logout: %v", out)
	}
	if p := b.Get(base + "/"); p.Title() != "Welcome to your Patient Portal" {
		t.Errorf("still signed in: %s", p.Body)
	}
}

func TestTheLanguageIsChosenByLinkCookieAccountAndBrowser(t *testing.T) {
	op, base := start(t)
	spanish := looktest.NewBrowser(t, "es-MX,es;q=0.9,en;q=0.5")
	if p := spanish.Get(base + "/"); p.Title() != "Le damos la bienvenida al Portal del Paciente" || !strings.Contains(p.Body, `<html lang="es"`) {
		t.Fatalf("landing page: %s", p.Body)
	}
	spanish.Click("Iniciar sesión")
	if got := op.Authorized[0].Get("ui_locales"); got != "es" {
		t.Errorf("ui_locales %q", got)
	}
	if p := spanish.Get(base + "/settings/account"); !strings.HasSuffix(p.Link("Cambiar la contraseña"), "/account/password?lang=es") {
		t.Errorf("account page: %s", p.Body)
	}
	if p := spanish.Click("English"); p.Title() != "My Account" {
		t.Errorf("after choosing English: %s", p.Body)
	}
	if p := spanish.Get(base + "/settings"); p.Title() != "Settings" {
		t.Errorf("English was forgotten: %s", p.Body)
	}
	op.Person.Locale = "es"
	english := looktest.NewBrowser(t, "en")
	english.Get(base + "/")
	if p := english.Click("Sign in"); p.Title() != "Hola, Ana" {
		t.Errorf("the account's language was not used: %s", p.Body)
	}
}

func TestSettingsAskForSignInAndComeBack(t *testing.T) {
	_, base := start(t)
	b := looktest.NewBrowser(t, "en")
	if p := b.Get(base + "/settings/account"); p.Title() != "My Account" || p.URL.Path != "/settings/account" {
		t.Errorf("%s: %s", p.URL, p.Body)
	}
}

func TestAnEndedGrantEndsTheVisit(t *testing.T) {
	op, base := start(t)
	b := looktest.NewBrowser(t, "en")
	b.Get(base + "/signin")
	op.Forget() // the access token has expired, the grant is good
	if p := b.Get(base + "/"); p.Title() != "Hello, Ana" || op.Refreshed != 1 {
		t.Errorf("%d renewals, page %q", op.Refreshed, p.Title())
	}
	op.Lock()
	op.Revoked = true // a new password elsewhere
	op.Unlock()
	if p := b.Get(base + "/"); p.Title() != "Welcome to your Patient Portal" {
		t.Errorf("still signed in: %s", p.Body)
	}
}

func TestFailedSignInsAreExplained(t *testing.T) {
	for name, c := range map[string]struct {
		break_ func(*optest.OP)
		title  string
		status int
	}{
		"denied":        {func(op *optest.OP) { op.Deny = "access_denied" }, "You are not signed in", 403},
		"other nonce":   {func(op *optest.OP) { op.Nonce = "somebody else's" }, "Signing in does not work right now", 502},
		"other issuer":  {func(op *optest.OP) { op.WrongIssuer = true }, "This sign-in timed out", 400},
		"provider down": {func(op *optest.OP) { op.Broken = 500 }, "Signing in does not work right now", 502},
	} {
		t.Run(name, func(t *testing.T) {
			op, base := start(t)
			c.break_(op)
			b := looktest.NewBrowser(t, "en")
			if p := b.Get(base + "/signin"); p.Title() != c.title || p.Status != c.status {
				t.Errorf("%d %q", p.Status, p.Title())
			}
			if p := b.Get(base + "/"); p.Title() != "Welcome to your Patient Portal" {
				t.Errorf("signed in all the same: %s", p.Body)
			}
		})
	}
}

func TestAnAnswerOfAnotherBrowserIsRefused(t *testing.T) {
	_, base := start(t)
	victim, attacker := looktest.NewBrowser(t, "en"), looktest.NewBrowser(t, "en")
	attacker.Client().CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if r.URL.Path == "/callback" {
			return http.ErrUseLastResponse
		}
		return nil
	}
	res, err := attacker.Client().Get(base + "/signin")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if p := victim.Get(res.Header.Get("Location")); p.Status != 400 || p.Title() != "This sign-in timed out" {
		t.Errorf("%d %q", p.Status, p.Title())
	}
}

func TestSignOutNeedsTheSessionsOwnForm(t *testing.T) {
	_, base := start(t)
	b := looktest.NewBrowser(t, "en")
	b.Get(base + "/signin")
	for name, change := range map[string]func(*http.Request){
		"other site": func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") },
		"no token": func(r *http.Request) {
			body := strings.NewReader("csrf=x")
			r.Body, r.ContentLength = http.NoBody, 0
			*r = *r.Clone(r.Context())
			next, _ := http.NewRequest("POST", r.URL.String(), body)
			next.Header = r.Header
			*r = *next
		},
	} {
		req := b.Request("Sign out", nil)
		change(req)
		res, err := b.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != 403 {
			t.Errorf("%s: %s", name, res.Status)
		}
	}
	if p := b.Get(base + "/"); p.Title() != "Hello, Ana" {
		t.Error("signed out by a foreign form")
	}
}

func TestThePageOfAnUnknownAddressIsA404(t *testing.T) {
	_, base := start(t)
	b := looktest.NewBrowser(t, "en")
	if p := b.Get(base + "/nothing"); p.Status != 404 {
		t.Errorf("%d", p.Status)
	}
	b.Get(base + "/signed-out")
}

var placeholder = regexp.MustCompile(`\{\w+\}`)

func TestEverySentenceIsThereInBothLanguages(t *testing.T) {
	for key, text := range words {
		if text[0] == "" || text[1] == "" || text[0] == text[1] && key != "error.prefix" {
			t.Errorf("%s: %q", key, text)
		}
		if !slices.Equal(placeholder.FindAllString(text[0], -1), placeholder.FindAllString(text[1], -1)) {
			t.Errorf("%s: placeholders differ: %q", key, text)
		}
		if strings.Count(text[1], "?") != strings.Count(text[1], "¿") || strings.Count(text[1], "!") != strings.Count(text[1], "¡") {
			t.Errorf("%s: Spanish marks are not in pairs: %q", key, text[1])
		}
	}
}
