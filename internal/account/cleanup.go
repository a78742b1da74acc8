package account

import (
	"context"
	"time"

	"github.com/portico-id/portico/internal/database"
)

// deleteInSteps repeats a DELETE of at most 1,000 rows until it finds none,
// with a pause in between, so that no request waits for it.
func deleteInSteps(ctx context.Context, db *database.DB, query string, before time.Time) error {
	for {
		n, err := db.Exec(ctx, query, before)
		if err != nil || n < 1000 {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}
