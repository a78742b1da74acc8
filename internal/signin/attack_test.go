package signin_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/account/accounttest"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/password"
	"github.com/portico-id/portico/internal/signin"
	"github.com/portico-id/portico/internal/web/webtest"
)

// again signs a browser in, or tries to, without the session it may have.
func again(b *webtest.Browser, plain string) bool {
	b.SetCookie("", "")
	return try(b, plainPath, accounttest.Email, plain).Status == http.StatusSeeOther
}

// wrong types a wrong password and tells whether it was looked at.
func wrong(b *webtest.Browser) bool {
	b.SetCookie("", "")
	return try(b, plainPath, accounttest.Email, "wrong").ByID("email-err") == noMatch
}

func (w *world) replacePassword(a account.Account, plain string) {
	w.T.Helper()
	ctx := context.Background()
	hash, err := w.Accounts.HashPassword(ctx, w.Realm, a, plain)
	if err != nil {
		w.T.Fatal(err)
	}
	if err := w.DB.InTx(ctx, func(ctx context.Context) error {
		return w.Accounts.ReplacePassword(ctx, w.Realm, a.ID, hash, account.Reason{Why: account.Recovery})
	}); err != nil {
		w.T.Fatal(err)
	}
}

func TestADeviceOfTheOldPasswordIsAStrangerToTheNewOne(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Realm.SignIn.DisableAtFailures = 6
		a := w.Person(accounttest.Email)
		thief := w.browser("198.51.100.7")
		if !again(thief, accounttest.Password) || thief.Cookie("device") == "" {
			t.Fatal("the thief's device is not known")
		}
		w.replacePassword(a, accounttest.NewPassword)
		for i := range 6 {
			wrong(w.browser(fmt.Sprintf("203.0.113.%d", i)))
		}
		if again(thief, accounttest.NewPassword) {
			t.Error("the old device has guesses of its own")
		}
	})
}

func TestManyKnownDevicesHaveNoMoreGuessesThanOne(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Realm.SignIn.DisableAtFailures = 6
		a := w.Person(accounttest.Email)
		var devices []*webtest.Browser
		for i := range 3 {
			b := w.browser(fmt.Sprintf("198.51.100.%d", i))
			if !again(b, accounttest.Password) {
				t.Fatal("cannot sign in")
			}
			devices = append(devices, b)
		}
		for i := range 9 {
			if !wrong(devices[i%3]) {
				t.Fatalf("try %d was slowed down", i)
			}
		}
		for i, b := range devices {
			if again(b, accounttest.Password) {
				t.Errorf("device %d goes on after six failures in a row", i)
			}
		}
		// That is the devices' affair: they keep nobody else out, and recovery
		// lifts it.
		if !again(w.browser("203.0.113.1"), accounttest.Password) {
			t.Error("a new browser is out")
		}
		w.replacePassword(a, accounttest.NewPassword)
		fresh := w.browser("203.0.113.2")
		for range 2 {
			if !again(fresh, accounttest.NewPassword) {
				t.Error("recovery does not lift it")
			}
		}
	})
}

func TestFiveBrowsersADayBecomeKnown(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Person(accounttest.Email)
		known := func() (n int) {
			for i := range 7 {
				b := w.browser(fmt.Sprintf("198.51.100.%d", i))
				if !again(b, accounttest.Password) {
					t.Fatal("cannot sign in")
				}
				if b.Cookie("device") != "" {
					n++
				}
				if i == 0 {
					again(b, accounttest.Password) // costs nothing where it is known
				}
			}
			return n
		}
		if n := known(); n != 5 {
			t.Errorf("%d browsers became known", n)
		}
		dbtest.Advance(w.DB, 25*time.Hour)
		if n := known(); n != 5 {
			t.Errorf("%d browsers became known on the next day", n)
		}
	})
}

func TestANeighbourOnTheNetworkKeepsNoKnownDeviceOut(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Realm.SignIn.AttemptsPerNetwork = 4
		w.Person(accounttest.Email)
		mine := w.browser("198.51.100.7")
		if !again(mine, accounttest.Password) {
			t.Fatal("cannot sign in")
		}
		for i := range 5 {
			try(w.browser("198.51.100.7"), plainPath, fmt.Sprintf("nobody%d@example.test", i), "wrong")
		}
		if again(w.browser("198.51.100.7"), accounttest.Password) {
			t.Fatal("the network has no budget, so this proves nothing")
		}
		if !again(mine, accounttest.Password) {
			t.Error("the known device is out")
		}
	})
}

func TestABusyServerCountsNoRightPasswordAsAFailure(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a := w.Person(accounttest.Email)
		list, err := password.NewBlocklist()
		if err != nil {
			t.Fatal(err)
		}
		params := password.Floor()
		params.Time = 60 // so slow that nothing else gets a turn
		h := password.NewHasher(params, []byte("a pepper for tests"), password.PoolOptions{Concurrency: 1, Queue: 1, Wait: time.Millisecond})
		accounts := account.NewService(account.Deps{DB: w.DB, Hasher: h, Sessions: w.Sessions, Outbox: w.Outbox,
			Audit: w.Audit, Throttle: w.Throttle, Catalog: w.Catalog, Blocklist: list})
		accounts.Connect(account.Peers{Grants: w.Grants, Tickets: w.Tickets})
		pages := signin.NewHandler(w.Pages, signin.NewService(signin.Deps{DB: w.DB, Accounts: accounts, Factors: w.factors,
			Throttle: w.Throttle, Limits: w.Limits, Sessions: w.Sessions, Audit: w.Audit}), flows{}, w.Typed, w.Sealer.DeriveKey(signin.DeviceKeyPurpose, 32))
		own := account.NewHandler(w.Pages, accounts)
		b := w.Browser(func(g *gin.Engine) { pages.Mount(g); own.Mount(g) })
		b.Get(plainPath)

		var busy sync.WaitGroup
		defer busy.Wait()
		over, stop := context.WithCancel(context.Background())
		defer stop()
		busy.Go(func() {
			for over.Err() == nil {
				_, _ = h.Hash(over, password.Passwords, "something else")
			}
		})
		for { // until a hash above has its turn
			if _, err := accounts.VerifyPassword(context.Background(), a, "wrong"); errors.Is(err, password.ErrBusy) {
				break
			}
		}
		for _, email := range []string{accounttest.Email, "nobody@example.test"} {
			if p := try(b, plainPath, email, accounttest.Password); p.Status != http.StatusServiceUnavailable {
				t.Errorf("%s: %d", email, p.Status)
			}
		}
		w.SignIn(b, a)
		b.Get("/account/password")
		if p := b.Post("/account/password", url.Values{"current-password": {accounttest.Password},
			"new-password": {accounttest.NewPassword}, "confirm-password": {accounttest.NewPassword}}); p.Status != http.StatusServiceUnavailable {
			t.Errorf("change: %d", p.Status)
		}
		if n := w.Count(`SELECT COUNT(*) FROM rate_delays WHERE failures > 0`); n != 0 {
			t.Errorf("%d counters have counted it", n)
		}
	})
}

func TestARefusedSignInNamesTheAccountUnderAttack(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Realm.SignIn.DisableAtFailures = 6
		a := w.Person(accounttest.Email)
		for range 7 {
			try(w.browser("203.0.113.1"), plainPath, accounttest.Email, "wrong")
		}
		for i := range 3 {
			try(w.browser(fmt.Sprintf("203.0.113.%d", 2+i)), plainPath, accounttest.Email, "wrong")
		}
		try(w.browser("203.0.113.9"), plainPath, "nobody@example.test", "wrong")
		count := func(why, target string) int {
			return w.Count(`SELECT COUNT(*) FROM audit_events WHERE kind = 'signin.failed' AND target = $2 AND details LIKE $1`,
				"%"+why+"%", target)
		}
		for why, want := range map[string]int{"wrong_password": 6, "throttled": 2, "disabled_after_failures": 2} {
			if n := count(why, a.Actor()); n != want {
				t.Errorf("%d events %q about the account, want %d", n, why, want)
			}
		}
		if count("unknown", "") != 1 {
			t.Error("nobody's address has a target")
		}
	})
}

// The trail is kept for years: who goes on guessing does not fill it.
func TestTriesThatCameTooSoonAreRecordedOnlySoOften(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Realm.SignIn.DelayFromFailure, w.Realm.SignIn.TurnedAwayRecorded = 1, 3
		a, b := w.Person(accounttest.Email), w.browser("203.0.113.1")
		for range 8 {
			try(b, plainPath, accounttest.Email, "wrong")
			try(b, plainPath, "nobody@example.test", "wrong")
		}
		recorded := func(target string) int {
			return w.Count(`SELECT COUNT(*) FROM audit_events WHERE kind = 'signin.failed' AND target = $1 AND details LIKE '%throttled%'`, target)
		}
		if n, nobody := recorded(a.Actor()), recorded(""); n != 3 || nobody != 3 {
			t.Errorf("%d of the account and %d of nobody's are recorded, want 3 each", n, nobody)
		}
		if p := try(b, plainPath, accounttest.Email, "wrong"); !strings.Contains(p.Text(), "Too many tries") {
			t.Errorf("what is not recorded is answered %d %s", p.Status, p.Text())
		}
		dbtest.Advance(w.DB, time.Hour+2*time.Minute)
		try(b, plainPath, accounttest.Email, "wrong")
		try(b, plainPath, accounttest.Email, "wrong")
		if n := recorded(a.Actor()); n != 4 {
			t.Errorf("an hour later there are %d", n)
		}
	})
}

func TestTypedAddressesLeaveNothingAfterADay(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a := w.Person(accounttest.Email)
		w.Realm.SignIn.DisableAtFailures = 12
		for i := range 5 {
			try(w.browser("203.0.113.1"), plainPath, fmt.Sprintf("nobody%d@example.test", i), "wrong")
		}
		for i := range 12 {
			if !wrong(w.browser(fmt.Sprintf("203.0.113.%d", 10+i))) {
				t.Fatal("slowed down")
			}
		}
		dbtest.Advance(w.DB, 25*time.Hour)
		if err := w.Limits.CleanUp(context.Background()); err != nil {
			t.Fatal(err)
		}
		if n := w.Count(`SELECT (SELECT COUNT(*) FROM rate_delays) + (SELECT COUNT(*) FROM rate_counters)`); n != 1 {
			t.Errorf("%d rows are left, want the one of the account under attack", n)
		}
		dbtest.Advance(w.DB, 30*24*time.Hour)
		if again(w.browser("198.51.100.7"), accounttest.Password) {
			t.Error("a month forgets that the password was disabled")
		}
		w.replacePassword(a, accounttest.NewPassword)
		if !again(w.browser("198.51.100.7"), accounttest.NewPassword) {
			t.Error("recovery does not lift it")
		}
	})
}
