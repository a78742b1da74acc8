package server_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/oauth2"

	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/demo/seed"
	"github.com/portico-id/portico/internal/practice"
)

// withoutID is an answer without what differs between any two.
func withoutID(r reply) string {
	id, _ := r.json["request_id"].(string)
	header := r.header.Clone()
	header.Del("Date")
	header.Del("X-Request-Id")
	raw, _ := json.Marshal(header)
	return strings.ReplaceAll(r.body, id, "ID") + string(raw)
}

func TestAnotherPracticesIDsAreAsAbsentAsNone(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		var patient, association uuid.UUID
		for _, p := range seed.Demo().Patients {
			if p.PracticeID == juniper.ID {
				patient = p.ID
			}
		}
		for _, a := range seed.Demo().Associations {
			if a.PatientID == patient {
				association = a.ID
			}
		}
		// A link that the other practice has sent, to somebody of theirs.
		priya := w.admin(t, seededPerson(t, "practice", "priya.nair@juniper.example.test"))
		theirs := w.api(t, priya, "GET", "/associations/"+association.String(), nil)
		email := theirs.json["guardian"].(map[string]any)["login_email"]
		reset := w.api(t, priya, "POST", "/associations/"+association.String()+"/password-resets",
			map[string]any{"confirm_login_email": email, "reason": "called in"}, "Idempotency-Key", randomText(8))
		if reset.status != 202 {
			t.Fatalf("%d %s", reset.status, reset.body)
		}
		for _, role := range []practice.Role{"administrator", "viewer"} {
			access := w.admin(t, w.staff(t, maple, role))
			ask := func(method, path string, body any, header ...string) reply {
				return w.api(t, access, method, path, body, header...)
			}
			send, change := map[string]any{"confirm_login_email": email, "reason": "x"}, map[string]any{"login_email": "x@example.test", "reason": "x"}
			for name, pair := range map[string][2]reply{
				"patient":     {ask("GET", "/patients/"+patient.String(), nil), ask("GET", "/patients/"+uuid.NewString(), nil)},
				"association": {ask("GET", "/associations/"+association.String(), nil), ask("GET", "/associations/"+uuid.NewString(), nil)},
				"email": {ask("PATCH", "/associations/"+association.String()+"/login-email", change, "If-Match", `"1"`),
					ask("PATCH", "/associations/"+uuid.NewString()+"/login-email", change, "If-Match", `"1"`)},
				"reset": {ask("POST", "/associations/"+association.String()+"/password-resets", send, "Idempotency-Key", "a"),
					ask("POST", "/associations/"+uuid.NewString()+"/password-resets", send, "Idempotency-Key", "b")},
				"state":  {ask("GET", "/password-resets/"+reset.get("id"), nil), ask("GET", "/password-resets/"+uuid.NewString(), nil)},
				"cancel": {ask("DELETE", "/password-resets/"+reset.get("id"), nil), ask("DELETE", "/password-resets/"+uuid.NewString(), nil)},
			} {
				if pair[0].status != 404 || withoutID(pair[0]) != withoutID(pair[1]) {
					t.Errorf("%s, %s: theirs is %d %s\nabsent is %d %s", role, name, pair[0].status, withoutID(pair[0]), pair[1].status, withoutID(pair[1]))
				}
			}
			if r := ask("GET", "/patients?by=account&q="+url.QueryEscape(email.(string)), nil); strings.Contains(r.body, patient.String()) {
				t.Errorf("%s finds their patient", role)
			}
			if r := ask("GET", "/patients/not-an-id", nil); r.status != 404 {
				t.Errorf("no ID at all: %d", r.status)
			}
		}
	})
}

func TestRolesDecideWhatStaffMayDo(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		guardian := w.guardian(t)
		path := "/associations/" + guardian.association.String()
		for _, role := range []practice.Role{"viewer", "provider"} {
			access := w.admin(t, w.staff(t, maple, role))
			if r := w.api(t, access, "GET", path, nil); r.status != 200 {
				t.Errorf("%s looks: %d", role, r.status)
			}
			r := w.api(t, access, "POST", path+"/password-resets", map[string]any{"confirm_login_email": guardian.email, "reason": "x"}, "Idempotency-Key", "k")
			if r.status != 403 || r.get("code") != "permission" {
				t.Errorf("%s sends: %d %s", role, r.status, r.body)
			}
			r = w.api(t, access, "PATCH", path+"/login-email", map[string]any{"login_email": "x@example.test", "reason": "x"}, "If-Match", `"1"`)
			if r.status != 403 || r.get("code") != "permission" {
				t.Errorf("%s changes: %d %s", role, r.status, r.body)
			}
		}
		kim := w.admin(t, seededPerson(t, "practice", "kim.foster@example.test"))
		if r := w.api(t, kim, "GET", path, nil); r.status != 403 || r.get("code") != "no_role" {
			t.Errorf("without a role: %d %s", r.status, r.body)
		}
		// Losing the role counts with the next request.
		who := w.staff(t, maple, "front_desk")
		access := w.admin(t, who)
		if err := w.srv.Practices().SetRoles(t.Context(), who.id, maple.ID); err != nil {
			t.Fatal(err)
		}
		if r := w.api(t, access, "GET", path, nil); r.status != 403 {
			t.Errorf("with a lost role: %d %s", r.status, r.body)
		}
		if n := w.count(t, `SELECT COUNT(*) FROM recovery_tickets WHERE account_id = $1`, guardian.id); n != 0 {
			t.Errorf("%d links", n)
		}
	})
}

func TestStaffHaveToHaveSignedInRecently(t *testing.T) {
	eachAlone(t, options{}, func(t *testing.T, w *world) {
		guardian, who := w.guardian(t), w.staff(t, maple, "front_desk")
		b, p := w.browser(t), w.party(t, "practice", "portal", "openid", "offline_access", "admin.read", "admin.manage")
		had := p.signIn(b, who)
		dbtest.Advance(w.db(), 11*time.Minute)
		fresh := p.renew(t, had.refresh) // a fresh token of an old sign-in
		send := func(access string) reply {
			return w.api(t, access, "POST", "/associations/"+guardian.association.String()+"/password-resets",
				map[string]any{"confirm_login_email": guardian.email, "reason": "x"}, "Idempotency-Key", "k")
		}
		r := send(fresh.get("access_token"))
		if r.status != 401 || !strings.Contains(r.header.Get("WWW-Authenticate"), "insufficient_user_authentication") ||
			!strings.Contains(r.header.Get("WWW-Authenticate"), `max_age="600"`) {
			t.Fatalf("%d %s %s", r.status, r.header.Get("WWW-Authenticate"), r.body)
		}
		a := p.begin(oauth2.SetAuthURLParam("max_age", "600"))
		answer := b.send(b.open(a.url).want(t, 200, "Sign in"), "email", who.email, "password", who.password)
		q := p.redeem(t, a, p.code(t, a, answer))
		if r := send(q.get("access_token")); r.status != 202 {
			t.Errorf("after signing in again: %d %s", r.status, r.body)
		}
	})
}
