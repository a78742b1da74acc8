package admin

import (
	"encoding/json"
	"fmt"
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

// invitation is the body that invites somebody as a father.
func invitation(email string) string {
	body, _ := json.Marshal(map[string]string{"login_email": email, "given_name": "Ned", "family_name": "Neu", "relationship": "father", "authority": "full"})
	return string(body)
}

func (w *world) invite(token, key, email string) reply {
	w.t.Helper()
	return w.post("/patients/"+w.mia.String()+"/associations", token, key, invitation(email))
}

func TestAGuardianIsInvitedAndTheAnswerSaysNothingAboutTheAccount(t *testing.T) {
	each(t, func(w *world) {
		fresh := w.want(w.invite("front", "a", " Ned@EXAMPLE.test"), 201, "")
		known := w.want(w.invite("front", "b", "tina@example.test"), 201, "")
		like := strings.NewReplacer(fresh.json["id"].(string), "ID", "ned@", "X@").Replace(fresh.raw)
		if got := strings.NewReplacer(known.json["id"].(string), "ID", "tina@", "X@").Replace(known.raw); got != like {
			w.t.Errorf("a new one\n%s\na known one\n%s", like, got)
		}
		if fresh.header.Get("Location") != Path+"/associations/"+fresh.json["id"].(string) {
			w.t.Errorf("Location %s", fresh.header.Get("Location"))
		}
		if w.lettersTo("invite", "ned@example.test") != 1 || w.lettersTo("access_added", "tina@example.test") != 1 || w.count(`SELECT COUNT(*) FROM mail_outbox`) != 2 {
			w.t.Error("each is written to once")
		}
		view := w.want(w.get("/associations/"+fresh.json["id"].(string), "front"), 200, "")
		if dig(view.json, "guardian", "state") != "invited" || dig(view.json, "guardian", "name") != "Ned Neu" || dig(view.json, "guardian", "invited_at") == nil ||
			view.json["portal_access"] != true || dig(view.json, "can", "send_invitation") != true || dig(view.json, "can", "cancel_invitation") != true {
			w.t.Errorf("the association: %s", view.raw)
		}
		if fmt.Sprint(names(w.get("/patients?by=account&q=neu", "front"))) != "[Mía Cruz]" {
			w.t.Error("the patient is not found through the new guardian")
		}
		// What was typed does not change an account that was there before.
		if w.count(`SELECT COUNT(*) FROM accounts WHERE login_email = 'tina@example.test' AND name = 'Tina Elm'`) != 1 {
			w.t.Error("the known guardian has another name")
		}
		if n := w.count(`SELECT COUNT(*) FROM audit_events WHERE kind = 'association.invited' AND actor = $1 AND practice_id = $2`,
			audit.Account(w.front), w.oak.ID.String()); n != 2 {
			w.t.Errorf("%d events", n)
		}
		// The same body with the same key is the same invitation.
		again := w.want(w.invite("front", "a", " Ned@EXAMPLE.test"), 201, "")
		if again.raw != fresh.raw || again.header.Get("Idempotency-Replayed") != "true" {
			w.t.Errorf("again: %s", again.raw)
		}
		w.want(w.invite("front", "a", "other@example.test"), 422, "key_reused")
		w.want(w.invite("front", "c", "ned@example.test"), 409, "association_exists")
		w.want(w.invite("front", "", "x@example.test"), 400, "idempotency_key")
	})
}

func TestInvitationsThatMakeNoSenseAreRefused(t *testing.T) {
	each(t, func(w *world) {
		before := w.count(`SELECT COUNT(*) FROM accounts`) + w.count(`SELECT COUNT(*) FROM associations`)
		path := "/patients/" + w.mia.String() + "/associations"
		for change, want := range map[string]string{
			`"login_email":"nonsense"`:      "422 invalid",
			`"given_name":" "`:              "422 invalid",
			`"family_name":""`:              "422 invalid",
			`"relationship":"uncle"`:        "422 invalid",
			`"authority":"total"`:           "422 invalid",
			`"starts_on":"tomorrow"`:        "422 invalid",
			`"ends_on":"2020-01-01"`:        "422 invalid",
			`"locale":"tlh"`:                "422 invalid",
			`"portal_access":true`:          "400 bad_request",
			`"practice_id":"x"`:             "400 bad_request",
			`"given_name":["Ned"]`:          "400 bad_request",
			`"authority":"none","nope":"x"`: "400 bad_request",
		} {
			var body, more map[string]any
			_ = json.Unmarshal([]byte(invitation("x@example.test")), &body)
			_ = json.Unmarshal([]byte("{"+change+"}"), &more)
			for k, v := range more {
				body[k] = v
			}
			raw, _ := json.Marshal(body)
			r := w.post(path, "front", "k", string(raw))
			if got := fmt.Sprintf("%d %s", r.status, r.code()); got != want {
				w.t.Errorf("%s: %s, want %s: %s", change, got, want, r.raw)
			}
		}
		w.want(w.invite("front", "k", "front@staff.example.test"), 403, "own_account")
		linked := w.account("patient", "private@example.test", "Front Privately", "active")
		w.must(w.people.LinkPerson(w.t.Context(), w.front, linked))
		w.want(w.invite("front", "k", "private@example.test"), 403, "own_account")
		if w.count(`SELECT COUNT(*) FROM accounts`)+w.count(`SELECT COUNT(*) FROM associations`) != before+1 || w.count(`SELECT COUNT(*) FROM mail_outbox`) != 0 {
			w.t.Error("something was made")
		}
	})
}

func TestFiftyInvitationsAtOnceMakeOneAccountAndOneLetter(t *testing.T) {
	each(t, func(w *world) {
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				key := "one"
				if i%2 == 1 {
					key = fmt.Sprint("other", i) // another click, or another person
				}
				if r := w.invite("front", key, "ned@example.test"); r.status != 201 && r.code() != "association_exists" {
					w.t.Errorf("%d %s", r.status, r.raw)
				}
			})
		}
		wg.Wait()
		if w.lettersTo("invite", "ned@example.test") != 1 || w.count(`SELECT COUNT(*) FROM accounts WHERE login_email = 'ned@example.test'`) != 1 ||
			w.count(`SELECT COUNT(*) FROM associations s JOIN accounts a ON a.id = s.account_id WHERE a.login_email = 'ned@example.test'`) != 1 {
			w.t.Error("one account, one association and one letter are expected")
		}
	})
}

func TestAnInvitationIsSentAgainAndTakenBack(t *testing.T) {
	each(t, func(w *world) {
		id := w.want(w.invite("front", "a", "ned@example.test"), 201, "").json["id"].(string)
		at := "/associations/" + id + "/invitation"
		w.want(w.post(at, "front", "k", ""), 409, "invited_just_now")
		dbtest.Advance(w.db, 6*time.Minute)
		r := w.want(w.post(at, "front", "k", ""), 202, "")
		if r.json["login_email"] != "ned@example.test" || w.want(w.post(at, "front", "k", ""), 202, "").raw != r.raw {
			w.t.Errorf("%s", r.raw)
		}
		if w.count(`SELECT COUNT(*) FROM invitations`) != 2 || w.count(`SELECT COUNT(*) FROM invitations WHERE voided_at IS NULL`) != 1 {
			w.t.Error("the newer invitation replaces the older one")
		}
		w.want(w.post("/associations/"+w.miaRosa.String()+"/invitation", "front", "x", ""), 409, "not_invited")
		w.want(w.delete("/associations/"+w.miaRosa.String()+"/invitation", "front", ""), 409, "not_invited")
		for range 2 {
			r = w.want(w.delete(at, "front", ""), 200, "")
			if r.json["portal_access"] != false || dig(r.json, "guardian", "invited_at") != nil {
				w.t.Errorf("taken back: %s", r.raw)
			}
		}
		if w.count(`SELECT COUNT(*) FROM invitations WHERE voided_at IS NULL`) != 0 || w.events("association.invitation_cancelled") != 1 {
			w.t.Error("the link goes on working")
		}
		w.want(w.post(at, "front", "k2", ""), 409, "no_portal_access")
		// Inviting again gives the same association back.
		dbtest.Advance(w.db, 6*time.Minute)
		w.fresh("front")
		if again := w.want(w.invite("front", "b", "ned@example.test"), 201, ""); again.json["id"] != id || w.count(`SELECT COUNT(*) FROM invitations WHERE voided_at IS NULL`) != 1 {
			w.t.Errorf("again: %s", again.raw)
		}
		// What an import has made is not staff's to give back.
		w.want(w.invite("front", "c", "bea@example.test"), 409, "association_exists")
		w.want(w.invite("front", "d", "enda@example.test"), 409, "association_exists")
		// An imported invitation can be cancelled, but not what another practice gave.
		w.want(w.delete("/associations/"+w.miaInvited.String()+"/invitation", "front", ""), 200, "")
		w.tieTo(w.zoe, w.invited)
		w.want(w.delete("/associations/"+w.miaInvited.String()+"/invitation", "front", ""), 409, "shared_guardian")
	})
}

func TestAWrongAddressThatHasAnAccountIsTakenBack(t *testing.T) {
	each(t, func(w *world) {
		id := w.want(w.invite("front", "a", "tina@example.test"), 201, "").json["id"].(string)
		r := w.want(w.delete("/associations/"+id+"/invitation", "front", ""), 200, "")
		if r.json["portal_access"] != false || dig(r.json, "guardian", "state") != "invited" {
			w.t.Errorf("%s", r.raw)
		}
		w.want(w.reset(uuid.MustParse(id), "front", "k", "tina@example.test"), 409, "no_portal_access")
		w.want(w.get("/associations/"+w.zoeTina.String(), "elm"), 200, "")
	})
}

// Staff who tie a patient of theirs to any account must not gain power over it.
func TestAnInvitationGivesNoPowerOverAnAccountThatWasThere(t *testing.T) {
	each(t, func(w *world) {
		victim := w.account("patient", "vic@example.test", "Vic Tim", "active")
		id := uuid.MustParse(w.want(w.invite("boss", "a", "vic@example.test"), 201, "").json["id"].(string))
		w.factors.has[victim] = account.FactorSummary{TOTP: true}
		try := func(change int, changeCode, removal, unfreezing string) {
			w.t.Helper()
			view := w.want(w.get("/associations/"+id.String(), "boss"), 200, "")
			if dig(view.json, "change_needs_guardian") != (change == 202) {
				w.t.Errorf("before the change: %s", view.raw)
			}
			w.want(w.patch(id, "boss", view.header.Get("ETag"), "mallory@example.test"), change, changeCode)
			w.want(w.post("/associations/"+id.String()+"/account/second-factor-removal", "boss", uuid.NewString(), `{"identity_check":"x"}`), 409, removal)
			w.must(w.accounts.Freeze(w.t.Context(), w.patients, victim, account.By{Actor: "anonymous"}))
			r := w.post("/associations/"+id.String()+"/account/unfreeze", "boss", uuid.NewString(), `{"identity_check":"x"}`)
			if r.code() != unfreezing {
				w.t.Errorf("unfreezing: %d %s", r.status, r.raw)
			}
			w.exec(`UPDATE accounts SET frozen_at = NULL WHERE id = $1`, victim)
		}
		// Until the guardian signs in it is like an account that was only invited.
		try(409, "account_invited", "no_second_factor", "not_frozen")
		w.want(w.reset(id, "boss", "r", "vic@example.test"), 409, "account_invited")
		// A week alone is not enough: the guardian has to have been here.
		dbtest.Advance(w.db, 8*24*time.Hour)
		w.fresh("boss")
		try(409, "account_invited", "no_second_factor", "not_frozen")
		signIn := func() {
			w.exec(`UPDATE accounts SET last_signed_in_at = $2 WHERE id = $1`, victim, w.db.Now(w.t.Context()))
		}
		// Nor is the sign-in alone.
		attached := func(ago time.Duration) {
			w.exec(`UPDATE associations SET attached_at = $2 WHERE id = $1`, id, w.db.Now(w.t.Context()).Add(-ago))
		}
		attached(6 * 24 * time.Hour)
		signIn()
		try(202, "", "recently_attached", "recently_attached")
		if w.lettersTo("email_change_asked", "vic@example.test") != 0 { // freezing has called it off
			w.t.Error("a letter still waits")
		}
		reset := w.want(w.reset(id, "boss", "r", "vic@example.test"), 202, "")
		w.want(w.post("/password-resets/"+reset.json["id"].(string)+"/answer-waiver", "boss", "w", `{"identity_check":"x"}`), 409, "recently_attached")
		attached(8 * 24 * time.Hour)
		try(200, "", "email_changed_recently", "second_person")
		// An import that knows the tie settles it too.
		w.exec(`UPDATE accounts SET last_signed_in_at = NULL, email_changed_at = NULL WHERE id = $1`, victim)
		w.tie(practice.Association{PatientID: w.mia, AccountID: victim, PortalAccess: true})
		w.want(w.post("/associations/"+id.String()+"/account/second-factor-removal", "boss", "z", `{"identity_check":"x"}`), 200, "")
	})
}

func TestAPracticeInvitesSoManyADay(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		w := build(t, db, Limits{InvitationsPerDay: 4})
		for i := range 2 {
			w.want(w.invite("front", fmt.Sprint(i), fmt.Sprintf("n%d@example.test", i)), 201, "")
		}
		w.want(w.post("/staff", "boss", "s", staffInvitation("stan@staff.example.test", "viewer")), 201, "")
		// What is refused, and what is repeated, does not count.
		w.want(w.invite("front", "0", "n0@example.test"), 201, "")
		w.want(w.invite("front", "again", "n0@example.test"), 409, "association_exists")
		w.want(w.invite("front", "own", "front@staff.example.test"), 403, "own_account")
		w.want(w.post("/staff", "boss", "s2", staffInvitation("stan@staff.example.test", "viewer")), 409, "already_staff")
		w.want(w.post("/staff", "boss", "s3", staffInvitation("sten@staff.example.test", "viewer")), 201, "")
		r := w.want(w.invite("boss", "x", "n9@example.test"), 429, "too_many")
		if w.count(`SELECT COUNT(*) FROM accounts WHERE login_email = 'n9@example.test'`) != 0 || w.lettersTo("invite", "n9@example.test") != 0 {
			t.Error("it was refused and done")
		}
		w.want(w.invite("front", "0", "n0@example.test"), 201, "")
		if r.header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
		w.want(w.post("/patients/"+w.zoe.String()+"/associations", "elm", "x", invitation("n9@example.test")), 201, "")
		dbtest.Advance(w.db, 24*time.Hour+time.Minute)
		w.fresh("front")
		w.want(w.invite("front", "y", "n9@example.test"), 201, "")
	})
}

func TestASharedGuardianAllowsTheChange(t *testing.T) {
	each(t, func(w *world) {
		view := w.want(w.get("/associations/"+w.miaShared.String(), "front"), 200, "")
		if view.json["change_needs_guardian"] != true || dig(view.json, "can", "change_login_email") != true {
			w.t.Errorf("before: %s", view.raw)
		}
		r := w.want(w.patch(w.miaShared, "front", `"1"`, "sam.new@example.test"), 202, "")
		for _, part := range []string{"Nothing has changed yet", "555-0100", "Patient Portal"} {
			if !strings.Contains(r.json["reminder"].(string), part) {
				w.t.Errorf("the answer does not say %q: %s", part, r.raw)
			}
		}
		if strings.Contains(r.raw, "Elm") {
			w.t.Error("the answer names the other practice")
		}
		a := r.json["association"]
		if dig(a, "guardian", "login_email") != "sam@example.test" || dig(a, "login_email_change", "state") != "waiting_for_guardian" ||
			dig(a, "login_email_change", "login_email") != "sam.new@example.test" || dig(a, "can", "cancel_login_email_change") != true {
			w.t.Errorf("after asking: %s", r.raw)
		}
		if w.lettersTo("email_change_asked", "sam@example.test") != 1 || w.count(`SELECT COUNT(*) FROM mail_outbox`) != 1 ||
			w.events("email.changed") != 0 || w.events("admin.email_change_requested") != 1 {
			w.t.Error("the guardian alone is asked")
		}
		// It is this practice's wish: the other one neither sees nor ends it.
		theirs := w.want(w.get("/associations/"+w.zoeShared.String(), "elm"), 200, "")
		if theirs.json["login_email_change"] != nil {
			w.t.Errorf("the other practice: %s", theirs.raw)
		}
		w.want(w.delete("/associations/"+w.zoeShared.String()+"/login-email-change", "elm", ""), 409, "no_email_change")
		w.want(w.delete("/associations/"+w.miaShared.String()+"/login-email-change", "viewer", ""), 403, "permission")
		r = w.want(w.delete("/associations/"+w.miaShared.String()+"/login-email-change", "front", ""), 200, "")
		if r.json["login_email_change"] != nil || w.lettersTo("email_change_asked", "sam@example.test") != 0 {
			w.t.Errorf("cancelled: %s", r.raw)
		}
		w.want(w.delete("/associations/"+w.miaShared.String()+"/login-email-change", "front", ""), 409, "no_email_change")
		w.want(w.patch(w.miaShared, "front", `"1"`, "tina@example.test"), 409, "email_taken")
		w.want(w.patch(w.miaShared, "front", `"9"`, "sam.new@example.test"), 412, "version")
		for range 4 {
			w.want(w.patch(w.miaShared, "front", `"1"`, "sam.new@example.test"), 202, "")
		}
		w.want(w.patch(w.miaShared, "front", `"1"`, "sam.new@example.test"), 409, "too_many_changes")
	})
}
