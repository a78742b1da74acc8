package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/practice"
)

// A colleague with a good token, a browser's developer tools and an evening.

// Whether an address is taken has to be said to who changes a login email. It is
// not there to be asked for one address after another.
func TestAColleagueDoesNotFindOutWhoHasAnAccount(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		const tries = 4
		w := build(t, db, Limits{SearchesPerMinute: 1000, ChangesPerHour: 1000, InvitationsPerDay: 1000, EmailChangesPerDay: tries})
		w.want(w.patch(w.miaRosa, "viewer", `"1"`, "tina@example.test"), 403, "permission")
		w.want(w.patch(w.miaRosa, "elm", `"1"`, "tina@example.test"), 404, "not_found")
		w.want(w.patch(w.miaRosa, "front", `"1"`, "no address"), 422, "invalid")
		// All at once tell no more than one after another.
		var wg sync.WaitGroup
		var mu sync.Mutex
		told := map[string]int{}
		for i := range 12 {
			wg.Go(func() {
				r := w.patch(w.miaRosa, "front", `"1"`, []string{"tina@example.test", "otto@example.test", "sam@example.test"}[i%3])
				mu.Lock()
				defer mu.Unlock()
				told[fmt.Sprint(r.status, " ", r.code())]++
			})
		}
		wg.Wait()
		if told["409 email_taken"] != tries || told["429 too_many"] != 12-tries {
			t.Errorf("told %v", told)
		}
		// A free address is answered like a taken one then, and nothing is done.
		r := w.want(w.patch(w.miaRosa, "front", `"1"`, "free@example.test"), 429, "too_many")
		if after := r.header.Get("Retry-After"); after == "" || w.events("email.changed") != 0 {
			t.Errorf("Retry-After %q", after)
		}
		// The trail says who tried which address.
		if n := w.count(`SELECT COUNT(*) FROM audit_events WHERE kind = 'admin.refused' AND severity = 'warning' AND actor = $1
			AND details LIKE '%email_taken%' AND details LIKE '%@example.test%'`, audit.Account(w.front)); n != tries {
			t.Errorf("%d events", n)
		}
		if w.count(`SELECT COUNT(*) FROM audit_events WHERE kind = 'admin.refused' AND actor = $1 AND details LIKE '%too_many%'`, audit.Account(w.front)) == 0 {
			t.Error("running into the limit leaves no event")
		}
		// Another colleague has tries of their own, and the day after they come back.
		w.want(w.patch(w.miaRosa, "boss", `"1"`, "tina@example.test"), 409, "email_taken")
		dbtest.Advance(w.db, 25*time.Hour)
		w.fresh("front")
		w.want(w.patch(w.miaRosa, "front", `"1"`, "free@example.test"), 200, "")
	})
}

// A name that only a new account would refuse must not tell which addresses have
// one.
func TestANameIsJudgedTheSameWhoeverHasTheAddress(t *testing.T) {
	each(t, func(w *world) {
		for _, name := range []string{"🙂", "123", "\u202eNed", "Ned\u200b", strings.Repeat("N", 101), "---"} {
			for what, at := range map[string][2]string{
				"guardian": {"/patients/" + w.mia.String() + "/associations", "tina@example.test"},
				"staff":    {"/staff", "elm@staff.example.test"},
			} {
				var bodies []string
				for _, email := range []string{"nobody.yet@example.test", at[1]} {
					body := map[string]any{"login_email": email, "given_name": name, "family_name": "Neu"}
					if what == "guardian" {
						body["relationship"], body["authority"] = "father", "full"
					} else {
						body["roles"] = []string{"viewer"}
					}
					raw, err := json.Marshal(body)
					w.must(err)
					bodies = append(bodies, w.want(w.post(at[0], "boss", "k", string(raw)), 422, "invalid").raw)
				}
				if bodies[0] != bodies[1] {
					w.t.Errorf("%s named %q: a new one\n%s\na known one\n%s", what, name, bodies[0], bodies[1])
				}
			}
		}
		if w.count(`SELECT COUNT(*) FROM mail_outbox`) != 0 {
			w.t.Error("somebody was written to")
		}
		// What is accepted looks the same afterwards too: composed, with single spaces.
		for key, email := range map[string]string{"a": "nobody.yet@example.test", "b": "tina@example.test"} {
			body := strings.Replace(invitation(email), `"Ned"`, `"  Ne\u0301d \u00a0 Lee"`, 1)
			made := w.want(w.post("/patients/"+w.mia.String()+"/associations", "boss", key, body), 201, "")
			if view := w.get("/associations/"+made.json["id"].(string), "boss"); dig(view.json, "guardian", "name") != "Néd Lee Neu" {
				w.t.Errorf("%s: %v", email, dig(view.json, "guardian", "name"))
			}
		}
	})
}

// An answer is repeated to who got it, and to nobody else.
func TestAKeyIsOnesOwn(t *testing.T) {
	each(t, func(w *world) {
		one := w.want(w.reset(w.miaRosa, "front", "shared-key", "rosa@example.test"), 202, "")
		two := w.want(w.reset(w.miaRosa, "boss", "shared-key", "rosa@example.test"), 202, "")
		if one.json["id"] == two.json["id"] || two.header.Get("Idempotency-Replayed") != "" {
			w.t.Errorf("a colleague's answer is repeated: %s", two.raw)
		}
		// The same key for another act, another target, another body.
		w.want(w.post("/associations/"+w.miaInvited.String()+"/invitation", "front", "shared-key", ""), 422, "key_reused")
		w.want(w.reset(w.miaShared, "front", "shared-key", "sam@example.test"), 422, "key_reused")
		// Nobody without the right gets an answer again, nor with an old sign-in.
		w.want(w.reset(w.miaRosa, "viewer", "shared-key", "rosa@example.test"), 403, "permission")
		w.want(w.reset(w.miaRosa, "elm", "shared-key", "rosa@example.test"), 404, "not_found")
		made := w.want(w.post("/staff", "boss", "staff-key", staffInvitation("stan@staff.example.test", "viewer")), 201, "")
		dbtest.Advance(w.db, 11*time.Minute)
		w.want(w.reset(w.miaRosa, "front", "shared-key", "rosa@example.test"), 401, "sign_in_again")
		w.fresh("front", "boss", "boss2")
		w.must(w.people.SetRoles(w.t.Context(), w.front, w.oak.ID, practice.Viewer))
		w.want(w.reset(w.miaRosa, "front", "shared-key", "rosa@example.test"), 403, "permission")
		w.must(w.people.SetRoles(w.t.Context(), w.boss, w.oak.ID, practice.FrontDesk))
		if r := w.want(w.post("/staff", "boss", "staff-key", staffInvitation("stan@staff.example.test", "viewer")), 403, "permission"); strings.Contains(r.raw, made.json["id"].(string)) {
			w.t.Errorf("%s", r.raw)
		}
	})
}

// Everything that changes something asks for a recent sign-in before it looks at
// anything: not even what exists is learnt with an old one. Cancelling a link is
// the exception.
func TestAnOldSignInChangesAndTellsNothing(t *testing.T) {
	each(t, func(w *world) {
		sent := w.want(w.reset(w.miaRosa, "boss", "k", "rosa@example.test"), 202, "")
		c := w.tokens.claims["boss"]
		c.AuthTime = w.db.Now(w.t.Context()).Add(-11 * time.Minute)
		w.tokens.set("aged", c)
		before := w.count(`SELECT COUNT(*) FROM mail_outbox`)
		own := operations(w.mia, w.miaRosa, uuid.MustParse(sent.json["id"].(string)), w.member(w.front, w.oak))
		theirs := operations(w.zoe, w.zoeTina, uuid.New(), w.member(w.elmFront, w.elm))
		for i, op := range own {
			if !manages(op) || op.method == "DELETE" && strings.Contains(op.path, "/password-resets/") {
				continue
			}
			op.token, theirs[i].token = "aged", "aged"
			a, b := w.want(w.do(op), 401, "sign_in_again"), w.want(w.do(theirs[i]), 401, "sign_in_again")
			if a.raw != b.raw || !strings.Contains(a.header.Get("WWW-Authenticate"), `max_age="600"`) {
				w.t.Errorf("%s %s:\n%s\n%s", op.method, op.path, a.raw, b.raw)
			}
		}
		if w.count(`SELECT COUNT(*) FROM mail_outbox`) != before || w.roles(w.member(w.front, w.oak), "boss", `"1"`, "front_desk").status != 200 {
			w.t.Error("something was done")
		}
	})
}

// One's own address is one's own however it is written.
func TestNobodyInvitesThemselves(t *testing.T) {
	each(t, func(w *world) {
		for i, email := range []string{"boss@staff.example.test", " BOSS@Staff.Example.TEST ", "Boss@STAFF.example.test"} {
			key := fmt.Sprint(i)
			w.want(w.post("/staff", "boss", "s"+key, staffInvitation(email, "administrator")), 403, "own_roles")
			w.want(w.invite("boss", "g"+key, email), 403, "own_account")
			w.want(w.patch(w.miaRosa, "boss", `"1"`, email), 403, "own_account")
		}
		// Nor by giving up the role and having it back from oneself.
		me := w.member(w.boss, w.oak)
		for _, r := range []reply{w.roles(me, "boss", `"1"`, "viewer"), w.roles(me, "boss", `"1"`, "administrator", "front_desk"), w.delete("/staff/"+me.String(), "boss", `"1"`)} {
			w.want(r, 403, "own_roles")
		}
		for name, id := range map[string]uuid.UUID{"front": w.front, "viewer": w.viewer} {
			w.want(w.roles(w.member(id, w.oak), name, `"1"`, "administrator"), 403, "permission")
			w.want(w.post("/staff", name, "x", staffInvitation("friend@staff.example.test", "administrator")), 403, "permission")
		}
		if w.count(`SELECT COUNT(*) FROM audit_events WHERE kind = 'roles.changed' AND actor <> 'system'`) != 0 {
			w.t.Error("roles changed")
		}
	})
}

// An administrator adds the address of another practice's administrator. That
// gives no power over the account, not even once its owner has come by.
func TestAddingAColleagueGivesNoPowerOverTheAccount(t *testing.T) {
	each(t, func(w *world) {
		made := w.want(w.post("/staff", "boss", "a", staffInvitation("elmboss@staff.example.test", "viewer")), 201, "")
		at := "/staff/" + made.json["id"].(string)
		w.must(w.accounts.Freeze(w.t.Context(), w.staffs, w.elmBoss, account.By{Actor: "anonymous"}))
		w.want(w.post(at+"/unfreeze", "boss", "b", seen), 409, "not_frozen") // as of somebody new
		dbtest.Advance(w.db, time.Minute)
		w.exec(`UPDATE accounts SET last_signed_in_at = $2 WHERE id = $1`, w.elmBoss, w.db.Now(w.t.Context()))
		w.want(w.post(at+"/unfreeze", "boss", "c", seen), 409, "recently_attached")
		// Nor by taking the roles away and giving them again.
		dbtest.Advance(w.db, 8*24*time.Hour)
		w.fresh("boss")
		tag := w.get(at, "boss").header.Get("ETag")
		w.want(w.delete(at, "boss", tag), 200, "")
		made = w.want(w.post("/staff", "boss", "d", staffInvitation("elmboss@staff.example.test", "viewer")), 201, "")
		at = "/staff/" + made.json["id"].(string)
		dbtest.Advance(w.db, time.Minute)
		w.exec(`UPDATE accounts SET last_signed_in_at = $2 WHERE id = $1`, w.elmBoss, w.db.Now(w.t.Context()))
		w.want(w.post(at+"/unfreeze", "boss", "e", seen), 409, "recently_attached")
		// After the time to object they are a colleague, and the other practice hears of it.
		dbtest.Advance(w.db, 8*24*time.Hour)
		w.fresh("boss")
		w.want(w.post(at+"/unfreeze", "boss", "f", seen), 200, "")
		if w.count(`SELECT COUNT(*) FROM audit_events WHERE kind = 'staff.unfrozen_elsewhere' AND severity = 'high' AND practice_id = $1 AND actor = $2 AND target = $3`,
			w.elm.ID.String(), audit.Account(w.boss), audit.Account(w.elmBoss)) != 1 {
			w.t.Error("the other practice does not hear of it")
		}
	})
}

// A version is not guessed: what was not read is not changed, and odd tags are
// none.
func TestWhatWasNotReadIsNotChanged(t *testing.T) {
	each(t, func(w *world) {
		member := w.member(w.front, w.oak)
		for tag, code := range map[string]string{"": "if_match_missing", "*": "if_match_missing", `"*"`: "version", `"0"`: "version", `"-1"`: "version",
			`"1`: "if_match", `1`: "if_match", `W/"1"`: "version", `"01x"`: "version", `"1" "1"`: "version", `"99999999999999999999"`: "version", `,`: "if_match"} {
			status := kinds[code].status
			w.want(w.roles(member, "boss", tag, "viewer"), status, code)
			w.want(w.delete("/staff/"+member.String(), "boss", tag), status, code)
			w.want(w.patch(w.miaRosa, "front", tag, "new@example.test"), status, code)
		}
		if w.events("roles.changed") != w.count(`SELECT COUNT(*) FROM audit_events WHERE kind = 'roles.changed' AND actor = 'system'`) || w.events("email.changed") != 0 {
			w.t.Error("something was changed")
		}
	})
}

// What another room answers with is never a 500 that tells nobody anything.
func TestEveryRefusalOfAnotherRoomHasWords(t *testing.T) {
	w := build(t, dbtest.SQLite(t))
	for _, err := range []error{account.ErrEmail, account.ErrEmailTaken, account.ErrNotFound, account.ErrVersion, account.ErrState, account.ErrFrozen,
		account.ErrInvitation, account.ErrSameEmail, account.ErrEmailChange, account.ErrName, account.ErrNameLong, account.ErrNameCharacters, account.ErrNameEmpty,
		practice.ErrNotFound, practice.ErrAccount, practice.ErrValue, practice.ErrVersion, practice.ErrExists, ErrNoReset, ErrFinished} {
		p := w.api.problemOf(t.Context(), fmt.Errorf("do something: %w", err))
		if p.Status >= 500 || p.Detail == "" {
			t.Errorf("%v: %d %s", err, p.Status, p.Code)
		}
	}
	if p := w.api.problemOf(t.Context(), errors.New("anything else")); p.Status != http.StatusInternalServerError {
		t.Errorf("anything else: %d", p.Status)
	}
}
