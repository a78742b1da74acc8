package session

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/realm"
)

const columns = `s.id, s.account_id, s.realm, s.auth_time, s.created_at, s.last_seen_at, s.expires_at,
	COALESCE(s.confirmed_at, s.auth_time), s.acr, s.amr, s.kept, s.user_agent, s.ip`

// open is what makes a session count, besides its key: $1 realm, $2 now,
// $3 last seen after, $4 created after, $5 and $6 the same for kept sessions.
// The account's state is part of it, so disabling somebody takes effect with
// their next request.
const open = `s.realm = $1 AND s.ended_at IS NULL AND s.expires_at > $2
	AND (NOT s.kept AND s.last_seen_at > $3 AND s.created_at > $4 OR s.kept AND s.last_seen_at > $5 AND s.created_at > $6)
	AND a.state = 'active' AND a.realm = s.realm`

func (m *Manager) openArgs(ctx context.Context, r *realm.Realm, more any) []any {
	now := m.db.Now(ctx)
	return []any{r.Name, now, now.Add(-idle(r, false)), now.Add(-absolute(r, false)),
		now.Add(-idle(r, true)), now.Add(-absolute(r, true)), more}
}

func (m *Manager) insert(ctx context.Context, s Session, tokenHash []byte) error {
	_, err := m.db.Exec(ctx, `
		INSERT INTO sessions (id, realm, account_id, token_hash, auth_time, acr, amr,
			user_agent, ip, created_at, last_seen_at, expires_at, confirmed_at, kept)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`,
		s.ID, s.Realm, s.AccountID, tokenHash, s.AuthTime, s.ACR, strings.Join(s.AMR, " "),
		s.UserAgent, s.IP, s.CreatedAt, s.LastSeenAt, s.ExpiresAt, s.ConfirmedAt, s.Kept)
	return err
}

func (m *Manager) find(ctx context.Context, r *realm.Realm, tokenHash []byte) (Session, error) {
	demanded, args := overdue(r, m.openArgs(ctx, r, tokenHash))
	var late bool
	s, err := scan(m.db.QueryRow(ctx, `
		SELECT `+columns+`, `+demanded+` FROM sessions s JOIN accounts a ON a.id = s.account_id
		WHERE s.token_hash = $7 AND `+open, args...), &late)
	s.Overdue = late
	return s, err
}

// overdue is the condition under which a realm wants more of a session than the
// one factor it has: those of a sign-in. The person has a second factor, or has
// to have one and has had the time to set it up. It is part of the query that
// finds the session, so that it costs no round trip and holds at once whatever
// changes: the policy, a role, the day.
func overdue(r *realm.Realm, args []any) (condition string, all []any) {
	arg := func(v any) string {
		args = append(args, v)
		return "$" + strconv.Itoa(len(args))
	}
	condition = `s.acr <> ` + arg(TwoFactors)
	switch r.Factors.Required {
	case realm.SecondFactorEveryone:
	case realm.SecondFactorRoles:
		var roles []string
		for _, role := range r.Factors.Roles {
			roles = append(roles, arg(role))
		}
		condition += ` AND EXISTS (SELECT 1 FROM staff_roles d WHERE d.account_id = a.id AND d.role IN (` + strings.Join(roles, ", ") + `))`
	default:
		return "false", args[:len(args)-1]
	}
	if r.Factors.Grace <= 0 {
		return condition, args
	}
	now := args[1].(time.Time)
	return condition + ` AND (EXISTS (SELECT 1 FROM totp_secrets f WHERE f.account_id = a.id)
		OR EXISTS (SELECT 1 FROM passkeys f WHERE f.account_id = a.id)
		OR EXISTS (SELECT 1 FROM signin_told n WHERE n.account_id = a.id AND n.told_at <= ` + arg(now.Add(-r.Factors.Grace)) + `))`, args
}

func (m *Manager) list(ctx context.Context, r *realm.Realm, accountID uuid.UUID) ([]Session, error) {
	rows, err := m.db.Query(ctx, `
		SELECT `+columns+` FROM sessions s JOIN accounts a ON a.id = s.account_id
		WHERE s.account_id = $7 AND `+open+`
		ORDER BY s.last_seen_at DESC, s.id DESC`, m.openArgs(ctx, r, accountID)...)
	return database.Collect(rows, err, func(rows *database.Rows) (Session, error) { return scan(rows) })
}

// strengthen changes an open session only; the limits were looked at a moment
// ago, by whoever found it.
func (m *Manager) strengthen(ctx context.Context, r *realm.Realm, id uuid.UUID, tokenHash []byte, how Method) error {
	confirmed := ""
	if how.Confirms {
		confirmed = ", confirmed_at = $6"
	}
	rows, err := m.db.Exec(ctx, `
		UPDATE sessions SET token_hash = $3, acr = $4, amr = $5, auth_time = $6`+confirmed+`
		WHERE id = $1 AND realm = $2 AND ended_at IS NULL AND expires_at > $6`,
		id, r.Name, tokenHash, how.ACR, strings.Join(how.AMR, " "), m.db.Now(ctx))
	return database.ExactlyOne(rows, err, ErrNotFound)
}

func (m *Manager) confirm(ctx context.Context, id uuid.UUID, tokenHash []byte) error {
	rows, err := m.db.Exec(ctx, `
		UPDATE sessions SET token_hash = $2, confirmed_at = $3
		WHERE id = $1 AND ended_at IS NULL AND expires_at > $3`, id, tokenHash, m.db.Now(ctx))
	return database.ExactlyOne(rows, err, ErrNotFound)
}

// slide moves the idle limit. It never moves it back, and never revives a
// session that was ended meanwhile.
func (m *Manager) slide(ctx context.Context, id uuid.UUID, now time.Time) error {
	_, err := m.db.Exec(ctx, `
		UPDATE sessions SET last_seen_at = $2
		WHERE id = $1 AND ended_at IS NULL AND last_seen_at < $2`, id, now)
	return err
}

// end ends open sessions; which is a condition over $3 and $4.
func (m *Manager) end(ctx context.Context, reason, which string, args ...any) ([]Ended, error) {
	rows, err := m.db.Query(ctx, `
		UPDATE sessions SET ended_at = $1, end_reason = $2 WHERE ended_at IS NULL AND `+which+`
		RETURNING id, account_id, realm`, append([]any{m.db.Now(ctx), reason}, args...)...)
	return database.Collect(rows, err, func(rows *database.Rows) (Ended, error) {
		var e Ended
		err := rows.Scan(&e.ID, &e.AccountID, &e.Realm)
		return e, err
	})
}

func scan(row interface{ Scan(...any) error }, more ...any) (Session, error) {
	var s Session
	var amr string
	err := row.Scan(append([]any{&s.ID, &s.AccountID, &s.Realm, &s.AuthTime, &s.CreatedAt, &s.LastSeenAt, &s.ExpiresAt,
		&s.ConfirmedAt, &s.ACR, &amr, &s.Kept, &s.UserAgent, &s.IP}, more...)...)
	s.AMR = strings.Fields(amr)
	return s, err
}

// keepFor is how long a session that is over stays, for the sign-in history
// and for late sign-out messages.
const keepFor = 30 * 24 * time.Hour

// CleanUp deletes sessions that have been over for 30 days, 1,000 at a time
// with a pause, so that no request waits for it.
func (m *Manager) CleanUp(ctx context.Context) error {
	return m.db.InSteps(ctx, `
		DELETE FROM sessions WHERE id IN (
			SELECT id FROM sessions WHERE expires_at <= $1 ORDER BY expires_at LIMIT 1000)`, m.db.Now(ctx).Add(-keepFor))
}
