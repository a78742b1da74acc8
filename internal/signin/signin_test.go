package signin_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/account/accounttest"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/signin"
	"github.com/portico-id/portico/internal/web/webtest"
)

var (
	flow    = uuid.MustParse("0192f0c1-1111-7000-8000-000000000001")
	expired = uuid.MustParse("0192f0c1-1111-7000-8000-000000000002")
)

// flows knows one request of the portal and one that has expired.
type flows struct{}

func (flows) Describe(_ context.Context, _ *realm.Realm, id uuid.UUID, browser []byte) (signin.Flow, error) {
	switch {
	case len(browser) == 0:
		return signin.Flow{}, fmt.Errorf("no browser")
	case id == flow:
		return signin.Flow{ClientID: accounttest.PortalID, ClientName: "Maple <Portal>", ClientNames: map[string]string{"es": "Portal <Arce>"}, LoginHint: "hint@example.test",
			UILocales: "es en", RedirectOrigin: "https://portal.example.test/callback"}, nil
	case id == expired:
		return signin.Flow{ClientID: accounttest.PortalID}, signin.ErrFlow
	}
	return signin.Flow{}, fmt.Errorf("read: %w", signin.ErrFlow)
}

func (w *world) browser(ip string) *webtest.Browser {
	b := w.Browser(func(g *gin.Engine) {
		g.Use(func(c *gin.Context) {
			if from := c.GetHeader("X-Test-From"); from != "" {
				c.Request.RemoteAddr = from + ":40000"
			}
		})
		w.mount(g)
	})
	b.Header.Set("X-Test-From", ip)
	return b
}

func try(b *webtest.Browser, path, email, plain string) *webtest.Page {
	b.Get(path)
	return b.Post(path, url.Values{"email": {email}, "password": {plain}})
}

const (
	plainPath = "/signin"
	flowPath  = "/signin?flow=0192f0c1-1111-7000-8000-000000000001&lang=en"
	noMatch   = "That email and password do not match. Check both and try again."
)

func TestSignInLeadsBackToTheClient(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a := w.Person(accounttest.Email)
		b := w.browser("192.0.2.1")
		p := b.Get("/signin?flow=" + flow.String())
		if p.H1() != "Iniciar sesión" || !strings.Contains(p.Text(), "para continuar a Portal <Arce>.") {
			t.Errorf("ui_locales: %s", p.Text())
		}
		p = b.Get(flowPath)
		if !strings.Contains(p.Text(), "to continue to Maple <Portal>.") || p.Value("email") != "hint@example.test" {
			t.Errorf("%s", p.Text())
		}
		if !strings.Contains(p.Header.Get("Content-Security-Policy"), "form-action 'self' https://portal.example.test") {
			t.Errorf("%s", p.Header.Get("Content-Security-Policy"))
		}
		if want := "/patient/forgot?flow=" + flow.String(); p.Link("Forgot your password?") != want {
			t.Errorf("%q", p.Link("Forgot your password?"))
		}
		p = try(b, flowPath, "MARIA.gomez@example.test", accounttest.Password)
		if p.Status != http.StatusSeeOther || p.Location() != "/patient/oauth/authorize?flow="+flow.String() {
			t.Fatalf("%d %s", p.Status, p.Location())
		}
		if b.Cookie("") == "" || w.Events("signin.succeeded") != 1 {
			t.Error("no session")
		}
		got, err := w.Accounts.Find(context.Background(), w.Realm.Name, a.ID)
		if err != nil || got.LastSignedInAt == nil {
			t.Errorf("%v", err)
		}
		// Signing in again makes a new session and ends the old one.
		first := b.Cookie("")
		try(b, flowPath, accounttest.Email, accounttest.Password)
		if b.Cookie("") == first || w.Count(`SELECT COUNT(*) FROM sessions WHERE ended_at IS NULL`) != 1 {
			t.Error("the old session lives on")
		}
		// A planted cookie is worth nothing after the sign-in.
		victim := w.browser("192.0.2.2")
		victim.SetCookie("", first)
		try(victim, flowPath, accounttest.Email, accounttest.Password)
		if victim.Cookie("") == first {
			t.Error("session fixation")
		}
	})
}

func TestWithoutAClientSignInLeadsToMyAccount(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Person(accounttest.Email)
		for query, want := range map[string]string{
			"":                               "/patient/account",
			"?return_to=/account/password":   "/patient/account/password",
			"?return_to=https://evil.test/":  "/patient/account",
			"?return_to=//evil.test/account": "/patient/account",
			"?return_to=/account/../oauth":   "/patient/account",
			"?return_to=/account?x=1":        "/patient/account",
			"?return_to=/accounts":           "/patient/account",
			"?return_to=/account%0d%0aX-Y:z": "/patient/account",
			"?return_to=/oauth/authorize":    "/patient/account",
		} {
			b := w.browser("192.0.2.1")
			if p := try(b, "/signin"+query, accounttest.Email, accounttest.Password); p.Location() != want {
				t.Errorf("%s leads to %q", query, p.Location())
			}
			if p := b.Get("/signin" + query); p.Status != http.StatusSeeOther || p.Location() != want {
				t.Errorf("signed in already, %s: %d %q", query, p.Status, p.Location())
			}
		}
	})
}

func TestEveryRefusalLooksTheSame(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Person(accounttest.Email)
		closed := w.Person("closed.mail@example.test")
		if err := w.Accounts.Disable(context.Background(), w.Realm, closed.ID, account.By{Actor: "system"}); err != nil {
			t.Fatal(err)
		}
		w.Create(account.New{LoginEmail: "invit.mail1@example.test", State: account.Invited})
		want := ""
		for email, plain := range map[string]string{accounttest.Email: "wrong", "nobody.here@example.test": accounttest.Password,
			"closed.mail@example.test": accounttest.Password, "invit.mail1@example.test": accounttest.Password} {
			p := try(w.browser("192.0.2.1"), plainPath, email, plain)
			if p.Status != http.StatusUnprocessableEntity || p.ByID("email-err") != noMatch || p.Value("email") != email {
				t.Errorf("%s: %d %s", email, p.Status, p.Text())
			}
			if strings.Contains(p.Body, plain) && plain != "wrong" {
				t.Error("the password is on the page")
			}
			if want == "" {
				want = p.Text()
			}
			if p.Text() != want {
				t.Errorf("%s: %s", email, p.Text())
			}
		}
		if n := w.Events("signin.failed"); n != 4 {
			t.Errorf("%d events", n)
		}
		if strings.Contains(w.Dump(), "nobody.here") || strings.Contains(w.Log.String(), accounttest.Password) {
			t.Error("what was typed was kept")
		}
		p := try(w.browser("192.0.2.1"), plainPath, "maria", "")
		if p.ByID("email-err") != "Enter an email address like name@example.com" || p.ByID("password-err") != "Enter your password" {
			t.Errorf("%s", p.Text())
		}
	})
}

// What is refused costs one hash, whoever it was aimed at.
func TestRefusalsCostTheSame(t *testing.T) {
	w := accounttest.New(t, dbtest.SQLite(t))
	w.Person(accounttest.Email)
	for _, email := range []string{accounttest.Email, "nobody@example.test"} {
		before := accounttest.Hashed()
		_, _ = w.Accounts.Authenticate(context.Background(), w.Realm, email, "wrong")
		if n := accounttest.Hashed() - before; n != 1 {
			t.Errorf("%s: %d hashes", email, n)
		}
	}
}

func TestGuessingIsSlowedDownKnownOrNot(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		now := time.Date(2025, 3, 3, 9, 0, 0, 0, time.UTC)
		dbtest.SetNow(w.DB, func() time.Time { return now })
		w.Person(accounttest.Email)
		mine := w.browser("198.51.100.7")
		if p := try(mine, plainPath, accounttest.Email, accounttest.Password); p.Status != http.StatusSeeOther {
			t.Fatal("the person cannot sign in")
		}
		for _, email := range []string{accounttest.Email, "nobody@example.test"} {
			slowed := 0
			for range 8 {
				p := try(w.browser("203.0.113.1"), plainPath, email, "wrong")
				if strings.HasPrefix(p.ByID("email-err"), "Too many tries.") {
					slowed++
					if p.Header.Get("Retry-After") == "" {
						t.Error("no Retry-After")
					}
				} else if p.ByID("email-err") != noMatch {
					t.Errorf("%s", p.Text())
				}
			}
			if slowed != 3 {
				t.Errorf("%s: %d of 8 tries were slowed down, want those after the fifth", email, slowed)
			}
		}
		// The right password is not even looked at from there.
		if p := try(w.browser("203.0.113.1"), plainPath, accounttest.Email, accounttest.Password); p.Status == http.StatusSeeOther {
			t.Error("the delay does not hold")
		}
		// The person's own device, even behind the attacker's address, is free.
		mine.Header.Set("X-Test-From", "203.0.113.1")
		mine.SetCookie("", "")
		if p := try(mine, plainPath, accounttest.Email, accounttest.Password); p.Status != http.StatusSeeOther {
			t.Errorf("the attacker keeps the known device out: %d", p.Status)
		}
		// The mark of one person's device is worth nothing for another address.
		mine.SetCookie("", "")
		w.Person("other@example.test")
		for range 6 {
			try(mine, plainPath, "other@example.test", "wrong")
		}
		if p := try(mine, plainPath, "other@example.test", accounttest.Password); p.Status == http.StatusSeeOther {
			t.Error("a known device is known to everybody")
		}
		// And a made-up mark to nobody.
		forger := w.browser("203.0.113.1")
		forger.SetCookie("device", strings.Repeat("A", 64))
		if p := try(forger, plainPath, "other@example.test", accounttest.Password); p.Status == http.StatusSeeOther {
			t.Error("a made-up mark counts")
		}
	})
}

func TestAHundredFailuresDisableThePasswordUntilRecovery(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Realm.SignIn.DisableAtFailures = 6
		a := w.Person(accounttest.Email)
		mine := w.browser("198.51.100.7")
		try(mine, plainPath, accounttest.Email, accounttest.Password)
		for i := range 7 {
			if p := try(w.browser(fmt.Sprintf("203.0.113.%d", i)), plainPath, accounttest.Email, "wrong"); p.ByID("email-err") != noMatch {
				t.Fatalf("%s", p.Text())
			}
		}
		stranger := w.browser("203.0.113.99")
		if p := try(stranger, plainPath, accounttest.Email, accounttest.Password); p.ByID("email-err") != noMatch {
			t.Errorf("the password still works from a new device: %d", p.Status)
		}
		mine.SetCookie("", "")
		if p := try(mine, plainPath, accounttest.Email, accounttest.Password); p.Status != http.StatusSeeOther {
			t.Errorf("the known device is out: %d", p.Status)
		}
		ctx := context.Background()
		hash, err := w.Accounts.HashPassword(ctx, w.Realm, a, accounttest.NewPassword)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.DB.InTx(ctx, func(ctx context.Context) error {
			return w.Accounts.ReplacePassword(ctx, w.Realm, a.ID, hash, account.Reason{Why: account.Recovery})
		}); err != nil {
			t.Fatal(err)
		}
		if p := try(w.browser("203.0.113.98"), plainPath, accounttest.Email, accounttest.NewPassword); p.Status != http.StatusSeeOther {
			t.Errorf("recovery does not lift it: %d", p.Status)
		}
	})
}

func TestARequestThatIsGoneStartsAgainAtTheClient(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		b := w.browser("192.0.2.1")
		for query, link := range map[string]string{expired.String(): accounttest.PortalStart, uuid.NewString(): w.Realm.Home, "x": w.Realm.Home} {
			p := b.Get("/signin?flow=" + query)
			if p.Status != http.StatusForbidden || p.H1() != "This page timed out" || p.Link("Start again") != link {
				t.Errorf("%s: %d %q %q", query, p.Status, p.H1(), p.Link("Start again"))
			}
		}
		b.Get(plainPath)
		if p := b.Post(plainPath, url.Values{"csrf": {"forged"}, "email": {accounttest.Email}, "password": {"x"}}); p.Status != http.StatusForbidden {
			t.Errorf("forged: %d", p.Status)
		}
		if n := w.Count(`SELECT COUNT(*) FROM rate_delays`); n != 0 {
			t.Error("a forged form was counted as a try")
		}
	})
}

func TestADeadDatabaseIsNotAWrongPassword(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Person(accounttest.Email)
		b := w.browser("192.0.2.1")
		b.Get(plainPath)
		w.Exec(`DROP TABLE audit_unchained`)
		p := b.Post(plainPath, url.Values{"email": {accounttest.Email}, "password": {accounttest.Password}})
		if p.Status != http.StatusInternalServerError || b.Cookie("") != "" {
			t.Errorf("signed in without a trace: %d", p.Status)
		}
	})
}
