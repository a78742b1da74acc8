package database

import (
	"context"
	"database/sql"

	"github.com/jackc/pgx/v5"
)

// Rows is the result of Query. It belongs to one goroutine.
type Rows struct {
	pg   pgx.Rows
	lite *sql.Rows
	ctx  context.Context // the limit of patience, on PostgreSQL
	done func()
}

// Next moves to the next row; false at the end or on an error, see Err.
func (r *Rows) Next() bool {
	if r.pg != nil {
		return r.pg.Next()
	}
	return r.lite.Next()
}

// Scan copies the row into the targets, in the order of the columns.
func (r *Rows) Scan(targets ...any) error {
	if r.pg != nil {
		return typed(r.pg.Scan(pgTargets(targets)...))
	}
	return typed(r.lite.Scan(liteTargets(targets)...))
}

// Err is what ended the iteration early, or nil.
func (r *Rows) Err() error {
	if r.pg != nil {
		return answered(r.ctx, r.pg.Err())
	}
	return typed(r.lite.Err())
}

// Close gives the connection back. It may be called more than once.
func (r *Rows) Close() {
	if r.pg != nil {
		r.pg.Close()
	} else {
		r.lite.Close()
	}
	if r.done != nil {
		r.done()
		r.done = nil
	}
}

// Row is the result of QueryRow.
type Row struct {
	rows *Rows
	err  error
}

// Scan copies the row; ErrNoRows when there is none.
func (r *Row) Scan(targets ...any) error {
	if r.err != nil {
		return r.err
	}
	defer r.rows.Close()
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return err
		}
		return ErrNoRows
	}
	if err := r.rows.Scan(targets...); err != nil {
		return err
	}
	r.rows.Close()
	return r.rows.Err()
}

// Collect reads all rows through scan and closes them. It takes the results of
// Query as they are: Collect(db.Query(…))(scan) reads awkwardly, so the error
// is passed along.
func Collect[T any](rows *Rows, err error, scan func(*Rows) (T, error)) ([]T, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}
