package uitest

import (
	"net/http"
	"testing"
)

const grace = "grace.lindgren@maple.example.test" // the second administrator of Maple Street Clinic

// TestPracticeHelp is what the Practice Portal's staff do besides sending links:
// on the phone, and at a desk in the dark.
func TestPracticeHelp(t *testing.T) {
	t.Parallel()
	d := startDemo(t, sqlite)
	for _, pr := range []profile{phoneLight, desktopDark} {
		t.Run(pr.name, func(t *testing.T) {
			t.Parallel()
			t.Run("invite a guardian", func(t *testing.T) { inviteGuardian(t, d, pr) })
			t.Run("look after the staff", func(t *testing.T) { lookAfterStaff(t, d, pr) })
			t.Run("do without the question", func(t *testing.T) { twoAdministrators(t, d, pr) })
		})
	}
}

// inviteGuardian invites somebody for a patient whom nobody stands for, and
// takes it back.
func inviteGuardian(t *testing.T, d *demo, pr profile) {
	p := d.open(t, "practice-invite", pr)
	p.staffSignedIn(d, rosa)
	p.find("Patient", "ashdown", "Walter Ashdown")
	p.follow("Walter Ashdown")
	p.shown("1-patient", "Walter Ashdown")
	title := "Invite a parent or guardian"
	p.follow(title)
	p.shown("2-form", title)
	p.follow("Send invitation")
	p.refused("3-empty", title, http.StatusUnprocessableEntity, "There is a problem")
	p.fieldSays("given_name", "Enter the given name")
	p.fieldSays("login_email", formatEN)
	p.fieldSays("relationship", "Choose what the person is to the patient")
	email := "helen-" + pr.lang + "@ashdown.example.test"
	p.fill("given_name", "Helen")
	p.fill("family_name", "Ashdown-"+pr.lang)
	p.fill("login_email", rosa) // her own
	p.choose("relationship", "guardian")
	p.choose("authority", "full")
	p.choose("locale", pr.lang)
	p.follow("Send invitation")
	p.refused("4-own-address", title, http.StatusForbidden, "")
	p.fill("login_email", email)
	p.follow("Send invitation")
	p.await("invited", "Helen Ashdown-"+pr.lang, "We have written to "+email)
	p.check("5-invited")
	d.mail(t, email, p.or("Set up your Patient Portal account", "Portal del Paciente")).link(t, "/activate/")
	p.follow("Take invitation back")
	p.shown("6-take-back", "Take the invitation back?")
	p.follow("Take invitation back")
	p.await("taken back", "Helen Ashdown-"+pr.lang, "The invitation is taken back.")
	p.check("7-taken-back")

	// Who does not manage the staff is told.
	p.visit(d.Realms["practice"].Portal + "/staff")
	p.refused("8-no-staff", "You are not allowed to do that", http.StatusForbidden, "An administrator of the practice can do it.")
}

// lookAfterStaff invites a colleague, changes the roles and takes them away.
func lookAfterStaff(t *testing.T, d *demo, pr profile) {
	p := d.open(t, "practice-staff", pr)
	p.staffSignedIn(d, dana)
	p.follow("Staff")
	p.shown("1-list", "Staff")
	p.says("(you)")
	title := "Invite a member of staff"
	p.follow(title)
	p.shown("2-form", title)
	p.follow("Send invitation")
	p.refused("3-empty", title, http.StatusUnprocessableEntity, "There is a problem")
	p.fieldSays("roles", "Choose at least one role")
	email := "noor-" + pr.lang + "@maple.example.test"
	p.fill("given_name", "Noor")
	p.fill("family_name", "Haas-"+pr.lang)
	p.fill("login_email", email)
	p.press("Viewer")
	p.follow("Send invitation")
	name := "Noor Haas-" + pr.lang
	p.await("invited", name, "We have written to "+email)
	p.check("4-invited")
	d.mail(t, email, "Set up your Practice Portal account")
	p.follow("Send invitation again")
	p.shown("5-again", "Send the invitation again?")
	p.follow("Send invitation again")
	p.refused("6-too-soon", "Send the invitation again?", http.StatusConflict, "An invitation was sent a moment ago.")
	p.follow("Cancel")
	p.await("member", name, "")
	p.follow("Change roles")
	p.shown("7-roles", "Change roles")
	p.press("Viewer") // none is left
	p.follow("Save roles")
	p.refused("8-no-role", "Change roles", http.StatusUnprocessableEntity, "")
	p.fieldSays("roles", "Choose at least one role")
	p.press("Front desk")
	p.press("Provider")
	p.follow("Save roles")
	p.await("saved", name, "The roles are saved.")
	p.says("Front desk, Provider")
	p.check("9-saved")
	p.follow("Remove from the staff")
	p.shown("10-remove", "Remove from the staff?")
	p.follow("Remove")
	p.await("removed", "Staff", "Removed from the staff.")
	p.keepsQuiet(name)
	p.check("11-removed")
	p.follow("Dana Whitfield")
	p.shown("12-oneself", "Dana Whitfield")
	if p.has("Change roles") || p.has("Remove from the staff") {
		t.Error("somebody may change their own roles")
	}
}

// twoAdministrators let a guardian who has no answer past the question.
func twoAdministrators(t *testing.T, d *demo, pr profile) {
	patient, email := "Layla Haddad", yusuf
	if pr.dark { // both profiles are at it at the same time
		patient, email = "Ruby Blake", "j.blake@example.test"
	}
	first := d.open(t, "practice-waiver", pr)
	first.staffSignedIn(d, dana)
	who := first.toAssociation(d, patient, email)
	first.follow("Reset Password")
	first.await("sure", "Reset "+who.Guardian+"’s password?", "")
	first.fill("reason", "Called, cannot remember the answer")
	first.follow("Send reset link")
	first.await("sent", "Password reset link", "Cannot remember the answer?")
	link := d.newest(t, email, "sent you a password link").link(t, "/reset/")
	first.check("1-link")
	first.follow("Do without the security question")
	title := "Do without the security question?"
	first.shown("2-ask", title)
	first.follow("Ask a colleague to agree")
	first.refused("3-no-check", title, http.StatusUnprocessableEntity, "")
	first.fieldSays("identity_check", "Enter how you made sure of the person")
	first.fill("identity_check", "Came to the desk, photo ID seen")
	first.follow("Ask a colleague to agree")
	first.await("asked", "Password reset link", "A second administrator has to agree")
	first.check("4-asked")
	at := first.address()
	first.visit(at + "/waiver/approval")
	first.refused("5-oneself", "A second person is needed", http.StatusForbidden, "a colleague has to agree")

	second := d.open(t, "practice-waiver-second", pr)
	second.staffSignedIn(d, grace)
	second.toAssociation(d, patient, email)
	second.says("A colleague asks you to agree")
	second.check("1-association")
	second.follow("See this link’s history")
	second.await("link", "Password reset link", "photo ID seen")
	second.check("2-link")
	second.follow("Look at it and agree")
	second.shown("3-agree", "Agree to do without the security question?")
	second.says("Came to the desk, photo ID seen")
	second.follow("Agree")
	second.await("agreed", "Password reset link", "Two administrators have agreed")
	second.check("4-agreed")

	guardian := d.open(t, "practice-waiver-guardian", phoneLight)
	guardian.quick = true
	guardian.visit(link)
	guardian.await("link", guardian.say("reset.title"), guardian.say("layout.steps", "step", "1", "of", "2"))
}
