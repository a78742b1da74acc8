package account

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/audit"
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

// errSessionOver says that too many wrong passwords have ended the session.
var errSessionOver = errors.New("too many wrong passwords have ended the session")

// confirm has a person who is signed in prove the current password again. It
// returns ErrCredentials, *Throttled, password.ErrBusy, or errSessionOver
// after as many wrong ones as disable a password at sign-in: whoever found an
// open browser does not go on guessing in it.
func (s *Service) confirm(ctx context.Context, r *realm.Realm, a Account, sessionID uuid.UUID, current string, by By) error {
	wait, dead, err := s.throttle.BeginOwn(ctx, r, a, sessionID)
	switch {
	case err != nil:
		return err
	case wait > 0:
		if err := s.confirmFailed(ctx, r, a, by, "throttled"); err != nil {
			return err
		}
		return &Throttled{wait}
	case dead:
		return s.endGuessing(ctx, r, a, sessionID, by)
	}
	ok, err := s.VerifyPassword(ctx, a, current)
	switch {
	case errors.Is(err, password.ErrBusy):
		return errors.Join(err, s.throttle.GiveBackOwn(ctx, a, sessionID))
	case err != nil:
		return err
	case !ok:
		if err := s.confirmFailed(ctx, r, a, by, "wrong_password"); err != nil {
			return err
		}
		return ErrCredentials
	}
	return s.throttle.PassedOwn(ctx, a, sessionID)
}

func (s *Service) confirmFailed(ctx context.Context, r *realm.Realm, a Account, by By, why string) error {
	return s.audit.Record(ctx, audit.Event{Realm: r.Name, Kind: "password.confirm_failed", Outcome: audit.Failure,
		Severity: audit.Warning, Actor: by.Actor, Target: a.Actor(), IP: by.IP, Details: by.Details(map[string]any{"why": why})})
}

// endGuessing ends a session in which too many wrong passwords were typed.
func (s *Service) endGuessing(ctx context.Context, r *realm.Realm, a Account, sessionID uuid.UUID, by By) error {
	const reason = "too_many_wrong_passwords"
	err := s.db.InTx(ctx, func(ctx context.Context) error {
		if err := s.sessions.End(ctx, sessionID, reason); err != nil {
			return err
		}
		if err := s.peers.Grants.RevokeSession(ctx, sessionID, reason); err != nil {
			return fmt.Errorf("revoke grants: %w", err)
		}
		if err := s.confirmFailed(ctx, r, a, by, reason); err != nil {
			return err
		}
		return s.audit.Record(ctx, auditSession(r, a, by, map[string]any{"session": sessionID.String(), "why": reason}))
	})
	if err != nil {
		return fmt.Errorf("end session: %w", err)
	}
	return errSessionOver
}

// ChangePassword replaces the password of a person who is signed in, in the
// session given, and knows the current one. All sessions and grants end; the
// browser gets the new session that is returned, which is what the old one was
// (session.Manager.Succeed). It returns what confirm says, *password.Problem,
// ErrSamePassword, or session.ErrNotFound when the session is over.
func (s *Service) ChangePassword(ctx context.Context, r *realm.Realm, a Account, in session.Session, current, plain string, d session.Device, by By) (fresh session.Session, token secret.Token, err error) {
	if err := s.CheckPassword(r, a, plain); err != nil {
		return session.Session{}, secret.Token{}, err
	}
	if err := s.confirm(ctx, r, a, in.ID, current, by); err != nil {
		return session.Session{}, secret.Token{}, err
	}
	if current == plain {
		return session.Session{}, secret.Token{}, ErrSamePassword
	}
	hash, err := s.HashPassword(ctx, r, a, plain)
	if err != nil {
		return session.Session{}, secret.Token{}, err
	}
	err = s.db.InTx(ctx, func(ctx context.Context) error {
		now, err := s.Lock(ctx, r.Name, a.ID)
		if err != nil {
			return err
		}
		if !Unchanged(now, a) {
			return ErrCredentials
		}
		// By itself, and counted: what was proved in a session that somebody has
		// ended meanwhile does not live on in another one.
		if err := s.sessions.EndOwn(ctx, a.ID, in.ID, passwordChanged); err != nil {
			return err
		}
		if err := s.ReplacePassword(ctx, r, a.ID, hash, Reason{Why: Change, By: by}); err != nil {
			return err
		}
		fresh, token, err = s.sessions.Succeed(ctx, in, d)
		return err
	})
	if err != nil {
		return session.Session{}, secret.Token{}, fmt.Errorf("change password: %w", err)
	}
	return fresh, token, nil
}
