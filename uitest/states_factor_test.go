package uitest

import (
	"net/http"
	"testing"

	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp/kb"
)

// emptyAnswer sends what no passkey answers.
const emptyAnswer = `(() => { const field = document.querySelector("[name=response]"); field.value = "{}"; field.form.requestSubmit(); })()`

// options changes what the page asks of the passkey.
func options(change string) string {
	return `(() => { const field = document.querySelector("[name=options]"), json = JSON.parse(field.value); ` + change + `; field.value = JSON.stringify(json); })()`
}

// statesOfAddingPasskey are devices that do not make one, or not a good one.
func statesOfAddingPasskey(t *testing.T, d *demo, pr profile) {
	p, who := d.states(t, "state-passkey", pr, familyOf(pr).careful)
	p.withAuthenticator()
	issuer, title := d.Realms["patient"].Issuer, p.say("factor.passkey.title")
	add, create := issuer+"/account/second-step/passkey", p.say("factor.passkey.create")

	plain := d.open(t, "state-passkey-noscript", pr)
	plain.ownAccount(d, who)
	plain.withoutScripts()
	plain.visit(add)
	plain.await("passkey", title, "")
	plain.fill("name", "x")
	plain.willLoad()
	plain.keys(kb.Enter)
	plain.refusedWith("1-no-script", title, http.StatusUnprocessableEntity, "factor.passkey.error.none")

	p.visit(add)
	p.await("passkey", title, "")
	p.tamper(`navigator.credentials.create = async () => { throw new TypeError("no such thing") }`)
	p.press(create)
	p.passkeySays("2-failed", p.say("factor.passkey.failed"))
	p.check("2-failed")
	p.willLoad()
	p.tamper(emptyAnswer)
	p.refusedWith("3-refused", title, http.StatusUnprocessableEntity, "factor.passkey.error.refused")
	// The page is left open for longer than its challenge lives.
	p.tamper(options(`json.challenge = [...json.challenge].reverse().join("")`))
	p.follow(create)
	p.refusedWith("4-old", title, http.StatusUnprocessableEntity, "factor.passkey.error.old")
	p.follow(create)
	p.await("5-codes", p.say("factor.codes.title"), p.say("factor.codes.key_done"))
	p.check("5-codes")
	p.follow(p.say("factor.codes.not_now"))
	p.await("second step", p.say("factor.title"), "")
	d.exec(t, "UPDATE passkeys SET name = '', backed_up = 1, backup_eligible = 1")
	p.visit(issuer + "/account/second-step")
	p.await("6-no-name", p.say("factor.title"), p.say("factor.passkey.unnamed"))
	p.reads("factor.codes.left.other")
	p.check("6-no-name")

	p.visit(add)
	p.await("passkey", title, "")
	d.exec(t, `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40)
		INSERT INTO passkeys (id, realm, account_id, credential_id, public_key, sign_count, aaguid, transports, backup_eligible, backed_up, name, created_at, last_used_at)
		SELECT randomblob(16), realm, account_id, randomblob(16), public_key, sign_count, aaguid, transports, backup_eligible, backed_up, 'Key ' || i, created_at, NULL FROM passkeys, n`)
	p.tamper(options("json.excludeCredentials = []"))
	p.follow(create)
	p.refusedWith("7-full", title, http.StatusUnprocessableEntity, "factor.passkey.full")
	p.visit(issuer + "/account/second-step")
	p.await("8-full", p.say("factor.title"), p.say("factor.passkey.full"))
	p.check("8-full")
	d.exec(t, "DELETE FROM passkeys")
	p.must(call(webauthn.CommandDisable, struct{}{}))
}

// statesOfSecondStep are codes and passkeys that are not taken.
func statesOfSecondStep(t *testing.T, d *demo, pr profile) {
	p, who := d.states(t, "state-second", pr, joan)
	p.withAuthenticator()
	issuer := d.Realms["patient"].Issuer
	p.visit(issuer + "/account/second-step/app")
	title := p.say("factor.app.title")
	p.await("app", title, "")
	p.follow(p.say("factor.app.submit"))
	p.refusedWith("1-app-empty", title, http.StatusUnprocessableEntity, "factor.app.error.empty")
	d.exec(t, "DELETE FROM totp_setups")
	p.fill("code", "123456")
	p.follow(p.say("factor.app.submit"))
	p.refusedWith("2-app-too-late", title, http.StatusUnprocessableEntity, "factor.app.error.setup")
	key, err := value[string](p, `document.querySelector("strong[translate=no]").textContent`)
	if err != nil {
		t.Fatal(err)
	}
	p.fill("code", appCode(t, key, 0))
	p.follow(p.say("factor.app.submit"))
	p.await("codes", p.say("factor.codes.title"), "")
	p.visit(issuer + "/account/second-step/app")
	p.await("3-replaces", title, p.say("factor.app.replaces"))
	p.check("3-replaces")
	p.visit(issuer + "/account/second-step/passkey")
	p.await("passkey", p.say("factor.passkey.title"), "")
	p.follow(p.say("factor.passkey.create"))
	p.await("both", p.say("factor.title"), p.say("factor.done.passkey"))
	d.exec(t, "UPDATE passkeys SET name = ''")
	p.visit(issuer + "/account")
	p.await("4-both", p.say("account.title"), p.say("account.second_step.totp"))
	p.reads("account.second_step.codes.other")
	p.check("4-both")
	d.exec(t, "DELETE FROM recovery_codes")

	p.signedOut(d)
	p.verifies(false)
	p.visit(issuer + "/account")
	p.await("sign-in", p.say("signin.title"), "")
	p.signIn(who.Email, who.Password)
	second := p.say("second.title")
	p.await("5-app-only", second, p.say("second.code_hint_app"))
	p.check("5-app-only")
	p.tamper(`navigator.credentials.get = async () => { throw new TypeError("no such thing") }`)
	p.press(p.say("second.passkey"))
	p.passkeySays("6-failed", p.say("second.passkey_failed"))
	p.check("6-failed")
	p.willLoad()
	p.tamper(emptyAnswer)
	p.refusedWith("7-passkey-refused", second, http.StatusUnprocessableEntity, "second.error.passkey")
	p.fill("code", "000000")
	p.follow(p.say("second.submit"))
	p.await("wrong", second, p.say("second.error.no_match", "n", "3"))
	d.slowed(t)
	p.fill("code", "000000")
	p.follow(p.say("second.submit"))
	p.refusedWith("8-slow-down", second, http.StatusUnprocessableEntity, "second.error.slow_down.other")
	d.forgiven(t)
	d.exec(t, "UPDATE rate_counters SET hits = 100 WHERE counter_key LIKE 'factor-tries/%' AND hits > 0")
	p.fill("code", "000000")
	p.follow(p.say("second.submit"))
	p.refusedWith("9-too-many", second, http.StatusUnprocessableEntity, "second.error.too_many")
	d.exec(t, "DELETE FROM passkeys")
	d.exec(t, "DELETE FROM totp_secrets")
	p.must(call(webauthn.CommandDisable, struct{}{}))
}
