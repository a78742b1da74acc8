package recovery

import (
	"context"
	"fmt"
)

// VoidEverything ends every open link of a realm, with the recoveries that were
// begun with them, drops requests that were not looked at yet, and returns how
// many links ended. It is for a database that comes from a backup, where links
// are open that were used since. It joins the caller's transaction; letters
// that wait are the outbox's to call off.
func (s *Service) VoidEverything(ctx context.Context, realm string) (int64, error) {
	now := s.db.Now(ctx)
	n, err := s.db.Exec(ctx, `
		UPDATE recovery_tickets SET voided_at = $2, void_reason = 'restored'
		WHERE realm = $1 AND used_at IS NULL AND voided_at IS NULL AND expires_at > $2`, realm, now)
	if err != nil {
		return 0, fmt.Errorf("void the links of the realm: %w", err)
	}
	if _, err := s.db.Exec(ctx, `
		UPDATE recovery_requests SET processed_at = $2 WHERE realm = $1 AND processed_at IS NULL`, realm, now); err != nil {
		return 0, fmt.Errorf("drop the requests of the realm: %w", err)
	}
	return n, nil
}
