package signin

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/password"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/secret"
	"github.com/portico-id/portico/internal/session"
)

// Service knows the rules of signing in.
type Service struct {
	db       *database.DB
	accounts *account.Service
	throttle *account.Throttle
	sessions *session.Manager
	audit    *audit.Log
}

// Deps is what a Service is made of.
type Deps struct {
	DB       *database.DB
	Accounts *account.Service
	Throttle *account.Throttle
	Sessions *session.Manager
	Audit    *audit.Log
}

// NewService makes a service.
func NewService(d Deps) *Service {
	return &Service{db: d.DB, accounts: d.Accounts, throttle: d.Throttle, sessions: d.Sessions, audit: d.Audit}
}

// try is one filled-in form.
type try struct {
	email, password string
	whose           uuid.UUID // the account that has the email, uuid.Nil for none
	network         string
	known           string // the browser's nonce, "" for an unknown one
	clientID        string
	device          session.Device
	previous        *session.Session // what the browser had open before
}

// passed is a try that succeeded.
type passed struct {
	token     secret.Token
	version   int64 // the account's credential version
	newDevice bool  // the browser is to become known
}

// signIn verifies a try and starts a session. It returns account.ErrCredentials
// or *account.Throttled when it does not. The try is counted, in a transaction
// of its own, before anything is verified; password.ErrBusy says that nothing
// was, and costs no try.
func (s *Service) signIn(ctx context.Context, r *realm.Realm, t try) (passed, error) {
	attempt := account.Attempt{Email: t.email, Network: t.network, Device: t.known}
	wait, dead, err := s.throttle.Begin(ctx, r, attempt)
	if err != nil {
		return passed{}, fmt.Errorf("throttle: %w", err)
	}
	if wait > 0 {
		return passed{}, s.refused(ctx, r, t, "throttled", &account.Throttled{Wait: wait})
	}
	a, err := s.verify(ctx, r, t, dead)
	var refusal *account.Refusal
	switch {
	case errors.As(err, &refusal):
		return passed{}, s.refused(ctx, r, t, refusal.Why, refusal)
	case errors.Is(err, password.ErrBusy):
		return passed{}, errors.Join(err, s.throttle.GiveBack(ctx, r, attempt, dead))
	case err != nil:
		return passed{}, err
	}
	p := passed{version: a.CredentialVersion}
	if t.known == "" {
		if p.newDevice, err = s.throttle.NewDevice(ctx, a.ID); err != nil {
			return passed{}, fmt.Errorf("count devices: %w", err)
		}
	}
	if p.token, err = s.start(ctx, r, t, a, attempt); err != nil {
		return passed{}, fmt.Errorf("sign in: %w", err)
	}
	return p, nil
}

// verify takes as long when only recovery helps.
func (s *Service) verify(ctx context.Context, r *realm.Realm, t try, dead bool) (account.Account, error) {
	if !dead {
		return s.accounts.Authenticate(ctx, r, t.email, t.password)
	}
	if err := s.accounts.VerifyNothing(ctx, t.password); err != nil {
		return account.Account{}, err
	}
	return account.Account{}, &account.Refusal{AccountID: t.whose, Why: "disabled_after_failures"}
}

// start opens the session of a try that was verified.
func (s *Service) start(ctx context.Context, r *realm.Realm, t try, a account.Account, attempt account.Attempt) (token secret.Token, err error) {
	err = s.db.InTx(ctx, func(ctx context.Context) error {
		if err := s.accounts.SignedIn(ctx, a); err != nil {
			return err
		}
		if t.previous != nil {
			if err := s.sessions.End(ctx, t.previous.ID, "replaced"); err != nil {
				return err
			}
		}
		if _, token, err = s.sessions.Start(ctx, r, a.ID, t.device, account.PasswordMethod); err != nil {
			return err
		}
		if err := s.throttle.Passed(ctx, r, attempt); err != nil {
			return err
		}
		return s.audit.Record(ctx, audit.Event{Realm: r.Name, Kind: "signin.succeeded", Actor: a.Actor(), Target: a.Actor(),
			ClientID: t.clientID, IP: t.device.IP, Details: map[string]any{"device": account.DeviceName(t.device.UserAgent)}})
	})
	return token, err
}

// refused records a try that failed, with the account it was aimed at, and
// returns result. What was typed is not recorded: it is now and then a
// password.
func (s *Service) refused(ctx context.Context, r *realm.Realm, t try, why string, result error) error {
	target := ""
	if t.whose != uuid.Nil {
		target = account.Actor(t.whose)
	}
	err := s.audit.Record(ctx, audit.Event{Realm: r.Name, Kind: "signin.failed", Outcome: audit.Failure, Severity: audit.Warning,
		Actor: "anonymous", Target: target, ClientID: t.clientID, IP: t.device.IP, Details: map[string]any{"why": why}})
	if err != nil {
		return fmt.Errorf("record failed sign-in: %w", err)
	}
	return result
}
