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

// addressesOf selects the login emails that an account has and ever had, from
// the numbers of two parameters: its ID and its realm.
func addressesOf(id, realm string) string {
	return `
		SELECT login_email AS email FROM accounts WHERE id = ` + id + ` AND realm = ` + realm + `
		UNION SELECT f.email FROM former_emails f JOIN accounts a ON a.id = f.account_id WHERE f.account_id = ` + id + ` AND a.realm = ` + realm
}

// sharesAddress tells whether a member of staff and a guardian have, or ever
// had, the same login email: a new one in My Account makes nobody a stranger to
// their own family's account, and neither do many.
func (s *Store) sharesAddress(ctx context.Context, staff, guardian uuid.UUID) (shares bool, err error) {
	err = s.db.QueryRow(ctx, `
		SELECT EXISTS (SELECT 1 FROM (`+addressesOf("$1", "$2")+`) AS mine JOIN (`+addressesOf("$3", "$4")+`) AS theirs ON theirs.email = mine.email)`,
		staff, s.realms.Practice, guardian, s.realms.Patient).Scan(&shares)
	if err != nil {
		return false, fmt.Errorf("compare login emails: %w", err)
	}
	return shares, nil
}

// Addresses lists the login emails that a member of staff has and ever had.
func (s *Store) Addresses(ctx context.Context, staff uuid.UUID) ([]string, error) {
	rows, err := s.db.Query(ctx, addressesOf("$1", "$2")+` ORDER BY email`, staff, s.realms.Practice)
	all, err := database.Collect(rows, err, func(r *database.Rows) (email string, err error) { return email, r.Scan(&email) })
	if err != nil {
		return nil, fmt.Errorf("read login emails: %w", err)
	}
	return all, nil
}
