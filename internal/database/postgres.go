package database

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"time"

	"github.com/exaring/otelpgx"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
)

// waitAtMost is how long one round trip may take. A server that takes
// connections and does not answer (a dead disk, a lost route) must not hold
// requests until their clients give up: they are told 503 instead.
const waitAtMost = 5 * time.Second

// patience limits one round trip; the error is to be read by answered.
func patience(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, waitAtMost, ErrUnavailable)
}

// answered adds the sentinel to the error of a round trip, and tells our own
// limit from the caller's.
func answered(limited context.Context, err error) error {
	if err != nil && limited.Err() != nil && errors.Is(context.Cause(limited), ErrUnavailable) && !errors.Is(err, ErrUnavailable) {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return typed(err)
}

// pgConn is what a pool and a transaction have in common.
type pgConn interface {
	Exec(ctx context.Context, query string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, query string, args ...any) (pgx.Rows, error)
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

func (db *DB) pgConn(ctx context.Context) pgConn {
	if t := db.txFrom(ctx); t != nil {
		return t.pg
	}
	return db.pg
}

func openPostgres(ctx context.Context, url string, o Options) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	cfg.MaxConns = int32(max(8, 4*runtime.NumCPU()))
	if o.MaxConns > 0 {
		cfg.MaxConns = int32(o.MaxConns)
	}
	if cfg.ConnConfig.ConnectTimeout == 0 {
		cfg.ConnConfig.ConnectTimeout = 5 * time.Second
	}
	// A lost client or a stuck statement must not hold locks for ever. What
	// the URL says itself wins.
	for name, value := range map[string]string{
		"application_name":                    "portico",
		"statement_timeout":                   "10s",
		"lock_timeout":                        "4s",
		"idle_in_transaction_session_timeout": "60s",
	} {
		if _, set := cfg.ConnConfig.RuntimeParams[name]; !set {
			cfg.ConnConfig.RuntimeParams[name] = value
		}
	}
	cfg.ConnConfig.Tracer = otelpgx.NewTracer(otelpgx.WithDisableConnectionDetailsInAttributes())
	cfg.AfterConnect = func(_ context.Context, conn *pgx.Conn) error {
		conn.TypeMap().RegisterType(&pgtype.Type{
			Name: "timestamptz", OID: pgtype.TimestamptzOID, Codec: &pgtype.TimestamptzCodec{ScanLocation: time.UTC},
		})
		return nil
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, err
	}
	return pool, nil
}

// closedTexts are errors that their libraries export no value for.
var closedTexts = []string{"conn closed", "closed pool", "sql: database is closed"}

// isClosed recognises a connection that ended under a statement.
func isClosed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || slices.Contains(closedTexts, err.Error())
}
