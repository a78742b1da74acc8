package factor_test

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/portico-id/portico/internal/factor"
)

func TestARecoveryCodeTakesTheAppsPlaceOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		_, codes := w.withApp(w.maria)
		if len(codes) != 10 || w.summary(w.maria).RecoveryCodes != 10 {
			t.Fatalf("%d codes", len(codes))
		}
		seen := map[string]bool{}
		for _, code := range codes {
			// Ten of 32 letters: 50 bits.
			if !regexp.MustCompile(`^[0-9a-hjkmnp-tv-z]{5}-[0-9a-hjkmnp-tv-z]{5}$`).MatchString(code) || seen[code] {
				t.Errorf("a code looks like %q", code)
			}
			seen[code] = true
		}
		// As people type from paper: without the hyphen, capitals, O for 0.
		typed := strings.ToUpper(strings.NewReplacer("-", " ", "0", "o", "1", "l").Replace(codes[0]))
		if _, err := w.factors.VerifyCode(t.Context(), w.Realm, w.maria, typed, w.by, factor.Try{}); err != nil {
			t.Fatalf("%q for %q: %v", typed, codes[0], err)
		}
		if _, err := w.factors.VerifyCode(t.Context(), w.Realm, w.maria, codes[0], w.by, factor.Try{}); !errors.Is(err, factor.ErrCode) {
			t.Errorf("the same code again: %v", err)
		}
		if left := w.summary(w.maria).RecoveryCodes; left != 9 {
			t.Errorf("%d codes left", left)
		}
		if w.Events("recovery_code.used") != 1 {
			t.Error("the use is not on record")
		}
	})
}

func TestOneRecoveryCodeOfManyParallelUsesWins(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		_, codes := w.withApp(w.maria)
		r := *w.Realm
		r.SignIn.DelayFromFailure, r.Factors.TriesPerDay = 1000, 1000
		if won := parallel(32, func() error {
			_, err := w.factors.VerifyCode(t.Context(), &r, w.maria, codes[3], w.by, factor.Try{})
			return err
		}); won != 1 {
			t.Errorf("%d of 32 uses were accepted", won)
		}
	})
}

func TestNewRecoveryCodesKillTheOldOnes(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		_, old := w.withApp(w.maria)
		fresh, err := w.factors.NewRecoveryCodes(t.Context(), w.Realm, w.maria, w.by)
		must(t, err)
		if _, err := w.factors.VerifyCode(t.Context(), w.Realm, w.maria, old[0], w.by, factor.Try{}); !errors.Is(err, factor.ErrCode) {
			t.Errorf("an old code: %v", err)
		}
		if _, err := w.factors.VerifyCode(t.Context(), w.Realm, w.maria, fresh[0], w.by, factor.Try{}); err != nil {
			t.Errorf("a new code: %v", err)
		}
		if w.summary(w.maria).RecoveryCodes != 9 || w.Events("recovery_codes.renewed") != 1 {
			t.Error("the old codes are still counted, or the change is not on record")
		}
	})
}

func TestRecoveryCodesAreNothingByThemselves(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		if _, err := w.factors.NewRecoveryCodes(t.Context(), w.Realm, w.maria, w.by); !errors.Is(err, factor.ErrNotFound) {
			t.Errorf("codes without a second factor: %v", err)
		}
		other := w.Person("second@example.test")
		_, codes := w.withApp(w.maria)
		_, _ = w.withApp(other)
		if _, err := w.factors.VerifyCode(t.Context(), w.Realm, other, codes[0], w.by, factor.Try{}); !errors.Is(err, factor.ErrCode) {
			t.Errorf("somebody else's code: %v", err)
		}
		must(t, w.factors.RemoveTOTP(t.Context(), w.Realm, w.maria, w.by))
		if _, err := w.factors.VerifyCode(t.Context(), w.Realm, w.maria, codes[1], w.by, factor.Try{}); !errors.Is(err, factor.ErrCode) {
			t.Errorf("a code after the last factor went: %v", err)
		}
	})
}

func TestPhoneMovesWithoutNewRecoveryCodes(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		old, codes := w.withApp(w.maria)
		fresh, none := w.withApp(w.maria)
		if none != nil {
			t.Error("moving the app to another phone made new recovery codes")
		}
		if _, err := w.factors.VerifyCode(t.Context(), w.Realm, w.maria, w.codeAt(old, 0), w.by, factor.Try{}); !errors.Is(err, factor.ErrCode) {
			t.Errorf("the old phone: %v", err)
		}
		for _, code := range []string{w.codeAt(fresh, 0), codes[0]} {
			if _, err := w.factors.VerifyCode(t.Context(), w.Realm, w.maria, code, w.by, factor.Try{}); err != nil {
				t.Errorf("the new phone, or paper: %v", err)
			}
		}
	})
}

func TestThePracticeRemovesEverything(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		secret, codes := w.withApp(w.maria)
		w.register(w.Realm, w.maria, newKey(false))
		b := w.Browser(w.pages().Mount)
		w.SignIn(b, w.maria)
		by := w.by
		by.Actor, by.Practice, by.Reason = "account:00000000-0000-0000-0000-000000000001", "Maple Clinic", "phone lost"
		failed := errors.New("the caller changes its mind")
		err := w.DB.InTx(t.Context(), func(ctx context.Context) error {
			must(t, w.factors.RemoveAll(ctx, w.Realm, w.maria.ID, by))
			return failed
		})
		if !errors.Is(err, failed) || !w.summary(w.maria).TOTP {
			t.Fatalf("it does not join the caller's transaction: %v", err)
		}
		must(t, w.factors.RemoveAll(t.Context(), w.Realm, w.maria.ID, by))
		if s := w.summary(w.maria); s.Any() || s.RecoveryCodes != 0 {
			t.Errorf("left: %+v", s)
		}
		for _, code := range []string{w.codeAt(secret, 0), codes[0]} {
			if _, err := w.factors.VerifyCode(t.Context(), w.Realm, w.maria, code, w.by, factor.Try{}); !errors.Is(err, factor.ErrCode) {
				t.Errorf("a code of before: %v", err)
			}
		}
		if p := b.Get("/account/second-step"); p.Status != 303 || !strings.Contains(p.Location(), "/signin?") {
			t.Errorf("a session of before: %d %s", p.Status, p.Location())
		}
		if len(w.Grants.Accounts) == 0 {
			t.Error("clients keep their access")
		}
		if n := w.Count(`SELECT COUNT(*) FROM audit_events WHERE kind = 'factor.removed' AND severity = 'high' AND actor = $1`, by.Actor); n != 1 {
			t.Errorf("%d events of high severity", n)
		}
		before := w.Post.To(w.maria.LoginEmail)
		w.Deliver()
		if w.Post.To(w.maria.LoginEmail) <= before {
			t.Error("she is not told")
		}
	})
}

// Whoever uses a code has the password too, so its owner hears of it.
func TestThePersonIsToldOfAUsedRecoveryCode(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		_, codes := w.withApp(w.maria)
		w.Deliver()
		before := w.Post.To(w.maria.LoginEmail)
		if _, err := w.factors.VerifyCode(t.Context(), w.Realm, w.maria, "00000-00000", w.by, factor.Try{}); !errors.Is(err, factor.ErrCode) {
			t.Fatal(err)
		}
		_, err := w.factors.VerifyCode(t.Context(), w.Realm, w.maria, codes[0], w.by, factor.Try{})
		must(t, err)
		w.Deliver()
		if n := w.Post.To(w.maria.LoginEmail) - before; n != 1 {
			t.Fatalf("%d letters", n)
		}
		all := w.Post.All()
		letter := all[len(all)-1].Content
		for _, says := range []string{"A recovery code of your Maple Clinic account was used on", "Safari, iPhone", "/patient/freeze/"} {
			if !strings.Contains(letter.Text, says) {
				t.Errorf("%q is not in %s", says, letter.Text)
			}
		}
		if letter.Subject != "A recovery code was used" || strings.Contains(letter.Text, codes[0]) {
			t.Errorf("%q", letter.Subject)
		}
		if n := w.Count(`SELECT COUNT(*) FROM audit_events WHERE kind IN ('recovery_code.used', 'factor.added') AND details LIKE '%Safari, iPhone%'`); n != 2 {
			t.Errorf("%d events name the device", n)
		}
	})
}
