package uitest

import (
	"net/http"
	"testing"
)

// What the staff of a practice can do for a guardian whom a reset link does
// not help. All of it stands on the page of the association.
const (
	wei    = "wei.chen@example.test"     // is known to two practices
	yusuf  = "yusuf.haddad@example.test" // has no security question
	petra  = "petra.novak@example.test"  // has lost her phone
	carmen = "carmen.morales@example.test"
)

// toAssociation opens the page of a guardian's association.
func (p *page) toAssociation(d *demo, patient, email string) association {
	p.t.Helper()
	a := d.association(p.t, patient, email)
	p.visit(d.Realms["practice"].Portal + "/associations/" + a.ID)
	p.await("association", a.Guardian, "Account Settings")
	return a
}

// staffHelp is the invitation sent again, the second step removed, a login
// email that another practice's guardian has to allow, and an account unlocked.
func staffHelp(t *testing.T, d *demo, pr profile) {
	p := d.open(t, "help", pr)
	p.staffSignedIn(d, dana)

	p.toAssociation(d, "Diego Morales", carmen)
	p.check("1-invited")
	p.follow("Send invitation again")
	p.shown("2-invitation", "Send the invitation again?")
	d.exec(t, "UPDATE invitations SET created_at = CAST(unixepoch('subsec') * 1000000 AS INTEGER)")
	p.follow("Send invitation again")
	p.refused("2-too-soon", "Send the invitation again?", http.StatusConflict, "An invitation was sent a moment ago.")
	d.exec(t, "UPDATE invitations SET created_at = 1")
	p.follow("Send invitation again")
	p.await("3-invited-again", "Carmen Morales", "The invitation was sent again.")
	p.check("3-invited-again")

	d.exec(t, `INSERT INTO totp_secrets (account_id, id, sealed, last_step, created_at, confirmed_at)
		SELECT id, randomblob(16), randomblob(16), 0, 1, 1 FROM accounts WHERE login_email = ?`, petra)
	p.toAssociation(d, "Emma Novak", petra)
	p.check("4-second-step")
	p.follow("Remove second step")
	title := "Remove the second step?"
	p.shown("5-remove", title)
	p.follow("Remove second step")
	p.refused("6-no-check", title, http.StatusUnprocessableEntity, "")
	p.fieldSays("identity_check", "Enter how you made sure of the person")
	p.fill("identity_check", "Came to the desk, photo ID seen")
	p.follow("Remove second step")
	p.await("7-removed", "Petra Novak", "The second step is removed.")
	p.check("7-removed")

	p.sharedEmail(d)
}

// sharedEmail changes the login email of a guardian who has another practice
// too: she says no and locks the account, is helped, and then says yes.
func (p *page) sharedEmail(d *demo) {
	p.t.Helper()
	const next = "wei@chen.example.test"
	asks := func() message {
		p.toAssociation(d, "Lily Chen", wei)
		p.follow("Change login email")
		p.await("login email", "Change login email", "")
		p.fill("login_email", next)
		p.fill("reason", "Asked at the desk, photo ID seen")
		p.follow("Save login email")
		p.await("waiting", "Wei Chen", "Waiting for the guardian")
		return d.newest(p.t, wei, "wants to change your sign-in email")
	}
	letter := asks()
	p.check("8-waiting")
	reader := phoneLight
	if p.lang == "es" {
		reader = desktopDark
	}
	guardian := d.open(p.t, "help-guardian", reader)
	guardian.readMail(d, letter, "en")
	guardian.visit(d.Realms["patient"].Issuer + "/signin")
	guardian.await("sign-in", guardian.say("signin.title"), "")
	guardian.insists()
	guardian.visit(letter.link(p.t, "/email/"))
	title := guardian.say("email_link.allow.title")
	guardian.shown("1-link", title)
	guardian.follow(guardian.say("activation.continue"))
	guardian.shown("2-allow", title)
	guardian.says(next)
	guardian.follow(guardian.say("email_confirm.allow.submit"))
	guardian.refused("3-no-answer", title, http.StatusUnprocessableEntity, "")
	guardian.fieldSays("decision", guardian.say("email_confirm.error.choose"))
	guardian.press(guardian.say("email_confirm.allow.no"))
	guardian.follow(guardian.say("email_confirm.allow.submit"))
	guardian.shown("4-refused", guardian.say("freeze.title"))
	guardian.press(guardian.say("freeze.yes"))
	guardian.follow(guardian.say("email_confirm.allow.submit"))
	guardian.await("locked", guardian.say("freeze_done.title"), "")

	p.toAssociation(d, "Lily Chen", wei)
	p.check("9-frozen")
	if p.has("Reset Password") {
		p.t.Error("a reset is offered for a locked account")
	}
	p.follow("Unfreeze")
	title = "Unfreeze the account?"
	p.shown("10-unfreeze", title)
	p.follow("Unfreeze")
	p.refused("11-no-check", title, http.StatusUnprocessableEntity, "")
	p.fieldSays("identity_check", "Enter how you made sure of the person")
	p.fill("identity_check", "Called back on the number on file")
	p.follow("Unfreeze")
	p.await("12-unfrozen", "Wei Chen", "The account is open again.")
	p.check("12-unfrozen")

	letter = asks()
	guardian.visit(letter.link(p.t, "/email/"))
	guardian.await("link", guardian.say("email_link.allow.title"), "")
	guardian.follow(guardian.say("activation.continue"))
	guardian.await("allow", guardian.say("email_link.allow.title"), "")
	guardian.press(guardian.say("email_confirm.allow.yes"))
	guardian.follow(guardian.say("email_confirm.allow.submit"))
	guardian.shown("5-allowed", guardian.say("email_done.title"))
	p.toAssociation(d, "Lily Chen", wei)
	p.says(next)
}

// waived is a reset link for somebody who has no security question: a dead end
// that says whom to call, until two members of staff have made sure of the
// person: the database is told that they have, see twoAdministrators.
func waived(t *testing.T, d *demo, pr profile) {
	staff := d.open(t, "waived-staff", pr)
	staff.staffSignedIn(d, rosa)
	staff.toAssociation(d, "Layla Haddad", yusuf)
	staff.follow("Reset Password")
	staff.await("sure", "Reset Yusuf Haddad’s password?", "")
	staff.fill("reason", "Called, has no question")
	staff.follow("Send reset link")
	staff.await("sent", "Password reset link", "")

	p := d.open(t, "waived", pr)
	link := d.newest(t, yusuf, "sent you a password link").link(t, "/reset/")
	p.visit(d.Realms["patient"].Issuer + "/signin")
	p.await("sign-in", p.say("signin.title"), "")
	p.insists()
	p.visit(link)
	p.await("link", p.say("reset.title"), p.say("layout.steps", "step", "1", "of", "3"))
	p.follow(p.say("reset.continue"))
	p.shown("1-no-question", p.say("recoveryhelp.title"))
	d.exec(t, `INSERT INTO answer_waivers (ticket_id, practice_id, requested_by, requested_at, identity_check, approved_by, approved_at)
		SELECT t.id, m.practice_id, m.account_id, t.created_at, 'seen', randomblob(16), t.created_at
		FROM recovery_tickets t JOIN accounts a ON a.id = t.account_id, staff_members m JOIN accounts s ON s.id = m.account_id
		WHERE a.login_email = ? AND s.login_email = ? AND t.used_at IS NULL`, yusuf, rosa)
	p.visit(link)
	p.shown("2-link", p.say("reset.title"))
	p.says(p.say("layout.steps", "step", "1", "of", "2"))
	p.says(p.say("reset.about_waived"))
	p.follow(p.say("reset.continue"))
	title := p.say("newpassword.title")
	p.shown("3-password", title)
	p.says(p.say("layout.steps", "step", "2", "of", "2"))
	next := "lantern-otter-biscuit-" + pr.lang
	p.passwords("", next, next)
	p.follow(p.say("newpassword.save"))
	p.shown("4-done", p.say("done.title"))
}
