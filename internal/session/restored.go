package session

import (
	"context"
	"fmt"
)

// EndEverything ends every open session of a realm and returns how many. It is
// for a database that comes from a backup, where sessions are open that people
// have ended since. It joins the caller's transaction; clients are not told.
func (m *Manager) EndEverything(ctx context.Context, realm string) (int64, error) {
	n, err := m.db.Exec(ctx, `
		UPDATE sessions SET ended_at = $2, end_reason = 'restored' WHERE realm = $1 AND ended_at IS NULL`,
		realm, m.db.Now(ctx))
	if err != nil {
		return 0, fmt.Errorf("end the sessions of the realm: %w", err)
	}
	return n, nil
}
