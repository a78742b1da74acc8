package account

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/realm"
)

// endSession signs one of the person's own browsers out, together with what
// clients got through it.
func (s *Service) endSession(ctx context.Context, r *realm.Realm, a Account, id uuid.UUID, by By) error {
	err := s.db.InTx(ctx, func(ctx context.Context) error {
		if err := s.sessions.EndOwn(ctx, a.ID, id, "signed_out_by_owner"); err != nil {
			return err
		}
		if err := s.peers.Grants.RevokeSession(ctx, id, "signed_out_by_owner"); err != nil {
			return fmt.Errorf("revoke grants: %w", err)
		}
		return s.audit.Record(ctx, auditSession(r, a, by, map[string]any{"session": id.String()}))
	})
	if err != nil {
		return fmt.Errorf("sign out device: %w", err)
	}
	return nil
}

// endOtherSessions signs all other browsers of the person out. It locks the
// account first and touches sessions before grants, as everything does that ends
// many of them: a thief who asks for this again and again does not get in the way
// of a new password.
func (s *Service) endOtherSessions(ctx context.Context, r *realm.Realm, a Account, except uuid.UUID, by By) error {
	err := s.db.InTx(ctx, func(ctx context.Context) error {
		if _, err := s.Lock(ctx, r.Name, a.ID); err != nil {
			return err
		}
		list, err := s.sessions.List(ctx, r, a.ID)
		if err != nil {
			return err
		}
		if err := s.sessions.EndAll(ctx, a.ID, except, "signed_out_by_owner"); err != nil {
			return err
		}
		for _, one := range list {
			if one.ID == except {
				continue
			}
			if err := s.peers.Grants.RevokeSession(ctx, one.ID, "signed_out_by_owner"); err != nil {
				return fmt.Errorf("revoke grants: %w", err)
			}
		}
		return s.audit.Record(ctx, auditSession(r, a, by, map[string]any{"session": "all others"}))
	})
	if err != nil {
		return fmt.Errorf("sign out other devices: %w", err)
	}
	return nil
}
