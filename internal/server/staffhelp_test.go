package server_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/account"
)

var seenAtTheDesk = map[string]any{"identity_check": "came to the desk, photo ID seen"}

// helps posts one act of help and insists that it was done.
func (w *world) helps(t testing.TB, access, path string, body any, status int) reply {
	t.Helper()
	r := w.api(t, access, "POST", path, body, "Idempotency-Key", randomText(8))
	if r.status != status {
		t.Fatalf("POST %s: %d %s", path, r.status, r.body)
	}
	return r
}

func TestAnInvitedGuardianGetsIn(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		patient := w.api(t, w.admin(t, w.staff(t, maple, "viewer")), "GET", "/associations/"+w.guardian(t).association.String(), nil).
			json["patient"].(map[string]any)["id"].(string)
		access, email := w.admin(t, w.staff(t, maple, "front_desk")), strings.ToLower(randomText(6))+"@example.test"
		r := w.helps(t, access, "/patients/"+patient+"/associations", map[string]any{"login_email": email, "given_name": "Nina", "family_name": "Neu",
			"relationship": "mother", "authority": "full"}, 201)
		b, password := w.browser(t), "first walnut "+randomText(9)
		p := b.send(b.open(w.mail.wait(t, email, inviteLetter, 1).link(t)))
		p = choose(b, p, password)
		b.send(p, "question", "first_pet", "answer", "Answer "+randomText(9))
		if got := w.api(t, access, "GET", "/associations/"+r.get("id"), nil); got.json["guardian"].(map[string]any)["state"] != "active" || got.json["change_needs_guardian"] != false {
			t.Errorf("the association: %s", got.body)
		}
		if !w.canSignIn(t, &person{realm: "patient", email: email}, password) {
			t.Error("the guardian does not get in")
		}
	})
}

func TestTwoAdministratorsLetAGuardianPastTheQuestion(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		guardian := w.guardian(t)
		one, two := w.admin(t, w.staff(t, maple, "administrator")), w.admin(t, w.staff(t, maple, "administrator"))
		sent := w.helps(t, one, "/associations/"+guardian.association.String()+"/password-resets",
			map[string]any{"confirm_login_email": guardian.email, "reason": "forgot the answer too"}, 202)
		link, at := w.mail.wait(t, guardian.email, resetLetter, 1).link(t), "/password-resets/"+sent.get("id")+"/answer-waiver"
		w.helps(t, one, at, seenAtTheDesk, 200)
		if r := w.api(t, one, "POST", at+"/approval", nil, "Idempotency-Key", "same"); r.status != 403 || r.get("code") != "second_person" {
			t.Errorf("the same person: %d %s", r.status, r.body)
		}
		b := w.browser(t)
		b.send(b.open(link).want(t, 200, "Reset your password")).want(t, 200, "Answer your security question")
		w.helps(t, two, at+"/approval", nil, 200)
		c := w.browser(t)
		p := c.send(c.open(link).want(t, 200, "Reset your password")).want(t, 200, "Create a new password")
		if !strings.Contains(p.says(), "Step 2 of 2") {
			t.Errorf("the steps: %s", p.says())
		}
		choose(c, p, guardian.other)
		if !w.canSignIn(t, guardian, guardian.other) {
			t.Error("the new password does not work")
		}
	})
}

func TestAFrozenGuardianIsHelpedByThePractice(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		guardian := w.guardian(t)
		access, at := w.admin(t, w.staff(t, maple, "front_desk")), "/associations/"+guardian.association.String()
		if err := w.srv.Accounts().Freeze(t.Context(), w.realm(t, "patient"), guardian.id, account.By{Actor: "anonymous"}); err != nil {
			t.Fatal(err)
		}
		if w.canSignIn(t, guardian, guardian.password) {
			t.Fatal("a frozen account is open")
		}
		r := w.api(t, access, "POST", at+"/password-resets", map[string]any{"confirm_login_email": guardian.email, "reason": "x"}, "Idempotency-Key", "k")
		if r.status != 409 || r.get("code") != "account_frozen" {
			t.Errorf("a link for a frozen account: %d %s", r.status, r.body)
		}
		w.helps(t, access, at+"/account/unfreeze", seenAtTheDesk, 200)
		if w.canSignIn(t, guardian, guardian.password) {
			t.Error("a password that a thief may know is worth something again")
		}
		w.helps(t, access, at+"/password-resets", map[string]any{"confirm_login_email": guardian.email, "reason": "unfrozen"}, 202)
		b := w.browser(t)
		p := b.send(b.open(w.mail.wait(t, guardian.email, resetLetter, 1).link(t)))
		p = b.send(p.want(t, 200, "Answer your security question"), "answer", guardian.answer)
		choose(b, p.want(t, 200, "Create a new password"), guardian.other)
		if !w.canSignIn(t, guardian, guardian.other) {
			t.Error("the guardian does not get in")
		}
		if n := w.count(t, `SELECT COUNT(*) FROM audit_events WHERE kind = 'admin.unfrozen' AND target = $1 AND severity = 'high'`, account.Actor(guardian.id)); n != 1 {
			t.Errorf("%d events", n)
		}
	})
}

// Everybody who is staff of the one practice is nobody in the other.
func TestHelpStaysInThePractice(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		guardian := w.guardian(t)
		access := w.admin(t, w.staff(t, juniper, "administrator"))
		for _, path := range []string{"/invitation", "/account/unfreeze", "/account/second-factor-removal"} {
			var body any
			if path != "/invitation" {
				body = seenAtTheDesk
			}
			theirs := w.api(t, access, "POST", "/associations/"+guardian.association.String()+path, body, "Idempotency-Key", randomText(8))
			absent := w.api(t, access, "POST", "/associations/"+uuid.NewString()+path, body, "Idempotency-Key", randomText(8))
			if theirs.status != 404 || withoutID(theirs) != withoutID(absent) {
				t.Errorf("%s: %d %s", path, theirs.status, theirs.body)
			}
		}
	})
}
