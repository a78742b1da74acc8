package practice

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/database"
)

// Case is one association as somebody who may help with it sees it.
type Case struct {
	Patient  Patient
	Practice Practice
	Tie      Tie
	Perms    Perms // of the person who asks, in Practice

	// Shared: the guardian also has an association in another practice that
	// has not ended, so one practice alone does not decide about the account.
	Shared bool
	// Own: the account is the asking person's own. That is so when its login
	// email is the one they sign in with as staff, or when LinkPerson said so.
	Own bool
}

// Case reads an association of a practice in which staff may look.
// ErrNotFound outside that scope. today is a date as in Query.
func (s *Store) Case(ctx context.Context, staff, association uuid.UUID, today string) (Case, error) {
	var r Record
	var tie, account *uuid.UUID
	var c Case
	targets := append(recordTargets(&r, &tie, &account, &c.Tie), &c.Shared, &c.Own)
	err := s.db.QueryRow(ctx, `
		SELECT `+recordColumns+`, `+tieColumns+`,
			EXISTS (SELECT 1 FROM associations o JOIN patients op ON op.id = o.patient_id
				WHERE o.account_id = s.account_id AND op.practice_id <> p.practice_id
					AND (o.ends_on = '' OR o.ends_on >= $5)),
			(EXISTS (SELECT 1 FROM accounts self WHERE self.id = $1 AND self.login_email = g.login_email)
				OR EXISTS (SELECT 1 FROM staff_persons sp WHERE sp.staff_id = $1 AND sp.account_id = g.id))
		FROM associations s
		JOIN patients p ON p.id = s.patient_id
		JOIN practices pr ON pr.id = p.practice_id
		JOIN accounts g ON g.id = s.account_id AND g.realm = $4
		WHERE s.id = $3 AND p.practice_id IN (`+scope+`)`,
		staff, s.realms.Practice, association, s.realms.Patient, today).Scan(targets...)
	if errors.Is(err, database.ErrNoRows) {
		return Case{}, ErrNotFound
	}
	if err != nil {
		return Case{}, fmt.Errorf("read association: %w", err)
	}
	c.Patient, c.Practice = r.Patient, r.Practice
	c.Practice.ID = r.PracticeID
	c.Tie.ID, c.Tie.PatientID, c.Tie.AccountID, c.Tie.Guardian.AccountID = *tie, r.ID, *account, *account
	perms, err := s.Permissions(ctx, staff)
	if err != nil {
		return Case{}, err
	}
	c.Perms = perms[c.Practice.ID]
	if !c.Perms.Read {
		return Case{}, ErrNotFound // the role was taken away between the two reads
	}
	return c, nil
}
