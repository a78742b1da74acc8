package signin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/factor"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/session"
)

// withPasskey signs in with a passkey alone. Unknown, refused, or of an account
// that may not sign in: all are account.ErrCredentials. *account.Throttled when
// the network has had its tries.
func (s *Service) withPasskey(ctx context.Context, r *realm.Realm, v visitor, keep bool, response []byte, known func(account.Account) string) (outcome, error) {
	wait, err := s.countPasskey(ctx, r, v, response, known)
	switch {
	case err != nil:
		return outcome{}, fmt.Errorf("throttle: %w", err)
	case wait > 0:
		recorded, err := s.throttle.RecordedAt(ctx, r, v.network)
		return outcome{}, s.turnedAway(ctx, r, v, uuid.Nil, "signin.failed", recorded, err, &account.Throttled{Wait: wait})
	}
	p, err := s.factors.VerifyAssertion(ctx, r, v.browser, response, nil)
	var refusal *factor.Refusal
	switch {
	case errors.As(err, &refusal):
		return outcome{}, s.refused(ctx, r, v, refusal.AccountID, "passkey: "+refusal.Why, account.ErrCredentials)
	case errors.Is(err, factor.ErrPasskey), errors.Is(err, factor.ErrChallenge), errors.Is(err, factor.ErrNoPasskeys):
		return outcome{}, s.refused(ctx, r, v, uuid.Nil, "passkey", account.ErrCredentials)
	case err != nil:
		return outcome{}, err
	}
	a, err := s.accounts.Find(ctx, r.Name, p.AccountID)
	switch {
	case errors.Is(err, account.ErrNotFound):
		return outcome{}, s.refused(ctx, r, v, uuid.Nil, "unknown", account.ErrCredentials)
	case err != nil:
		return outcome{}, fmt.Errorf("find account: %w", err)
	case a.FrozenAt != nil:
		return outcome{}, s.refused(ctx, r, v, a.ID, "frozen", account.ErrCredentials)
	case a.State != account.Active:
		return outcome{}, s.refused(ctx, r, v, a.ID, "not_active", account.ErrCredentials)
	}
	// What was counted against the password stays: nobody has typed it.
	out, err := s.arrive(ctx, r, arrival{visitor: v, account: a, known: known(a), since: p.Since,
		how: session.Method{ACR: session.TwoFactors, AMR: methods(nil, p.AMR), Keep: keep}})
	if errors.Is(err, account.ErrCredentials) {
		return outcome{}, s.refused(ctx, r, v, a.ID, "changed_meanwhile", account.ErrCredentials)
	}
	return out, err
}

// countPasskey counts a try before it is verified, and says how long to wait
// instead. Where the network has had its tries, a browser that is known to the
// account whose passkey it shows has as many of its own: strangers behind the
// same address do not keep it out. Nothing is verified yet, so it may show a
// passkey that is not there; then it has used up a try of its own.
func (s *Service) countPasskey(ctx context.Context, r *realm.Realm, v visitor, response []byte, known func(account.Account) string) (wait time.Duration, err error) {
	const key = "signin-passkey/"
	ok, wait, err := s.limits.Allow(ctx, key+r.Name+"/"+v.network, r.SignIn.AttemptsPerNetwork, time.Hour)
	if err != nil || ok {
		return 0, err
	}
	device := ""
	switch a, err := s.claimed(ctx, r, response); {
	case err == nil:
		device = known(a)
	case !errors.Is(err, account.ErrNotFound):
		return 0, err
	}
	if device != "" {
		ok, wait, err = s.limits.Allow(ctx, key+r.Name+"/device/"+device, r.SignIn.AttemptsPerNetwork, time.Hour)
		if err != nil || ok {
			return 0, err
		}
	}
	return max(wait, time.Second), nil
}

// claimed is the account whose passkey a response names: account.ErrNotFound for
// none.
func (s *Service) claimed(ctx context.Context, r *realm.Realm, response []byte) (account.Account, error) {
	id, err := s.factors.Claimed(ctx, r, response)
	switch {
	case err != nil:
		return account.Account{}, err
	case id == uuid.Nil:
		return account.Account{}, account.ErrNotFound
	}
	return s.accounts.Find(ctx, r.Name, id)
}
