package database

import (
	"context"
	"sync/atomic"
)

type tripsKey struct{}

// TripCounter counts the round trips that were made with a context. BEGIN and
// COMMIT count as one each; a statement's one-time preparation on a fresh
// connection does not count.
type TripCounter struct{ n atomic.Int64 }

// Trips is the number so far.
func (c *TripCounter) Trips() int { return int(c.n.Load()) }

// CountTrips returns a context whose use of a DB is counted.
func CountTrips(ctx context.Context) (context.Context, *TripCounter) {
	c := &TripCounter{}
	return context.WithValue(ctx, tripsKey{}, c), c
}

func countTrip(ctx context.Context) {
	if c, ok := ctx.Value(tripsKey{}).(*TripCounter); ok {
		c.n.Add(1)
	}
}
