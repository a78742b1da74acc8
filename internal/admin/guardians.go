package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/mail"
	"github.com/portico-id/portico/internal/practice"
	"github.com/portico-id/portico/internal/realm"
)

type inviteInput struct {
	ID   string `path:"id" example:"0195713e-7d52-7c3f-9d0c-7a1f6f1f2b11"`
	Key  string `header:"Idempotency-Key" example:"4f1c4b1e0b7d4c8a" doc:"Required: made anew for each intended invitation. A repetition with the same body within 24 hours gets the same answer, one with another body 422"`
	Body inviteBody
}

type inviteBody struct {
	LoginEmail   string `json:"login_email" maxLength:"254" example:"rosa.cruz@example.test"`
	GivenName    string `json:"given_name" minLength:"1" maxLength:"100" example:"Rosa" doc:"Of the guardian. An account that exists keeps its own"`
	FamilyName   string `json:"family_name" minLength:"1" maxLength:"100" example:"Cruz"`
	Relationship string `json:"relationship" enum:"mother,father,parent,guardian,self,other"`
	Authority    string `json:"authority" enum:"full,limited,none"`
	StartsOn     string `json:"starts_on,omitempty" maxLength:"10" example:"2025-03-06" doc:"Empty: at once"`
	EndsOn       string `json:"ends_on,omitempty" maxLength:"10" doc:"The last day; empty: open"`
	Locale       string `json:"locale,omitempty" maxLength:"20" example:"es" doc:"Language of the letter; empty: the realm's"`
}

type inviteOutput struct {
	Status   int
	Location string `header:"Location" doc:"The association"`
	Replayed string `header:"Idempotency-Replayed" example:"true" doc:"true when this answer was given before and nothing was done now"`
	Body     invitedView
}

// invitedView says nothing about the account: whether it was there before is
// not for whoever knows an address to find out.
type invitedView struct {
	ID           uuid.UUID `json:"id" format:"uuid" doc:"Of the association"`
	LoginEmail   string    `json:"login_email" example:"rosa.cruz@example.test"`
	Relationship string    `json:"relationship" enum:"mother,father,parent,guardian,self,other"`
	Authority    string    `json:"authority" enum:"full,limited,none"`
	StartsOn     string    `json:"starts_on"`
	EndsOn       string    `json:"ends_on"`
}

var inviteGuardian = operation{id: "inviteGuardian", method: "POST", path: "/patients/{id}/associations", scope: realm.ScopeAdminManage, tag: "Associations",
	summary: "Invite a guardian",
	text: "Ties the patient to the account with the login email and gives it portal access. Somebody without an account is mailed an invitation; somebody with one is told by mail and signs in as before. " +
		"The answer is the same, and so is what the association says until the guardian has signed in: what was typed here. " +
		"Check the address with the guardian: whoever reads its mail gets access to the patient's record. Needs a recent sign-in.",
	errors: []int{400, 404, 409, 413, 415, 422}, status: 201, example: exampleInvited}

func (a *API) inviteGuardian(ctx context.Context, who caller, in *inviteInput) (*inviteOutput, error) {
	if err := a.freshEnough(ctx, who); err != nil {
		return nil, err
	}
	claim, err := newClaim(who, inviteGuardian.id, in.Key, in.ID, in.Body)
	if err != nil {
		return nil, err
	}
	n, err := a.newPerson(a.d.Patient, in.Body.LoginEmail, in.Body.GivenName, in.Body.FamilyName, in.Body.Locale)
	if err != nil {
		return nil, err
	}
	for location, day := range map[string]string{"body.starts_on": in.Body.StartsOn, "body.ends_on": in.Body.EndsOn} {
		if _, err := time.Parse(time.DateOnly, day); day != "" && err != nil {
			return nil, invalid(location, "Enter a date like 2025-03-06")
		}
	}
	if in.Body.EndsOn != "" && (in.Body.EndsOn < a.today(ctx) || in.Body.EndsOn < in.Body.StartsOn) {
		return nil, invalid("body.ends_on", "Enter a day that has not passed and is not before the first")
	}
	var patient practice.Record
	done, err := once(ctx, a, claim, 201, func(ctx context.Context) (err error) {
		patient, err = a.mayInvite(ctx, who, in.ID)
		return err
	}, func(ctx context.Context) (invitedView, error) { return a.invite(ctx, who, patient, n, in.Body) })
	if err != nil {
		return nil, err
	}
	return &inviteOutput{Status: done.status, Replayed: done.replayed, Location: Path + "/associations/" + done.body.ID.String(), Body: done.body}, nil
}

// mayInvite finds a patient of the caller's practices for whom they may invite.
func (a *API) mayInvite(ctx context.Context, who caller, patient string) (practice.Record, error) {
	if err := a.someRole(ctx, who); err != nil {
		return practice.Record{}, err
	}
	id, err := identifier(patient)
	if err != nil {
		return practice.Record{}, err
	}
	r, err := a.d.People.Patient(ctx, who.AccountID, id)
	if err != nil {
		return practice.Record{}, err
	}
	perms, err := a.d.People.Permissions(ctx, who.AccountID)
	if err != nil {
		return practice.Record{}, err
	}
	if !perms[r.PracticeID].Invite {
		return practice.Record{}, newProblem("permission", "").at("patient:"+r.ID.String(), r.PracticeID)
	}
	return r, nil
}

// invite makes the association and sends the letter, in the caller's
// transaction.
func (a *API) invite(ctx context.Context, who caller, patient practice.Record, n account.New, body inviteBody) (invitedView, error) {
	target := "patient:" + patient.ID.String()
	mine, err := a.d.People.Addresses(ctx, who.AccountID)
	if err != nil {
		return invitedView{}, err
	}
	if slices.Contains(mine, n.LoginEmail) {
		return invitedView{}, newProblem("own_account", ownAddress).at(target, patient.PracticeID)
	}
	person, existed, err := a.findOrCreate(ctx, a.d.Patient, n)
	if err != nil {
		return invitedView{}, err
	}
	id, err := a.d.People.Invite(ctx, who.AccountID, practice.Association{PatientID: patient.ID, AccountID: person.ID, Relationship: body.Relationship,
		Authority: body.Authority, StartsOn: body.StartsOn, EndsOn: body.EndsOn}, typedOf(n, existed))
	if errors.Is(err, practice.ErrExists) {
		return invitedView{}, newProblem("association_exists", "").at(target, patient.PracticeID)
	}
	if err != nil {
		return invitedView{}, fmt.Errorf("invite: %w", err)
	}
	c, err := a.d.People.Case(ctx, who.AccountID, id, a.today(ctx))
	if err != nil {
		return invitedView{}, err
	}
	if c.Own {
		return invitedView{}, newProblem("own_account", "").about(c)
	}
	letter, err := a.welcome(ctx, a.d.Patient, person, a.by(who, c, ""))
	if err != nil {
		return invitedView{}, err
	}
	e := a.eventAbout(who, "association.invited", c)
	e.Details["patient"], e.Details["existed"], e.Details["letter"] = patient.ID.String(), existed, letter
	if existed {
		e.Severity = audit.Warning
	}
	if err := a.d.Audit.Record(ctx, e); err != nil {
		return invitedView{}, err
	}
	if err := a.countInvitation(ctx, patient.PracticeID, person.ID); err != nil {
		return invitedView{}, err
	}
	return invitedView{ID: id, LoginEmail: n.LoginEmail, Relationship: body.Relationship, Authority: body.Authority,
		StartsOn: body.StartsOn, EndsOn: body.EndsOn}, nil
}

// typedOf is what stands for an account that was there before.
func typedOf(n account.New, existed bool) *practice.Typed {
	if !existed {
		return nil
	}
	return &practice.Typed{Email: n.LoginEmail, Name: n.GivenName + " " + n.FamilyName, Locale: n.Locale}
}

// newPerson checks what staff say about somebody who may have an account.
func (a *API) newPerson(r *realm.Realm, email, given, family, locale string) (account.New, error) {
	n := account.New{State: account.Invited, Locale: locale}
	var err error
	if n.LoginEmail, err = account.NormalizeEmail(email); err != nil {
		return n, invalid("body.login_email", "Enter an email address like name@example.com")
	}
	if n.GivenName, err = nameOf("given_name", "Enter the given name", given); err != nil {
		return n, err
	}
	if n.FamilyName, err = nameOf("family_name", "Enter the family name", family); err != nil {
		return n, err
	}
	if locale != "" && !slices.Contains(r.Locales, locale) {
		return n, invalid("body.locale", "Use one of the realm's languages")
	}
	return n, nil
}

// nameOf is a name as accounts have it. It is judged before anybody is looked
// up: what a new account refuses must not be taken for one that exists.
func nameOf(field, message, s string) (string, error) {
	s, err := textOf(field, message, s)
	if err != nil {
		return "", err
	}
	name, err := account.NormalizeName(s)
	switch {
	case errors.Is(err, account.ErrNameLong):
		return "", invalid("body."+field, "Use at most 100 characters")
	case err != nil || name == "":
		return "", invalid("body."+field, "Use letters, as the name is written")
	}
	return name, nil
}

// findOrCreate locks the account of an address, or makes an invited one.
func (a *API) findOrCreate(ctx context.Context, r *realm.Realm, n account.New) (person account.Account, existed bool, err error) {
	for range 2 { // somebody may be making it at the same time
		found, err := a.d.Accounts.FindByEmail(ctx, r.Name, n.LoginEmail)
		if err == nil {
			if found, err = a.d.Accounts.Lock(ctx, r.Name, found.ID); err != nil {
				return person, false, fmt.Errorf("lock account: %w", err)
			}
			if found.LoginEmail != n.LoginEmail {
				return person, false, newProblem("changed_meanwhile", "")
			}
			return found, true, nil
		}
		if !errors.Is(err, account.ErrNotFound) {
			return person, false, fmt.Errorf("find account: %w", err)
		}
		person, err = a.d.Accounts.Create(ctx, r, n)
		if err == nil {
			return person, false, nil
		}
		if !errors.Is(err, account.ErrEmailTaken) {
			return person, false, fmt.Errorf("create account: %w", err)
		}
	}
	return person, false, newProblem("changed_meanwhile", "")
}

// welcome writes to somebody whom staff have added: an invitation when the
// account is not active yet, a notice when it is. It says what was sent.
func (a *API) welcome(ctx context.Context, r *realm.Realm, person account.Account, by account.By) (string, error) {
	switch {
	case person.FrozenAt != nil: // no letter opens it, and the answer is the same
		return "none", nil
	case person.State == account.Invited:
		enough, err := a.invitedEnough(ctx, r, person.ID)
		if err != nil || enough != "" {
			return "none", err // the last letter still counts
		}
		return "invitation", a.sendInvitation(ctx, r, person.ID, by)
	case person.State == account.Active:
		_, err := a.d.Letters.Queue(ctx, mail.Letter{Realm: r, Kind: mail.AccessAdded, To: person.LoginEmail, Locale: person.Locale,
			AccountID: person.ID, Data: map[string]string{"practice": by.Practice, "practice_phone": by.Phone}})
		if err != nil {
			return "", fmt.Errorf("queue letter: %w", err)
		}
		return "notice", nil
	}
	return "none", nil
}

func (a *API) sendInvitation(ctx context.Context, r *realm.Realm, id uuid.UUID, by account.By) error {
	by.ClientID = "" // it is the staff's portal that asks, not the one the person will use
	if err := a.d.Accounts.Invite(ctx, r, id, by); err != nil {
		return fmt.Errorf("invite: %w", err)
	}
	return nil
}

// invitedEnough names the problem that keeps another invitation from being
// sent to an account now, or "".
func (a *API) invitedEnough(ctx context.Context, r *realm.Realm, id uuid.UUID) (string, error) {
	now := a.d.DB.Now(ctx)
	last, err := a.d.Accounts.LastInvited(ctx, id)
	if err != nil {
		return "", fmt.Errorf("find latest invitation: %w", err)
	}
	if !last.IsZero() && now.Sub(last) < r.Recovery.AbsorbRepeats {
		return "invited_just_now", nil
	}
	n, err := a.d.Accounts.InvitedSince(ctx, id, now.Add(-24*time.Hour))
	if err != nil {
		return "", fmt.Errorf("count invitations: %w", err)
	}
	if n >= r.Recovery.StaffLinksPerDay {
		return "enough_invitations", nil
	}
	return "", nil
}

// invitedByPractice is invitedEnough for somebody whose account staff cannot
// know: only what the practice itself has sent counts.
func (a *API) invitedByPractice(ctx context.Context, r *realm.Realm, site, id uuid.UUID) (string, error) {
	last, n, err := a.d.People.Invited(ctx, site, id)
	switch {
	case err != nil:
		return "", err
	case !last.IsZero() && a.d.DB.Now(ctx).Sub(last) < r.Recovery.AbsorbRepeats:
		return "invited_just_now", nil
	case n >= r.Recovery.StaffLinksPerDay:
		return "enough_invitations", nil
	}
	return "", nil
}

// lastInvited is when the invitation was sent that works now, as far as staff
// can know; the zero time when none does.
func (a *API) lastInvited(ctx context.Context, c practice.Case) (time.Time, error) {
	if !c.Tie.Hidden {
		sent, err := a.d.Accounts.LastInvited(ctx, c.Tie.AccountID)
		if err != nil {
			return sent, fmt.Errorf("find latest invitation: %w", err)
		}
		return sent, nil
	}
	sent, _, err := a.d.People.Invited(ctx, c.Practice.ID, c.Tie.AccountID)
	if err != nil || !c.Tie.PortalAccess || a.d.DB.Now(ctx).Sub(sent) >= a.d.Patient.Lifetimes.Invitation {
		return time.Time{}, err
	}
	return sent, nil
}

// countInvitation bounds what all staff of a practice together invite in a
// day: an account that was taken over must not write to a whole town, nor try
// which addresses have accounts. What fails does not count, nor what is
// repeated.
func (a *API) countInvitation(ctx context.Context, site, person uuid.UUID) error {
	ok, after, err := a.d.People.CountInvitation(ctx, site, person, a.d.Limits.InvitationsPerDay)
	if err != nil {
		return err
	}
	if !ok {
		return newProblem("too_many", "The practice has sent enough invitations for today.").at("", site).with("Retry-After", seconds(after))
	}
	return nil
}
