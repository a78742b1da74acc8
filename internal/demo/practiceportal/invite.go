package practiceportal

import (
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/portico-id/portico/internal/demo/look"
)

// inviteView is the page that invites a guardian.
type inviteView struct {
	Patient patient
	invitation
	Key     string // Idempotency-Key: the same for every click on this page
	Resumed bool
}

var inviteWords = map[string]string{
	"login_email":  emailFormat,
	"given_name":   "Enter the given name, as it is written",
	"family_name":  "Enter the family name, as it is written",
	"relationship": "Choose what the person is to the patient",
	"authority":    "Choose how much the person may decide",
	"starts_on":    "Enter a date like 2025-03-06",
	"ends_on":      "Enter a day that has not passed and is not before the first",
	"locale":       "Choose a language",
}

func (p *Portal) mountInvitation(mux *http.ServeMux) {
	mux.HandleFunc("GET /patients/{id}/invite", p.handle(p.signedIn(p.askInvite)))
	mux.HandleFunc("POST /patients/{id}/invite", p.handle(p.signedIn(p.sendInvite)))
}

func patientURL(id string, below ...string) string {
	target := "/patients/" + url.PathEscape(id)
	for _, part := range below {
		target += "/" + url.PathEscape(part)
	}
	return target
}

// thePatient reads the patient of the address.
func (v *visit) thePatient() (patient, error) {
	var found patient
	_, err := v.call(call{method: http.MethodGet, path: patientURL(v.r.PathValue("id"))}, &found)
	return found, err
}

func (p *Portal) askInvite(v *visit) error {
	found, err := v.thePatient()
	if err != nil {
		return err
	}
	if may, err := v.in(found.Practice.ID); err != nil {
		return err
	} else if !may.Invite {
		return v.failure(http.StatusForbidden, "You cannot invite a guardian", "Your role in the practice does not include it. The front desk or an administrator can.")
	}
	view := inviteView{Patient: found, Key: rand.Text()}
	if v.form != nil {
		view.invitation, view.Resumed = invitationOf(v.form.Get), true
		view.Key = firstOf(v.form.Get("key"), view.Key)
	}
	return v.renderInvite(http.StatusOK, view, nil)
}

// invitationOf reads the form's fields about a guardian.
func invitationOf(get func(string) string) invitation {
	return invitation{LoginEmail: get("login_email"), GivenName: get("given_name"), FamilyName: get("family_name"),
		Relationship: get("relationship"), Authority: get("authority"), StartsOn: get("starts_on"), EndsOn: get("ends_on"), Locale: get("locale")}
}

func (p *Portal) sendInvite(v *visit) error {
	view := inviteView{invitation: invitationOf(v.sent), Key: v.r.PostFormValue("key")}
	var wrong problems
	wrong.unless(view.GivenName != "", "given_name", "Enter the given name")
	wrong.unless(view.FamilyName != "", "family_name", "Enter the family name")
	wrong.unless(looksLikeEmail(view.LoginEmail), "login_email", emailFormat)
	wrong.unless(view.Relationship != "", "relationship", inviteWords["relationship"])
	wrong.unless(view.Authority != "", "authority", inviteWords["authority"])
	for _, date := range []struct{ field, day string }{{"starts_on", view.StartsOn}, {"ends_on", view.EndsOn}} {
		_, err := time.Parse(time.DateOnly, date.day)
		wrong.unless(date.day == "" || err == nil, date.field, inviteWords["starts_on"])
	}
	if len(wrong) > 0 {
		return v.inviteAgain(http.StatusUnprocessableEntity, view, wrong)
	}
	var made invited
	_, err := v.call(call{method: http.MethodPost, path: patientURL(v.r.PathValue("id"), "associations"), body: view.invitation, idempotencyKey: view.Key}, &made)
	var refusal *problem
	if errors.As(err, &refusal) {
		view.Key = rand.Text() // nothing was done; what is sent next is another invitation
		if refusal.Code == "own_account" {
			wrong.field("login_email", refusal.Detail)
			return v.inviteAgain(http.StatusForbidden, view, wrong)
		}
		if status, ok := wrong.refused(refusal, inviteWords, "given_name", "family_name", "login_email", "relationship", "authority", "starts_on", "ends_on", "locale"); ok {
			return v.inviteAgain(status, view, wrong)
		}
	}
	if err != nil {
		return err
	}
	v.session.SetFlash("We have written to "+firstOf(made.LoginEmail, view.LoginEmail)+".",
		"Add the address to the family contact list of the health-record system too.")
	http.Redirect(v.w, v.r, associationURL(made.ID), http.StatusSeeOther)
	return nil
}

// inviteAgain shows the form with what was typed.
func (v *visit) inviteAgain(status int, view inviteView, wrong problems) error {
	found, err := v.thePatient()
	if err != nil {
		return err
	}
	view.Patient = found
	return v.renderInvite(status, view, wrong)
}

func (v *visit) renderInvite(status int, view inviteView, wrong problems) error {
	return v.render(status, "invite.html", &look.Page{Title: "Invite a parent or guardian", Problems: wrong, View: view})
}
