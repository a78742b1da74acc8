package session

import (
	"context"
	"fmt"
)

// EndEverything ends every open session of a realm and returns how many. It is
// for a database that comes from a backup, where sessions are open that people
// have ended since. It works in steps and can be repeated; clients are not told.
func (m *Manager) EndEverything(ctx context.Context, realm string) (int64, error) {
	n, err := m.db.CountInSteps(ctx, `
		UPDATE sessions SET ended_at = $2, end_reason = 'restored' WHERE id IN (
			SELECT id FROM sessions WHERE realm = $1 AND ended_at IS NULL LIMIT 1000)`,
		realm, m.db.Now(ctx))
	if err != nil {
		return n, fmt.Errorf("end the sessions of the realm: %w", err)
	}
	return n, nil
}
