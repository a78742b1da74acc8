package account

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/secret"
)

// Origin says who asked for another login email.
type Origin string

// The person, who confirms at the new address, or staff, for whom the person
// has to allow it at the present one.
const (
	OwnWish    Origin = "self"
	StaffsWish Origin = "staff"
)

// EmailChange is a login email that somebody asked for and that waits for its
// link to be used. Its State is "awaiting_confirmation" and nothing else: one
// that was used, replaced, cancelled or has expired is not shown any more.
type EmailChange struct {
	ID, AccountID        uuid.UUID
	Origin               Origin
	State                string
	OldEmail, NewEmail   string
	RequestedBy          *uuid.UUID // the member of staff
	PracticeID           *uuid.UUID
	Practice, Phone      string
	CreatedAt, ExpiresAt time.Time

	credentialVersion int64
	clientID, reason  string
}

// awaiting is the only State that EmailChange shows.
const awaiting = "awaiting_confirmation"

const emailChangeColumns = `e.id, e.account_id, e.origin, e.old_email, e.new_email, e.requested_by, e.practice_id,
	e.practice, e.practice_phone, e.created_at, e.expires_at, e.credential_version, e.client_id, e.reason`

// pendingChange is what makes a change count: $1 realm, $2 now. An account that
// changed since in what proves its person, or in its email, is not the one
// that the link was made for.
const pendingChange = `e.realm = $1 AND e.used_at IS NULL AND e.voided_at IS NULL AND e.expires_at > $2
	AND a.realm = e.realm AND a.state <> 'disabled' AND a.frozen_at IS NULL
	AND a.login_email = e.old_email AND a.credential_version = e.credential_version`

func (e *EmailChange) targets() []any {
	return []any{&e.ID, &e.AccountID, (*string)(&e.Origin), &e.OldEmail, &e.NewEmail, &e.RequestedBy, &e.PracticeID,
		&e.Practice, &e.Phone, &e.CreatedAt, &e.ExpiresAt, &e.credentialVersion, &e.clientID, &e.reason}
}

func (s *Service) findEmailChange(ctx context.Context, r *realm.Realm, where string, arg any, more ...any) (EmailChange, error) {
	e := EmailChange{State: awaiting}
	err := s.db.QueryRow(ctx, `
		SELECT `+emailChangeColumns+` FROM email_changes e JOIN accounts a ON a.id = e.account_id
		WHERE `+where+` AND `+pendingChange+` ORDER BY e.created_at DESC, e.id DESC LIMIT 1`,
		append([]any{r.Name, s.db.Now(ctx), arg}, more...)...).Scan(e.targets()...)
	if errors.Is(err, database.ErrNoRows) {
		return EmailChange{}, ErrEmailChange
	}
	if err != nil {
		return EmailChange{}, fmt.Errorf("find change of the email: %w", err)
	}
	return e, nil
}

func (s *Service) emailChangeByToken(ctx context.Context, r *realm.Realm, token secret.Token) (EmailChange, error) {
	return s.findEmailChange(ctx, r, `e.token_hash = $3`, token.Hash())
}

// emailChangeByFlow is the change that a browser has come to from its link.
func (s *Service) emailChangeByFlow(ctx context.Context, r *realm.Realm, flow secret.Token) (EmailChange, error) {
	return s.findEmailChange(ctx, r, `e.id = (SELECT w.change_id FROM email_change_flows w WHERE w.flow_hash = $3 AND w.expires_at > $2)`, flow.Hash())
}

func (s *Service) emailChangeOf(ctx context.Context, r *realm.Realm, accountID uuid.UUID, origin Origin) (EmailChange, error) {
	return s.findEmailChange(ctx, r, `e.account_id = $3 AND e.origin = $4`, accountID, string(origin))
}

// confirmedEmailChange finds a change whose link was used, for its last page.
func (s *Service) confirmedEmailChange(ctx context.Context, r *realm.Realm, flow secret.Token) (EmailChange, string, error) {
	var e EmailChange
	var lang string
	err := s.db.QueryRow(ctx, `
		SELECT `+emailChangeColumns+`, a.locale FROM email_change_flows w
		JOIN email_changes e ON e.id = w.change_id JOIN accounts a ON a.id = e.account_id
		WHERE w.flow_hash = $1 AND w.expires_at > $3 AND e.realm = $2 AND a.realm = e.realm AND e.used_at IS NOT NULL`,
		flow.Hash(), r.Name, s.db.Now(ctx)).Scan(append(e.targets(), &lang)...)
	if errors.Is(err, database.ErrNoRows) {
		return EmailChange{}, "", ErrEmailChange
	}
	return e, lang, err
}

func (s *Service) insertEmailChange(ctx context.Context, r *realm.Realm, e EmailChange, token secret.Token) error {
	_, err := s.db.Exec(ctx, `
		INSERT INTO email_changes (id, realm, account_id, origin, token_hash, old_email, new_email, credential_version,
			requested_by, practice_id, practice, practice_phone, client_id, reason, created_at, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)`,
		e.ID, r.Name, e.AccountID, string(e.Origin), token.Hash(), e.OldEmail, e.NewEmail, e.credentialVersion,
		e.RequestedBy, e.PracticeID, e.Practice, e.Phone, e.clientID, e.reason, e.CreatedAt, e.ExpiresAt)
	if err != nil {
		return fmt.Errorf("store change of the email: %w", err)
	}
	return nil
}

// spendEmailChange uses a change up. The WHERE clause is the lock: of racing
// requests one changes the row, the others get ErrEmailChange.
func (s *Service) spendEmailChange(ctx context.Context, id uuid.UUID) error {
	rows, err := s.db.Exec(ctx, `
		UPDATE email_changes SET used_at = $2
		WHERE id = $1 AND used_at IS NULL AND voided_at IS NULL AND expires_at > $2`, id, s.db.Now(ctx))
	return database.ExactlyOne(rows, err, ErrEmailChange)
}

// voidEmailChanges ends what an account has asked for, or, with an origin, what
// was asked for by one side, and calls off letters that still wait.
func (s *Service) voidEmailChanges(ctx context.Context, accountID uuid.UUID, origin Origin, reason string) error {
	const open = `account_id = $1 AND used_at IS NULL AND voided_at IS NULL AND ($2 = '' OR origin = $2)`
	rows, err := s.db.Query(ctx, `SELECT id FROM email_changes WHERE `+open, accountID, string(origin))
	ids, err := database.Collect(rows, err, func(r *database.Rows) (id uuid.UUID, err error) {
		err = r.Scan(&id)
		return id, err
	})
	if err != nil || len(ids) == 0 {
		return err
	}
	if _, err := s.db.Exec(ctx, `UPDATE email_changes SET voided_at = $3, void_reason = $4 WHERE `+open,
		accountID, string(origin), s.db.Now(ctx), reason); err != nil {
		return err
	}
	for _, id := range ids {
		if err := s.outbox.CancelTicket(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// emailChangesSince counts what one side has asked for.
func (s *Service) emailChangesSince(ctx context.Context, accountID uuid.UUID, origin Origin, since time.Time) (int, error) {
	var n int64
	err := s.db.QueryRow(ctx, `
		SELECT COUNT(*) FROM email_changes WHERE account_id = $1 AND origin = $2 AND created_at > $3`,
		accountID, string(origin), since).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count changes of the email: %w", err)
	}
	return int(n), nil
}
