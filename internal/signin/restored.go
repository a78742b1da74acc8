package signin

import (
	"context"
	"fmt"
)

// DropEverything forgets every sign-in of a realm that waits for its second
// step. It is for a database that comes from a backup, works in steps and can be
// repeated.
func (s *Service) DropEverything(ctx context.Context, realm string) error {
	err := s.db.InSteps(ctx, `DELETE FROM signin_steps WHERE token_hash IN (
		SELECT token_hash FROM signin_steps WHERE realm = $1 LIMIT 1000)`, realm)
	if err != nil {
		return fmt.Errorf("forget the sign-ins of the realm: %w", err)
	}
	return nil
}
