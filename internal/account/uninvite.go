package account

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/realm"
)

// CancelInvitation ends an invited account's open invitation. The account
// stays invited; only a new Invite opens a way in. It joins the caller's
// transaction. ErrState when the account is not invited.
func (s *Service) CancelInvitation(ctx context.Context, r *realm.Realm, accountID uuid.UUID, by By) error {
	err := s.db.InTx(ctx, func(ctx context.Context) error {
		a, err := s.Lock(ctx, r.Name, accountID)
		if err != nil {
			return err
		}
		if a.State != Invited {
			return ErrState
		}
		if err := s.voidInvitations(ctx, a.ID); err != nil {
			return err
		}
		return s.audit.Record(ctx, audit.Event{Realm: r.Name, Kind: "account.invitation_cancelled", Actor: by.Actor, Target: a.Actor(),
			PracticeID: by.PracticeID, ClientID: by.ClientID, IP: by.IP})
	})
	if err != nil {
		return fmt.Errorf("cancel invitation: %w", err)
	}
	return nil
}

// InvitationCancelled tells whether the account's latest invitation was ended
// before anybody used it. Nobody who asks at the sign-in page gets another one
// then: the address may have been wrong.
func (s *Service) InvitationCancelled(ctx context.Context, accountID uuid.UUID) (bool, error) {
	var cancelled bool
	err := s.db.QueryRow(ctx, `
		SELECT voided_at IS NOT NULL FROM invitations WHERE account_id = $1 ORDER BY created_at DESC, id DESC LIMIT 1`,
		accountID).Scan(&cancelled)
	if errors.Is(err, database.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("find latest invitation: %w", err)
	}
	return cancelled, nil
}
