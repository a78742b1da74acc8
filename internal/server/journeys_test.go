package server_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/oauth2"
)

// forget asks for a reset link and returns its letter, the n-th to the person.
func (w *world) forget(t testing.TB, b *browser, who *person, n int) letter {
	t.Helper()
	b.send(b.open(w.issuer(who.realm)+"/forgot").want(t, 200, "Forgot password"), "email", who.email).want(t, 200, "Check your email")
	return w.mail.wait(t, who.email, resetLetter, n)
}

// answered walks through a link up to the page for the new password.
func (w *world) answered(t testing.TB, b *browser, link string, who *person) *page {
	t.Helper()
	question := b.send(b.open(link).want(t, 200, "Reset your password")).want(t, 200, "Answer your security question")
	return b.send(question, "answer", who.answer).want(t, 200, "Create a new password")
}

// choose types a new password twice.
func choose(b *browser, p *page, password string) *page {
	b.t.Helper()
	return b.send(p, "new-password", password, "confirm-password", password)
}

// canSignIn tries a password in a fresh browser.
func (w *world) canSignIn(t testing.TB, who *person, password string) bool {
	t.Helper()
	b := w.browser(t)
	p := b.submit(b.open(w.issuer(who.realm)+"/signin").want(t, 200, "Sign in"), "email", who.email, "password", password)
	switch {
	case p.status == http.StatusSeeOther && b.cookie(who.realm, "") != "":
		return true
	case p.status == http.StatusUnprocessableEntity && b.cookie(who.realm, "") == "":
		return false
	}
	t.Fatalf("sign-in answers %d %q %s", p.status, p.h1(), p.says())
	return false
}

// signedOut insists that nothing is left of an earlier sign-in.
func (w *world) signedOut(t testing.TB, p *party, b *browser, had tokens) {
	t.Helper()
	if got := p.silently(b); got != "login_required" {
		t.Errorf("the session goes on: %q", got)
	}
	if b.open(w.issuer(p.realm)+"/account").h1() != "Sign in" {
		t.Error("My Account is open")
	}
	if r := p.renew(t, had.refresh); r.status != 400 || r.get("error") != "invalid_grant" {
		t.Errorf("the refresh token goes on: %d %s", r.status, r.body)
	}
	if r := p.userinfo(t, had.access); r.status != 401 {
		t.Errorf("the access token goes on: %d %s", r.status, r.body)
	}
}

func TestForgotPasswordLeadsBackToThePortal(t *testing.T) { each(t, forgotPassword) }

func forgotPassword(t *testing.T, w *world) {
	for realm, home := range map[string]string{
		"patient": "https://patients.example.test/signin", "practice": "https://practices.example.test/"} {
		t.Run(realm, func(t *testing.T) {
			who, portal := w.person(t, realm), w.party(t, realm, "portal")
			phone := w.browser(t)
			before := portal.signIn(phone, who)

			// The way from the portal to the letter.
			b := w.browser(t)
			a := portal.begin()
			signIn := b.open(a.url).want(t, 200, "Sign in")
			forgot := b.open(signIn.link(t, "Forgot your password?")).want(t, 200, "Forgot password")
			sent := b.send(forgot, "email", strings.ToUpper(who.email[:3])+who.email[3:]).want(t, 200, "Check your email")
			if !strings.Contains(sent.says(), who.email) || !strings.Contains(sent.says(), "48 hours") {
				t.Errorf("the page says %q", sent.says())
			}
			l := w.mail.wait(t, who.email, resetLetter, 1)
			link := l.link(t)
			if !strings.HasPrefix(link, w.issuer(realm)+"/reset/") || strings.Contains(l.raw, who.name) {
				t.Errorf("letter:\n%s", l.text)
			}

			// Scanners open links; that changes nothing.
			for range 20 {
				w.browser(t).get(link).want(t, 200, "Reset your password")
			}
			for _, method := range []string{http.MethodHead, http.MethodOptions} {
				w.mustCall(t, method, link, nil, "")
			}

			// The letter opens in another browser than the one that asked.
			mail := w.browser(t)
			newPassword := w.answered(t, mail, link, who)
			if newPassword.url.Path != "/"+realm+"/recovery/password" {
				t.Errorf("the address %s is not clean", newPassword.url)
			}
			if !w.canSignIn(t, who, who.password) {
				t.Error("the old password ended before there is a new one")
			}
			done := choose(mail, newPassword, who.other).want(t, 200, "Your password is changed")
			if got := done.link(t, "Sign in"); got != home {
				t.Errorf("Sign in leads to %s, want %s", got, home)
			}
			if mail.cookie(realm, "") != "" || portal.silently(mail) != "login_required" {
				t.Error("the journey signed somebody in")
			}

			w.signedOut(t, portal, phone, before)
			w.mail.wait(t, who.email, noticeLetter, 1)
			if w.canSignIn(t, who, who.password) {
				t.Error("the old password works")
			}
			// Back at the portal, whose sign-in goes on where it was.
			got := portal.finish(t, a, portal.enter(b, a, who, who.other))
			if got.identity.Subject != who.id.String() {
				t.Error("somebody else is signed in")
			}
		})
	}
}

func TestForgotPasswordSpeaksThePersonsLanguage(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		luis := seededPerson(t, "patient", "luis.rivera@example.test")
		b := w.browser(t)
		b.send(b.open(w.issuer("patient")+"/forgot"), "email", luis.email)
		l := w.mail.wait(t, luis.email, resetLetter, 1)
		p := w.browser(t).open(l.link(t))
		if !strings.Contains(p.body, `<html lang="es">`) || p.header.Get("Content-Language") != "es" {
			t.Error("the link's page is not in Spanish")
		}
		if !strings.Contains(l.text, "contraseña") {
			t.Errorf("the letter is not in Spanish:\n%s", l.text)
		}
	})
}

func TestChangePassword(t *testing.T) { each(t, changePassword) }

func changePassword(t *testing.T, w *world) {
	for realm, label := range map[string]string{"patient": "Change password", "practice": "Change Password"} {
		t.Run(realm, func(t *testing.T) {
			who, portal := w.person(t, realm), w.party(t, realm, "portal")
			here, there := w.browser(t), w.browser(t)
			mine, other := portal.signIn(here, who), portal.signIn(there, who)
			session := here.cookie(realm, "")

			form := here.open(here.open(w.issuer(realm)+"/account").want(t, 200, "My Account").link(t, label)).want(t, 200, "Change password")
			p := here.submit(form, "current-password", who.password, "new-password", who.other, "confirm-password", who.other)
			if p.status != http.StatusSeeOther {
				t.Fatalf("%d %s", p.status, p.says())
			}
			if p = here.follow(p).want(t, 200, "My Account"); !strings.Contains(p.says(), "Your password is changed") {
				t.Errorf("the page says %q", p.says())
			}
			if here.cookie(realm, "") == session {
				t.Error("the session kept its identifier")
			}
			w.signedOut(t, portal, there, other)
			if r := portal.renew(t, mine.refresh); r.get("error") != "invalid_grant" {
				t.Errorf("this browser's grant goes on: %s", r.body)
			}
			if got := portal.again(here); got.identity.Subject != who.id.String() {
				t.Error("this browser is signed out")
			}
			old := w.browser(t)
			old.plant(realm, "", session)
			if portal.silently(old) != "login_required" {
				t.Error("the old cookie works")
			}
			notice := w.mail.wait(t, who.email, noticeLetter, 1)
			if strings.Contains(notice.raw, resetLetter) {
				t.Error("the notice carries a link")
			}
			if w.canSignIn(t, who, who.password) || !w.canSignIn(t, who, who.other) {
				t.Error("the password is not what was chosen")
			}
		})
	}
}

func TestStaffSendAResetLink(t *testing.T) { each(t, staffReset) }

func staffReset(t *testing.T, w *world) {
	guardian := w.guardian(t)
	access := w.admin(t, seededPerson(t, "practice", "dana.whitfield@maple.example.test"))

	// Patient Administration, by the Account filter, to Account Settings.
	found := w.api(t, access, "GET", "/patients?by=account&q="+url.QueryEscape(guardian.email), nil)
	items, _ := found.json["items"].([]any)
	if found.status != 200 || len(items) != 1 {
		t.Fatalf("%d %s", found.status, found.body)
	}
	patient := w.api(t, access, "GET", "/patients/"+items[0].(map[string]any)["id"].(string), nil)
	ties, _ := patient.json["associations"].([]any)
	if len(ties) != 1 || ties[0].(map[string]any)["id"] != guardian.association.String() {
		t.Fatalf("%d %s", patient.status, patient.body)
	}
	path := "/associations/" + guardian.association.String()
	settings := w.api(t, access, "GET", path, nil)
	if settings.status != 200 || settings.header.Get("ETag") == "" {
		t.Fatalf("%d %s", settings.status, settings.body)
	}

	// The login email first.
	old := *guardian
	guardian.email = "moved." + guardian.email
	changed := w.api(t, access, "PATCH", path+"/login-email", map[string]any{"login_email": guardian.email, "reason": "moved"},
		"If-Match", settings.header.Get("ETag"))
	if changed.status != 200 || !strings.Contains(changed.get("reminder"), "family contact list") {
		t.Fatalf("%d %s", changed.status, changed.body)
	}
	stale := w.api(t, access, "PATCH", path+"/login-email", map[string]any{"login_email": "x@example.test", "reason": "x"},
		"If-Match", settings.header.Get("ETag"))
	if stale.status != 412 {
		t.Errorf("with an old ETag: %d %s", stale.status, stale.body)
	}
	w.mail.wait(t, old.email, "sign-in email was changed", 1)
	w.mail.wait(t, guardian.email, "sign-in email", 1)
	if w.canSignIn(t, &old, guardian.password) || !w.canSignIn(t, guardian, guardian.password) {
		t.Error("the login email is not what staff wrote")
	}

	// Then the link: confirmed, or not at all.
	send := func(confirm, key string) reply {
		return w.api(t, access, "POST", path+"/password-resets", map[string]any{"confirm_login_email": confirm, "reason": "called in"},
			"Idempotency-Key", key)
	}
	if r := send(old.email, "one"); r.status != 409 || r.get("code") != "mismatch" {
		t.Fatalf("a wrong confirmation: %d %s", r.status, r.body)
	}
	if n := w.count(t, `SELECT COUNT(*) FROM recovery_tickets WHERE account_id = $1`, guardian.id); n != 0 {
		t.Fatalf("%d links after a refused confirmation", n)
	}
	reset := send(guardian.email, "two")
	if reset.status != 202 || reset.get("state") != "queued" {
		t.Fatalf("%d %s", reset.status, reset.body)
	}
	again := send(guardian.email, "two")
	if again.status != 202 || again.get("id") != reset.get("id") || again.header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("the same key: %d %s", again.status, again.body)
	}
	if r := send(old.email, "two"); r.status != 422 {
		t.Errorf("the same key for another body: %d %s", r.status, r.body)
	}

	// What staff see, step by step: never the link.
	state := func(want string) {
		t.Helper()
		var r reply
		eventually(t, "the link is "+want, func() bool {
			r = w.api(t, access, "GET", "/password-resets/"+reset.get("id"), nil)
			return r.get("state") == want
		})
		if strings.Contains(r.body, resetLetter) {
			t.Error("staff see the link")
		}
	}
	l := w.mail.wait(t, guardian.email, resetLetter, 1)
	if !strings.Contains(l.text, "Maple Street Clinic") {
		t.Errorf("the letter does not name the practice:\n%s", l.text)
	}
	state("sent")
	b := w.browser(t)
	question := b.send(b.open(l.link(t)))
	state("opened")
	question = b.send(question, "answer", "not this").want(t, 422, "Answer your security question")
	state("answered_wrong")
	p := b.send(question, "answer", "  "+strings.ToUpper(guardian.answer)+" ").want(t, 200, "Create a new password")
	choose(b, p, guardian.other).want(t, 200, "Your password is changed")
	state("used")
	if r := w.api(t, access, "DELETE", "/password-resets/"+reset.get("id"), nil); r.status != 409 || r.get("code") != "reset_finished" {
		t.Errorf("cancelling a used link: %d %s", r.status, r.body)
	}
	if !w.canSignIn(t, guardian, guardian.other) {
		t.Error("the new password does not work")
	}
	after := w.api(t, access, "GET", path, nil)
	if g, _ := after.json["guardian"].(map[string]any); g["email_verified"] != true {
		t.Errorf("the address counts as unverified after its link was used: %s", after.body)
	}
	if n := w.count(t, `SELECT COUNT(*) FROM audit_events WHERE kind = 'admin.reset_after_email_change' AND severity = 'high'
		AND target = $1`, "account:"+guardian.id.String()); n != 1 {
		t.Errorf("%d alarms about a link right after a change of address", n)
	}
}

func TestStaffCancelALink(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		guardian := w.guardian(t)
		access := w.admin(t, seededPerson(t, "practice", "rosa.jimenez@maple.example.test"))
		reset := w.api(t, access, "POST", "/associations/"+guardian.association.String()+"/password-resets",
			map[string]any{"confirm_login_email": guardian.email, "reason": "asked"}, "Idempotency-Key", randomText(8))
		link := w.mail.wait(t, guardian.email, resetLetter, 1).link(t)
		b := w.browser(t)
		question := b.send(b.open(link)).want(t, 200, "Answer your security question")
		for range 2 { // twice is no error
			if r := w.api(t, access, "DELETE", "/password-resets/"+reset.get("id"), nil); r.get("state") != "cancelled" {
				t.Fatalf("%d %s", r.status, r.body)
			}
		}
		b.send(question, "answer", guardian.answer).want(t, 410, "This link no longer works")
		w.browser(t).open(link).want(t, 410, "This link no longer works")
	})
}

func TestSignInAndOut(t *testing.T) { each(t, signInAndOut) }

func signInAndOut(t *testing.T, w *world) {
	for _, realm := range []string{"patient", "practice"} {
		t.Run(realm, func(t *testing.T) {
			who, b := w.person(t, realm), w.browser(t)
			portal := w.party(t, realm, "portal", "openid", "profile", "email", "offline_access")
			got := portal.signIn(b, who)
			var claims struct {
				AuthTime int64    `json:"auth_time"`
				ACR      string   `json:"acr"`
				AMR      []string `json:"amr"`
				SID      string   `json:"sid"`
			}
			if err := got.identity.Claims(&claims); err != nil || claims.AuthTime == 0 || claims.SID == "" || len(claims.AMR) != 1 {
				t.Errorf("claims %+v, %v", claims, err)
			}
			if about := portal.userinfo(t, got.access); about.get("email") != who.email || about.get("sub") != who.id.String() {
				t.Errorf("userinfo %d %s", about.status, about.body)
			}
			// The library's own refresh, with its rotated token.
			source := portal.config.TokenSource(portal.context(), &oauth2.Token{RefreshToken: got.refresh})
			fresh, err := source.Token()
			if err != nil || fresh.RefreshToken == got.refresh || fresh.AccessToken == got.access {
				t.Fatalf("refresh: %v", err)
			}
			if !portal.alive(t, fresh.AccessToken) || !portal.alive(t, fresh.RefreshToken) {
				t.Error("the new tokens are dead")
			}
			// A second portal, without typing anything again.
			if other := w.party(t, realm, "native").again(b); other.identity.Subject != who.id.String() {
				t.Error("single sign-on found somebody else")
			}
			session := b.cookie(realm, "")
			out := portal.more.EndSession + "?" + url.Values{"id_token_hint": {got.id}, "state": {"bye"},
				"post_logout_redirect_uri": {strings.Replace(portal.redirect, "callback", "signed-out", 1)}}.Encode()
			p := b.open(out)
			if p.location == nil || p.location.Query().Get("state") != "bye" || !strings.Contains(p.location.Path, "signed-out") {
				t.Fatalf("sign-out is %d, to %v", p.status, p.location)
			}
			b.plant(realm, "", session) // a copy of the cookie is worth nothing
			w.signedOut(t, portal, b, tokens{access: fresh.AccessToken, refresh: fresh.RefreshToken})
		})
	}
}

func TestAnInvitationOpensAnAccount(t *testing.T) { each(t, invitation) }

func invitation(t *testing.T, w *world) {
	who := w.invited(t, "patient")
	link := w.mail.wait(t, who.email, inviteLetter, 1).link(t)
	b := w.browser(t)
	p := b.send(b.open(link).want(t, 200, "Set up your account")).want(t, 200, "Choose a password")
	if p = b.send(p, "new-password", "short", "confirm-password", "short"); p.status != 422 || p.problem("new-password") == "" {
		t.Errorf("a short password: %d", p.status)
	}
	p = choose(b, p, who.password).want(t, 200, "Choose a security question")
	if w.canSignIn(t, who, who.password) {
		t.Error("half an account signs in")
	}
	p = b.send(p, "question", "first_pet", "answer", who.password)
	if p.status != 422 || !strings.Contains(p.problem("answer"), "not your email, your password") {
		t.Errorf("the password as the answer: %d %s", p.status, p.says())
	}
	b.send(p, "question", "first_pet", "answer", who.answer).want(t, 200, "Your account is ready")
	if !w.canSignIn(t, who, who.password) {
		t.Fatal("the account does not open")
	}
	w.browser(t).open(link).want(t, 410, "This link no longer works")
	// The question that was chosen is the one that is asked.
	b = w.browser(t)
	p = w.answered(t, b, w.forget(t, b, who, 1).link(t), who)
	choose(b, p, who.other).want(t, 200, "Your password is changed")
}
