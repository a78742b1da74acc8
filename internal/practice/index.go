package practice

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/database"
)

// Reindex rewrites the keys of every patient the account stands for. Call it
// after a change of the account's name or login email, in the transaction of
// the change: otherwise staff would search for a name nobody has any more.
func (s *Store) Reindex(ctx context.Context, account uuid.UUID) error {
	return s.db.InTx(ctx, func(ctx context.Context) error {
		rows, err := s.db.Query(ctx, `SELECT patient_id FROM associations WHERE account_id = $1 ORDER BY patient_id`, account)
		patients, err := database.Collect(rows, err, func(rows *database.Rows) (id uuid.UUID, err error) {
			err = rows.Scan(&id)
			return id, err
		})
		if err != nil {
			return fmt.Errorf("find patients of account: %w", err)
		}
		for _, id := range patients {
			if err := s.index(ctx, id); err != nil {
				return err
			}
		}
		return nil
	})
}

// index rewrites the keys of one patient, in the caller's transaction.
func (s *Store) index(ctx context.Context, patient uuid.UUID) error {
	// The update locks the patient's row: of two transactions that index the
	// same patient the second reads what the first has written.
	rows, err := s.db.Exec(ctx, `UPDATE patients SET sort_key = sort_key WHERE id = $1`, patient)
	if err := database.ExactlyOne(rows, err, ErrNotFound); err != nil {
		return fmt.Errorf("lock patient: %w", err)
	}
	var p Patient
	err = s.db.QueryRow(ctx, `SELECT practice_id, account_number, given_name, family_name FROM patients WHERE id = $1`,
		patient).Scan(&p.PracticeID, &p.AccountNumber, &p.GivenName, &p.FamilyName)
	if errors.Is(err, database.ErrNoRows) {
		return ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("read patient: %w", err)
	}
	found, err := s.db.Query(ctx, `
		SELECT CASE WHEN `+hidden+` THEN '' ELSE g.given_name END, CASE WHEN `+hidden+` THEN '' ELSE g.family_name END,
			CASE WHEN `+hidden+` THEN s.invited_name ELSE g.name END, CASE WHEN `+hidden+` THEN s.invited_email ELSE g.login_email END
		FROM associations s JOIN accounts g ON g.id = s.account_id AND g.realm = $2
		WHERE s.patient_id = $1`, patient, s.realms.Patient)
	keys, err := database.Collect(found, err, func(rows *database.Rows) ([]string, error) {
		var given, family, name, email string
		if err := rows.Scan(&given, &family, &name, &email); err != nil {
			return nil, err
		}
		return append(append(nameKeys(given, family), nameKeys(name, "")...), foldExact(email)), nil
	})
	if err != nil {
		return fmt.Errorf("read guardians: %w", err)
	}
	account := numberKeys(p.AccountNumber)
	for _, k := range keys {
		account = append(account, k...)
	}

	var b database.Batch
	b.Queue(`DELETE FROM patient_search_keys WHERE patient_id = $1`, patient)
	add := func(kind string, keys []string) {
		for _, key := range distinct(keys) {
			b.Queue(`INSERT INTO patient_search_keys (practice_id, kind, search_key, patient_id) VALUES ($1, $2, $3, $4)`,
				p.PracticeID, kind, key, patient)
		}
	}
	add(string(ByPatient), nameKeys(p.GivenName, p.FamilyName))
	add(string(ByAccount), account)
	if _, err := s.db.Batch(ctx, &b); err != nil {
		return fmt.Errorf("write search keys: %w", err)
	}
	return nil
}
