package signin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/factor"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/session"
)

// halfway is a person who has proved one thing and is to prove another: in a
// sign-in that waits, or in a session that is to become stronger.
type halfway struct {
	account account.Account
	pending *pending         // nil: session is set
	session *session.Session // the one that is to become stronger
	has     factor.Summary
}

// wrong is the error of a second step that failed; left is how many tries
// remain.
type wrong struct {
	cause error
	left  int
}

func (w *wrong) Error() string { return w.cause.Error() }
func (w *wrong) Unwrap() error { return w.cause }

// proof verifies a second proof and names its methods (RFC 8176). It calls count
// once, before it verifies anything, and not at all for what is turned away
// unseen. stands: it would have been enough alone, as a passkey is.
type proof func(ctx context.Context, count func(ctx context.Context) error) (amr []string, stands bool, err error)

// second counts and verifies a try at the second step and lets the person in.
// It returns a *wrong, errStep when the tries are used up or what waited is
// over, account.Throttled or factor.ErrTooMany when nothing was verified.
func (s *Service) second(ctx context.Context, r *realm.Realm, v visitor, h halfway, known string, prove proof) (outcome, error) {
	left := 0
	amr, stands, err := prove(ctx, func(ctx context.Context) (err error) {
		left, err = s.countSecond(ctx, r, v, h)
		return err
	})
	if err != nil {
		return outcome{}, s.secondFailed(ctx, r, v, h, left, err)
	}
	if h.pending == nil {
		return s.strengthen(ctx, r, v, h, amr, stands, nil)
	}
	return s.finish(ctx, r, v, h, known, amr, nil)
}

// enrolled is what sets a second factor up for somebody who has none, for
// finish and strengthen: of any number at once one does. Whoever comes second
// has to prove what the first one has set up.
func (s *Service) enrolled(r *realm.Realm, h halfway, set func(ctx context.Context) error) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		if _, err := s.accounts.Lock(ctx, r.Name, h.account.ID); err != nil {
			return err
		}
		has, err := s.factors.Of(ctx, h.account.ID)
		switch {
		case err != nil:
			return err
		case has.Any():
			return errStep
		}
		return set(ctx)
	}
}

// finish starts the session of a sign-in that waited. also happens in the same
// transaction, or is nil.
func (s *Service) finish(ctx context.Context, r *realm.Realm, v visitor, h halfway, known string, amr []string, also func(context.Context) error) (outcome, error) {
	// The device is asked for again: what was typed on the first page is gone,
	// and the account's own address names the same counters.
	attempt := account.Attempt{Email: h.account.LoginEmail, Network: v.network, Device: known}
	how := account.PasswordMethod
	if len(amr) > 0 {
		how = session.Method{ACR: session.TwoFactors, AMR: methods(how.AMR, amr)}
	}
	how.Keep = h.pending.keep
	out, err := s.arrive(ctx, r, arrival{visitor: v, account: h.account, how: how, known: known, attempt: &attempt, since: h.has.Since, step: h.pending.hash, also: also})
	if errors.Is(err, account.ErrCredentials) {
		// Closed, frozen or given another password between the steps.
		return outcome{}, s.failed(ctx, r, v, h.account.ID, "signin.second_failed", "changed_meanwhile", errStep)
	}
	return out, err
}

// strengthen makes a session one of two factors. also is as in finish.
func (s *Service) strengthen(ctx context.Context, r *realm.Realm, v visitor, h halfway, amr []string, stands bool, also func(context.Context) error) (out outcome, err error) {
	how := session.Method{ACR: session.TwoFactors, AMR: methods(h.session.AMR, amr), Confirms: stands}
	out.account, out.since = h.account, h.has.Since
	err = s.db.InTx(ctx, func(ctx context.Context) error {
		if also != nil { // first: it locks the account, which comes before sessions
			if err := also(ctx); err != nil {
				return err
			}
		}
		if out.token, err = s.sessions.Strengthen(ctx, r, h.session.ID, how); err != nil {
			return err
		}
		if err := s.limits.Reset(ctx, stepUpKey(h.session.ID)); err != nil {
			return err
		}
		return s.audit.Record(ctx, audit.Event{Realm: r.Name, Kind: "session.strengthened", Actor: h.account.Actor(), Target: h.account.Actor(),
			ClientID: v.clientID, IP: v.device.IP, Details: map[string]any{"session": h.session.ID.String(), "amr": how.AMR}})
	})
	switch {
	case errors.Is(err, session.ErrNotFound):
		return outcome{}, errStep
	case err != nil:
		return outcome{}, fmt.Errorf("step up: %w", err)
	}
	return out, nil
}

// methods adds what a second step proved to what was proved before.
func methods(before, amr []string) []string {
	all := slices.Clone(before)
	for _, one := range append(slices.Clone(amr), "mfa") {
		if !slices.Contains(all, one) {
			all = append(all, one)
		}
	}
	return all
}

// stepUpFor is how long wrong codes in a session count together.
const stepUpFor = 24 * time.Hour

func stepUpKey(id uuid.UUID) string { return "second-step/" + id.String() }

// countSecond counts a try, in a transaction of its own, before anything is
// verified. In a session that is to become stronger too many end it: whoever
// found an open browser does not go on guessing in it.
func (s *Service) countSecond(ctx context.Context, r *realm.Realm, v visitor, h halfway) (left int, err error) {
	if h.pending != nil {
		return s.countTry(ctx, r, *h.pending)
	}
	limit := r.Factors.TriesPerSignIn
	ok, _, err := s.limits.Allow(ctx, stepUpKey(h.session.ID), limit, stepUpFor)
	if err != nil {
		return 0, err
	}
	if !ok {
		return 0, s.endGuessing(ctx, r, v, h)
	}
	n, err := s.limits.Count(ctx, stepUpKey(h.session.ID), stepUpFor)
	return max(limit-n, 0), err
}

func (s *Service) endGuessing(ctx context.Context, r *realm.Realm, v visitor, h halfway) error {
	const why = "too_many_wrong_codes"
	err := s.db.InTx(ctx, func(ctx context.Context) error {
		if err := s.sessions.End(ctx, h.session.ID, why); err != nil {
			return err
		}
		if s.grants != nil {
			if err := s.grants.RevokeSession(ctx, h.session.ID, why); err != nil {
				return fmt.Errorf("revoke grants: %w", err)
			}
		}
		return s.audit.Record(ctx, audit.Event{Realm: r.Name, Kind: "session.ended", Severity: audit.Warning, Actor: h.account.Actor(),
			Target: h.account.Actor(), IP: v.device.IP, Details: map[string]any{"session": h.session.ID.String(), "why": why}})
	})
	if err != nil {
		return fmt.Errorf("end session: %w", err)
	}
	return errStep
}

// secondFailed records why a second step failed.
func (s *Service) secondFailed(ctx context.Context, r *realm.Realm, v visitor, h halfway, left int, cause error) error {
	why := ""
	var slow *account.Throttled
	var refusal *factor.Refusal
	switch {
	case errors.As(cause, &slow), errors.Is(cause, factor.ErrTooMany):
		recorded, err := s.throttle.RecordedAt(ctx, r, h.account.ID.String())
		return s.turnedAway(ctx, r, v, h.account.ID, "signin.second_failed", recorded, err, cause)
	case errors.Is(cause, factor.ErrCode):
		why = "wrong_code"
	case errors.As(cause, &refusal):
		why = "passkey: " + refusal.Why
	case errors.Is(cause, factor.ErrPasskey), errors.Is(cause, factor.ErrChallenge), errors.Is(cause, factor.ErrNoPasskeys):
		why = "passkey"
	default:
		return cause
	}
	result := error(&wrong{cause, left})
	if left == 0 {
		result = errStep
		if h.pending == nil {
			result = s.endGuessing(ctx, r, v, h)
		}
	}
	return s.failed(ctx, r, v, h.account.ID, "signin.second_failed", why, result)
}
