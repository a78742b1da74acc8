package uitest

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// askForLink goes from a sign-in page to "check your email".
func (p *page) askForLink(email string) {
	p.t.Helper()
	p.follow(p.or(forgotEN, forgotES))
	p.await("forgot", p.say("forgot.title"), "")
	p.fill("email", email)
	p.follow(p.say("forgot.submit"))
	p.await("sent", p.or(checkEN, checkES), email)
}

// forgotPassword is the first journey, with everything that can go wrong.
func forgotPassword(t *testing.T, d *demo, pr profile) {
	p := d.open(t, "forgot", pr)
	who := d.person(t, "patient", familyOf(pr).forgetful)
	issuer := d.Realms["patient"].Issuer

	p.toSignIn(d)
	p.signIn(who.Email, "I have forgotten it")
	p.await("no match", p.or("Sign in", "Iniciar sesión"), p.or(noMatchEN, noMatchES))
	p.follow(p.or(forgotEN, forgotES))
	p.shown("1-ask", p.say("forgot.title"))
	if got := p.valueOf("email"); got != who.Email {
		t.Errorf("after a failed sign-in the email is %q, want %q", got, who.Email)
	}
	p.fill("email", "ana at example")
	p.follow(p.say("forgot.submit"))
	p.refused("2-malformed", p.say("forgot.title"), http.StatusUnprocessableEntity, p.or(formatEN, formatES))
	p.fieldSays("email", p.or(formatEN, formatES))
	p.fill("email", "nobody@example.test")
	p.follow(p.say("forgot.submit"))
	p.shown("3-sent-nobody", p.or(checkEN, checkES))
	nobody := p.mainText()
	p.toSignIn(d)
	p.askForLink(who.Email)
	p.check("3-sent")
	if somebody := p.mainText(); strings.ReplaceAll(somebody, who.Email, "nobody@example.test") != nobody {
		t.Errorf("the answer tells who has an account:\n%s\n%s", somebody, nobody)
	}
	first := d.mail(t, who.Email, p.or(resetEN, resetES))
	p.readMail(d, first, p.lang)

	// Asking again at once is absorbed: the link that is there stays good.
	p.toSignIn(d)
	p.askForLink(who.Email)
	link := first.link(t, "/reset/")

	scan(t, link)
	p.visit(link)
	p.shown("5-link", p.say("reset.title"))
	p.keepsQuiet(who.Email) // masked
	p.follow(p.say("reset.continue"))
	p.shown("6-question", p.say("question.title"))
	if strings.Contains(p.address(), link[strings.LastIndex(link, "/")+1:]) {
		t.Errorf("the link's secret is still in the address %s", p.address())
	}
	p.says(texts(p.lang)["question."+who.Key])
	submit := p.say("reset.continue")
	p.follow(submit)
	p.refused("7-empty-answer", p.say("question.title"), http.StatusUnprocessableEntity, "")
	p.follow(p.say("question.forgotten"))
	p.shown("8-help", p.say("recoveryhelp.title"))
	p.follow(p.say("recoveryhelp.back"))
	p.await("question", p.say("question.title"), "")
	p.fill("answer", "certainly not")
	p.follow(submit)
	p.refused("8-wrong-answer", p.say("question.title"), http.StatusUnprocessableEntity, p.or(wrongEN, wrongES))
	p.fieldSays("answer", p.or(wrongEN, wrongES))
	p.fill("answer", "  "+strings.ToUpper(who.Answer)+" ")
	p.follow(submit)

	title := p.say("newpassword.title")
	p.shown("9-new-password", title)
	if got := p.valueOf("username"); got == "" {
		t.Error("the account field is empty")
	}
	p.setPasswordWrongly("10", title, who, func() {}, p.say("newpassword.save"))
	next := "trumpet-igloo-fossil-" + pr.lang + "-12"
	p.passwords("", next, next)
	p.follow(p.say("newpassword.save"))
	p.shown("11-done", p.say("done.title"))
	d.changed("patient", who.Email, next)
	p.backShowsNoPassword("12-back", next)

	later := d.open(t, "forgot", pr)
	later.visit(link)
	later.refused("13-used", p.say("gone.title"), http.StatusGone, "")
	if notice := d.mail(t, who.Email, p.or(changedEN, changedES)); strings.Contains(notice.Text, next) {
		t.Errorf("the notice holds the password:\n%s", notice.Text)
	}
	d.mail(t, who.Email, p.or(resetEN, resetES)) // still only one

	// The done page leads on to where the person came from.
	p.goForward()
	p.await("done again", p.say("done.title"), "")
	p.follow(p.or("Sign in", "Iniciar sesión"))
	p.await("sign in", p.or("Sign in", "Iniciar sesión"), "")
	p.at(issuer + "/signin")
	p.signIn(who.Email, next)
	p.shown("14-back-in-portal", p.hello(who))
	p.at(d.Realms["patient"].Portal)
}

// readMail opens the mailbox's pages, in English, and the mail in them.
func (p *page) readMail(d *demo, m message, language string) {
	p.t.Helper()
	journey := p.journey
	defer func() { p.journey = journey }()
	p.as(p.journey + "-mail")
	p.in("en", func() {
		p.visit(d.mailbox + "/")
		p.shown("1-mailbox", "Developer mailbox")
		p.visit(d.mailbox + "/messages/" + m.ID)
		p.shown("2-mail", m.Subject)
	})
	// The mail itself, as a mail program shows it. The mailbox forbids it
	// scripts, which axe needs, so it is served once more without that.
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, m.HTML)
	}))
	defer server.Close()
	p.visit(server.URL)
	p.awaitLoad("mail")
	p.screenshot("3-html")
	found, err := p.runAxe(strings.Replace(axeRun, `, "best-practice"`, "", 1))
	wide, narrowErr := p.narrow()
	if err := errors.Join(err, narrowErr); err != nil {
		p.fatalf("check the mail: %v", err)
	}
	for _, problem := range append(found, wide...) {
		p.t.Errorf("the mail %q: %s", m.Subject, problem)
	}
	if lang, err := value[string](p, "document.documentElement.lang"); err != nil || lang != language {
		p.t.Errorf("the mail %q is in %q, want %q", m.Subject, lang, language)
	}
	p.console() // a mail brings no icon
}

// mainText is what the page's main part says.
func (p *page) mainText() string {
	p.t.Helper()
	text, err := value[string](p, `document.querySelector("main").innerText`)
	if err != nil {
		p.fatalf("read the page: %v", err)
	}
	return text
}

// forgotWithoutScripts is the first journey with scripts off, after a mail
// scanner has been at the link, in a browser that did not ask for it.
func forgotWithoutScripts(t *testing.T, d *demo, pr profile) {
	p := d.open(t, "noscript", pr)
	p.withoutScripts()
	who := d.person(t, "patient", familyOf(pr).plain)
	p.toSignIn(d)
	p.askForLink(who.Email)
	p.check("1-sent")
	link := d.mail(t, who.Email, p.or(resetEN, resetES)).link(t, "/reset/")
	scan(t, link)

	p = d.open(t, "noscript", pr)
	p.withoutScripts()
	p.visit(link)
	p.shown("2-link", p.say("reset.title"))
	p.follow(p.say("reset.continue"))
	p.shown("3-question", p.say("question.title"))
	p.fill("answer", "wrong on purpose")
	p.follow(p.say("reset.continue"))
	p.refused("4-wrong-answer", p.say("question.title"), http.StatusUnprocessableEntity, p.or(wrongEN, wrongES))
	p.fill("answer", who.Answer)
	p.follow(p.say("reset.continue"))
	p.shown("5-new-password", p.say("newpassword.title"))
	if p.has(p.say("password.show_label")) {
		t.Error("without scripts there is a Show button that does nothing")
	}
	next := "bobbin-desert-pulley-" + pr.lang + "-77"
	p.passwords("", next, next)
	p.follow(p.say("newpassword.save"))
	p.shown("6-done", p.say("done.title"))
	d.changed("patient", who.Email, next)
	// Back leads to the form itself here, and no script has emptied it.
	p.backShowsNoPassword("6-back", next)
	p.goForward()
	p.await("done again", p.say("done.title"), "")
	p.follow(p.or("Sign in", "Iniciar sesión"))
	v := p.awaitAny("after done")
	if !strings.HasPrefix(v.Address, d.Realms["patient"].Issuer) {
		// The portal that a stranger's browser is led to when no client is known.
		p.follow(p.or("Sign in", "Iniciar sesión"))
		p.await("sign in", p.or("Sign in", "Iniciar sesión"), "")
	}
	p.signIn(who.Email, next)
	p.shown("7-home", p.hello(who))
}

// activation is what the invited person lives: the mail, a password, a
// question, the first sign-in.
func activation(t *testing.T, d *demo, pr profile) {
	p := d.open(t, "activate", pr)
	who := d.person(t, "patient", "carmen.morales@example.test")
	invitations := d.mails(t, who.Email, "Configure su cuenta")
	if len(invitations) > 1 { // the practice has sent it again
		p.visit(invitations[1].link(t, "/activate/"))
		p.refused("0-replaced", p.say("activation.gone.title"), http.StatusGone, "")
	}
	invitation := invitations[0]
	p.readMail(d, invitation, "es")
	link := invitation.link(t, "/activate/")
	scan(t, link)
	p.visit(link)
	v := p.awaitAny("invitation")
	if v.Heading != p.say("activation.title") {
		// The mail's language is the account's; this reader chooses another.
		p.follow("English")
	}
	p.shown("1-invitation", p.say("activation.title"))
	p.follow(p.say("activation.continue"))
	title := p.say("activation.password.title")
	p.shown("2-password", title)
	p.setPasswordWrongly("3", title, who, func() {}, p.say("activation.continue"))
	next := "hammock-zebra-cobalt-" + pr.lang + "-64"
	p.passwords("", next, next)
	p.follow(p.say("activation.continue"))
	title = p.say("activation.question.title")
	p.shown("4-question", title)
	p.follow(p.say("activation.finish"))
	p.refused("5-no-question", title, http.StatusUnprocessableEntity, "")
	p.choose("question", "first_pet")
	p.fill("answer", "Manchas")
	p.follow(p.say("activation.finish"))
	p.shown("6-done", p.say("activation.done.title"))
	p.backShowsNoPassword("7-back", next)
	p.visit(link)
	p.refused("8-used", p.say("activation.gone.title"), http.StatusGone, "")
	d.changed("patient", who.Email, next)
	p.toSignIn(d)
	p.signIn(who.Email, next)
	v = p.awaitAny("home")
	if !strings.HasPrefix(v.Address, d.Realms["patient"].Portal) || !strings.Contains(v.Heading, "Carmen") {
		p.fatalf("the first sign-in leads to %q", v.Heading)
	}
}
