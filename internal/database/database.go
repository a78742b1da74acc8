package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Engine names the database behind a DB.
type Engine string

// The two engines. Their values are also the names of the migration folders.
const (
	SQLite   Engine = "sqlite"
	Postgres Engine = "postgres"
)

// Options adjust Open. The zero value is right for production.
type Options struct {
	Logger     *slog.Logger
	MaxConns   int           // connections at most; 0: 4 per core, at least 8
	WriterWait time.Duration // how long a write waits for SQLite's single writer; 0: 10 s
}

// DB is an open database. It is safe for concurrent use.
type DB struct {
	engine Engine
	pg     *pgxpool.Pool
	lite   *lite
	clock  *clock
	log    *slog.Logger

	sqlMu sync.Mutex
	sqlDB *sql.DB // for the migration runner only
}

// Open connects to url: "sqlite:/path/to/file.db" (created when absent) or
// "postgres://…". It fails with ErrUnavailable when the server does not answer.
func Open(ctx context.Context, url string, o Options) (*DB, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.WriterWait == 0 {
		o.WriterWait = 10 * time.Second
	}
	db := &DB{log: o.Logger}
	var err error
	switch {
	case strings.HasPrefix(url, "sqlite:"):
		db.engine = SQLite
		db.lite, err = openSQLite(ctx, strings.TrimPrefix(url, "sqlite:"), o)
	case strings.HasPrefix(url, "postgres://"), strings.HasPrefix(url, "postgresql://"):
		db.engine = Postgres
		db.pg, err = openPostgres(ctx, url, o)
	default:
		return nil, errors.New(`the database URL has to start with "sqlite:" or "postgres://"`)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s database: %w", db.engine, typed(err))
	}
	if db.clock, err = startClock(ctx, db); err != nil {
		db.closePools()
		return nil, fmt.Errorf("read the clock of the %s database: %w", db.engine, err)
	}
	return db, nil
}

// Engine tells which database is behind db.
func (db *DB) Engine() Engine { return db.engine }

// Close ends all connections. Call it after everything that uses db has stopped.
func (db *DB) Close() {
	db.clock.stop()
	db.closePools()
}

func (db *DB) closePools() {
	db.sqlMu.Lock()
	if db.sqlDB != nil && db.pg != nil {
		db.sqlDB.Close()
	}
	db.sqlMu.Unlock()
	if db.pg != nil {
		db.pg.Close()
	}
	if db.lite != nil {
		db.lite.close()
	}
}

// Ping asks the database for a sign of life.
func (db *DB) Ping(ctx context.Context) error {
	if db.pg != nil {
		limited, cancel := patience(ctx)
		defer cancel()
		return answered(limited, db.pg.Ping(limited))
	}
	return typed(db.lite.read.PingContext(ctx))
}

// SkipLocked is appended to a SELECT inside a transaction that claims work
// from a queue, so that replicas do not wait for each other.
func (db *DB) SkipLocked() string {
	if db.engine == Postgres {
		return " FOR UPDATE SKIP LOCKED"
	}
	return ""
}

// NewID makes a time-ordered identifier (UUID version 7, RFC 9562 §5.7).
func NewID() uuid.UUID { return uuid.Must(uuid.NewV7()) }

// Exec runs a statement and returns how many rows it changed.
func (db *DB) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	countTrip(ctx)
	if db.pg != nil {
		limited, cancel := patience(ctx)
		defer cancel()
		tag, err := db.pgConn(ctx).Exec(limited, query, pgArgs(args)...)
		return tag.RowsAffected(), answered(limited, err)
	}
	var n int64
	err := db.lite.withWriter(ctx, db, query, func(c liteConn) error {
		res, err := c.ExecContext(ctx, query, liteArgs(args)...)
		if err != nil {
			return err
		}
		n, err = res.RowsAffected()
		return err
	})
	return n, typed(err)
}

// Query runs a statement that returns rows. Close the rows, or read them to
// the end.
func (db *DB) Query(ctx context.Context, query string, args ...any) (*Rows, error) {
	countTrip(ctx)
	if db.pg != nil {
		limited, cancel := patience(ctx)
		rows, err := db.pgConn(ctx).Query(limited, query, pgArgs(args)...)
		if err != nil {
			defer cancel()
			return nil, answered(limited, err)
		}
		return &Rows{pg: rows, ctx: limited, done: cancel}, nil
	}
	rows, done, err := db.lite.query(ctx, db, query, liteArgs(args))
	if err != nil {
		return nil, typed(err)
	}
	return &Rows{lite: rows, done: done}, nil
}

// QueryRow runs a statement that returns at most one row.
func (db *DB) QueryRow(ctx context.Context, query string, args ...any) *Row {
	rows, err := db.Query(ctx, query, args...)
	return &Row{rows: rows, err: err}
}

// Batch is a list of statements that run in order, all or none.
type Batch struct {
	statements []statement
}

type statement struct {
	query string
	args  []any
}

// Queue adds a statement and returns its place in the results of DB.Batch.
func (b *Batch) Queue(query string, args ...any) int {
	b.statements = append(b.statements, statement{query, args})
	return len(b.statements) - 1
}

// Len is the number of queued statements.
func (b *Batch) Len() int { return len(b.statements) }

// Batch runs the statements in order and atomically, in one round trip on
// PostgreSQL, and returns how many rows each of them changed. Inside InTx it
// is part of that transaction.
func (db *DB) Batch(ctx context.Context, b *Batch) ([]int64, error) {
	if len(b.statements) == 0 {
		return nil, nil
	}
	countTrip(ctx)
	counts := make([]int64, len(b.statements))
	if db.pg != nil {
		var batch pgx.Batch
		for _, s := range b.statements {
			batch.Queue(s.query, pgArgs(s.args)...)
		}
		limited, cancel := patience(ctx)
		defer cancel()
		results := db.pgConn(ctx).SendBatch(limited, &batch)
		for i := range b.statements {
			tag, err := results.Exec()
			if err != nil {
				results.Close()
				return nil, answered(limited, err)
			}
			counts[i] = tag.RowsAffected()
		}
		if err := results.Close(); err != nil {
			return nil, answered(limited, err)
		}
		return counts, nil
	}
	err := db.lite.inTx(ctx, db, func(_ context.Context, c liteConn) error {
		for i, s := range b.statements {
			res, err := c.ExecContext(ctx, s.query, liteArgs(s.args)...)
			if err != nil {
				return err
			}
			if counts[i], err = res.RowsAffected(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, typed(err)
	}
	return counts, nil
}

// txKey finds the open transaction of one DB in a context.
type txKey struct{ db *DB }

// tx is the transaction that travels in the context.
type tx struct {
	pg   pgx.Tx
	lite liteConn

	mu  sync.Mutex
	now time.Time // the database's clock, read once
}

func (db *DB) txFrom(ctx context.Context) *tx {
	t, _ := ctx.Value(txKey{db}).(*tx)
	return t
}

// InTransaction tells whether ctx carries an open transaction of db.
func (db *DB) InTransaction(ctx context.Context) bool { return db.txFrom(ctx) != nil }

// InTx runs fn in a transaction and commits when fn returns nil; any error, or
// a panic, undoes everything. Inside an open transaction it joins: the outer
// one commits. Use the context that fn is given for everything inside.
func (db *DB) InTx(ctx context.Context, fn func(ctx context.Context) error) error {
	if db.txFrom(ctx) != nil {
		return fn(ctx)
	}
	if db.lite != nil {
		return typed(db.lite.inTx(ctx, db, func(ctx context.Context, _ liteConn) error { return fn(ctx) }))
	}
	countTrip(ctx)
	limited, cancel := patience(ctx)
	t, err := db.pg.Begin(limited)
	err = answered(limited, err)
	cancel()
	if err != nil {
		return err
	}
	// Rollback after Commit does nothing; the context may be over by then.
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = t.Rollback(end)
	}()
	if err := fn(context.WithValue(ctx, txKey{db}, &tx{pg: t})); err != nil {
		return err
	}
	countTrip(ctx)
	committing, done := patience(ctx)
	defer done()
	return answered(committing, t.Commit(committing))
}

// ExactlyOne turns the row count of a conditional write into an error: missing
// when no row matched, which is how single use is decided.
func ExactlyOne(rows int64, err error, missing error) error {
	switch {
	case err != nil:
		return err
	case rows == 1:
		return nil
	case rows == 0:
		return missing
	}
	return fmt.Errorf("one row expected, %d changed", rows)
}
