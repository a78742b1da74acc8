package practiceportal

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portico-id/portico/internal/demo/look/looktest"
	"github.com/portico-id/portico/internal/demo/relyingparty/optest"
)

// fakeAPI answers like the provider's admin API, for one patient and one
// guardian.
type fakeAPI struct {
	sync.Mutex
	op *optest.OP

	email      string
	version    int
	mayManage  bool
	blocked    string
	needsFresh bool // 401 insufficient_user_authentication unless the sign-in is new
	refuse     *problem
	noRole     bool
	challenge  string // of the next 401
	cursor     string // next_cursor of a first page

	frozen, invited, factors bool
	waiting                  bool // changes of the login email need the guardian
	identity                 []string
	stuck                    string // why nobody here unfreezes

	staffWorld

	state    string // of the latest reset
	sent     map[string]string
	mails    int
	searches []string
	calls    int
}

const (
	patientID     = "0195713e-7d52-7c3f-9d0c-7a1f6f1f2b11"
	associationID = "0195713e-7d52-7c3f-9d0c-7a1f6f1f2b12"
	resetID       = "0195713e-7d52-7c3f-9d0c-7a1f6f1f2b13"
)

func newWorld(t *testing.T) (*fakeAPI, *looktest.Browser, string) {
	t.Helper()
	api := &fakeAPI{op: optest.New(t), email: "ana.rivera@example.test", version: 4, mayManage: true, sent: map[string]string{}}
	api.op.Person = optest.Person{Subject: "staff-1", Name: "Rosa Jimenez", GivenName: "Rosa", Email: "rosa@maple.example.test"}
	apiServer := httptest.NewServer(api)
	t.Cleanup(apiServer.Close)
	server := httptest.NewUnstartedServer(nil)
	base := "http://" + server.Listener.Addr().String()
	api.op.Redirect = base + "/callback"
	zone, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	portal, err := New(Config{BaseURL: base, Issuer: api.op.Issuer, ClientID: optest.ClientID, ClientSecret: optest.ClientSecret,
		AdminAPI: apiServer.URL + "/admin/v1", Zone: zone})
	if err != nil {
		t.Fatal(err)
	}
	server.Config.Handler = portal
	server.Start()
	t.Cleanup(server.Close)
	return api, looktest.NewBrowser(t, "en"), base
}

func (a *fakeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	good := a.op.Good(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	fresh := func() bool { a.op.Lock(); defer a.op.Unlock(); return a.op.AuthAge < 10*time.Minute }()
	a.Lock()
	defer a.Unlock()
	a.calls++
	path := strings.TrimPrefix(r.URL.Path, "/admin/v1")
	write := r.Method != http.MethodGet
	switch {
	case !good:
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		a.problem(w, 401, "token_invalid", "The access token is not accepted")
	case write && a.needsFresh && !fresh:
		w.Header().Set("WWW-Authenticate", `Bearer error="insufficient_user_authentication", max_age=600`)
		a.problem(w, 401, "sign_in_again", "A more recent sign-in is needed")
	case write && a.challenge != "":
		w.Header().Set("WWW-Authenticate", a.challenge)
		a.challenge = ""
		a.problem(w, 401, "sign_in_again", "A more recent sign-in is needed")
	case a.noRole:
		a.problem(w, 403, "no_role", "No role in any practice")
	case write && a.refuse != nil:
		p := a.refuse
		a.refuse = nil
		writeJSON(w, p.Status, p)
	default:
		a.serve(w, r, path)
	}
}

func (a *fakeAPI) serve(w http.ResponseWriter, r *http.Request, path string) {
	switch r.Method + " " + path {
	case "GET /me":
		writeJSON(w, 200, map[string]any{"practices": a.practices()})
	case "GET /patients":
		a.searches = append(a.searches, r.URL.RawQuery)
		next := a.cursor
		if r.URL.Query().Get("cursor") != "" {
			next = ""
		}
		writeJSON(w, 200, map[string]any{"items": []any{a.patient()}, "next_cursor": next})
	case "GET /patients/" + patientID:
		writeJSON(w, 200, a.patient())
	case "GET /associations/" + associationID:
		w.Header().Set("ETag", fmt.Sprintf(`"%d"`, a.version))
		writeJSON(w, 200, a.association())
	case "PATCH /associations/" + associationID + "/login-email":
		a.patchEmail(w, r)
	case "POST /associations/" + associationID + "/password-resets":
		a.send(w, r)
	case "GET /password-resets/" + resetID:
		writeJSON(w, 200, a.reset())
	case "DELETE /password-resets/" + resetID:
		if a.state == "used" {
			a.problem(w, 409, "reset_finished", "The link is over already")
			return
		}
		a.state = "cancelled"
		writeJSON(w, 200, a.reset())
	case "DELETE /associations/" + associationID + "/invitation", "DELETE /associations/" + associationID + "/login-email-change":
		a.waiting, a.invited = false, false
		writeJSON(w, 200, a.association())
	case "POST /associations/" + associationID + "/invitation", "POST /associations/" + associationID + "/account/unfreeze",
		"POST /associations/" + associationID + "/account/second-factor-removal":
		a.help(w, r)
	default:
		if !a.serveStaff(w, r, path) {
			a.problem(w, 404, "not_found", "There is no such thing here")
		}
	}
}

func (a *fakeAPI) help(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Idempotency-Key") == "" {
		a.problem(w, 400, "idempotency_key", "An Idempotency-Key is needed")
		return
	}
	if strings.HasSuffix(r.URL.Path, "/invitation") {
		a.mails++
		writeJSON(w, 202, map[string]any{"login_email": a.email, "works_until": time.Now().UTC().Format(time.RFC3339)})
		return
	}
	var body identityCheck
	if !a.read(w, r, &body) {
		return
	}
	a.identity = append(a.identity, body.IdentityCheck)
	if strings.HasSuffix(r.URL.Path, "/unfreeze") {
		a.frozen = false
	} else {
		a.factors = false
	}
	writeJSON(w, 200, map[string]any{"association_id": associationID, "frozen": a.frozen, "second_factors": a.factors, "version": a.version})
}

func (a *fakeAPI) patient() map[string]any {
	return map[string]any{"id": patientID, "practice": map[string]any{"id": "p1", "name": "Maple Street Clinic"},
		"account_number": "MSC-10412", "given_name": "Mateo", "family_name": "Rivera", "birth_date": "2019-05-11",
		"associations": []any{map[string]any{"id": associationID, "relationship": "mother", "guardian_name": "Ana Rivera", "login_email": a.email, "access": "active"}}}
}

func (a *fakeAPI) association() map[string]any {
	doc := map[string]any{"id": associationID, "patient": a.patient(), "relationship": "mother", "authority": "full", "starts_on": "2024-01-15", "ends_on": "",
		"guardian":      map[string]any{"name": "Ana Rivera", "login_email": a.email, "email_verified": true, "state": "active", "last_signed_in_at": "2025-03-06T14:12:00Z", "locale": "es"},
		"portal_access": true, "can": map[string]any{"change_login_email": a.mayManage, "reset_password": a.mayManage && a.blocked == ""},
		"change_blocked_reason": "", "reset_blocked_reason": a.blocked, "version": a.version, "latest_reset": nil}
	guardian, can := doc["guardian"].(map[string]any), doc["can"].(map[string]any)
	guardian["second_factors"], can["remove_second_factors"] = a.factors, a.factors && a.mayManage
	if a.frozen {
		guardian["frozen_at"], can["unfreeze"] = "2025-03-07T14:12:00Z", a.mayManage && a.stuck == ""
		doc["unfreeze_blocked_reason"] = a.stuck
	}
	if a.invited {
		guardian["state"], guardian["invited_at"], can["send_invitation"] = "invited", "2025-03-07T14:12:00Z", a.mayManage
		can["cancel_invitation"] = a.mayManage
	}
	if a.waiting {
		can["cancel_login_email_change"] = a.mayManage
		doc["login_email_change"] = map[string]any{"state": "waiting_for_guardian", "login_email": "ana.new@example.test", "expires_at": "2025-03-09T14:12:00Z"}
	}
	if a.state != "" {
		doc["latest_reset"] = a.reset()
	}
	return doc
}

func (a *fakeAPI) reset() map[string]any {
	return map[string]any{"id": resetID, "state": a.state, "login_email": a.email, "expires_at": time.Now().Add(48 * time.Hour).UTC().Format(time.RFC3339),
		"events": []any{map[string]any{"state": "requested", "at": "2025-03-06T14:12:00Z"}, map[string]any{"state": a.state, "at": "2025-03-06T14:12:05Z"}}, "answer_waiver": a.waiver}
}

func (a *fakeAPI) patchEmail(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("If-Match") != fmt.Sprintf(`"%d"`, a.version) {
		a.problem(w, 412, "version", "The account has changed since it was read")
		return
	}
	var body emailChange
	if !a.read(w, r, &body) {
		return
	}
	if body.LoginEmail == "taken@example.test" {
		a.problem(w, 409, "email_taken", "The address cannot be used")
		return
	}
	if body.LoginEmail == "shared@example.test" {
		a.waiting = true
		writeJSON(w, 202, map[string]any{"association": a.association(), "reminder": "The guardian was asked for permission by mail."})
		return
	}
	a.email, a.version = body.LoginEmail, a.version+1
	writeJSON(w, 200, map[string]any{"association": a.association(), "reminder": "Change the family contact list in the health-record system too."})
}

func (a *fakeAPI) send(w http.ResponseWriter, r *http.Request) {
	key := r.Header.Get("Idempotency-Key")
	raw, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(strings.NewReader(string(raw)))
	var body resetRequest
	if !a.read(w, r, &body) {
		return
	}
	if earlier, again := a.sent[key]; again && earlier != string(raw) || key == "" {
		a.problem(w, 422, "key_reused", "The Idempotency-Key was used for another request")
		return
	} else if !again {
		if body.ConfirmLoginEmail != a.email {
			a.problem(w, 409, "mismatch", "The address is not the one on file")
			return
		}
		a.sent[key] = string(raw)
		a.mails++
		a.state = "queued"
	}
	writeJSON(w, 202, a.reset())
}

func (a *fakeAPI) read(w http.ResponseWriter, r *http.Request, into any) bool {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if r.Header.Get("Content-Type") != "application/json" || d.Decode(into) != nil {
		a.problem(w, 400, "bad_request", "The request cannot be read")
		return false
	}
	return true
}

func (a *fakeAPI) problem(w http.ResponseWriter, status int, code, title string) {
	writeJSON(w, status, &problem{Status: status, Code: code, Title: title, Detail: "What to do about " + code + "."})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	if _, refused := v.(*problem); refused {
		w.Header().Set("Content-Type", "application/problem+json")
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
