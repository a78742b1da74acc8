package practiceportal

import (
	"crypto/rand"
	"errors"
	"net/http"
	"strings"

	"github.com/portico-id/portico/internal/demo/look"
)

// help is something staff can do for a guardian whom a reset link does not
// help. Each is a page with one button; two of them ask how the person's
// identity was checked.
type help struct {
	path, api  string // below the association's, here and at the API
	takes      bool   // takes something away (DELETE); else it is a POST
	title      string
	text       string
	button     string
	done, next string
	identity   bool
	can        func(association) bool
}

var helps = []help{
	{path: "invitation", api: "/invitation", title: "Send the invitation again?", button: "Send invitation again",
		text: "We will email a new invitation. The earlier one stops working.",
		done: "The invitation was sent again.", next: "Ask the guardian to look in the spam folder too.",
		can: func(a association) bool { return a.Can.SendInvitation }},
	{path: "take-back", api: "/invitation", takes: true, title: "Take the invitation back?", button: "Take invitation back",
		text: "The link in the letter stops working, and nobody gets access to the patient’s record with it. Whoever has signed in already keeps the account, without this patient.",
		done: "The invitation is taken back.", next: "Invite the right address from the patient’s page.",
		can: func(a association) bool { return a.Can.CancelInvitation }},
	{path: "login-email-change", api: "/login-email-change", takes: true, title: "Cancel the change of the login email?", button: "Cancel the change",
		text: "The link in the guardian’s letter stops working. The login email stays as it is.",
		done: "The change is cancelled.", next: "The login email is what it was.",
		can: func(a association) bool { return a.Can.CancelEmailChange }},
	{path: "unfreeze", api: "/account/unfreeze", title: "Unfreeze the account?", button: "Unfreeze", identity: true,
		text: "Somebody said “this wasn’t me” with a link out of an email, so nobody can sign in. Make sure who you are talking to, and that the login email is theirs. The old password stops working: send a reset link afterwards.",
		done: "The account is open again.", next: "The old password does not work any more: send a reset link now.",
		can: func(a association) bool { return a.Can.Unfreeze }},
	{path: "second-step", api: "/account/second-factor-removal", title: "Remove the second step?", button: "Remove second step", identity: true,
		text: "For a guardian who has lost the phone or the security key. The password alone signs in again, and recovery codes stop working.",
		done: "The second step is removed.", next: "The guardian can set it up again after signing in.",
		can: func(a association) bool { return a.Can.RemoveSecondFactors }},
}

// helpView is the page of a help.
type helpView struct {
	Association  association
	Text, Button string
	Identity     bool
	Path         string
	Check        string
	Key          string // Idempotency-Key: the same for every click on this page
	CheckProblem string
	Resumed      bool
}

type identityCheck struct {
	IdentityCheck string `json:"identity_check"`
}

func (p *Portal) mountHelps(mux *http.ServeMux) {
	for _, h := range helps {
		at := "/associations/{id}/" + h.path
		mux.HandleFunc("GET "+at, p.handle(p.signedIn(h.ask)))
		mux.HandleFunc("POST "+at, p.handle(p.signedIn(h.send)))
	}
}

func (h help) ask(v *visit) error {
	found, err := v.association()
	if err != nil {
		return err
	}
	if !h.can(found) {
		return v.failure(http.StatusForbidden, "You cannot do that here", "It is not needed any more, or your role in the practice does not include it.")
	}
	view := helpView{Association: found, Key: rand.Text()}
	if v.form != nil {
		view.Check, view.Resumed = v.form.Get("identity_check"), true
		view.Key = firstOf(v.form.Get("key"), view.Key)
	}
	return h.render(v, http.StatusOK, view, nil)
}

func (h help) send(v *visit) error {
	view := helpView{Check: strings.TrimSpace(v.r.PostFormValue("identity_check")), Key: v.r.PostFormValue("key")}
	if h.identity && view.Check == "" {
		view.CheckProblem = checkEmpty
		return h.again(v, http.StatusUnprocessableEntity, view, nil)
	}
	request := call{method: http.MethodPost, path: associationURL(v.r.PathValue("id")) + h.api, idempotencyKey: view.Key}
	if h.takes {
		request.method, request.idempotencyKey = http.MethodDelete, ""
	}
	if h.identity {
		request.body = identityCheck{view.Check}
	}
	_, err := v.call(request, nil)
	var refusal *problem
	if errors.As(err, &refusal) {
		switch refusal.Status {
		case http.StatusConflict:
			view.Key = rand.Text()
			return h.again(v, http.StatusConflict, view, []string{refusal.words()})
		case http.StatusBadRequest, http.StatusUnprocessableEntity:
			view.Key = rand.Text()
			if refusal.about("identity_check") {
				view.CheckProblem = checkLong
				return h.again(v, http.StatusUnprocessableEntity, view, nil)
			}
			return h.again(v, http.StatusUnprocessableEntity, view, []string{refusal.words()})
		}
	}
	if err != nil {
		return err
	}
	v.session.SetFlash(h.done, h.next)
	http.Redirect(v.w, v.r, associationURL(v.r.PathValue("id")), http.StatusSeeOther)
	return nil
}

// again shows the form with what was typed and what the account is now.
func (h help) again(v *visit, status int, view helpView, general []string) error {
	found, err := v.association()
	if err != nil {
		return err
	}
	view.Association = found
	return h.render(v, status, view, general)
}

func (h help) render(v *visit, status int, view helpView, general []string) error {
	view.Text, view.Button, view.Identity = h.text, h.button, h.identity
	view.Path = associationURL(view.Association.ID, h.path)
	page := &look.Page{Title: h.title, View: view}
	for _, text := range general {
		page.Problems = append(page.Problems, look.Problem{Text: text})
	}
	if view.CheckProblem != "" {
		page.Problems = append(page.Problems, look.Problem{Field: "identity_check", Text: view.CheckProblem})
	}
	return v.render(status, "help.html", page)
}
