package factor

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/mail"
	"github.com/portico-id/portico/internal/ratelimit"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/secret"
	"github.com/portico-id/portico/internal/session"
)

// Purposes of keys (secret.Sealer).
const (
	sealPurpose      = "second factor: authenticator app"
	challengePurpose = "second factor: challenge of a passkey"
	codePurpose      = "second factor: recovery code"
)

// Duties knows the staff roles of an account. practice has it.
type Duties interface {
	Roles(ctx context.Context, accountID uuid.UUID) ([]string, error)
}

// Deps is what a Service is made of. Duties may be nil where no realm demands
// second factors by role, Grants in tests.
type Deps struct {
	DB       *database.DB
	Sealer   *secret.Sealer
	Limits   *ratelimit.Limiter
	Audit    *audit.Log
	Accounts *account.Service
	Sessions *session.Manager
	Grants   account.Grants
	Duties   Duties
}

// Service keeps and verifies the second proofs of people. It is safe for
// concurrent use.
type Service struct {
	Deps
	challengeKey, codeKey []byte
}

// NewService makes a service.
func NewService(d Deps) *Service {
	return &Service{Deps: d, challengeKey: d.Sealer.DeriveKey(challengePurpose, 32), codeKey: d.Sealer.DeriveKey(codePurpose, 32)}
}

// Of tells what an account has.
func (s *Service) Of(ctx context.Context, accountID uuid.UUID) (Summary, error) {
	var apps, passkeys, codes int64
	var since *time.Time
	err := s.DB.QueryRow(ctx, `
		SELECT (SELECT COUNT(*) FROM totp_secrets WHERE account_id = $1),
			(SELECT COUNT(*) FROM passkeys WHERE account_id = $1),
			(SELECT COUNT(*) FROM recovery_codes WHERE account_id = $1 AND used_at IS NULL), `+oldest("$1"), accountID).
		Scan(&apps, &passkeys, &codes, &since)
	if err != nil {
		return Summary{}, fmt.Errorf("find second factors: %w", err)
	}
	has := Summary{TOTP: apps > 0, Passkeys: int(passkeys), RecoveryCodes: int(codes)}
	if since != nil {
		has.Since = *since
	}
	return has, nil
}

// oldest is when the oldest second factor of an account began to count, in SQL:
// NULL where there is none.
func oldest(account string) string {
	return `(SELECT MIN(f.since) FROM (SELECT confirmed_at AS since FROM totp_secrets WHERE account_id = ` + account + `
		UNION ALL SELECT created_at FROM passkeys WHERE account_id = ` + account + `) f)`
}

// Required tells whether the realm demands a second factor of an account.
func (s *Service) Required(ctx context.Context, r *realm.Realm, accountID uuid.UUID) (bool, error) {
	switch r.Factors.Required {
	case realm.SecondFactorEveryone:
		return true, nil
	case realm.SecondFactorRoles:
		if s.Duties == nil {
			return true, nil // nobody can tell, so nobody is let off
		}
		roles, err := s.Duties.Roles(ctx, accountID)
		if err != nil {
			return false, fmt.Errorf("find roles: %w", err)
		}
		return slices.ContainsFunc(roles, func(role string) bool { return slices.Contains(r.Factors.Roles, role) }), nil
	}
	return false, nil
}

// RemoveAll removes everything an account has, for somebody who has lost it
// and is helped by the practice. It joins the caller's transaction: sessions
// and grants end, the person is told and the event recorded, all or nothing.
func (s *Service) RemoveAll(ctx context.Context, r *realm.Realm, accountID uuid.UUID, by account.By) error {
	err := s.DB.InTx(ctx, func(ctx context.Context) error {
		a, err := s.Accounts.Lock(ctx, r.Name, accountID)
		if err != nil {
			return err
		}
		had, err := s.Of(ctx, a.ID)
		if err != nil {
			return err
		}
		if err := s.deleteAll(ctx, a.ID); err != nil {
			return err
		}
		const reason = "second_factors_reset"
		if err := s.Sessions.EndAll(ctx, a.ID, uuid.Nil, reason); err != nil {
			return fmt.Errorf("end sessions: %w", err)
		}
		if s.Grants != nil { // after the sessions, as everywhere
			if err := s.Grants.RevokeAll(ctx, a.ID, reason); err != nil {
				return fmt.Errorf("revoke grants: %w", err)
			}
		}
		return s.changed(ctx, r, a, by, change{kind: "factor.removed", what: factorsReset, severity: audit.High,
			details: map[string]any{"factor": "all", "totp": had.TOTP, "passkeys": had.Passkeys, "reason": by.Reason}})
	})
	if err != nil {
		return fmt.Errorf("remove second factors: %w", err)
	}
	return nil
}

// lock keeps everybody else from changing an account, for a person who was
// found a moment ago: ErrChanged when the account is not as it was read. Whoever
// was thrown out of it meanwhile leaves nothing behind with a form that was on
// its way.
func (s *Service) lock(ctx context.Context, r *realm.Realm, read account.Account) (account.Account, error) {
	now, err := s.Accounts.Lock(ctx, r.Name, read.ID)
	switch {
	case err != nil:
		return account.Account{}, err
	case !account.Unchanged(now, read):
		return account.Account{}, ErrChanged
	}
	return now, nil
}

// change is something that happened to what proves a person.
type change struct {
	kind, what, severity string
	details              map[string]any
}

// changed tells the person and records the event, in the caller's transaction.
func (s *Service) changed(ctx context.Context, r *realm.Realm, a account.Account, by account.By, ch change) error {
	data := map[string]string{"what": ch.what}
	if by.Practice != "" {
		data["practice"] = by.Practice
	}
	if err := s.Accounts.Notify(ctx, r, a, mail.FactorChanged, by, data); err != nil {
		return fmt.Errorf("queue notice: %w", err)
	}
	return s.Audit.Record(ctx, audit.Event{Realm: r.Name, Kind: ch.kind, Severity: ch.severity, Actor: by.Actor,
		Target: a.Actor(), PracticeID: by.PracticeID, ClientID: by.ClientID, IP: by.IP, Details: by.Details(ch.details)})
}

// CleanUp deletes what is over: setups nobody confirmed and challenges that
// are too old to be answered again, 1,000 at a time with a pause.
func (s *Service) CleanUp(ctx context.Context) error {
	now := s.DB.Now(ctx)
	for _, query := range []string{
		`DELETE FROM totp_setups WHERE id IN (SELECT id FROM totp_setups WHERE expires_at < $1 LIMIT 1000)`,
		`DELETE FROM spent_challenges WHERE challenge_hash IN (SELECT challenge_hash FROM spent_challenges WHERE expires_at < $1 LIMIT 1000)`,
	} {
		if err := s.DB.InSteps(ctx, query, now); err != nil {
			return fmt.Errorf("clean up second factors: %w", err)
		}
	}
	return nil
}
