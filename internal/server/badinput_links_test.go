package server_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portico-id/portico/internal/database/dbtest"
)

const gone = "This link no longer works"

func TestALinkThatIsNoneIsGone(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for _, token := range []string{randomText(32), randomText(31), "x", "%00", strings.Repeat("A", 4000), "..%2f..%2fsignin", "é"} {
			for _, page := range []string{"/reset/", "/activate/"} {
				b := w.browser(t)
				got := b.open(w.issuer("patient") + page + token)
				if got.status == http.StatusNotFound && strings.Contains(token, "%2f") {
					continue // a path with more slashes leads nowhere
				}
				got.want(t, http.StatusGone, gone)
				for _, host := range got.elsewhere() {
					if host != "patients.example.test" {
						t.Errorf("the page of %s leads to %s", page, host)
					}
				}
			}
		}
		// The steps behind a link, without one.
		for _, path := range []string{"/recovery/question", "/recovery/password", "/recovery/done", "/recovery/help",
			"/activation/password", "/activation/question", "/activation/done"} {
			b := w.browser(t)
			b.open(w.issuer("patient")+path).want(t, http.StatusGone, gone)
			b.plant("patient", "recovery", randomText(32))
			b.plant("patient", "activation", randomText(32))
			b.open(w.issuer("patient")+path).want(t, http.StatusGone, gone)
		}
	})
}

func TestAUsedLinkIsGone(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		who, b := w.person(t, "patient"), w.browser(t)
		link := w.forget(t, b, who, 1).link(t)
		started := w.browser(t)
		question := started.send(started.open(link))
		last := w.answered(t, b, link, who)
		choose(b, last, who.other).want(t, 200, "Your password is changed")

		w.browser(t).open(link).want(t, http.StatusGone, gone)
		started.send(question, "answer", who.answer).want(t, http.StatusGone, gone)
		choose(b, last, who.password+" again").want(t, http.StatusGone, gone)
		if !w.canSignIn(t, who, who.other) {
			t.Error("the password changed once more")
		}
	})
}

func TestALinkForAnEmailIsGoneWhenTheEmailChanges(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		guardian := w.guardian(t)
		access := w.admin(t, w.staff(t, maple, "administrator"))
		b := w.browser(t)
		link := w.forget(t, b, guardian, 1).link(t)
		last := w.answered(t, b, link, guardian)
		path := "/associations/" + guardian.association.String()
		etag := w.api(t, access, "GET", path, nil).header.Get("ETag")
		r := w.api(t, access, "PATCH", path+"/login-email", map[string]any{"login_email": "moved." + guardian.email, "reason": "moved"}, "If-Match", etag)
		if r.status != 200 {
			t.Fatalf("%d %s", r.status, r.body)
		}
		choose(b, last, guardian.other).want(t, http.StatusGone, gone)
		w.browser(t).open(link).want(t, http.StatusGone, gone)
	})
}

func TestALinkLives48Hours(t *testing.T) {
	eachAlone(t, options{}, func(t *testing.T, w *world) {
		who, b := w.person(t, "patient"), w.browser(t)
		link := w.forget(t, b, who, 1).link(t)
		dbtest.Advance(w.db(), 48*time.Hour-10*time.Second)
		last := w.answered(t, b, link, who)
		dbtest.Advance(w.db(), 20*time.Second)
		choose(b, last, who.other).want(t, http.StatusGone, gone)
		w.browser(t).open(link).want(t, http.StatusGone, gone)
		if !w.canSignIn(t, who, who.password) {
			t.Error("the old password ended with a link that did not work")
		}
	})
}

func TestANewerLinkReplacesAnOlderOne(t *testing.T) {
	eachAlone(t, options{}, func(t *testing.T, w *world) {
		guardian := w.guardian(t)
		b := w.browser(t)
		first := w.forget(t, b, guardian, 1).link(t)
		// A second form within five minutes sends nothing and spoils nothing.
		b.send(b.open(w.issuer("patient")+"/forgot"), "email", guardian.email).want(t, 200, "Check your email")
		eventually(t, "the request is handled", func() bool {
			return w.count(t, `SELECT COUNT(*) FROM recovery_requests WHERE processed_at IS NULL`) == 0
		})
		if n := w.count(t, `SELECT COUNT(*) FROM recovery_tickets WHERE account_id = $1`, guardian.id); n != 1 {
			t.Fatalf("%d links", n)
		}
		last := w.answered(t, b, first, guardian)

		dbtest.Advance(w.db(), 6*time.Minute)
		second := w.forget(t, w.browser(t), guardian, 2).link(t)
		choose(b, last, guardian.other).want(t, http.StatusGone, gone)
		w.browser(t).open(first).want(t, http.StatusGone, gone)

		rosa := w.staff(t, maple, "front_desk")
		access := w.admin(t, rosa)
		send := func() reply {
			return w.api(t, access, "POST", "/associations/"+guardian.association.String()+"/password-resets",
				map[string]any{"confirm_login_email": guardian.email, "reason": "called in"}, "Idempotency-Key", randomText(8))
		}
		sent := send()
		third := w.mail.wait(t, guardian.email, resetLetter, 3).link(t)
		w.browser(t).open(second).want(t, http.StatusGone, gone)
		dbtest.Advance(w.db(), 6*time.Minute)
		access = w.admin(t, rosa)
		newest := send()
		fourth := w.mail.wait(t, guardian.email, resetLetter, 4).link(t)
		w.browser(t).open(third).want(t, http.StatusGone, gone)
		if r := w.api(t, access, "GET", "/password-resets/"+sent.get("id"), nil); r.get("state") != "replaced" {
			t.Errorf("staff see %s", r.body)
		}
		fresh := w.browser(t)
		choose(fresh, w.answered(t, fresh, fourth, guardian), guardian.other).want(t, 200, "Your password is changed")
		if r := w.api(t, access, "GET", "/password-resets/"+newest.get("id"), nil); r.get("state") != "used" {
			t.Errorf("staff see %s", r.body)
		}
	})
}

func TestFiveWrongAnswersEndALink(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		who, b := w.person(t, "patient"), w.browser(t)
		link := w.forget(t, b, who, 1).link(t)
		question := b.send(b.open(link))
		const title = "Answer your security question"
		for _, nothing := range []string{"", "   ", "´"} { // costs no try
			question = b.send(question, "answer", nothing).want(t, 422, title)
			if question.problem("answer") != "Enter an answer" {
				t.Errorf("%q: %s", nothing, question.problem("answer"))
			}
		}
		for _, left := range []string{"4", "3", "2", "1"} {
			question = b.send(question, "answer", "wrong").want(t, 422, title)
			if !strings.Contains(question.problem("answer"), "Tries left: "+left) {
				t.Errorf("the page says %q, %s tries are left", question.problem("answer"), left)
			}
		}
		b.send(question, "answer", "wrong").want(t, http.StatusGone, gone)
		b.send(question, "answer", who.answer).want(t, http.StatusGone, gone)
		w.browser(t).open(link).want(t, http.StatusGone, gone)
		if !w.canSignIn(t, who, who.password) {
			t.Error("wrong answers locked the password")
		}
	})
}

func TestWithoutAQuestionNobodyGetsPastIt(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		yusuf := seededPerson(t, "patient", "yusuf.haddad@example.test")
		b := w.browser(t)
		link := w.forget(t, b, yusuf, 1).link(t)
		b.send(b.open(link)).want(t, 200, "We can help you")
		for _, answer := range []string{"", "x"} {
			token := b.open(w.issuer("patient") + "/signin").value("csrf")
			p := b.follow(b.post(w.issuer("patient")+"/recovery/question", url.Values{"answer": {answer}, "answer[]": {"x"}, "csrf": {token}}))
			p.want(t, 200, "We can help you")
		}
		if p := b.open(w.issuer("patient") + "/recovery/password"); p.h1() != "We can help you" {
			t.Errorf("%d %q", p.status, p.h1())
		}
	})
}
