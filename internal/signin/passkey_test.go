package signin_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portico-id/portico/internal/account/accounttest"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/session"
	"github.com/portico-id/portico/internal/web/webtest"
)

func TestAPasskeySignsInAlone(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Realm.Lifetimes.KeptSession = 30 * 24 * time.Hour
		a := w.Person(accounttest.Email)
		k := w.withPasskey(w.Realm, a)
		b := w.browser("192.0.2.1")
		w.SignIn(b, a)
		before := b.Cookie("")
		p := b.Get(flowPath)
		if !strings.Contains(p.Body, `autocomplete="username webauthn"`) || !strings.Contains(p.Body, "data-passkey-conditional") ||
			!strings.Contains(p.Body, `hidden data-passkey="get"`) || strings.Contains(p.Value("options"), "allowCredentials") {
			t.Errorf("%s", p.Body)
		}
		answer := url.Values{"response": {k.get(t, p.Value("options"))}, "keep": {"yes"}, "email": {"anything"}, "password": {"wrong"}}
		p = b.Post(flowPath, answer)
		if p.Location() != "/patient/oauth/authorize?flow="+flow.String() {
			t.Fatalf("%d %s", p.Status, p.Text())
		}
		s := w.sessionOf(b)
		if s == nil || s.ACR != session.TwoFactors || !slices.Equal(s.AMR, []string{"hwk", "user", "mfa"}) || !s.Kept {
			t.Errorf("%+v", s)
		}
		if b.Cookie("") == before || w.sessions() != 1 || w.Events("signin.succeeded") != 1 || b.Cookie("device") == "" {
			t.Error("not a sign-in like any other")
		}
		b.Get(flowPath)
		if p := b.Post(flowPath, answer); p.Status != http.StatusUnprocessableEntity {
			t.Errorf("the same answer again: %d", p.Status)
		}
		// The browser that signed in with it is known to the account.
		for range 8 {
			wrong(w.browser("192.0.2.1"))
		}
		if !again(b, accounttest.Password) {
			t.Error("strangers keep it out")
		}
	})
}

func TestEveryRefusedPasskeyLooksTheSame(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		people := map[string]*key{"unknown": newKey()}
		closed, frozen := w.Person("closed@example.test"), w.Person("frozen@example.test")
		people["disabled"], people["frozen"] = w.withPasskey(w.Realm, closed), w.withPasskey(w.Realm, frozen)
		must(t, w.Accounts.Disable(ctx, w.Realm, closed.ID, by))
		must(t, w.Accounts.Freeze(ctx, w.Realm, frozen.ID, by))
		staff := create(w, w.Other, "staff@example.test")
		people["of another realm"] = w.withPasskey(w.Other, staff)
		want := ""
		for what, k := range people {
			b := w.browser("192.0.2.1")
			p := b.Get(plainPath)
			p = b.Post(plainPath, url.Values{"response": {k.get(t, p.Value("options"))}})
			if want == "" {
				want = p.Text()
			}
			if p.Status != http.StatusUnprocessableEntity || p.Text() != want || b.Cookie("") != "" ||
				!strings.Contains(want, "We could not sign you in with that passkey.") {
				t.Errorf("%s: %d %s", what, p.Status, p.Text())
			}
		}
		for _, garbage := range []string{"x", "{}", "null", strings.Repeat("{", 10<<10)} {
			b := w.browser("192.0.2.1")
			b.Get(plainPath)
			if p := b.Post(plainPath, url.Values{"response": {garbage}}); p.Status != http.StatusUnprocessableEntity || p.Text() != want {
				t.Errorf("%.10q: %d", garbage, p.Status)
			}
		}
		if n := w.Events("signin.failed"); n != 8 || w.sessions() != 0 {
			t.Errorf("%d events", n)
		}
	})
}

func TestPasskeysOfANetworkAreCounted(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Realm.SignIn.AttemptsPerNetwork = 3
		k := w.withPasskey(w.Realm, w.Person(accounttest.Email))
		for range 3 {
			b := w.browser("203.0.113.1")
			b.Get(plainPath)
			b.Post(plainPath, url.Values{"response": {"{}"}})
		}
		b := w.browser("203.0.113.1")
		p := b.Get(plainPath)
		p = b.Post(plainPath, url.Values{"response": {k.get(t, p.Value("options"))}})
		if p.Status != http.StatusUnprocessableEntity || p.Header.Get("Retry-After") == "" || !strings.Contains(p.Text(), "Too many tries.") {
			t.Errorf("%d %s", p.Status, p.Text())
		}
		b = w.browser("203.0.113.2")
		p = b.Get(plainPath)
		if p := b.Post(plainPath, url.Values{"response": {k.get(t, p.Value("options"))}}); p.Status != http.StatusSeeOther {
			t.Errorf("another network: %d %s", p.Status, p.Text())
		}
	})
}

func TestWithoutPasskeysThePageIsAsItWas(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Realm.IssuerURL.Host = "127.0.0.1:9000"
		p := w.browser("192.0.2.1").Get(plainPath)
		if p.Has("options") || p.Has("response") || strings.Contains(p.Body, "passkey") || !strings.Contains(p.Body, `autocomplete="username"`) {
			t.Errorf("%s", p.Body)
		}
	})
}

// A clinic's people share one address with everybody in its waiting room.
func TestStrangersOfANetworkKeepNoKnownDeviceFromItsPasskey(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a := w.Person(accounttest.Email)
		k, stranger := w.withPasskey(w.Realm, a), w.withPasskey(w.Realm, w.Person("other@example.test"))
		use := func(b *webtest.Browser, k *key) *webtest.Page {
			b.SetCookie("", "")
			p := b.Get(plainPath)
			return b.Post(plainPath, url.Values{"response": {k.get(t, p.Value("options"))}})
		}
		mine := w.browser("203.0.113.1")
		if p := use(mine, k); p.Status != http.StatusSeeOther || mine.Cookie("device") == "" {
			t.Fatalf("%d %s", p.Status, p.Text())
		}
		w.Realm.SignIn.AttemptsPerNetwork = 3
		for range 4 {
			b := w.browser("203.0.113.1")
			b.Get(plainPath)
			b.Post(plainPath, url.Values{"response": {"{}"}})
		}
		if p := use(w.browser("203.0.113.1"), k); p.Status != http.StatusUnprocessableEntity {
			t.Fatalf("the network has tries, so this proves nothing: %d", p.Status)
		}
		if p := use(mine, k); p.Status != http.StatusSeeOther {
			t.Errorf("the known device is out: %d %s", p.Status, p.Text())
		}
		// It is an exception for its own account, and as often as others.
		if p := use(mine, stranger); p.Status != http.StatusUnprocessableEntity {
			t.Errorf("somebody else's passkey: %d", p.Status)
		}
		for range 2 {
			use(mine, k)
		}
		if p := use(mine, k); p.Status != http.StatusUnprocessableEntity {
			t.Errorf("there is no end: %d", p.Status)
		}
	})
}

// What passkey.js does with a page that has been open for a while: it reads the
// page again, takes the options and sends the form it has had all along.
func TestAPageReadAgainGivesFreshOptionsAndChangesNothing(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a := w.Person(accounttest.Email)
		k := w.withPasskey(w.Realm, a)
		flowed := plainPath + "?flow=" + flow.String()
		for path, open := range map[string]func(b *webtest.Browser) *webtest.Page{
			flowed:    func(b *webtest.Browser) *webtest.Page { return b.Get(flowPath) },
			plainPath: func(b *webtest.Browser) *webtest.Page { return b.Get(plainPath) },
			secondFlow: func(b *webtest.Browser) *webtest.Page {
				return w.half(b, flowPath)
			},
		} {
			b := w.browser("192.0.2.1")
			first := open(b)
			if !strings.Contains(first.Value("options"), `"timeout":300000`) {
				t.Errorf("%s: %s", path, first.Value("options"))
			}
			rows := w.Count(`SELECT COUNT(*) FROM signin_steps`)
			dbtest.Advance(w.DB, 6*time.Minute)
			again := b.Get(path)
			if again.Status != http.StatusOK || len(again.Header.Values("Set-Cookie")) != 0 || again.Value("options") == first.Value("options") {
				t.Errorf("%s: %d %v", path, again.Status, again.Header.Values("Set-Cookie"))
			}
			if !strings.Contains(again.Header.Get("Content-Security-Policy"), "connect-src 'self';") || w.Count(`SELECT COUNT(*) FROM signin_steps`) != rows {
				t.Errorf("%s: %s", path, again.Header.Get("Content-Security-Policy"))
			}
			form := url.Values{"csrf": {first.Value("csrf")}, "step": {first.Value("step")}}
			form.Set("response", k.get(t, first.Value("options")))
			if p := b.Post(path, form); p.Status != http.StatusUnprocessableEntity {
				t.Errorf("%s: options of six minutes ago: %d", path, p.Status)
			}
			form.Set("response", k.get(t, again.Value("options")))
			if p := b.Post(path, form); p.Status != http.StatusSeeOther || w.sessionOf(b) == nil {
				t.Errorf("%s: %d %s", path, p.Status, p.Text())
			}
		}
	})
}
