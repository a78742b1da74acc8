package database

import (
	"context"
	"sync/atomic"
	"time"
)

// clockEvery is how often the estimate of the server's clock is renewed.
const clockEvery = 30 * time.Second

// clock estimates the database's clock. A sample pairs the server's time with
// a reading of the local monotonic clock, so a step of the local wall clock
// between two samples changes nothing.
type clock struct {
	sample atomic.Pointer[clockSample]
	fake   atomic.Pointer[func() time.Time]
	cancel context.CancelFunc
	done   chan struct{}
}

type clockSample struct {
	server time.Time
	local  time.Time // carries the monotonic reading
}

func startClock(ctx context.Context, db *DB) (*clock, error) {
	c := &clock{done: make(chan struct{})}
	if db.engine == SQLite {
		// The file's clock is this machine's clock.
		c.cancel = func() {}
		close(c.done)
		return c, nil
	}
	if err := c.read(ctx, db); err != nil {
		return nil, err
	}
	loop, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	go func() {
		defer close(c.done)
		tick := time.NewTicker(clockEvery)
		defer tick.Stop()
		for {
			select {
			case <-loop.Done():
				return
			case <-tick.C:
				limit, end := context.WithTimeout(loop, 5*time.Second)
				if err := c.read(limit, db); err != nil && loop.Err() == nil {
					db.log.Warn("the database's clock could not be read, keeping the last estimate", "error", err)
				}
				end()
			}
		}
	}()
	return c, nil
}

func (c *clock) read(ctx context.Context, db *DB) error {
	before := time.Now()
	var server time.Time
	if err := db.pg.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&server); err != nil {
		return typed(err)
	}
	after := time.Now()
	middle := before.Add(after.Sub(before) / 2)
	c.sample.Store(&clockSample{server: server.UTC(), local: middle})
	return nil
}

func (c *clock) now() time.Time {
	if fake := c.fake.Load(); fake != nil {
		return (*fake)().UTC().Truncate(time.Microsecond)
	}
	s := c.sample.Load()
	if s == nil {
		return time.Now().UTC().Truncate(time.Microsecond)
	}
	return s.server.Add(time.Since(s.local)).Truncate(time.Microsecond)
}

func (c *clock) stop() {
	c.cancel()
	<-c.done
}

// Now is the database's clock, in UTC with microseconds. Inside a transaction
// it is read once, so that everything in it happens at the same instant.
func (db *DB) Now(ctx context.Context) time.Time {
	t := db.txFrom(ctx)
	if t == nil {
		return db.clock.now()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.now.IsZero() {
		t.now = db.clock.now()
	}
	return t.now
}

// SetClock replaces the clock; nil brings the real one back. It is for tests:
// see dbtest.SetNow.
func (db *DB) SetClock(now func() time.Time) {
	if now == nil {
		db.clock.fake.Store(nil)
		return
	}
	db.clock.fake.Store(&now)
}
