package account

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/portico-id/portico/internal/password"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/secret"
	"github.com/portico-id/portico/internal/session"
)

// PasswordMethod is how a sign-in with a password alone is described to
// clients (OpenID Connect Core §2, RFC 8176).
var PasswordMethod = session.Method{ACR: "1", AMR: []string{"pwd"}}

// ErrSamePassword says that the new password is the current one.
var ErrSamePassword = errors.New("the new password is the current one")

// Throttled is the error of a try that was not verified because it came too soon.
type Throttled struct{ Wait time.Duration }

func (t *Throttled) Error() string { return fmt.Sprintf("too many tries, wait %s", t.Wait) }

// Minutes is the wait as people are told it, at least one.
func (t *Throttled) Minutes() int { return max(1, int(math.Ceil(t.Wait.Minutes()))) }

// CheckPassword judges a new password without hashing it: a *password.Problem
// or nil.
func (s *Service) CheckPassword(r *realm.Realm, a Account, plain string) error {
	return s.blocklist.Check(password.Policy{MinLength: r.Password.MinLength}, plain, contextWords(r, a))
}

// ChangePassword replaces the password of a person who is signed in and knows
// the current one. All sessions and grants end; the browser gets the new
// session that is returned. It returns ErrCredentials for a wrong current
// password, *Throttled, *password.Problem or ErrSamePassword.
func (s *Service) ChangePassword(ctx context.Context, r *realm.Realm, a Account, current, plain string, d session.Device, by By) (secret.Token, error) {
	if err := s.CheckPassword(r, a, plain); err != nil {
		return secret.Token{}, err
	}
	wait, err := s.throttle.BeginOwn(ctx, r, a.ID)
	if err != nil {
		return secret.Token{}, err
	}
	if wait > 0 {
		return secret.Token{}, &Throttled{wait}
	}
	ok, err := s.VerifyPassword(ctx, a, current)
	if err != nil {
		return secret.Token{}, err
	}
	if !ok {
		return secret.Token{}, ErrCredentials
	}
	if err := s.throttle.PassedOwn(ctx, a.ID); err != nil {
		return secret.Token{}, err
	}
	if current == plain {
		return secret.Token{}, ErrSamePassword
	}
	hash, err := s.HashPassword(ctx, r, a, plain)
	if err != nil {
		return secret.Token{}, err
	}
	var token secret.Token
	err = s.db.InTx(ctx, func(ctx context.Context) error {
		now, err := s.Lock(ctx, r.Name, a.ID)
		if err != nil {
			return err
		}
		// Between the check and here somebody may have changed the password
		// or closed the account; then what was proved is worth nothing.
		if now.CredentialVersion != a.CredentialVersion || now.State != Active {
			return ErrCredentials
		}
		if err := s.ReplacePassword(ctx, r, a.ID, hash, Reason{Why: Change, By: by}); err != nil {
			return err
		}
		_, token, err = s.sessions.Start(ctx, r, a.ID, d, PasswordMethod)
		return err
	})
	if err != nil {
		return secret.Token{}, fmt.Errorf("change password: %w", err)
	}
	return token, nil
}
