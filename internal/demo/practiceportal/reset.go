package practiceportal

import (
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/portico-id/portico/internal/demo/look"
)

// confirmView is the page "Reset {name}'s password?".
type confirmView struct {
	Association association
	Confirm     string // the address the person saw when deciding
	Reason      string
	Key         string // Idempotency-Key: the same for every click on this page
	WhyProblem  string
	Resumed     bool
}

func (p *Portal) askReset(v *visit) error {
	found, err := v.association()
	if err != nil {
		return err
	}
	if !found.Can.ResetPassword {
		return v.failure(http.StatusForbidden, "You cannot reset this password",
			firstOf(found.ResetBlockedReason, "Your role in the practice does not include sending reset links."))
	}
	view := confirmView{Association: found, Confirm: found.Guardian.LoginEmail, Key: rand.Text()}
	if v.form != nil {
		view.Reason, view.Resumed = v.form.Get("reason"), true
		view.Key = firstOf(v.form.Get("key"), view.Key)
	}
	return v.renderConfirm(http.StatusOK, view, nil)
}

func (p *Portal) sendReset(v *visit) error {
	view := confirmView{
		Confirm: v.r.PostFormValue("confirm_login_email"), Reason: strings.TrimSpace(v.r.PostFormValue("reason")),
		Key: v.r.PostFormValue("key"),
	}
	if view.Reason == "" {
		view.WhyProblem = "Enter the reason for the reset"
		return v.confirmAgain(http.StatusUnprocessableEntity, view, nil)
	}
	var sent reset
	_, err := v.call(call{
		method: http.MethodPost, path: associationURL(v.r.PathValue("id"), "password-resets"),
		body: resetRequest{ConfirmLoginEmail: view.Confirm, Reason: view.Reason}, idempotencyKey: view.Key,
	}, &sent)
	var refusal *problem
	if errors.As(err, &refusal) {
		switch refusal.Status {
		case http.StatusConflict, http.StatusPreconditionFailed:
			// Nothing was sent. The page now shows the address on file, and a
			// new key, for the person to decide about again.
			view.Confirm, view.Key = "", rand.Text()
			return v.confirmAgain(http.StatusConflict, view, []string{refusal.words()})
		case http.StatusBadRequest, http.StatusUnprocessableEntity:
			view.Key = rand.Text()
			if refusal.about("reason") {
				view.WhyProblem = reasonFormat
				return v.confirmAgain(http.StatusUnprocessableEntity, view, nil)
			}
			return v.confirmAgain(http.StatusUnprocessableEntity, view, []string{refusal.words()})
		}
	}
	if err != nil {
		return err
	}
	http.Redirect(v.w, v.r, associationURL(v.r.PathValue("id"), "password-resets", sent.ID), http.StatusSeeOther)
	return nil
}

func (v *visit) confirmAgain(status int, view confirmView, general []string) error {
	found, err := v.association()
	if err != nil {
		return err
	}
	view.Association = found
	view.Confirm = firstOf(view.Confirm, found.Guardian.LoginEmail)
	return v.renderConfirm(status, view, general)
}

func (v *visit) renderConfirm(status int, view confirmView, general []string) error {
	page := &look.Page{Title: "Reset " + view.Association.Guardian.Name + "’s password?", View: view}
	for _, text := range general {
		page.Problems = append(page.Problems, look.Problem{Text: text})
	}
	if view.WhyProblem != "" {
		page.Problems = append(page.Problems, look.Problem{Field: "reason", Text: view.WhyProblem})
	}
	return v.render(status, "confirm.html", page)
}

// resetView is a reset link with the words for its state.
type resetView struct {
	AssociationID string
	ID            string
	Title, Text   string
	Tone          string // ok, bad or none
	Open          bool   // may still be used, so may be cancelled
	Events        []eventView
	URL           string
	Waiver        *waiverView // nil: nothing to say about the security question
	Asked         bool        // a colleague waits for somebody to agree
}

type eventView struct{ What, When string }

func (p *Portal) showReset(v *visit) error {
	var found reset
	if _, err := v.call(call{method: http.MethodGet, path: "/password-resets/" + url.PathEscape(v.r.PathValue("reset"))}, &found); err != nil {
		return err
	}
	view := v.describe(v.r.PathValue("id"), found)
	return v.render(http.StatusOK, "reset.html", &look.Page{Title: "Password reset link", Wide: true, View: view})
}

func (p *Portal) cancelReset(v *visit) error {
	_, err := v.call(call{method: http.MethodDelete, path: "/password-resets/" + url.PathEscape(v.r.PathValue("reset"))}, nil)
	var refusal *problem
	// It was used or replaced a moment ago: the page shows which.
	if errors.As(err, &refusal) && (refusal.Status == http.StatusConflict || refusal.Status == http.StatusGone) {
		err = nil
	}
	if err != nil {
		return err
	}
	http.Redirect(v.w, v.r, associationURL(v.r.PathValue("id"), "password-resets", v.r.PathValue("reset")), http.StatusSeeOther)
	return nil
}

func (v *visit) describe(associationID string, r reset) *resetView {
	until := look.Moment("en", r.ExpiresAt, v.portal.zone)
	view := &resetView{AssociationID: associationID, ID: r.ID, URL: associationURL(associationID, "password-resets", r.ID)}
	view.Title, view.Text, view.Tone, view.Open = stateWords(r.State, r.LoginEmail, until)
	if view.Open && !r.ExpiresAt.IsZero() && time.Now().After(r.ExpiresAt) {
		view.Title, view.Text, view.Tone, view.Open = stateWords("expired", r.LoginEmail, until)
	}
	view.Waiver = v.waiver(view.URL, r, view.Open)
	view.Asked = view.Waiver != nil && view.Waiver.Allow != ""
	for _, e := range r.Events {
		view.Events = append(view.Events, eventView{eventWords(e.State), look.Moment("en", e.At, v.portal.zone)})
	}
	return view
}

// stateWords says what a link's state means for the person at the desk.
func stateWords(state, email, until string) (title, text, tone string, open bool) {
	works := "Sent to " + email + ". Works until " + until + "."
	switch state {
	case "requested", "queued":
		return works, "The email is on its way. Load this page again to see whether it was delivered.", "ok", true
	case "sent":
		return works, "The email was delivered to the mail server. Their current password keeps working until they choose a new one.", "ok", true
	case "opened":
		return works, "The link was opened. Their current password keeps working until they choose a new one.", "ok", true
	case "answered_wrong":
		return works, "The link was opened, but the security question was answered wrong.", "", true
	case "used":
		return "Done. " + email + " has a new password.", "The link was used and cannot be used again.", "ok", false
	case "failed":
		return "The email to " + email + " could not be delivered.", "Check the login email, then send a new link.", "bad", false
	case "expired":
		return "The link to " + email + " has expired.", "It worked until " + until + ". Send a new link if it is still needed.", "", false
	case "replaced":
		return "A newer link has replaced this one.", "Only the newest link works.", "", false
	case "cancelled":
		return "This link was cancelled.", "It no longer works. Their current password is unchanged.", "", false
	}
	return works, "State: " + state, "", false
}

// eventWords names a step in a link's life.
func eventWords(state string) string {
	switch state {
	case "requested":
		return "Requested"
	case "queued":
		return "Waiting to be sent"
	case "sent":
		return "Sent"
	case "failed":
		return "Could not be delivered"
	case "opened":
		return "Link opened"
	case "answered_wrong":
		return "Security question answered wrong"
	case "used":
		return "New password chosen"
	case "expired":
		return "Expired"
	case "replaced":
		return "Replaced by a newer link"
	case "cancelled":
		return "Cancelled"
	}
	return state
}
