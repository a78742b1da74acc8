package server_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/oauth2"
)

// Every way to choose a password judges it alike.
func TestBadNewPasswordsAreRefused(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		who := w.person(t, "patient")
		link := w.forget(t, w.browser(t), who, 1).link(t)
		reset, change, invite := w.browser(t), w.browser(t), w.browser(t)
		w.party(t, "patient", "portal").signIn(change, who)
		newcomer := w.invited(t, "patient")
		ways := map[string]struct {
			b    *browser
			p    *page
			more []string
		}{
			"reset":  {reset, w.answered(t, reset, link, who), nil},
			"change": {change, change.open(w.issuer("patient") + "/account/password"), []string{"current-password", who.password}},
			"invitation": {invite, func() *page {
				return invite.send(invite.open(w.mail.wait(t, newcomer.email, inviteLetter, 1).link(t)))
			}(), nil},
		}
		for way, at := range ways {
			for _, c := range []struct{ what, password, confirm, field, says string }{
				{"short", "14 characters!", "14 characters!", "new-password", "Use at least 15 characters"},
				{"empty", "", "", "new-password", "Use at least 15 characters"},
				{"mismatched", who.other, who.other + "x", "confirm-password", "The two passwords are not the same"},
				{"long", strings.Repeat("é", 257), strings.Repeat("é", 257), "new-password", "Use at most 256 characters"},
				{"common", "passwordpassword", "passwordpassword", "new-password", "easy to guess"},
				{"with a control", "a\x00b walnut carpet", "a\x00b walnut carpet", "new-password", "Use only"},
			} {
				p := at.b.send(at.p, append([]string{"new-password", c.password, "confirm-password", c.confirm}, at.more...)...)
				if p.status != http.StatusUnprocessableEntity || !strings.Contains(p.problem(c.field), c.says) {
					t.Errorf("%s, %s: %d %q", way, c.what, p.status, p.says())
				}
				if p.value("new-password")+p.value("confirm-password")+p.value("current-password") != "" ||
					len(c.password) > 8 && strings.Contains(p.body, c.password) {
					t.Errorf("%s, %s: the page holds what was typed", way, c.what)
				}
			}
		}
		wrong := change.send(ways["change"].p, "current-password", "not this one at all", "new-password", who.other, "confirm-password", who.other)
		if wrong.status != 422 || wrong.problem("current-password") == "" {
			t.Errorf("a wrong current password: %d %s", wrong.status, wrong.says())
		}
		same := change.send(wrong, "current-password", who.password, "new-password", who.password, "confirm-password", who.password)
		if same.status != 422 || !strings.Contains(same.problem("new-password"), "different from the current one") {
			t.Errorf("the same password: %d %s", same.status, same.says())
		}
		if !w.canSignIn(t, who, who.password) {
			t.Error("a refused form changed the password")
		}
	})
}

func TestSecondClicksChangeNothingMore(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		who, p := w.person(t, "patient"), w.party(t, "patient", "portal")
		b := w.browser(t)
		a := p.begin()
		form := b.open(a.url)
		// Two clicks on Sign in: the second finds the first one's session.
		first := b.submit(form, "email", who.email, "password", who.password)
		second := b.submit(form, "email", who.email, "password", who.password)
		for _, answer := range []*page{first, second} {
			if answer.status != http.StatusSeeOther {
				t.Fatalf("%d %s", answer.status, answer.says())
			}
		}
		p.finish(t, a, b.follow(second))
		if n := w.count(t, `SELECT COUNT(*) FROM sessions WHERE account_id = $1 AND ended_at IS NULL`, who.id); n != 1 {
			t.Errorf("%d sessions of one browser", n)
		}

		// Two clicks on each button of a reset.
		link := w.forget(t, b, who, 1).link(t)
		mail := w.browser(t)
		opened := mail.open(link)
		mail.submit(opened)
		question := mail.send(opened).want(t, 200, "Answer your security question")
		if mail.submit(question, "answer", who.answer).status != 303 {
			t.Fatal("the right answer")
		}
		last := mail.send(question, "answer", who.answer).want(t, 200, "Create a new password")
		if mail.submit(last, "new-password", who.other, "confirm-password", who.other).status != 303 {
			t.Fatal("the new password")
		}
		choose(mail, last, who.other).want(t, http.StatusGone, gone)
		mail.open(w.issuer("patient")+"/recovery/done").want(t, 200, "Your password is changed")
		if n := w.count(t, `SELECT COUNT(*) FROM mail_outbox WHERE account_id = $1 AND kind = 'password_changed'`, who.id); n != 1 {
			t.Errorf("%d notices", n)
		}

		// Two clicks on Save, signed in anew.
		b = w.browser(t)
		who.password, who.other = who.other, who.password
		p.signIn(b, who)
		change := b.open(w.issuer("patient") + "/account/password")
		fields := []string{"current-password", who.password, "new-password", who.other, "confirm-password", who.other}
		if got := b.submit(change, fields...); got.status != 303 {
			t.Fatalf("%d %s", got.status, got.says())
		}
		if got := b.submit(change, fields...); got.status != 422 {
			t.Errorf("the second click on Save: %d %v", got.status, got.location)
		}
		if !w.canSignIn(t, who, who.other) {
			t.Error("the password is not what was chosen")
		}
	})
}

func TestTwoTabs(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		b, one, two := w.browser(t), w.person(t, "patient"), w.person(t, "patient")
		portal, native := w.party(t, "patient", "portal"), w.party(t, "patient", "native")
		// Two portals begin in two tabs; both can be finished.
		left, right := portal.begin(), native.begin()
		leftForm, rightForm := b.open(left.url), b.open(right.url)
		got := portal.finish(t, left, b.send(leftForm, "email", one.email, "password", one.password))
		if got.identity.Subject != one.id.String() {
			t.Error("the wrong person in the left tab")
		}
		got = native.finish(t, right, b.send(rightForm, "email", one.email, "password", one.password))
		if got.identity.Subject != one.id.String() {
			t.Error("the wrong person in the right tab")
		}
		// Somebody else signs in in the right tab: the form that the left tab
		// still shows must not change the new person's password.
		form := b.open(w.issuer("patient")+"/account/password").want(t, 200, "Change password")
		again := native.begin(oauth2.SetAuthURLParam("prompt", "login"))
		native.finish(t, again, b.send(b.open(again.url), "email", two.email, "password", two.password))
		p := b.submit(form, "current-password", one.password, "new-password", one.other, "confirm-password", one.other)
		if p.status == http.StatusSeeOther {
			t.Error("the left tab changed a password")
		}
		if !w.canSignIn(t, one, one.password) || !w.canSignIn(t, two, two.password) {
			t.Error("a password is not what it was")
		}
		// Two reset links open in one browser: the newer walk counts.
		first, second := w.forget(t, b, one, 1).link(t), w.forget(t, b, two, 1).link(t)
		b.send(b.open(first))
		last := w.answered(t, b, second, two)
		choose(b, last, two.other).want(t, 200, "Your password is changed")
		if !w.canSignIn(t, one, one.password) || !w.canSignIn(t, two, two.other) {
			t.Error("the wrong password changed")
		}
	})
}

func TestFormsOfOtherSitesAreRefused(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		who := w.person(t, "patient")
		const timedOut = "This page timed out"
		for _, path := range []string{"/signin", "/forgot"} {
			b := w.browser(t)
			p := b.open(w.issuer("patient") + path)
			other := w.browser(t).open(w.issuer("patient") + path).value("csrf")
			fields := []string{"email", who.email}
			if path == "/signin" {
				fields = append(fields, "password", who.password)
			}
			for what, token := range map[string]string{"none": "", "another browser's": other, "no base64": "§", "of other bytes": randomText(64)} {
				b.send(p, append(fields, "csrf", token)...).want(t, http.StatusForbidden, timedOut)
				if b.cookie("patient", "") != "" {
					t.Errorf("a form with %s token signed in", what)
				}
			}
			for name, value := range map[string]string{"Origin": "https://evil.example.test", "Sec-Fetch-Site": "cross-site"} {
				b.more = http.Header{name: {value}}
				b.send(p, fields...).want(t, http.StatusForbidden, timedOut)
				b.more = http.Header{"Origin": {"null"}}
				b.send(p, fields...).want(t, http.StatusForbidden, timedOut)
				b.more = http.Header{}
			}
		}
		if n := w.count(t, `SELECT COUNT(*) FROM recovery_requests WHERE email = $1`, who.email); n != 0 {
			t.Errorf("%d requests", n)
		}
		if n := w.count(t, `SELECT COUNT(*) FROM sessions WHERE account_id = $1`, who.id); n != 0 {
			t.Errorf("%d sessions", n)
		}
	})
}

// Unknown, disabled and existing addresses look the same, to the byte.
func TestForgotPasswordTellsNobodyWhoHasAnAccount(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		var bodies []string
		for _, email := range []string{w.person(t, "patient").email, "nobody@example.test", "erik.lindqvist@example.test",
			w.person(t, "practice").email, "yusuf.haddad@example.test"} {
			b := w.browser(t)
			answer := b.submit(b.open(w.issuer("patient")+"/forgot"), "email", email)
			sent := b.follow(answer).want(t, 200, "Check your email")
			answer.header.Del("Date")
			answer.header.Del("X-Request-Id")
			for i, line := range answer.header["Set-Cookie"] {
				answer.header["Set-Cookie"][i], _, _ = strings.Cut(line, "=")
			}
			head, _ := json.Marshal(answer.header)
			bodies = append(bodies, strings.ReplaceAll(sent.body, email, "EMAIL")+string(head)+answer.body)
		}
		for i := range bodies {
			if bodies[i] != bodies[0] {
				t.Errorf("answer %d differs:\n%s\n%s", i, bodies[0], bodies[i])
			}
		}
		for _, email := range []string{"", "x", "a@b@example.test", "a@example.test\x00", `"a b"@example.test`, "a@exa mple.test"} {
			b := w.browser(t)
			p := b.send(b.open(w.issuer("patient")+"/forgot"), "email", email)
			if p.status != 422 || p.problem("email") == "" {
				t.Errorf("%q: %d %q", email, p.status, p.h1())
			}
		}
	})
}

func TestSignInTellsNobodyWhoHasAnAccount(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		who := w.person(t, "patient")
		var says []string
		for _, c := range [][2]string{{who.email, "wrong"}, {"nobody@example.test", "wrong"}, {"erik.lindqvist@example.test", "lantern-puffin-gravel-85"},
			{who.email, who.password + " "}} {
			b := w.browser(t)
			p := b.send(b.open(w.issuer("patient")+"/signin"), "email", c[0], "password", c[1])
			if p.status != 422 || p.value("email") != c[0] || p.value("password") != "" {
				t.Errorf("%s: %d", c[0], p.status)
			}
			says = append(says, p.says())
		}
		for _, s := range says {
			if s != says[0] {
				t.Errorf("%q is not %q", s, says[0])
			}
		}
	})
}
