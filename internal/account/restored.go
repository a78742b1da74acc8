package account

import (
	"context"
	"fmt"
)

// VoidEverything ends every open invitation of a realm and every change of a
// login email that waits for its link, and returns how many. It is for a
// database that comes from a backup, where links are open that were used since.
// The links "this wasn't me" stay: a freeze that the backup does not know can
// be repeated. It works in steps and can be repeated; letters that wait are the
// outbox's to call off.
func (s *Service) VoidEverything(ctx context.Context, realm string) (int64, error) {
	now := s.db.Now(ctx)
	invitations, err := s.db.CountInSteps(ctx, `
		UPDATE invitations SET voided_at = $2 WHERE id IN (
			SELECT id FROM invitations WHERE realm = $1 AND used_at IS NULL AND voided_at IS NULL LIMIT 1000)`, realm, now)
	if err != nil {
		return invitations, fmt.Errorf("void the invitations of the realm: %w", err)
	}
	changes, err := s.db.CountInSteps(ctx, `
		UPDATE email_changes SET voided_at = $2, void_reason = 'restored' WHERE id IN (
			SELECT id FROM email_changes WHERE realm = $1 AND used_at IS NULL AND voided_at IS NULL LIMIT 1000)`, realm, now)
	if err != nil {
		return invitations + changes, fmt.Errorf("void the changes of emails of the realm: %w", err)
	}
	return invitations + changes, nil
}
