package practice

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/database"
)

// Role is what a member of staff is in one practice.
type Role string

// The roles. A person may have several, also in several practices.
const (
	Administrator Role = "administrator"
	FrontDesk     Role = "front_desk"
	Viewer        Role = "viewer"
	Provider      Role = "provider"
)

// Perms is what somebody may do in one practice. The zero value is nothing.
type Perms struct {
	Read        bool // search, look at patients, associations and links
	ChangeEmail bool // change a guardian's login email
	Reset       bool // send and cancel reset links
	Invite      bool // invite guardians, again too, and take an invitation back
	Unfreeze    bool // let a guardian back in whose account was frozen
	Waive       bool // waive the security question, with a second person; remove second factors
	ManageStaff bool // invite staff and say what their roles are
}

// rolePerms is the one place that says what a role allows. A role that is not
// listed allows nothing.
var rolePerms = map[Role]Perms{
	Administrator: {Read: true, ChangeEmail: true, Reset: true, Invite: true, Unfreeze: true, Waive: true, ManageStaff: true},
	FrontDesk:     {Read: true, ChangeEmail: true, Reset: true, Invite: true, Unfreeze: true},
	Viewer:        {Read: true},
	Provider:      {Read: true},
}

// Known reports whether there is such a role.
func (r Role) Known() bool {
	_, ok := rolePerms[r]
	return ok
}

// Perms is what the role allows.
func (r Role) Perms() Perms { return rolePerms[r] }

// Or is what either allows.
func (p Perms) Or(q Perms) Perms {
	return Perms{p.Read || q.Read, p.ChangeEmail || q.ChangeEmail, p.Reset || q.Reset, p.Invite || q.Invite,
		p.Unfreeze || q.Unfreeze, p.Waive || q.Waive, p.ManageStaff || q.ManageStaff}
}

// readers are the roles that may look, as an SQL list.
var readers = rolesThat(func(p Perms) bool { return p.Read })

// Membership is somebody's place in one practice.
type Membership struct {
	Practice Practice
	Roles    []Role
}

// Perms is what the roles of the membership allow together.
func (m Membership) Perms() Perms {
	var p Perms
	for _, role := range m.Roles {
		p = p.Or(role.Perms())
	}
	return p
}

// Memberships lists the practices in which an active account of the practice
// realm has a role, by name. A frozen account has none: whoever used it last may
// have been somebody else.
func (s *Store) Memberships(ctx context.Context, staff uuid.UUID) ([]Membership, error) {
	type row struct {
		Practice
		role Role
	}
	rows, err := s.db.Query(ctx, `
		SELECT pr.id, pr.name, pr.support_phone, r.role
		FROM staff_roles r
		JOIN accounts me ON me.id = r.account_id AND me.realm = $2 AND me.state = 'active' AND me.frozen_at IS NULL
		JOIN practices pr ON pr.id = r.practice_id
		WHERE r.account_id = $1
		ORDER BY pr.name, pr.id, r.role`, staff, s.realms.Practice)
	all, err := database.Collect(rows, err, func(rows *database.Rows) (r row, err error) {
		err = rows.Scan(&r.ID, &r.Name, &r.SupportPhone, (*string)(&r.role))
		return r, err
	})
	if err != nil {
		return nil, fmt.Errorf("read memberships: %w", err)
	}
	var out []Membership
	for _, r := range all {
		if n := len(out); n == 0 || out[n-1].Practice.ID != r.ID {
			out = append(out, Membership{Practice: r.Practice})
		}
		last := &out[len(out)-1]
		last.Roles = append(last.Roles, r.role)
	}
	return out, nil
}

// Permissions is what an active account of the practice realm may do, by
// practice. A practice that is not in the map allows nothing.
func (s *Store) Permissions(ctx context.Context, staff uuid.UUID) (map[uuid.UUID]Perms, error) {
	memberships, err := s.Memberships(ctx, staff)
	if err != nil {
		return nil, err
	}
	perms := make(map[uuid.UUID]Perms, len(memberships))
	for _, m := range memberships {
		perms[m.Practice.ID] = m.Perms()
	}
	return perms, nil
}

// LinkPerson records that a member of staff and an account of the patient
// realm are the same person, so that nobody helps themselves to their own
// account. It is for imports that know; an equal login email counts as the
// same person without it.
func (s *Store) LinkPerson(ctx context.Context, staff, account uuid.UUID) error {
	return s.db.InTx(ctx, func(ctx context.Context) error {
		if err := s.inRealm(ctx, staff, s.realms.Practice); err != nil {
			return err
		}
		if err := s.inRealm(ctx, account, s.realms.Patient); err != nil {
			return err
		}
		_, err := s.db.Exec(ctx, `
			INSERT INTO staff_persons (staff_id, account_id) VALUES ($1, $2)
			ON CONFLICT (staff_id, account_id) DO NOTHING`, staff, account)
		if err != nil {
			return fmt.Errorf("link person: %w", err)
		}
		return nil
	})
}

// Person is an active account of the practice realm.
type Person struct{ Name, Email string }

// Person reads who a member of staff is, or returns ErrNotFound.
func (s *Store) Person(ctx context.Context, staff uuid.UUID) (Person, error) {
	var p Person
	err := s.db.QueryRow(ctx, `
		SELECT CASE WHEN name <> '' THEN name ELSE trim(given_name || ' ' || family_name) END, login_email
		FROM accounts WHERE id = $1 AND realm = $2 AND state = 'active'`, staff, s.realms.Practice).Scan(&p.Name, &p.Email)
	if errors.Is(err, database.ErrNoRows) {
		return Person{}, ErrNotFound
	}
	if err != nil {
		return Person{}, fmt.Errorf("read person: %w", err)
	}
	return p, nil
}
