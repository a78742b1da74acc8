package uitest

import (
	"testing"

	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/webauthn"
)

// TestAPasskeyOnAPageThatWasLeftOpen is the sign-in page on which somebody comes
// back to the button after what it asks has run out: the page asks anew, once,
// and the passkey signs in.
func TestAPasskeyOnAPageThatWasLeftOpen(t *testing.T) {
	t.Parallel()
	d, pr := startDemo(t, sqlite), desktopLight
	p := d.open(t, "passkey-renewal", pr)
	p.quick = true // the pages have pictures from the other journeys
	p.withAuthenticator()
	who := d.person(t, "patient", familyOf(pr).other)
	issuer := d.Realms["patient"].Issuer
	p.signedIn(d, who)
	p.visit(issuer + "/account/second-step/passkey")
	p.await("passkey", p.say("factor.passkey.title"), "")
	p.fill("name", "x")
	p.follow(p.say("factor.passkey.create"))
	p.await("codes", p.say("factor.codes.title"), p.say("factor.codes.key_done"))
	p.signedOut(d)

	// Without the list of the field, which renews what it asks by itself.
	p.must(call(cdppage.AddScriptToEvaluateOnNewDocument.Method, cdppage.AddScriptToEvaluateOnNewDocumentParams{
		Source: "PublicKeyCredential.isConditionalMediationAvailable = async () => false"}))
	p.toSignIn(d)
	// What the page has asks for nothing that the server takes, as after five minutes.
	p.tamper(options(`json.challenge = [...json.challenge].reverse().join("")`))
	p.tamper(`(() => {
		const now = Date.now, ask = window.fetch;
		Date.now = () => now.call(Date) + 6 * 60 * 1000;
		sessionStorage.asked = "0";
		window.fetch = (...what) => {
			sessionStorage.asked = String(Number(sessionStorage.asked) + 1);
			return ask.apply(window, what);
		};
	})()`)
	p.follow(p.say("signin.passkey"))
	p.await("home", p.hello(who), "")
	p.at(d.Realms["patient"].Portal)
	p.visit(issuer + "/account")
	p.awaitAny("My Account")
	if asked, err := value[string](p, "sessionStorage.asked"); err != nil || asked != "1" {
		t.Errorf("the page asked %q times (%v), want once", asked, err)
	}
	p.must(call(webauthn.CommandDisable, struct{}{}))
}
