package practiceportal

import (
	"errors"
	"net/http"
	"strings"

	"github.com/portico-id/portico/internal/demo/look"
)

const (
	emailFormat  = "Enter an email address like name@example.com"
	reasonFormat = "Enter the reason in at most 500 characters"
)

// emailView is the page that changes a login email.
type emailView struct {
	Association association
	New, Reason string
	ETag        string
	NewProblem  string
	WhyProblem  string
	Resumed     bool // typed before a sign-in, not sent yet
}

func (p *Portal) askEmail(v *visit) error {
	found, err := v.association()
	if err != nil {
		return err
	}
	if !found.Can.ChangeLoginEmail {
		return v.failure(http.StatusForbidden, "You cannot change this login email",
			firstOf(found.ChangeBlockedReason, "Your role in the practice does not include changing login emails."))
	}
	view := emailView{Association: found, ETag: found.etag}
	if v.form != nil {
		view.New, view.Reason, view.Resumed = v.form.Get("login_email"), v.form.Get("reason"), true
		if etag := v.form.Get("etag"); etag != "" {
			view.ETag = etag // still the version they had looked at
		}
	}
	return v.renderEmail(http.StatusOK, view, nil)
}

func (p *Portal) changeEmail(v *visit) error {
	view := emailView{
		New: strings.TrimSpace(v.r.PostFormValue("login_email")), Reason: strings.TrimSpace(v.r.PostFormValue("reason")),
		ETag: v.r.PostFormValue("etag"),
	}
	if view.New == "" || strings.Count(view.New, "@") != 1 || strings.ContainsAny(view.New, " \t") {
		view.NewProblem = emailFormat
	}
	if view.Reason == "" {
		view.WhyProblem = "Enter the reason for the change"
	}
	if view.NewProblem != "" || view.WhyProblem != "" {
		return v.emailAgain(http.StatusUnprocessableEntity, view, nil)
	}
	var changed emailChanged
	_, err := v.call(call{
		method: http.MethodPatch, path: associationURL(v.r.PathValue("id"), "login-email"),
		body: emailChange{LoginEmail: view.New, Reason: view.Reason}, ifMatch: view.ETag,
	}, &changed)
	var refusal *problem
	if errors.As(err, &refusal) {
		switch refusal.Status {
		case http.StatusPreconditionFailed:
			view.ETag = "" // replaced by the version now shown
			return v.emailAgain(http.StatusConflict, view, []string{"Somebody else changed this account while you were looking. Check the login email below, then send your change again."})
		case http.StatusConflict:
			if refusal.Code == "email_taken" {
				view.NewProblem = refusal.words()
				return v.emailAgain(http.StatusConflict, view, nil)
			}
			return v.emailAgain(http.StatusConflict, view, []string{refusal.words()})
		case http.StatusBadRequest, http.StatusUnprocessableEntity:
			var general []string
			if refusal.about("login_email") {
				view.NewProblem = emailFormat
			}
			if refusal.about("reason") {
				view.WhyProblem = reasonFormat
			}
			if view.NewProblem+view.WhyProblem == "" {
				general = []string{refusal.words()}
			}
			return v.emailAgain(http.StatusUnprocessableEntity, view, general)
		}
	}
	if err != nil {
		return err
	}
	if changed.Association.LoginEmailChange != nil { // 202: the guardian is asked first
		v.session.SetFlash("The login email has not changed yet.", changed.Reminder)
		http.Redirect(v.w, v.r, associationURL(v.r.PathValue("id")), http.StatusSeeOther)
		return nil
	}
	v.session.SetFlash("The login email is now "+firstOf(changed.Association.Guardian.LoginEmail, view.New)+".",
		firstOf(changed.Reminder, "Remember to change the family contact list in the health-record system too."))
	http.Redirect(v.w, v.r, associationURL(v.r.PathValue("id")), http.StatusSeeOther)
	return nil
}

// emailAgain shows the form with what was typed and what the account is now.
func (v *visit) emailAgain(status int, view emailView, general []string) error {
	found, err := v.association()
	if err != nil {
		return err
	}
	view.Association = found
	if view.ETag == "" {
		view.ETag = found.etag
	}
	return v.renderEmail(status, view, general)
}

func (v *visit) renderEmail(status int, view emailView, general []string) error {
	page := &look.Page{Title: "Change login email", View: view}
	for _, text := range general {
		page.Problems = append(page.Problems, look.Problem{Text: text})
	}
	if view.NewProblem != "" {
		page.Problems = append(page.Problems, look.Problem{Field: "login_email", Text: view.NewProblem})
	}
	if view.WhyProblem != "" {
		page.Problems = append(page.Problems, look.Problem{Field: "reason", Text: view.WhyProblem})
	}
	return v.render(status, "email.html", page)
}

func firstOf(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}
