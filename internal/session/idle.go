package session

import (
	"context"
	"errors"
	"fmt"

	"github.com/gin-gonic/gin"

	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/secret"
)

// Idle is the session that the browser's cookie names, also when it has run
// into a limit, as long as nobody has ended it; nil when there is none. It
// signs nobody in: it is for signing out, and for the next sign-in, which goes
// on with it or ends it. What hangs on a session, the tokens of its clients,
// does not end when the session runs into a limit.
func (m *Manager) Idle(c *gin.Context) (*Session, error) {
	ctx := c.Request.Context()
	r := realm.From(ctx)
	ck, err := c.Request.Cookie(r.CookieName(""))
	if err != nil {
		return nil, nil
	}
	tok, err := secret.ParseToken(ck.Value)
	if err != nil {
		return nil, nil
	}
	s, err := m.idle(ctx, r, tok.Hash())
	switch {
	case errors.Is(err, database.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("find session that may be idle: %w", err)
	}
	return &s, nil
}

func (m *Manager) idle(ctx context.Context, r *realm.Realm, tokenHash []byte) (Session, error) {
	return scan(m.db.QueryRow(ctx, `
		SELECT `+columns+` FROM sessions s WHERE s.token_hash = $1 AND s.realm = $2 AND s.ended_at IS NULL`, tokenHash, r.Name))
}
