package database_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/migrations"
)

func insertAccount(ctx context.Context, db *database.DB, email string) (uuid.UUID, error) {
	id := database.NewID()
	now := db.Now(ctx)
	_, err := db.Exec(ctx, `
		INSERT INTO accounts (id, realm, login_email, state, created_at, updated_at)
		VALUES ($1, 'patient', $2, 'active', $3, $3)`, id, email, now)
	return id, err
}

func TestValuesComeBackAsTheyWent(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		ctx := t.Context()
		id := database.NewID()
		at := time.Date(2026, 3, 6, 14, 12, 0, 123456000, time.UTC)
		profile := json.RawMessage(`{"nickname":"Ana"}`)
		if _, err := db.Exec(ctx, `
			INSERT INTO accounts (id, realm, login_email, email_verified, state, profile, email_changed_at, recovery_locked_until, created_at, updated_at)
			VALUES ($1, 'patient', 'ana@example.test', $2, 'active', $3, $4, $5, $4, $4)`,
			id, true, profile, at, (*time.Time)(nil)); err != nil {
			t.Fatal(err)
		}
		var (
			gotID             uuid.UUID
			verified          bool
			gotProfile        json.RawMessage
			created           time.Time
			changed, unlocked *time.Time
			version           int64
		)
		if err := db.QueryRow(ctx, `
			SELECT id, email_verified, profile, created_at, email_changed_at, recovery_locked_until, version
			FROM accounts WHERE id = $1 AND email_verified = $2`, id, true).
			Scan(&gotID, &verified, &gotProfile, &created, &changed, &unlocked, &version); err != nil {
			t.Fatal(err)
		}
		var nick struct{ Nickname string }
		if err := json.Unmarshal(gotProfile, &nick); err != nil || nick.Nickname != "Ana" {
			t.Errorf("profile %s: %v", gotProfile, err)
		}
		if gotID != id || !verified || !created.Equal(at) || created.Location() != time.UTC ||
			changed == nil || !changed.Equal(at) || unlocked != nil || version != 1 {
			t.Errorf("got %v %v %v %v %v %d", gotID, verified, created, changed, unlocked, version)
		}

		var nullable *uuid.UUID
		if err := db.QueryRow(ctx, `SELECT $1`+cast(db), (*uuid.UUID)(nil)).Scan(&nullable); err != nil || nullable != nil {
			t.Errorf("NULL identifier: %v, %v", nullable, err)
		}
		if err := db.QueryRow(ctx, `SELECT $1`+cast(db), id).Scan(&nullable); err != nil || nullable == nil || *nullable != id {
			t.Errorf("identifier behind a pointer: %v, %v", nullable, err)
		}
	})
}

func cast(db *database.DB) string {
	if db.Engine() == database.Postgres {
		return "::uuid"
	}
	return ""
}

func TestErrorsAreTyped(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		ctx := t.Context()
		if _, err := insertAccount(ctx, db, "ana@example.test"); err != nil {
			t.Fatal(err)
		}
		if _, err := insertAccount(ctx, db, "ana@example.test"); !errors.Is(err, database.ErrUnique) {
			t.Errorf("second insert: %v, want ErrUnique", err)
		}
		_, err := db.Exec(ctx, `INSERT INTO password_credentials (account_id, hash, changed_at) VALUES ($1, 'x', $2)`, database.NewID(), db.Now(ctx))
		if !errors.Is(err, database.ErrForeignKey) {
			t.Errorf("orphan: %v, want ErrForeignKey", err)
		}
		var n int
		if err := db.QueryRow(ctx, `SELECT 1 FROM accounts WHERE realm = 'none'`).Scan(&n); !errors.Is(err, database.ErrNoRows) {
			t.Errorf("nothing found: %v, want ErrNoRows", err)
		}
	})
}

func TestBatchIsAllOrNothingAndOneTrip(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		ctx, trips := dbtest.CountTrips(t.Context())
		id := database.NewID()
		now := db.Now(ctx)
		insert := `INSERT INTO accounts (id, realm, login_email, state, created_at, updated_at) VALUES ($1, 'patient', $2, 'active', $3, $3)`

		var bad database.Batch
		bad.Queue(insert, id, "one@example.test", now)
		bad.Queue(insert, id, "two@example.test", now) // the same primary key
		if _, err := db.Batch(ctx, &bad); !errors.Is(err, database.ErrUnique) {
			t.Fatalf("batch with a conflict: %v", err)
		}
		var n int
		if err := db.QueryRow(ctx, `SELECT count(*) FROM accounts`).Scan(&n); err != nil || n != 0 {
			t.Fatalf("after a failed batch %d rows, %v", n, err)
		}

		before := trips.Trips()
		var good database.Batch
		good.Queue(insert, id, "one@example.test", now)
		good.Queue(`UPDATE accounts SET state = 'disabled' WHERE id = $1`, id)
		good.Queue(`UPDATE accounts SET state = 'disabled' WHERE id = $1`, database.NewID())
		counts, err := db.Batch(ctx, &good)
		if err != nil || fmt.Sprint(counts) != "[1 1 0]" {
			t.Fatalf("counts %v, %v", counts, err)
		}
		if got := trips.Trips() - before; got != 1 {
			t.Errorf("%d round trips for a batch", got)
		}
	})
}

func TestTransactionsJoinAndRollBack(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		ctx := t.Context()
		stop := errors.New("stop")
		err := db.InTx(ctx, func(ctx context.Context) error {
			return db.InTx(ctx, func(ctx context.Context) error {
				if _, err := insertAccount(ctx, db, "ana@example.test"); err != nil {
					return err
				}
				var n int
				if err := db.QueryRow(ctx, `SELECT count(*) FROM accounts`).Scan(&n); err != nil || n != 1 {
					t.Errorf("inside: %d rows, %v", n, err)
				}
				return stop
			})
		})
		if !errors.Is(err, stop) {
			t.Fatal(err)
		}
		var n int
		if err := db.QueryRow(ctx, `SELECT count(*) FROM accounts`).Scan(&n); err != nil || n != 0 {
			t.Errorf("after rollback: %d rows, %v", n, err)
		}
	})
}

func TestPanicUndoesTheTransaction(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		func() {
			defer func() { _ = recover() }()
			_ = db.InTx(t.Context(), func(ctx context.Context) error {
				if _, err := insertAccount(ctx, db, "ana@example.test"); err != nil {
					t.Error(err)
				}
				panic("out")
			})
		}()
		if _, err := insertAccount(t.Context(), db, "ana@example.test"); err != nil {
			t.Fatalf("the writer is stuck or the row is there: %v", err)
		}
	})
}

func TestNowStandsStillInATransaction(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		if off := time.Since(db.Now(t.Context())).Abs(); off > time.Second {
			t.Errorf("the clock is off by %s", off)
		}
		if err := db.InTx(t.Context(), func(ctx context.Context) error {
			first := db.Now(ctx)
			dbtest.Advance(db, time.Hour)
			if again := db.Now(ctx); !again.Equal(first) {
				t.Errorf("first %s, then %s", first, again)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if ahead := time.Until(db.Now(t.Context())); ahead < 59*time.Minute {
			t.Errorf("after Advance the clock is only %s ahead", ahead)
		}
	})
}

// TestSingleUseHasOneWinner is the promise that everything that is spent once
// stands on.
func TestSingleUseHasOneWinner(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		ctx := t.Context()
		id, err := insertAccount(ctx, db, "ana@example.test")
		if err != nil {
			t.Fatal(err)
		}
		var wins, losses int
		var mu sync.Mutex
		var wg sync.WaitGroup
		taken := errors.New("taken")
		for range 32 {
			wg.Go(func() {
				err := db.InTx(ctx, func(ctx context.Context) error {
					n, err := db.Exec(ctx, `UPDATE accounts SET state = 'disabled' WHERE id = $1 AND state = 'active'`, id)
					return database.ExactlyOne(n, err, taken)
				})
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					wins++
				case errors.Is(err, taken):
					losses++
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if wins != 1 || losses != 31 {
			t.Errorf("%d winners, %d losers", wins, losses)
		}
	})
}

func TestForgottenTransactionContextFailsLoudly(t *testing.T) {
	db, err := database.Open(t.Context(), dbtest.SQLiteURL(t), database.Options{WriterWait: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	outer := t.Context()
	err = db.InTx(outer, func(context.Context) error {
		_, err := insertAccount(outer, db, "ana@example.test")
		return err
	})
	if !errors.Is(err, database.ErrWriteOutsideTx) {
		t.Errorf("got %v, want ErrWriteOutsideTx", err)
	}
}

func TestMigrationsAreIdempotentAndGuarded(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		ctx := t.Context()
		applied, err := db.Migrate(ctx, migrations.FS)
		if err != nil || len(applied) != 0 {
			t.Fatalf("second run applied %v, %v", applied, err)
		}
		all, err := db.Migrations(ctx, migrations.FS)
		if err != nil || len(all) == 0 {
			t.Fatalf("%d migrations, %v", len(all), err)
		}
		for _, m := range all {
			if m.AppliedAt.IsZero() {
				t.Errorf("%s is pending", m.Name)
			}
		}
		edited := fstest.MapFS{}
		for _, m := range all {
			name := string(db.Engine()) + "/" + m.Name
			edited[name] = &fstest.MapFile{Data: []byte("-- +goose Up\nSELECT 1;\n")}
		}
		if _, err := db.Migrate(ctx, edited); !errors.Is(err, database.ErrChanged) {
			t.Errorf("an edited migration: %v, want ErrChanged", err)
		}
	})
}

func TestReplicasMigrateOnce(t *testing.T) {
	fresh := map[string]string{"sqlite": "sqlite:" + t.TempDir() + "/portico.db"}
	for name, url := range fresh {
		t.Run(name, func(t *testing.T) {
			for range 2 {
				db, err := database.Open(t.Context(), url, database.Options{})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := db.Migrate(t.Context(), migrations.FS); err != nil {
					t.Fatal(err)
				}
				db.Close()
			}
		})
	}
}

func TestBothFoldersHoldTheSameSteps(t *testing.T) {
	names := func(dir string) string {
		entries, err := migrations.FS.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, e := range entries {
			all = append(all, e.Name())
		}
		return fmt.Sprint(all)
	}
	if pg, lite := names("postgres"), names("sqlite"); pg != lite {
		t.Errorf("postgres %s\nsqlite   %s", pg, lite)
	}
}

func TestAuditRowsCannotBeChanged(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		ctx := t.Context()
		insert := `INSERT INTO audit_events (id, recorded_at, realm, kind, outcome, severity) VALUES ($1, $2, 'patient', 'x', 'ok', 'info')`
		young, old := database.NewID(), database.NewID()
		for id, at := range map[uuid.UUID]time.Time{young: db.Now(ctx), old: db.Now(ctx).AddDate(-7, 0, 0)} {
			if _, err := db.Exec(ctx, insert, id, at); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := db.Exec(ctx, `UPDATE audit_events SET kind = 'y' WHERE id = $1`, old); err == nil {
			t.Error("an event could be changed")
		}
		if _, err := db.Exec(ctx, `DELETE FROM audit_events WHERE id = $1`, young); err == nil {
			t.Error("a young event could be deleted")
		}
		if n, err := db.Exec(ctx, `DELETE FROM audit_events WHERE id = $1`, old); err != nil || n != 1 {
			t.Errorf("an event of seven years ago: %d, %v", n, err)
		}
	})
}
