package uitest

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // what authenticator apps compute with (RFC 6238)
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"
)

// appCode is what an authenticator app shows for a key, so many half minutes
// from now.
func appCode(t *testing.T, key string, steps int) string {
	t.Helper()
	raw, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ReplaceAll(key, " ", ""))
	if err != nil {
		t.Fatalf("the key %q: %v", key, err)
	}
	mac := hmac.New(sha1.New, raw)
	_ = binary.Write(mac, binary.BigEndian, time.Now().Unix()/30+int64(steps))
	sum := mac.Sum(nil)
	part := sum[sum[len(sum)-1]&15:]
	return fmt.Sprintf("%06d", (binary.BigEndian.Uint32(part)&0x7fffffff)%1000000)
}

// withAuthenticator gives the tab's device a way to keep passkeys, whose
// person agrees to everything at once.
func (p *page) withAuthenticator() {
	p.t.Helper()
	p.must(call(webauthn.CommandEnable, struct{}{}))
	added, err := chromedp.Call(p.ctx, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
		Protocol: "ctap2", Ctap2version: "ctap2_1", Transport: "internal", HasResidentKey: true, HasUserVerification: true,
		AutomaticPresenceSimulation: true, IsUserVerified: true}})
	if err != nil {
		p.fatalf("add an authenticator: %v", err)
	}
	p.authenticator = added.AuthenticatorID
}

// secondStep is a person who sets an authenticator app and a passkey up, signs
// in with the passkey alone and removes both.
func secondStep(t *testing.T, d *demo, pr profile) {
	p := d.open(t, "factor", pr)
	p.walked, p.hands = true, p.hands && pr.phone
	p.withAuthenticator()
	who := d.person(t, "patient", familyOf(pr).other)
	home := d.Realms["patient"].Issuer + "/account/second-step"
	title := p.say("factor.title")

	p.signedIn(d, who)
	p.visit(home)
	p.shown("1-none", title)
	p.follow(p.say("factor.app.set_up"))
	p.shown("2-app", p.say("factor.app.title"))
	key, err := value[string](p, `document.querySelector("strong[translate=no]").textContent`)
	if err != nil {
		t.Fatal(err)
	}
	p.fill("code", "12345")
	p.follow(p.say("factor.app.submit"))
	p.refused("3-wrong-code", p.say("factor.app.title"), http.StatusUnprocessableEntity, p.say("factor.app.error.code"))
	p.fieldSays("code", p.say("factor.app.error.code"))
	p.fill("code", appCode(t, key, 0))
	p.follow(p.say("factor.app.submit"))
	p.shown("4-codes", p.say("factor.codes.title"))
	p.says(p.say("factor.codes.app_done"))
	codes := p.recoveryCodes()
	p.follow(p.say("factor.codes.kept"))
	p.shown("5-app-on", title)

	p.follow(p.say("factor.passkey.add"))
	p.shown("6-passkey", p.say("factor.passkey.title"))
	p.keepsQuiet(p.say("factor.passkey.unsupported"))
	p.fill("name", "")
	p.follow(p.say("factor.passkey.create"))
	p.refused("7-no-name", p.say("factor.passkey.title"), http.StatusUnprocessableEntity, p.say("factor.passkey.error.name"))
	p.fill("name", p.or("My tablet", "Mi tableta"))
	p.willLoad()
	p.enter() // means the button
	p.await("8-both", title, p.say("factor.done.passkey"))
	p.check("8-both")
	p.says(p.or("My tablet", "Mi tableta"))

	// The device knows that it has one already.
	p.follow(p.say("factor.passkey.add"))
	p.await("again", p.say("factor.passkey.title"), "")
	p.fill("name", "x")
	p.press(p.say("factor.passkey.create"))
	p.await("9-known", p.say("factor.passkey.title"), p.say("factor.passkey.error.known"))
	p.check("9-known")

	p.signedOut(d)
	p.secondPage(d, who, codes)
	p.signedOut(d)
	p.signedInByPasskey(d, who)
	p.codeWithoutScripts(d, who, key)
	p.tooManyCodes(d, who)

	p.visit(home)
	p.await("second step", title, "")
	p.follow(p.say("factor.codes.make"))
	p.shown("9-more-codes", p.say("factor.codes.title"))
	p.follow(p.say("factor.codes.make"))
	p.await("9-new-codes", p.say("factor.codes.title"), p.say("factor.codes.done"))
	p.check("9-new-codes")
	p.follow(p.say("factor.codes.kept"))
	p.await("second step", title, "")
	p.follow(p.say("factor.rename") + " " + p.or("My tablet", "Mi tableta"))
	p.shown("10-rename", p.say("factor.rename.title"))
	p.fill("name", p.or("Old tablet", "Tableta vieja"))
	p.follow(p.say("factor.rename.submit"))
	p.await("10-renamed", title, p.say("factor.done.renamed"))
	p.check("10-renamed")
	p.follow(p.say("factor.remove") + " " + p.or("Old tablet", "Tableta vieja"))
	p.shown("11-remove-passkey", p.say("factor.remove.title_passkey"))
	p.follow(p.say("factor.remove"))
	p.await("12-removed", title, p.say("factor.done.passkey_removed"))
	p.check("12-removed")
	p.follow(p.say("factor.remove") + " " + p.say("factor.app"))
	p.shown("13-remove-app", p.say("factor.remove.title_app"))
	p.says(p.say("factor.remove.last"))
	p.follow(p.say("factor.remove"))
	p.await("14-nothing-left", title, p.say("factor.done.app_removed"))
	p.check("14-nothing-left")
	p.must(call(webauthn.CommandDisable, struct{}{}))
}

// signedInByPasskey signs in to the Patient Portal without typing anything:
// from the list of the email field (conditional UI, which this device's person
// agrees to at once), and with the button in a browser that has no such list.
func (p *page) signedInByPasskey(d *demo, who person) {
	p.t.Helper()
	p.visit(d.Realms["patient"].Portal + "/")
	p.await("portal", p.or("Welcome to your Patient Portal", "Le damos la bienvenida al Portal del Paciente"), "")
	p.follow(p.or("Sign in", "Iniciar sesión"))
	if there, err := value[bool](p, "PublicKeyCredential.isConditionalMediationAvailable()", chromedp.EvalAwaitPromise); err == nil && !there {
		p.t.Fatal("this Chromium offers no passkeys in the list of a field")
	}
	p.await("home by the list of the field", p.hello(who), "")
	p.at(d.Realms["patient"].Portal)

	p.signedOut(d)
	p.must(call(cdppage.AddScriptToEvaluateOnNewDocument.Method, cdppage.AddScriptToEvaluateOnNewDocumentParams{
		Source: "PublicKeyCredential.isConditionalMediationAvailable = async () => false"}))
	p.toSignIn(d)
	p.follow(p.say("signin.passkey"))
	p.await("home by the button", p.hello(who), "")
	p.at(d.Realms["patient"].Portal)
}

// recoveryCodes are those that the page shows.
func (p *page) recoveryCodes() []string {
	p.t.Helper()
	codes, err := value[[]string](p, `[...document.querySelectorAll("ul[translate=no] strong")].map(el => el.textContent)`)
	if err != nil || len(codes) < 5 {
		p.fatalf("the recovery codes are %q (%v)", codes, err)
	}
	return codes
}

// signedOut ends the session in this browser.
func (p *page) signedOut(d *demo) {
	p.t.Helper()
	p.visit(d.Realms["patient"].Issuer + "/oauth/logout")
	p.await("sure", p.say("logout.title"), "")
	p.follow(p.say("logout.submit"))
	p.await("signed out", p.say("logout.done.title"), "")
}

// verifies says whether the device's person passes its check from now on.
func (p *page) verifies(does bool) {
	p.t.Helper()
	p.must(call(webauthn.CommandSetUserVerified, webauthn.SetUserVerifiedParams{AuthenticatorID: p.authenticator, IsUserVerified: does}))
}

// secondPage signs in with the password and everything that can follow it: no
// code, wrong codes, a passkey that the device refuses, a recovery code, and,
// the second time, a passkey.
func (p *page) secondPage(d *demo, who person, codes []string) {
	p.t.Helper()
	journey := p.journey
	defer func() { p.journey = journey }()
	p.as("second")
	title := p.say("second.title")
	p.verifies(false) // the list of the email field would be quicker than the password
	p.toSignIn(d)
	p.press(p.say("signin.passkey"))
	p.passkeySays("signin", p.say("signin.passkey_cancelled"))
	p.check("0-signin-cancelled")
	p.signIn(who.Email, who.Password)
	p.shown("1-page", title)
	p.follow(p.say("second.submit"))
	p.refused("2-empty", title, http.StatusUnprocessableEntity, "")
	p.fieldSays("code", p.say("second.error.empty"))
	p.fill("code", "000000")
	p.follow(p.say("second.submit"))
	p.refused("3-wrong", title, http.StatusUnprocessableEntity, "")
	p.fieldSays("code", p.say("second.error.no_match", "n", "4"))
	p.press(p.say("second.passkey"))
	p.passkeySays("second", p.say("second.passkey_cancelled"))
	p.check("4-cancelled")
	p.follow(p.say("second.use_recovery"))
	p.shown("5-recovery", title)
	p.fill("code", "abcde-12345")
	p.follow(p.say("second.submit"))
	p.refused("6-wrong-recovery", title, http.StatusUnprocessableEntity, "")
	p.fieldSays("code", p.say("second.error.no_match", "n", "3"))
	p.fill("code", strings.ToUpper(codes[0]))
	p.follow(p.say("second.submit"))
	p.await("home by recovery code", p.hello(who), "")

	p.signedOut(d)
	p.toSignIn(d)
	p.signIn(who.Email, who.Password)
	p.await("second", title, "")
	p.verifies(true)
	p.follow(p.say("second.passkey"))
	p.await("home by password and passkey", p.hello(who), "")
}

// passkeySays waits for what a page's script says of a passkey.
func (p *page) passkeySays(step, sentence string) {
	p.t.Helper()
	deadline := time.Now().Add(patience)
	for time.Now().Before(deadline) {
		said, err := value[string](p, `(document.querySelector("[data-passkey-status]") || {textContent: ""}).textContent`)
		if err == nil && said == sentence {
			return
		}
		time.Sleep(40 * time.Millisecond)
	}
	p.fatalf("%s: the page does not say %q", step, sentence)
}

// codeWithoutScripts signs in with password and code in a browser without
// scripts: it offers no passkey.
func (p *page) codeWithoutScripts(d *demo, who person, key string) {
	p.t.Helper()
	plain := d.open(p.t, "second-noscript", p.profile)
	plain.withoutScripts()
	plain.toSignIn(d)
	if plain.has(plain.say("signin.passkey")) {
		plain.t.Error("without scripts there is a passkey button that does nothing")
	}
	plain.signIn(who.Email, who.Password)
	plain.shown("1-page", plain.say("second.title"))
	plain.says(plain.say("second.passkey_unsupported"))
	if plain.has(plain.say("second.passkey")) {
		plain.t.Error("without scripts there is a passkey button that does nothing")
	}
	plain.fill("code", appCode(plain.t, key, 1))
	plain.follow(plain.say("second.submit"))
	plain.await("home by code", plain.hello(who), "")
	plain.visit(d.Realms["patient"].Issuer + "/account/second-step/passkey")
	plain.shown("2-no-passkey", plain.say("factor.passkey.title"))
	plain.says(plain.say("factor.passkey.unsupported"))
}

// tooManyCodes is the end of a sign-in.
func (p *page) tooManyCodes(d *demo, who person) {
	p.t.Helper()
	thief := d.open(p.t, "second-thief", p.profile)
	thief.toSignIn(d)
	thief.signIn(who.Email, who.Password)
	for range 4 {
		thief.await("second", thief.say("second.title"), "")
		thief.fill("code", "000000")
		thief.follow(thief.say("second.submit"))
		thief.await("wrong", thief.say("second.title"), thief.say("error.heading"))
	}
	thief.fill("code", "000000")
	thief.follow(thief.say("second.submit"))
	thief.refused("1-over", thief.say("error.second_over.title"), http.StatusForbidden, "")
	thief.follow(thief.say("error.second_over.action"))
	thief.await("sign-in", thief.say("signin.title"), "")
}
