package uitest

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestStates leads straight to what a page says when something is not as
// hoped, where a journey would take days, a thief or a broken disk to get
// there: the database is told that it happened. Each household has a demo of
// its own for it.
func TestStates(t *testing.T) {
	t.Parallel()
	for _, h := range households {
		t.Run(h.name, func(t *testing.T) {
			t.Parallel()
			d := startDemo(t, sqlite)
			for _, each := range []struct {
				name string
				live func(*testing.T, *demo, profile)
			}{
				{"signing in", statesOfSignIn},
				{"my account", statesOfAccount},
				{"passwords", statesOfPasswords},
				{"links", statesOfLinks},
				{"adding a passkey", statesOfAddingPasskey},
				{"second step", statesOfSecondStep},
				{"applications", statesOfApplications},
				{"errors", statesOfErrors},
			} {
				t.Run(each.name, func(t *testing.T) { each.live(t, d, h.patient) })
			}
		})
	}
}

// states opens a tab in which somebody is signed in, reading the household's
// language.
func (d *demo) states(t *testing.T, journey string, pr profile, email string) (*page, person) {
	t.Helper()
	p := d.open(t, journey, pr)
	who := d.person(t, "patient", email)
	p.ownAccount(d, who)
	return p, who
}

// ownAccount signs in and goes to My Account.
func (p *page) ownAccount(d *demo, who person) {
	p.t.Helper()
	p.visit(d.Realms["patient"].Issuer + "/account")
	p.await("sign-in", p.say("signin.title"), "")
	p.insists()
	p.signIn(who.Email, who.Password)
	p.await("my account", p.say("account.title"), "")
}

// refusedWith waits for a page that says this, whatever its placeholders are
// filled with, and checks it.
func (p *page) refusedWith(step, heading string, status int, key string) {
	p.t.Helper()
	p.await(step, heading, "")
	if got := p.lastStatus(); got != int64(status) {
		p.fatalf("%s: status %d, want %d", step, got, status)
	}
	p.reads(key)
	p.check(step)
}

// reads fails unless the page shows the text of this key.
func (p *page) reads(key string) {
	p.t.Helper()
	page, err := value[shownTexts](p, textsSource)
	if err != nil {
		p.fatalf("read the texts: %v", err)
	}
	pattern := placeholders(oneLine(p.say(key)))
	if !slices.ContainsFunc(append(page.Said, page.All...), func(text string) bool { return pattern.MatchString(oneLine(text)) }) {
		p.fatalf("the page does not say %s: %s", key, p.say(key))
	}
}

// tamper runs a script on the page, as somebody does who does not take the
// form as it is.
func (p *page) tamper(script string) {
	p.t.Helper()
	p.must(chromedp.Evaluate[chromedp.Void](script))
}

// slowed makes every delay one that has just begun.
func (d *demo) slowed(t *testing.T) {
	t.Helper()
	d.exec(t, `UPDATE rate_delays SET failures = 40, last_at = CAST(unixepoch('subsec') * 1000000 AS INTEGER),
		expires_at = CAST((unixepoch('subsec') + 3600) * 1000000 AS INTEGER)`)
}

// forgiven forgets all of them.
func (d *demo) forgiven(t *testing.T) {
	t.Helper()
	d.exec(t, `DELETE FROM rate_delays`)
}

func statesOfSignIn(t *testing.T, d *demo, pr profile) {
	p := d.open(t, "state-signin", pr)
	title := p.say("signin.title")
	p.toSignIn(d)
	p.signIn("in.a.hurry@example.test", "something long and wrong")
	p.await("wrong", title, p.say("signin.error.no_match"))
	d.slowed(t)
	p.signIn("in.a.hurry@example.test", "something long and wrong")
	p.refusedWith("1-slow-down", title, http.StatusUnprocessableEntity, "signin.error.slow_down.other")
	d.forgiven(t)

	// An address that is known to nobody any more, a device that cannot.
	p.tamper(`navigator.credentials.get = async () => { throw new TypeError("no such thing") }`)
	p.press(p.say("signin.passkey"))
	p.passkeySays("2-no-passkey", p.say("signin.passkey_failed"))
	p.check("2-no-passkey")
	p.willLoad()
	p.tamper(emptyAnswer)
	p.refusedWith("3-passkey-refused", title, http.StatusUnprocessableEntity, "signin.error.passkey")
}

func statesOfAccount(t *testing.T, d *demo, pr profile) {
	p, who := d.states(t, "state-account", pr, nils)
	issuer := d.Realms["patient"].Issuer

	p.visit(issuer + "/account/profile")
	p.await("name", p.say("profile.title"), "")
	p.fill("given-name", "Nils\u202e")
	p.follow(p.say("account.save"))
	p.refusedWith("1-hidden-characters", p.say("profile.title"), http.StatusUnprocessableEntity, "profile.error.characters")
	p.fill("given-name", "Nils")
	d.exec(t, "UPDATE accounts SET version = version + 1 WHERE login_email = ?", who.Email)
	p.follow(p.say("account.save"))
	p.refusedWith("2-changed-elsewhere", p.say("profile.title"), http.StatusUnprocessableEntity, "profile.error.changed")
	p.tamper(`document.getElementsByName("version")[0].value = "one"`)
	p.follow(p.say("account.save"))
	p.refusedWith("3-bad-request", p.say("error.bad_request.title"), http.StatusBadRequest, "error.bad_request.text")

	p.visit(issuer + "/account/question")
	p.await("question", p.say("account.question.title"), "")
	p.choose("question", "first_pet")
	p.fill("answer", strings.Repeat("Long ", 300))
	p.follow(p.say("account.question.save"))
	p.refusedWith("4-long-answer", p.say("account.question.title"), http.StatusUnprocessableEntity, "question.error.long")

	p.visit(issuer + "/account/email")
	p.await("email", p.say("account.email.title"), "")
	d.exec(t, `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30)
		INSERT INTO email_changes (id, realm, account_id, origin, token_hash, old_email, new_email, credential_version, created_at, expires_at, voided_at)
		SELECT randomblob(16), realm, id, 'self', randomblob(32), login_email, 'n' || i || '@example.test', credential_version, t.at, t.at, t.at
		FROM accounts, n, (SELECT CAST(unixepoch('subsec') * 1000000 AS INTEGER) AS at) t WHERE login_email = ?`, who.Email)
	p.fill("new-email", "yet.another@example.test")
	p.follow(p.say("account.email.submit"))
	p.refusedWith("5-enough-for-today", p.say("account.email.title"), http.StatusUnprocessableEntity, "account.email.error.too_many")

	d.exec(t, "DELETE FROM security_answers WHERE account_id = (SELECT id FROM accounts WHERE login_email = ?)", who.Email)
	d.exec(t, "UPDATE sessions SET user_agent = '' WHERE account_id = (SELECT id FROM accounts WHERE login_email = ?)", who.Email)
	p.toAccount(d)
	p.reads("account.no_question")
	p.reads("account.device.unknown")
	p.check("6-no-question")

	// Long after the sign-in, and guessed at.
	d.exec(t, "UPDATE sessions SET confirmed_at = 1 WHERE account_id = (SELECT id FROM accounts WHERE login_email = ?)", who.Email)
	p.visit(issuer + "/account/question")
	p.await("confirm", p.say("account.confirm.title"), "")
	p.fill("password", "not the password at all")
	p.follow(p.say("account.confirm.submit"))
	p.await("wrong", p.say("account.confirm.title"), p.say("password.error.current"))
	d.slowed(t)
	p.fill("password", "not the password at all")
	p.follow(p.say("account.confirm.submit"))
	p.refusedWith("7-slow-down", p.say("account.confirm.title"), http.StatusUnprocessableEntity, "signin.error.slow_down.other")
	d.forgiven(t)

	p.toAccount(d)
	d.exec(t, "DELETE FROM password_credentials WHERE account_id = (SELECT id FROM accounts WHERE login_email = ?)", who.Email)
	p.visit(issuer + "/account")
	p.await("no password", p.say("account.title"), p.say("account.no_password"))
	p.check("8-no-password")
}

func statesOfPasswords(t *testing.T, d *demo, pr profile) {
	p, who := d.states(t, "state-password", pr, familyOf(pr).other)
	issuer, title := d.Realms["patient"].Issuer, p.say("account.password.title")
	const answer = "the lighthouse keeper"
	p.visit(issuer + "/account/question")
	p.await("question", p.say("account.question.title"), "")
	p.choose("question", "dream_job_child")
	p.fill("answer", answer)
	p.follow(p.say("account.question.save"))
	p.await("saved", p.say("account.title"), p.say("account.done.question"))

	p.visit(issuer + "/account/password")
	p.await("password", title, "")
	for _, bad := range []struct{ step, current, next, again, key string }{
		{"1-no-current", "", "violin harbor pepper 12", "violin harbor pepper 12", "password.error.empty"},
		{"2-the-answer", who.Password, answer, answer, "password.error.answer"},
		{"3-the-same", who.Password, who.Password, who.Password, "password.error.same"},
		{"4-long", who.Password, strings.Repeat("violin harbor ", 40), strings.Repeat("violin harbor ", 40), "password.error.long"},
		{"5-characters", who.Password, "violin harbor \u0007 pepper", "violin harbor \u0007 pepper", "password.error.characters"},
	} {
		p.fill("current-password", bad.current)
		p.fill("new-password", bad.next)
		p.fill("confirm-password", bad.again)
		p.follow(p.say("account.password.save"))
		p.refusedWith(bad.step, title, http.StatusUnprocessableEntity, bad.key)
	}

	// A long life, and a time before it.
	d.exec(t, `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 120)
		INSERT INTO audit_events (id, recorded_at, realm, kind, outcome, severity, actor, target, practice_id, client_id, ip, details)
		SELECT randomblob(16), recorded_at - i * 86400000000, realm, kind, outcome, severity, actor, target, practice_id, client_id, ip, details
		FROM audit_events, n WHERE kind = 'signin.succeeded' AND replace(target, '-', '') = (SELECT 'account:' || lower(hex(id)) FROM accounts WHERE login_email = ?)`, who.Email)
	history := p.say("history.title")
	p.visit(issuer + "/account/history")
	p.shown("6-history", history)
	p.follow(p.say("history.older"))
	p.await("7-older", history, p.say("history.newest"))
	p.check("7-older")
	p.visit(issuer + "/account/history?before=" + strings.Repeat("A", 32)) // the beginning of time
	p.await("8-nothing-older", history, p.say("history.empty"))
	p.check("8-nothing-older")
}

// statesOfLinks are reset links that lead to another page than the next one.
func statesOfLinks(t *testing.T, d *demo, pr profile) {
	p := d.open(t, "state-link", pr)
	who := d.person(t, "patient", familyOf(pr).forgetful)
	ask := func() string {
		before := len(d.mails(t, who.Email, p.or(resetEN, resetES)))
		d.lettersAreOld(t)
		p.toSignIn(d)
		p.askForLink(who.Email)
		return d.after(t, before, who.Email, p.or(resetEN, resetES)).link(t, "/reset/")
	}
	wrong := func() {
		p.fill("answer", "certainly not")
		p.follow(p.say("reset.continue"))
	}
	toQuestion := func(link string) {
		p.visit(link)
		p.await("link", p.say("reset.title"), "")
		p.follow(p.say("reset.continue"))
		p.await("question", p.say("question.title"), "")
	}

	signedIn := d.open(t, "state-link", pr)
	other := d.person(t, "patient", joan)
	signedIn.ownAccount(d, other)
	link := ask()
	signedIn.visit(link)
	signedIn.await("1-signed-in-as-another", signedIn.say("reset.title"), other.Email)
	signedIn.reads("reset.signed_in")
	signedIn.check("1-signed-in-as-another")

	toQuestion(link)
	for left := 4; left > 0; left-- {
		wrong()
		p.await("wrong", p.say("question.title"), p.say("question.error.no_match", "n", string(rune('0'+left))))
	}
	wrong()
	p.refusedWith("2-answers", p.say("gone.title"), http.StatusGone, "gone.answers")

	last := ask()
	toQuestion(last)
	for left := 4; left > 0; left-- {
		wrong()
		p.await("wrong", p.say("question.title"), "")
	}
	wrong()
	p.refusedWith("3-locked", p.say("gone.title"), http.StatusGone, "gone.locked")

	// Staff can send a link meanwhile, and it waits for them.
	d.exec(t, "UPDATE recovery_tickets SET origin = 'staff', voided_at = NULL, void_reason = '', answer_attempts = 0 WHERE voided_at IS NOT NULL AND void_reason = 'recovery_locked'")
	p.visit(last)
	p.refusedWith("4-waiting", p.say("gone.waiting.title"), http.StatusGone, "gone.waiting")
}

// lettersAreOld lets the time pass in which a second request is absorbed.
func (d *demo) lettersAreOld(t *testing.T) {
	t.Helper()
	d.run(t, "UPDATE recovery_tickets SET created_at = created_at - 3600000000")
	d.run(t, "UPDATE recovery_requests SET created_at = created_at - 3600000000")
}

// statesOfApplications are the pages between an application and the portal.
func statesOfApplications(t *testing.T, d *demo, pr profile) {
	p := d.open(t, "state-app", pr)
	who := d.person(t, "patient", familyOf(pr).other)
	issuer := d.Realms["patient"].Issuer
	p.visit(issuer + "/signin")
	p.await("sign-in", p.say("signin.title"), "")
	p.insists()
	p.visit(issuer + "/oauth/authorize?flow=" + noFlow)
	p.refusedWith("1-over", p.say("oauth.error.flow.title"), http.StatusGone, "oauth.error.flow.text")
	p.visit(issuer + "/oauth/authorize?client_id=spa&client_id=spa&response_type=code")
	p.refusedWith("2-garbled", p.say("oauth.error.request.title"), http.StatusBadRequest, "oauth.error.request.text")

	// Without scripts a page says that the answer is about to be posted.
	p.withoutScripts()
	p.visit(application(t, issuer, "response_mode", "form_post"))
	p.await("sign-in", p.say("signin.title"), "")
	p.signIn(who.Email, who.Password)
	p.await("consent", p.say("consent.title", "client", "Single-page app"), "")
	p.follow(p.say("consent.allow"))
	p.shown("3-post", p.say("form_post.title", "client", "Single-page app"))
	p.follow(p.say("form_post.continue"))
	p.await("allowed", "allowed", "")

	d.exec(t, "UPDATE grants SET revoked_at = created_at WHERE client_id = 'spa'")
	p.visit(issuer + "/account/apps")
	p.await("4-apps", p.say("apps.title"), p.say("apps.not_in_use"))
	p.check("4-apps")
	p.visit(issuer + "/oauth/logout")
	p.shown("5-sign-out", p.say("logout.title"))

	// Somebody at a practice, and an application that asks for all there is.
	staff := d.open(t, "state-app", pr)
	staff.withoutScripts()
	staff.visit(d.Realms["practice"].Issuer + "/signin")
	staff.await("sign-in", staff.say("signin.title"), "")
	staff.insists()
	staff.visit(application(t, d.Realms["practice"].Issuer, "client_id", "native-test", "redirect_uri", "http://localhost:9099/callback",
		"prompt", "consent", "scope", "openid profile email address phone offline_access admin.read admin.manage"))
	staff.await("sign-in", staff.say("signin.title"), "")
	worker := d.person(t, "practice", dana)
	staff.signIn(worker.Email, worker.Password)
	staff.await("6-consent", staff.say("consent.title", "client", "Native test"), staff.say("consent.scope.admin_manage"))
	staff.check("6-consent")
}

const noFlow = "01890000-0000-7000-8000-000000000000"

// statesOfErrors are the pages for what is nobody's plan.
func statesOfErrors(t *testing.T, d *demo, pr profile) {
	p, _ := d.states(t, "state-error", pr, familyOf(pr).other)
	issuer := d.Realms["patient"].Issuer

	p.visit(issuer + "/oauth/logout/confirm")
	p.refusedWith("1-method", p.say("error.method.title"), http.StatusMethodNotAllowed, "error.method.text")

	p.visit(issuer + "/account/profile")
	p.await("name", p.say("profile.title"), "")
	p.tamper(`document.getElementById("display-name").value = "x".repeat(100000)`)
	p.follow(p.say("account.save"))
	p.refusedWith("2-too-large", p.say("error.too_large.title"), http.StatusRequestEntityTooLarge, "error.too_large.text")

	p.visit(issuer + "/account/profile")
	p.await("name", p.say("profile.title"), "")
	// A form of a realm in which the practice keeps the names.
	staff := d.open(t, "state-error", pr)
	staff.visit(d.Realms["practice"].Issuer + "/account/language")
	staff.await("sign-in", staff.say("signin.title"), "")
	staff.insists()
	kimNow := d.person(t, "practice", kim)
	staff.signIn(kimNow.Email, kimNow.Password)
	staff.await("language", staff.say("account.language.title"), "")
	staff.willLoad()
	staff.tamper(`(() => { const form = document.querySelector("main form"); form.action = form.ownerDocument.location.pathname.replace(/language$/, "profile"); form.requestSubmit(); })()`)
	staff.refusedWith("3-forbidden", staff.say("error.forbidden.title"), http.StatusForbidden, "error.forbidden.text")

	root, _, _ := strings.Cut(strings.TrimPrefix(issuer, "http://"), "/")
	p.issuers = append(p.issuers, "http://"+root)
	p.visit("http://" + root + "/nobody-is-here")
	p.refusedWith("4-misdirected", p.say("error.misdirected.title"), http.StatusMisdirectedRequest, "error.misdirected.text")

	d.run(t, "ALTER TABLE audit_events RENAME TO audit_events_away")
	p.visit(issuer + "/account/history")
	p.refusedWith("5-internal", p.say("error.internal.title"), http.StatusInternalServerError, "error.internal.text")
	d.run(t, "ALTER TABLE audit_events_away RENAME TO audit_events")

	// More applications than one network may have waiting.
	d.exec(t, "UPDATE rate_counters SET hits = 1000000 WHERE counter_key LIKE 'interactions:%' AND hits > 0")
	p.visit(application(t, issuer, "prompt", "login"))
	p.refusedWith("6-busy", p.say("error.busy.title"), http.StatusServiceUnavailable, "error.busy.text")
	d.exec(t, "DELETE FROM rate_counters WHERE counter_key LIKE 'interactions:%'")
}
