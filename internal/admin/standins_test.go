package admin

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/mail"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/secret"
)

// tokens stands for oauth: it knows tokens by name.
type tokens struct {
	mu     sync.Mutex
	claims map[string]Claims
	err    error
}

func (t *tokens) set(raw string, c Claims) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.claims[raw] = c
}

func (t *tokens) VerifyAccessToken(_ context.Context, r *realm.Realm, raw, aud string) (Claims, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err != nil {
		return Claims{}, t.err
	}
	c, ok := t.claims[raw]
	if !ok || r.Name != "practice" || aud != audience {
		return Claims{}, errors.New("unknown token")
	}
	return c, nil
}

// factors stands for the room of second factors.
type factors struct {
	mu  sync.Mutex
	has map[uuid.UUID]account.FactorSummary
}

func (f *factors) Of(_ context.Context, id uuid.UUID) (account.FactorSummary, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.has[id], nil
}

func (f *factors) RemoveAll(_ context.Context, _ *realm.Realm, id uuid.UUID, _ account.By) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.has, id)
	return nil
}

type noGrants struct{}

func (noGrants) RevokeAll(context.Context, uuid.UUID, string) error     { return nil }
func (noGrants) RevokeSession(context.Context, uuid.UUID, string) error { return nil }

// ledger stands for recovery: tickets in their table, letters in the outbox.
type ledger struct {
	db     *database.DB
	outbox *mail.Outbox
}

func (l *ledger) Send(ctx context.Context, r *realm.Realm, t StaffTicket) (Reset, error) {
	if !l.db.InTransaction(ctx) {
		return Reset{}, errors.New("no transaction")
	}
	if err := l.VoidAll(ctx, t.AccountID, "replaced"); err != nil {
		return Reset{}, err
	}
	id, now, token := database.NewID(), l.db.Now(ctx), secret.NewToken()
	var email string
	if err := l.db.QueryRow(ctx, `SELECT login_email FROM accounts WHERE id = $1`, t.AccountID).Scan(&email); err != nil {
		return Reset{}, err
	}
	if _, err := l.db.Exec(ctx, `
		INSERT INTO recovery_tickets (id, realm, account_id, token_hash, origin, email, credential_version, requested_by,
			practice_id, association_id, reason, created_at, expires_at)
		VALUES ($1, $2, $3, $4, 'staff', $5, 1, $6, $7, $8, $9, $10, $11)`, id, r.Name, t.AccountID, token.Hash(), email,
		t.RequestedBy, t.Practice.ID, t.AssociationID, t.Reason, now, now.Add(48*time.Hour)); err != nil {
		return Reset{}, err
	}
	if _, err := l.outbox.Queue(ctx, mail.Letter{Realm: r, Kind: mail.ResetStaff, To: email, AccountID: t.AccountID, TicketID: id,
		Data: map[string]string{"link": r.URL("/reset/" + token.Reveal()), "until": now.Add(48 * time.Hour).Format(time.RFC3339),
			"practice": t.Practice.Name, "practice_phone": t.Practice.SupportPhone}}); err != nil {
		return Reset{}, err
	}
	return l.Find(ctx, r, id)
}

func (l *ledger) VoidAll(ctx context.Context, accountID uuid.UUID, reason string) error {
	_, err := l.db.Exec(ctx, `UPDATE recovery_tickets SET voided_at = $2, void_reason = $3
		WHERE account_id = $1 AND voided_at IS NULL AND used_at IS NULL`, accountID, l.db.Now(ctx), reason)
	return err
}

func (l *ledger) Cancel(ctx context.Context, r *realm.Realm, id uuid.UUID, _ account.By) error {
	reset, err := l.Find(ctx, r, id)
	if err != nil || reset.State == "cancelled" {
		return err
	}
	rows, err := l.db.Exec(ctx, `UPDATE recovery_tickets SET voided_at = $2, void_reason = 'cancelled'
		WHERE id = $1 AND voided_at IS NULL AND used_at IS NULL AND expires_at > $2`, id, l.db.Now(ctx))
	if err := database.ExactlyOne(rows, err, ErrFinished); err != nil {
		return err
	}
	return l.outbox.CancelTicket(ctx, id)
}

func (l *ledger) RequestWaiver(ctx context.Context, r *realm.Realm, w StaffWaiver) (Reset, error) {
	return l.waive(ctx, r, w, `INSERT INTO answer_waivers (ticket_id, practice_id, requested_by, requested_at, identity_check)
		VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`, w.ResetID, w.PracticeID, w.By, l.db.Now(ctx), w.IdentityCheck)
}

func (l *ledger) ApproveWaiver(ctx context.Context, r *realm.Realm, w StaffWaiver) (Reset, error) {
	reset, err := l.Find(ctx, r, w.ResetID)
	if err == nil && reset.Waiver != nil && reset.Waiver.RequestedBy == w.By {
		return Reset{}, ErrSecondPerson
	}
	return l.waive(ctx, r, w, `UPDATE answer_waivers SET approved_by = $2, approved_at = $3 WHERE ticket_id = $1 AND approved_at IS NULL`,
		w.ResetID, w.By, l.db.Now(ctx))
}

func (l *ledger) waive(ctx context.Context, r *realm.Realm, w StaffWaiver, query string, args ...any) (Reset, error) {
	if !l.db.InTransaction(ctx) {
		return Reset{}, errors.New("no transaction")
	}
	reset, err := l.Find(ctx, r, w.ResetID)
	if err != nil {
		return Reset{}, err
	}
	if reset.State != "requested" {
		return Reset{}, ErrFinished
	}
	rows, err := l.db.Exec(ctx, query, args...)
	if err := database.ExactlyOne(rows, err, ErrWaiver); err != nil {
		return Reset{}, err
	}
	return l.Find(ctx, r, w.ResetID)
}

const ledgerColumns = `SELECT id, account_id, association_id, practice_id, email, expires_at, created_at, voided_at, void_reason, used_at,
	requested_at, asked_by, check_text, approved_at FROM (
		SELECT t.*, w.requested_by AS asked_by, w.requested_at, COALESCE(w.identity_check, '') AS check_text, w.approved_at
		FROM recovery_tickets t LEFT JOIN answer_waivers w ON w.ticket_id = t.id) both_of_them `

func (l *ledger) Find(ctx context.Context, r *realm.Realm, id uuid.UUID) (Reset, error) {
	return l.scan(l.db.QueryRow(ctx, ledgerColumns+`WHERE realm = $1 AND id = $2`, r.Name, id))
}

func (l *ledger) Latest(ctx context.Context, r *realm.Realm, accountID, practiceID uuid.UUID) (Reset, error) {
	return l.scan(l.db.QueryRow(ctx, ledgerColumns+`WHERE realm = $1 AND account_id = $2 AND practice_id = $3
		ORDER BY created_at DESC, id DESC LIMIT 1`, r.Name, accountID, practiceID))
}

func (l *ledger) scan(row *database.Row) (Reset, error) {
	var out Reset
	var association, site *uuid.UUID
	var created time.Time
	var voided, used *time.Time
	var why string
	var waiver Waiver
	var askedAt *time.Time
	var askedBy *uuid.UUID
	err := row.Scan(&out.ID, &out.AccountID, &association, &site, &out.LoginEmail, &out.ExpiresAt, &created, &voided, &why, &used,
		&askedAt, &askedBy, &waiver.IdentityCheck, &waiver.ApprovedAt)
	if askedAt != nil && askedBy != nil {
		waiver.RequestedAt, waiver.RequestedBy = *askedAt, *askedBy
		out.Waiver = &waiver
	}
	if errors.Is(err, database.ErrNoRows) {
		return Reset{}, ErrNoReset
	}
	if err != nil {
		return Reset{}, err
	}
	if association != nil {
		out.AssociationID = *association
	}
	if site != nil {
		out.PracticeID = *site
	}
	out.State, out.Events = "requested", []ResetEvent{{"requested", created}}
	switch {
	case used != nil:
		out.State = "used"
	case voided != nil && why == "cancelled":
		out.State = "cancelled"
	case voided != nil:
		out.State = "replaced"
	}
	return out, nil
}

type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
