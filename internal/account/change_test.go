package account_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/account/accounttest"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/secret"
	"github.com/portico-id/portico/internal/session"
)

// A new password makes a sign-in neither weaker nor stronger, nor younger than
// the second factor in it, nor longer.
func TestANewPasswordKeepsWhatTheSessionHasProved(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		now := time.Date(2025, 3, 3, 9, 0, 0, 0, time.UTC)
		dbtest.SetNow(w.DB, func() time.Time { return now })
		a, b := signedIn(w)
		current, next := accounttest.Password, accounttest.NewPassword
		for what, how := range map[string]session.Method{
			"a password":            {ACR: session.Password, AMR: []string{"pwd"}},
			"a password and a code": {ACR: session.TwoFactors, AMR: []string{"pwd", "otp", "mfa"}},
			"a passkey":             {ACR: session.TwoFactors, AMR: []string{"hwk", "user", "mfa"}},
		} {
			before, token, err := w.Sessions.Start(ctx, w.Realm, a.ID, session.Device{}, how)
			if err != nil {
				t.Fatal(err)
			}
			b.SetCookie("", token.Reveal())
			now = now.Add(20 * time.Minute)
			b.Get("/account/password")
			if p := change(b, current, next, next); p.Location() != "/patient/account?done=password" {
				t.Fatalf("%s: %d %s", what, p.Status, p.Text())
			}
			current, next = next, current
			tok, err := secret.ParseToken(b.Cookie(""))
			if err != nil || tok == token {
				t.Fatalf("%s: the old token goes on: %v", what, err)
			}
			after, err := w.Sessions.Find(ctx, w.Realm, tok)
			if err != nil || after == nil {
				t.Fatalf("%s: %+v %v", what, after, err)
			}
			amr := how.AMR
			if !slices.Contains(amr, "pwd") {
				amr = append([]string{"pwd"}, amr...)
			}
			if after.ID == before.ID || after.ACR != how.ACR || !slices.Equal(after.AMR, amr) || !after.AuthTime.Equal(before.AuthTime) ||
				!after.ExpiresAt.Equal(before.ExpiresAt) || !after.CreatedAt.Equal(before.CreatedAt) || !after.ConfirmedAt.Equal(now) {
				t.Errorf("%s: %+v became %+v", what, before, after)
			}
			if n := w.Count(`SELECT COUNT(*) FROM sessions WHERE ended_at IS NULL`); n != 1 {
				t.Errorf("%s: %d sessions", what, n)
			}
		}
	})
}

// What was proved in a session that somebody has ended does not live on.
func TestAnEndedSessionHasNoSuccessor(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		a := w.Person(accounttest.Email)
		in, _, err := w.Sessions.Start(ctx, w.Realm, a.ID, session.Device{}, session.Method{ACR: session.TwoFactors, AMR: []string{"pwd", "otp", "mfa"}})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Sessions.End(ctx, in.ID, "signed_out"); err != nil {
			t.Fatal(err)
		}
		_, _, err = w.Accounts.ChangePassword(ctx, w.Realm, a, in, accounttest.Password, accounttest.NewPassword, session.Device{}, account.By{})
		if !errors.Is(err, session.ErrNotFound) || !w.CanSignIn(accounttest.Email, accounttest.Password) ||
			w.Count(`SELECT COUNT(*) FROM sessions WHERE ended_at IS NULL`) != 0 {
			t.Error(err)
		}
	})
}
