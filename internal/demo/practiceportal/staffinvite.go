package practiceportal

import (
	"crypto/rand"
	"errors"
	"net/http"

	"github.com/portico-id/portico/internal/demo/look"
)

// colleagueView is the page that invites a member of staff.
type colleagueView struct {
	invitation
	Practices []practice // that the person manages; chosen among when there are several
	All       []role
	Key       string
	Resumed   bool
}

var colleagueWords = map[string]string{
	"login_email": emailFormat,
	"given_name":  "Enter the given name, as it is written",
	"family_name": "Enter the family name, as it is written",
	"roles":       noRole,
	"practice_id": "Choose the practice",
}

// managed asks for the practices whose staff the person manages.
func (v *visit) managed() ([]practice, error) {
	who, err := v.me()
	var managed []practice
	for _, m := range who.Practices {
		if m.Permissions.ManageStaff {
			managed = append(managed, m.practice)
		}
	}
	return managed, err
}

func (p *Portal) askColleague(v *visit) error {
	managed, err := v.managed()
	if err != nil {
		return err
	}
	if len(managed) == 0 {
		return v.failure(http.StatusForbidden, "You cannot invite staff", "An administrator of the practice can.")
	}
	view := colleagueView{Key: rand.Text(), Practices: managed}
	if v.form != nil {
		view.invitation, view.Resumed = colleagueOf(v.form.Get, v.form["roles"]), true
		view.Key = firstOf(v.form.Get("key"), view.Key)
	}
	return v.renderColleague(http.StatusOK, view, nil)
}

func colleagueOf(get func(string) string, roles []string) invitation {
	return invitation{PracticeID: get("practice_id"), LoginEmail: get("login_email"), GivenName: get("given_name"), FamilyName: get("family_name"), Roles: roles}
}

func (p *Portal) inviteColleague(v *visit) error {
	if err := v.r.ParseForm(); err != nil {
		return v.failure(http.StatusBadRequest, "That did not work", "Nothing was changed. Load the page again.")
	}
	view := colleagueView{invitation: colleagueOf(v.sent, v.r.PostForm["roles"]), Key: v.r.PostFormValue("key")}
	var err error
	if view.Practices, err = v.managed(); err != nil {
		return err
	}
	var wrong problems
	wrong.unless(view.PracticeID != "" || len(view.Practices) < 2, "practice_id", colleagueWords["practice_id"])
	wrong.unless(view.GivenName != "", "given_name", "Enter the given name")
	wrong.unless(view.FamilyName != "", "family_name", "Enter the family name")
	wrong.unless(looksLikeEmail(view.LoginEmail), "login_email", emailFormat)
	wrong.unless(len(view.Roles) > 0, "roles", noRole)
	if len(wrong) > 0 {
		return v.renderColleague(http.StatusUnprocessableEntity, view, wrong)
	}
	var made invited
	_, err = v.call(call{method: http.MethodPost, path: "/staff", body: view.invitation, idempotencyKey: view.Key}, &made)
	var refusal *problem
	if errors.As(err, &refusal) {
		view.Key = rand.Text() // nothing was done; what is sent next is another invitation
		if refusal.Code == "own_roles" {
			wrong.field("login_email", "This is your own address. "+refusal.words())
			return v.renderColleague(http.StatusForbidden, view, wrong)
		}
		if status, ok := wrong.refused(refusal, colleagueWords, "practice_id", "given_name", "family_name", "login_email", "roles"); ok {
			return v.renderColleague(status, view, wrong)
		}
	}
	if err != nil {
		return err
	}
	v.session.SetFlash("We have written to " + firstOf(made.LoginEmail, view.LoginEmail) + ".")
	http.Redirect(v.w, v.r, staffURL(made.ID), http.StatusSeeOther)
	return nil
}

func (v *visit) renderColleague(status int, view colleagueView, wrong problems) error {
	view.All = allRoles
	return v.render(status, "colleagueinvite.html", &look.Page{Title: "Invite a member of staff", Problems: wrong, View: view})
}
