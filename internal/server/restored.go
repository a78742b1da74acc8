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
// it, because the backup does not know what happened afterwards. It is recorded
// in the same transaction. No server may run on the database meanwhile.
func (o *Operator) Restored(ctx context.Context, r *realm.Realm) (Closed, error) {
	var n Closed
	err := o.db.InTx(ctx, func(ctx context.Context) (err error) {
		if n.Sessions, err = o.rooms.sessions.EndEverything(ctx, r.Name); err != nil {
			return err
		}
		if n.Grants, err = o.rooms.oauth.RevokeEverything(ctx, r.Name); err != nil {
			return err
		}
		resets, err := o.rooms.recovery.VoidEverything(ctx, r.Name)
		if err != nil {
			return err
		}
		others, err := o.rooms.accounts.VoidEverything(ctx, r.Name)
		if err != nil {
			return err
		}
		n.Links = resets + others
		if err := o.rooms.signins.DropEverything(ctx, r.Name); err != nil {
			return err
		}
		if err := o.rooms.outbox.CancelLinks(ctx, r.Name); err != nil {
			return err
		}
		return o.rooms.audit.Record(ctx, audit.Event{Realm: r.Name, Kind: "database.restored", Actor: "system", Severity: audit.High,
			Details: map[string]any{"sessions": n.Sessions, "grants": n.Grants, "links": n.Links}})
	})
	if err != nil {
		return Closed{}, fmt.Errorf("realm %s: %w", r.Name, err)
	}
	return n, nil
}
