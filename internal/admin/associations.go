package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/practice"
	"github.com/portico-id/portico/internal/realm"
)

type associationInput struct {
	ID string `path:"id" example:"0195713e-7d52-7c3f-9d0c-7a1f6f1f2b12"`
}

type associationOutput struct {
	ETag string `header:"ETag" example:"\"7\"" doc:"Version of the guardian's account, for If-Match"`
	Body associationView
}

var getAssociation = operation{id: "getAssociation", method: "GET", path: "/associations/{id}", scope: realm.ScopeAdminRead, tag: "Associations",
	summary: "Portal access and account settings",
	text:    "The tie between a patient and a guardian, with the guardian's account. can says what the asking person may do; where something is not possible, the …_blocked_reason says why in words for staff.",
	errors:  []int{400, 404}, example: exampleAssociation}

func (a *API) getAssociation(ctx context.Context, who caller, in *associationInput) (*associationOutput, error) {
	c, err := a.openCase(ctx, who, in.ID)
	if err != nil {
		return nil, err
	}
	e := a.eventAbout(who, "association.viewed", c)
	if err := a.d.Audit.Record(ctx, e); err != nil {
		return nil, err
	}
	view, err := a.viewAssociation(ctx, who, c)
	if err != nil {
		return nil, err
	}
	return &associationOutput{etag(c), view}, nil
}

type emailInput struct {
	ID      string `path:"id" example:"0195713e-7d52-7c3f-9d0c-7a1f6f1f2b12"`
	IfMatch string `header:"If-Match" example:"\"7\"" doc:"Required: the ETag of the association that was read. A list of tags is accepted, * is not"`
	Body    emailBody
}

type emailBody struct {
	LoginEmail string `json:"login_email" maxLength:"254" example:"rosa.new@example.test"`
	Reason     string `json:"reason" minLength:"1" maxLength:"500" example:"Called in, lost access to the old mailbox" doc:"Kept in the audit trail"`
}

type emailOutput struct {
	Status int
	ETag   string `header:"ETag" example:"\"8\""`
	Body   emailChangedView
}

type emailChangedView struct {
	Association associationView `json:"association"`
	Reminder    string          `json:"reminder" doc:"To be shown to whoever asked for the change"`
}

// reminder is shown after a login email has been changed: the health-record
// system has its own list, which this one cannot reach.
const reminder = "Remember to record the new address in the family contact list of the health-record system too. It is not updated from here."

// notYet is shown instead when the guardian has to allow the change.
const notYet = "Nothing has changed yet. The guardian was asked for permission by mail at the present login email, because the account is not this practice's alone to change. " +
	"Whoever has lost that mailbox contacts the support of "

var changeLoginEmail = operation{id: "changeLoginEmail", method: "PATCH", path: "/associations/{id}/login-email", scope: realm.ScopeAdminManage, tag: "Associations",
	summary: "Change a guardian's login email",
	text: "Open reset links and invitations end, the guardian is signed out everywhere, both addresses are told, and the new one counts as unverified until a link sent to it is used. " +
		"An account that was invited gets a new invitation at the new address. The same address again changes nothing. A person tries so many addresses a day. Needs a recent sign-in. " +
		"202: the guardian also belongs to another practice, or the practice has added the account a short while ago. Nothing changes until the guardian allows it with the link mailed to the present address; login_email_change of the association says what waits.",
	accepted: "The guardian was asked for permission; nothing has changed yet",
	errors:   []int{400, 404, 409, 412, 413, 415, 422, 428}, example: exampleEmailChanged}

func (a *API) changeLoginEmail(ctx context.Context, who caller, in *emailInput) (*emailOutput, error) {
	if err := a.freshEnough(ctx, who); err != nil {
		return nil, err
	}
	versions, err := ifMatch(in.IfMatch)
	if err != nil {
		return nil, err
	}
	reason, err := reasonOf(in.Body.Reason)
	if err != nil {
		return nil, err
	}
	email, err := account.NormalizeEmail(in.Body.LoginEmail)
	if err != nil {
		return nil, invalid("body.login_email", "Enter an email address like name@example.com")
	}
	if err := a.countEmailChange(ctx, who); err != nil {
		return nil, err
	}
	var out *emailOutput
	err = a.d.DB.InTx(ctx, func(ctx context.Context) error {
		c, err := a.openCase(ctx, who, in.ID)
		if err != nil {
			return err
		}
		// Another practice may be adding the guardian this moment: then it is not
		// one practice's to change any more.
		if c, err = a.locked(ctx, who, c); err != nil {
			return err
		}
		out = &emailOutput{Status: http.StatusOK, Body: emailChangedView{Reminder: reminder}}
		asked := false
		if c, asked, err = a.applyEmail(ctx, who, c, versions, email, reason); err != nil {
			return err
		}
		if asked {
			out.Status, out.Body.Reminder = http.StatusAccepted, a.notYet()
		}
		out.ETag = etag(c)
		out.Body.Association, err = a.viewAssociation(ctx, who, c)
		return err
	})
	if err != nil {
		return nil, err
	}
	a.wake()
	return out, nil
}

// applyEmail changes the login email of the guardian of c, in the caller's
// transaction, or has the guardian asked, and returns the case as it is then.
func (a *API) applyEmail(ctx context.Context, who caller, c practice.Case, versions []int64, email, reason string) (_ practice.Case, asked bool, err error) {
	blocked := a.changeBlocked(ctx, who, c)
	if blocked != nil && blocked.Status == http.StatusForbidden {
		return c, false, blocked.about(c)
	}
	if !matches(versions, c.Tie.Guardian.Version) {
		return c, false, newProblem("version", "")
	}
	if email == c.Tie.Guardian.LoginEmail {
		return c, false, nil
	}
	if blocked != nil {
		return c, false, blocked.about(c)
	}
	mine, err := a.d.People.Addresses(ctx, who.AccountID)
	if err != nil {
		return c, false, err
	}
	if slices.Contains(mine, email) {
		return c, false, newProblem("own_account", ownAddress).about(c)
	}
	by, asked := a.by(who, c, reason), a.guardianDecides(ctx, c)
	if asked {
		_, err = a.d.Accounts.RequestEmailChangeByStaff(ctx, a.d.Patient, c.Tie.AccountID, c.Tie.Guardian.Version, email, by)
	} else {
		err = a.changeEmail(ctx, who, c, email, by)
	}
	if err != nil {
		return c, false, emailProblem(err, c, email)
	}
	e := a.eventAbout(who, "admin.email_changed", c)
	if asked {
		e.Kind = "admin.email_change_requested"
	}
	e.Severity = audit.Warning
	e.Details["reason"] = reason
	if err := a.d.Audit.Record(ctx, e); err != nil {
		return c, false, err
	}
	c, err = a.d.People.Case(ctx, who.AccountID, c.Tie.ID, a.today(ctx))
	return c, asked, err
}

const ownAddress = "This is an address you sign in with yourself, or did. A family's account needs the family's own address."

func (a *API) changeEmail(ctx context.Context, who caller, c practice.Case, email string, by account.By) error {
	if _, err := a.d.Accounts.ChangeEmail(ctx, a.d.Patient, c.Tie.AccountID, c.Tie.Guardian.Version, email, by); err != nil {
		return fmt.Errorf("change login email: %w", err)
	}
	if account.State(c.Tie.Guardian.State) != account.Invited || c.Tie.Guardian.FrozenAt != nil {
		return nil // a frozen account is invited again once it is unfrozen
	}
	// The old invitation ended with the old address.
	return a.sendInvitation(ctx, a.d.Patient, c.Tie.AccountID, by)
}

// countEmailChange bounds how many addresses one person can try: that an address
// is taken has to be said, and must not be asked for a whole town. A try counts
// before it is known how it ends, so that many at once tell no more.
func (a *API) countEmailChange(ctx context.Context, who caller) error {
	ok, after, err := a.d.Limiter.Allow(ctx, "admin.email:"+a.d.Practice.Name+":"+who.AccountID.String(), a.d.Limits.EmailChangesPerDay, 24*time.Hour)
	if err != nil {
		return fmt.Errorf("count change of the email: %w", err)
	}
	if !ok {
		return newProblem("too_many", "You have changed enough login emails for today.").with("Retry-After", seconds(after))
	}
	return nil
}

func emailProblem(err error, c practice.Case, email string) error {
	switch {
	case errors.Is(err, account.ErrVersion):
		return newProblem("version", "")
	case errors.Is(err, account.ErrEmailTaken):
		p := newProblem("email_taken", "").about(c)
		p.asked = email // who tries one address after another is seen
		return p
	case errors.Is(err, account.ErrTooMany):
		return newProblem("too_many_changes", "").about(c)
	case errors.Is(err, account.ErrFrozen):
		return newProblem("account_frozen", "").about(c)
	case errors.Is(err, account.ErrState):
		return newProblem("account_disabled", "").about(c)
	}
	return err
}

// openCase finds an association in the caller's practices.
func (a *API) openCase(ctx context.Context, who caller, id string) (practice.Case, error) {
	if err := a.someRole(ctx, who); err != nil {
		return practice.Case{}, err
	}
	association, err := identifier(id)
	if err != nil {
		return practice.Case{}, err
	}
	return a.d.People.Case(ctx, who.AccountID, association, a.today(ctx))
}

// mayAct is what changing an email and sending a link have in common.
func (a *API) mayAct(ctx context.Context, who caller, c practice.Case, permitted bool) *Problem {
	switch {
	case !who.has(realm.ScopeAdminManage):
		return newProblem("scope", "")
	case !permitted:
		return newProblem("permission", "")
	case c.Own:
		return newProblem("own_account", "")
	case !c.Tie.Current(a.today(ctx)):
		return newProblem("association_ended", "")
	case !c.Tie.PortalAccess:
		return newProblem("no_portal_access", "")
	case account.State(c.Tie.Guardian.State) == account.Disabled:
		return newProblem("account_disabled", "")
	}
	return nil
}

// changeBlocked says why the caller cannot change the login email, or nil.
func (a *API) changeBlocked(ctx context.Context, who caller, c practice.Case) *Problem {
	if p := a.mayAct(ctx, who, c, c.Perms.ChangeEmail); p != nil {
		return p
	}
	// Whether an address that staff have typed had an account is not shown by
	// what they may do with it.
	if c.Tie.InvitedAt != nil && account.State(c.Tie.Guardian.State) == account.Invited {
		return newProblem("account_invited", "The invitation has not been used yet. If the address is wrong, take the invitation back and invite the right one.")
	}
	// Putting the address right is how a frozen account is helped. But whom to
	// ask for permission, when nobody knows whose mailbox it is?
	if a.guardianDecides(ctx, c) {
		switch {
		case c.Tie.Guardian.FrozenAt != nil:
			return newProblem("account_frozen", "The account is not this practice's alone, so the login email cannot be changed while it is frozen. Unfreeze it first.")
		case account.State(c.Tie.Guardian.State) != account.Active:
			return newProblem("account_invited", "The account is not this practice's alone, and its owner, who could allow a change, has not activated it yet. Take the invitation back and invite the right address.")
		}
	}
	return nil
}

// guardianDecides tells whether a change of the login email needs the
// guardian's own permission: the account is not this practice's alone.
func (a *API) guardianDecides(ctx context.Context, c practice.Case) bool {
	return c.Shared || a.newlyAttached(ctx, c)
}

func (a *API) notYet() string {
	text := notYet + a.d.Patient.Brand.Name
	if contacts := supportOf(a.d.Patient.Brand); contacts != "" {
		text += " (" + contacts + ")"
	}
	return text + "."
}

// resetBlocked says why the caller cannot send a link, or nil.
func (a *API) resetBlocked(ctx context.Context, who caller, c practice.Case) *Problem {
	if p := a.mayAct(ctx, who, c, c.Perms.Reset); p != nil {
		return p
	}
	switch {
	case c.Tie.Guardian.FrozenAt != nil:
		return newProblem("account_frozen", "")
	case account.State(c.Tie.Guardian.State) == account.Invited:
		return newProblem("account_invited", "")
	case account.State(c.Tie.Guardian.State) != account.Active:
		return newProblem("account_disabled", "")
	case c.Tie.Guardian.LoginEmail == "":
		return newProblem("no_login_email", "")
	}
	return nil
}

func supportOf(b realm.Brand) string {
	var contacts []string
	for _, s := range []string{b.SupportPhone, b.SupportEmail} {
		if s != "" {
			contacts = append(contacts, s)
		}
	}
	return strings.Join(contacts, ", ")
}

func (a *API) viewAssociation(ctx context.Context, who caller, c practice.Case) (associationView, error) {
	g := c.Tie.Guardian
	v := associationView{
		ID: c.Tie.ID,
		Patient: briefPatientView{ID: c.Patient.ID, GivenName: c.Patient.GivenName, FamilyName: c.Patient.FamilyName,
			AccountNumber: c.Patient.AccountNumber, Practice: viewPractice(c.Practice)},
		Relationship: c.Tie.Relationship, Authority: c.Tie.Authority, StartsOn: c.Tie.StartsOn, EndsOn: c.Tie.EndsOn,
		Guardian: guardianView{Name: g.Name, LoginEmail: g.LoginEmail, EmailVerified: g.EmailVerified, State: g.State,
			FrozenAt: g.FrozenAt, LastSignedInAt: g.LastSignedInAt, Locale: g.Locale},
		PortalAccess: c.Tie.PortalAccess, Version: g.Version,
	}
	if p := a.changeBlocked(ctx, who, c); p != nil {
		v.ChangeBlockedCode, v.ChangeBlockedReason = p.Code, p.Detail
	} else {
		v.Can.ChangeLoginEmail, v.ChangeNeedsGuardian = true, a.guardianDecides(ctx, c)
	}
	if p := a.resetBlocked(ctx, who, c); p != nil {
		v.ResetBlockedCode, v.ResetBlockedReason = p.Code, p.Title+". "+p.Detail
	} else {
		v.Can.ResetPassword = true
	}
	if err := a.viewHelp(ctx, who, c, &v); err != nil {
		return v, err
	}
	if c.Tie.Hidden {
		return v, nil
	}
	switch latest, err := a.d.Timeline.Latest(ctx, a.d.Patient, c.Tie.AccountID, c.Practice.ID); {
	case errors.Is(err, ErrNoReset):
	case err != nil:
		return v, fmt.Errorf("find latest link: %w", err)
	default:
		reset := viewReset(who, c.Perms, latest)
		v.LatestReset = &reset
	}
	return v, nil
}

// viewHelp fills in what staff can do for a guardian whom a link alone does
// not help, and what waits for somebody.
func (a *API) viewHelp(ctx context.Context, who caller, c practice.Case, v *associationView) error {
	v.Can.SendInvitation = a.inviteBlocked(ctx, who, c) == nil
	v.Can.CancelInvitation = a.cancelBlocked(who, c) == nil && (c.Tie.InvitedAt == nil || c.Tie.PortalAccess)
	p, err := a.unfreezeBlocked(ctx, who, c)
	if err != nil {
		return err
	}
	if v.Can.Unfreeze = p == nil; p != nil && c.Tie.Guardian.FrozenAt != nil {
		v.UnfreezeBlocked = p.Detail
	}
	if v.UnfreezingRemoves, err = a.unfreezingRemoves(ctx, a.d.Patient, c.Tie.AccountID, c.Tie.Guardian.FrozenAt); err != nil {
		return err
	}
	if p, err = a.factorsBlocked(ctx, who, c); err != nil {
		return err
	}
	v.Can.RemoveSecondFactors = p == nil
	if v.Guardian.SecondFactors, err = a.hasFactors(ctx, c); err != nil {
		return err
	}
	if account.State(c.Tie.Guardian.State) == account.Invited {
		sent, err := a.lastInvited(ctx, c)
		if err != nil {
			return err
		}
		if !sent.IsZero() {
			v.Guardian.InvitedAt = &sent
		}
	}
	waiting, err := a.waitingChange(ctx, c)
	if err != nil || waiting == nil {
		return err
	}
	v.LoginEmailChange = &emailChangeView{State: "waiting_for_guardian", LoginEmail: waiting.NewEmail,
		RequestedAt: waiting.CreatedAt, ExpiresAt: waiting.ExpiresAt}
	v.Can.CancelLoginEmailChange = who.has(realm.ScopeAdminManage) && c.Perms.ChangeEmail && !c.Own
	return nil
}

// by says who acts, for the account's letters and events.
func (a *API) by(who caller, c practice.Case, reason string) account.By {
	return account.By{Actor: audit.Account(who.AccountID), Name: c.Practice.Name, PracticeID: c.Practice.ID.String(),
		Practice: c.Practice.Name, Phone: c.Practice.SupportPhone, ClientID: who.ClientID, IP: who.address(), Reason: reason}
}

func (a *API) eventAbout(who caller, kind string, c practice.Case) audit.Event {
	e := a.event(who, kind)
	e.Target, e.PracticeID = audit.Account(c.Tie.AccountID), c.Practice.ID.String()
	e.Details = map[string]any{"association": c.Tie.ID.String()}
	return e
}

func etag(c practice.Case) string { return `"` + strconv.FormatInt(c.Tie.Guardian.Version, 10) + `"` }

// ifMatch reads the versions of an If-Match header (RFC 9110 §13.1.1). "*"
// would match what nobody has looked at, so it counts as no precondition.
func ifMatch(header string) ([]int64, error) {
	header = strings.TrimSpace(header)
	if header == "" || header == "*" {
		return nil, newProblem("if_match_missing", "")
	}
	var versions []int64
	for tag := range strings.SplitSeq(header, ",") {
		tag = strings.TrimSpace(tag)
		// A weak tag is well-formed and never matches (RFC 9110 §8.8.3.2).
		weak := strings.HasPrefix(tag, "W/")
		tag = strings.TrimPrefix(tag, "W/")
		if len(tag) < 2 || tag[0] != '"' || tag[len(tag)-1] != '"' {
			return nil, newProblem("if_match", "")
		}
		if v, err := strconv.ParseInt(tag[1:len(tag)-1], 10, 64); err == nil && !weak {
			versions = append(versions, v)
		}
	}
	return versions, nil
}

func matches(versions []int64, version int64) bool {
	for _, v := range versions {
		if v == version {
			return true
		}
	}
	return false
}

// reasonOf trims a reason and refuses one that says nothing.
func reasonOf(s string) (string, error) { return textOf("reason", "Enter the reason", s) }

// textOf trims a text and refuses one that says nothing.
func textOf(field, message, s string) (string, error) {
	s = strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return ' '
		}
		return r
	}, s))
	if s == "" {
		return "", invalid("body."+field, message)
	}
	return s, nil
}
