package database

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"time"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// Migration is one step of the schema.
type Migration struct {
	Version   int64
	Name      string
	AppliedAt time.Time // zero: still to be applied
}

// ErrChanged means that a migration which this database has already applied
// differs from the file in the binary: the schema cannot be trusted.
var ErrChanged = errors.New("an applied migration was changed afterwards")

// Migrate applies what is missing, in order. steps holds the folders postgres
// and sqlite. On PostgreSQL an advisory lock lets several replicas start at
// once: one migrates, the others wait. It returns the steps it applied.
func (db *DB) Migrate(ctx context.Context, steps fs.FS) ([]Migration, error) {
	provider, sums, err := db.provider(steps, true)
	if err != nil {
		return nil, err
	}
	if err := db.checkSums(ctx, sums); err != nil {
		return nil, err
	}
	results, err := provider.Up(ctx)
	if err != nil {
		return nil, fmt.Errorf("migrate: %w", typed(err))
	}
	var applied []Migration
	for _, r := range results {
		applied = append(applied, Migration{Version: r.Source.Version, Name: path.Base(r.Source.Path), AppliedAt: db.Now(ctx)})
	}
	return applied, db.keepSums(ctx, sums)
}

// Migrations lists every step with the time at which it was applied.
func (db *DB) Migrations(ctx context.Context, steps fs.FS) ([]Migration, error) {
	provider, sums, err := db.provider(steps, false)
	if err != nil {
		return nil, err
	}
	if err := db.checkSums(ctx, sums); err != nil {
		return nil, err
	}
	states, err := provider.Status(ctx)
	if err != nil {
		return nil, typed(err)
	}
	var all []Migration
	for _, s := range states {
		m := Migration{Version: s.Source.Version, Name: path.Base(s.Source.Path)}
		if s.State == goose.StateApplied {
			m.AppliedAt = s.AppliedAt.UTC()
		}
		all = append(all, m)
	}
	return all, nil
}

func (db *DB) provider(steps fs.FS, locked bool) (*goose.Provider, map[int64]string, error) {
	folder, err := fs.Sub(steps, string(db.engine))
	if err != nil {
		return nil, nil, err
	}
	dialect := goose.DialectSQLite3
	options := []goose.ProviderOption{goose.WithDisableGlobalRegistry(true)}
	if db.engine == Postgres {
		dialect = goose.DialectPostgres
		if locked {
			locker, err := lock.NewPostgresSessionLocker()
			if err != nil {
				return nil, nil, err
			}
			options = append(options, goose.WithSessionLocker(locker))
		}
	}
	provider, err := goose.NewProvider(dialect, db.standard(), folder, options...)
	if err != nil {
		return nil, nil, fmt.Errorf("read migrations: %w", err)
	}
	sums := map[int64]string{}
	for _, source := range provider.ListSources() {
		text, err := fs.ReadFile(folder, source.Path)
		if err != nil {
			return nil, nil, err
		}
		sum := sha256.Sum256(text)
		sums[source.Version] = hex.EncodeToString(sum[:])
	}
	return provider, sums, nil
}

// standard is the database/sql view that the migration library needs.
func (db *DB) standard() *sql.DB {
	if db.lite != nil {
		return db.lite.write
	}
	db.sqlMu.Lock()
	defer db.sqlMu.Unlock()
	if db.sqlDB == nil {
		// Connections of its own: a step over a large table may take longer than
		// a request waits. It still gives up soon on a lock that others hold.
		cfg := db.pg.Config().ConnConfig.Copy()
		cfg.RuntimeParams["statement_timeout"] = "0"
		db.sqlDB = stdlib.OpenDB(*cfg)
	}
	return db.sqlDB
}

func (db *DB) checkSums(ctx context.Context, sums map[int64]string) error {
	if _, err := db.Exec(ctx, `CREATE TABLE IF NOT EXISTS schema_checksums (version bigint PRIMARY KEY, sha256 text NOT NULL)`); err != nil {
		// Two replicas may create it at the same moment; then it is there.
		if !errors.Is(err, ErrUnique) {
			return err
		}
	}
	rows, err := db.Query(ctx, `SELECT version, sha256 FROM schema_checksums ORDER BY version`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var version int64
		var sum string
		if err := rows.Scan(&version, &sum); err != nil {
			return err
		}
		if known, ok := sums[version]; ok && known != sum {
			return fmt.Errorf("migration %04d: %w", version, ErrChanged)
		}
	}
	return rows.Err()
}

func (db *DB) keepSums(ctx context.Context, sums map[int64]string) error {
	var b Batch
	for version, sum := range sums {
		b.Queue(`INSERT INTO schema_checksums (version, sha256) VALUES ($1, $2) ON CONFLICT (version) DO NOTHING`, version, sum)
	}
	_, err := db.Batch(ctx, &b)
	return err
}
