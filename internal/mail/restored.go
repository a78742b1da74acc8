package mail

import (
	"context"
	"fmt"
)

// CancelLinks calls off every letter of a realm that waits and carries a link
// to a ticket, an invitation or a change of an email. It is for a database that
// comes from a backup, whose links are void. It works in steps and can be repeated.
func (o *Outbox) CancelLinks(ctx context.Context, realm string) error {
	n, err := o.DB.CountInSteps(ctx, `
		UPDATE mail_outbox SET state = 'cancelled', sealed = $2, lease_until = NULL, finished_at = $3 WHERE id IN (
			SELECT id FROM mail_outbox WHERE realm = $1 AND ticket_id IS NOT NULL AND state = 'queued' LIMIT 1000)`, realm, []byte{}, o.DB.Now(ctx))
	if err != nil {
		return fmt.Errorf("cancel letters of the realm: %w", err)
	}
	o.metrics.ended.WithLabelValues("", string(Cancelled)).Add(float64(n))
	return nil
}
