package practiceportal

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// staffWorld is what the fake API knows of invitations, waivers and staff.
type staffWorld struct {
	perms     perms
	elsewhere bool // the person also manages a second practice
	made      []map[string]any
	waiver    map[string]any
	members   []*member
}

type member struct {
	id, name, email, state string
	frozen, you            bool
	roles                  []string
	version                int
}

const (
	memberID = "0195713e-7d52-7c3f-9d0c-7a1f6f1f2b21"
	youID    = "0195713e-7d52-7c3f-9d0c-7a1f6f1f2b22"
)

// staffed is newWorld for an administrator with a colleague.
func (a *fakeAPI) staffed() {
	a.perms = perms{Invite: true, Waive: true, ManageStaff: true}
	a.members = []*member{
		{id: memberID, name: "Tom Becker", email: "tom@maple.example.test", state: "active", roles: []string{"viewer"}, version: 3},
		{id: youID, name: "Rosa Jimenez", email: "rosa@maple.example.test", state: "active", roles: []string{"administrator"}, version: 1, you: true},
	}
}

func (a *fakeAPI) practices() []any {
	list := []any{map[string]any{"id": "p1", "name": "Maple Street Clinic", "roles": []string{"front_desk"}, "permissions": a.perms}}
	if a.elsewhere {
		list = append(list, map[string]any{"id": "p2", "name": "Juniper Family Practice", "roles": []string{"administrator"}, "permissions": perms{ManageStaff: true}})
	}
	return list
}

func (a *fakeAPI) serveStaff(w http.ResponseWriter, r *http.Request, path string) bool {
	switch {
	case r.Method == "POST" && (path == "/patients/"+patientID+"/associations" || path == "/staff"):
		a.invite(w, r)
	case r.Method == "POST" && strings.HasPrefix(path, "/password-resets/"+resetID+"/answer-waiver"):
		a.waive(w, r, strings.HasSuffix(path, "/approval"))
	case path == "/staff" && !a.perms.ManageStaff:
		a.problem(w, 403, "permission", "Your role does not allow this")
	case path == "/staff":
		items := []any{}
		for _, m := range a.members {
			items = append(items, m.document())
		}
		writeJSON(w, 200, map[string]any{"items": items})
	case strings.HasPrefix(path, "/staff/"):
		id, act, _ := strings.Cut(strings.TrimPrefix(path, "/staff/"), "/")
		for _, m := range a.members {
			if m.id == id {
				a.act(w, r, m, act)
				return true
			}
		}
		return false
	default:
		return false
	}
	return true
}

func (m *member) document() map[string]any {
	return map[string]any{"id": m.id, "practice": map[string]any{"id": "p1", "name": "Maple Street Clinic"}, "name": m.name, "login_email": m.email,
		"state": m.state, "frozen": m.frozen, "last_signed_in_at": nil, "roles": m.roles, "you": m.you, "version": m.version}
}

func (a *fakeAPI) act(w http.ResponseWriter, r *http.Request, m *member, act string) {
	tag := fmt.Sprintf(`"%d"`, m.version)
	if (r.Method == "PUT" || r.Method == "DELETE") && r.Header.Get("If-Match") != tag {
		a.problem(w, 412, "version", "It has changed since it was read")
		return
	}
	if r.Method == "POST" && r.Header.Get("Idempotency-Key") == "" {
		a.problem(w, 400, "idempotency_key", "An Idempotency-Key is needed")
		return
	}
	switch r.Method + " " + act {
	case "GET ":
	case "PUT roles":
		var body rolesChange
		if !a.read(w, r, &body) {
			return
		}
		m.roles, m.version = body.Roles, m.version+1
	case "POST invitation":
		a.mails++
	case "POST unfreeze":
		var body identityCheck
		if !a.read(w, r, &body) {
			return
		}
		a.identity, m.frozen = append(a.identity, body.IdentityCheck), false
	case "DELETE ":
		a.members = slices.DeleteFunc(a.members, func(each *member) bool { return each == m })
	default:
		a.problem(w, 404, "not_found", "There is no such thing here")
		return
	}
	w.Header().Set("ETag", fmt.Sprintf(`"%d"`, m.version))
	writeJSON(w, 200, m.document())
}

func (a *fakeAPI) invite(w http.ResponseWriter, r *http.Request) {
	var body map[string]any
	if !a.read(w, r, &body) || r.Header.Get("Idempotency-Key") == "" {
		return
	}
	switch body["login_email"] {
	case "tied@example.test":
		a.problem(w, 409, "association_exists", "The guardian is tied to this patient already")
		return
	case "rosa@maple.example.test":
		a.problem(w, 403, map[bool]string{true: "own_roles", false: "own_account"}[r.URL.Path == "/admin/v1/staff"], "Nobody does that for themselves")
		return
	case "strange@example.test":
		writeJSON(w, 422, map[string]any{"status": 422, "code": "invalid", "title": "The request does not make sense",
			"errors": []any{map[string]any{"location": "body.given_name", "message": "not a name"}}})
		return
	}
	a.made = append(a.made, body)
	a.mails++
	id := associationID
	if r.URL.Path == "/admin/v1/staff" {
		id = memberID
	}
	writeJSON(w, 201, map[string]any{"id": id, "login_email": body["login_email"]})
}

func (a *fakeAPI) waive(w http.ResponseWriter, r *http.Request, approves bool) {
	switch {
	case r.Header.Get("Idempotency-Key") == "":
		a.problem(w, 400, "idempotency_key", "An Idempotency-Key is needed")
		return
	case approves && (a.waiver == nil || a.waiver["state"] == "approved"):
		a.problem(w, 409, "waiver_state", "The waiver is not in the right state")
		return
	case approves:
		a.waiver["state"] = "approved"
	default:
		var body identityCheck
		if !a.read(w, r, &body) {
			return
		}
		a.waiver = map[string]any{"state": "requested", "requested_at": "2025-03-07T14:12:00Z", "requested_by_you": true, "identity_check": body.IdentityCheck, "approved_at": nil}
	}
	writeJSON(w, 200, a.reset())
}
