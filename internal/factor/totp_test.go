package factor_test

import (
	"bytes"
	"context"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/factor"
	"github.com/portico-id/portico/internal/realm"
)

func TestCodeOfTheAppIsAcceptedOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		secret, _ := w.withApp(w.maria)
		code := w.codeAt(secret, 0)
		amr, err := w.factors.VerifyCode(t.Context(), w.Realm, w.maria, code[:3]+" "+code[3:], w.by, factor.Try{})
		if err != nil || len(amr) != 1 || amr[0] != "otp" {
			t.Fatalf("a right code: %v %v", amr, err)
		}
		if _, err := w.factors.VerifyCode(t.Context(), w.Realm, w.maria, code, w.by, factor.Try{}); !errors.Is(err, factor.ErrCode) {
			t.Errorf("the same code again: %v", err)
		}
		if _, err := w.factors.VerifyCode(t.Context(), w.Realm, w.maria, w.codeAt(secret, -1), w.by, factor.Try{}); !errors.Is(err, factor.ErrCode) {
			t.Errorf("an older code after a newer one: %v", err)
		}
		if _, err := w.factors.VerifyCode(t.Context(), w.Realm, w.maria, w.codeAt(secret, 1), w.by, factor.Try{}); err != nil {
			t.Errorf("the next code: %v", err)
		}
	})
}

func TestTheCodeThatConfirmedTheAppDoesNotSignIn(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		setup, err := w.factors.BeginTOTP(t.Context(), w.Realm, w.maria, mine)
		must(t, err)
		code := w.codeAt(secretOf(setup), 0)
		_, err = w.factors.FinishTOTP(t.Context(), w.Realm, w.maria, mine, code, w.by)
		must(t, err)
		if _, err := w.factors.VerifyCode(t.Context(), w.Realm, w.maria, code, w.by, factor.Try{}); !errors.Is(err, factor.ErrCode) {
			t.Errorf("the code of the setup: %v", err)
		}
	})
}

func TestPhonesThatAreHalfAMinuteOffAreAccepted(t *testing.T) {
	for step, ok := range map[int]bool{-2: false, -1: true, 0: true, 1: true, 2: false} {
		each(t, func(t *testing.T, w *world) {
			secret, _ := w.withApp(w.maria)
			dbtest.Advance(w.DB, 5*time.Minute)
			_, err := w.factors.VerifyCode(t.Context(), w.Realm, w.maria, w.codeAt(secret, step), w.by, factor.Try{})
			if (err == nil) != ok || err != nil && !errors.Is(err, factor.ErrCode) {
				t.Errorf("%d steps off: %v", step, err)
			}
		})
	}
}

func TestOneCodeOfManyParallelUsesWins(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		secret, _ := w.withApp(w.maria)
		r := *w.Realm
		r.SignIn.DelayFromFailure, r.Factors.TriesPerDay = 1000, 1000
		code := w.codeAt(secret, 0)
		if won := parallel(32, func() error {
			_, err := w.factors.VerifyCode(t.Context(), &r, w.maria, code, w.by, factor.Try{})
			if err != nil && !errors.Is(err, factor.ErrCode) {
				t.Error(err)
			}
			return err
		}); won != 1 {
			t.Errorf("%d of 32 uses of one code were accepted", won)
		}
	})
}

// parallel runs fn n times at once and counts those that return nil.
func parallel(n int, fn func() error) (won int) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			if fn() == nil {
				mu.Lock()
				won++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return won
}

func TestGuessingCodesEndsForTheDay(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		secret, recovery := w.withApp(w.maria)
		r := *w.Realm
		r.SignIn.DelayFromFailure = 1000 // the delays have a test of their own
		for i := range r.Factors.TriesPerDay {
			if _, err := w.factors.VerifyCode(t.Context(), &r, w.maria, w.wrong(secret), w.by, factor.Try{}); !errors.Is(err, factor.ErrCode) {
				t.Fatalf("guess %d: %v", i, err)
			}
		}
		if n := w.Events("factor.locked"); n != 1 {
			t.Errorf("%d alarms, want one", n)
		}
		for _, right := range []string{w.codeAt(secret, 0), recovery[0]} {
			if _, err := w.factors.VerifyCode(t.Context(), &r, w.maria, right, w.by, factor.Try{}); !errors.Is(err, factor.ErrTooMany) {
				t.Errorf("after too many guesses: %v", err)
			}
		}
		other := w.Person("second@example.test")
		otherSecret, _ := w.withApp(other)
		if _, err := w.factors.VerifyCode(t.Context(), &r, other, w.codeAt(otherSecret, 0), w.by, factor.Try{}); err != nil {
			t.Errorf("somebody else: %v", err)
		}
		dbtest.Advance(w.DB, 24*time.Hour+time.Minute)
		if _, err := w.factors.VerifyCode(t.Context(), &r, w.maria, w.codeAt(secret, 0), w.by, factor.Try{}); err != nil {
			t.Errorf("the day after: %v", err)
		}
		if n := w.Events("factor.locked"); n != 1 {
			t.Errorf("%d alarms, want one", n)
		}
	})
}

func TestParallelGuessesAreCountedBeforeTheyAreVerified(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		secret, _ := w.withApp(w.maria)
		r := *w.Realm
		r.SignIn.DelayFromFailure, r.Factors.TriesPerDay = 1000, 10
		wrong := w.wrong(secret)
		verified := parallel(60, func() error {
			_, err := w.factors.VerifyCode(t.Context(), &r, w.maria, wrong, w.by, factor.Try{})
			if errors.Is(err, factor.ErrCode) {
				return nil
			}
			return err
		})
		if verified != 10 {
			t.Errorf("%d of 60 parallel guesses were verified, want 10", verified)
		}
	})
}

func TestGuessesAreSlowedDown(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		secret, _ := w.withApp(w.maria)
		var slow *account.Throttled
		for range w.Realm.SignIn.DelayFromFailure {
			_, err := w.factors.VerifyCode(t.Context(), w.Realm, w.maria, w.wrong(secret), w.by, factor.Try{})
			if !errors.Is(err, factor.ErrCode) {
				t.Fatal(err)
			}
		}
		if _, err := w.factors.VerifyCode(t.Context(), w.Realm, w.maria, w.codeAt(secret, 0), w.by, factor.Try{}); !errors.As(err, &slow) {
			t.Errorf("right after five wrong codes: %v", err)
		}
		dbtest.Advance(w.DB, time.Minute)
		if _, err := w.factors.VerifyCode(t.Context(), w.Realm, w.maria, w.codeAt(secret, 0), w.by, factor.Try{}); err != nil {
			t.Errorf("after the wait: %v", err)
		}
	})
}

func TestSigningInOftenLocksNobodyOutAndGivesAttackersNothing(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		secret, _ := w.withApp(w.maria)
		r := *w.Realm
		r.SignIn.DelayFromFailure, r.Factors.TriesPerDay = 1000, 3
		for range 2 {
			if _, err := w.factors.VerifyCode(t.Context(), &r, w.maria, w.wrong(secret), w.by, factor.Try{}); !errors.Is(err, factor.ErrCode) {
				t.Fatal(err)
			}
		}
		for i := range 8 {
			if _, err := w.factors.VerifyCode(t.Context(), &r, w.maria, w.codeAt(secret, 0), w.by, factor.Try{}); err != nil {
				t.Fatalf("sign-in %d: %v", i, err)
			}
			dbtest.Advance(w.DB, 31*time.Second)
		}
		if _, err := w.factors.VerifyCode(t.Context(), &r, w.maria, w.wrong(secret), w.by, factor.Try{}); !errors.Is(err, factor.ErrCode) {
			t.Fatalf("the third wrong code: %v", err)
		}
		if _, err := w.factors.VerifyCode(t.Context(), &r, w.maria, w.wrong(secret), w.by, factor.Try{}); !errors.Is(err, factor.ErrTooMany) {
			t.Errorf("the fourth wrong code: %v", err)
		}
	})
}

func TestAnAppThatWasNotConfirmedCountsForNothing(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		setup, err := w.factors.BeginTOTP(t.Context(), w.Realm, w.maria, mine)
		must(t, err)
		if w.summary(w.maria).Any() {
			t.Error("a setup that was only begun counts as a second factor")
		}
		if _, err := w.factors.VerifyCode(t.Context(), w.Realm, w.maria, w.codeAt(secretOf(setup), 0), w.by, factor.Try{}); !errors.Is(err, factor.ErrCode) {
			t.Errorf("a code of it: %v", err)
		}
		if _, err := w.factors.FinishTOTP(t.Context(), w.Realm, w.maria, mine, w.wrong(secretOf(setup)), w.by); !errors.Is(err, factor.ErrCode) {
			t.Errorf("a wrong code confirmed it: %v", err)
		}
		dbtest.Advance(w.DB, time.Hour)
		if _, err := w.factors.FinishTOTP(t.Context(), w.Realm, w.maria, mine, w.codeAt(secretOf(setup), 0), w.by); !errors.Is(err, factor.ErrSetup) {
			t.Errorf("after its time: %v", err)
		}
		must(t, w.factors.CleanUp(t.Context()))
		if n := w.Count(`SELECT COUNT(*) FROM totp_setups`); n != 0 {
			t.Errorf("%d setups are left over", n)
		}
	})
}

func TestNobodyConfirmsASecretThatSomebodyElseWasShown(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		theirs := factor.HolderOf("another session")
		attackers, err := w.factors.BeginTOTP(t.Context(), w.Realm, w.maria, theirs)
		must(t, err)
		hers, err := w.factors.BeginTOTP(t.Context(), w.Realm, w.maria, mine)
		must(t, err)
		if hers.Key == attackers.Key {
			t.Fatal("two setups have one secret")
		}
		if _, err := w.factors.FinishTOTP(t.Context(), w.Realm, w.maria, mine, w.codeAt(secretOf(attackers), 0), w.by); !errors.Is(err, factor.ErrCode) {
			t.Errorf("the older secret: %v", err)
		}
		stolen, err := w.factors.ResumeTOTP(t.Context(), w.Realm, w.maria, theirs)
		must(t, err)
		if stolen.Key == hers.Key {
			t.Error("her secret is shown to another session")
		}
		// What another session does leaves hers alone, and ends with it.
		if _, err := w.factors.FinishTOTP(t.Context(), w.Realm, w.maria, mine, w.codeAt(secretOf(hers), 0), w.by); err != nil {
			t.Errorf("hers: %v", err)
		}
		if _, err := w.factors.FinishTOTP(t.Context(), w.Realm, w.maria, theirs, w.codeAt(secretOf(attackers), 0), w.by); !errors.Is(err, factor.ErrSetup) {
			t.Errorf("the other one replaces her app: %v", err)
		}
	})
}

// A browser that reads ahead, a second tab, the way back: what was scanned is good.
func TestASetupIsShownAgainUntilItsTimeIsOver(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		now := time.Date(2025, 3, 3, 9, 0, 0, 0, time.UTC)
		dbtest.SetNow(w.DB, func() time.Time { return now })
		begin := func() string {
			t.Helper()
			setup, err := w.factors.BeginTOTP(t.Context(), w.Realm, w.maria, mine)
			must(t, err)
			return secretOf(setup)
		}
		keys, lock := map[string]bool{}, sync.Mutex{}
		if shown := parallel(16, func() error {
			setup, err := w.factors.BeginTOTP(t.Context(), w.Realm, w.maria, mine)
			lock.Lock()
			defer lock.Unlock()
			keys[secretOf(setup)] = true
			return err
		}); shown != 16 || len(keys) != 1 || w.Count(`SELECT COUNT(*) FROM totp_setups`) != 1 {
			t.Fatalf("%d secrets", len(keys))
		}
		now = now.Add(19 * time.Minute)
		first := begin()
		if !keys[first] {
			t.Error("another secret")
		}
		// Each page is good for as long, whenever it was shown.
		now = now.Add(19 * time.Minute)
		again, err := w.factors.ResumeTOTP(t.Context(), w.Realm, w.maria, mine)
		must(t, err)
		if secretOf(again) != first {
			t.Error("after a wrong code there is another secret")
		}
		if other := begin(); other == first {
			t.Error("shown for ever")
		}
	})
}

func TestACodeOfSomebodyElsesAppDoesNotCount(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		other := w.Person("second@example.test")
		setup, err := w.factors.BeginTOTP(t.Context(), w.Realm, w.maria, mine)
		must(t, err)
		if _, err := w.factors.FinishTOTP(t.Context(), w.Realm, other, mine, w.codeAt(secretOf(setup), 0), w.by); !errors.Is(err, factor.ErrSetup) {
			t.Errorf("somebody else's setup: %v", err)
		}
		secret, _ := w.withApp(w.maria)
		_, _ = w.withApp(other)
		if _, err := w.factors.VerifyCode(t.Context(), w.Realm, other, w.codeAt(secret, 0), w.by, factor.Try{}); !errors.Is(err, factor.ErrCode) {
			t.Errorf("a code of another account's app: %v", err)
		}
	})
}

func TestASecretThatWasCopiedToAnotherAccountDoesNotOpen(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		other := w.Person("second@example.test")
		secret, _ := w.withApp(w.maria)
		_, _ = w.withApp(other)
		w.Exec(`UPDATE totp_secrets SET sealed = (SELECT s.sealed FROM totp_secrets s WHERE s.account_id = $1) WHERE account_id = $2`, w.maria.ID, other.ID)
		if _, err := w.factors.VerifyCode(t.Context(), w.Realm, other, w.codeAt(secret, 0), w.by, factor.Try{}); err == nil || errors.Is(err, factor.ErrCode) {
			t.Errorf("a copied secret: %v", err)
		}
	})
}

func TestTheDatabaseHoldsNoSecretOfAnApp(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		secret, recovery := w.withApp(w.maria)
		pending, err := w.factors.BeginTOTP(t.Context(), w.Realm, w.maria, mine)
		must(t, err)
		w.Deliver()
		dump := w.dump()
		for _, key := range []string{secret, secretOf(pending)} {
			raw, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(key)
			must(t, err)
			if len(raw) != 20 {
				t.Errorf("the secret has %d bytes, want 20", len(raw))
			}
			if strings.Contains(dump, key) || strings.Contains(dump, hex.EncodeToString(raw)) || bytes.Contains([]byte(dump), raw) {
				t.Error("a secret is in the database")
			}
		}
		for _, code := range recovery {
			if strings.Contains(dump, code) || strings.Contains(dump, strings.ReplaceAll(code, "-", "")) {
				t.Error("a recovery code is in the database")
			}
		}
		if strings.Contains(w.Log.String(), secret) {
			t.Error("a secret is in the log")
		}
	})
}

func TestTheAppIsNamedAfterTheRealmAndTheEmail(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		setup, err := w.factors.BeginTOTP(t.Context(), w.Realm, w.maria, mine)
		must(t, err)
		u, err := url.Parse(setup.URI)
		must(t, err)
		q := u.Query()
		if u.Scheme != "otpauth" || u.Host != "totp" || u.Path != "/Maple Clinic:"+w.maria.LoginEmail || q.Get("issuer") != "Maple Clinic" ||
			q.Get("secret") != secretOf(setup) || q.Get("digits") != "6" || q.Get("period") != "30" || q.Get("algorithm") != "SHA1" {
			t.Errorf("the app is told %s", strings.ReplaceAll(setup.URI, secretOf(setup), "SECRET"))
		}
		for _, group := range strings.Split(setup.Key, " ") {
			if len(group) != 4 {
				t.Errorf("the key is not in groups of four: %d", len(group))
			}
		}
		svg := string(setup.SVG)
		if !strings.HasPrefix(svg, "<svg ") || strings.Contains(svg, "style") || !strings.Contains(svg, `fill="#fff"`) {
			t.Error("the QR code is not black on white, or has a style of its own")
		}
	})
}

func TestTheLastSecondFactorStaysWhereItIsDemanded(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		_, _ = w.withApp(w.maria)
		if err := w.factors.RemoveTOTP(t.Context(), demanding(w.Realm), w.maria, w.by); !errors.Is(err, factor.ErrRequired) {
			t.Errorf("removing the last one: %v", err)
		}
		if !w.summary(w.maria).TOTP {
			t.Fatal("it is gone all the same")
		}
		must(t, w.factors.RemoveTOTP(t.Context(), w.Realm, w.maria, w.by))
		if s := w.summary(w.maria); s.Any() || s.RecoveryCodes != 0 {
			t.Errorf("after the last one: %+v", s)
		}
		if err := w.factors.RemoveTOTP(t.Context(), w.Realm, w.maria, w.by); !errors.Is(err, factor.ErrNotFound) {
			t.Errorf("removing it twice: %v", err)
		}
	})
}

type duties map[uuid.UUID][]string

func (d duties) Roles(_ context.Context, id uuid.UUID) ([]string, error) { return d[id], nil }

func TestRolesDemandASecondFactor(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		w := newWorld(t, db)
		r := *w.Realm
		r.Factors.Required, r.Factors.Roles = realm.SecondFactorRoles, []string{"administrator"}
		viewer := w.Person("second@example.test")
		s := factor.NewService(factor.Deps{DB: db, Sealer: w.Sealer, Limits: w.Limits, Audit: w.Audit, Accounts: w.Accounts,
			Sessions: w.Sessions, Duties: duties{w.maria.ID: {"viewer", "administrator"}, viewer.ID: {"viewer"}}})
		for _, c := range []struct {
			a    account.Account
			want bool
		}{{w.maria, true}, {viewer, false}} {
			if got, err := s.Required(t.Context(), &r, c.a.ID); err != nil || got != c.want {
				t.Errorf("%s: %v %v", c.a.LoginEmail, got, err)
			}
		}
		if got, err := w.factors.Required(t.Context(), &r, viewer.ID); err != nil || !got {
			t.Errorf("where nobody knows the roles: %v %v", got, err)
		}
	})
}
