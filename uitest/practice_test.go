package uitest

import (
	"net/http"
	"strings"
	"testing"
)

const (
	dana = "dana.whitfield@maple.example.test" // administrator of Maple Street Clinic
	rosa = "rosa.jimenez@maple.example.test"   // front desk there
	tom  = "tom.becker@maple.example.test"     // may only look
	kim  = "kim.foster@example.test"           // has no role

	siobhan = "siobhan@obrien.example.test" // a guardian's new address
)

// staffSignedIn goes to the Practice Portal and signs in.
func (p *page) staffSignedIn(d *demo, email string) person {
	p.t.Helper()
	who := d.person(p.t, "practice", email)
	p.toPractice(d)
	p.signIn(who.Email, who.Password)
	v := p.awaitAny("practice home")
	if !strings.HasPrefix(v.Address, d.Realms["practice"].Portal) {
		p.fatalf("signing in led to %s", v.Address)
	}
	return who
}

// toPractice goes from the Practice Portal to its sign-in page.
func (p *page) toPractice(d *demo) {
	p.t.Helper()
	p.visit(d.Realms["practice"].Portal + "/")
	p.awaitAny("practice portal")
	p.follow("Sign in")
	p.awaitAny("sign-in")
	p.at(d.Realms["practice"].Issuer + "/signin")
	p.insists()
}

// insists chooses the language with a click, which outranks the portal's and
// the account's: the Practice Portal and most people of the demo have English.
func (p *page) insists() {
	p.t.Helper()
	if p.lang == "en" {
		return
	}
	before, err := value[string](p, "document.documentElement.lang")
	if err != nil {
		p.fatalf("read the language: %v", err)
	}
	if before == p.lang {
		p.in("en", func() {
			p.follow("English")
			p.await("in English", p.say("signin.title"), "")
		})
	}
	p.follow("Español")
	p.await("in Spanish", p.say("signin.title"), "")
}

// find searches in Patient Administration and opens the patient.
func (p *page) find(filter, query, patient string) {
	p.t.Helper()
	p.follow("Patient Administration")
	p.await("patients", "Patient Administration", "")
	p.press(filter)
	p.fill("q", query)
	p.follow("Search")
	p.await("found", "Patient Administration", patient)
}

// staffReset is the fourth journey: from Patient Administration to the mail
// with the link, with the login email changed on the way, until the guardian
// has used it and the desk can see that.
func staffReset(t *testing.T, d *demo, pr profile) {
	p := d.open(t, "staff", pr)
	p.visit(d.Realms["practice"].Portal + "/")
	p.awaitAny("practice portal")
	p.check("1-portal")
	p.toPractice(d)
	p.check("2-signin")
	who := d.person(t, "practice", dana)
	p.signIn(who.Email, "not the password at all")
	p.refused("3-wrong-password", p.say("signin.title"), http.StatusUnprocessableEntity, p.or(noMatchEN, noMatchES))
	p.signIn(who.Email, who.Password)
	p.awaitAny("home")
	p.check("4-home")

	p.follow("Patient Administration")
	p.shown("5-patients", "Patient Administration")
	p.press("Account")
	p.fill("q", "nobody of this name")
	p.follow("Search")
	p.shown("6-nothing", "Patient Administration")
	p.press("Account")
	p.fill("q", "siobhan")
	p.follow("Search")
	p.await("found", "Patient Administration", "Finn O’Brien")
	p.check("7-found")
	p.follow("Finn O’Brien")
	p.shown("8-patient", "Finn O’Brien")
	p.says("Associations")
	p.follow("Siobhán O’Brien")
	p.shown("9-association", "Siobhán O’Brien")
	p.says("Account Settings")
	p.says("Login email")

	p.changeLoginEmail()
	if notice := d.mail(t, "siobhan.obrien@example.test", "sign-in email was changed"); strings.Contains(notice.Text, siobhan) {
		t.Errorf("the notice to the old address shows the new one:\n%s", notice.Text)
	}
	// The guardian has asked for a link alone; the desk's replaces it.
	guardian := d.open(t, "staff-guardian", phoneLight)
	guardian.toSignIn(d)
	guardian.askForLink(siobhan)
	p.sendReset(d, guardian, d.mail(t, siobhan, resetEN).link(t, "/reset/"))
	guardian.toSignIn(d)
	guardian.signIn(siobhan, "meteor-saucer-bonnet-35")
	guardian.await("home", "Hello, Siobhán", "")
}

// changeLoginEmail confirms and corrects the login email.
func (p *page) changeLoginEmail() {
	p.t.Helper()
	p.follow("Change")
	p.shown("10-login-email", "Change login email")
	p.fill("login_email", "siobhan at home")
	p.follow("Save login email")
	p.refused("11-malformed", "Change login email", http.StatusUnprocessableEntity, "")
	p.fieldSays("login_email", formatEN)
	p.fill("login_email", siobhan)
	p.fill("reason", "Told us at the desk, photo ID seen")
	p.follow("Save login email")
	p.await("changed", "Siobhán O’Brien", siobhan)
	p.check("12-changed")
	p.says("amily contact list")
}

// sendReset sends the link, and follows its life with the guardian's.
func (p *page) sendReset(d *demo, guardian *page, replaced string) {
	p.t.Helper()
	title := "Reset Siobhán O’Brien’s password?"
	p.follow("Reset Password")
	p.shown("13-sure", title)
	p.says(siobhan)
	p.says("48 hours")
	p.follow("Cancel")
	p.await("cancelled", "Siobhán O’Brien", "")
	p.follow("Reset Password")
	p.await("sure again", title, "")
	p.follow("Send reset link")
	p.refused("14-no-reason", title, http.StatusUnprocessableEntity, "")
	p.fieldSays("reason", "Enter the reason for the reset")
	p.fill("reason", "Called, confirmed date of birth")
	p.follow("Send reset link")
	p.await("sent", "Password reset link", "Sent to "+siobhan)
	p.check("15-sent")
	p.says("Works until")
	p.keepsQuiet("/reset/")

	mail := d.mail(p.t, siobhan, "Maple Street Clinic sent you a password link")
	guardian.visit(replaced)
	guardian.refused("0-replaced", guardian.say("gone.title"), http.StatusGone, "")
	guardian.readMail(d, mail, "en")
	guardian.visit(mail.link(p.t, "/reset/"))
	guardian.shown("1-link", guardian.say("reset.title"))
	guardian.follow(guardian.say("reset.continue"))
	guardian.await("question", guardian.say("question.title"), "")
	guardian.fill("answer", "Rosemary Lane")
	guardian.follow(guardian.say("reset.continue"))
	guardian.await("password", guardian.say("newpassword.title"), "")
	guardian.passwords("", "meteor-saucer-bonnet-35", "meteor-saucer-bonnet-35")
	guardian.follow(guardian.say("newpassword.save"))
	guardian.shown("2-done", guardian.say("done.title"))

	p.follow("Check again")
	p.await("used", "Password reset link", "has a new password")
	p.check("16-used")
	p.follow("Back to Account Settings")
	p.shown("17-association-after", "Siobhán O’Brien")
}

// changePasswordStaff is the third journey: navigation panel → My Account →
// Change Password.
func changePasswordStaff(t *testing.T, d *demo, pr profile) {
	p := d.open(t, "staff-change", pr)
	who := p.staffSignedIn(d, rosa)
	p.follow("My Account")
	p.shown("1-my-account", "My Account")
	p.at(d.Realms["practice"].Portal)
	p.follow("Change Password")
	v := p.awaitAny("change password")
	p.at(d.Realms["practice"].Issuer + "/account/password")
	p.check("2-form")
	p.setPasswordWrongly("3", v.Heading, who, func() { p.fill("current-password", who.Password) }, p.say("account.password.save"))
	const next = "velcro-poppy-anvil-51"
	p.passwords(who.Password, next, next)
	p.follow(p.say("account.password.save"))
	p.shown("4-saved", p.say("account.title"))
	d.changed("practice", who.Email, next)
	p.backShowsNoPassword("5-back", next)
	d.mail(t, who.Email, changedEN)

	p.visit(d.Realms["practice"].Portal + "/")
	p.awaitAny("practice portal")
	p.follow("Sign out")
	p.awaitAny("signed out")
	p.check("6-signed-out")
	fresh := d.open(t, "staff-change", pr)
	fresh.staffSignedIn(d, rosa)
}

// forgotPasswordStaff is the first journey in the practice realm, for somebody
// whose address is also a guardian's: another person with another question.
func forgotPasswordStaff(t *testing.T, d *demo, pr profile) {
	p := d.open(t, "staff-forgot", pr)
	who := d.person(t, "practice", "j.blake@example.test")
	p.toPractice(d)
	p.askForLink(who.Email)
	p.check("1-sent")
	link := d.mail(t, who.Email, "Reset your Practice Portal password").link(t, "/reset/")
	if !strings.HasPrefix(link, d.Realms["practice"].Issuer) {
		t.Fatalf("the link is %s, want one of the practice realm", link)
	}
	p.visit(link)
	p.shown("2-link", p.say("reset.title"))
	p.follow(p.say("reset.continue"))
	p.shown("3-question", p.say("question.title"))
	p.says(p.say("question." + who.Key))
	p.fill("answer", d.person(t, "patient", who.Email).Answer)
	p.follow(p.say("reset.continue"))
	p.refused("4-the-others-answer", p.say("question.title"), http.StatusUnprocessableEntity, p.or(wrongEN, wrongES))
	p.fill("answer", who.Answer)
	p.follow(p.say("reset.continue"))
	p.shown("5-new-password", p.say("newpassword.title"))
	const next = "quiver-noodle-summit-83"
	p.passwords("", next, next)
	p.follow(p.say("newpassword.save"))
	p.shown("6-done", p.say("done.title"))
	d.changed("practice", who.Email, next)
	p.backShowsNoPassword("6-back", next)
	p.goForward()
	p.await("done again", p.say("done.title"), "")
	p.follow(p.say("done.sign_in"))
	p.await("sign in", p.say("signin.title"), "")
	p.signIn(who.Email, next)
	v := p.awaitAny("portal")
	if !strings.HasPrefix(v.Address, d.Realms["practice"].Portal) {
		t.Errorf("after the reset, signing in leads to %s", v.Address)
	}
}

// staffLimits is what the portal shows to those who may only look, to those
// without a role, and for an account of another practice.
func staffLimits(t *testing.T, d *demo, pr profile) {
	viewer := d.open(t, "limits-viewer", pr)
	viewer.staffSignedIn(d, tom)
	viewer.find("Account", "haddad", "Layla Haddad")
	viewer.follow("Layla Haddad")
	viewer.await("patient", "Layla Haddad", "")
	viewer.follow("Yusuf Haddad")
	viewer.shown("1-looks", "Yusuf Haddad")
	if viewer.has("Reset Password") || viewer.has("Change") {
		t.Error("somebody who may only look is offered a change")
	}
	own := d.association(t, "Layla Haddad", "yusuf.haddad@example.test")
	viewer.visit(d.Realms["practice"].Portal + "/associations/" + own.ID + "/reset-password")
	v := viewer.awaitAny("refused")
	viewer.refused("2-refused", v.Heading, http.StatusForbidden, "")

	elsewhere := d.association(t, "Chidi Okafor", "ngozi.okafor@example.test")
	viewer.visit(d.Realms["practice"].Portal + "/associations/" + elsewhere.ID)
	viewer.refused("3-other-practice", "We could not find that", http.StatusNotFound, "")

	nobody := d.open(t, "limits-nobody", pr)
	nobody.staffSignedIn(d, kim)
	nobody.follow("Patient Administration")
	v = nobody.awaitAny("no role")
	if v.Heading == "Patient Administration" {
		nobody.press("Account")
		nobody.fill("q", "rivera")
		nobody.follow("Search")
		nobody.awaitAny("no role")
		nobody.keepsQuiet("Mateo")
	}
	nobody.check("1-no-role")

	// Disabled: explained, not offered.
	admin := d.open(t, "limits-admin", pr)
	admin.staffSignedIn(d, "priya.nair@juniper.example.test")
	erik := d.association(t, "Astrid Lindqvist", "erik.lindqvist@example.test")
	admin.visit(d.Realms["practice"].Portal + "/associations/" + erik.ID)
	admin.shown("1-disabled", "Erik Lindqvist")
	if admin.has("Reset Password") {
		t.Error("a reset is offered for a disabled account")
	}
}
