package practiceportal

import (
	"crypto/rand"
	"errors"
	"net/http"

	"github.com/portico-id/portico/internal/demo/look"
)

// staffAct is something an administrator does to a colleague's place in the
// practice. Each is a page with one button.
type staffAct struct {
	path, method, api string
	title             string
	text              string
	button            string
	identity          bool // asks how the person's identity was checked
	can               func(colleague) bool
	done, next        string
	list              bool // leads back to the list: the place is gone
}

var staffActs = []staffAct{
	{path: "invitation", method: http.MethodPost, api: "/invitation", title: "Send the invitation again?", button: "Send invitation again",
		text: "We will email a new invitation. The earlier one stops working.",
		done: "The invitation was sent again.", next: "Ask the person to look in the spam folder too.",
		can: func(c colleague) bool { return c.State == "invited" && !c.You }},
	{path: "unfreeze", method: http.MethodPost, api: "/unfreeze", title: "Unfreeze the account?", button: "Unfreeze", identity: true,
		text: "Somebody said “this wasn’t me” with a link out of an email, so nobody can sign in. Make sure who you are talking to. The old password stops working.",
		done: "The account is open again.", next: "The old password does not work any more: ask the person to use “Forgot your password?” on the sign-in page.",
		can: func(c colleague) bool { return c.Frozen && !c.You }},
	{path: "remove", method: http.MethodDelete, title: "Remove from the staff?", button: "Remove", list: true,
		text: "All roles in this practice are taken away at once. The account stays, with the roles it has in other practices. An invitation that has not been used stops working.",
		done: "Removed from the staff.",
		can:  func(c colleague) bool { return !c.You }},
}

// staffActView is the page of an act.
type staffActView struct {
	Colleague    colleague
	Text, Button string
	Identity     bool
	Path         string
	Check        string
	Key, ETag    string
	Resumed      bool
}

func (a staffAct) ask(v *visit) error {
	found, err := v.theColleague()
	if err != nil {
		return err
	}
	if !a.can(found) {
		return v.failure(http.StatusForbidden, "You cannot do that here", "It is not needed any more, or the account is your own and a colleague has to do it.")
	}
	view := staffActView{Colleague: found, Key: rand.Text(), ETag: found.etag}
	if v.form != nil {
		view.Check, view.Resumed = v.form.Get("identity_check"), true
		view.Key, view.ETag = firstOf(v.form.Get("key"), view.Key), firstOf(v.form.Get("etag"), view.ETag)
	}
	return a.render(v, http.StatusOK, view, nil)
}

func (a staffAct) send(v *visit) error {
	view := staffActView{Check: v.sent("identity_check"), Key: v.r.PostFormValue("key"), ETag: v.r.PostFormValue("etag")}
	var wrong problems
	if a.identity && view.Check == "" {
		wrong.field("identity_check", checkEmpty)
		return a.again(v, http.StatusUnprocessableEntity, view, wrong)
	}
	request := call{method: a.method, path: staffURL(v.r.PathValue("id")) + a.api}
	if a.method == http.MethodDelete {
		request.ifMatch = view.ETag
	} else {
		request.idempotencyKey = view.Key
	}
	if a.identity {
		request.body = identityCheck{view.Check}
	}
	_, err := v.call(request, nil)
	var refusal *problem
	if errors.As(err, &refusal) {
		view.Key = rand.Text()
		if refusal.Status == http.StatusPreconditionFailed {
			view.ETag = ""
			wrong.general("Somebody else changed this member of staff while you were looking. Look again, then decide.")
			return a.again(v, http.StatusConflict, view, wrong)
		}
		if status, ok := wrong.refused(refusal, map[string]string{"identity_check": checkLong}, "identity_check"); ok {
			return a.again(v, status, view, wrong)
		}
	}
	if err != nil {
		return err
	}
	if a.next == "" {
		v.session.SetFlash(a.done)
	} else {
		v.session.SetFlash(a.done, a.next)
	}
	target := staffURL(v.r.PathValue("id"))
	if a.list {
		target = "/staff"
	}
	http.Redirect(v.w, v.r, target, http.StatusSeeOther)
	return nil
}

// again shows the form with what was typed and what the account is now.
func (a staffAct) again(v *visit, status int, view staffActView, wrong problems) error {
	found, err := v.theColleague()
	if err != nil {
		return err
	}
	view.Colleague, view.ETag = found, firstOf(view.ETag, found.etag)
	return a.render(v, status, view, wrong)
}

func (a staffAct) render(v *visit, status int, view staffActView, wrong problems) error {
	view.Text, view.Button, view.Identity = a.text, a.button, a.identity
	view.Path = staffURL(view.Colleague.ID, a.path)
	return v.render(status, "staffact.html", &look.Page{Title: a.title, Problems: wrong, View: view})
}
