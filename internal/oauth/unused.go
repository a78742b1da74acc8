package oauth

import (
	"context"
	"time"

	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/realm"
)

const (
	// unusedStep is how many clients one transaction removes.
	unusedStep = 100
	// unusedPause lets requests in between two of them.
	unusedPause = 100 * time.Millisecond
)

// removeUnused removes clients that registered themselves and got no tokens for
// as long as their realm waits: anybody may have made them, and nobody would
// ever delete them. Each is an event, as its registration was.
func (p *Provider) removeUnused(ctx context.Context) error {
	rows, err := p.db.Query(ctx, `SELECT DISTINCT realm FROM registered_clients WHERE unused_since IS NOT NULL`)
	names, err := database.Collect(rows, err, func(rows *database.Rows) (name string, err error) {
		err = rows.Scan(&name)
		return name, err
	})
	if err != nil {
		return err
	}
	for _, name := range names {
		// A realm that is not configured, or takes no registrations just now, may come back.
		r, ok := p.realms(name)
		if !ok || !r.OAuth.Registration.Enabled() || r.OAuth.Registration.UnusedFor <= 0 {
			continue
		}
		if err := p.removeUnusedOf(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

func (p *Provider) removeUnusedOf(ctx context.Context, r *realm.Realm) error {
	for {
		n, err := p.removeSomeUnused(ctx, r)
		if err != nil || n < unusedStep {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(unusedPause):
		}
	}
}

// removeSomeUnused removes one step and returns how many it were. One that gets
// its first tokens this moment is not found by the DELETE any more, or its
// tokens find no client.
func (p *Provider) removeSomeUnused(ctx context.Context, r *realm.Realm) (n int, err error) {
	err = p.db.InTx(ctx, func(ctx context.Context) error {
		rows, err := p.db.Query(ctx, `
			DELETE FROM registered_clients WHERE realm = $1 AND unused_since IS NOT NULL AND client_id IN (
				SELECT client_id FROM registered_clients
				WHERE realm = $1 AND unused_since <= $2 ORDER BY unused_since LIMIT $3)
			RETURNING client_id`, r.Name, p.db.Now(ctx).Add(-r.OAuth.Registration.UnusedFor), int64(unusedStep))
		ids, err := database.Collect(rows, err, func(rows *database.Rows) (id string, err error) {
			err = rows.Scan(&id)
			return id, err
		})
		if err != nil || len(ids) == 0 {
			return err
		}
		n = len(ids)
		var b database.Batch
		for _, id := range ids {
			b.Queue(`DELETE FROM consents WHERE realm = $1 AND client_id = $2`, r.Name, id)
			p.audit.Queue(ctx, &b, audit.Event{Realm: r.Name, Kind: "client.deleted", Actor: "system", Target: audit.Client(id),
				ClientID: id, Details: map[string]any{"reason": "unused"}})
		}
		_, err = p.db.Batch(ctx, &b)
		return err
	})
	return n, err
}
