package account

import (
	"context"
	"errors"
	"fmt"

	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/secret"
)

// The POST of a link in a letter decides nothing: mail scanners send forms too.
// It swaps the link's token for that of a flow, which is good for the page that
// decides and for nothing else, in this browser and for a short time. What the
// link is worth is proved again there.

// openEmailLink begins the way from the link of a change of the email.
func (s *Service) openEmailLink(ctx context.Context, r *realm.Realm, token secret.Token) (flow secret.Token, err error) {
	err = s.db.InTx(ctx, func(ctx context.Context) error {
		e, err := s.emailChangeByToken(ctx, r, token)
		if err != nil {
			return err
		}
		flow = secret.NewToken()
		return s.insertFlow(ctx, r, `INSERT INTO email_change_flows (flow_hash, change_id, created_at, expires_at) VALUES ($1, $2, $3, $4)`, flow, e.ID, ErrEmailChange)
	})
	return flow, err
}

// openFreezeLink begins the way from the link of a notice.
func (s *Service) openFreezeLink(ctx context.Context, r *realm.Realm, token secret.Token) (flow secret.Token, err error) {
	err = s.db.InTx(ctx, func(ctx context.Context) error {
		if _, err := s.freezeLinkByToken(ctx, r, token); err != nil {
			return err
		}
		flow, err = s.newFreezeFlow(ctx, r, token)
		return err
	})
	return flow, err
}

// newFreezeFlow begins a way from a link that is there, in the caller's
// transaction.
func (s *Service) newFreezeFlow(ctx context.Context, r *realm.Realm, link secret.Token) (secret.Token, error) {
	flow := secret.NewToken()
	return flow, s.insertFlow(ctx, r, `INSERT INTO freeze_flows (flow_hash, link_hash, created_at, expires_at) VALUES ($1, $2, $3, $4)`, flow, link.Hash(), ErrFreezeLink)
}

// insertFlow stores a flow; gone is what to say when its link was deleted a
// moment ago.
func (s *Service) insertFlow(ctx context.Context, r *realm.Realm, query string, flow secret.Token, of any, gone error) error {
	now := s.db.Now(ctx)
	_, err := s.db.Exec(ctx, query, flow.Hash(), of, now, now.Add(r.Lifetimes.Interaction))
	if errors.Is(err, database.ErrForeignKey) {
		return gone
	}
	if err != nil {
		return fmt.Errorf("store way from a link: %w", err)
	}
	return nil
}
