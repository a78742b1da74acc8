package uitest

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

const (
	nils = "nils.andersen@example.test" // looks after his own account
	joan = "j.blake@example.test"       // would like the same address

	noLink = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
)

// newEmail is where nils moves to.
func newEmail(pr profile) string { return "nils." + pr.lang + "@family.example.test" }

// keepSignedIn is the box on the sign-in page.
func keepSignedIn(t *testing.T, d *demo, pr profile) {
	p := d.open(t, "keep", pr)
	p.walked = true
	who := d.person(t, "patient", familyOf(pr).other)
	p.toSignIn(d)
	p.check("1-signin")
	p.press(p.say("signin.keep"))
	p.signIn(who.Email, "not the password at all")
	p.refused("2-wrong-password", p.say("signin.title"), http.StatusUnprocessableEntity, p.or(noMatchEN, noMatchES))
	if kept, err := value[bool](p, `document.getElementById("keep").checked`); err != nil || !kept {
		t.Errorf("the box is not ticked any more (%v)", err)
	}
	p.signIn(who.Email, who.Password)
	p.await("home", p.hello(who), "")
	if left := p.cookieLasts(d, "patient"); left < 29*24*time.Hour {
		t.Errorf("the session's cookie lasts %s, want 30 days", left)
	}
	other := d.open(t, "keep", pr)
	other.signedIn(d, who)
	if left := other.cookieLasts(d, "patient"); left != 0 {
		t.Errorf("without the box the session's cookie lasts %s, want the browser's life", left)
	}
}

// cookieLasts is how long the browser keeps the session of a realm; 0: until
// it is closed.
func (p *page) cookieLasts(d *demo, realm string) time.Duration {
	p.t.Helper()
	got, err := chromedp.Call(p.ctx, network.GetCookies, network.GetCookiesParams{URLs: []string{d.Realms[realm].Issuer}})
	if err != nil {
		p.fatalf("read the cookies: %v", err)
	}
	for _, c := range got.Cookies {
		if c.Name == "__Host-portico-"+realm {
			if c.Session {
				return 0
			}
			return time.Until(time.Unix(int64(c.Expires), 0))
		}
	}
	p.fatalf("there is no session of %s", realm)
	return 0
}

// toAccount opens My Account, which is signed in to already.
func (p *page) toAccount(d *demo) {
	p.t.Helper()
	p.visit(d.Realms["patient"].Issuer + "/account")
	p.await("my account", p.say("account.title"), "")
}

// row follows the link of a row of My Account.
func (p *page) row(action, label string) {
	p.t.Helper()
	p.follow(p.say(action) + " " + p.say(label))
}

// selfCare is My Account with all its pages, the change of the login email, and
// the link of a notice that locks the account.
func selfCare(t *testing.T, d *demo, pr profile) {
	p := d.open(t, "account", pr)
	who := d.person(t, "patient", nils)
	p.toSignIn(d)
	p.insists()
	p.signIn(who.Email, who.Password)
	p.awaitAny("home") // in the account's language

	p.ownLanguageAndName(d)
	p.confirmAndQuestion(d, who)
	p.historyAndApps(d)
	p.devices(d, who, pr)
	letter := p.ownEmail(d, who, pr)
	p.lockByLetter(d, letter, who)
}

func (p *page) ownLanguageAndName(d *demo) {
	p.t.Helper()
	p.toAccount(d)
	p.check("1-my-account")
	p.row("account.change", "account.language")
	p.shown("2-language", p.say("account.language.title"))
	p.choose("language", p.lang)
	p.follow(p.say("account.save"))
	p.await("2-language-saved", p.say("account.title"), p.say("account.done.language"))
	p.check("2-language-saved")

	p.row("account.change", "account.name")
	p.shown("3-name", p.say("profile.title"))
	p.fill("given-name", "")
	p.fill("family-name", "")
	p.fill("display-name", "")
	p.follow(p.say("account.save"))
	p.refused("4-no-name", p.say("profile.title"), http.StatusUnprocessableEntity, "")
	p.fieldSays("given-name", p.say("profile.error.empty"))
	p.fill("given-name", "Nils")
	p.fill("family-name", "Andersen")
	p.fill("display-name", strings.Repeat("Nils ", 25))
	p.follow(p.say("account.save"))
	p.refused("5-long-name", p.say("profile.title"), http.StatusUnprocessableEntity, "")
	p.fieldSays("display-name", p.say("profile.error.long", "n", "100"))
	p.fill("display-name", "Nils A.")
	p.follow(p.say("account.save"))
	p.await("6-name-saved", p.say("profile.title"), p.say("profile.done"))
	p.check("6-name-saved")
}

// confirmAndQuestion changes the security question, long after the sign-in.
func (p *page) confirmAndQuestion(d *demo, who person) {
	p.t.Helper()
	d.exec(p.t, "UPDATE sessions SET confirmed_at = 1")
	p.toAccount(d)
	p.row("account.change", "account.question")
	confirm := p.say("account.confirm.title")
	p.shown("7-confirm", confirm)
	p.follow(p.say("account.confirm.submit"))
	p.refused("8-confirm-empty", confirm, http.StatusUnprocessableEntity, "")
	p.fieldSays("password", p.say("password.error.empty"))
	p.fill("password", "this is not my password")
	p.follow(p.say("account.confirm.submit"))
	p.refused("9-confirm-wrong", confirm, http.StatusUnprocessableEntity, "")
	p.fieldSays("password", p.say("password.error.current"))
	p.fill("password", who.Password)
	p.follow(p.say("account.confirm.submit"))

	title := p.say("account.question.title")
	p.shown("10-question", title)
	p.follow(p.say("account.question.save"))
	p.refused("11-no-question", title, http.StatusUnprocessableEntity, "")
	p.fieldSays("question", p.say("question.error.choose"))
	p.choose("question", "first_teacher")
	p.follow(p.say("account.question.save"))
	p.refused("12-no-answer", title, http.StatusUnprocessableEntity, "")
	p.fieldSays("answer", p.say("question.error.empty"))
	p.choose("question", "first_teacher")
	p.fill("answer", who.Email)
	p.follow(p.say("account.question.save"))
	p.refused("13-obvious-answer", title, http.StatusUnprocessableEntity, "")
	p.fieldSays("answer", p.say("question.error.obvious"))
	p.choose("question", "first_teacher")
	p.fill("answer", "Lindgren")
	p.follow(p.say("account.question.save"))
	p.await("14-question-saved", p.say("account.title"), p.say("account.done.question"))
	p.check("14-question-saved")
	d.newest(p.t, who.Email, p.say("mail.question_changed.subject"))
}

// historyAndApps looks at what happened and takes the portal's access away.
func (p *page) historyAndApps(d *demo) {
	p.t.Helper()
	p.row("account.see", "account.history")
	p.shown("15-history", p.say("history.title"))
	p.says(p.say("history.question_changed_you"))
	p.toAccount(d)
	p.row("account.see", "account.apps")
	p.shown("16-apps", p.say("apps.title"))
	portal := p.or("Patient Portal", "Portal del Paciente")
	p.follow(p.say("apps.remove") + " " + portal)
	p.shown("17-remove-app", p.say("apps.remove.title", "app", portal))
	p.follow(p.say("apps.remove"))
	p.await("18-no-app", p.say("apps.title"), p.say("apps.removed"))
	p.check("18-no-app")
	p.says(p.say("apps.none"))
}

// devices signs another device out.
func (p *page) devices(d *demo, who person, pr profile) {
	p.t.Helper()
	other := d.open(p.t, "account-elsewhere", pr)
	other.signedIn(d, who)
	p.toAccount(d)
	p.check("19-two-devices")
	p.follow(p.say("account.device.sign_out_others"))
	p.await("20-others-out", p.say("account.title"), p.say("account.done.devices"))
	p.check("20-others-out")
	other.visit(d.Realms["patient"].Issuer + "/account")
	other.await("signed out there", other.say("signin.title"), "")
}

// ownEmail changes the login email and returns the letter that the old address
// gets.
func (p *page) ownEmail(d *demo, who person, pr profile) message {
	p.t.Helper()
	next, title := newEmail(pr), p.say("account.email.title")
	p.walked, p.hands = true, p.hands && pr.phone // the desk's person has no mouse
	p.row("account.change", "field.email")
	p.shown("21-email", title)
	p.fill("new-email", "nils at home")
	p.follow(p.say("account.email.submit"))
	p.refused("22-malformed", title, http.StatusUnprocessableEntity, "")
	p.fieldSays("new-email", p.or(formatEN, formatES))
	p.fill("new-email", strings.ToUpper(who.Email))
	p.follow(p.say("account.email.submit"))
	p.refused("23-same", title, http.StatusUnprocessableEntity, "")
	p.fieldSays("new-email", p.say("account.email.error.same"))
	p.fill("new-email", next)
	p.follow(p.say("account.email.submit"))
	p.shown("24-sent", p.say("account.email_sent.title"))
	p.says(next)
	first := d.newest(p.t, next, p.say("mail.verify_email.subject")).link(p.t, "/email/")
	p.follow(p.say("account.email_sent.back"))
	p.shown("25-waiting", p.say("account.title"))
	p.row("account.change", "field.email")
	p.shown("26-waiting", title)
	p.visit(d.Realms["patient"].Issuer + "/account/email/sent")
	p.await("sent again", p.say("account.email_sent.title"), "")
	p.follow(p.say("account.email_sent.cancel"))
	p.await("27-cancelled", p.say("account.title"), p.say("account.done.email_cancelled"))
	p.check("27-cancelled")
	p.visit(first)
	p.refused("28-link-gone", p.say("activation.gone.title"), http.StatusGone, "")

	p.wantsSame(d, next, pr)
	p.visit(d.Realms["patient"].Issuer + "/account/email")
	p.await("email", title, "")
	p.fill("new-email", next)
	p.follow(p.say("account.email.submit"))
	p.await("sent", p.say("account.email_sent.title"), "")
	verify := d.newest(p.t, next, p.say("mail.verify_email.subject"))
	link := verify.link(p.t, "/email/")
	scan(p.t, link)
	mailbox := d.open(p.t, "account", pr)
	mailbox.readMail(d, verify, p.lang)
	mailbox.walked = true
	mailbox.visit(link)
	mailbox.shown("29-link", p.say("email_link.title"))
	mailbox.follow(p.say("activation.continue"))
	mailbox.shown("29-sure", p.say("email_link.title"))
	mailbox.follow(p.say("email_confirm.allow.submit"))
	mailbox.refused("29-no-answer", p.say("email_link.title"), http.StatusUnprocessableEntity, "")
	mailbox.fieldSays("decision", p.say("email_confirm.error.choose"))
	mailbox.press(p.say("email_confirm.allow.yes"))
	mailbox.follow(p.say("email_confirm.allow.submit"))
	mailbox.shown("30-done", p.say("email_done.title"))
	mailbox.visit(link)
	mailbox.refused("31-used", p.say("activation.gone.title"), http.StatusGone, "")
	p.tooLate(d, next, pr)

	p.visit(d.Realms["patient"].Issuer + "/account")
	p.await("signed out by the change", p.say("signin.title"), "")
	p.signIn(next, who.Password)
	p.await("in with the new email", p.say("account.title"), next)
	return d.mail(p.t, who.Email, p.say("mail.email_changed.subject"))
}

// wantsSame has somebody else ask for the same new address.
func (p *page) wantsSame(d *demo, email string, pr profile) {
	p.t.Helper()
	other := d.open(p.t, "account", pr)
	who := d.person(p.t, "patient", joan)
	other.toSignIn(d)
	other.insists()
	other.signIn(who.Email, who.Password)
	other.awaitAny("home")
	other.visit(d.Realms["patient"].Issuer + "/account/email")
	other.await("email", other.say("account.email.title"), "")
	other.fill("new-email", email)
	other.follow(other.say("account.email.submit"))
	other.await("sent", other.say("account.email_sent.title"), "")
}

// tooLate opens that other link, once the address has an owner.
func (p *page) tooLate(d *demo, email string, pr profile) {
	p.t.Helper()
	other := d.open(p.t, "account", pr)
	letters := d.mails(p.t, email, texts("en")["mail.verify_email.subject"])
	if pr.lang == "en" {
		letters = letters[len(letters)-2:] // the newest is his own
	}
	other.in("en", func() {
		other.visit(letters[0].link(p.t, "/email/"))
		other.await("link", other.say("email_link.title"), "")
		if pr.lang != "en" {
			other.follow("Español")
		}
	})
	if pr.lang != "en" {
		other.await("link", other.say("email_link.title"), "")
	}
	other.follow(other.say("activation.continue"))
	other.await("sure", other.say("email_link.title"), "")
	other.press(other.say("email_confirm.allow.yes"))
	other.follow(other.say("email_confirm.allow.submit"))
	other.refused("32-taken", other.say("email_taken.title"), http.StatusConflict, "")
}

// lockByLetter is "this was not me".
func (p *page) lockByLetter(d *demo, letter message, who person) {
	p.t.Helper()
	p.as("freeze")
	issuer := d.Realms["patient"].Issuer
	p.visit(issuer + "/freeze/" + noLink)
	p.refused("0-unknown", p.say("activation.gone.title"), http.StatusGone, "")
	p.visit(issuer + "/email/" + noLink)
	p.refused("0-unknown-email", p.say("activation.gone.title"), http.StatusGone, "")
	p.readMail(d, letter, p.lang)
	link := letter.link(p.t, "/freeze/")
	scan(p.t, link)
	p.visit(link)
	p.shown("1-link", p.say("freeze.title"))
	p.follow(p.say("activation.continue"))
	p.shown("1-sure", p.say("freeze.title"))
	p.follow(p.say("email_confirm.allow.submit"))
	p.refused("1-no-answer", p.say("freeze.title"), http.StatusUnprocessableEntity, "")
	p.fieldSays("decision", p.say("email_confirm.error.choose"))
	p.press(p.say("freeze.no"))
	p.follow(p.say("email_confirm.allow.submit"))
	p.shown("1-unchanged", p.say("unchanged.title"))
	p.visit(link)
	p.await("link", p.say("freeze.title"), "")
	p.follow(p.say("activation.continue"))
	p.await("sure", p.say("freeze.title"), "")
	p.press(p.say("freeze.yes"))
	p.follow(p.say("email_confirm.allow.submit"))
	p.shown("2-locked", p.say("freeze_done.title"))
	p.visit(link)
	p.shown("3-locked-already", p.say("freeze_done.title"))
	p.visit(issuer + "/account")
	p.await("sign-in", p.say("signin.title"), "")
	p.signIn(newEmail(p.profile), who.Password)
	p.refused("4-nobody-gets-in", p.say("signin.title"), http.StatusUnprocessableEntity, p.or(noMatchEN, noMatchES))
	d.newest(p.t, newEmail(p.profile), strings.ReplaceAll(p.say("mail.frozen_notice.subject"), "{realm}", p.or("Patient Portal", "Portal del Paciente")))
}
