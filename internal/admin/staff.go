package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/practice"
	"github.com/portico-id/portico/internal/realm"
)

type staffView struct {
	ID             uuid.UUID    `json:"id" format:"uuid" doc:"Of the person's place in this practice"`
	Practice       practiceView `json:"practice"`
	Name           string       `json:"name" example:"Ben Desk"`
	LoginEmail     string       `json:"login_email" example:"ben@oak.example.test"`
	State          string       `json:"state" enum:"invited,active,disabled"`
	Frozen         bool         `json:"frozen"`
	LastSignedInAt *time.Time   `json:"last_signed_in_at" nullable:"true"`
	Roles          []string     `json:"roles" nullable:"false" example:"[\"front_desk\"]"`
	You            bool         `json:"you" doc:"Nobody changes their own roles"`
	Version        int64        `json:"version" doc:"Of the roles; also the ETag"`

	UnfreezingRemoves []string `json:"unfreezing_removes" nullable:"false" enum:"password,security_question,second_factors" doc:"What unfreezing the account would take away; empty when it is not frozen"`
}

type staffPage struct {
	Items []staffView `json:"items" nullable:"false"`
}

type staffListOutput struct{ Body staffPage }

type staffInput struct {
	ID string `path:"id" example:"0195713e-7d52-7c3f-9d0c-7a1f6f1f2b14"`
}

type staffOutput struct {
	ETag string `header:"ETag" example:"\"3\"" doc:"Version of the roles, for If-Match"`
	Body staffView
}

func viewStaff(who caller, m practice.Member) staffView {
	v := staffView{ID: m.ID, Practice: viewPractice(m.Practice), Name: m.Name, LoginEmail: m.LoginEmail, State: m.State,
		Frozen: m.FrozenAt != nil, LastSignedInAt: m.LastSignedInAt, You: m.AccountID == who.AccountID, Version: m.Version, UnfreezingRemoves: []string{}}
	for _, r := range m.Roles {
		v.Roles = append(v.Roles, string(r))
	}
	return v
}

var listStaff = operation{id: "listStaff", method: "GET", path: "/staff", scope: realm.ScopeAdminRead, tag: "Staff",
	summary: "The staff of the practices that one manages",
	text:    "Everybody with a role, by practice and name. Needs the permission manage_staff.",
	errors:  []int{400, 422}, example: exampleStaffPage}

func (a *API) listStaff(ctx context.Context, who caller, _ *struct{}) (*staffListOutput, error) {
	if _, err := a.managed(ctx, who); err != nil {
		return nil, err
	}
	members, err := a.d.People.Members(ctx, who.AccountID)
	if err != nil {
		return nil, err
	}
	out := &staffListOutput{staffPage{Items: []staffView{}}}
	for _, m := range members {
		view, err := a.seeStaff(ctx, who, m)
		if err != nil {
			return nil, err
		}
		out.Body.Items = append(out.Body.Items, view)
	}
	e := a.event(who, "staff.listed")
	e.Details = map[string]any{"found": len(members)}
	if err := a.d.Audit.Record(ctx, e); err != nil {
		return nil, err
	}
	return out, nil
}

// managed lists the practices whose staff the caller manages.
func (a *API) managed(ctx context.Context, who caller) ([]practice.Practice, error) {
	memberships, err := a.d.People.Memberships(ctx, who.AccountID)
	if err != nil {
		return nil, err
	}
	if len(memberships) == 0 {
		return nil, newProblem("no_role", "")
	}
	var out []practice.Practice
	for _, m := range memberships {
		if m.Perms().ManageStaff {
			out = append(out, m.Practice)
		}
	}
	if len(out) == 0 {
		return nil, newProblem("permission", administratorsOnly).at("", memberships[0].Practice.ID)
	}
	return out, nil
}

const administratorsOnly = "An administrator of the practice can do it."

var getStaff = operation{id: "getStaff", method: "GET", path: "/staff/{id}", scope: realm.ScopeAdminRead, tag: "Staff",
	summary: "A member of staff",
	text:    "Needs the permission manage_staff in the member's practice.",
	errors:  []int{400, 404}, example: exampleStaff}

func (a *API) getStaff(ctx context.Context, who caller, in *staffInput) (*staffOutput, error) {
	m, err := a.openStaff(ctx, who, in.ID)
	if err != nil {
		return nil, err
	}
	if err := a.d.Audit.Record(ctx, a.eventOn(who, "staff.viewed", m)); err != nil {
		return nil, err
	}
	return a.outStaff(ctx, who, m)
}

func (a *API) outStaff(ctx context.Context, who caller, m practice.Member) (*staffOutput, error) {
	view, err := a.seeStaff(ctx, who, m)
	return &staffOutput{`"` + strconv.FormatInt(m.Version, 10) + `"`, view}, err
}

// openStaff finds a member of a practice whose staff the caller manages.
func (a *API) openStaff(ctx context.Context, who caller, id string) (practice.Member, error) {
	if err := a.someRole(ctx, who); err != nil {
		return practice.Member{}, err
	}
	member, err := identifier(id)
	if err != nil {
		return practice.Member{}, err
	}
	m, err := a.d.People.Member(ctx, who.AccountID, member)
	if err != nil {
		return practice.Member{}, err
	}
	if !m.Perms.ManageStaff {
		return practice.Member{}, newProblem("permission", administratorsOnly).on(m)
	}
	return m, nil
}

type inviteStaffInput struct {
	Key  string `header:"Idempotency-Key" example:"4f1c4b1e0b7d4c8a" doc:"Required: made anew for each intended invitation. A repetition with the same body within 24 hours gets the same answer, one with another body 422"`
	Body inviteStaffBody
}

type inviteStaffBody struct {
	PracticeID string   `json:"practice_id,omitempty" maxLength:"36" example:"0195713e-7d52-7c3f-9d0c-7a1f6f1f2b10" doc:"Needed only by somebody who manages the staff of several practices; chooses among those"`
	LoginEmail string   `json:"login_email" maxLength:"254" example:"ben@oak.example.test"`
	GivenName  string   `json:"given_name" minLength:"1" maxLength:"100" example:"Ben" doc:"An account that exists keeps its own"`
	FamilyName string   `json:"family_name" minLength:"1" maxLength:"100" example:"Desk"`
	Roles      []string `json:"roles" minItems:"1" maxItems:"4" nullable:"false" enum:"administrator,front_desk,viewer,provider"`
}

type inviteStaffOutput struct {
	Status   int
	Location string `header:"Location" doc:"The member of staff"`
	Replayed string `header:"Idempotency-Replayed" example:"true" doc:"true when this answer was given before and nothing was done now"`
	Body     staffInvitedView
}

// staffInvitedView says as little about the account as invitedView does.
type staffInvitedView struct {
	ID         uuid.UUID    `json:"id" format:"uuid"`
	Practice   practiceView `json:"practice"`
	LoginEmail string       `json:"login_email" example:"ben@oak.example.test"`
	Roles      []string     `json:"roles" nullable:"false"`
}

var inviteStaff = operation{id: "inviteStaff", method: "POST", path: "/staff", scope: realm.ScopeAdminManage, tag: "Staff",
	summary: "Invite a member of staff",
	text: "Gives the account with the login email roles in the practice, and in no other one. Somebody without an account is mailed an invitation; somebody with one is told by mail and signs in as before. " +
		"The answer is the same, and so is what is said of the member until they have signed in: what was typed here. " +
		"Who gets a role that allows waiving does not waive in the first days. Needs the permission manage_staff and a recent sign-in.",
	errors: []int{400, 404, 409, 413, 415, 422}, status: 201, example: exampleStaffInvited}

func (a *API) inviteStaff(ctx context.Context, who caller, in *inviteStaffInput) (*inviteStaffOutput, error) {
	if err := a.freshEnough(ctx, who); err != nil {
		return nil, err
	}
	claim, err := newClaim(who, inviteStaff.id, in.Key, "", in.Body)
	if err != nil {
		return nil, err
	}
	n, err := a.newPerson(a.d.Practice, in.Body.LoginEmail, in.Body.GivenName, in.Body.FamilyName, "")
	if err != nil {
		return nil, err
	}
	roles, err := rolesOf(in.Body.Roles)
	if err != nil {
		return nil, err
	}
	var site practice.Practice
	done, err := once(ctx, a, claim, 201, func(ctx context.Context) (err error) {
		site, err = a.chosen(ctx, who, in.Body.PracticeID)
		return err
	}, func(ctx context.Context) (staffInvitedView, error) { return a.addStaff(ctx, who, site, n, roles) })
	if err != nil {
		return nil, err
	}
	return &inviteStaffOutput{Status: done.status, Replayed: done.replayed, Location: Path + "/staff/" + done.body.ID.String(), Body: done.body}, nil
}

// chosen is the practice that somebody is invited to. What the request names
// only chooses among the practices that the database says the caller manages.
func (a *API) chosen(ctx context.Context, who caller, named string) (practice.Practice, error) {
	if named != "" {
		if err := a.someRole(ctx, who); err != nil {
			return practice.Practice{}, err
		}
		id, err := identifier(named)
		if err != nil {
			return practice.Practice{}, err
		}
		memberships, err := a.d.People.Memberships(ctx, who.AccountID)
		if err != nil {
			return practice.Practice{}, err
		}
		for _, m := range memberships {
			if m.Practice.ID != id {
				continue
			}
			if !m.Perms().ManageStaff {
				return practice.Practice{}, newProblem("permission", administratorsOnly).at("", id)
			}
			return m.Practice, nil
		}
		return practice.Practice{}, fmt.Errorf("practice: %w", practice.ErrNotFound)
	}
	managed, err := a.managed(ctx, who)
	if err != nil {
		return practice.Practice{}, err
	}
	if len(managed) > 1 {
		return practice.Practice{}, invalid("body.practice_id", "Say to which of your practices")
	}
	return managed[0], nil
}

func rolesOf(names []string) ([]practice.Role, error) {
	var roles []practice.Role
	for _, name := range names {
		role := practice.Role(name)
		if !role.Known() || slices.Contains(roles, role) {
			return nil, invalid("body.roles", "Each role is one of the list, and given once")
		}
		roles = append(roles, role)
	}
	if len(roles) == 0 {
		return nil, invalid("body.roles", "Give at least one role")
	}
	return roles, nil
}

func (a *API) addStaff(ctx context.Context, who caller, site practice.Practice, n account.New, roles []practice.Role) (staffInvitedView, error) {
	person, existed, err := a.findOrCreate(ctx, a.d.Practice, n)
	if err != nil {
		return staffInvitedView{}, err
	}
	target := audit.Account(person.ID)
	if person.ID == who.AccountID {
		return staffInvitedView{}, newProblem("own_roles", "").at(target, site.ID)
	}
	err = a.d.People.GiveRoles(ctx, a.who(who), person.ID, site.ID, typedOf(n, existed), roles...)
	if errors.Is(err, practice.ErrExists) {
		return staffInvitedView{}, newProblem("already_staff", "").at(target, site.ID)
	}
	if err != nil {
		return staffInvitedView{}, fmt.Errorf("give roles: %w", err)
	}
	m, err := a.d.People.MemberOf(ctx, who.AccountID, person.ID, site.ID)
	if err != nil {
		return staffInvitedView{}, err
	}
	letter, err := a.welcome(ctx, a.d.Practice, person, a.byFor(who, site))
	if err != nil {
		return staffInvitedView{}, err
	}
	e := a.eventOn(who, "staff.invited", m)
	e.Severity = audit.Warning
	e.Details["existed"], e.Details["letter"], e.Details["roles"] = existed, letter, m.Roles
	if err := a.d.Audit.Record(ctx, e); err != nil {
		return staffInvitedView{}, err
	}
	if err := a.countInvitation(ctx, site.ID, person.ID); err != nil {
		return staffInvitedView{}, err
	}
	view := viewStaff(who, m)
	return staffInvitedView{ID: m.ID, Practice: view.Practice, LoginEmail: n.LoginEmail, Roles: view.Roles}, nil
}

type rolesInput struct {
	ID      string `path:"id" example:"0195713e-7d52-7c3f-9d0c-7a1f6f1f2b14"`
	IfMatch string `header:"If-Match" example:"\"3\"" doc:"Required: the ETag of the member of staff that was read"`
	Body    rolesBody
}

type rolesBody struct {
	Roles []string `json:"roles" minItems:"1" maxItems:"4" nullable:"false" enum:"administrator,front_desk,viewer,provider"`
}

var changeRoles = operation{id: "changeRoles", method: "PUT", path: "/staff/{id}/roles", scope: realm.ScopeAdminManage, tag: "Staff",
	summary: "Say what somebody's roles are",
	text: "All of them, in this practice. It counts from their next request on. Nobody changes their own; a practice keeps an administrator. " +
		"Needs the permission manage_staff and a recent sign-in.",
	errors: []int{400, 404, 409, 412, 413, 415, 422, 428}, example: exampleStaff}

func (a *API) changeRoles(ctx context.Context, who caller, in *rolesInput) (*staffOutput, error) {
	roles, err := rolesOf(in.Body.Roles)
	if err != nil {
		return nil, err
	}
	var out *staffOutput
	err = a.onStaff(ctx, who, in.ID, in.IfMatch, func(ctx context.Context, m practice.Member) error {
		if err := a.setRoles(ctx, who, m, roles); err != nil {
			return err
		}
		m, err := a.d.People.Member(ctx, who.AccountID, m.ID)
		if err != nil {
			return err
		}
		out, err = a.outStaff(ctx, who, m)
		return err
	})
	return out, err
}

type removeInput struct {
	ID      string `path:"id" example:"0195713e-7d52-7c3f-9d0c-7a1f6f1f2b14"`
	IfMatch string `header:"If-Match" example:"\"3\"" doc:"Required: the ETag of the member of staff that was read"`
}

type removedOutput struct{ Body removedView }

type removedView struct {
	ID      uuid.UUID `json:"id" format:"uuid"`
	Removed bool      `json:"removed"`
}

var removeStaff = operation{id: "removeStaff", method: "DELETE", path: "/staff/{id}", scope: realm.ScopeAdminManage, tag: "Staff",
	summary: "Take all roles in a practice away",
	text: "The account stays, with the roles it has elsewhere; without any it opens nothing, and an invitation that nobody has used stops working. " +
		"Never one's own; a practice keeps an administrator. Needs the permission manage_staff and a recent sign-in.",
	errors: []int{400, 404, 409, 412, 428}, example: exampleRemoved}

func (a *API) removeStaff(ctx context.Context, who caller, in *removeInput) (*removedOutput, error) {
	var out *removedOutput
	err := a.onStaff(ctx, who, in.ID, in.IfMatch, func(ctx context.Context, m practice.Member) error {
		out = &removedOutput{removedView{m.ID, true}}
		if err := a.setRoles(ctx, who, m, nil); err != nil {
			return err
		}
		elsewhere, err := a.d.People.Elsewhere(ctx, m.AccountID, m.Practice.ID)
		if err != nil || elsewhere || account.State(m.State) != account.Invited {
			return err
		}
		err = a.d.Accounts.CancelInvitation(ctx, a.d.Practice, m.AccountID, a.byFor(who, m.Practice))
		if err != nil && !errors.Is(err, account.ErrState) { // active by now: nothing to cancel
			return fmt.Errorf("cancel invitation: %w", err)
		}
		return nil
	})
	return out, err
}

// onStaff does something to a colleague in one transaction.
func (a *API) onStaff(ctx context.Context, who caller, id, match string, do func(context.Context, practice.Member) error) error {
	if err := a.freshEnough(ctx, who); err != nil {
		return err
	}
	versions, err := ifMatch(match)
	if err != nil {
		return err
	}
	return a.d.DB.InTx(ctx, func(ctx context.Context) error {
		m, err := a.openStaff(ctx, who, id)
		if err != nil {
			return err
		}
		if m.AccountID == who.AccountID {
			return newProblem("own_roles", "").on(m)
		}
		if !matches(versions, m.Version) {
			return newProblem("version", staffVersion)
		}
		return do(ctx, m)
	})
}

const staffVersion = "Get the member of staff again and decide on what it says now."

func (a *API) setRoles(ctx context.Context, who caller, m practice.Member, roles []practice.Role) error {
	// The account is locked first, as everywhere.
	if _, err := a.d.Accounts.Lock(ctx, a.d.Practice.Name, m.AccountID); err != nil {
		return fmt.Errorf("lock account: %w", err)
	}
	err := a.d.People.ChangeRoles(ctx, a.who(who), m, m.Version, roles...)
	switch {
	case errors.Is(err, practice.ErrVersion):
		return newProblem("version", staffVersion)
	case errors.Is(err, practice.ErrLastAdministrator):
		return newProblem("last_administrator", "").on(m)
	case err != nil:
		return fmt.Errorf("change roles: %w", err)
	}
	kind := "staff.roles_changed"
	if len(roles) == 0 {
		kind = "staff.removed"
	}
	e := a.eventOn(who, kind, m)
	e.Severity = audit.Warning
	return a.d.Audit.Record(ctx, e)
}

var resendStaffInvitation = operation{id: "resendStaffInvitation", method: "POST", path: "/staff/{id}/invitation", scope: realm.ScopeAdminManage, tag: "Staff",
	summary: "Send a member of staff's invitation again",
	text:    "For an account that is not active yet. The earlier invitation stops working. Needs the permission manage_staff and a recent sign-in.",
	errors:  []int{400, 404, 409, 422}, status: 202, example: exampleResent}

func (a *API) resendStaffInvitation(ctx context.Context, who caller, in *resendInput) (*resendOutput, error) {
	if err := a.freshEnough(ctx, who); err != nil {
		return nil, err
	}
	claim, err := newClaim(who, resendStaffInvitation.id, in.Key, in.ID, nil)
	if err != nil {
		return nil, err
	}
	var m practice.Member
	done, err := once(ctx, a, claim, 202, func(ctx context.Context) (err error) {
		m, err = a.openStaff(ctx, who, in.ID)
		return err
	}, func(ctx context.Context) (resentView, error) {
		person, err := a.d.Accounts.Lock(ctx, a.d.Practice.Name, m.AccountID)
		if err != nil {
			return resentView{}, fmt.Errorf("lock account: %w", err)
		}
		if person.State != account.Invited && !m.Hidden {
			return resentView{}, newProblem("not_invited", "").on(m)
		}
		if person.FrozenAt != nil && !m.Hidden {
			return resentView{}, newProblem("account_frozen", "").on(m)
		}
		code, err := a.sendAgain(ctx, a.d.Practice, m.AccountID, m.Hidden, a.byFor(who, m.Practice), m.Practice.ID)
		if err != nil {
			return resentView{}, err
		}
		if code != "" {
			return resentView{}, newProblem(code, "").on(m)
		}
		if err := a.d.Audit.Record(ctx, a.eventOn(who, "staff.invited_again", m)); err != nil {
			return resentView{}, err
		}
		return resentView{m.LoginEmail, a.d.DB.Now(ctx).Add(a.d.Practice.Lifetimes.Invitation)}, nil
	})
	if err != nil {
		return nil, err
	}
	return &resendOutput{Status: done.status, Replayed: done.replayed, Body: done.body}, nil
}

// byFor says who acts for a practice, for the account's letters and events.
func (a *API) byFor(who caller, site practice.Practice) account.By {
	return account.By{Actor: audit.Account(who.AccountID), Name: site.Name, PracticeID: site.ID.String(), Practice: site.Name,
		Phone: site.SupportPhone, ClientID: who.ClientID, IP: who.address()}
}

func (a *API) who(who caller) practice.Who {
	return practice.Who{Actor: audit.Account(who.AccountID), ClientID: who.ClientID, IP: who.address()}
}

func (a *API) eventOn(who caller, kind string, m practice.Member) audit.Event {
	e := a.event(who, kind)
	e.Target, e.PracticeID = audit.Account(m.AccountID), m.Practice.ID.String()
	e.Details = map[string]any{"member": m.ID.String()}
	return e
}
