package oauth

import (
	"context"
	"fmt"
)

// RevokeEverything ends every grant of a realm, and with them all codes,
// refresh tokens and access tokens, forgets every authorization request that
// waits, and returns how many grants ended. It is for a database that comes
// from a backup, where codes and refresh tokens are unspent that were spent
// since. It joins the caller's transaction.
func (p *Provider) RevokeEverything(ctx context.Context, realm string) (int64, error) {
	n, err := p.db.Exec(ctx, `
		UPDATE grants SET revoked_at = $2, revoke_reason = 'restored' WHERE realm = $1 AND revoked_at IS NULL`,
		realm, p.db.Now(ctx))
	if err != nil {
		return 0, fmt.Errorf("revoke the grants of the realm: %w", err)
	}
	for _, table := range []string{"interactions", "pushed_requests", "logout_deliveries"} {
		if _, err := p.db.Exec(ctx, `DELETE FROM `+table+` WHERE realm = $1`, realm); err != nil {
			return 0, fmt.Errorf("forget the %s of the realm: %w", table, err)
		}
	}
	return n, nil
}
