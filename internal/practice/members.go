package practice

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/database"
)

// Member is somebody's place among the staff of a practice, as a colleague
// sees it. It exists as long as they have a role there.
type Member struct {
	ID, AccountID  uuid.UUID
	Practice       Practice
	Name           string
	LoginEmail     string
	State          string // of the account: invited, active, disabled
	FrozenAt       *time.Time
	LastSignedInAt *time.Time
	Roles          []Role
	Version        int64 // grows with every change of the roles
	Perms          Perms // of the person who asks, in Practice
	// Hidden: what is said of the account is what its colleague has typed, as
	// in Tie.
	Hidden bool
	// Attached: the account was there before a colleague made its owner a member.
	Attached bool
}

// managers are the roles that may manage staff, as an SQL list.
var managers = rolesThat(func(p Perms) bool { return p.ManageStaff })

// rolesThat lists the roles that allow something, as SQL. It is made of the
// constants above, never of anything typed.
func rolesThat(allow func(Perms) bool) string {
	var quoted []string
	for role, p := range rolePerms {
		if allow(p) {
			quoted = append(quoted, "'"+string(role)+"'")
		}
	}
	slices.Sort(quoted)
	return strings.Join(quoted, ", ")
}

// stranger is the condition under which a member shows only what was typed.
const stranger = `(m.invited_email <> '' AND (a.last_signed_in_at IS NULL OR a.last_signed_in_at < m.created_at))`

const memberColumns = `
	m.id, m.account_id, m.version, pr.id, pr.name, pr.support_phone,
	CASE WHEN ` + stranger + ` THEN m.invited_name WHEN a.name <> '' THEN a.name ELSE trim(a.given_name || ' ' || a.family_name) END,
	CASE WHEN ` + stranger + ` THEN m.invited_email ELSE a.login_email END,
	CASE WHEN ` + stranger + ` THEN 'invited' ELSE a.state END,
	CASE WHEN ` + stranger + ` THEN NULL ELSE a.frozen_at END,
	CASE WHEN ` + stranger + ` THEN NULL ELSE a.last_signed_in_at END, ` + stranger + `, m.invited_email <> ''`

// Members lists the staff of the practices in which the asking person may
// manage staff, by practice and name.
func (s *Store) Members(ctx context.Context, staff uuid.UUID) ([]Member, error) {
	return s.members(ctx, staff, `pr.id IN (
		SELECT r.practice_id FROM staff_roles r
		JOIN accounts me ON me.id = r.account_id AND me.realm = $2 AND me.state = 'active' AND me.frozen_at IS NULL
		WHERE r.account_id = $1 AND r.role IN (`+managers+`))`)
}

// Member reads a member of a practice in which the asking person may look, or
// returns ErrNotFound. What may be done is in Perms.
func (s *Store) Member(ctx context.Context, staff, id uuid.UUID) (Member, error) {
	return s.oneMember(s.members(ctx, staff, `m.id = $3 AND pr.id IN (`+scope+`)`, id))
}

// MemberOf is Member, by account and practice.
func (s *Store) MemberOf(ctx context.Context, staff, account, practice uuid.UUID) (Member, error) {
	return s.oneMember(s.members(ctx, staff, `m.account_id = $3 AND m.practice_id = $4 AND pr.id IN (`+scope+`)`, account, practice))
}

func (s *Store) oneMember(found []Member, err error) (Member, error) {
	if err != nil {
		return Member{}, err
	}
	if len(found) != 1 || !found[0].Perms.Read {
		return Member{}, ErrNotFound
	}
	return found[0], nil
}

// members reads members: $1 is who asks, $2 the practice realm.
func (s *Store) members(ctx context.Context, staff uuid.UUID, where string, more ...any) ([]Member, error) {
	perms, err := s.Permissions(ctx, staff)
	if err != nil {
		return nil, err
	}
	rows, err := s.db.Query(ctx, `
		SELECT `+memberColumns+`, r.role
		FROM staff_members m
		JOIN practices pr ON pr.id = m.practice_id
		JOIN accounts a ON a.id = m.account_id AND a.realm = $2
		JOIN staff_roles r ON r.account_id = m.account_id AND r.practice_id = m.practice_id
		WHERE `+where+`
		ORDER BY pr.name, pr.id, 7, 8, m.id, r.role`, append([]any{staff, s.realms.Practice}, more...)...)
	if err != nil {
		return nil, fmt.Errorf("read staff: %w", err)
	}
	defer rows.Close()
	var out []Member
	for rows.Next() {
		var m Member
		var role Role
		if err := rows.Scan(&m.ID, &m.AccountID, &m.Version, &m.Practice.ID, &m.Practice.Name, &m.Practice.SupportPhone,
			&m.Name, &m.LoginEmail, &m.State, &m.FrozenAt, &m.LastSignedInAt, &m.Hidden, &m.Attached, (*string)(&role)); err != nil {
			return nil, fmt.Errorf("read staff: %w", err)
		}
		if n := len(out); n == 0 || out[n-1].ID != m.ID {
			m.Perms = perms[m.Practice.ID]
			out = append(out, m)
		}
		last := &out[len(out)-1]
		last.Roles = append(last.Roles, role)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read staff: %w", err)
	}
	return out, nil
}

// SetRoles makes roles the roles that an account has in a practice; none takes
// all away. It is for imports, which decide by themselves: by is "system", and
// what a colleague has given is the import's from then on.
// ErrAccount when the account is not one of the practice realm.
func (s *Store) SetRoles(ctx context.Context, staff, practice uuid.UUID, roles ...Role) error {
	return s.db.InTx(ctx, func(ctx context.Context) error {
		if err := s.setRoles(ctx, Who{Actor: "system"}, staff, practice, roles); err != nil {
			return err
		}
		_, err := s.db.Exec(ctx, `UPDATE staff_roles SET granted_by = NULL WHERE account_id = $1 AND practice_id = $2 AND granted_by IS NOT NULL`,
			staff, practice)
		if err != nil {
			return fmt.Errorf("note import of roles: %w", err)
		}
		return nil
	})
}

// GivenAt tells when a colleague gave somebody, in a practice, the role that
// allows something: the zero time when an import did, or nobody.
func (s *Store) GivenAt(ctx context.Context, staff, practice uuid.UUID, allows func(Perms) bool) (time.Time, error) {
	type given struct {
		at time.Time
		by *uuid.UUID
	}
	rows, err := s.db.Query(ctx, `
		SELECT granted_at, granted_by FROM staff_roles
		WHERE account_id = $1 AND practice_id = $2 AND role IN (`+rolesThat(allows)+`)
		ORDER BY granted_at, role`, staff, practice)
	all, err := database.Collect(rows, err, func(r *database.Rows) (g given, err error) {
		err = r.Scan(&g.at, &g.by)
		return g, err
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("read who gave roles: %w", err)
	}
	if len(all) == 0 || slices.ContainsFunc(all, func(g given) bool { return g.by == nil }) {
		return time.Time{}, nil
	}
	return all[0].at, nil
}

// GiveRoles makes an account a member of a practice's staff. existing is what
// was typed when the account was there before, else nil. ErrExists when it is a
// member already.
func (s *Store) GiveRoles(ctx context.Context, by Who, staff, practice uuid.UUID, existing *Typed, roles ...Role) error {
	return s.db.InTx(ctx, func(ctx context.Context) error {
		if err := s.lockPractice(ctx, practice); err != nil {
			return err
		}
		has, err := s.rolesOf(ctx, staff, practice)
		if err != nil {
			return err
		}
		if len(has) > 0 {
			return ErrExists
		}
		if err := s.setRoles(ctx, by, staff, practice, roles); err != nil || existing == nil {
			return err
		}
		_, err = s.db.Exec(ctx, `UPDATE staff_members SET invited_email = $3, invited_name = $4 WHERE account_id = $1 AND practice_id = $2`,
			staff, practice, existing.Email, existing.Name)
		if err != nil {
			return fmt.Errorf("keep what was typed: %w", err)
		}
		return nil
	})
}

// ChangeRoles makes roles the roles of a member; none takes all away. version
// is the one that was read: ErrVersion when the roles have changed since.
// ErrLastAdministrator when nobody active would be left who manages the staff.
func (s *Store) ChangeRoles(ctx context.Context, by Who, m Member, version int64, roles ...Role) error {
	return s.db.InTx(ctx, func(ctx context.Context) error {
		// Of two administrators who take each other's role away at the same
		// time, the second one sees what the first one did.
		if err := s.lockPractice(ctx, m.Practice.ID); err != nil {
			return err
		}
		var now int64
		err := s.db.QueryRow(ctx, `SELECT version FROM staff_members WHERE id = $1`, m.ID).Scan(&now)
		if errors.Is(err, database.ErrNoRows) || err == nil && now != version {
			return ErrVersion
		}
		if err != nil {
			return fmt.Errorf("read member: %w", err)
		}
		if !slices.ContainsFunc(roles, func(r Role) bool { return r.Perms().ManageStaff }) {
			var others int64
			err := s.db.QueryRow(ctx, `
				SELECT COUNT(*) FROM staff_roles r JOIN accounts a ON a.id = r.account_id AND a.state = 'active' AND a.frozen_at IS NULL
				WHERE r.practice_id = $1 AND r.account_id <> $2 AND r.role IN (`+managers+`)`, m.Practice.ID, m.AccountID).Scan(&others)
			if err != nil {
				return fmt.Errorf("count administrators: %w", err)
			}
			if others == 0 {
				return ErrLastAdministrator
			}
		}
		return s.setRoles(ctx, by, m.AccountID, m.Practice.ID, roles)
	})
}

// Elsewhere tells whether an account has a role in any practice but one.
func (s *Store) Elsewhere(ctx context.Context, staff, practice uuid.UUID) (elsewhere bool, err error) {
	err = s.db.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM staff_roles WHERE account_id = $1 AND practice_id <> $2)`,
		staff, practice).Scan(&elsewhere)
	if err != nil {
		return false, fmt.Errorf("read roles: %w", err)
	}
	return elsewhere, nil
}

func (s *Store) lockPractice(ctx context.Context, id uuid.UUID) error {
	rows, err := s.db.Exec(ctx, `UPDATE practices SET name = name WHERE id = $1`, id)
	if err := database.ExactlyOne(rows, err, ErrNotFound); err != nil {
		return fmt.Errorf("lock practice: %w", err)
	}
	return nil
}

func (s *Store) rolesOf(ctx context.Context, staff, practice uuid.UUID) ([]Role, error) {
	rows, err := s.db.Query(ctx, `SELECT role FROM staff_roles WHERE account_id = $1 AND practice_id = $2 ORDER BY role`, staff, practice)
	has, err := database.Collect(rows, err, func(r *database.Rows) (role Role, err error) {
		err = r.Scan((*string)(&role))
		return role, err
	})
	if err != nil {
		return nil, fmt.Errorf("read roles: %w", err)
	}
	return has, nil
}

// setRoles writes roles, the member they hang on, and the event, in the
// caller's transaction. Roles that are the same change and record nothing.
func (s *Store) setRoles(ctx context.Context, by Who, staff, practice uuid.UUID, roles []Role) error {
	if err := s.inRealm(ctx, staff, s.realms.Practice); err != nil {
		return err
	}
	for _, role := range roles {
		if !role.Known() {
			return fmt.Errorf("%w: no role %q", ErrValue, role)
		}
	}
	if err := s.lockPractice(ctx, practice); err != nil {
		return err
	}
	before, err := s.rolesOf(ctx, staff, practice)
	if err != nil {
		return err
	}
	roles = slices.Compact(slices.Sorted(slices.Values(roles)))
	if slices.Equal(before, roles) {
		return nil
	}
	now := s.db.Now(ctx)
	var b database.Batch
	for _, role := range before {
		if !slices.Contains(roles, role) {
			b.Queue(`DELETE FROM staff_roles WHERE account_id = $1 AND practice_id = $2 AND role = $3`, staff, practice, string(role))
		}
	}
	for _, role := range roles {
		b.Queue(`
			INSERT INTO staff_roles (account_id, practice_id, role, granted_at, granted_by) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (account_id, practice_id, role) DO NOTHING`, staff, practice, string(role), now, by.account())
	}
	if len(roles) == 0 {
		b.Queue(`DELETE FROM staff_members WHERE account_id = $1 AND practice_id = $2`, staff, practice)
	} else {
		b.Queue(`
			INSERT INTO staff_members (id, account_id, practice_id, created_at) VALUES ($1, $2, $3, $4)
			ON CONFLICT (account_id, practice_id) DO UPDATE SET version = staff_members.version + 1`,
			database.NewID(), staff, practice, now)
	}
	if _, err := s.db.Batch(ctx, &b); err != nil {
		return fmt.Errorf("set roles: %w", err)
	}
	e := audit.Event{Realm: s.realms.Practice, Kind: "roles.changed", Severity: audit.Warning, Actor: by.Actor,
		Target: audit.Account(staff), PracticeID: practice.String(), ClientID: by.ClientID, IP: by.IP,
		Details: map[string]any{"before": words(before), "after": words(roles)}}
	if slices.Contains(roles, Administrator) && !slices.Contains(before, Administrator) {
		e.Severity = audit.High
	}
	if by.Actor == "system" {
		e.Severity = audit.Info
	}
	return s.audit.Record(ctx, e)
}

func words(roles []Role) []string {
	out := make([]string, 0, len(roles))
	for _, r := range roles {
		out = append(out, string(r))
	}
	return out
}
