package practiceportal

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/portico-id/portico/internal/demo/look"
)

const perPage = 20

// searchView is the page Patient Administration.
type searchView struct {
	By, Query, Access string
	Searched          bool
	Count             string
	Patients          []patient
	SeveralPractices  bool
	Next, First       string
}

// search is Patient Administration: it lists patients found by their own names
// or, with the Account filter, through their portal accounts.
func (p *Portal) search(v *visit) error {
	q := v.r.URL.Query()
	view := searchView{By: q.Get("by"), Query: strings.TrimSpace(q.Get("q")), Access: q.Get("access"), Searched: q.Has("by") || q.Has("q")}
	if view.By != "patient" {
		view.By = "account"
	}
	page := &look.Page{Title: "Patient Administration", Wide: true}
	if view.Searched {
		if err := v.find(&view, q.Get("cursor")); err != nil {
			return err
		}
	}
	page.View = view
	return v.render(http.StatusOK, "patients.html", page)
}

func (v *visit) find(view *searchView, cursor string) error {
	query := url.Values{"by": {view.By}, "q": {view.Query}, "limit": {fmt.Sprint(perPage)}}
	if view.Access != "" {
		query.Set("access", view.Access)
	}
	if cursor != "" {
		query.Set("cursor", cursor)
	}
	var found patientList
	if _, err := v.call(call{method: http.MethodGet, path: "/patients", query: query}, &found); err != nil {
		return err
	}
	view.Patients = found.Items
	for _, each := range found.Items {
		view.SeveralPractices = view.SeveralPractices || each.Practice.ID != found.Items[0].Practice.ID
	}
	here := url.Values{"by": {view.By}, "q": {view.Query}}
	if view.Access != "" {
		here.Set("access", view.Access)
	}
	if cursor != "" {
		view.First = "/patients?" + here.Encode()
	}
	if found.NextCursor != "" {
		here.Set("cursor", found.NextCursor)
		view.Next = "/patients?" + here.Encode()
	}
	view.Count = countWords(len(found.Items), view.Query, found.NextCursor != "", cursor != "")
	return nil
}

// countWords says how many were found; a list that goes on has no total.
func countWords(n int, query string, more, continued bool) string {
	what := "patients"
	if n == 1 {
		what = "patient"
	}
	suffix := ""
	if query != "" {
		suffix = " for “" + query + "”"
	}
	switch {
	case continued && n == 0:
		return "No more patients" + suffix
	case continued:
		return fmt.Sprintf("%d more %s%s", n, what, suffix)
	case n == 0:
		return "No patients found" + suffix
	case more:
		return fmt.Sprintf("The first %d %s%s. There are more.", n, what, suffix)
	}
	return fmt.Sprintf("%d %s found%s", n, what, suffix)
}

func (p *Portal) patient(v *visit) error {
	found, err := v.thePatient()
	if err != nil {
		return err
	}
	view := struct {
		patient
		MayInvite bool
	}{patient: found}
	for _, m := range v.practices(true) {
		view.MayInvite = view.MayInvite || m.ID == found.Practice.ID && m.Permissions.Invite
	}
	return v.render(http.StatusOK, "patient.html", &look.Page{Title: found.Name(), Wide: true, View: view})
}

// associationView is an association with the words for its latest link.
type associationView struct {
	association
	Reset *resetView
}

func (p *Portal) association(v *visit) error {
	found, err := v.association()
	if err != nil {
		return err
	}
	view := associationView{association: found}
	if found.LatestReset != nil {
		view.Reset = v.describe(found.ID, *found.LatestReset)
	}
	return v.render(http.StatusOK, "association.html", &look.Page{Title: found.Guardian.Name, Wide: true, View: view})
}

// association reads the association of the address, with its version.
func (v *visit) association() (association, error) {
	var found association
	header, err := v.call(call{method: http.MethodGet, path: associationURL(v.r.PathValue("id"))}, &found)
	if err != nil {
		return association{}, err
	}
	if found.etag = header.Get("ETag"); found.etag == "" {
		found.etag = `"` + strings.Trim(string(found.Version), `"`) + `"`
	}
	return found, nil
}
