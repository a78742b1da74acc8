package keyring

import (
	"context"
	"time"

	"github.com/portico-id/portico/internal/database"
)

type store struct{ db *database.DB }

// row is a stored key.
type row struct {
	realm, kid, alg string
	sealed          []byte
	generation      int64
	activeAt        time.Time
	removeAt        *time.Time
}

// all reads every key, newest first.
func (s *store) all(ctx context.Context) ([]row, error) {
	rows, err := s.db.Query(ctx, `
		SELECT realm, kid, alg, sealed, generation, active_at, remove_at
		FROM signing_keys ORDER BY realm, alg, generation DESC`)
	return database.Collect(rows, err, func(rows *database.Rows) (row, error) {
		var r row
		err := rows.Scan(&r.realm, &r.kid, &r.alg, &r.sealed, &r.generation, &r.activeAt, &r.removeAt)
		return r, err
	})
}

// newest tells the generation of the newest key of an algorithm and when it
// begins to sign; ErrNoRows when there is none.
func (s *store) newest(ctx context.Context, realm, alg string) (generation int64, activeAt time.Time, err error) {
	err = s.db.QueryRow(ctx, `
		SELECT generation, active_at FROM signing_keys
		WHERE realm = $1 AND alg = $2 ORDER BY generation DESC LIMIT 1`, realm, alg).Scan(&generation, &activeAt)
	return generation, activeAt, err
}

// insert stores a key unless there is one of its generation: of replicas that
// race for a generation one makes it, the others get false.
func (s *store) insert(ctx context.Context, n newKey, now, activeAt time.Time) (bool, error) {
	rows, err := s.db.Exec(ctx, `
		INSERT INTO signing_keys (kid, realm, alg, public_jwk, sealed, generation, created_at, active_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING`,
		n.kid, n.realm, n.alg, n.publicJWK, n.sealed, n.generation, now, activeAt)
	return rows == 1, err
}

// retire ends the signing of all generations before one, and says when they
// will no longer be needed.
func (s *store) retire(ctx context.Context, realm, alg string, before int64, at, removeAt time.Time) error {
	_, err := s.db.Exec(ctx, `
		UPDATE signing_keys SET retired_at = $4, remove_at = $5
		WHERE realm = $1 AND alg = $2 AND generation < $3 AND retired_at IS NULL`,
		realm, alg, before, at, removeAt)
	return err
}

// hurry makes a key that waits for its turn sign at a time that is earlier,
// and retires those before it then.
func (s *store) hurry(ctx context.Context, realm, alg string, generation int64, at, removeAt time.Time) error {
	n, err := s.db.Exec(ctx, `
		UPDATE signing_keys SET active_at = $4
		WHERE realm = $1 AND alg = $2 AND generation = $3 AND active_at > $4`, realm, alg, generation, at)
	if err != nil || n == 0 {
		return err
	}
	_, err = s.db.Exec(ctx, `
		UPDATE signing_keys SET retired_at = $4, remove_at = $5
		WHERE realm = $1 AND alg = $2 AND generation < $3 AND retired_at > $4`, realm, alg, generation, at, removeAt)
	return err
}

func (s *store) list(ctx context.Context, realm string) ([]Info, error) {
	rows, err := s.db.Query(ctx, `
		SELECT kid, alg, created_at, active_at, retired_at, remove_at FROM signing_keys
		WHERE realm = $1 ORDER BY alg, generation DESC`, realm)
	return database.Collect(rows, err, func(rows *database.Rows) (Info, error) {
		var i Info
		var retired, remove *time.Time
		err := rows.Scan(&i.KID, &i.Alg, &i.Created, &i.SignsFrom, &retired, &remove)
		if retired != nil && remove != nil {
			i.Retired, i.Until = *retired, *remove
		}
		return i, err
	})
}

// remove deletes keys that nothing needs any longer.
func (s *store) remove(ctx context.Context, now time.Time) (int64, error) {
	return s.db.Exec(ctx, `DELETE FROM signing_keys WHERE remove_at <= $1`, now)
}
