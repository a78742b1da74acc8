package practiceportal

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/portico-id/portico/internal/demo/look"
)

func (p *Portal) mountStaff(mux *http.ServeMux) {
	mux.HandleFunc("GET /staff", p.handle(p.signedIn(p.staff)))
	mux.HandleFunc("GET /staff/invite", p.handle(p.signedIn(p.askColleague)))
	mux.HandleFunc("POST /staff/invite", p.handle(p.signedIn(p.inviteColleague)))
	mux.HandleFunc("GET /staff/{id}", p.handle(p.signedIn(p.colleague)))
	mux.HandleFunc("GET /staff/{id}/roles", p.handle(p.signedIn(p.askRoles)))
	mux.HandleFunc("POST /staff/{id}/roles", p.handle(p.signedIn(p.changeRoles)))
	for _, a := range staffActs {
		at := "/staff/{id}/" + a.path
		mux.HandleFunc("GET "+at, p.handle(p.signedIn(a.ask)))
		mux.HandleFunc("POST "+at, p.handle(p.signedIn(a.send)))
	}
}

func staffURL(id string, below ...string) string {
	target := "/staff/" + url.PathEscape(id)
	for _, part := range below {
		target += "/" + url.PathEscape(part)
	}
	return target
}

func (p *Portal) staff(v *visit) error {
	var found staffList
	if _, err := v.call(call{method: http.MethodGet, path: "/staff"}, &found); err != nil {
		return err
	}
	view := struct {
		Staff   []colleague
		Several bool
	}{Staff: found.Items}
	for _, each := range found.Items {
		view.Several = view.Several || each.Practice.ID != found.Items[0].Practice.ID
	}
	return v.render(http.StatusOK, "staff.html", &look.Page{Title: "Staff", Wide: true, View: view})
}

// theColleague reads the member of staff of the address, with the version.
func (v *visit) theColleague() (colleague, error) {
	var found colleague
	header, err := v.call(call{method: http.MethodGet, path: staffURL(v.r.PathValue("id"))}, &found)
	if err != nil {
		return colleague{}, err
	}
	if found.etag = header.Get("ETag"); found.etag == "" {
		found.etag = `"` + strings.Trim(string(found.Version), `"`) + `"`
	}
	return found, nil
}

func (p *Portal) colleague(v *visit) error {
	found, err := v.theColleague()
	if err != nil {
		return err
	}
	return v.render(http.StatusOK, "colleague.html", &look.Page{Title: found.Name, Wide: true, View: found})
}

// rolesView is the page that says what somebody's roles are.
type rolesView struct {
	Colleague colleague
	Roles     []string // that are ticked
	All       []role
	ETag      string
	Resumed   bool
}

const noRole = "Choose at least one role"

func (p *Portal) askRoles(v *visit) error {
	found, err := v.theColleague()
	if err != nil {
		return err
	}
	if found.You {
		return v.failure(http.StatusForbidden, "Nobody changes their own roles", "Another administrator of the practice can.")
	}
	view := rolesView{Colleague: found, Roles: found.Roles, ETag: found.etag}
	if v.form != nil {
		view.Roles, view.Resumed = v.form["roles"], true
		view.ETag = firstOf(v.form.Get("etag"), view.ETag) // still the version they had looked at
	}
	return v.renderRoles(http.StatusOK, view, nil)
}

func (p *Portal) changeRoles(v *visit) error {
	if err := v.r.ParseForm(); err != nil {
		return v.failure(http.StatusBadRequest, "That did not work", "Nothing was changed. Load the page again.")
	}
	view := rolesView{Roles: v.r.PostForm["roles"], ETag: v.r.PostFormValue("etag")}
	var wrong problems
	if len(view.Roles) == 0 {
		wrong.field("roles", noRole)
		return v.rolesAgain(http.StatusUnprocessableEntity, view, wrong)
	}
	var changed colleague
	_, err := v.call(call{method: http.MethodPut, path: staffURL(v.r.PathValue("id"), "roles"), body: rolesChange{view.Roles}, ifMatch: view.ETag}, &changed)
	var refusal *problem
	if errors.As(err, &refusal) {
		if refusal.Status == http.StatusPreconditionFailed {
			view.ETag = "" // replaced by the version now shown
			wrong.general("Somebody else changed these roles while you were looking. Check them, then save again.")
			return v.rolesAgain(http.StatusConflict, view, wrong)
		}
		if status, ok := wrong.refused(refusal, map[string]string{"roles": noRole}, "roles"); ok {
			return v.rolesAgain(status, view, wrong)
		}
	}
	if err != nil {
		return err
	}
	v.session.SetFlash("The roles are saved.", "They count from the next page that "+changed.Name+" opens.")
	http.Redirect(v.w, v.r, staffURL(v.r.PathValue("id")), http.StatusSeeOther)
	return nil
}

func (v *visit) rolesAgain(status int, view rolesView, wrong problems) error {
	found, err := v.theColleague()
	if err != nil {
		return err
	}
	view.Colleague, view.ETag = found, firstOf(view.ETag, found.etag)
	return v.renderRoles(status, view, wrong)
}

func (v *visit) renderRoles(status int, view rolesView, wrong problems) error {
	view.All = allRoles
	return v.render(status, "roles.html", &look.Page{Title: "Change roles", Problems: wrong, View: view})
}
