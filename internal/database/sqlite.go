package database

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	_ "modernc.org/sqlite" // the driver named "sqlite"
)

// lite is SQLite with its one writer and a pool of readers.
type lite struct {
	write  *sql.DB
	read   *sql.DB
	writer chan struct{} // holds one token: who has it may use write
	wait   time.Duration
	tracer trace.Tracer
}

// liteConn is what a pool and a transaction have in common.
type liteConn interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func openSQLite(ctx context.Context, path string, o Options) (*lite, error) {
	path = strings.TrimPrefix(path, "//")
	if path == "" || strings.Contains(path, ":memory:") {
		return nil, fmt.Errorf("a SQLite database needs a file: sqlite:/path/to/portico.db")
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	dsn := func(extra ...string) string {
		q := url.Values{"_pragma": append([]string{
			"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)",
			"temp_store(MEMORY)", "cache_size(-16000)",
		}, extra...), "_txlock": {"immediate"}}
		return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}).String()
	}
	l := &lite{writer: make(chan struct{}, 1), wait: o.WriterWait, tracer: otel.Tracer("github.com/portico-id/portico/internal/database")}
	var err error
	if l.write, err = sql.Open("sqlite", dsn()); err != nil {
		return nil, err
	}
	l.write.SetMaxOpenConns(1)
	// The first connection creates the file, so it must be the writer's. Health
	// records and password hashes are for the owner's eyes only.
	old := os.FileMode(0)
	if info, err := os.Stat(path); err == nil {
		old = info.Mode()
	}
	if err := l.write.PingContext(ctx); err != nil {
		l.write.Close()
		return nil, err
	}
	if old == 0 {
		if err := os.Chmod(path, 0o600); err != nil {
			l.write.Close()
			return nil, err
		}
	}
	if l.read, err = sql.Open("sqlite", dsn("query_only(1)")); err != nil {
		l.write.Close()
		return nil, err
	}
	readers := max(4, 2*runtime.NumCPU())
	l.read.SetMaxOpenConns(readers)
	l.read.SetMaxIdleConns(readers)
	return l, nil
}

func (l *lite) close() {
	l.read.Close()
	l.write.Close()
}

// acquire waits for the writer, but not for ever: the one who holds it may be
// waiting for us.
func (l *lite) acquire(ctx context.Context) error {
	timer := time.NewTimer(l.wait)
	defer timer.Stop()
	select {
	case l.writer <- struct{}{}:
		return nil
	default:
	}
	select {
	case l.writer <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return fmt.Errorf("%w (waited %s)", ErrWriteOutsideTx, l.wait)
	}
}

func (l *lite) release() { <-l.writer }

// span traces a statement by its text; arguments are never recorded.
func (l *lite) span(ctx context.Context, query string) trace.Span {
	if !trace.SpanFromContext(ctx).IsRecording() {
		return trace.SpanFromContext(context.Background())
	}
	name, _, _ := strings.Cut(strings.TrimSpace(query), " ")
	_, s := l.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(attribute.String("db.system.name", "sqlite"), attribute.String("db.query.text", query)))
	return s
}

// withWriter runs fn in the open transaction, or alone on the writer.
func (l *lite) withWriter(ctx context.Context, db *DB, query string, fn func(liteConn) error) error {
	span := l.span(ctx, query)
	defer span.End()
	if t := db.txFrom(ctx); t != nil {
		return fn(t.lite)
	}
	if err := l.acquire(ctx); err != nil {
		return err
	}
	defer l.release()
	return fn(l.write)
}

// inTx runs fn in the open transaction or in one of its own.
func (l *lite) inTx(ctx context.Context, db *DB, fn func(context.Context, liteConn) error) error {
	if t := db.txFrom(ctx); t != nil {
		return fn(ctx, t.lite)
	}
	span := l.span(ctx, "BEGIN IMMEDIATE")
	defer span.End()
	if err := l.acquire(ctx); err != nil {
		return err
	}
	defer l.release()
	// database/sql rolls back by itself when the context ends, between two
	// statements; the commit below then fails, so nothing is half done.
	t, err := l.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer t.Rollback() //nolint:errcheck // after a commit it does nothing
	if err := fn(context.WithValue(ctx, txKey{db}, &tx{lite: t}), t); err != nil {
		return err
	}
	return t.Commit()
}

// query reads from the pool of readers, unless a transaction is open or the
// statement writes (INSERT … RETURNING).
func (l *lite) query(ctx context.Context, db *DB, query string, args []any) (*sql.Rows, func(), error) {
	span := l.span(ctx, query)
	defer span.End()
	if t := db.txFrom(ctx); t != nil {
		rows, err := t.lite.QueryContext(ctx, query, args...)
		return rows, nil, err
	}
	if isRead(query) {
		rows, err := l.read.QueryContext(ctx, query, args...)
		return rows, nil, err
	}
	if err := l.acquire(ctx); err != nil {
		return nil, nil, err
	}
	rows, err := l.write.QueryContext(ctx, query, args...)
	if err != nil {
		l.release()
		return nil, nil, err
	}
	return rows, l.release, nil
}

func isRead(query string) bool {
	word := strings.TrimLeft(query, " \t\r\n(")
	return len(word) >= 6 && strings.EqualFold(word[:6], "select") || len(word) >= 4 && strings.EqualFold(word[:4], "with")
}
