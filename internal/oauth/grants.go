package oauth

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/ory/fosite"

	"github.com/portico-id/portico/internal/database"
)

// revokeToken lets fosite find the token by either kind. Whatever fosite makes
// of a database that does not answer, it comes back as what it was.
func (p *Provider) revokeToken(ctx context.Context, u *unit, raw, hint string) error {
	err := p.revocation.RevokeToken(ctx, raw, fosite.TokenType(hint), client{u.client, u.realm.Issuer})
	if u.failed != nil {
		return u.failed
	}
	return err
}

// RevokeAll ends every grant of an account, and with them all refresh tokens
// and access tokens. It joins the caller's transaction: a new password, a new
// login email or a disabled account and the end of the old grants happen
// together.
func (p *Provider) RevokeAll(ctx context.Context, accountID uuid.UUID, reason string) error {
	_, err := p.db.Exec(ctx, `
		UPDATE grants SET revoked_at = $2, revoke_reason = $3 WHERE account_id = $1 AND revoked_at IS NULL`,
		accountID, p.db.Now(ctx), reason)
	if err != nil {
		return fmt.Errorf("revoke grants of the account: %w", err)
	}
	return nil
}

// RevokeSession ends the grants that came of one session, when somebody signs
// out or ends a device. It joins the caller's transaction.
func (p *Provider) RevokeSession(ctx context.Context, sessionID uuid.UUID, reason string) error {
	_, err := p.db.Exec(ctx, `
		UPDATE grants SET revoked_at = $2, revoke_reason = $3 WHERE session_id = $1 AND revoked_at IS NULL`,
		sessionID, p.db.Now(ctx), reason)
	if err != nil {
		return fmt.Errorf("revoke grants of the session: %w", err)
	}
	return nil
}

const (
	// keepSpent is how long a code or a grant stays after its end: replaying it
	// is still noticed, and an access token of it still finds its grant.
	keepSpent = time.Hour
)

// CleanUp deletes what has expired, a thousand rows at a time with a pause, so
// that no request waits for it. Any number of replicas may run it.
func (p *Provider) CleanUp(ctx context.Context) error {
	for _, what := range []struct{ table, key string }{
		{"interactions", "id"}, {"authorization_codes", "code_hash"}, {"refresh_tokens", "token_hash"}, {"pushed_requests", "request_hash"}, {"grants", "id"},
	} {
		if err := p.cleanUp(ctx, `DELETE FROM `+what.table+` WHERE `+what.key+` IN (
			SELECT `+what.key+` FROM `+what.table+` WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)`); err != nil {
			return fmt.Errorf("clean up %s: %w", what.table, err)
		}
	}
	if err := p.cleanUpLogouts(ctx); err != nil {
		return err
	}
	if err := p.removeUnused(ctx); err != nil {
		return fmt.Errorf("remove clients that nobody uses: %w", err)
	}
	if err := p.cleanUp(ctx, `DELETE FROM client_assertions WHERE (realm, client_id, jti_hash) IN (
		SELECT realm, client_id, jti_hash FROM client_assertions WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)`); err != nil {
		return fmt.Errorf("clean up client assertions: %w", err)
	}
	if err := p.cleanUp(ctx, `DELETE FROM revoked_access_tokens WHERE (realm, jti) IN (
		SELECT realm, jti FROM revoked_access_tokens WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)`); err != nil {
		return fmt.Errorf("clean up revoked access tokens: %w", err)
	}
	return nil
}

func (p *Provider) cleanUp(ctx context.Context, query string) error {
	return p.db.InSteps(ctx, query, p.db.Now(ctx).Add(-keepSpent), int64(database.StepRows))
}
