package admin

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/practice"
)

func staffInvitation(email string, roles ...string) string {
	body, _ := json.Marshal(map[string]any{"login_email": email, "given_name": "Stan", "family_name": "Neu", "roles": roles})
	return string(body)
}

func (w *world) roles(member uuid.UUID, token, etag string, roles ...string) reply {
	w.t.Helper()
	if roles == nil {
		roles = []string{}
	}
	body, _ := json.Marshal(map[string]any{"roles": roles})
	c := call{method: "PUT", path: path("/staff/%s/roles", member), token: token, body: string(body)}
	if etag != "" {
		c.header = map[string]string{"If-Match": etag}
	}
	return w.do(c)
}

func TestAnAdministratorSeesTheStaffOfTheirPractice(t *testing.T) {
	each(t, func(w *world) {
		r := w.want(w.get("/staff", "boss"), 200, "")
		var got []string
		for _, item := range r.json["items"].([]any) {
			got = append(got, fmt.Sprint(dig(item, "name"), " ", dig(item, "roles"), " ", dig(item, "you")))
		}
		if fmt.Sprint(got) != "[boss Staff [administrator] true boss2 Staff [administrator provider] false front Staff [front_desk] false viewer Staff [provider viewer] false]" {
			w.t.Errorf("staff %q", got)
		}
		if strings.Contains(r.raw, "elm") || strings.Contains(r.raw, "nobody") {
			w.t.Errorf("others show: %s", r.raw)
		}
		// Of several practices only those that one manages.
		w.must(w.people.SetRoles(w.t.Context(), w.boss, w.elm.ID, practice.Viewer))
		if again := w.get("/staff", "boss"); again.raw != r.raw {
			w.t.Errorf("as a viewer elsewhere: %s", again.raw)
		}
		w.want(w.get("/staff", "front"), 403, "permission")
		w.want(w.get("/staff", "nobody"), 403, "no_role")
		id := w.member(w.front, w.oak)
		if one := w.want(w.get("/staff/"+id.String(), "boss"), 200, ""); one.header.Get("ETag") != `"1"` || dig(one.json, "login_email") != "front@staff.example.test" {
			w.t.Errorf("one: %s", one.raw)
		}
	})
}

func TestStaffAreInvitedToOnePractice(t *testing.T) {
	each(t, func(w *world) {
		fresh := w.want(w.post("/staff", "boss", "a", staffInvitation("Stan@Staff.example.test", "front_desk", "provider")), 201, "")
		known := w.want(w.post("/staff", "boss", "b", staffInvitation("elm@staff.example.test", "front_desk", "provider")), 201, "")
		like := strings.NewReplacer(fresh.json["id"].(string), "ID", "stan@", "X@").Replace(fresh.raw)
		if got := strings.NewReplacer(known.json["id"].(string), "ID", "elm@", "X@").Replace(known.raw); got != like {
			w.t.Errorf("a new one\n%s\na known one\n%s", like, got)
		}
		if w.lettersTo("invite", "stan@staff.example.test") != 1 || w.lettersTo("access_added", "elm@staff.example.test") != 1 || w.count(`SELECT COUNT(*) FROM mail_outbox`) != 2 {
			w.t.Error("each is written to once")
		}
		if n := w.count(`SELECT COUNT(*) FROM staff_roles r JOIN accounts a ON a.id = r.account_id
			WHERE a.login_email = 'stan@staff.example.test' AND r.practice_id = $1 AND a.realm = 'practice' AND a.state = 'invited'`, w.oak.ID); n != 2 ||
			w.count(`SELECT COUNT(*) FROM staff_roles r JOIN accounts a ON a.id = r.account_id WHERE a.login_email = 'stan@staff.example.test'`) != 2 {
			w.t.Errorf("%d roles in the practice", n)
		}
		if w.count(`SELECT COUNT(*) FROM audit_events WHERE kind = 'roles.changed' AND actor = $1 AND practice_id = $2`, audit.Account(w.boss), w.oak.ID.String()) != 2 || w.events("staff.invited") != 2 {
			w.t.Error("the roles are not in the trail")
		}
		again := w.want(w.post("/staff", "boss", "a", staffInvitation("Stan@Staff.example.test", "front_desk", "provider")), 201, "")
		if again.raw != fresh.raw || again.header.Get("Idempotency-Replayed") != "true" {
			w.t.Errorf("again: %s", again.raw)
		}
		w.want(w.post("/staff", "boss", "c", staffInvitation("stan@staff.example.test", "viewer")), 409, "already_staff")
		w.want(w.post("/staff", "boss", "c", staffInvitation("boss@staff.example.test", "viewer")), 403, "own_roles")
		w.want(w.post("/staff", "front", "c", staffInvitation("x@staff.example.test", "viewer")), 403, "permission")
		for _, roles := range [][]string{{}, {"owner"}, {"viewer", "viewer"}, {"viewer", "provider", "front_desk", "administrator", "viewer"}} {
			w.want(w.post("/staff", "boss", "d", staffInvitation("x@staff.example.test", roles...)), 422, "invalid")
		}
		for _, body := range []string{
			`{"login_email":"x@staff.example.test","given_name":"X","family_name":"Y","roles":"viewer"}`,
			`{"login_email":"x@staff.example.test","given_name":"X","family_name":"Y","roles":[1]}`,
			`{"login_email":"x@staff.example.test","given_name":"X","family_name":"Y","roles":[["viewer"]]}`,
			`{"login_email":"x@staff.example.test","given_name":"X","family_name":"Y","roles":["viewer"],"practices":["x"]}`,
		} {
			w.want(w.post("/staff", "boss", "d", body), 400, "bad_request")
		}
		// The guardians' realm is another one.
		w.want(w.post("/staff", "boss", "e", staffInvitation("rosa@example.test", "viewer")), 201, "")
		if w.count(`SELECT COUNT(*) FROM accounts WHERE login_email = 'rosa@example.test'`) != 2 {
			w.t.Error("a guardian's account was made staff")
		}
	})
}

// What a request names chooses among the practices that one manages.
func TestWhereStaffAreInvitedFollowsFromTheRolesOfWhoInvites(t *testing.T) {
	each(t, func(w *world) {
		at := func(key, site string) reply {
			body := strings.Replace(staffInvitation(key+"@staff.example.test", "viewer"), "{", `{"practice_id":"`+site+`",`, 1)
			return w.post("/staff", "boss", key, body)
		}
		w.want(at("a", w.oak.ID.String()), 201, "")
		w.want(at("b", w.elm.ID.String()), 404, "not_found")
		w.want(at("b", uuid.NewString()), 404, "not_found")
		w.want(at("b", "x"), 404, "not_found")
		w.must(w.people.SetRoles(w.t.Context(), w.boss, w.elm.ID, practice.FrontDesk))
		w.want(at("b", w.elm.ID.String()), 403, "permission")
		w.must(w.people.SetRoles(w.t.Context(), w.boss, w.elm.ID, practice.Administrator))
		w.want(w.post("/staff", "boss", "c", staffInvitation("c@staff.example.test", "viewer")), 422, "invalid")
		w.want(at("b", w.elm.ID.String()), 201, "")
		if n := w.count(`SELECT COUNT(*) FROM staff_roles r JOIN accounts a ON a.id = r.account_id WHERE r.practice_id = $1 AND a.login_email = 'b@staff.example.test'`, w.elm.ID); n != 1 {
			w.t.Errorf("%d roles", n)
		}
	})
}

func TestRolesAreChangedByAnotherAdministratorOnly(t *testing.T) {
	each(t, func(w *world) {
		id := w.member(w.front, w.oak)
		for tag, want := range map[string]string{"": "428 if_match_missing", "*": "428 if_match_missing", "1": "400 if_match", `"7"`: "412 version", `W/"1"`: "412 version"} {
			if r := w.roles(id, "boss", tag, "viewer"); fmt.Sprintf("%d %s", r.status, r.code()) != want {
				w.t.Errorf("If-Match %q: %d %s", tag, r.status, r.raw)
			}
		}
		r := w.want(w.roles(id, "boss", `"1"`, "viewer", "administrator"), 200, "")
		if fmt.Sprint(r.json["roles"]) != "[administrator viewer]" || r.header.Get("ETag") != `"2"` {
			w.t.Errorf("changed: %s %s", r.header.Get("ETag"), r.raw)
		}
		if w.count(`SELECT COUNT(*) FROM audit_events WHERE kind = 'roles.changed' AND severity = 'high' AND actor = $1 AND target = $2 AND details LIKE '%front_desk%'`,
			audit.Account(w.boss), audit.Account(w.front)) != 1 {
			w.t.Error("the trail does not say who made an administrator")
		}
		w.want(w.roles(id, "boss", `"1"`, "viewer"), 412, "version")
		// The same again is no change.
		if r = w.want(w.roles(id, "boss", `"2"`, "administrator", "viewer"), 200, ""); r.header.Get("ETag") != `"2"` {
			w.t.Errorf("no change: %s", r.header.Get("ETag"))
		}
		// It counts from the next request on.
		w.want(w.get("/staff", "front"), 200, "")
		w.want(w.roles(id, "boss", `"2"`, "viewer"), 200, "")
		w.want(w.get("/staff", "front"), 403, "permission")
		// Nobody's own, nor without the permission, nor elsewhere.
		w.want(w.roles(w.member(w.boss, w.oak), "boss", `"1"`, "administrator", "front_desk"), 403, "own_roles")
		w.want(w.delete("/staff/"+w.member(w.boss, w.oak).String(), "boss", `"1"`), 403, "own_roles")
		w.want(w.roles(id, "viewer", `"3"`, "administrator"), 403, "permission")
		w.want(w.roles(id, "elmboss", `"3"`, "administrator"), 404, "not_found")
		w.want(w.roles(id, "boss", `"3"`), 422, "invalid")
	})
}

func TestAPracticeKeepsAnAdministrator(t *testing.T) {
	each(t, func(w *world) {
		one, two := w.member(w.boss, w.oak), w.member(w.boss2, w.oak)
		// Two administrators who remove each other at the same time.
		var wg sync.WaitGroup
		var replies [2]reply
		wg.Go(func() { replies[0] = w.delete("/staff/"+two.String(), "boss", `"1"`) })
		wg.Go(func() { replies[1] = w.roles(one, "boss2", `"1"`, "viewer") })
		wg.Wait()
		done := 0
		for _, r := range replies {
			if r.status == 200 {
				done++
			} else if r.code() != "last_administrator" && r.code() != "permission" && r.code() != "not_found" && r.code() != "no_role" {
				w.t.Errorf("%d %s", r.status, r.raw)
			}
		}
		if done != 1 || w.count(`SELECT COUNT(*) FROM staff_roles WHERE practice_id = $1 AND role = 'administrator'`, w.oak.ID) != 1 {
			w.t.Errorf("%d were done", done)
		}
		// One who is invited is none yet.
		w.must(w.people.SetRoles(w.t.Context(), w.boss, w.oak.ID, practice.Administrator))
		w.must(w.people.SetRoles(w.t.Context(), w.boss2, w.oak.ID, practice.Administrator))
		w.exec(`UPDATE accounts SET state = 'invited' WHERE id = $1`, w.boss)
		m, err := w.people.MemberOf(w.t.Context(), w.boss2, w.boss2, w.oak.ID)
		w.must(err)
		if err := w.people.ChangeRoles(w.t.Context(), practice.Who{Actor: "x"}, m, m.Version, practice.Viewer); err == nil {
			w.t.Error("the last one who can act was removed")
		}
	})
}

func TestStaffAreRemovedWithWhatWasSentToThem(t *testing.T) {
	each(t, func(w *world) {
		id := w.want(w.post("/staff", "boss", "a", staffInvitation("stan@staff.example.test", "viewer")), 201, "").json["id"].(string)
		at := "/staff/" + id
		w.want(w.post(at+"/invitation", "boss", "k", ""), 409, "invited_just_now")
		w.want(w.post("/staff/"+w.member(w.front, w.oak).String()+"/invitation", "boss", "k", ""), 409, "not_invited")
		dbtest.Advance(w.db, 6*time.Minute)
		w.want(w.post(at+"/invitation", "boss", "k", ""), 202, "")
		w.want(w.post(at+"/invitation", "boss", "k", ""), 202, "")
		if w.count(`SELECT COUNT(*) FROM invitations`) != 2 {
			w.t.Error("two invitations are expected")
		}
		w.want(w.delete(at, "boss", ""), 428, "if_match_missing")
		w.want(w.delete(at, "boss", `"9"`), 412, "version")
		r := w.want(w.delete(at, "boss", `"1"`), 200, "")
		if r.json["removed"] != true || w.count(`SELECT COUNT(*) FROM invitations WHERE voided_at IS NULL`) != 0 || w.events("staff.removed") != 1 {
			w.t.Errorf("removed: %s", r.raw)
		}
		w.want(w.get(at, "boss"), 404, "not_found")
		w.want(w.delete(at, "boss", `"1"`), 404, "not_found")
		// Who has a role elsewhere too keeps that, and the invitation to it.
		w.post("/staff", "boss", "b", staffInvitation("both@staff.example.test", "viewer"))
		both := w.want(w.post("/staff", "elmboss", "b", staffInvitation("both@staff.example.test", "viewer")), 201, "").json["id"].(string)
		w.want(w.delete("/staff/"+both, "elmboss", `"1"`), 200, "")
		if w.count(`SELECT COUNT(*) FROM invitations WHERE voided_at IS NULL`) != 1 {
			w.t.Error("the other practice's invitation ended")
		}
		// Removed staff lose their place with the next request.
		w.want(w.get("/patients", "front"), 200, "")
		w.want(w.delete("/staff/"+w.member(w.front, w.oak).String(), "boss", `"1"`), 200, "")
		w.want(w.get("/patients", "front"), 403, "no_role")
	})
}
