package signin_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/account/accounttest"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/web/webtest"
)

func TestAStartedSignInBelongsToOneBrowserAndRequest(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		app, _ := w.withApp(w.Person(accounttest.Email))
		b := w.browser("192.0.2.1")
		w.half(b, flowPath)
		right := app.next()
		refused := func(what string, b *webtest.Browser, path string) {
			t.Helper()
			if p := b.Post(path, code(right)); p.Status != http.StatusForbidden || w.sessions() != 0 {
				t.Errorf("%s: %d, %d sessions", what, p.Status, w.sessions())
			}
		}
		thief := copyOf(b, "step")
		thief.Get(plainPath)
		refused("another browser", thief, secondFlow)
		b.Get(plainPath)
		refused("another request", b, second)
		planted := copyOf(b, "flow")
		planted.SetCookie("step", strings.Repeat("A", 43))
		planted.Get(plainPath)
		refused("a made-up token", planted, secondFlow)
		// What it does not open.
		for _, path := range []string{"/account", "/account/password"} {
			if p := b.Get(path); !strings.HasPrefix(p.Location(), "/patient/signin") {
				t.Errorf("%s: %d", path, p.Status)
			}
		}
		dbtest.Advance(w.DB, 11*time.Minute)
		b.Get(plainPath)
		right = app.now()
		refused("after eleven minutes", b, secondFlow)
		if n := w.Count(`SELECT COUNT(*) FROM signin_steps`); n != 1 {
			t.Fatal(n)
		}
		must(t, w.service.CleanUp(context.Background()))
		if n := w.Count(`SELECT COUNT(*) FROM signin_steps`); n != 0 {
			t.Error("it stays")
		}
	})
}

// Whatever happens to the account between the steps ends the sign-in.
func TestWhatChangesBetweenTheStepsEndsTheSignIn(t *testing.T) {
	ctx := context.Background()
	for what, change := range map[string]func(w *world, a account.Account) error{
		"disabled": func(w *world, a account.Account) error {
			return w.Accounts.Disable(ctx, w.Realm, a.ID, account.By{Actor: "system"})
		},
		"frozen": func(w *world, a account.Account) error {
			return w.Accounts.Freeze(ctx, w.Realm, a.ID, account.By{Actor: "system"})
		},
		"another password": func(w *world, a account.Account) error { w.replacePassword(a, accounttest.NewPassword); return nil },
		"another address": func(w *world, a account.Account) error {
			_, err := w.Accounts.ChangeEmail(ctx, w.Realm, a.ID, a.Version, "new.address@example.test", account.By{Actor: "system"})
			return err
		},
	} {
		t.Run(what, func(t *testing.T) {
			each(t, func(t *testing.T, w *world) {
				a := w.Person(accounttest.Email)
				app, _ := w.withApp(a)
				b := w.browser("192.0.2.1")
				w.half(b, plainPath)
				now, err := w.Accounts.Find(ctx, w.Realm.Name, a.ID)
				must(t, err)
				must(t, change(w, now))
				if p := b.Post(second, code(app.next())); p.Status != http.StatusForbidden || b.Cookie("") != "" || w.sessions() != 0 {
					t.Errorf("%d, %d sessions", p.Status, w.sessions())
				}
			})
		})
	}
}

// Whoever stole the password fills no table, and pushes out nothing that a
// browser of the person has begun.
func TestFewSignInsOfAnAccountWaitAtOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		now := time.Date(2025, 3, 3, 9, 0, 0, 0, time.UTC)
		dbtest.SetNow(w.DB, func() time.Time { return now })
		w.Realm.SignIn.NewDevicesPerDay = 1
		app, _ := w.withApp(w.Person(accounttest.Email))
		other, _ := w.withApp(w.Person("other@example.test"))
		hers := w.browser("192.0.2.1")
		w.half(hers, plainPath)
		now = now.Add(31 * time.Second)
		hers.Post(second, code(app.now()))
		hers.SetCookie("", "")
		w.half(hers, plainPath)
		beside := w.browser("192.0.2.2")
		try(beside, plainPath, "other@example.test", accounttest.Password)
		first := w.browser("203.0.113.9")
		w.half(first, plainPath)
		var all sync.WaitGroup
		for i := range 11 {
			all.Go(func() {
				b := w.browser(fmt.Sprintf("203.0.113.%d", i))
				if p := try(b, plainPath, accounttest.Email, accounttest.Password); p.Status != http.StatusSeeOther {
					t.Errorf("%d %s", p.Status, p.Text())
				}
			})
			if i == 0 {
				all.Wait()
				now = now.Add(time.Second)
			}
		}
		all.Wait()
		if n := w.Count(`SELECT COUNT(*) FROM signin_steps`); n != 10+1+1 {
			t.Errorf("%d wait", n)
		}
		now = now.Add(31 * time.Second)
		if p := first.Get(second); p.Location() != "/patient/signin" {
			t.Errorf("the oldest is there: %d", p.Status)
		}
		for what, one := range map[string]*webtest.Browser{"her own": hers, "somebody else's": beside} {
			right := app.now()
			if one == beside {
				right = other.now()
			}
			if p := one.Get(second); p.H1() != "One more step" {
				t.Errorf("%s: %d", what, p.Status)
			}
			if p := one.Post(second, code(right)); p.Location() != "/patient/account" {
				t.Errorf("%s is gone: %d %s", what, p.Status, p.Text())
			}
		}
	})
}
