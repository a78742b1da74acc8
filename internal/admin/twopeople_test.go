package admin

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/practice"
)

// newcomer is somebody whom a colleague has invited as administrator and who
// has activated the account, with a token of the name.
func (w *world) newcomer(by, name string) uuid.UUID {
	w.t.Helper()
	email := name + "@staff.example.test"
	w.want(w.post("/staff", by, "new-"+name, staffInvitation(email, "administrator")), 201, "")
	var id uuid.UUID
	w.must(w.db.QueryRow(w.t.Context(), `SELECT id FROM accounts WHERE login_email = $1`, email).Scan(&id))
	w.exec(`UPDATE accounts SET state = 'active' WHERE id = $1`, id)
	w.tokens.set(name, Claims{AccountID: id, ClientID: "portal", Scopes: []string{"admin.read", "admin.manage"}, AuthTime: w.db.Now(w.t.Context())})
	return id
}

// One administrator is not two people by inviting addresses of their own, and
// not by having those invite further ones.
func TestAnAdministratorWhoInvitesAnotherIsStillOnePerson(t *testing.T) {
	each(t, func(w *world) {
		w.newcomer("boss", "second")
		w.newcomer("second", "third")
		w.factors.has[w.rosa] = account.FactorSummary{TOTP: true}
		sent := w.want(w.reset(w.miaRosa, "boss", "k", "rosa@example.test"), 202, "")
		at, removal := "/password-resets/"+sent.json["id"].(string)+"/answer-waiver", "/associations/"+w.miaRosa.String()+"/account/second-factor-removal"
		for _, who := range []string{"second", "third"} {
			w.want(w.post(at, who, "ask", seen), 403, "recent_role")
			w.want(w.post(removal, who, "remove", seen), 403, "recent_role")
			if view := w.get("/associations/"+w.miaRosa.String(), who); dig(view.json, "can", "remove_second_factors") != false {
				w.t.Errorf("%s: %s", who, view.raw)
			}
		}
		w.want(w.post(at, "boss", "ask", seen), 200, "")
		for _, who := range []string{"second", "third"} {
			w.want(w.post(at+"/approval", who, "agree", ""), 403, "recent_role")
		}
		// A role given again counts anew, so nobody waits out the week twice with one.
		dbtest.Advance(w.db, 8*24*time.Hour)
		w.fresh("boss", "second", "third")
		second := w.member(w.tokens.claims["second"].AccountID, w.oak)
		w.want(w.roles(second, "third", `"1"`, "viewer"), 200, "")
		w.want(w.roles(second, "third", `"2"`, "administrator"), 200, "")
		w.want(w.post(removal, "second", "remove2", seen), 403, "recent_role")
		sent = w.want(w.reset(w.miaRosa, "boss", "k2", "rosa@example.test"), 202, "")
		at = "/password-resets/" + sent.json["id"].(string) + "/answer-waiver"
		w.want(w.post(at, "third", "ask2", seen), 200, "")
		w.want(w.post(at+"/approval", "second", "agree2", ""), 403, "recent_role")
		w.want(w.post(at+"/approval", "boss", "agree2", ""), 200, "")
		// What was asked for before the role went and came back is not approved.
		sent = w.want(w.reset(w.miaRosa, "boss", "k3", "rosa@example.test"), 202, "")
		at = "/password-resets/" + sent.json["id"].(string) + "/answer-waiver"
		w.want(w.post(at, "third", "ask3", seen), 200, "")
		third := w.member(w.tokens.claims["third"].AccountID, w.oak)
		w.want(w.roles(third, "boss", `"1"`, "viewer"), 200, "")
		w.want(w.roles(third, "boss", `"2"`, "administrator"), 200, "")
		w.want(w.post(at+"/approval", "boss", "agree3", ""), 409, "waiver_state")
		// An import knows its people.
		w.must(w.people.SetRoles(w.t.Context(), w.tokens.claims["second"].AccountID, w.oak.ID, practice.Administrator))
		w.want(w.post(removal, "second", "remove4", seen), 200, "")
	})
}

// Changing the address and then answering the freezing by oneself would leave
// the guardian's "this wasn't me" without effect.
func TestWhoChangedTheLoginEmailDoesNotUnfreeze(t *testing.T) {
	each(t, func(w *world) {
		w.staff("front2", w.oak, practice.FrontDesk)
		at := "/associations/" + w.miaRosa.String()
		change := func(who, email string) {
			w.t.Helper()
			w.want(w.patch(w.miaRosa, who, w.get(at, who).header.Get("ETag"), email), 200, "")
		}
		freeze := func() {
			w.t.Helper()
			w.must(w.accounts.Freeze(w.t.Context(), w.patients, w.rosa, account.By{Actor: "anonymous"}))
		}
		change("front", "mallory@example.test")
		freeze()
		r := w.want(w.post(at+"/account/unfreeze", "front", "a", seen), 403, "second_person")
		if until := w.db.Now(w.t.Context()).Add(7 * 24 * time.Hour).Format("2 January 2006"); !strings.Contains(r.json["detail"].(string), until) {
			w.t.Errorf("it does not say until when: %s", r.raw)
		}
		if view := w.get(at, "front"); dig(view.json, "can", "unfreeze") != false || !strings.Contains(view.json["unfreeze_blocked_reason"].(string), "administrator who did not change it") {
			w.t.Errorf("the front desk: %s", view.raw)
		}
		w.want(w.post(at+"/account/unfreeze", "front2", "a", seen), 403, "permission")
		// Another change on top of it does not wash the first one off.
		change("boss", "rosa.right@example.test")
		w.want(w.post(at+"/account/unfreeze", "front", "b", seen), 403, "second_person")
		w.want(w.post(at+"/account/unfreeze", "boss", "b", seen), 403, "second_person")
		w.newcomer("boss", "second")
		w.want(w.post(at+"/account/unfreeze", "second", "b", seen), 403, "recent_role")
		if view := w.get(at, "boss2"); dig(view.json, "can", "unfreeze") != true || view.json["unfreeze_blocked_reason"] != "" {
			w.t.Errorf("an administrator: %s", view.raw)
		}
		w.want(w.post(at+"/account/unfreeze", "boss2", "b", seen), 200, "")
		// After the week it is the front desk's again.
		freeze()
		w.want(w.post(at+"/account/unfreeze", "front", "c", seen), 403, "second_person")
		dbtest.Advance(w.db, 7*24*time.Hour+time.Minute)
		w.fresh("front")
		w.want(w.post(at+"/account/unfreeze", "front", "c", seen), 200, "")
		// What the guardian, or the operator, has changed is no reason.
		for i, actor := range []string{audit.Account(w.rosa), "system"} {
			a, err := w.accounts.FindByEmail(w.t.Context(), "patient", "rosa.right@example.test")
			if i == 1 {
				a, err = w.accounts.FindByEmail(w.t.Context(), "patient", "rosa0@example.test")
			}
			w.must(err)
			_, err = w.accounts.ChangeEmail(w.t.Context(), w.patients, w.rosa, a.Version, "rosa"+string(rune('0'+i))+"@example.test", account.By{Actor: actor})
			w.must(err)
			freeze()
			w.want(w.post(at+"/account/unfreeze", "front", "d"+actor, seen), 200, "")
		}
	})
}

func TestAFrozenMemberOfStaffIsLetInByAnotherAdministrator(t *testing.T) {
	each(t, func(w *world) {
		of := func(id uuid.UUID, p practice.Practice) string {
			return "/staff/" + w.member(id, p).String() + "/unfreeze"
		}
		front, boss := of(w.front, w.oak), of(w.boss, w.oak)
		w.want(w.post(front, "boss", "a", seen), 409, "not_frozen")
		freeze := func(id uuid.UUID) {
			w.t.Helper()
			w.must(w.accounts.Freeze(w.t.Context(), w.staffs, id, account.By{Actor: "anonymous"}))
		}
		freeze(w.front)
		for _, who := range []string{"viewer", "front"} {
			if r := w.post(front, who, "a", seen); r.status != 403 {
				w.t.Errorf("%s: %d %s", who, r.status, r.raw)
			}
		}
		w.want(w.post(front, "elmboss", "a", seen), 404, "not_found")
		w.want(w.post(boss, "boss", "a", seen), 403, "own_account")
		for _, body := range []string{`{}`, `{"identity_check":" "}`} {
			w.want(w.post(front, "boss", "b", body), 422, "invalid")
		}
		w.want(w.post(front, "boss", "", seen), 400, "idempotency_key")
		// Who was made an administrator a short while ago may be the thief's friend.
		w.newcomer("boss", "second")
		w.want(w.post(front, "second", "a", seen), 403, "recent_role")
		// Nor who has changed the address.
		w.must(w.api.d.Audit.Record(w.t.Context(), audit.Event{Realm: "practice", Kind: "email.changed", Actor: audit.Account(w.boss2), Target: audit.Account(w.front)}))
		w.want(w.post(front, "boss2", "a", seen), 403, "second_person")
		r := w.want(w.post(front, "boss", "c", seen), 200, "")
		if r.json["frozen"] != false || r.header.Get("ETag") != `"1"` {
			w.t.Errorf("%s", r.raw)
		}
		if again := w.want(w.post(front, "boss", "c", seen), 200, ""); again.raw != r.raw || again.header.Get("Idempotency-Replayed") != "true" {
			w.t.Errorf("again: %s", again.raw)
		}
		if w.count(`SELECT COUNT(*) FROM audit_events WHERE kind = 'staff.unfrozen' AND severity = 'high' AND actor = $1 AND target = $2 AND details LIKE '%photo ID%'`,
			audit.Account(w.boss), audit.Account(w.front)) != 1 || w.events("account.unfrozen") != 1 || w.lettersTo("account_unfrozen", "front@staff.example.test") != 1 {
			w.t.Error("the trail or the letter is missing")
		}
		w.want(w.get("/patients", "front"), 200, "")
	})
}

// What one practice lets past stands in the other's part of the trail; and what
// another practice gave to an address is not for the reader of the next one.
func TestOtherPracticesHearOfIt(t *testing.T) {
	each(t, func(w *world) {
		w.factors.has[w.shared] = account.FactorSummary{TOTP: true}
		at := "/associations/" + w.miaShared.String() + "/account/"
		w.want(w.post(at+"second-factor-removal", "boss", "a", seen), 200, "")
		w.must(w.accounts.Freeze(w.t.Context(), w.patients, w.shared, account.By{Actor: "anonymous"}))
		w.want(w.post(at+"unfreeze", "front", "b", seen), 200, "")
		told := func(kind string, association uuid.UUID) int {
			return w.count(`SELECT COUNT(*) FROM audit_events WHERE kind = $1 AND severity = 'high' AND practice_id = $2 AND details LIKE $3`,
				kind, w.elm.ID.String(), "%"+association.String()+"%")
		}
		if told("admin.second_factors_removed_elsewhere", w.zoeShared) != 1 || told("admin.unfrozen_elsewhere", w.zoeShared) != 1 {
			w.t.Error("the other practice does not hear of it")
		}
		// Elm invites Rosa, who has not come yet; then Oak changes her address.
		theirs := w.want(w.post("/patients/"+w.zoe.String()+"/associations", "elm", "i", invitation("rosa@example.test")), 201, "").json["id"].(string)
		if view := w.get("/associations/"+w.miaRosa.String(), "front"); view.json["change_needs_guardian"] != false {
			w.t.Errorf("an invitation alone makes a practice ask: %s", view.raw)
		}
		w.want(w.patch(w.miaRosa, "front", `"1"`, "rosa.new@example.test"), 200, "")
		view := w.want(w.get("/associations/"+theirs, "elm"), 200, "")
		if view.json["portal_access"] != false || dig(view.json, "guardian", "login_email") != "rosa@example.test" || told("association.lapsed", uuid.MustParse(theirs)) != 1 {
			w.t.Errorf("the other practice's invitation: %s", view.raw)
		}
		// One that was used binds.
		w.want(w.post("/patients/"+w.zoe.String()+"/associations", "elm", "j", invitation("rosa.new@example.test")), 201, "")
		dbtest.Advance(w.db, time.Minute)
		w.exec(`UPDATE accounts SET last_signed_in_at = $2 WHERE id = $1`, w.rosa, w.db.Now(w.t.Context()))
		w.want(w.patch(w.miaRosa, "front", w.get("/associations/"+w.miaRosa.String(), "front").header.Get("ETag"), "mallory@example.test"), 202, "")
		if w.events("association.lapsed") != 1 {
			w.t.Error("what the guardian uses lapsed")
		}
	})
}
