package practiceportal

import (
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"

	"github.com/portico-id/portico/internal/demo/look"
)

// Waivers: for a guardian who cannot remember the answer, two administrators
// together let one link lead past the security question. The first says how the
// person's identity was checked, the second one agrees.

// waiverView is what the page of a link says about its security question.
type waiverView struct {
	Title, Text string
	Check       string // how the colleague made sure of the person
	Ask, Allow  string // where to go to ask for it, or to agree
}

// waiver puts the state of a link's waiver into words; nil when there is nothing
// to say.
func (v *visit) waiver(url string, r reset, open bool) *waiverView {
	w := r.Waiver
	switch {
	case w == nil && open && v.anywhere(func(p perms) bool { return p.Waive }, true):
		return &waiverView{Title: "Cannot remember the answer?",
			Text: "Two administrators together can let this one link lead past the security question. You say how you made sure who it is; a colleague agrees.",
			Ask:  url + "/waiver"}
	case w == nil:
		return nil
	case w.State == "approved":
		return &waiverView{Title: "The security question is not asked", Text: "Two administrators have agreed to that for this link. Any other link asks it."}
	case !open:
		return nil
	case w.RequestedByYou:
		return &waiverView{Title: "A second administrator has to agree",
			Text: "You have asked for the security question not to be asked. Nothing changes until a colleague opens this page and agrees."}
	case w.IdentityCheck != "":
		return &waiverView{Title: "A colleague asks you to agree", Check: w.IdentityCheck,
			Text:  "The guardian cannot remember the answer. Once you agree, this one link leads straight to the new password.",
			Allow: url + "/waiver/approval"}
	}
	return &waiverView{Title: "Waiting for an administrator", Text: "A colleague has asked for the security question not to be asked. An administrator has to agree."}
}

func (p *Portal) mountWaivers(mux *http.ServeMux) {
	const at = "/associations/{id}/password-resets/{reset}/waiver"
	mux.HandleFunc("GET "+at, p.handle(p.signedIn(p.askWaiver)))
	mux.HandleFunc("POST "+at, p.handle(p.signedIn(p.sendWaiver)))
	mux.HandleFunc("GET "+at+"/approval", p.handle(p.signedIn(p.askApproval)))
	mux.HandleFunc("POST "+at+"/approval", p.handle(p.signedIn(p.sendApproval)))
}

// waiveView is the page with which somebody asks for a waiver, or agrees to it.
type waiveView struct {
	Association association
	Link        reset
	Approves    bool
	URL         string // of the link's page
	Path        string
	Check       string
	Key         string
	Resumed     bool
}

func resetAPI(id string, below string) string {
	return "/password-resets/" + url.PathEscape(id) + below
}

// openWaiver reads the link and the guardian of the address.
func (v *visit) openWaiver(approves bool) (waiveView, error) {
	view := waiveView{Approves: approves, Key: rand.Text(),
		URL: associationURL(v.r.PathValue("id"), "password-resets", v.r.PathValue("reset"))}
	view.Path = view.URL + "/waiver"
	if approves {
		view.Path += "/approval"
	}
	if _, err := v.call(call{method: http.MethodGet, path: resetAPI(v.r.PathValue("reset"), "")}, &view.Link); err != nil {
		return view, err
	}
	var err error
	view.Association, err = v.association()
	return view, err
}

func (p *Portal) askWaiver(v *visit) error {
	view, err := v.openWaiver(false)
	if err != nil {
		return err
	}
	may, err := v.in(view.Association.Patient.Practice.ID)
	switch {
	case err != nil:
		return err
	case !may.Waive:
		return v.failure(http.StatusForbidden, "You cannot ask for that", "Your role in the practice does not include it. An administrator can.")
	case view.Link.Waiver != nil:
		http.Redirect(v.w, v.r, view.URL, http.StatusSeeOther) // somebody was faster; the page says how it stands
		return nil
	}
	if v.form != nil {
		view.Check, view.Resumed = v.form.Get("identity_check"), true
		view.Key = firstOf(v.form.Get("key"), view.Key)
	}
	return v.renderWaive(http.StatusOK, view, nil)
}

func (p *Portal) sendWaiver(v *visit) error {
	check, key := v.sent("identity_check"), v.r.PostFormValue("key")
	var wrong problems
	if check == "" {
		wrong.field("identity_check", checkEmpty)
		return v.waiveAgain(http.StatusUnprocessableEntity, false, check, key, wrong)
	}
	_, err := v.call(call{method: http.MethodPost, path: resetAPI(v.r.PathValue("reset"), "/answer-waiver"),
		body: identityCheck{check}, idempotencyKey: key}, nil)
	return v.waived(err, false, check, wrong,
		"You have asked for the security question not to be asked.", "A second administrator has to agree: ask one to open this page.")
}

func (p *Portal) askApproval(v *visit) error {
	view, err := v.openWaiver(true)
	if err != nil {
		return err
	}
	may, err := v.in(view.Association.Patient.Practice.ID)
	switch w := view.Link.Waiver; {
	case err != nil:
		return err
	case w == nil || w.State == "approved":
		http.Redirect(v.w, v.r, view.URL, http.StatusSeeOther)
		return nil
	case w.RequestedByYou:
		return v.failure(http.StatusForbidden, "A second person is needed", "You have asked for this yourself, so a colleague has to agree.")
	case !may.Waive:
		return v.failure(http.StatusForbidden, "You cannot agree to that", "Your role in the practice does not include it. Another administrator can.")
	}
	if v.form != nil {
		view.Resumed, view.Key = true, firstOf(v.form.Get("key"), view.Key)
	}
	return v.renderWaive(http.StatusOK, view, nil)
}

func (p *Portal) sendApproval(v *visit) error {
	_, err := v.call(call{method: http.MethodPost, path: resetAPI(v.r.PathValue("reset"), "/answer-waiver/approval"),
		idempotencyKey: v.r.PostFormValue("key")}, nil)
	return v.waived(err, true, "", nil, "The security question behind this link is not asked.", "Tell the guardian to open the newest link.")
}

// waived goes on after a request or its approval.
func (v *visit) waived(err error, approves bool, check string, wrong problems, flash ...string) error {
	var refusal *problem
	if errors.As(err, &refusal) {
		if status, ok := wrong.refused(refusal, map[string]string{"identity_check": checkLong}, "identity_check"); ok {
			return v.waiveAgain(status, approves, check, rand.Text(), wrong)
		}
	}
	if err != nil {
		return err
	}
	v.session.SetFlash(flash...)
	http.Redirect(v.w, v.r, associationURL(v.r.PathValue("id"), "password-resets", v.r.PathValue("reset")), http.StatusSeeOther)
	return nil
}

func (v *visit) waiveAgain(status int, approves bool, check, key string, wrong problems) error {
	view, err := v.openWaiver(approves)
	if err != nil {
		return err
	}
	view.Check, view.Key = check, key
	return v.renderWaive(status, view, wrong)
}

func (v *visit) renderWaive(status int, view waiveView, wrong problems) error {
	title := "Do without the security question?"
	if view.Approves {
		title = "Agree to do without the security question?"
	}
	return v.render(status, "waiver.html", &look.Page{Title: title, Problems: wrong, View: view})
}
