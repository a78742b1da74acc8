package signin_test

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/net/html"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/account/accounttest"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/session"
	"github.com/portico-id/portico/internal/web/webtest"
)

const (
	enrol        = "/signin/enrol"
	enrolFlow    = "/signin/enrol?flow=0192f0c1-1111-7000-8000-000000000001"
	enrolApp     = "/signin/enrol/app"
	enrolPasskey = "/signin/enrol/passkey"
)

// demand makes the realm insist on second factors.
func (w *world) demand() { w.Realm.Factors.Required = realm.SecondFactorEveryone }

// keyOn is the key for an authenticator app, as the page shows it.
func keyOn(t *testing.T, p *webtest.Page) string {
	t.Helper()
	var found string
	var walk func(n *html.Node)
	walk = func(n *html.Node) {
		if n.Data == "strong" && n.FirstChild != nil && len(n.FirstChild.Data) == 39 {
			found = n.FirstChild.Data
		}
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			walk(c)
		}
	}
	walk(p.Doc)
	if found == "" {
		t.Fatalf("no key: %s", p.Text())
	}
	return found
}

func TestDuringTheGracePeriodASecondStepIsOffered(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		now := time.Date(2025, 3, 3, 9, 0, 0, 0, time.UTC)
		dbtest.SetNow(w.DB, func() time.Time { return now })
		w.Person(accounttest.Email)
		w.demand()
		b := w.browser("192.0.2.1")
		p := w.half(b, plainPath)
		if p.H1() != "Set up a second step" || !strings.Contains(p.Text(), "by March 17, 2025.") || !strings.Contains(p.Text(), "Not now") ||
			p.Link("Use an authenticator app") != "/patient"+enrolApp || p.Link("Use a passkey") != "/patient"+enrolPasskey {
			t.Fatalf("%s", p.Text())
		}
		if w.sessions() != 0 || b.Cookie("") != "" {
			t.Error("a session before the answer")
		}
		p = b.Post(enrol, url.Values{})
		if p.Location() != "/patient/account" {
			t.Fatalf("%d %s", p.Status, p.Text())
		}
		if s := w.sessionOf(b); s == nil || s.ACR != session.Password || !slices.Equal(s.AMR, []string{"pwd"}) {
			t.Errorf("%+v", s)
		}
		if w.Events("signin.succeeded") != 1 {
			t.Error("no event")
		}
		// The time runs from the first time, and from no other.
		now = now.Add(10 * 24 * time.Hour)
		b.SetCookie("", "")
		if p := w.half(b, plainPath); !strings.Contains(p.Text(), "by March 17, 2025.") {
			t.Errorf("%s", p.Text())
		}
		now = now.Add(4*24*time.Hour + time.Second)
		p = w.half(w.browser("192.0.2.2"), plainPath)
		if strings.Contains(p.Text(), "Not now") || !strings.Contains(p.Text(), "Your account must have a second step. Set one up to go on.") {
			t.Errorf("%s", p.Text())
		}
		b = w.browser("192.0.2.3")
		w.half(b, plainPath)
		p = b.Post(enrol, url.Values{})
		if p.Status != http.StatusUnprocessableEntity || !strings.Contains(p.Text(), "It cannot wait any longer.") || w.sessionOf(b) != nil {
			t.Errorf("not now, after the last day: %d %s", p.Status, p.Text())
		}
		// Nor does another way lead past it.
		for _, path := range []string{"/account", second, secondFlow} {
			if p := b.Get(path); p.Status != http.StatusSeeOther || p.Location() == "/patient/account" {
				t.Errorf("%s: %d %s", path, p.Status, p.Location())
			}
		}
		if p := b.Post(second, code("000000")); w.sessionOf(b) != nil {
			t.Errorf("%d", p.Status)
		}
	})
}

func TestSettingUpAnAppCompletesTheSignIn(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a := w.Person(accounttest.Email)
		w.demand()
		w.Realm.Factors.Grace = 0
		b := w.browser("192.0.2.1")
		w.half(b, plainPath)
		p := b.Get(enrolApp)
		if p.H1() != "Set up an authenticator app" || !strings.Contains(p.Body, "<svg") || p.Link("Back") != "/patient"+enrol {
			t.Fatalf("%s", p.Text())
		}
		app := appOf(w, keyOn(t, p))
		if p = b.Post(enrolApp, code("")); p.ByID("code-err") != "Enter the code" {
			t.Errorf("%s", p.Text())
		}
		p = b.Post(enrolApp, url.Values{"code": {app.bad()}})
		if p.Status != http.StatusUnprocessableEntity || p.ByID("code-err") == "" {
			t.Errorf("%d %s", p.Status, p.Text())
		}
		app = appOf(w, keyOn(t, p))
		p = b.Post(enrolApp, url.Values{"code": {app.now()}})
		if p.Status != http.StatusOK || p.H1() != "Recovery codes" || p.Link("Continue") != "/patient/account" || strings.Count(p.Body, "<li><strong>") != 10 {
			t.Fatalf("%d %s", p.Status, p.Text())
		}
		if s := w.sessionOf(b); s == nil || s.ACR != session.TwoFactors || !slices.Equal(s.AMR, []string{"pwd", "otp", "mfa"}) || s.AccountID != a.ID {
			t.Errorf("%+v", s)
		}
		if p := b.Get("/account"); p.Status != http.StatusOK {
			t.Errorf("%d", p.Status)
		}
		// The next sign-in asks for it.
		b.SetCookie("", "")
		if p := w.half(b, plainPath); p.H1() != "One more step" {
			t.Errorf("%s", p.Text())
		}
		// And offers no way to set up another.
		for _, path := range []string{enrol, enrolApp, enrolPasskey} {
			if p := b.Get(path); p.Location() != "/patient/signin/second" {
				t.Errorf("%s: %d %s", path, p.Status, p.Location())
			}
		}
		setupBefore := w.Count(`SELECT COUNT(*) FROM totp_setups`)
		b.Get(second)
		if p := b.Post(enrolApp, code(app.next())); p.Location() != "/patient/signin/second" || w.Count(`SELECT COUNT(*) FROM totp_setups`) != setupBefore {
			t.Errorf("%d", p.Status)
		}
	})
}

func TestSettingUpAPasskeyCompletesTheSignIn(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Person(accounttest.Email)
		w.demand()
		b := w.browser("192.0.2.1")
		w.half(b, flowPath)
		p := b.Get(enrolPasskey + "?flow=" + flow.String())
		if !p.Has("name") || p.Value("options") == "" || p.Link("Back") != "/patient"+enrolFlow {
			t.Fatalf("%s", p.Text())
		}
		for _, bad := range []string{"", "x", "{}"} {
			q := b.Post(enrolPasskey+"?flow="+flow.String(), url.Values{"response": {bad}, "name": {"My phone"}})
			if q.Status != http.StatusUnprocessableEntity || !strings.Contains(q.Text(), "This passkey cannot be used here.") || q.Value("name") != "My phone" {
				t.Fatalf("%q: %d %s", bad, q.Status, q.Text())
			}
		}
		k := newKey()
		p = b.Post(enrolPasskey+"?flow="+flow.String(), url.Values{"response": {k.create(t, p.Value("options"))}, "name": {"My phone"}})
		if p.Status != http.StatusOK || p.Link("Continue") != "/patient/oauth/authorize?flow="+flow.String() || strings.Count(p.Body, "<li><strong>") != 10 {
			t.Fatalf("%d %s", p.Status, p.Text())
		}
		if s := w.sessionOf(b); s == nil || s.ACR != session.TwoFactors || !slices.Contains(s.AMR, "mfa") {
			t.Errorf("%+v", s)
		}
	})
}

func TestOnlyTheRolesThatMustAreAsked(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a := w.Person(accounttest.Email)
		w.Realm.Factors.Required, w.Realm.Factors.Roles = realm.SecondFactorRoles, []string{"administrator"}
		mine := roles{a.ID: {"viewer"}}
		w.factors.Duties = mine
		b := w.browser("192.0.2.1")
		if !again(b, accounttest.Password) || w.sessions() != 1 {
			t.Fatal("a viewer is asked")
		}
		mine[a.ID] = []string{"viewer", "administrator"}
		b.SetCookie("", "")
		if p := w.half(b, plainPath); p.H1() != "Set up a second step" {
			t.Errorf("%s", p.Text())
		}
		// The role was taken away meanwhile: it may always wait.
		mine[a.ID] = nil
		if p := b.Post(enrol, url.Values{}); p.Location() != "/patient/account" {
			t.Errorf("%d %s", p.Status, p.Text())
		}
	})
}

// roles are the staff roles of accounts.
type roles map[uuid.UUID][]string

func (r roles) Roles(_ context.Context, id uuid.UUID) ([]string, error) { return r[id], nil }

func TestAClientThatInsistsIsAnsweredOneWayOrTheOther(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a := w.Person(accounttest.Email)
		b := w.browser("192.0.2.1")
		w.SignIn(b, a)
		old := b.Cookie("")
		p := b.Get(enrolFlow + "&lang=en")
		if !strings.Contains(p.Text(), "Maple <Portal> asks for more than a password.") || !strings.Contains(p.Text(), "Not now") {
			t.Fatalf("%d %s", p.Status, p.Text())
		}
		if p := b.Post(enrolFlow, url.Values{}); p.Location() != "/patient/oauth/authorize?flow="+flow.String()+"&declined=1" {
			t.Errorf("%d %s", p.Status, p.Location())
		}
		path := enrolApp + "?flow=" + flow.String()
		p = b.Get(path)
		app := appOf(w, keyOn(t, p))
		p = b.Post(path, url.Values{"code": {app.now()}})
		if p.Status != http.StatusOK || p.Link("Continue") != "/patient/oauth/authorize?flow="+flow.String() {
			t.Fatalf("%d %s", p.Status, p.Text())
		}
		if s := w.sessionOf(b); s == nil || s.ACR != session.TwoFactors || b.Cookie("") == old || w.sessions() != 1 {
			t.Errorf("%+v", s)
		}
		if p := b.Get(enrolFlow); p.Location() != "/patient/oauth/authorize?flow="+flow.String() {
			t.Errorf("strong already: %d %s", p.Status, p.Location())
		}
	})
}

// An open browser that somebody walked away from is not enough to add what
// proves a person.
func TestAnOldSessionSetsNothingUp(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a := w.Person(accounttest.Email)
		b := w.browser("192.0.2.1")
		w.SignIn(b, a)
		if p := b.Get(enrol); p.Location() != "/patient/account" {
			t.Errorf("nobody asked: %d %s", p.Status, p.Location())
		}
		b.Get(enrolFlow)
		dbtest.Advance(w.DB, 6*time.Minute)
		for _, path := range []string{enrol, enrolApp, enrolPasskey} {
			if p := b.Get(path + "?flow=" + flow.String()); p.Location() != "/patient/signin?flow="+flow.String() {
				t.Errorf("%s: %d %s", path, p.Status, p.Location())
			}
			if p := b.Post(path+"?flow="+flow.String(), code("000000")); p.Location() != "/patient/signin?flow="+flow.String() {
				t.Errorf("POST %s: %d %s", path, p.Status, p.Location())
			}
		}
		if w.Count(`SELECT COUNT(*) FROM totp_setups`) != 0 {
			t.Error("a setup was begun")
		}
	})
}

func TestWhatChangesWhileASecondStepIsSetUpEndsTheSignIn(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a := w.Person(accounttest.Email)
		w.demand()
		b := w.browser("192.0.2.1")
		w.half(b, plainPath)
		b.Get(enrolApp)
		w.replacePassword(a, accounttest.NewPassword)
		if p := b.Post(enrolApp, code("000000")); p.Location() != "/patient/signin" {
			t.Errorf("%d %s", p.Status, p.Location())
		}
		if p := b.Post(enrol, url.Values{}); p.Location() != "/patient/signin" || w.sessions() != 0 {
			t.Errorf("%d %s", p.Status, p.Location())
		}
		must(t, w.Accounts.Disable(context.Background(), w.Realm, a.ID, account.By{Actor: "system"}))
		if p := b.Get(enrol); p.Location() != "/patient/signin" {
			t.Errorf("%d %s", p.Status, p.Location())
		}
	})
}

// A second tab, or a browser that reads ahead, leaves what was scanned good.
func TestLookingAtTheAppAgainKeepsTheScannedCode(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Person(accounttest.Email)
		w.demand()
		b := w.browser("192.0.2.1")
		w.half(b, plainPath)
		scanned := keyOn(t, b.Get(enrolApp))
		if keyOn(t, b.Get(enrolApp)) != scanned {
			t.Error("a second tab shows another code")
		}
		// Another sign-in of the same person has one of its own.
		other := w.browser("198.51.100.7")
		w.half(other, plainPath)
		if keyOn(t, other.Get(enrolApp)) == scanned {
			t.Error("another browser is shown the same code")
		}
		if p := b.Post(enrolApp, code(appOf(w, scanned).now())); p.Status != http.StatusOK || w.sessionOf(b) == nil {
			t.Errorf("the code that was scanned first: %d %s", p.Status, p.Text())
		}
	})
}
