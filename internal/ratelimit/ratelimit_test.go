package ratelimit

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/realm"
)

func TestExactlyTheLimitOfParallelCallersIsLetThrough(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		// Two limiters stand for two replicas.
		replicas := []*Limiter{New(db), New(db)}
		for round := range 3 {
			var let atomic.Int64
			var wg sync.WaitGroup
			key := "answer/" + string(rune('a'+round))
			for i := range 100 {
				wg.Go(func() {
					ok, retry, err := replicas[i%2].Allow(context.Background(), key, 10, 24*time.Hour)
					switch {
					case err != nil:
						t.Error(err)
					case ok:
						let.Add(1)
					case retry <= 0 || retry > 24*time.Hour:
						t.Errorf("retry after %s", retry)
					}
				})
			}
			wg.Wait()
			if let.Load() != 10 {
				t.Errorf("%d of 100 were let through, the limit is 10", let.Load())
			}
			if n, err := New(db).Count(context.Background(), key, 24*time.Hour); err != nil || n != 10 {
				t.Errorf("counted %d, %v", n, err)
			}
		}
	})
}

func TestNoWindowHoldsMoreThanTheLimit(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		l, ctx := New(db), context.Background()
		start := time.Date(2025, 3, 6, 11, 59, 0, 0, time.UTC)
		now := start
		dbtest.SetNow(db, func() time.Time { return now })
		var let []time.Time
		for now = start; now.Before(start.Add(3 * time.Hour)); now = now.Add(time.Minute) {
			ok, retry, err := l.Allow(ctx, "mail/net", 20, time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			if ok {
				let = append(let, now)
			} else if retry <= 0 || retry > time.Hour {
				t.Fatalf("retry after %s", retry)
			}
		}
		if len(let) != 60 {
			t.Errorf("%d were let through in three hours, 20 an hour may", len(let))
		}
		for i := 20; i < len(let); i++ {
			if between := let[i].Sub(let[i-20]); between < 59*time.Minute {
				t.Errorf("21 within %s", between)
			}
		}
	})
}

func TestTheWaitItNamesIsEnough(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		l, ctx := New(db), context.Background()
		now := time.Date(2025, 3, 6, 11, 59, 30, 0, time.UTC)
		dbtest.SetNow(db, func() time.Time { return now })
		for range 3 {
			if ok, _, err := l.Allow(ctx, "k", 3, time.Minute); !ok || err != nil {
				t.Fatal(ok, err)
			}
			now = now.Add(7 * time.Second)
		}
		_, retry, err := l.Allow(ctx, "k", 3, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		now = now.Add(retry)
		if ok, _, err := l.Allow(ctx, "k", 3, time.Minute); !ok || err != nil {
			t.Errorf("after waiting %s: %v, %v", retry, ok, err)
		}
		if ok, _, _ := l.Allow(ctx, "other", 3, time.Minute); !ok {
			t.Error("another key is counted with it")
		}
	})
}

func TestCountingInsideATransactionIsRefused(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		l := New(db)
		err := db.InTx(context.Background(), func(ctx context.Context) error {
			_, _, err := l.Allow(ctx, "k", 1, time.Minute)
			return err
		})
		if !errors.Is(err, ErrInTransaction) {
			t.Error(err)
		}
		err = db.InTx(context.Background(), func(ctx context.Context) error {
			_, err := l.Delay(ctx, "k", realm.Defaults(realm.Patient).SignIn)
			return err
		})
		if !errors.Is(err, ErrInTransaction) {
			t.Error(err)
		}
	})
}

func TestFailuresDelayTheNextSignIn(t *testing.T) {
	policy := realm.Defaults(realm.Patient).SignIn
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		l, ctx := New(db), context.Background()
		now := time.Date(2025, 3, 6, 12, 0, 0, 0, time.UTC)
		dbtest.SetNow(db, func() time.Time { return now })
		want := func(wait time.Duration) {
			t.Helper()
			got, err := l.Delay(ctx, "signin/a", policy)
			if err != nil || got != wait {
				t.Fatalf("wait %s, %v; expected %s", got, err, wait)
			}
		}
		for range 5 {
			want(0)
		}
		for _, wait := range []time.Duration{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900} {
			wait *= time.Second
			want(wait)
			now = now.Add(wait - time.Second)
			want(time.Second)
			now = now.Add(time.Second)
			want(0)
		}
		if err := l.Reset(ctx, "signin/a"); err != nil {
			t.Fatal(err)
		}
		for range 5 {
			want(0)
		}
		want(time.Second)
		now = now.Add(24 * time.Hour)
		for range 5 {
			want(0)
		}
		want(time.Second)
	})
}

func TestFiveOfManyParallelSignInsAreTried(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		l := New(db)
		now := time.Date(2025, 3, 6, 12, 0, 0, 0, time.UTC)
		dbtest.SetNow(db, func() time.Time { return now })
		var tried atomic.Int64
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				wait, err := l.Delay(context.Background(), "signin/a", realm.Defaults(realm.Patient).SignIn)
				if err != nil {
					t.Error(err)
				} else if wait == 0 {
					tried.Add(1)
				}
			})
		}
		wg.Wait()
		if tried.Load() != 5 {
			t.Errorf("%d were tried", tried.Load())
		}
	})
}

func TestCleanUpKeepsWhatCounts(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		l, ctx := New(db), context.Background()
		policy := realm.Defaults(realm.Patient).SignIn
		now := time.Date(2025, 3, 6, 12, 0, 0, 0, time.UTC)
		dbtest.SetNow(db, func() time.Time { return now })
		for range 1200 {
			now = now.Add(time.Second)
			if _, _, err := l.Allow(ctx, "k", 5000, time.Minute); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := l.Delay(ctx, "k", policy); err != nil {
			t.Fatal(err)
		}
		now = now.Add(time.Second)
		if err := l.CleanUp(ctx); err != nil {
			t.Fatal(err)
		}
		if n, _ := l.Count(ctx, "k", time.Minute); n != 59 {
			t.Errorf("%d left to count", n)
		}
		now = now.Add(25 * time.Hour)
		if err := l.CleanUp(ctx); err != nil {
			t.Fatal(err)
		}
		for _, table := range []string{"rate_counters", "rate_delays"} {
			var n int64
			if err := db.QueryRow(ctx, "SELECT COUNT(*) FROM "+table).Scan(&n); err != nil || n != 0 {
				t.Errorf("%s: %d rows stay, %v", table, n, err)
			}
		}
	})
}

func TestBackoffFollowsThePolicy(t *testing.T) {
	p := realm.SignInPolicy{DelayFromFailure: 2, FirstDelay: 3 * time.Second, MaxDelay: 10 * time.Second, ForgetFailures: 24 * time.Hour}
	for failures, want := range map[int]time.Duration{0: 0, 1: 0, 2: 3 * time.Second, 3: 6 * time.Second, 4: 10 * time.Second, 1 << 40: 10 * time.Second} {
		if got := Backoff(p, failures); got != want {
			t.Errorf("%d failures: %s, expected %s", failures, got, want)
		}
	}
}

func TestAFewFailuresAreForgottenInADayManyAreNot(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		l, ctx := New(db), context.Background()
		now := time.Date(2025, 3, 6, 12, 0, 0, 0, time.UTC)
		dbtest.SetNow(db, func() time.Time { return now })
		streak := func(key string) bool {
			t.Helper()
			ok, err := l.Streak(ctx, key, 12, realm.SignInPolicy{ForgetFailures: 24 * time.Hour, ForgetStreak: 1000 * time.Hour})
			if err != nil {
				t.Fatal(err)
			}
			return ok
		}
		for range 9 {
			streak("few")
		}
		for range 10 {
			streak("many")
		}
		now = now.Add(25 * time.Hour)
		for i := range 12 {
			if !streak("few") {
				t.Errorf("stopped at failure %d of a new day", i+1)
			}
			if ok := streak("many"); ok != (i < 2) {
				t.Errorf("failure %d in a row: %t", 11+i, ok)
			}
		}
		now = now.Add(999 * time.Hour)
		if streak("many") {
			t.Error("forgotten too soon")
		}
		if err := l.Reset(ctx, "many"); err != nil || !streak("many") {
			t.Errorf("a success forgets nothing: %v", err)
		}
	})
}

func TestExactlyTheLimitOfParallelGuessesIsLetThrough(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		l := New(db)
		var let atomic.Int64
		var wg sync.WaitGroup
		for range 60 {
			wg.Go(func() {
				if ok, err := l.Streak(context.Background(), "row", 10, realm.SignInPolicy{ForgetFailures: time.Hour, ForgetStreak: time.Hour}); err != nil {
					t.Error(err)
				} else if ok {
					let.Add(1)
				}
			})
		}
		wg.Wait()
		if let.Load() != 10 {
			t.Errorf("%d were let through", let.Load())
		}
	})
}

func TestATryThatIsGivenBackWasNeverCounted(t *testing.T) {
	policy := realm.Defaults(realm.Patient).SignIn
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		l, ctx := New(db), context.Background()
		now := time.Date(2025, 3, 6, 12, 0, 0, 0, time.UTC)
		dbtest.SetNow(db, func() time.Time { return now })
		for range 6 {
			if wait, err := l.Delay(ctx, "k", policy); wait != 0 || err != nil {
				t.Fatal(wait, err)
			}
			now = now.Add(policy.MaxDelay)
		}
		for range 5 { // each is the seventh, and none has to wait
			if wait, err := l.Delay(ctx, "k", policy); wait != 0 || err != nil {
				t.Fatal(wait, err)
			}
			if err := l.GiveBack(ctx, "k"); err != nil {
				t.Fatal(err)
			}
		}
		if wait, err := l.Delay(ctx, "k", policy); wait != 0 || err != nil {
			t.Fatal(wait, err)
		}
		if wait, _ := l.Delay(ctx, "k", policy); wait != 4*time.Second {
			t.Errorf("wait %s after the seventh failure", wait)
		}
		if err := l.GiveBack(ctx, "nothing counted"); err != nil {
			t.Error(err)
		}
	})
}
