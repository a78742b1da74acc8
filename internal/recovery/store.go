package recovery

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

const ticketColumns = `t.id, t.account_id, t.realm, t.email, t.client_id, t.origin, t.requested_by, t.practice_id,
	t.association_id, t.reason, t.void_reason, t.answer_attempts, t.created_at, t.expires_at, t.opened_at,
	t.answered_wrong_at, t.answered_at, t.used_at, t.voided_at,
	w.requested_by, w.requested_at, COALESCE(w.identity_check, ''), w.approved_by, w.approved_at`

// fromTickets belongs to ticketColumns.
const fromTickets = ` FROM recovery_tickets t LEFT JOIN answer_waivers w ON w.ticket_id = t.id `

func (t *Ticket) targets() []any {
	return []any{&t.ID, &t.AccountID, &t.Realm, &t.Email, &t.ClientID, (*string)(&t.Origin), &t.RequestedBy, &t.PracticeID,
		&t.AssociationID, &t.Reason, &t.VoidReason, &t.AnswerAttempts, &t.RequestedAt, &t.ExpiresAt, &t.OpenedAt,
		&t.AnsweredWrongAt, &t.AnsweredAt, &t.UsedAt, &t.VoidedAt,
		&t.Waiver.RequestedBy, &t.Waiver.RequestedAt, &t.Waiver.IdentityCheck, &t.Waiver.ApprovedBy, &t.Waiver.ApprovedAt}
}

// withMail is a ticket with how its letter fares.
const withMail = `SELECT ` + ticketColumns + `, m.state, m.created_at, m.sent_at, m.finished_at` +
	fromTickets + `LEFT JOIN mail_outbox m ON m.ticket_id = t.id`

func scanWithMail(row interface{ Scan(...any) error }, now time.Time) (Ticket, error) {
	var t Ticket
	var mailState *string
	var finished *time.Time
	if err := row.Scan(append(t.targets(), &mailState, &t.QueuedAt, &t.SentAt, &finished)...); err != nil {
		return Ticket{}, err
	}
	state := ""
	if mailState != nil {
		state = *mailState
	}
	if state == "failed" || state == "expired" {
		t.FailedAt = finished
	}
	t.derive(state, now)
	return t, nil
}

// Find returns a ticket with its state, or ErrNotFound. Who may see it is the
// caller's to decide.
func (s *Service) Find(ctx context.Context, id uuid.UUID) (Ticket, error) {
	t, err := scanWithMail(s.db.QueryRow(ctx, withMail+` WHERE t.id = $1`, id), s.db.Now(ctx))
	if errors.Is(err, database.ErrNoRows) {
		return Ticket{}, ErrNotFound
	}
	return t, err
}

// ListByAssociation returns the newest tickets that staff sent for an
// association, newest first.
func (s *Service) ListByAssociation(ctx context.Context, associationID uuid.UUID, limit int) ([]Ticket, error) {
	now := s.db.Now(ctx)
	rows, err := s.db.Query(ctx, withMail+` WHERE t.association_id = $1 ORDER BY t.created_at DESC, t.id DESC LIMIT $2`,
		associationID, int64(limit))
	return database.Collect(rows, err, func(r *database.Rows) (Ticket, error) { return scanWithMail(r, now) })
}

// newTicket is what a ticket is made of beside its account.
type newTicket struct {
	origin                                 Origin
	clientID                               string
	requestedBy, practiceID, associationID uuid.UUID
	reason                                 string
}

func nullable(id uuid.UUID) *uuid.UUID {
	if id == uuid.Nil {
		return nil
	}
	return &id
}

func (s *Service) insertTicket(ctx context.Context, id uuid.UUID, r *realm.Realm, a accountFacts, token secret.Token, n newTicket, until time.Time) error {
	_, err := s.db.Exec(ctx, `
		INSERT INTO recovery_tickets (id, realm, account_id, token_hash, origin, email, credential_version,
			client_id, requested_by, practice_id, association_id, reason, created_at, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`,
		id, r.Name, a.id, token.Hash(), string(n.origin), a.email, a.credentialVersion,
		n.clientID, nullable(n.requestedBy), nullable(n.practiceID), nullable(n.associationID), n.reason,
		s.db.Now(ctx), until)
	return err
}

type accountFacts struct {
	id                uuid.UUID
	email             string
	credentialVersion int64
}

// VoidAll ends an account's open links, in the caller's transaction, which has
// locked the account. Letters that still wait are not sent.
func (s *Service) VoidAll(ctx context.Context, accountID uuid.UUID, reason string) error {
	now := s.db.Now(ctx)
	const open = `account_id = $1 AND used_at IS NULL AND voided_at IS NULL AND expires_at > $2`
	rows, err := s.db.Query(ctx, `SELECT id FROM recovery_tickets WHERE `+open, accountID, now)
	ids, err := database.Collect(rows, err, func(r *database.Rows) (id uuid.UUID, err error) {
		err = r.Scan(&id)
		return id, err
	})
	if err != nil || len(ids) == 0 {
		return err
	}
	if _, err := s.db.Exec(ctx, `UPDATE recovery_tickets SET voided_at = $2, void_reason = $3 WHERE `+open,
		accountID, now, reason); err != nil {
		return err
	}
	for _, id := range ids {
		if err := s.outbox.CancelTicket(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// void ends one link; ErrTicket when it is over already.
func (s *Service) void(ctx context.Context, id uuid.UUID, reason string) error {
	rows, err := s.db.Exec(ctx, `
		UPDATE recovery_tickets SET voided_at = $2, void_reason = $3
		WHERE id = $1 AND used_at IS NULL AND voided_at IS NULL AND expires_at > $2`, id, s.db.Now(ctx), reason)
	if err := database.ExactlyOne(rows, err, ErrTicket); err != nil {
		return err
	}
	return s.outbox.CancelTicket(ctx, id)
}

// lastLive tells when the newest working link of an account was made, or
// returns the zero time.
func (s *Service) lastLive(ctx context.Context, a accountFacts) (time.Time, error) {
	var at time.Time
	err := s.db.QueryRow(ctx, `
		SELECT created_at FROM recovery_tickets
		WHERE account_id = $1 AND used_at IS NULL AND voided_at IS NULL AND expires_at > $2
			AND credential_version = $3 AND email = $4
		ORDER BY created_at DESC LIMIT 1`, a.id, s.db.Now(ctx), a.credentialVersion, a.email).Scan(&at)
	if errors.Is(err, database.ErrNoRows) {
		return time.Time{}, nil
	}
	return at, err
}

func (s *Service) madeSince(ctx context.Context, accountID uuid.UUID, origin Origin, since time.Time) (n int64, err error) {
	err = s.db.QueryRow(ctx, `
		SELECT COUNT(*) FROM recovery_tickets WHERE account_id = $1 AND created_at > $2 AND origin = $3`,
		accountID, since, string(origin)).Scan(&n)
	return n, err
}

func (s *Service) madeInRealmSince(ctx context.Context, realmName string, since time.Time) (n int64, err error) {
	err = s.db.QueryRow(ctx, `
		SELECT COUNT(*) FROM recovery_tickets WHERE realm = $1 AND created_at > $2 AND origin = 'self_service'`,
		realmName, since).Scan(&n)
	return n, err
}

// lives is what keeps a ticket from being over: $1 realm, $2 now.
const lives = `t.realm = $1 AND t.used_at IS NULL AND t.voided_at IS NULL AND t.expires_at > $2
	AND a.realm = t.realm AND a.state = 'active' AND a.frozen_at IS NULL AND a.login_email = t.email
	AND a.credential_version = t.credential_version`

// works is what makes a ticket count. Too many wrong answers stop a link whose
// question could be asked, and no other.
const works = lives + `
	AND (a.recovery_locked_until IS NULL OR a.recovery_locked_until <= $2 OR w.approved_at IS NOT NULL)`

// link is a working link.
type link struct {
	ticket Ticket
	locale string // of the account
}

func (s *Service) byToken(ctx context.Context, r *realm.Realm, token secret.Token) (link, error) {
	var l link
	err := s.db.QueryRow(ctx, `
		SELECT `+ticketColumns+`, a.locale`+fromTickets+`JOIN accounts a ON a.id = t.account_id
		WHERE t.token_hash = $3 AND `+works, r.Name, s.db.Now(ctx), token.Hash()).
		Scan(append(l.ticket.targets(), &l.locale)...)
	if errors.Is(err, database.ErrNoRows) {
		return link{}, ErrTicket
	}
	return l, err
}

// waits reports whether a link is good for nothing but a waiver: the practice
// sent it while too many wrong answers had locked recovery.
func (s *Service) waits(ctx context.Context, r *realm.Realm, token secret.Token) (waits bool, err error) {
	err = s.db.QueryRow(ctx, `
		SELECT EXISTS (SELECT 1`+fromTickets+`JOIN accounts a ON a.id = t.account_id
			WHERE t.token_hash = $3 AND t.origin = 'staff' AND a.recovery_locked_until > $2 AND w.approved_at IS NULL AND `+lives+`)`,
		r.Name, s.db.Now(ctx), token.Hash()).Scan(&waits)
	return waits, err
}

// walk is a browser's way through a working link.
type walk struct {
	link
	flow     secret.Token
	answered bool // or there is no question to answer
}

// walk proves the way so far again, from the database alone.
func (s *Service) walk(ctx context.Context, r *realm.Realm, flow secret.Token) (walk, error) {
	w := walk{flow: flow}
	var answered *time.Time
	err := s.db.QueryRow(ctx, `
		SELECT `+ticketColumns+`, a.locale, f.answered_at`+fromTickets+`
		JOIN recovery_flows f ON f.ticket_id = t.id JOIN accounts a ON a.id = t.account_id
		WHERE f.flow_hash = $3 AND f.expires_at > $2 AND `+works, r.Name, s.db.Now(ctx), flow.Hash()).
		Scan(append(w.ticket.targets(), &w.locale, &answered)...)
	if errors.Is(err, database.ErrNoRows) {
		return walk{}, ErrTicket
	}
	w.answered = answered != nil || w.ticket.Waived()
	return w, err
}

// walked finds the walk that has just spent its ticket, for the last page.
func (s *Service) walked(ctx context.Context, r *realm.Realm, flow secret.Token) (link, error) {
	var l link
	err := s.db.QueryRow(ctx, `
		SELECT `+ticketColumns+`, a.locale`+fromTickets+`
		JOIN recovery_flows f ON f.ticket_id = t.id JOIN accounts a ON a.id = t.account_id
		WHERE f.flow_hash = $3 AND f.expires_at > $2 AND t.realm = $1 AND t.used_at IS NOT NULL
			AND (f.answered_at IS NOT NULL OR w.approved_at IS NOT NULL)`,
		r.Name, s.db.Now(ctx), flow.Hash()).Scan(append(l.ticket.targets(), &l.locale)...)
	if errors.Is(err, database.ErrNoRows) {
		return link{}, ErrTicket
	}
	return l, err
}

// spend uses a ticket up. The WHERE clause is the lock, and the last proof of
// everything: of racing requests one changes the row, the others get
// ErrTicket.
func (s *Service) spend(ctx context.Context, w walk, a accountFacts) error {
	rows, err := s.db.Exec(ctx, `
		UPDATE recovery_tickets SET used_at = $2
		WHERE id = $1 AND used_at IS NULL AND voided_at IS NULL AND expires_at > $2
			AND account_id = $3 AND credential_version = $4 AND email = $5
			AND EXISTS (SELECT 1 FROM recovery_flows f WHERE f.flow_hash = $6
				AND f.ticket_id = recovery_tickets.id AND f.expires_at > $2 AND (f.answered_at IS NOT NULL
				OR EXISTS (SELECT 1 FROM answer_waivers w WHERE w.ticket_id = recovery_tickets.id AND w.approved_at IS NOT NULL)))`,
		w.ticket.ID, s.db.Now(ctx), a.id, a.credentialVersion, a.email, w.flow.Hash())
	return database.ExactlyOne(rows, err, ErrTicket)
}

// keepTickets is how long a ticket stays after it has expired; staff look at
// what became of it. keepRequests and attempts outlive the day they count for.
const (
	keepTickets  = 90 * 24 * time.Hour
	keepRequests = 25 * time.Hour
)

// CleanUp deletes what is over, 1,000 rows at a time with a pause.
func (s *Service) CleanUp(ctx context.Context) error {
	now := s.db.Now(ctx)
	for _, d := range []struct {
		table, key, column string
		before             time.Time
	}{
		{"recovery_flows", "flow_hash", "expires_at", now},
		{"recovery_requests", "id", "created_at", now.Add(-keepRequests)},
		{"recovery_attempts", "id", "attempted_at", now.Add(-keepRequests)},
		{"recovery_tickets", "id", "expires_at", now.Add(-keepTickets)},
	} {
		query := `DELETE FROM ` + d.table + ` WHERE ` + d.key + ` IN (SELECT ` + d.key + ` FROM ` + d.table +
			` WHERE ` + d.column + ` <= $1 ORDER BY ` + d.column + ` LIMIT 1000)`
		if err := s.db.InSteps(ctx, query, d.before); err != nil {
			return fmt.Errorf("clean up %s: %w", d.table, err)
		}
	}
	return nil
}
