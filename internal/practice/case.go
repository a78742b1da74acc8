package practice

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/database"
)

// Case is one association as somebody who may help with it sees it.
type Case struct {
	Patient  Patient
	Practice Practice
	Tie      Tie
	Perms    Perms // of the person who asks, in Practice

	// Shared: the guardian also has an association in another practice that
	// gives portal access, has not ended, and that they have signed in with. So
	// one practice alone does not decide about the account.
	Shared bool
	// Elsewhere: as Shared, whether or not they have signed in.
	Elsewhere bool
	// Own: the account is the asking person's own. That is so when it has or had
	// a login email that they have or had as staff, or when LinkPerson said so.
	Own bool
}

// Case reads an association of a practice in which staff may look.
// ErrNotFound outside that scope. today is a date as in Query.
func (s *Store) Case(ctx context.Context, staff, association uuid.UUID, today string) (Case, error) {
	var r Record
	var tie, account *uuid.UUID
	var c Case
	targets := append(recordTargets(&r, &tie, &account, &c.Tie), &c.Shared, &c.Elsewhere, &c.Own)
	err := s.db.QueryRow(ctx, `
		SELECT `+recordColumns+`, `+tieColumns+`,
			EXISTS (`+elsewhere+` AND (o.attached_at IS NULL OR g.last_signed_in_at >= o.attached_at)),
			EXISTS (`+elsewhere+`),
			EXISTS (SELECT 1 FROM staff_persons sp WHERE sp.staff_id = $1 AND sp.account_id = g.id)
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
	c.Tie.hide()
	perms, err := s.Permissions(ctx, staff)
	if err != nil {
		return Case{}, err
	}
	c.Perms = perms[c.Practice.ID]
	if !c.Perms.Read {
		return Case{}, ErrNotFound // the role was taken away between the two reads
	}
	if !c.Own {
		c.Own, err = s.sharesAddress(ctx, staff, *account)
	}
	return c, err
}

const elsewhere = `SELECT 1 FROM associations o JOIN patients op ON op.id = o.patient_id
	WHERE o.account_id = s.account_id AND op.practice_id <> p.practice_id AND o.portal_access
		AND (o.ends_on = '' OR o.ends_on >= $5)`

// sharesAddress tells whether a member of staff and a guardian have, or ever
// had, the same login email: a new one in My Account makes nobody a stranger to
// their own family's account.
func (s *Store) sharesAddress(ctx context.Context, staff, guardian uuid.UUID) (bool, error) {
	mine, err := s.Addresses(ctx, staff)
	if err != nil {
		return false, err
	}
	theirs, err := s.addresses(ctx, s.realms.Patient, guardian)
	return slices.ContainsFunc(theirs, func(email string) bool { return slices.Contains(mine, email) }), err
}

// Addresses lists the login emails that a member of staff has and had.
func (s *Store) Addresses(ctx context.Context, staff uuid.UUID) ([]string, error) {
	return s.addresses(ctx, s.realms.Practice, staff)
}

// addresses reads what an account signs in with, and from the trail what it did.
func (s *Store) addresses(ctx context.Context, realm string, account uuid.UUID) ([]string, error) {
	var email string
	err := s.db.QueryRow(ctx, `SELECT login_email FROM accounts WHERE id = $1 AND realm = $2`, account, realm).Scan(&email)
	if errors.Is(err, database.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read login email: %w", err)
	}
	changes, err := s.audit.History(ctx, realm, audit.Account(account), []string{"email.changed"}, audit.Place{}, 100)
	if err != nil {
		return nil, err
	}
	all := []string{email}
	for _, e := range changes {
		all = append(all, e.Text("from"), e.Text("to"))
	}
	return slices.DeleteFunc(all, func(s string) bool { return s == "" }), nil
}
