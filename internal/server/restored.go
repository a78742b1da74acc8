package server

import (
	"context"
	"fmt"

	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/realm"
)

// Closed counts what Restored has ended in a realm.
type Closed struct {
	Sessions, Grants int64
	Links            int64 // of resets, invitations and changes of an email
}

// Restored ends what a database that comes from a backup would bring back to
// life: sessions that people have ended since, grants with their codes and
// refresh tokens, links, letters with links, and whatever was half done. All of
// it, because the backup does not know what happened afterwards. No server may
// run on the database meanwhile.
//
// It works in steps, however large the database is, and goes on where it was
// when it is called again. That it began is recorded before anything ends, and
// what it ended once it is done.
func (o *Operator) Restored(ctx context.Context, r *realm.Realm) (Closed, error) {
	n, err := o.restored(ctx, r)
	if err != nil {
		return n, fmt.Errorf("realm %s: %w", r.Name, err)
	}
	return n, nil
}

func (o *Operator) restored(ctx context.Context, r *realm.Realm) (n Closed, err error) {
	record := func(kind string, details map[string]any) error {
		return o.rooms.audit.Record(ctx, audit.Event{Realm: r.Name, Kind: kind, Actor: "system", Severity: audit.High, Details: details})
	}
	if err := record("database.restoring", nil); err != nil {
		return n, err
	}
	// Links first: what opens an account counts for more than what is open.
	for _, void := range []func(context.Context, string) (int64, error){o.rooms.recovery.VoidEverything, o.rooms.accounts.VoidEverything} {
		links, err := void(ctx, r.Name)
		n.Links += links
		if err != nil {
			return n, err
		}
	}
	if n.Sessions, err = o.rooms.sessions.EndEverything(ctx, r.Name); err != nil {
		return n, err
	}
	if n.Grants, err = o.rooms.oauth.RevokeEverything(ctx, r.Name); err != nil {
		return n, err
	}
	if err := o.rooms.signins.DropEverything(ctx, r.Name); err != nil {
		return n, err
	}
	if err := o.rooms.outbox.CancelLinks(ctx, r.Name); err != nil {
		return n, err
	}
	return n, record("database.restored", map[string]any{"sessions": n.Sessions, "grants": n.Grants, "links": n.Links})
}
