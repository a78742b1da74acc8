package session

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/secret"
)

// Renew signs an account in at a browser that has a session of it already, also
// one that has run into a limit. The row and its sid stay, and with them what
// clients hold: a client that asks for a fresh sign-in does not sign the others
// out. So what somebody got through a stolen cookie ends with a sign-out, not
// with the next sign-in; the cookie itself is dead. All else is as Start makes
// it: token, level, methods, times and limits are those of this sign-in.
// ErrNotFound when the session was ended, or is somebody else's. It joins the
// caller's transaction.
func (m *Manager) Renew(ctx context.Context, r *realm.Realm, id, accountID uuid.UUID, d Device, how Method) (Session, secret.Token, error) {
	s, tok := m.begin(ctx, r, accountID, d, how)
	s.ID = id
	n, err := m.db.Exec(ctx, `
		UPDATE sessions SET token_hash = $4, auth_time = $5, acr = $6, amr = $7, user_agent = $8, ip = $9,
			created_at = $10, last_seen_at = $10, expires_at = $11, confirmed_at = $10, kept = $12
		WHERE id = $1 AND realm = $2 AND account_id = $3 AND ended_at IS NULL`,
		s.ID, s.Realm, s.AccountID, tok.Hash(), s.AuthTime, s.ACR, strings.Join(s.AMR, " "), s.UserAgent, s.IP,
		s.CreatedAt, s.ExpiresAt, s.Kept)
	if err := database.ExactlyOne(n, err, ErrNotFound); err != nil {
		return Session{}, secret.Token{}, fmt.Errorf("renew session: %w", err)
	}
	return s, tok, nil
}
