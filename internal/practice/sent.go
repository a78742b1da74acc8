package practice

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/database"
)

// day is how long a sent invitation counts.
const day = 24 * time.Hour

// CountInvitation notes, in the caller's transaction, that a practice has
// invited somebody. Of any number at once no more pass than limit in 24 hours;
// wait says when the next one may. Call it last: it holds the practice.
func (s *Store) CountInvitation(ctx context.Context, practice, account uuid.UUID, limit int) (ok bool, wait time.Duration, err error) {
	err = s.db.InTx(ctx, func(ctx context.Context) error {
		if err := s.lockPractice(ctx, practice); err != nil {
			return err
		}
		now := s.db.Now(ctx)
		// The one that has to be a day old before another one may follow.
		var held time.Time
		err := s.db.QueryRow(ctx, `
			SELECT sent_at FROM practice_invitations WHERE practice_id = $1 AND sent_at > $2
			ORDER BY sent_at DESC LIMIT 1 OFFSET `+fmt.Sprint(max(limit, 1)-1), practice, now.Add(-day)).Scan(&held)
		if err == nil {
			wait = held.Add(day).Sub(now)
			return nil
		}
		if !errors.Is(err, database.ErrNoRows) {
			return fmt.Errorf("count invitations: %w", err)
		}
		ok = true
		_, err = s.db.Exec(ctx, `INSERT INTO practice_invitations (id, practice_id, account_id, sent_at) VALUES ($1, $2, $3, $4)`,
			database.NewID(), practice, account, now)
		if err != nil {
			return fmt.Errorf("note invitation: %w", err)
		}
		return nil
	})
	return ok, wait, err
}

// Invited tells when a practice has last invited somebody (the zero time:
// not lately), and how often in 24 hours.
func (s *Store) Invited(ctx context.Context, practice, account uuid.UUID) (last time.Time, n int, err error) {
	now := s.db.Now(ctx)
	rows, err := s.db.Query(ctx, `SELECT sent_at FROM practice_invitations WHERE account_id = $1 AND practice_id = $2 ORDER BY sent_at`,
		account, practice)
	sent, err := database.Collect(rows, err, func(r *database.Rows) (at time.Time, err error) {
		err = r.Scan(&at)
		return at, err
	})
	if err != nil {
		return last, 0, fmt.Errorf("find invitations of the practice: %w", err)
	}
	for _, at := range sent {
		if last = at; at.After(now.Add(-day)) {
			n++
		}
	}
	return last, n, nil
}

// keepSent is how long a sent invitation is remembered: longer than any works.
const keepSent = 90 * day

// CleanUp forgets old invitations, and what was typed about people who have
// signed in since; from then on they are found by what their account says.
func (s *Store) CleanUp(ctx context.Context) error {
	err := s.db.InSteps(ctx, `
		DELETE FROM practice_invitations WHERE id IN (
			SELECT id FROM practice_invitations WHERE sent_at <= $1 ORDER BY sent_at LIMIT 1000)`, s.db.Now(ctx).Add(-keepSent))
	if err != nil {
		return fmt.Errorf("clean up invitations of practices: %w", err)
	}
	for {
		rows, err := s.db.Query(ctx, `
			SELECT s.id, s.patient_id FROM associations s JOIN accounts g ON g.id = s.account_id
			WHERE s.invited_email <> '' AND s.portal_access AND g.last_signed_in_at >= s.attached_at ORDER BY s.id LIMIT 100`)
		known, err := database.Collect(rows, err, func(r *database.Rows) (t Tie, err error) {
			err = r.Scan(&t.ID, &t.PatientID)
			return t, err
		})
		if err != nil {
			return fmt.Errorf("find guardians who have signed in: %w", err)
		}
		for _, t := range known {
			if err := s.settle(ctx, t); err != nil {
				return err
			}
		}
		if len(known) < 100 {
			return nil
		}
	}
}

func (s *Store) settle(ctx context.Context, t Tie) error {
	return s.db.InTx(ctx, func(ctx context.Context) error {
		_, err := s.db.Exec(ctx, `UPDATE associations SET invited_email = '', invited_name = '', invited_locale = ''
			WHERE id = $1 AND portal_access AND EXISTS (SELECT 1 FROM accounts g WHERE g.id = associations.account_id
				AND g.last_signed_in_at >= associations.attached_at)`, t.ID)
		if err != nil {
			return fmt.Errorf("forget what was typed: %w", err)
		}
		return s.index(ctx, t.PatientID)
	})
}
