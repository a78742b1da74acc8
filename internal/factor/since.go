package factor

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/realm"
)

// addedSince are the factors of an account that are not older than a time, by
// table. An app counts from its first right code on, however old its setup is.
var addedSince = []string{
	`totp_secrets WHERE account_id = $1 AND confirmed_at >= $2`,
	`passkeys WHERE account_id = $1 AND created_at >= $2`,
	`recovery_codes WHERE account_id = $1 AND created_at >= $2`,
}

// AddedSince reports whether RemoveSince would remove anything.
func (s *Service) AddedSince(ctx context.Context, accountID uuid.UUID, since time.Time) (added bool, err error) {
	err = s.DB.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM `+strings.Join(addedSince, `) OR EXISTS (SELECT 1 FROM `)+`)`, accountID, since).Scan(&added)
	if err != nil {
		return false, fmt.Errorf("find second factors since %s: %w", since.Format(time.RFC3339), err)
	}
	return added, nil
}

// RemoveSince removes what was added to an account at or after a time, for
// somebody whose account was in other hands from then on. Recovery codes that
// are left without a factor go too, and so does a setup that nobody finished. It
// joins the caller's transaction, in which the account is locked and its person
// told. It reports whether there was anything.
func (s *Service) RemoveSince(ctx context.Context, r *realm.Realm, accountID uuid.UUID, since time.Time, by account.By) (removed bool, err error) {
	err = s.DB.InTx(ctx, func(ctx context.Context) error {
		had, err := s.Of(ctx, accountID)
		if err != nil {
			return err
		}
		gone := int64(0)
		for _, of := range addedSince {
			rows, err := s.DB.Exec(ctx, `DELETE FROM `+of, accountID, since)
			if err != nil {
				return err
			}
			gone += rows
		}
		if _, err := s.DB.Exec(ctx, `DELETE FROM totp_setups WHERE account_id = $1`, accountID); err != nil {
			return err
		}
		if removed = gone > 0; !removed {
			return nil
		}
		left, err := s.Of(ctx, accountID)
		if err != nil {
			return err
		}
		if !left.Any() {
			if err := s.deleteAll(ctx, accountID); err != nil {
				return err
			}
		}
		return s.Audit.Record(ctx, audit.Event{Realm: r.Name, Kind: "factor.removed", Severity: audit.High, Actor: by.Actor,
			Target: account.Actor(accountID), PracticeID: by.PracticeID, ClientID: by.ClientID, IP: by.IP,
			Details: by.Details(map[string]any{"factor": "since", "since": since.Format(time.RFC3339), "totp": had.TOTP && !left.TOTP,
				"passkeys": had.Passkeys - left.Passkeys, "codes": had.RecoveryCodes - left.RecoveryCodes, "left": factors(left)})})
	})
	if err != nil {
		return false, fmt.Errorf("remove second factors since %s: %w", since.Format(time.RFC3339), err)
	}
	return removed, nil
}
