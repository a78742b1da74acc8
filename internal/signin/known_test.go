package signin_test

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/account/accounttest"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/factor"
	"github.com/portico-id/portico/internal/signin"
	"github.com/portico-id/portico/internal/web/webtest"
)

// withCode signs a browser in, without the session it may have.
func (w *world) withCode(b *webtest.Browser, c string) *webtest.Page {
	w.T.Helper()
	b.SetCookie("", "")
	w.half(b, plainPath)
	return b.Post(second, code(c))
}

// usesUp types wrong codes until no more are looked at, and wants that to be so
// after the day's tries.
func (w *world) usesUp(b *webtest.Browser, it app) {
	w.T.Helper()
	for range w.Realm.Factors.TriesPerDay {
		if p := w.withCode(b, it.bad()); !strings.Contains(p.ByID("code-err"), "does not match") {
			w.T.Fatalf("a try was not looked at: %d %s", p.Status, p.Text())
		}
	}
	if p := w.withCode(b, it.bad()); !strings.Contains(p.ByID("code-err"), "Too many wrong codes today.") {
		w.T.Fatalf("there is no end: %d %s", p.Status, p.Text())
	}
}

func in(t *testing.T, what string, p *webtest.Page) {
	t.Helper()
	if p.Location() != "/patient/account" {
		t.Errorf("%s: %d %s", what, p.Status, p.Text())
	}
}

// Somebody who once used the person's password in a browser of their own, before
// there was a second step, has the tries of strangers, as everybody has who
// knows no more than that.
func TestABrowserFromBeforeTheSecondStepKeepsNoKnownDeviceOut(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Realm.SignIn.DelayFromFailure, w.Realm.Factors.TriesPerDay = 1000, 3
		a := w.Person(accounttest.Email)
		former, hers := w.browser("198.51.100.7"), w.browser("192.0.2.1")
		for _, b := range []*webtest.Browser{former, hers} {
			if !again(b, accounttest.Password) || b.Cookie("device") == "" {
				t.Fatal("the browser is not known")
			}
		}
		it, codes := w.withApp(a)
		in(t, "her first code", w.withCode(hers, it.next()))
		w.usesUp(former, it)
		in(t, "her browser", w.withCode(hers, it.next()))
		// The other way round, too.
		w.usesUp(hers, it)
		if p := w.withCode(hers, codes[0]); w.sessionOf(hers) != nil {
			t.Errorf("a known browser guesses on: %d", p.Status)
		}
	})
}

// Nor does it end what her browser has begun.
func TestABrowserFromBeforeTheSecondStepEndsNoSignInThatWaits(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a := w.Person(accounttest.Email)
		former, hers := w.browser("198.51.100.7"), w.browser("192.0.2.1")
		again(former, accounttest.Password)
		again(hers, accounttest.Password)
		it, _ := w.withApp(a)
		in(t, "her first code", w.withCode(hers, it.next()))
		hers.SetCookie("", "")
		w.half(hers, plainPath)
		for range 12 {
			dbtest.Advance(w.DB, time.Second)
			former.SetCookie("", "")
			w.half(former, plainPath)
		}
		in(t, "her sign-in", hers.Post(second, code(it.next())))
	})
}

// A browser is known for as long as a factor is there from when it passed.
func TestNewFactorsMakeABrowserKnownAnew(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Realm.SignIn.DelayFromFailure, w.Realm.Factors.TriesPerDay = 1000, 3
		a := w.Person(accounttest.Email)
		it, _ := w.withApp(a)
		former, hers := w.browser("198.51.100.7"), w.browser("192.0.2.1")
		in(t, "with the factors of before", w.withCode(former, it.next()))
		dbtest.Advance(w.DB, time.Minute)
		must(t, w.factors.RemoveTOTP(context.Background(), w.Realm, a, account.By{Actor: a.Actor()}))
		dbtest.Advance(w.DB, time.Minute)
		it, _ = w.withApp(a)
		in(t, "her first code", w.withCode(hers, it.next()))
		w.usesUp(former, it)
		in(t, "her browser", w.withCode(hers, it.next()))
		// One more factor takes nothing away. Strangers have no tries left.
		k := w.withPasskey(w.Realm, a)
		in(t, "with one more factor", w.withCode(hers, it.next()))
		// A passkey is the second step too.
		phone := w.browser("192.0.2.2")
		in(t, "a passkey alone", phone.Post(plainPath, url.Values{"response": {k.get(t, phone.Get(plainPath).Value("options"))}}))
		in(t, "known by the passkey", w.withCode(phone, it.next()))
	})
}

// In which browser the second step is set up, or asked for later, that one has
// passed it: a thief who begins at once keeps nobody out.
func TestTheBrowserThatSetsTheSecondStepUpHasPassedIt(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Realm.SignIn.DelayFromFailure, w.Realm.Factors.TriesPerDay = 1000, 3
		h := signin.NewHandler(w.Pages, w.service, flows{}, w.Typed, w.Sealer.DeriveKey(signin.DeviceKeyPurpose, 32))
		own := account.NewHandler(w.Pages, w.Accounts)
		pages := factor.NewHandler(w.Pages, w.factors, own)
		pages.OnProved(h.Proved)
		mount := func(g *gin.Engine) { h.Mount(g); own.Mount(g); pages.Mount(g) }
		for what, set := range map[string]func(b *webtest.Browser, a account.Account) app{
			"in My Account": func(b *webtest.Browser, _ account.Account) app {
				it := appOf(w, keyOn(t, b.Get("/account/second-step/app")))
				if p := b.Post("/account/second-step/app", code(it.now())); p.Status != http.StatusOK {
					t.Fatalf("%d %s", p.Status, p.Text())
				}
				return it
			},
			"for a client": func(b *webtest.Browser, _ account.Account) app {
				it := appOf(w, keyOn(t, b.Get(enrolApp+"?flow="+flow.String())))
				if p := b.Post(enrolApp+"?flow="+flow.String(), code(it.now())); p.Status != http.StatusOK {
					t.Fatalf("%d %s", p.Status, p.Text())
				}
				return it
			},
			"at a step-up": func(b *webtest.Browser, a account.Account) app {
				it, _ := w.withApp(a)
				b.Get(secondFlow)
				if p := b.Post(secondFlow, code(it.next())); p.Status != http.StatusSeeOther {
					t.Fatalf("%d %s", p.Status, p.Text())
				}
				return it
			},
		} {
			email := strings.ReplaceAll(strings.ToLower(what), " ", ".") + "@example.test"
			a := w.Person(email)
			sign := func(b *webtest.Browser) {
				b.SetCookie("", "")
				if p := try(b, plainPath, email, accounttest.Password); p.Status != http.StatusSeeOther {
					t.Fatalf("%s: %d", what, p.Status)
				}
			}
			hers, thief := w.Browser(mount), w.browser("198.51.100.7")
			sign(hers)
			it := set(hers, a)
			for i := range 4 {
				sign(thief)
				thief.Get(second)
				p := thief.Post(second, code(it.bad()))
				if over := strings.Contains(p.ByID("code-err"), "Too many"); over != (i == 3) {
					t.Fatalf("%s: try %d: %d %s", what, i, p.Status, p.Text())
				}
			}
			sign(hers)
			hers.Get(second)
			in(t, what, hers.Post(second, code(it.next())))
		}
	})
}

// What the cookie says cannot be made up, carried over or grown.
func TestTheMarkOfTheSecondStepCannotBeForged(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Realm.SignIn.DelayFromFailure, w.Realm.Factors.TriesPerDay = 1000, 3
		a := w.Person(accounttest.Email)
		former, hers := w.browser("198.51.100.7"), w.browser("192.0.2.1")
		again(former, accounttest.Password)
		again(hers, accounttest.Password)
		it, _ := w.withApp(a)
		in(t, "her first code", w.withCode(hers, it.next()))
		raw := func(b *webtest.Browser) []byte {
			raw, err := base64.RawURLEncoding.DecodeString(b.Cookie("device"))
			must(t, err)
			return raw
		}
		weak, strong := raw(former), raw(hers)
		if len(weak) != 48 || len(strong) != 80 {
			t.Fatalf("%d and %d bytes", len(weak), len(strong))
		}
		for _, forged := range [][]byte{append(weak[:48:48], strong[48:]...), append(weak[:48:48], weak[16:]...), append(weak[:48:48], make([]byte, 32)...)} {
			former.SetCookie("device", base64.RawURLEncoding.EncodeToString(forged))
			w.withCode(former, it.bad())
		}
		const counted = `SELECT COALESCE(SUM(hits), 0) FROM rate_counters WHERE counter_key LIKE 'factor-tries/%/devices'`
		if n := w.Count(counted); n != 0 {
			t.Errorf("%d tries of a forged mark count as those of known browsers", n)
		}
		w.withCode(hers, it.bad())
		if n := w.Count(counted); n != 1 {
			t.Errorf("%d tries of known browsers, want hers", n)
		}
	})
}
