package database

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlitelib "modernc.org/sqlite/lib"
)

// What callers test with errors.Is. The engine's own error stays wrapped.
var (
	ErrNoRows      = errors.New("no such row")
	ErrUnique      = errors.New("the value is taken")
	ErrForeignKey  = errors.New("a row that is referred to is missing")
	ErrReadOnly    = errors.New("the database is read-only")
	ErrRetry       = errors.New("the transaction lost a conflict, try again")
	ErrUnavailable = errors.New("the database does not answer")

	// ErrWriteOutsideTx is a programming error on SQLite: a write waited for
	// the single writer until it gave up, most likely because the code that
	// holds the open transaction did not pass the transaction's context on.
	ErrWriteOutsideTx = errors.New("a write waited too long for the open transaction; was its context passed on?")
)

// typed adds the sentinel that fits to an engine's error.
func typed(err error) error {
	if err == nil {
		return nil
	}
	if kind := kindOf(err); kind != nil && !errors.Is(err, kind) {
		return fmt.Errorf("%w: %w", kind, err)
	}
	return err
}

func kindOf(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	if errors.Is(err, pgx.ErrNoRows) || errors.Is(err, sql.ErrNoRows) {
		return ErrNoRows
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return kindOfPostgres(pg.Code)
	}
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		return kindOfSQLite(lite.Code())
	}
	var connect *pgconn.ConnectError
	var network net.Error
	var op *net.OpError
	if errors.As(err, &connect) || errors.As(err, &network) || errors.As(err, &op) ||
		errors.Is(err, driver.ErrBadConn) || pgconn.SafeToRetry(err) || isClosed(err) {
		return ErrUnavailable
	}
	return nil
}

// kindOfPostgres reads a SQLSTATE (PostgreSQL manual, appendix A).
func kindOfPostgres(code string) error {
	switch code {
	case "23505":
		return ErrUnique
	case "23503":
		return ErrForeignKey
	case "25006":
		return ErrReadOnly
	case "40001", "40P01", "55P03":
		return ErrRetry
	case "57P01", "57P02", "57P03", "53300", "53400":
		return ErrUnavailable
	}
	if len(code) == 5 && code[:2] == "08" {
		return ErrUnavailable
	}
	return nil
}

func kindOfSQLite(code int) error {
	switch code {
	case sqlitelib.SQLITE_CONSTRAINT_UNIQUE, sqlitelib.SQLITE_CONSTRAINT_PRIMARYKEY, sqlitelib.SQLITE_CONSTRAINT_ROWID:
		return ErrUnique
	case sqlitelib.SQLITE_CONSTRAINT_FOREIGNKEY:
		return ErrForeignKey
	}
	switch code & 0xff {
	case sqlitelib.SQLITE_READONLY:
		return ErrReadOnly
	case sqlitelib.SQLITE_BUSY, sqlitelib.SQLITE_LOCKED:
		return ErrRetry
	case sqlitelib.SQLITE_IOERR, sqlitelib.SQLITE_FULL, sqlitelib.SQLITE_CANTOPEN:
		return ErrUnavailable
	}
	return nil
}
