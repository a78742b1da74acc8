package account_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/account/accounttest"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/web/webtest"
)

const confirmPage = "/account/confirm?return_to=/account/email"

func confirmWith(b *webtest.Browser, plain string) *webtest.Page {
	b.Get(confirmPage)
	return b.Post(confirmPage, url.Values{"password": {plain}})
}

const (
	notCurrent = "That is not your current password. Check it and try again."
	waitDay    = "Too many tries. Wait 14" // hundred minutes and some
)

// Whoever holds a copy of one session types a wrong password whenever the next
// one is let through, and keeps the person out of no other session.
func TestAStolenSessionKeepsTheOwnerFromConfirmingNowhereElse(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		a, thief := signedIn(w)
		hers := w.Browser(mount(w))
		w.SignIn(hers, a)
		dbtest.Advance(w.DB, 6*time.Minute)
		slowed := false
		for range 7 {
			p := confirmWith(thief, "wrong")
			slowed = slowed || p.ByID("password-err") == "Too many tries. Wait one minute or reset your password."
		}
		if !slowed {
			t.Fatal("the thief is not slowed down")
		}
		if p := confirmWith(hers, accounttest.Password); p.Status != http.StatusSeeOther || p.Location() != "/patient/account/email" {
			t.Errorf("her own session: %d %s", p.Status, p.Text())
		}
		if p := confirmWith(thief, accounttest.Password); p.Status != http.StatusUnprocessableEntity {
			t.Errorf("her confirmation lifts the thief's delay: %d", p.Status)
		}
	})
}

// Many sessions together give no more guesses than the account has.
func TestAllSessionsTogetherHaveTheTriesOfTheAccount(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		w.Realm.SignIn.ConfirmTriesPerDay, w.Realm.SignIn.DelayFromFailure = 6, 1000
		a, first := signedIn(w)
		browsers := []*webtest.Browser{first}
		for range 3 {
			b := w.Browser(mount(w))
			w.SignIn(b, a)
			browsers = append(browsers, b)
		}
		dbtest.Advance(w.DB, 6*time.Minute)
		// Right ones do not count, and make no wrong one forgotten.
		for i := range 6 {
			if p := confirmWith(browsers[i%3], "wrong"); p.ByID("password-err") != notCurrent {
				t.Fatalf("try %d: %d %s", i, p.Status, p.Text())
			}
			if i < 5 {
				w.Exec(`UPDATE sessions SET confirmed_at = auth_time`)
				if p := confirmWith(browsers[3], accounttest.Password); p.Status != http.StatusSeeOther {
					t.Fatalf("right, after %d wrong ones: %d %s", i+1, p.Status, p.Text())
				}
			}
		}
		before := w.Count(`SELECT COALESCE(SUM(failures), 0) FROM rate_delays`)
		for _, b := range browsers[:3] {
			if p := confirmWith(b, accounttest.Password); p.Status != http.StatusUnprocessableEntity || !strings.HasPrefix(p.ByID("password-err"), waitDay) || p.Location() != "" {
				t.Errorf("one more: %d %s", p.Status, p.Text())
			}
		}
		if n := w.Count(`SELECT COALESCE(SUM(failures), 0) FROM rate_delays`); n != before {
			t.Errorf("what was turned away unseen counts: %d, then %d", before, n)
		}
		dbtest.Advance(w.DB, 25*time.Hour)
		w.SignIn(first, a)
		dbtest.Advance(w.DB, 6*time.Minute)
		if p := confirmWith(first, accounttest.Password); p.Status != http.StatusSeeOther {
			t.Errorf("the next day: %d %s", p.Status, p.Text())
		}
	})
}

// A new password brings new tries: what a thief used up with a session of the
// old one is over.
func TestANewPasswordBringsNewTriesToConfirm(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		w.Realm.SignIn.ConfirmTriesPerDay = 2
		a, thief := signedIn(w)
		dbtest.Advance(w.DB, 6*time.Minute)
		confirmWith(thief, "wrong")
		confirmWith(thief, "wrong")
		if p := confirmWith(thief, "wrong"); !strings.HasPrefix(p.ByID("password-err"), waitDay) {
			t.Fatalf("%d %s", p.Status, p.Text())
		}
		hash, err := w.Accounts.HashPassword(ctx, w.Realm, a, accounttest.NewPassword)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.DB.InTx(ctx, func(ctx context.Context) error {
			return w.Accounts.ReplacePassword(ctx, w.Realm, a.ID, hash, account.Reason{Why: account.Recovery})
		}); err != nil {
			t.Fatal(err)
		}
		w.SignIn(thief, a)
		dbtest.Advance(w.DB, 6*time.Minute)
		if p := confirmWith(thief, accounttest.NewPassword); p.Status != http.StatusSeeOther {
			t.Errorf("%d %s", p.Status, p.Text())
		}
	})
}

// One session has fewer wrong passwords than all of them: whoever stole one
// leaves some to the person.
func TestOneSessionDoesNotUseUpTheTriesOfAll(t *testing.T) {
	for _, kind := range []realm.Kind{realm.Patient, realm.Practice} {
		if p := realm.Defaults(kind).SignIn; p.ConfirmTriesPerDay < p.DisableAtFailures+p.DisableAtFailures/2 {
			t.Errorf("%s: %d in a session, %d of all", kind, p.DisableAtFailures, p.ConfirmTriesPerDay)
		}
	}
}
