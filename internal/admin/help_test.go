package admin

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/practice"
)

const seen = `{"identity_check":"photo ID seen at the desk"}`

func TestAFrozenAccountIsLetInAgainAfterACheck(t *testing.T) {
	each(t, func(w *world) {
		at := "/associations/" + w.miaRosa.String()
		w.want(w.post(at+"/account/unfreeze", "front", "a", seen), 409, "not_frozen")
		w.must(w.accounts.Freeze(w.t.Context(), w.patients, w.rosa, account.By{Actor: "anonymous"}))
		view := w.want(w.get(at, "front"), 200, "")
		if dig(view.json, "guardian", "frozen_at") == nil || dig(view.json, "can", "unfreeze") != true || dig(view.json, "can", "reset_password") != false ||
			view.json["reset_blocked_code"] != "account_frozen" || dig(view.json, "can", "change_login_email") != true {
			w.t.Errorf("frozen: %s", view.raw)
		}
		listed := w.get("/patients/"+w.mia.String(), "front").raw
		if !strings.Contains(listed, `"access":"frozen"`) {
			w.t.Errorf("listed: %s", listed)
		}
		w.want(w.reset(w.miaRosa, "front", "k", "rosa@example.test"), 409, "account_frozen")
		for _, body := range []string{`{}`, `{"identity_check":""}`, `{"identity_check":" \n"}`, `{"identity_check":"` + strings.Repeat("x", 501) + `"}`} {
			w.want(w.post(at+"/account/unfreeze", "front", "b", body), 422, "invalid")
		}
		w.want(w.post(at+"/account/unfreeze", "front", "", seen), 400, "idempotency_key")
		w.want(w.post(at+"/account/unfreeze", "viewer", "b", seen), 403, "permission")
		r := w.want(w.post(at+"/account/unfreeze", "front", "b", seen), 200, "")
		if r.json["frozen"] != false || r.header.Get("ETag") != fmt.Sprintf(`"%v"`, r.json["version"]) {
			w.t.Errorf("%s %s", r.header.Get("ETag"), r.raw)
		}
		again := w.want(w.post(at+"/account/unfreeze", "front", "b", seen), 200, "")
		if again.raw != r.raw || again.header.Get("Idempotency-Replayed") != "true" {
			w.t.Errorf("again: %s", again.raw)
		}
		w.want(w.post(at+"/account/unfreeze", "front", "b", `{"identity_check":"other"}`), 422, "key_reused")
		w.want(w.post(at+"/account/second-factor-removal", "boss", "b", seen), 409, "no_second_factor")
		if n := w.count(`SELECT COUNT(*) FROM audit_events WHERE kind = 'admin.unfrozen' AND severity = 'high' AND actor = $1 AND target = $2
			AND details LIKE '%photo ID seen at the desk%'`, audit.Account(w.front), audit.Account(w.rosa)); n != 1 || w.events("account.unfrozen") != 1 {
			w.t.Errorf("%d events", n)
		}
		w.want(w.reset(w.miaRosa, "front", "k", "rosa@example.test"), 202, "")
	})
}

func TestAFrozenAccountsAddressIsPutRightFirst(t *testing.T) {
	each(t, func(w *world) {
		for _, id := range []uuid.UUID{w.rosa, w.shared} {
			w.must(w.accounts.Freeze(w.t.Context(), w.patients, id, account.By{Actor: "anonymous"}))
		}
		w.want(w.patch(w.miaRosa, "front", w.get("/associations/"+w.miaRosa.String(), "front").header.Get("ETag"), "rosa.right@example.test"), 200, "")
		// But nobody can be asked whose mailbox nobody knows.
		w.want(w.patch(w.miaShared, "front", w.get("/associations/"+w.miaShared.String(), "front").header.Get("ETag"), "sam.right@example.test"), 409, "account_frozen")
	})
}

func TestSecondFactorsAreRemovedByThoseWhoMayWaive(t *testing.T) {
	each(t, func(w *world) {
		at := "/associations/" + w.miaRosa.String()
		w.factors.has[w.rosa] = account.FactorSummary{TOTP: true, Passkeys: 1, RecoveryCodes: 8}
		if view := w.get(at, "boss"); dig(view.json, "guardian", "second_factors") != true || dig(view.json, "can", "remove_second_factors") != true {
			w.t.Errorf("before: %s", view.raw)
		}
		if view := w.get(at, "front"); dig(view.json, "can", "remove_second_factors") != false {
			w.t.Errorf("the front desk: %s", view.raw)
		}
		w.want(w.post(at+"/account/second-factor-removal", "front", "a", seen), 403, "permission")
		changed := w.db.Now(w.t.Context()).Add(-6 * 24 * time.Hour)
		w.exec(`UPDATE accounts SET email_changed_at = $2 WHERE id = $1`, w.rosa, changed)
		until := changed.Add(7 * 24 * time.Hour).Format("2 January 2006, 15:04 MST")
		if r := w.want(w.post(at+"/account/second-factor-removal", "boss", "a", seen), 409, "email_changed_recently"); !strings.Contains(r.json["detail"].(string), "Until "+until) {
			w.t.Errorf("does not say until when: %s", r.raw)
		}
		w.exec(`UPDATE accounts SET email_changed_at = $2, frozen_at = $2 WHERE id = $1`, w.rosa, changed.Add(-2*24*time.Hour))
		w.want(w.post(at+"/account/second-factor-removal", "boss", "a", seen), 409, "account_frozen")
		w.exec(`UPDATE accounts SET frozen_at = NULL WHERE id = $1`, w.rosa)
		w.must(w.people.LinkPerson(w.t.Context(), w.boss2, w.rosa))
		w.want(w.post(at+"/account/second-factor-removal", "boss2", "a", seen), 403, "own_account")
		r := w.want(w.post(at+"/account/second-factor-removal", "boss", "a", seen), 200, "")
		if r.json["second_factors"] != false || len(w.factors.has) != 0 {
			w.t.Errorf("%s", r.raw)
		}
		w.want(w.post(at+"/account/second-factor-removal", "boss", "a", seen), 200, "")
		w.want(w.post(at+"/account/second-factor-removal", "boss", "b", seen), 409, "no_second_factor")
		if n := w.count(`SELECT COUNT(*) FROM audit_events WHERE kind = 'admin.second_factors_removed' AND severity = 'high' AND details LIKE '%photo ID%'`); n != 1 {
			w.t.Errorf("%d events", n)
		}
	})
}

func TestAWaiverNeedsTwoAdministratorsOfThePractice(t *testing.T) {
	each(t, func(w *world) {
		sent := w.want(w.reset(w.miaRosa, "front", "k", "rosa@example.test"), 202, "")
		at := "/password-resets/" + sent.json["id"].(string)
		if sent.json["answer_waiver"] != nil {
			w.t.Errorf("%s", sent.raw)
		}
		for _, who := range []string{"front", "viewer"} {
			w.want(w.post(at+"/answer-waiver", who, "a", seen), 403, "permission")
			w.want(w.post(at+"/answer-waiver/approval", who, "b", ""), 403, "permission")
		}
		w.want(w.post(at+"/answer-waiver", "elmboss", "a", seen), 404, "not_found")
		w.want(w.post(at+"/answer-waiver/approval", "elmboss", "a", ""), 404, "not_found")
		w.want(w.post(at+"/answer-waiver/approval", "boss", "a", ""), 409, "waiver_state")
		w.want(w.post(at+"/answer-waiver", "boss", "a", `{"identity_check":""}`), 422, "invalid")
		asked := w.want(w.post(at+"/answer-waiver", "boss", "a", seen), 200, "")
		if dig(asked.json, "answer_waiver", "state") != "requested" || dig(asked.json, "answer_waiver", "requested_by_you") != true {
			w.t.Errorf("asked: %s", asked.raw)
		}
		if again := w.want(w.post(at+"/answer-waiver", "boss", "a", seen), 200, ""); again.raw != asked.raw {
			w.t.Errorf("again: %s", again.raw)
		}
		w.want(w.post(at+"/answer-waiver", "boss2", "a", seen), 409, "waiver_state")
		w.want(w.post(at+"/answer-waiver/approval", "boss", "b", ""), 403, "second_person")
		if seenBy := w.get(at, "boss2"); dig(seenBy.json, "answer_waiver", "identity_check") != "photo ID seen at the desk" || dig(seenBy.json, "answer_waiver", "requested_by_you") != false {
			w.t.Errorf("the second person sees: %s", seenBy.raw)
		}
		if seenBy := w.get(at, "front"); dig(seenBy.json, "answer_waiver", "identity_check") != "" || dig(seenBy.json, "answer_waiver", "state") != "requested" {
			w.t.Errorf("the front desk sees: %s", seenBy.raw)
		}
		// Not one's own account, though one may.
		w.must(w.people.LinkPerson(w.t.Context(), w.boss2, w.rosa))
		w.want(w.post(at+"/answer-waiver/approval", "boss2", "c", ""), 403, "own_account")
		// Nor what somebody asked for who has lost the role.
		// Nor by a colleague of half a week.
		w.staff("boss3", w.oak, practice.Administrator)
		given := w.db.Now(w.t.Context()).Add(-6 * 24 * time.Hour)
		w.exec(`UPDATE staff_roles SET granted_at = $2, granted_by = $3 WHERE account_id = $1`, w.tokens.claims["boss3"].AccountID, given, w.boss)
		if r := w.want(w.post(at+"/answer-waiver/approval", "boss3", "c", ""), 403, "recent_role"); !strings.Contains(r.json["detail"].(string), given.Add(7*24*time.Hour).Format("2 January 2006, 15:04 MST")) {
			w.t.Errorf("it does not say since when the role counts: %s", r.raw)
		}
		w.exec(`UPDATE staff_roles SET granted_at = $2 WHERE account_id = $1`, w.tokens.claims["boss3"].AccountID, given.Add(-24*time.Hour))
		w.must(w.people.SetRoles(w.t.Context(), w.boss, w.oak.ID, practice.FrontDesk))
		w.want(w.post(at+"/answer-waiver/approval", "boss3", "c", ""), 409, "waiver_state")
		w.must(w.people.SetRoles(w.t.Context(), w.boss, w.oak.ID, practice.Administrator))
		done := w.want(w.post(at+"/answer-waiver/approval", "boss3", "c", ""), 200, "")
		if dig(done.json, "answer_waiver", "state") != "approved" || dig(done.json, "answer_waiver", "approved_at") == nil {
			w.t.Errorf("approved: %s", done.raw)
		}
		w.want(w.post(at+"/answer-waiver/approval", "boss3", "d", ""), 409, "waiver_state")
		// A link that is over has nothing to waive.
		next := w.want(w.reset(w.miaShared, "front", "k2", "sam@example.test"), 202, "")
		over := "/password-resets/" + next.json["id"].(string)
		w.want(w.delete(over, "front", ""), 200, "")
		w.want(w.post(over+"/answer-waiver", "boss", "e", seen), 409, "reset_finished")
	})
}

// Each new act, by everybody who is somebody, with a token of every scope.
func TestWhoMayWhat(t *testing.T) {
	each(t, func(w *world) {
		reset := w.want(w.reset(w.miaRosa, "front", "k", "rosa@example.test"), 202, "").json["id"].(string)
		member := w.member(w.viewer, w.oak).String()
		w.staff("provider", w.oak, practice.Provider)
		acts := []struct {
			method, path, body string
			may                string // who gets past 403 and 404
		}{
			{"POST", "/patients/" + w.mia.String() + "/associations", invitation("x"), "boss front"},
			{"POST", "/associations/" + w.miaRosa.String() + "/invitation", "", "boss front"},
			{"DELETE", "/associations/" + w.miaRosa.String() + "/invitation", "", "boss front"},
			{"DELETE", "/associations/" + w.miaRosa.String() + "/login-email-change", "", "boss front"},
			{"POST", "/associations/" + w.miaRosa.String() + "/account/unfreeze", seen, "boss front"},
			{"POST", "/associations/" + w.miaRosa.String() + "/account/second-factor-removal", seen, "boss"},
			{"POST", "/password-resets/" + reset + "/answer-waiver/approval", "", "boss"},
			{"POST", "/password-resets/" + reset + "/answer-waiver", seen, "boss"},
			{"GET", "/staff/" + member, "", "boss"},
			{"PUT", "/staff/" + member + "/roles", `{"roles":["viewer"]}`, "boss"},
			{"POST", "/staff/" + member + "/invitation", "", "boss"},
			{"POST", "/staff/" + member + "/unfreeze", seen, "boss"},
			{"DELETE", "/staff/" + member, "", "boss"},
		}
		for _, act := range acts {
			for _, who := range []string{"boss", "front", "viewer", "provider", "nobody", "elm", "elmboss"} {
				ask := func(token, key string) reply {
					return w.do(call{method: act.method, path: Path + act.path, token: token, body: strings.Replace(act.body, `"x"`, `"x@example.test"`, 1),
						header: map[string]string{"Idempotency-Key": key, "If-Match": `"99"`}})
				}
				c := w.tokens.claims[who]
				c.Scopes = []string{"admin.read"}
				if act.method == "GET" {
					c.Scopes = []string{"admin.manage"}
				}
				w.tokens.set("less", c)
				w.want(ask("less", "l"), 403, "scope")
				c = w.tokens.claims[who]
				c.AuthTime = c.AuthTime.Add(-11 * time.Minute)
				w.tokens.set("aged", c)
				if act.method != "GET" {
					w.want(ask("aged", "l"), 401, "sign_in_again")
				}
				r := ask(who, uuid.NewString())
				switch {
				case who == "nobody":
					w.want(r, 403, "no_role")
				case strings.HasPrefix(who, "elm"):
					w.want(r, 404, "not_found")
				case strings.Contains(act.may, who):
					if r.status == 403 || r.status == 404 || r.status >= 500 {
						w.t.Errorf("%s %s by %s: %d %s", act.method, act.path, who, r.status, r.raw)
					}
				default:
					w.want(r, 403, "permission")
				}
			}
		}
	})
}
