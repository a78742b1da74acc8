// Package dbtest gives a test a private, migrated database of each engine.
//
// SQLite lives in a temporary folder. PostgreSQL is a real server that the
// test process starts from the local binaries, on a Unix socket, in memory
// where the system has a tmpfs, with durability off; it ends with the process,
// however the process ends. As root the server runs as the user postgres.
// Without the binaries the PostgreSQL half is skipped on a laptop, and fails
// where CI is set in the environment.
//
// The clock is the only thing that is ever fake: SetNow and Advance.
package dbtest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/migrations"
)

// Each runs fn once on SQLite and once on PostgreSQL, as subtests.
func Each(t *testing.T, fn func(t *testing.T, db *database.DB)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { fn(t, SQLite(t)) })
	t.Run("postgres", func(t *testing.T) { fn(t, Postgres(t)) })
}

// SQLite opens a private, migrated SQLite database.
func SQLite(t testing.TB) *database.DB {
	t.Helper()
	return open(t, SQLiteURL(t))
}

// Postgres opens a private, migrated PostgreSQL database.
func Postgres(t testing.TB) *database.DB {
	t.Helper()
	return open(t, PostgresURL(t))
}

// SetNow replaces the clock of db for the rest of the test.
func SetNow(db *database.DB, now func() time.Time) { db.SetClock(now) }

// Advance moves the clock of db by d from where it stands, and lets it go on.
func Advance(db *database.DB, d time.Duration) {
	at, since := db.Now(context.Background()).Add(d), time.Now()
	db.SetClock(func() time.Time { return at.Add(time.Since(since)) })
}

// CountTrips is database.CountTrips, beside the tests that use it.
func CountTrips(ctx context.Context) (context.Context, *database.TripCounter) {
	return database.CountTrips(ctx)
}

func open(t testing.TB, url string) *database.DB {
	t.Helper()
	db, err := database.Open(context.Background(), url, database.Options{MaxConns: 8})
	if err != nil {
		t.Fatalf("open %s: %v", url, err)
	}
	t.Cleanup(db.Close)
	return db
}

var sqliteTemplate = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp(memoryDir(), "portico-sqlite-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "template.db")
	if err := migrate("sqlite:" + file); err != nil {
		return nil, err
	}
	return os.ReadFile(file)
})

// SQLiteURL makes a migrated SQLite file and returns its URL.
func SQLiteURL(t testing.TB) string {
	t.Helper()
	content, err := sqliteTemplate()
	if err != nil {
		t.Fatalf("prepare SQLite: %v", err)
	}
	dir, err := os.MkdirTemp(memoryDir(), "portico-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	file := filepath.Join(dir, "portico.db")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return "sqlite:" + file
}

var databases atomic.Int64

// PostgresURL makes a migrated database on the test server and returns its URL.
func PostgresURL(t testing.TB) string {
	t.Helper()
	c, err := theCluster()
	if errors.Is(err, errNoPostgres) {
		if os.Getenv("CI") != "" {
			t.Fatalf("%v, and in CI skipping is failing", err)
		}
		t.Skip(err)
	}
	if err != nil {
		t.Fatalf("start PostgreSQL: %v", err)
	}
	name := fmt.Sprintf("test_%d", databases.Add(1))
	ctx := context.Background()
	if err := c.exec(ctx, "CREATE DATABASE "+name+" TEMPLATE portico_template"); err != nil {
		t.Fatalf("create database: %v", err)
	}
	t.Cleanup(func() { _ = c.exec(context.Background(), "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") })
	return c.url(name)
}

func migrate(url string) error {
	ctx := context.Background()
	db, err := database.Open(ctx, url, database.Options{})
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.Migrate(ctx, migrations.FS); err != nil {
		return err
	}
	if db.Engine() == database.SQLite {
		// Fold the write-ahead log into the file, which is what gets copied.
		rows, err := db.Query(ctx, "/* write */ PRAGMA wal_checkpoint(TRUNCATE)")
		if err != nil {
			return err
		}
		rows.Close()
	}
	return nil
}

// memoryDir is a tmpfs where there is one: tests need no durability.
func memoryDir() string {
	const shm = "/dev/shm"
	if probe, err := os.CreateTemp(shm, "portico-probe-"); err == nil {
		probe.Close()
		os.Remove(probe.Name())
		return shm
	}
	return ""
}

func (c *cluster) url(name string) string {
	q := url.Values{"host": {c.socketDir}, "user": {"portico_test"}, "sslmode": {"disable"}}
	return "postgres:///" + name + "?" + q.Encode()
}
