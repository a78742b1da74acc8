package practice

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/database"
)

// By says through what a patient is searched for. The values are also the
// kinds of keys in the table.
type By string

const (
	ByPatient By = "patient" // the patient's own name
	ByAccount By = "account" // guardians' names and login emails, the account number
)

// Access is how far somebody's way into the portal is.
type Access string

const (
	AccessActive   Access = "active"
	AccessInvited  Access = "invited"
	AccessDisabled Access = "disabled"
	AccessFrozen   Access = "frozen"
	AccessNone     Access = "none" // no portal access given, not begun, or ended
)

// Position is a place in the list of patients: the last one already seen. The
// zero value is before the first.
type Position struct {
	SortKey string
	ID      uuid.UUID
}

// Query is one search. Q is what was typed; empty matches everybody. Access
// empty matches all; AccessActive and AccessInvited want one association of
// that kind, AccessNone a patient for whom nobody can sign in or is invited to.
type Query struct {
	By     By
	Q      string
	Access Access
	After  Position
	Limit  int    // patients at most, at least 1
	Today  string // YYYY-MM-DD where the practices are, for associations that begin or end
}

// Guardian is what is known about the account behind an association.
type Guardian struct {
	AccountID      uuid.UUID
	Name           string
	LoginEmail     string
	EmailVerified  bool
	State          string // invited, active, disabled
	FrozenAt       *time.Time
	Locale         string
	Version        int64 // of the account; changes with each change of it
	LastSignedInAt *time.Time
	EmailChangedAt *time.Time
}

// Tie is an association with the account behind it.
type Tie struct {
	Association
	Guardian   Guardian
	InvitedAt  *time.Time // staff made the association; nil: an import
	AttachedAt *time.Time // to an account that was there before
	// Hidden: Guardian says what staff have typed, as if the account had been
	// made for the invitation. Its owner has not signed in since.
	Hidden bool

	typed Typed
}

// hide puts what was typed in the place of what the account says.
func (t *Tie) hide() {
	if t.Hidden {
		t.Guardian = Guardian{AccountID: t.Guardian.AccountID, Name: t.typed.Name, LoginEmail: t.typed.Email,
			State: string(AccessInvited), Locale: t.typed.Locale, Version: 1}
	}
}

// Current tells whether the association has begun and has not ended.
func (t Tie) Current(today string) bool {
	return (t.StartsOn == "" || t.StartsOn <= today) && (t.EndsOn == "" || t.EndsOn >= today)
}

// Access is how far the guardian's way into the portal is, by this association.
func (t Tie) Access(today string) Access {
	if !t.PortalAccess || !t.Current(today) {
		return AccessNone
	}
	if t.Guardian.FrozenAt != nil && t.Guardian.State == string(AccessActive) {
		return AccessFrozen
	}
	return Access(t.Guardian.State)
}

// Record is a patient with practice and associations.
type Record struct {
	Patient
	Practice Practice
	Ties     []Tie
	Position Position
}

// scope is the beginning of every path: practices in which the active account
// $1 of the practice realm $2 has a role that may look.
var scope = `
	SELECT r.practice_id FROM staff_roles r
	JOIN accounts me ON me.id = r.account_id AND me.realm = $2 AND me.state = 'active' AND me.frozen_at IS NULL
	WHERE r.account_id = $1 AND r.role IN (` + readers + `)`

// recordColumns and tieColumns are what scanRecord reads; the joined tables of
// a patient without associations are NULL.
const recordColumns = `
	p.id, p.practice_id, p.account_number, p.given_name, p.family_name, p.birth_date, p.sort_key,
	pr.name, pr.support_phone`

const tieColumns = `
	s.id, s.account_id, COALESCE(s.relationship, ''), COALESCE(s.authority, ''), COALESCE(s.portal_access, false),
	COALESCE(s.starts_on, ''), COALESCE(s.ends_on, ''),
	COALESCE(CASE WHEN g.name <> '' THEN g.name ELSE trim(g.given_name || ' ' || g.family_name) END, ''), COALESCE(g.login_email, ''),
	COALESCE(g.email_verified, false), COALESCE(g.state, ''), COALESCE(g.locale, ''), COALESCE(g.version, 0),
	g.last_signed_in_at, g.email_changed_at, g.frozen_at, s.invited_at, s.attached_at,
	COALESCE(` + hidden + `, false), COALESCE(s.invited_email, ''), COALESCE(s.invited_name, ''), COALESCE(s.invited_locale, '')`

// args collects placeholders of a query that is put together from parts.
type args []any

func (a *args) add(v any) string {
	*a = append(*a, v)
	return fmt.Sprintf("$%d", len(*a))
}

// Search lists patients of the practices in which staff may look, with their
// associations, ordered by name. more tells whether others follow the last
// one; go on with its Position.
func (s *Store) Search(ctx context.Context, staff uuid.UUID, q Query) (found []Record, more bool, err error) {
	a := args{staff, s.realms.Practice}
	where := []string{
		`p.practice_id IN (` + scope + `)`,
		`(p.sort_key, p.id) > (` + a.add(q.After.SortKey) + `, ` + a.add(q.After.ID) + `)`,
	}
	if strings.TrimSpace(q.Q) != "" {
		keys := ranges(q.Q)
		if len(keys) == 0 {
			return nil, false, nil
		}
		var either []string
		kind := a.add(string(q.By))
		for _, k := range keys {
			either = append(either, `(k.search_key >= `+a.add(k.from)+` AND k.search_key < `+a.add(k.to)+`)`)
		}
		where = append(where, `p.id IN (SELECT k.patient_id FROM patient_search_keys k
			WHERE k.practice_id IN (`+scope+`) AND k.kind = `+kind+` AND (`+strings.Join(either, " OR ")+`))`)
	}
	patientRealm := a.add(s.realms.Patient)
	if q.Access != "" {
		where = append(where, accessClause(&a, q, patientRealm))
	}
	rows, err := s.db.Query(ctx, `
		SELECT `+recordColumns+`, `+tieColumns+`
		FROM (
			SELECT p.id, p.practice_id, p.account_number, p.given_name, p.family_name, p.birth_date, p.sort_key
			FROM patients p
			WHERE `+strings.Join(where, " AND ")+`
			ORDER BY p.sort_key, p.id LIMIT `+fmt.Sprint(q.Limit+1)+`
		) p
		JOIN practices pr ON pr.id = p.practice_id
		LEFT JOIN associations s ON s.patient_id = p.id
		LEFT JOIN accounts g ON g.id = s.account_id AND g.realm = `+patientRealm+`
		ORDER BY p.sort_key, p.id, s.created_at, s.id`, a...)
	if found, err = collectRecords(rows, err); err != nil {
		return nil, false, fmt.Errorf("search patients: %w", err)
	}
	if len(found) > q.Limit {
		return found[:q.Limit], true, nil
	}
	return found, false, nil
}

// accessClause narrows a search by the state of the associations.
func accessClause(a *args, q Query, patientRealm string) string {
	today := a.add(q.Today)
	const state = `CASE WHEN ` + hidden + ` THEN 'invited' ELSE g.state END`
	clause := `EXISTS (SELECT 1 FROM associations s
		JOIN accounts g ON g.id = s.account_id AND g.realm = ` + patientRealm + `
		WHERE s.patient_id = p.id AND s.portal_access
			AND (s.starts_on = '' OR s.starts_on <= ` + today + `) AND (s.ends_on = '' OR s.ends_on >= ` + today + `)
			AND ` + state + ` IN (`
	if q.Access == AccessNone {
		return `NOT ` + clause + `'active', 'invited'))`
	}
	clause += a.add(string(q.Access)) + `)`
	if q.Access == AccessActive {
		clause += ` AND g.frozen_at IS NULL`
	}
	return clause + `)`
}

// Patient is one patient with associations. ErrNotFound outside the scope of
// staff.
func (s *Store) Patient(ctx context.Context, staff, id uuid.UUID) (Record, error) {
	rows, err := s.db.Query(ctx, `
		SELECT `+recordColumns+`, `+tieColumns+`
		FROM patients p
		JOIN practices pr ON pr.id = p.practice_id
		LEFT JOIN associations s ON s.patient_id = p.id
		LEFT JOIN accounts g ON g.id = s.account_id AND g.realm = $4
		WHERE p.id = $3 AND p.practice_id IN (`+scope+`)
		ORDER BY s.created_at, s.id`, staff, s.realms.Practice, id, s.realms.Patient)
	found, err := collectRecords(rows, err)
	if err != nil {
		return Record{}, fmt.Errorf("read patient: %w", err)
	}
	if len(found) == 0 {
		return Record{}, ErrNotFound
	}
	return found[0], nil
}

// collectRecords folds joined rows into records; the rows of a patient follow
// each other.
func collectRecords(rows *database.Rows, err error) ([]Record, error) {
	var out []Record
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var r Record
		var tie, account *uuid.UUID
		var t Tie
		if err := rows.Scan(recordTargets(&r, &tie, &account, &t)...); err != nil {
			return nil, err
		}
		r.Practice.ID, r.Position.ID = r.PracticeID, r.ID
		if n := len(out); n == 0 || out[n-1].ID != r.ID {
			out = append(out, r)
		}
		if tie != nil && account != nil {
			t.hide()
			t.ID, t.AccountID, t.Guardian.AccountID, t.PatientID = *tie, *account, *account, r.ID
			last := &out[len(out)-1]
			last.Ties = append(last.Ties, t)
		}
	}
	return out, rows.Err()
}

func recordTargets(r *Record, tie, account **uuid.UUID, t *Tie) []any {
	return []any{
		&r.ID, &r.PracticeID, &r.AccountNumber, &r.GivenName, &r.FamilyName, &r.BirthDate, &r.Position.SortKey,
		&r.Practice.Name, &r.Practice.SupportPhone,
		tie, account, &t.Relationship, &t.Authority, &t.PortalAccess, &t.StartsOn, &t.EndsOn,
		&t.Guardian.Name, &t.Guardian.LoginEmail,
		&t.Guardian.EmailVerified, &t.Guardian.State, &t.Guardian.Locale, &t.Guardian.Version,
		&t.Guardian.LastSignedInAt, &t.Guardian.EmailChangedAt, &t.Guardian.FrozenAt, &t.InvitedAt, &t.AttachedAt,
		&t.Hidden, &t.typed.Email, &t.typed.Name, &t.typed.Locale,
	}
}
