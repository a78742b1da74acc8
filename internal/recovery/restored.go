package recovery

import (
	"context"
	"fmt"
)

// VoidEverything ends every open link of a realm, with the recoveries that were
// begun with them, drops requests that were not looked at yet, and returns how
// many links ended. It is for a database that comes from a backup, where links
// are open that were used since. It works in steps and can be repeated; letters
// that wait are the outbox's to call off.
func (s *Service) VoidEverything(ctx context.Context, realm string) (int64, error) {
	now := s.db.Now(ctx)
	n, err := s.db.CountInSteps(ctx, `
		UPDATE recovery_tickets SET voided_at = $2, void_reason = 'restored' WHERE id IN (
			SELECT id FROM recovery_tickets
			WHERE realm = $1 AND used_at IS NULL AND voided_at IS NULL AND expires_at > $2 LIMIT 1000)`, realm, now)
	if err != nil {
		return n, fmt.Errorf("void the links of the realm: %w", err)
	}
	err = s.db.InSteps(ctx, `
		UPDATE recovery_requests SET processed_at = $2 WHERE id IN (
			SELECT id FROM recovery_requests WHERE realm = $1 AND processed_at IS NULL LIMIT 1000)`, realm, now)
	if err != nil {
		return n, fmt.Errorf("drop the requests of the realm: %w", err)
	}
	return n, nil
}
