package mail

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/database"
)

// errLostLease says that another worker has the letter now, or that it was
// called off meanwhile.
var errLostLease = errors.New("the lease of the letter is lost")

// letterRow is a letter as it is stored. attempt fences: what it did not claim
// last, a worker cannot record.
type letterRow struct {
	id                  uuid.UUID
	realm               string
	kind                Kind
	recipient, locale   string
	sealed              []byte
	accountID, ticketID *uuid.UUID
	messageID           string
	attempt             int64
	notAfter            time.Time
}

func (o *Outbox) insert(ctx context.Context, r letterRow, now time.Time) error {
	_, err := o.DB.Exec(ctx, `
		INSERT INTO mail_outbox (id, realm, kind, recipient, locale, sealed, account_id, ticket_id,
			message_id, state, next_attempt_at, not_after, created_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'queued', $10, $11, $10)`,
		r.id, r.realm, string(r.kind), r.recipient, r.locale, r.sealed, r.accountID, r.ticketID,
		r.messageID, now, r.notAfter)
	return err
}

const due = `state = 'queued' AND next_attempt_at <= $1 AND not_after > $1
	AND (lease_until IS NULL OR lease_until <= $1)`

// claim takes the next letter that is due, for the length of a lease, or
// returns ErrNoRows.
func (o *Outbox) claim(ctx context.Context) (letterRow, error) {
	now := o.DB.Now(ctx)
	// Looking first keeps an idle worker away from SQLite's single writer.
	var one int64
	if err := o.DB.QueryRow(ctx, `SELECT 1 FROM mail_outbox WHERE `+due+` LIMIT 1`, now).Scan(&one); err != nil {
		return letterRow{}, err
	}
	var r letterRow
	var kind string
	err := o.DB.QueryRow(ctx, `
		UPDATE mail_outbox SET attempts = attempts + 1, lease_until = $2
		WHERE id = (SELECT id FROM mail_outbox WHERE `+due+` ORDER BY next_attempt_at LIMIT 1`+o.DB.SkipLocked()+`)
		RETURNING id, realm, kind, recipient, locale, sealed, account_id, ticket_id, message_id, attempts, not_after`,
		now, now.Add(leaseFor)).
		Scan(&r.id, &r.realm, &kind, &r.recipient, &r.locale, &r.sealed, &r.accountID, &r.ticketID,
			&r.messageID, &r.attempt, &r.notAfter)
	r.kind = Kind(kind)
	return r, err
}

// renew extends the lease of a letter that is being sent.
func (o *Outbox) renew(ctx context.Context, r letterRow) error {
	rows, err := o.DB.Exec(ctx, `
		UPDATE mail_outbox SET lease_until = $3 WHERE id = $1 AND attempts = $2 AND state = 'queued'`,
		r.id, r.attempt, o.DB.Now(ctx).Add(leaseFor))
	return database.ExactlyOne(rows, err, errLostLease)
}

// finish records the end of a letter and erases what it said.
func (o *Outbox) finish(ctx context.Context, r letterRow, state State, why string) error {
	now := o.DB.Now(ctx)
	var sentAt *time.Time
	if state == Sent {
		sentAt = &now
	}
	rows, err := o.DB.Exec(ctx, `
		UPDATE mail_outbox SET state = $3, sealed = $4, lease_until = NULL, last_error = $5,
			sent_at = $6, finished_at = $7
		WHERE id = $1 AND attempts = $2 AND state = 'queued'`,
		r.id, r.attempt, string(state), []byte{}, why, sentAt, now)
	return database.ExactlyOne(rows, err, errLostLease)
}

// postpone gives a letter back for a later attempt.
func (o *Outbox) postpone(ctx context.Context, r letterRow, wait time.Duration, why string) error {
	rows, err := o.DB.Exec(ctx, `
		UPDATE mail_outbox SET lease_until = NULL, next_attempt_at = $3, last_error = $4
		WHERE id = $1 AND attempts = $2 AND state = 'queued'`,
		r.id, r.attempt, o.DB.Now(ctx).Add(wait), why)
	return database.ExactlyOne(rows, err, errLostLease)
}

// overdue lists letters that were not delivered in time and that nobody is
// sending at this moment.
func (o *Outbox) overdue(ctx context.Context) ([]letterRow, error) {
	rows, err := o.DB.Query(ctx, `
		SELECT id, realm, kind, account_id, ticket_id, attempts FROM mail_outbox
		WHERE state = 'queued' AND not_after <= $1 AND (lease_until IS NULL OR lease_until <= $1)
		LIMIT 100`, o.DB.Now(ctx))
	return database.Collect(rows, err, func(rows *database.Rows) (letterRow, error) {
		var r letterRow
		var kind string
		err := rows.Scan(&r.id, &r.realm, &kind, &r.accountID, &r.ticketID, &r.attempt)
		r.kind = Kind(kind)
		return r, err
	})
}

func (o *Outbox) cancel(ctx context.Context, ticketID uuid.UUID) (int64, error) {
	return o.DB.Exec(ctx, `
		UPDATE mail_outbox SET state = 'cancelled', sealed = $2, lease_until = NULL, finished_at = $3
		WHERE ticket_id = $1 AND state = 'queued'`, ticketID, []byte{}, o.DB.Now(ctx))
}

func (o *Outbox) ofTicket(ctx context.Context, ticketID uuid.UUID) (Delivery, error) {
	var d Delivery
	var state string
	err := o.DB.QueryRow(ctx, `
		SELECT id, state, attempts, created_at, sent_at, finished_at, last_error
		FROM mail_outbox WHERE ticket_id = $1 ORDER BY id DESC LIMIT 1`, ticketID).
		Scan(&d.LetterID, &state, &d.Attempts, &d.CreatedAt, &d.SentAt, &d.FinishedAt, &d.LastError)
	d.State = State(state)
	return d, err
}

// depth counts the letters that wait, and how long the oldest has.
func (o *Outbox) depth(ctx context.Context) (letters int64, oldest time.Duration, err error) {
	var first *time.Time
	err = o.DB.QueryRow(ctx, `SELECT COUNT(*), MIN(created_at) FROM mail_outbox WHERE state = 'queued'`).
		Scan(&letters, &first)
	if err == nil && first != nil {
		oldest = max(0, o.DB.Now(ctx).Sub(*first))
	}
	return letters, oldest, err
}

// keepFor is how long staff can see what became of a letter.
const keepFor = 90 * 24 * time.Hour

// CleanUp deletes letters that were finished 90 days ago, 1,000 at a time with
// a pause.
func (o *Outbox) CleanUp(ctx context.Context) error {
	return o.DB.InSteps(ctx, `
		DELETE FROM mail_outbox WHERE id IN (
			SELECT id FROM mail_outbox WHERE finished_at <= $1 ORDER BY finished_at LIMIT 1000)`, o.DB.Now(ctx).Add(-keepFor))
}
