package signin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/factor"
	"github.com/portico-id/portico/internal/password"
	"github.com/portico-id/portico/internal/ratelimit"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/secret"
	"github.com/portico-id/portico/internal/session"
)

// Service knows the rules of signing in.
type Service struct {
	db       *database.DB
	accounts *account.Service
	factors  *factor.Service
	throttle *account.Throttle
	limits   *ratelimit.Limiter
	sessions *session.Manager
	grants   account.Grants
	audit    *audit.Log
}

// Deps is what a Service is made of. Grants may be nil where there are no clients.
type Deps struct {
	DB       *database.DB
	Accounts *account.Service
	Factors  *factor.Service
	Throttle *account.Throttle
	Limits   *ratelimit.Limiter
	Sessions *session.Manager
	Grants   account.Grants
	Audit    *audit.Log
}

// NewService makes a service.
func NewService(d Deps) *Service {
	return &Service{db: d.DB, accounts: d.Accounts, factors: d.Factors, throttle: d.Throttle, limits: d.Limits,
		sessions: d.Sessions, grants: d.Grants, audit: d.Audit}
}

// visitor is who asks, as far as the request tells.
type visitor struct {
	browser  []byte // web.Browser
	network  string
	flow     string // the authorization request, "" for none
	clientID string
	device   session.Device
	previous *session.Session // what the browser had before, and nobody has ended
}

// try is one filled-in form.
type try struct {
	visitor
	email, password string
	whose           uuid.UUID // the account that has the email, uuid.Nil for none
	known           string    // the browser's nonce, "" for an unknown one
	// proved tells whether the browser has passed the account's second step, see
	// devices.proved.
	proved func(a account.Account, since time.Time) bool
	keep   bool // "keep me signed in"
}

// outcome is what became of a try that succeeded.
type outcome struct {
	session   session.Session
	token     secret.Token // of the session
	account   account.Account
	known     string
	newDevice bool      // the browser is to become known
	since     time.Time // of the second factors that were proved, see devices.prove; zero: none

	wait secret.Token // instead of a session: the sign-in waits for its second step
	at   string       // on this page
}

// signIn verifies a try and starts a session, or notes that the password was
// right where there is more to prove. It returns account.ErrCredentials or
// *account.Throttled when it does neither. The try is counted, in a transaction
// of its own, before anything is verified; password.ErrBusy says that nothing
// was, and costs no try.
func (s *Service) signIn(ctx context.Context, r *realm.Realm, t try) (outcome, error) {
	attempt := account.Attempt{Email: t.email, Network: t.network, Device: t.known}
	wait, dead, err := s.throttle.Begin(ctx, r, attempt)
	if err != nil {
		return outcome{}, fmt.Errorf("throttle: %w", err)
	}
	if wait > 0 {
		recorded, err := s.throttle.Recorded(ctx, r, attempt)
		return outcome{}, s.turnedAway(ctx, r, t.visitor, t.whose, "signin.failed", recorded, err, &account.Throttled{Wait: wait})
	}
	a, err := s.verify(ctx, r, t, dead)
	var refusal *account.Refusal
	switch {
	case errors.As(err, &refusal):
		return outcome{}, s.refused(ctx, r, t.visitor, t.whose, refusal.Why, refusal)
	case errors.Is(err, password.ErrBusy):
		return outcome{}, errors.Join(err, s.throttle.GiveBack(ctx, r, attempt, dead))
	case err != nil:
		return outcome{}, err
	}
	at, has, err := s.nextStep(ctx, r, a)
	if err != nil {
		return outcome{}, err
	}
	if at != "" {
		known := t.known != "" && (!has.Any() || t.proved(a, has.Since))
		return s.await(ctx, r, t, a, attempt, at, known)
	}
	how := account.PasswordMethod
	how.Keep = t.keep
	return s.arrive(ctx, r, arrival{visitor: t.visitor, account: a, how: how, known: t.known, attempt: &attempt})
}

// nextStep is the page on which a person whose password was right proves more:
// "" when the password is enough.
func (s *Service) nextStep(ctx context.Context, r *realm.Realm, a account.Account) (at string, has factor.Summary, err error) {
	if has, err = s.factors.Of(ctx, a.ID); err != nil {
		return "", has, err
	}
	if has.Any() {
		return pathSecond, has, nil
	}
	must, err := s.factors.Required(ctx, r, a.ID)
	if err != nil || !must {
		return "", has, err
	}
	return pathEnrol, has, nil
}

// await notes that the password was right. What was counted against this try is
// given back and no more: the failures of others are forgotten when the whole
// sign-in has succeeded. So whoever stole the password cannot wipe out the count
// of their guesses by stopping half way, nor run it up until the password is
// disabled, which would lock the person out.
func (s *Service) await(ctx context.Context, r *realm.Realm, t try, a account.Account, attempt account.Attempt, at string, known bool) (outcome, error) {
	var tok secret.Token
	err := s.db.InTx(ctx, func(ctx context.Context) (err error) {
		if tok, err = s.beginStep(ctx, r, t, a, known); err != nil {
			return err
		}
		if err := s.throttle.GiveBack(ctx, r, attempt, false); err != nil {
			return err
		}
		return s.audit.Record(ctx, audit.Event{Realm: r.Name, Kind: "signin.password_right", Actor: a.Actor(), Target: a.Actor(),
			ClientID: t.clientID, IP: t.device.IP, Details: map[string]any{"device": account.DeviceName(t.device.UserAgent)}})
	})
	if err != nil {
		return outcome{}, fmt.Errorf("sign in: %w", err)
	}
	return outcome{account: a, wait: tok, at: at}, nil
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

// arrival is a sign-in that has proved all it has to.
type arrival struct {
	visitor
	account account.Account
	how     session.Method
	known   string                          // the browser's nonce for this account
	attempt *account.Attempt                // whose failures are forgotten; nil: no password was typed
	since   time.Time                       // of the second factors that were proved; zero: none
	step    []byte                          // hash of what waited for the second step; nil: nothing did
	also    func(ctx context.Context) error // happens together with it; nil: nothing
}

// arrive opens the session. In one transaction it makes sure that what was
// proved still holds, spends what waited, renews or ends the session the browser
// had before and records the event. account.ErrCredentials or errStep when another
// change, or another right answer, was faster.
func (s *Service) arrive(ctx context.Context, r *realm.Realm, in arrival) (out outcome, err error) {
	out.account, out.known, out.since = in.account, in.known, in.since
	err = s.db.InTx(ctx, func(ctx context.Context) error {
		if err := s.accounts.SignedIn(ctx, in.account); err != nil {
			return err
		}
		if in.step != nil {
			if err := s.spendStep(ctx, in.step); err != nil {
				return err
			}
		}
		if out.session, out.token, err = s.open(ctx, r, in); err != nil {
			return err
		}
		if in.also != nil {
			if err := in.also(ctx); err != nil {
				return err
			}
		}
		if in.attempt != nil {
			if err := s.throttle.Passed(ctx, r, *in.attempt); err != nil {
				return err
			}
		}
		return s.audit.Record(ctx, audit.Event{Realm: r.Name, Kind: "signin.succeeded", Actor: in.account.Actor(), Target: in.account.Actor(),
			ClientID: in.clientID, IP: in.device.IP, Details: map[string]any{
				"device": account.DeviceName(in.device.UserAgent), "acr": in.how.ACR, "amr": in.how.AMR}})
	})
	if err != nil {
		return outcome{}, fmt.Errorf("sign in: %w", err)
	}
	if in.known == "" {
		// Counted when the sign-in is done, so that what was refused costs none. It
		// is worth more than being known: without a count the browser stays a stranger.
		known, err := s.throttle.NewDevice(ctx, r, in.account.ID)
		out.newDevice = err == nil && known
	}
	return out, nil
}

// open renews the session that the browser has of the same person, and ends one
// of somebody else.
func (s *Service) open(ctx context.Context, r *realm.Realm, in arrival) (session.Session, secret.Token, error) {
	if had := in.previous; had != nil {
		if had.AccountID == in.account.ID {
			renewed, token, err := s.sessions.Renew(ctx, r, had.ID, had.AccountID, in.device, in.how)
			if err == nil {
				err = s.forgetTries(ctx, had.ID)
			}
			if !errors.Is(err, session.ErrNotFound) {
				return renewed, token, err
			}
		} else if err := s.sessions.End(ctx, had.ID, "replaced"); err != nil {
			return session.Session{}, secret.Token{}, err
		}
	}
	return s.sessions.Start(ctx, r, in.account.ID, in.device, in.how)
}

// forgetTries forgets what was tried in vain in a session by whoever had its
// cookie until now.
func (s *Service) forgetTries(ctx context.Context, id uuid.UUID) error {
	if err := s.throttle.ForgetOwn(ctx, id); err != nil {
		return err
	}
	return s.limits.Reset(ctx, stepUpKey(id))
}

// refused records a try that failed, with the account it was aimed at, and
// returns result. What was typed is not recorded: it is now and then a
// password.
func (s *Service) refused(ctx context.Context, r *realm.Realm, v visitor, whose uuid.UUID, why string, result error) error {
	return s.failed(ctx, r, v, whose, "signin.failed", why, result)
}

// turnedAway is refused for a try that came too soon: nothing was verified. The
// trail keeps a few an hour of them, since it is kept for years, and a stranger
// who goes on and on would fill it; recorded is the throttle's word on this one.
func (s *Service) turnedAway(ctx context.Context, r *realm.Realm, v visitor, whose uuid.UUID, kind string, recorded bool, err, result error) error {
	switch {
	case err != nil:
		return fmt.Errorf("count try that was turned away: %w", err)
	case !recorded:
		return result
	}
	return s.failed(ctx, r, v, whose, kind, "throttled", result)
}

func (s *Service) failed(ctx context.Context, r *realm.Realm, v visitor, whose uuid.UUID, kind, why string, result error) error {
	target := ""
	if whose != uuid.Nil {
		target = account.Actor(whose)
	}
	err := s.audit.Record(ctx, audit.Event{Realm: r.Name, Kind: kind, Outcome: audit.Failure, Severity: audit.Warning,
		Actor: "anonymous", Target: target, ClientID: v.clientID, IP: v.device.IP, Details: map[string]any{"why": why}})
	if err != nil {
		return fmt.Errorf("record failed sign-in: %w", err)
	}
	return result
}
