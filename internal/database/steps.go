package database

import (
	"context"
	"time"
)

// StepRows is how many rows one step of InSteps takes; its statements say
// LIMIT 1000.
const StepRows = 1000

// stepPause lets requests in between two steps.
const stepPause = 100 * time.Millisecond

// InSteps repeats a DELETE of at most StepRows rows until it finds fewer, with
// a pause in between, so that no request waits for a large clean-up. Any number
// of replicas may do so at once.
func (db *DB) InSteps(ctx context.Context, query string, args ...any) error {
	_, err := db.CountInSteps(ctx, query, args...)
	return err
}

// CountInSteps is InSteps for any statement whose rows are done when it has been
// at them, and says how many it was at, also when it fails half way.
func (db *DB) CountInSteps(ctx context.Context, query string, args ...any) (rows int64, err error) {
	for {
		n, err := db.Exec(ctx, query, args...)
		rows += n
		if err != nil || n < StepRows {
			return rows, err
		}
		select {
		case <-ctx.Done():
			return rows, ctx.Err()
		case <-time.After(stepPause):
		}
	}
}
