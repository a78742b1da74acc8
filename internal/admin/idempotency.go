package admin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/database"
)

// keyLifetime is how long an answer is repeated.
const keyLifetime = 24 * time.Hour

// claimOf is one request with an Idempotency-Key.
type claimOf struct {
	actor uuid.UUID
	key   string
	hash  []byte // of what is asked for: the operation, its target and the body
}

// answer is what a request with the same key was answered with.
type answer struct {
	status   int
	response string
}

// newClaim reads the key. Two bodies are the same when they say the same,
// however their JSON is spaced or ordered.
func newClaim(who caller, operation, key, target string, body any) (claimOf, error) {
	if len(key) == 0 || len(key) > 255 {
		return claimOf{}, newProblem("idempotency_key", "")
	}
	for i := range len(key) {
		if key[i] <= ' ' || key[i] > '~' {
			return claimOf{}, newProblem("idempotency_key", "")
		}
	}
	canonical, err := json.Marshal([]any{operation, target, body})
	if err != nil {
		return claimOf{}, fmt.Errorf("hash request: %w", err)
	}
	sum := sha256.Sum256(canonical)
	return claimOf{who.AccountID, key, sum[:]}, nil
}

// claim takes the key for this request, in the transaction that does what it
// asks for. A second request with the key waits for that transaction: when it
// commits, the second gets its answer; when it fails, the key is free and the
// second does the work. A problem when the key stands for another request.
func (a *API) claim(ctx context.Context, k claimOf) (*answer, error) {
	now := a.d.DB.Now(ctx)
	var b database.Batch
	b.Queue(`DELETE FROM idempotency_keys WHERE actor_id = $1 AND key = $2 AND expires_at <= $3`, k.actor, k.key, now)
	insert := b.Queue(`
		INSERT INTO idempotency_keys (actor_id, key, body_hash, status, response, created_at, expires_at)
		VALUES ($1, $2, $3, 0, '', $4, $5)
		ON CONFLICT (actor_id, key) DO NOTHING`, k.actor, k.key, k.hash, now, now.Add(keyLifetime))
	rows, err := a.d.DB.Batch(ctx, &b)
	if err != nil {
		return nil, fmt.Errorf("claim idempotency key: %w", err)
	}
	if rows[insert] == 1 {
		return nil, nil
	}
	var hash []byte
	var kept answer
	var status int64
	err = a.d.DB.QueryRow(ctx, `
		SELECT body_hash, status, response FROM idempotency_keys WHERE actor_id = $1 AND key = $2`,
		k.actor, k.key).Scan(&hash, &status, &kept.response)
	if err != nil {
		return nil, fmt.Errorf("read idempotency key: %w", err)
	}
	if subtle.ConstantTimeCompare(hash, k.hash) != 1 {
		return nil, newProblem("key_reused", "")
	}
	kept.status = int(status)
	return &kept, nil
}

// keep stores the answer under the key that this transaction claimed.
func (a *API) keep(ctx context.Context, k claimOf, status int, body any) error {
	response, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("keep answer: %w", err)
	}
	rows, err := a.d.DB.Exec(ctx, `UPDATE idempotency_keys SET status = $3, response = $4 WHERE actor_id = $1 AND key = $2`,
		k.actor, k.key, int64(status), string(response))
	return database.ExactlyOne(rows, err, fmt.Errorf("keep answer: the key is gone"))
}

// posted is an answer that is given once.
type posted[B any] struct {
	status   int
	replayed string // "true": it was given before
	body     B
}

// once does what a POST asks for in one transaction, at most once for its key,
// and then gives the same answer again. allowed is asked every time: who may
// not, gets no earlier answer either.
func once[B any](ctx context.Context, a *API, k claimOf, status int,
	allowed func(context.Context) error, do func(context.Context) (B, error)) (posted[B], error) {
	var out posted[B]
	err := a.d.DB.InTx(ctx, func(ctx context.Context) error {
		out = posted[B]{status: status}
		if err := allowed(ctx); err != nil {
			return err
		}
		kept, err := a.claim(ctx, k)
		if err != nil {
			return err
		}
		if kept != nil {
			out.status, out.replayed = kept.status, "true"
			return json.Unmarshal([]byte(kept.response), &out.body)
		}
		if out.body, err = do(ctx); err != nil {
			return err
		}
		return a.keep(ctx, k, status, out.body)
	})
	if err == nil {
		a.wake()
	}
	return out, err
}
