package signin

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/database"
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
	network         string
	known           string // the browser's nonce, "" for an unknown one
	clientID        string
	device          session.Device
	previous        *session.Session // what the browser had open before
}

// signIn verifies a try and starts a session. It returns account.ErrCredentials
// or *account.Throttled when it does not. The try is counted, in a transaction
// of its own, before anything is verified.
func (s *Service) signIn(ctx context.Context, r *realm.Realm, t try) (secret.Token, error) {
	attempt := account.Attempt{Email: t.email, Network: t.network, Device: t.known}
	wait, dead, err := s.throttle.Begin(ctx, r, attempt)
	if err != nil {
		return secret.Token{}, fmt.Errorf("throttle: %w", err)
	}
	if wait > 0 {
		return secret.Token{}, s.refused(ctx, r, t, &account.Refusal{Why: "throttled"}, &account.Throttled{Wait: wait})
	}
	if dead {
		if err := s.accounts.VerifyNothing(ctx, t.password); err != nil {
			return secret.Token{}, err
		}
		refusal := &account.Refusal{Why: "disabled_after_failures"}
		return secret.Token{}, s.refused(ctx, r, t, refusal, refusal)
	}
	a, err := s.accounts.Authenticate(ctx, r, t.email, t.password)
	var refusal *account.Refusal
	if errors.As(err, &refusal) {
		return secret.Token{}, s.refused(ctx, r, t, refusal, refusal)
	}
	if err != nil {
		return secret.Token{}, err
	}
	var token secret.Token
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
	if err != nil {
		return secret.Token{}, fmt.Errorf("sign in: %w", err)
	}
	return token, nil
}

// refused records a try that failed and returns result. What was typed is not
// recorded: it is now and then a password.
func (s *Service) refused(ctx context.Context, r *realm.Realm, t try, why *account.Refusal, result error) error {
	target := ""
	if why.AccountID != uuid.Nil {
		target = account.Actor(why.AccountID)
	}
	err := s.audit.Record(ctx, audit.Event{Realm: r.Name, Kind: "signin.failed", Outcome: audit.Failure, Severity: audit.Warning,
		Actor: "anonymous", Target: target, ClientID: t.clientID, IP: t.device.IP, Details: map[string]any{"why": why.Why}})
	if err != nil {
		return fmt.Errorf("record failed sign-in: %w", err)
	}
	return result
}
