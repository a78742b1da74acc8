package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/realm"
)

// slices is how many parts a window has. A counted attempt is forgotten after
// the window, at most a slice (a sixtieth) early.
const slices = 60

// ErrInTransaction says that a count was asked for inside a transaction, where
// a refusal would undo it. It is a programming error.
var ErrInTransaction = errors.New("an attempt is counted in a transaction of its own")

// Limiter counts attempts. It is safe for concurrent use.
type Limiter struct {
	db *database.DB
}

// New keeps its counters in db.
func New(db *database.DB) *Limiter { return &Limiter{db: db} }

// Allow counts an attempt and tells whether it may go on: at most limit in any
// window. Otherwise retryAfter says when the next one may come. An error means
// that nothing was counted: refuse then.
func (l *Limiter) Allow(ctx context.Context, key string, limit int, window time.Duration) (ok bool, retryAfter time.Duration, err error) {
	if l.db.InTransaction(ctx) {
		return false, 0, ErrInTransaction
	}
	now := l.db.Now(ctx)
	slice := sliceOf(window)
	var b database.Batch
	// The first statement locks the key (its row at time zero), so that the
	// second one sees every attempt that was let through before it.
	b.Queue(`
		INSERT INTO rate_counters (counter_key, window_at, hits, expires_at) VALUES ($1, $2, 0, $3)
		ON CONFLICT (counter_key, window_at) DO UPDATE SET expires_at = excluded.expires_at`,
		key, lockRow, now.Add(2*window))
	count := b.Queue(`
		INSERT INTO rate_counters (counter_key, window_at, hits, expires_at)
		SELECT $1, $2, 1, $3
		WHERE (SELECT COALESCE(SUM(hits), 0) FROM rate_counters WHERE counter_key = $1 AND window_at > $4) < $5
		ON CONFLICT (counter_key, window_at) DO UPDATE SET hits = rate_counters.hits + 1`,
		key, now.Truncate(slice), now.Add(2*window), now.Add(-window), int64(limit))
	rows, err := l.db.Batch(ctx, &b)
	if err != nil {
		return false, 0, fmt.Errorf("count attempt: %w", err)
	}
	if rows[count] == 1 {
		return true, 0, nil
	}
	retryAfter, err = l.retryAfter(ctx, key, limit, window, now)
	return false, retryAfter, err
}

// lockRow is the window_at of the row that only serves as the key's lock: a
// time at which nothing was counted.
var lockRow = time.Unix(0, 0).UTC()

func sliceOf(window time.Duration) time.Duration {
	return max(window/slices, time.Millisecond)
}

// retryAfter finds when enough slices have left the window.
func (l *Limiter) retryAfter(ctx context.Context, key string, limit int, window time.Duration, now time.Time) (time.Duration, error) {
	type part struct {
		at   time.Time
		hits int64
	}
	rows, err := l.db.Query(ctx, `
		SELECT window_at, hits FROM rate_counters WHERE counter_key = $1 AND window_at > $2
		ORDER BY window_at`, key, now.Add(-window))
	parts, err := database.Collect(rows, err, func(r *database.Rows) (p part, err error) {
		err = r.Scan(&p.at, &p.hits)
		return p, err
	})
	if err != nil {
		return 0, fmt.Errorf("read counters: %w", err)
	}
	var sum int64
	for _, p := range parts {
		sum += p.hits
	}
	for _, p := range parts {
		if sum -= p.hits; sum < int64(limit) {
			return max(p.at.Add(window).Sub(now), time.Millisecond), nil
		}
	}
	return window, nil
}

// Count tells how many attempts were let through in the window, without
// counting one.
func (l *Limiter) Count(ctx context.Context, key string, window time.Duration) (int, error) {
	var n int64
	err := l.db.QueryRow(ctx, `
		SELECT COALESCE(SUM(hits), 0) FROM rate_counters WHERE counter_key = $1 AND window_at > $2`,
		key, l.db.Now(ctx).Add(-window)).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("read counters: %w", err)
	}
	return int(n), nil
}

// Reset forgets what was counted for a key, by Allow, Delay and Streak. Unlike
// them it may join the caller's transaction.
func (l *Limiter) Reset(ctx context.Context, key string) error {
	var b database.Batch
	b.Queue(`DELETE FROM rate_counters WHERE counter_key = $1`, key)
	b.Queue(`DELETE FROM rate_delays WHERE counter_key = $1`, key)
	if _, err := l.db.Batch(ctx, &b); err != nil {
		return fmt.Errorf("reset counters: %w", err)
	}
	return nil
}

// Backoff is how long to wait after so many failures in a row.
func Backoff(p realm.SignInPolicy, failures int) time.Duration {
	wait := p.FirstDelay
	for n := p.DelayFromFailure; n <= failures; n++ {
		if n == failures {
			return min(wait, p.MaxDelay)
		}
		if wait *= 2; wait >= p.MaxDelay {
			return p.MaxDelay
		}
	}
	return 0
}

// Delay counts a sign-in as failed before it is verified, and says how long to
// wait instead: zero means go on. Call Reset when the sign-in succeeds. While
// waiting nothing is counted; p.ForgetFailures without a try forgets them. Take a
// key of account (or typed address) and network, so that one network's
// failures do not keep the person's own devices out.
func (l *Limiter) Delay(ctx context.Context, key string, p realm.SignInPolicy) (wait time.Duration, err error) {
	if l.db.InTransaction(ctx) {
		return 0, ErrInTransaction
	}
	now := l.db.Now(ctx)
	args := []any{key, now, now.Add(p.ForgetFailures)}
	// When the next try is free depends on the number of failures; the
	// earliest last try for each number is an argument, because the two
	// engines do not compute with times in the same way.
	var free strings.Builder
	for n := p.DelayFromFailure; Backoff(p, n) < p.MaxDelay; n++ {
		args = append(args, now.Add(-Backoff(p, n)))
		fmt.Fprintf(&free, " WHEN rate_delays.failures = %d THEN rate_delays.last_at <= $%d", n, len(args))
	}
	args = append(args, now.Add(-p.MaxDelay))
	rows, err := l.db.Exec(ctx, fmt.Sprintf(`
		INSERT INTO rate_delays (counter_key, failures, last_at, expires_at) VALUES ($1, 1, $2, $3)
		ON CONFLICT (counter_key) DO UPDATE SET
			failures = CASE WHEN rate_delays.expires_at <= $2 THEN 1 ELSE rate_delays.failures + 1 END,
			last_at = excluded.last_at, expires_at = excluded.expires_at
		WHERE rate_delays.expires_at <= $2 OR
			CASE WHEN rate_delays.failures < %d THEN true%s ELSE rate_delays.last_at <= $%d END`,
		p.DelayFromFailure, free.String(), len(args)), args...)
	if err != nil {
		return 0, fmt.Errorf("count sign-in: %w", err)
	}
	if rows == 1 {
		return 0, nil
	}
	var failures int64
	var last time.Time
	err = l.db.QueryRow(ctx, `SELECT failures, last_at FROM rate_delays WHERE counter_key = $1`, key).Scan(&failures, &last)
	if errors.Is(err, database.ErrNoRows) {
		return time.Second, nil // a success forgot the failures this moment
	}
	if err != nil {
		return 0, fmt.Errorf("read delay: %w", err)
	}
	return max(last.Add(Backoff(p, int(failures))).Sub(now), time.Millisecond), nil
}

// keepStreakFrom is how many failures in a row it takes to be remembered for
// long. Fewer are forgotten soon: anybody may type any address, and each
// leaves a row.
const keepStreakFrom = 10

// Streak counts a try as failed before it is verified, and tells whether it
// may go on: at most limit failures in a row. Call Reset when the try
// succeeds. While refused nothing is counted. Up to nine failures are forgotten
// when p.ForgetFailures pass without a try, more when p.ForgetStreak does. Take
// a key that Delay does not use.
func (l *Limiter) Streak(ctx context.Context, key string, limit int, p realm.SignInPolicy) (ok bool, err error) {
	if l.db.InTransaction(ctx) {
		return false, ErrInTransaction
	}
	now := l.db.Now(ctx)
	rows, err := l.db.Exec(ctx, `
		INSERT INTO rate_delays (counter_key, failures, last_at, expires_at) VALUES ($1, 1, $2, $3)
		ON CONFLICT (counter_key) DO UPDATE SET
			failures = CASE WHEN rate_delays.expires_at <= $2 THEN 1 ELSE rate_delays.failures + 1 END,
			last_at = excluded.last_at,
			expires_at = CASE WHEN rate_delays.expires_at > $2 AND rate_delays.failures + 1 >= $5 THEN $4 ELSE $3 END
		WHERE rate_delays.expires_at <= $2 OR rate_delays.failures < $6`,
		key, now, now.Add(p.ForgetFailures), now.Add(p.ForgetStreak), int64(min(limit, keepStreakFrom)), int64(limit))
	if err != nil {
		return false, fmt.Errorf("count failure: %w", err)
	}
	return rows == 1, nil
}

// GiveBack undoes one Delay or Streak whose try was not verified after all.
// The next try is free, as the one that was given back was.
func (l *Limiter) GiveBack(ctx context.Context, key string) error {
	_, err := l.db.Exec(ctx, `
		UPDATE rate_delays SET failures = failures - 1, last_at = $2 WHERE counter_key = $1 AND failures > 0`, key, lockRow)
	if err != nil {
		return fmt.Errorf("give try back: %w", err)
	}
	return nil
}

// CleanUp deletes counters that no longer count, 1,000 at a time with a pause.
func (l *Limiter) CleanUp(ctx context.Context) error {
	for _, query := range []string{
		`DELETE FROM rate_counters WHERE expires_at <= $1 AND (counter_key, window_at) IN (
			SELECT counter_key, window_at FROM rate_counters WHERE expires_at <= $1 ORDER BY expires_at LIMIT 1000)`,
		`DELETE FROM rate_delays WHERE expires_at <= $1 AND counter_key IN (
			SELECT counter_key FROM rate_delays WHERE expires_at <= $1 ORDER BY expires_at LIMIT 1000)`,
	} {
		if err := l.db.InSteps(ctx, query, l.db.Now(ctx)); err != nil {
			return fmt.Errorf("clean up counters: %w", err)
		}
	}
	return nil
}
