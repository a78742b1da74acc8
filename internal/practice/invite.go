package practice

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/database"
)

// Typed is what staff have entered about somebody whose account they cannot
// know. It is shown instead of the account until its owner has signed in: an
// address must not reveal who reads its mail.
type Typed struct{ Email, Name, Locale string }

// hidden is the condition under which a tie shows only what was typed: the
// account's owner has not signed in since, or staff took it back before that.
const hidden = `(s.invited_email <> '' AND (NOT s.portal_access OR g.last_signed_in_at IS NULL OR g.last_signed_in_at < s.attached_at))`

// Invite ties a patient to an account because staff say so, not an import. by
// is the member of staff. existing is what they typed when the account was not
// made for this association, else nil: staff who could tie any account to a
// patient of theirs must not gain power over it, so Tie.AttachedAt remembers
// it, unless the practice knows the guardian already from another patient.
// ErrExists when the two are tied already; only what Withdraw took back is
// given again. ErrAccount as UpsertAssociation.
func (s *Store) Invite(ctx context.Context, by uuid.UUID, a Association, existing *Typed) (uuid.UUID, error) {
	if err := check(date("start", a.StartsOn), date("end", a.EndsOn)); err != nil {
		return uuid.Nil, err
	}
	id := database.NewID()
	err := s.db.InTx(ctx, func(ctx context.Context) error {
		if err := s.inRealm(ctx, a.AccountID, s.realms.Patient); err != nil {
			return err
		}
		now := s.db.Now(ctx)
		args := []any{id, a.PatientID, a.AccountID, a.Relationship, a.Authority, true, a.StartsOn, a.EndsOn, by, now, nil, "", "", ""}
		if existing != nil {
			known, typed, err := s.knows(ctx, a, *existing)
			if err != nil {
				return err
			}
			if !known {
				args = append(args[:10], now, typed.Email, typed.Name, typed.Locale)
			}
		}
		err := s.db.QueryRow(ctx, `
			INSERT INTO associations (id, patient_id, account_id, relationship, authority, portal_access, starts_on, ends_on,
				created_at, invited_by, invited_at, attached_at, invited_email, invited_name, invited_locale)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $10, $9, $10, $11, $12, $13, $14)
			ON CONFLICT (patient_id, account_id) DO UPDATE SET relationship = excluded.relationship,
				authority = excluded.authority, portal_access = excluded.portal_access, starts_on = excluded.starts_on,
				ends_on = excluded.ends_on, invited_by = excluded.invited_by, invited_at = excluded.invited_at,
				attached_at = excluded.attached_at, invited_email = excluded.invited_email,
				invited_name = excluded.invited_name, invited_locale = excluded.invited_locale
			WHERE associations.invited_at IS NOT NULL AND NOT associations.portal_access
			RETURNING id`, args...).Scan(&id)
		if errors.Is(err, database.ErrNoRows) {
			return ErrExists
		}
		if err != nil {
			return fmt.Errorf("write association: %w", err)
		}
		return s.index(ctx, a.PatientID)
	})
	return id, err
}

// knows tells whether the patient's practice has the account as a guardian of
// somebody else, by an association that says more than an address. What was
// typed first stays: an account that was made for the address keeps its name
// too, and nobody shall tell the two apart.
func (s *Store) knows(ctx context.Context, a Association, typed Typed) (known bool, first Typed, err error) {
	err = s.db.QueryRow(ctx, `
		SELECT EXISTS (SELECT 1 FROM associations s JOIN patients p ON p.id = s.patient_id
			WHERE s.account_id = $1 AND s.patient_id <> $2 AND s.portal_access AND s.ends_on = '' AND s.attached_at IS NULL
				AND p.practice_id = (SELECT practice_id FROM patients WHERE id = $2))`, a.AccountID, a.PatientID).Scan(&known)
	if err != nil {
		return false, typed, fmt.Errorf("find other associations: %w", err)
	}
	first = Typed{Email: typed.Email}
	err = s.db.QueryRow(ctx, `
		SELECT s.invited_name, s.invited_locale FROM associations s JOIN patients p ON p.id = s.patient_id
		WHERE s.account_id = $1 AND s.patient_id <> $2 AND s.invited_email = $3
			AND p.practice_id = (SELECT practice_id FROM patients WHERE id = $2)
		ORDER BY s.invited_at, s.id LIMIT 1`, a.AccountID, a.PatientID, typed.Email).Scan(&first.Name, &first.Locale)
	if errors.Is(err, database.ErrNoRows) {
		return known, typed, nil
	}
	if err != nil {
		return false, typed, fmt.Errorf("find what was typed before: %w", err)
	}
	return known, first, nil
}

// Withdraw takes an association back that staff have made: it gives no portal
// access any more. ErrNotFound when an import made it, or there is nothing to
// take back.
func (s *Store) Withdraw(ctx context.Context, association uuid.UUID) error {
	rows, err := s.db.Exec(ctx, `
		UPDATE associations SET portal_access = $2 WHERE id = $1 AND invited_at IS NOT NULL AND portal_access`, association, false)
	if err := database.ExactlyOne(rows, err, ErrNotFound); err != nil {
		return fmt.Errorf("withdraw association: %w", err)
	}
	return nil
}

// Elsewhere is an association that an account has in another practice.
type Elsewhere struct{ AssociationID, PracticeID uuid.UUID }

// Lapse takes back the associations of other practices with an account whose
// owner has not signed in since: they were given to an address, and the address
// is another one's now. practice is the one that has changed it, uuid.Nil when
// the owner has. It records e in the name of each that loses one, and joins the
// caller's transaction.
func (s *Store) Lapse(ctx context.Context, account, practice uuid.UUID, e audit.Event) error {
	list, err := s.elsewhere(ctx, `s.account_id = $1 AND p.practice_id <> $2 AND s.portal_access AND s.attached_at IS NOT NULL
		AND (g.last_signed_in_at IS NULL OR g.last_signed_in_at < s.attached_at)`, account, practice)
	if err != nil {
		return err
	}
	said := e.Details
	for _, gone := range list {
		if err := s.Withdraw(ctx, gone.AssociationID); err != nil {
			return err
		}
		e.PracticeID, e.Details = gone.PracticeID.String(), map[string]any{"association": gone.AssociationID.String()}
		maps.Copy(e.Details, said)
		if err := s.audit.Record(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// Others lists the associations of other practices that give the account
// portal access and have not ended. today is a date as in Query.
func (s *Store) Others(ctx context.Context, account, practice uuid.UUID, today string) ([]Elsewhere, error) {
	return s.elsewhere(ctx, `s.account_id = $1 AND p.practice_id <> $2 AND s.portal_access AND (s.ends_on = '' OR s.ends_on >= $3)`,
		account, practice, today)
}

func (s *Store) elsewhere(ctx context.Context, where string, args ...any) ([]Elsewhere, error) {
	rows, err := s.db.Query(ctx, `
		SELECT s.id, p.practice_id FROM associations s JOIN patients p ON p.id = s.patient_id JOIN accounts g ON g.id = s.account_id
		WHERE `+where+` ORDER BY s.id`, args...)
	list, err := database.Collect(rows, err, func(r *database.Rows) (e Elsewhere, err error) {
		err = r.Scan(&e.AssociationID, &e.PracticeID)
		return e, err
	})
	if err != nil {
		return nil, fmt.Errorf("find associations elsewhere: %w", err)
	}
	return list, nil
}
