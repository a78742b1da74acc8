package uitest

import (
	"net/http"
	"testing"

	"github.com/chromedp/cdproto/webauthn"
)

// emma is asked for a second step by an application.
const emma = "emma.novak@example.test"

// enrol is a second step that an application asks for, of somebody who has none.
func enrol(t *testing.T, d *demo, pr profile) {
	p := d.open(t, "enrol", pr)
	p.walked, p.hands = true, p.hands && pr.phone
	p.withAuthenticator()
	who := d.person(t, "patient", emma)
	authorize := application(t, d.Realms["patient"].Issuer, "claims", `{"id_token":{"acr":{"essential":true,"values":["2"]}}}`)
	title := p.say("enrol.title")
	p.visit(authorize)
	p.await("sign-in", p.say("signin.title"), "")
	p.insists()
	p.signIn(who.Email, who.Password)
	p.shown("1-offer", title)
	p.says(p.say("enrol.for_client", "client", "Single-page app"))
	p.follow(p.say("enrol.not_now"))
	p.await("the application is told", "refused", "")

	p.visit(authorize)
	p.await("offer", title, "")
	p.follow(p.say("enrol.passkey"))
	p.shown("2-passkey", p.say("factor.passkey.title"))
	p.verifies(false)
	p.press(p.say("factor.passkey.create"))
	p.passkeySays("passkey", p.say("factor.passkey.cancelled"))
	p.check("3-passkey-cancelled")
	p.willLoad()
	p.tamper(emptyAnswer)
	p.refusedWith("3-passkey-refused", p.say("factor.passkey.title"), http.StatusUnprocessableEntity, "enrol.error.passkey")
	p.verifies(true)
	p.follow(p.say("factor.passkey.create"))
	p.shown("4-codes", p.say("factor.codes.title"))
	p.says(p.say("enrol.done"))
	p.recoveryCodes()
	p.follow(p.say("enrol.continue"))
	p.await("consent", p.say("consent.title", "client", "Single-page app"), "")
	p.follow(p.say("consent.allow"))
	p.await("allowed", "allowed", "")
	p.must(call(webauthn.CommandDisable, struct{}{}))
}

// enrolApp sets an authenticator app up and goes on.
func (p *page) enrolApp() {
	p.t.Helper()
	p.follow(p.say("enrol.app"))
	title := p.say("factor.app.title")
	p.shown("6-app", title)
	p.follow(p.say("factor.app.submit"))
	p.refused("7-app-empty", title, http.StatusUnprocessableEntity, "")
	p.fieldSays("code", p.say("second.error.empty"))
	p.fill("code", "000000")
	p.follow(p.say("factor.app.submit"))
	p.refused("8-app-wrong", title, http.StatusUnprocessableEntity, "")
	p.fieldSays("code", p.say("factor.app.error.code"))
	key, err := value[string](p, `document.querySelector("strong[translate=no]").textContent`)
	if err != nil {
		p.t.Fatal(err)
	}
	p.fill("code", appCode(p.t, key, 0))
	p.follow(p.say("factor.app.submit"))
	p.shown("9-codes", p.say("factor.codes.title"))
	p.recoveryCodes()
	p.follow(p.say("enrol.continue"))
}

// TestSecondStepDemanded is the practice whose staff have to have a second
// step: told at first, then not let past.
func TestSecondStepDemanded(t *testing.T) {
	t.Parallel()
	d := startDemo(t, sqlite, "-second-step")
	for _, each := range []struct {
		name string
		who  string
		at   profile
	}{{"at a desk", tom, desktopLight}, {"on a phone", "marcus.hall@juniper.example.test", phoneDark}} {
		t.Run(each.name, func(t *testing.T) { demanded(t, d, each.who, each.at) })
	}
}

func demanded(t *testing.T, d *demo, email string, pr profile) {
	p := d.open(t, "demanded", pr)
	p.withAuthenticator()
	who := d.person(t, "practice", email)
	issuer := d.Realms["practice"].Issuer
	p.toPractice(d)
	p.signIn(who.Email, who.Password)
	p.shown("1-offer", p.say("enrol.title"))
	p.follow(p.say("enrol.not_now"))
	p.awaitAny("practice home")
	p.at(d.Realms["practice"].Portal)
	p.visit(issuer + "/account/second-step")
	p.shown("2-must", p.say("factor.title"))
	p.says(p.say("factor.must"))
	p.visit(issuer + "/account/profile")
	p.shown("3-name-fixed", p.say("profile.title"))
	p.says(p.say("profile.fixed"))

	p.visit(d.Realms["practice"].Portal + "/")
	p.awaitAny("practice portal")
	p.follow("Sign out")
	p.awaitAny("signed out")
	p.toPractice(d)
	p.signIn(who.Email, who.Password)
	p.await("offer", p.say("enrol.title"), "")
	d.exec(t, "UPDATE signin_told SET told_at = 1")
	p.follow(p.say("enrol.not_now"))
	p.refused("4-cannot-wait", p.say("enrol.title"), http.StatusUnprocessableEntity, p.say("enrol.error.required"))
	if p.has(p.say("enrol.not_now")) {
		t.Error("it cannot wait any longer and is offered to")
	}
	p.visit(p.address())
	p.shown("5-must", p.say("enrol.title"))
	p.enrolApp()
	p.awaitAny("practice home")
	p.at(d.Realms["practice"].Portal)

	p.visit(issuer + "/account/second-step")
	p.await("second step", p.say("factor.title"), "")
	p.follow(p.say("factor.remove") + " " + p.say("factor.app"))
	p.shown("10-cannot-remove", p.say("factor.remove.title_app"))
	p.says(p.say("factor.remove.required"))
	p.removeTheOther(d, who)
	p.must(call(webauthn.CommandDisable, struct{}{}))
}

// removeTheOther takes one of two second steps away, while the other one has
// gone in another window.
func (p *page) removeTheOther(d *demo, who person) {
	p.t.Helper()
	p.verifies(true)
	p.visit(d.Realms["practice"].Issuer + "/account/second-step/passkey")
	p.await("passkey", p.say("factor.passkey.title"), "")
	p.follow(p.say("factor.passkey.create"))
	p.await("both", p.say("factor.title"), p.say("factor.done.passkey"))
	p.follow(p.say("factor.remove") + " " + p.say("factor.app"))
	title := p.say("factor.remove.title_app")
	p.await("remove", title, "")
	d.exec(p.t, "DELETE FROM passkeys WHERE account_id = (SELECT id FROM accounts WHERE login_email = ?)", who.Email)
	p.follow(p.say("factor.remove"))
	p.refusedWith("11-stays", title, http.StatusUnprocessableEntity, "factor.remove.error.required")
}
