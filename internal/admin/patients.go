package admin

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/practice"
	"github.com/portico-id/portico/internal/realm"
)

type meOutput struct {
	Body meView
}

type meView struct {
	ID        uuid.UUID    `json:"id" format:"uuid"`
	Name      string       `json:"name" example:"Ada Admin"`
	Email     string       `json:"email" example:"ada@oak.example.test"`
	Scopes    []string     `json:"scopes" nullable:"false" doc:"Of the access token"`
	AuthTime  time.Time    `json:"auth_time" doc:"When the person last proved who they are"`
	Practices []memberView `json:"practices" nullable:"false"`
}

type memberView struct {
	ID          uuid.UUID `json:"id" format:"uuid"`
	Name        string    `json:"name" example:"Oak Street Pediatrics"`
	Roles       []string  `json:"roles" nullable:"false" example:"[\"front_desk\"]"`
	Permissions permsView `json:"permissions"`
}

type permsView struct {
	Read             bool `json:"read"`
	ChangeLoginEmail bool `json:"change_login_email"`
	ResetPassword    bool `json:"reset_password"`
	Invite           bool `json:"invite" doc:"Invite guardians, again too, and take invitations back"`
	Unfreeze         bool `json:"unfreeze"`
	Waive            bool `json:"waive" doc:"Ask for, or approve, a waiver of the security question; remove second factors. A role that a colleague gave counts for it only some days later"`
	ManageStaff      bool `json:"manage_staff"`
}

var me = operation{id: "getMe", method: "GET", path: "/me", scope: realm.ScopeAdminRead, tag: "Me",
	summary: "Who asks, and what they may do",
	text:    "Lists the practices in which the signed-in person has a role now, and what the roles allow. Without a role the list is empty.",
	errors:  []int{400, 422}, example: exampleMe}

func (a *API) me(ctx context.Context, who caller, _ *struct{}) (*meOutput, error) {
	person, err := a.d.People.Person(ctx, who.AccountID)
	if errors.Is(err, practice.ErrNotFound) {
		return nil, newProblem("token_invalid", "").with("WWW-Authenticate", challenge("error", "invalid_token"))
	}
	if err != nil {
		return nil, err
	}
	memberships, err := a.d.People.Memberships(ctx, who.AccountID)
	if err != nil {
		return nil, err
	}
	out := &meOutput{meView{ID: who.AccountID, Name: person.Name, Email: person.Email, Scopes: who.Scopes,
		AuthTime: who.AuthTime, Practices: []memberView{}}}
	for _, m := range memberships {
		perms := m.Perms()
		v := memberView{ID: m.Practice.ID, Name: m.Practice.Name, Permissions: permsView{perms.Read, perms.ChangeEmail, perms.Reset,
			perms.Invite, perms.Unfreeze, perms.Waive, perms.ManageStaff}}
		for _, role := range m.Roles {
			v.Roles = append(v.Roles, string(role))
		}
		out.Body.Practices = append(out.Body.Practices, v)
	}
	return out, nil
}

type listInput struct {
	By     string `query:"by" enum:"account,patient" default:"patient" doc:"account searches guardians' names and login emails and the account number; patient searches patients' names"`
	Q      string `query:"q" maxLength:"100" example:"cruz ro" doc:"Beginning of any word; case and accents do not matter. Empty lists everybody"`
	Access string `query:"access" enum:"active,invited,none" doc:"active, invited: patients with such an association; none: patients for whom nobody can sign in or is invited to"`
	Cursor string `query:"cursor" maxLength:"1000" doc:"next_cursor of the page before, with the same by, q and access"`
	Limit  int    `query:"limit" minimum:"1" maximum:"100" default:"25"`
}

type listOutput struct {
	Body patientPage
}

var listPatients = operation{id: "listPatients", method: "GET", path: "/patients", scope: realm.ScopeAdminRead, tag: "Patients",
	summary: "Search patients",
	text: "Finds patients of the practices in which the person has a role, ordered by family name. " +
		"With by=account patients are found through their portal accounts.",
	errors: []int{400, 422}, example: examplePage}

func (a *API) listPatients(ctx context.Context, who caller, in *listInput) (*listOutput, error) {
	if !utf8.ValidString(in.Q) {
		return nil, newProblem("bad_request", "q is not UTF-8.")
	}
	if err := a.someRole(ctx, who); err != nil {
		return nil, err
	}
	q := practice.Query{By: practice.By(in.By), Q: in.Q, Access: practice.Access(in.Access), Limit: in.Limit, Today: a.today(ctx)}
	after, err := a.openCursor(who, q, in.Cursor)
	if err != nil {
		return nil, err
	}
	q.After = after
	found, more, err := a.d.People.Search(ctx, who.AccountID, q)
	if err != nil {
		return nil, err
	}
	out := &listOutput{patientPage{Items: []patientView{}}}
	for _, r := range found {
		out.Body.Items = append(out.Body.Items, viewPatient(r, q.Today))
	}
	if more {
		out.Body.NextCursor = a.sealCursor(who, q, found[len(found)-1].Position)
	}
	// What was typed is not recorded: it is a name more often than not. Whom it
	// brought up is: "who has seen this patient" has to have an answer.
	ids := make([]string, 0, len(found))
	for _, r := range found {
		ids = append(ids, r.Patient.ID.String())
	}
	e := a.event(who, "admin.searched")
	e.Details = map[string]any{"by": in.By, "access": in.Access, "typed": in.Q != "", "continued": in.Cursor != "", "found": len(found), "patients": ids}
	if err := a.d.Audit.Record(ctx, e); err != nil {
		return nil, err
	}
	return out, nil
}

type patientInput struct {
	ID string `path:"id" example:"0195713e-7d52-7c3f-9d0c-7a1f6f1f2b11"`
}

type patientOutput struct {
	Body patientView
}

var getPatient = operation{id: "getPatient", method: "GET", path: "/patients/{id}", scope: realm.ScopeAdminRead, tag: "Patients",
	summary: "A patient with associations",
	text:    "A patient of another practice is the same 404 as one that does not exist.",
	errors:  []int{400, 404}, example: examplePatient}

func (a *API) getPatient(ctx context.Context, who caller, in *patientInput) (*patientOutput, error) {
	if err := a.someRole(ctx, who); err != nil {
		return nil, err
	}
	id, err := identifier(in.ID)
	if err != nil {
		return nil, err
	}
	r, err := a.d.People.Patient(ctx, who.AccountID, id)
	if err != nil {
		return nil, err
	}
	e := a.event(who, "patient.viewed")
	e.Target, e.PracticeID = "patient:"+r.ID.String(), r.Practice.ID.String()
	if err := a.d.Audit.Record(ctx, e); err != nil {
		return nil, err
	}
	return &patientOutput{viewPatient(r, a.today(ctx))}, nil
}

// someRole refuses who has no role anywhere, before any identifier is looked
// at.
func (a *API) someRole(ctx context.Context, who caller) error {
	perms, err := a.d.People.Permissions(ctx, who.AccountID)
	if err != nil {
		return err
	}
	for _, p := range perms {
		if p.Read {
			return nil
		}
	}
	return newProblem("no_role", "")
}

// identifier reads an ID from a path. One that is none is as absent as any.
func identifier(s string) (uuid.UUID, error) {
	id, err := uuid.Parse(s)
	if err != nil || len(s) != 36 {
		return uuid.Nil, fmt.Errorf("identifier: %w", practice.ErrNotFound)
	}
	return id, nil
}
