package uitest

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
)

// family picks the people of a household: those who read its language.
type family struct{ forgetful, careful, plain, other string }

func familyOf(pr profile) family {
	if pr.lang == "es" {
		return family{"ana.rivera@example.test", "luis.rivera@example.test", "luis.rivera@example.test", "luis.rivera@example.test"}
	}
	return family{"ngozi.okafor@example.test", "petra.novak@example.test", "maria.kowalska@example.test", "thuy.nguyen@example.test"}
}

// toSignIn goes from the Patient Portal to its sign-in page.
func (p *page) toSignIn(d *demo) {
	p.t.Helper()
	p.visit(d.Realms["patient"].Portal + "/")
	p.await("portal", p.or("Welcome to your Patient Portal", "Le damos la bienvenida al Portal del Paciente"), "")
	p.follow(p.or("Sign in", "Iniciar sesión"))
	p.await("sign-in", p.or("Sign in", "Iniciar sesión"), "")
	p.at(d.Realms["patient"].Issuer + "/signin")
}

// signIn fills the sign-in page and sends it.
func (p *page) signIn(email, password string) {
	p.t.Helper()
	p.fill("email", email)
	p.fill("password", password)
	p.follow(p.or("Sign in", "Iniciar sesión"))
}

// hello is the heading of the Patient Portal's home.
func (p *page) hello(who person) string {
	given, _, _ := strings.Cut(who.Name, " ")
	return p.or("Hello, ", "Hola, ") + given
}

// signedIn goes to the Patient Portal and signs in.
func (p *page) signedIn(d *demo, who person) {
	p.t.Helper()
	p.toSignIn(d)
	p.signIn(who.Email, who.Password)
	p.await("home", p.hello(who), "")
	p.at(d.Realms["patient"].Portal)
}

// signInAndOut is the fifth journey as a patient lives it, with what can go
// wrong on the sign-in page.
func signInAndOut(t *testing.T, d *demo, pr profile) {
	p := d.open(t, "signin", pr)
	who := d.person(t, "patient", familyOf(pr).other)
	issuer := d.Realms["patient"].Issuer
	title := p.or("Sign in", "Iniciar sesión")

	p.visit(d.Realms["patient"].Portal + "/")
	p.shown("1-portal", p.or("Welcome to your Patient Portal", "Le damos la bienvenida al Portal del Paciente"))
	p.follow(title)
	p.shown("2-signin", title)
	p.at(issuer + "/signin")
	p.says(p.or("to continue to", ""))

	p.follow(title)
	p.refused("3-empty", title, http.StatusUnprocessableEntity, "")
	p.fieldSays("email", p.or(formatEN, formatES))
	p.signIn("not-an-address", "something long and wrong")
	p.refused("4-malformed", title, http.StatusUnprocessableEntity, p.or(formatEN, formatES))
	p.fieldSays("email", p.or(formatEN, formatES))
	p.keptTyped("not-an-address")
	p.signIn(who.Email, "something long and wrong")
	p.refused("5-wrong-password", title, http.StatusUnprocessableEntity, p.or(noMatchEN, noMatchES))
	p.keptTyped(who.Email)
	wrong, err := value[string](p, "document.querySelector('main').innerText")
	if err != nil {
		t.Fatal(err)
	}
	p.signIn("nobody@example.test", "something long and wrong")
	p.refused("6-nobody", title, http.StatusUnprocessableEntity, p.or(noMatchEN, noMatchES))
	if nobody, err := value[string](p, "document.querySelector('main').innerText"); err != nil || nobody != wrong {
		t.Errorf("an unknown person is told apart from a wrong password:\n%s\n%s (%v)", nobody, wrong, err)
	}

	p.showPassword()
	p.signIn(who.Email, who.Password)
	p.shown("7-home", p.hello(who))
	p.at(d.Realms["patient"].Portal)
	p.follow(p.or("Settings", "Configuración"))
	p.shown("8-settings", p.or("Settings", "Configuración"))
	p.follow(p.or(myEN, myES))
	p.shown("9-portal-account", p.or(myEN, myES))
	p.follow(p.or("See everything in your account", "Ver todo lo que hay en su cuenta"))
	p.shown("10-account", p.or(myEN, myES))
	p.at(issuer + "/account")
	p.says(who.Email)

	p.visit(d.Realms["patient"].Portal + "/")
	p.await("home again", p.hello(who), "")
	p.as("signout")
	p.follow(p.or("Sign out", "Cerrar sesión"))
	p.shown("1-portal", p.or("You are signed out", "Ha cerrado la sesión"))
	p.visit(d.Realms["patient"].Portal + "/settings")
	p.shown("2-asked-again", title)
	p.at(issuer + "/signin")

	// Without a portal that asks for it, the provider asks first.
	p.signIn(who.Email, who.Password)
	p.await("settings", p.or("Settings", "Configuración"), "")
	p.visit(issuer + "/oauth/logout")
	p.shown("3-sure", p.say("logout.title"))
	p.says(who.Email)
	p.follow(p.say("logout.submit"))
	p.shown("4-done", p.say("logout.done.title"))
	p.visit(issuer + "/account")
	p.await("signed out", title, "")
}

// keptTyped fails unless the email is kept and the password is not.
func (p *page) keptTyped(email string) {
	p.t.Helper()
	if got := p.valueOf("email"); got != email {
		p.t.Errorf("the email typed is now %q, want %q", got, email)
	}
	if got := p.valueOf("password"); got != "" {
		p.t.Errorf("the password is shown again")
	}
}

// showPassword presses Show and Hide and looks at the field.
func (p *page) showPassword() {
	p.t.Helper()
	p.fill("password", "look at me")
	kind := func() string {
		text, err := value[string](p, `document.getElementById("password").type + " " + document.querySelector(".field:has(#password) [role=status]").textContent`)
		if err != nil {
			p.fatalf("look at the password field: %v", err)
		}
		return text
	}
	p.press(p.say("password.show_label"))
	if got, want := kind(), "text "+p.say("password.is_shown"); got != want {
		p.t.Errorf("after Show the field is %q, want %q", got, want)
	}
	p.check("show-password")
	p.press(p.say("password.hide_label"))
	if got, want := kind(), "password "+p.say("password.is_hidden"); got != want {
		p.t.Errorf("after Hide the field is %q, want %q", got, want)
	}
	p.check("hide-password")
}

// changePasswordPatient is the second journey: Settings → My Account → Change
// password. Another device of the same person is signed out by it.
func changePasswordPatient(t *testing.T, d *demo, pr profile) {
	who := d.person(t, "patient", familyOf(pr).careful)
	other := d.open(t, "change-elsewhere", pr)
	other.signedIn(d, who)

	p := d.open(t, "change", pr)
	p.signedIn(d, who)
	p.follow(p.or("Settings", "Configuración"))
	p.await("settings", p.or("Settings", "Configuración"), "")
	p.follow(p.or(myEN, myES))
	p.await("account", p.or(myEN, myES), "")
	p.follow(p.or("Change password", "Cambiar la contraseña"))
	title := p.say("account.password.title")
	p.shown("1-form", title)
	p.at(d.Realms["patient"].Issuer + "/account/password")
	if got := p.valueOf("username"); got != who.Email {
		t.Errorf("the account field shows %q, want %q", got, who.Email)
	}
	p.setPasswordWrongly("2", title, who, func() { p.fill("current-password", who.Password) }, p.say("account.password.save"))

	next := "kayak-lemon-turbine-" + pr.lang + "-90"
	p.passwords("", next, next)
	p.fill("current-password", "this is not my password")
	p.follow(p.say("account.password.save"))
	p.refused("3-wrong-current", title, http.StatusUnprocessableEntity, p.say("password.error.current"))
	p.fieldSays("current-password", p.say("password.error.current"))

	p.passwords(who.Password, next, next)
	p.follow(p.say("account.password.save"))
	p.shown("4-saved", p.or(myEN, myES))
	p.says(p.say("account.done.password"))
	d.changed("patient", who.Email, next)
	p.backShowsNoPassword("5-back", next)

	d.mail(t, who.Email, p.or(changedEN, changedES))
	other.visit(d.Realms["patient"].Portal + "/settings")
	other.toSignIn(d) // signed out there
	other.signIn(who.Email, who.Password)
	other.refused("old-password", other.or("Sign in", "Iniciar sesión"), http.StatusUnprocessableEntity, other.or(noMatchEN, noMatchES))
	other.signIn(who.Email, next)
	other.await("home", other.hello(who), "")
}

// passwords fills the fields of a form that sets a password. Without a current
// password that field is left alone.
func (p *page) passwords(current, next, again string) {
	p.t.Helper()
	if current != "" {
		p.fill("current-password", current)
	}
	p.fill("new-password", next)
	p.fill("confirm-password", again)
}

// setPasswordWrongly sends what a form that sets a password must refuse:
// short, common, mismatched.
func (p *page) setPasswordWrongly(step, title string, who person, before func(), submit string) {
	p.t.Helper()
	for _, bad := range []struct{ name, next, again, field, en, es string }{
		{"short", "too short", "too short", "new-password", shortEN, shortES},
		{"common", "passwordpassword", "passwordpassword", "new-password", commonEN, commonES},
		{"mismatch", "violin harbor pepper 12", "violin harbor pepper 13", "confirm-password", mismatchEN, mismatchES},
	} {
		before()
		p.fill("new-password", bad.next)
		p.fill("confirm-password", bad.again)
		p.follow(submit)
		p.refused(step+"-"+bad.name, title, http.StatusUnprocessableEntity, p.or(bad.en, bad.es))
		p.fieldSays(bad.field, p.or(bad.en, bad.es))
		for _, id := range []string{"new-password", "confirm-password"} {
			if p.valueOf(id) != "" {
				p.t.Errorf("%s: %s is shown again", bad.name, id)
			}
		}
	}
}

// backShowsNoPassword goes back in the history and looks for the password.
func (p *page) backShowsNoPassword(step, password string) {
	p.t.Helper()
	before := p.address()
	p.goBack()
	p.awaitMove(step, before)
	held, err := value[[]string](p, `[...document.querySelectorAll("input")].map(el => el.value).concat(document.body.innerText)`)
	if err != nil {
		p.fatalf("look at the page before: %v", err)
	}
	if slices.ContainsFunc(held, func(text string) bool { return strings.Contains(text, password) }) {
		p.t.Errorf("%s: going back shows the password (%s)", step, p.address())
	}
	filled, err := value[int](p, `[...document.querySelectorAll("input[type=password], #new-password, #confirm-password, #current-password")].filter(el => el.value).length`)
	if err != nil || filled > 0 {
		p.t.Errorf("%s: going back shows %d filled password fields (%v)", step, filled, err)
	}
	p.screenshot(step)
	for _, problem := range p.console() {
		p.t.Errorf("%s: %s", step, problem)
	}
}

// refusals are the pages that say no: unknown addresses, forms that timed out,
// requests that make no sense.
func refusals(t *testing.T, d *demo, pr profile) {
	p := d.open(t, "refusal", pr)
	realm := d.Realms["patient"]

	p.visit(realm.Issuer + "/no/such/page")
	p.refused("1-unknown", p.say("error.not_found.title"), http.StatusNotFound, "")
	p.visit(realm.Portal + "/no/such/page")
	p.refused("2-unknown-portal", p.or("We could not find that page", "No encontramos esa página"), http.StatusNotFound, "")
	p.visit(realm.Issuer + "/oauth/authorize?client_id=nobody&response_type=code&redirect_uri=https%3A%2F%2Fevil.example%2F")
	p.refused("3-unknown-client", p.say("oauth.error.client.title"), http.StatusBadRequest, "")
	p.at(realm.Issuer)
	p.visit(realm.Issuer + "/oauth/authorize?client_id=spa&response_type=code&redirect_uri=https%3A%2F%2Fevil.example%2F")
	p.refused("3-unknown-redirect", p.say("oauth.error.redirect.title"), http.StatusBadRequest, "")
	p.at(realm.Issuer)
	p.visit(realm.Issuer + "/reset/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	p.refused("4-unknown-link", p.say("gone.title"), http.StatusGone, "")
	p.visit(realm.Issuer + "/activate/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	p.refused("5-unknown-invitation", p.say("activation.gone.title"), http.StatusGone, "")

	p.toSignIn(d)
	p.must(call(network.ClearBrowserCookies.Method, nil))
	p.signIn("somebody@example.test", "anything at all here")
	p.refused("6-timed-out", p.or("This page timed out", p.say("error.timed_out.title")), http.StatusForbidden, "")
	p.follow(p.say("error.timed_out.action"))
	p.shown("7-started-again", p.or("Sign in", "Iniciar sesión"))

	p.visit(realm.Issuer + "/.well-known/change-password")
	p.shown("8-change-password", p.or("Sign in", "Iniciar sesión"))
}

// signInByKeyboard signs in and out with nothing but a keyboard. The focus can
// be seen at every stop.
func signInByKeyboard(t *testing.T, d *demo, pr profile) {
	p := d.open(t, "keyboard", pr)
	who := d.person(t, "patient", familyOf(pr).other)
	p.visit(d.Realms["patient"].Portal + "/")
	p.await("portal", p.or("Welcome to your Patient Portal", "Le damos la bienvenida al Portal del Paciente"), "")
	p.tabTo("Sign in", `el.matches("main a[href*=signin]")`)
	p.willLoad()
	p.enter()
	p.await("sign-in", p.or("Sign in", "Iniciar sesión"), "")

	p.tabTo("the email", `el.id === "email"`)
	p.keys("nobody")
	p.willLoad()
	p.enter()
	p.await("error", p.or("Sign in", "Iniciar sesión"), p.or(formatEN, formatES))
	p.focusOnSummary("after an error")

	p.visit(p.address())
	p.await("sign-in", p.or("Sign in", "Iniciar sesión"), "")
	p.tabTo("the skip link", `el.matches("a[href='#main']")`)
	p.screenshot("1-skip-link")
	p.enter()
	p.tabTo("the email", `el.id === "email"`)
	p.keys("nobody")
	p.willLoad()
	p.enter()
	p.await("error", p.or("Sign in", "Iniciar sesión"), p.or(formatEN, formatES))
	p.focusOnSummary("after the skip link and an error")
	p.tabTo("the link in the summary", `el.matches("[role=alert] a[href='#email']")`)
	p.screenshot("2-summary")
	p.enter()
	focus, err := value[string](p, `document.activeElement.id`)
	if err != nil || focus != "email" {
		t.Errorf("the link in the summary leads to %q, want the field (%v)", focus, err)
	}
	p.must(selectAll())
	p.keys(who.Email)
	p.tabTo("the password", `el.id === "password"`)
	p.screenshot("3-focus")
	p.keys(who.Password)
	p.willLoad()
	p.enter()
	p.await("home", p.hello(who), "")
	p.tabTo("Sign out", `el.textContent.trim() === `+quoted(p.or("Sign out", "Cerrar sesión")))
	p.willLoad()
	p.enter()
	p.awaitAny("signed out")
}

// focusOnSummary fails unless the error summary has the focus.
func (p *page) focusOnSummary(when string) {
	p.t.Helper()
	is, err := value[bool](p, `document.activeElement.matches("[role=alert]")`)
	if err != nil || !is {
		on, _ := value[string](p, "document.activeElement.outerHTML.slice(0, 80)")
		p.t.Errorf("%s the focus is on %s, want the summary (%v)", when, on, err)
	}
}
