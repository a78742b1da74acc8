package oauth

import (
	"context"
	"fmt"
)

// RevokeEverything ends every grant of a realm, and with them all codes,
// refresh tokens and access tokens, forgets every authorization request and
// every sign-out that waits, and returns how many grants ended. It is for a
// database that comes from a backup, where codes and refresh tokens are unspent
// that were spent since. It works in steps and can be repeated.
func (p *Provider) RevokeEverything(ctx context.Context, realm string) (int64, error) {
	n, err := p.db.CountInSteps(ctx, `
		UPDATE grants SET revoked_at = $2, revoke_reason = 'restored' WHERE id IN (
			SELECT id FROM grants WHERE realm = $1 AND revoked_at IS NULL LIMIT 1000)`,
		realm, p.db.Now(ctx))
	if err != nil {
		return n, fmt.Errorf("revoke the grants of the realm: %w", err)
	}
	for _, what := range []struct{ table, key string }{{"interactions", "id"}, {"pushed_requests", "request_hash"}, {"logout_deliveries", "id"}} {
		err := p.db.InSteps(ctx, `DELETE FROM `+what.table+` WHERE `+what.key+` IN (
			SELECT `+what.key+` FROM `+what.table+` WHERE realm = $1 LIMIT 1000)`, realm)
		if err != nil {
			return n, fmt.Errorf("forget the %s of the realm: %w", what.table, err)
		}
	}
	return n, nil
}
