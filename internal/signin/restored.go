package signin

import (
	"context"
	"fmt"
)

// DropEverything forgets every sign-in of a realm that waits for its second
// step. It is for a database that comes from a backup, and joins the caller's
// transaction.
func (s *Service) DropEverything(ctx context.Context, realm string) error {
	if _, err := s.db.Exec(ctx, `DELETE FROM signin_steps WHERE realm = $1`, realm); err != nil {
		return fmt.Errorf("forget the sign-ins of the realm: %w", err)
	}
	return nil
}
