package server_test

import (
	"context"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/database/dbtest"
)

// strangers are people of the patient realm in every state an account can be
// in, beside somebody who has none.
func (w *world) strangers(t testing.TB) map[string]string {
	t.Helper()
	disabled, invited := w.person(t, "patient"), w.invited(t, "patient")
	if err := w.srv.Accounts().Disable(context.Background(), w.realm(t, "patient"), disabled.id, account.By{Actor: "system"}); err != nil {
		t.Fatal(err)
	}
	w.mail.wait(t, invited.email, inviteLetter, 1)
	return map[string]string{"existing": w.person(t, "patient").email, "unknown": "nobody." + strings.ToLower(randomText(6)) + "x@example.test",
		"disabled": disabled.email, "invited": invited.email, "of the other realm": w.person(t, "practice").email}
}

var (
	passkeyChallenge = regexp.MustCompile(`challenge&#34;:&#34;[A-Za-z0-9_-]+`)
	contentLength    = regexp.MustCompile(`Content-Length: \d+\r\n`)
)

// bytes is an answer as it went over the line, without what is random or is
// the time: request id, date, values of cookies, CSRF tokens; and without what
// was typed.
func (p *page) bytes(typed string) string {
	header := p.header.Clone()
	id := header.Get("X-Request-Id")
	header.Del("X-Request-Id")
	header.Del("Date")
	for i, line := range header["Set-Cookie"] {
		name, rest, _ := strings.Cut(line, "=")
		_, attributes, _ := strings.Cut(rest, ";")
		header["Set-Cookie"][i] = name + "=…;" + attributes
	}
	slices.Sort(header["Set-Cookie"])
	var out strings.Builder
	_ = header.Write(&out)
	body := p.body
	if p.doc != nil {
		if csrf := p.value("csrf"); csrf != "" {
			body = strings.ReplaceAll(body, csrf, "CSRF")
		}
	}
	body = passkeyChallenge.ReplaceAllString(body, "CHALLENGE")
	for _, secret := range []string{id, typed} {
		if secret != "" {
			body = strings.ReplaceAll(body, secret, "…")
		}
	}
	return http.StatusText(p.status) + "\n" + contentLength.ReplaceAllString(out.String(), "") + "\n" + body
}

// stopClock lets no time pass any more.
func (w *world) stopClock() {
	now := w.db().Now(context.Background())
	dbtest.SetNow(w.db(), func() time.Time { return now })
}

// same insists that all answers are one.
func same(t *testing.T, what string, answers map[string]string) {
	t.Helper()
	for name, answer := range answers {
		if answer != answers["unknown"] {
			one, other := strings.Split(answer, "\n"), strings.Split(answers["unknown"], "\n")
			for i := range min(len(one), len(other)) {
				if one[i] != other[i] {
					t.Errorf("%s: the answer to %s is not the one to unknown:\n%s\n%s", what, name, one[i], other[i])
					break
				}
			}
			if len(one) != len(other) {
				t.Errorf("%s: the answer to %s has %d lines, the one to unknown %d", what, name, len(one), len(other))
			}
		}
	}
}

// Status, headers and body are the same for everybody who may not get in,
// whatever the reason.
func TestDoorsAnswerEverybodyAlike(t *testing.T) {
	eachAlone(t, options{}, func(t *testing.T, w *world) {
		people := w.strangers(t)
		w.stopClock() // delays are over when time passes, however slow the machine is
		signIn, forgot, slowed := map[string]string{}, map[string]string{}, map[string]string{}
		for name, email := range people {
			b := w.browser(t)
			first := b.submit(b.open(w.issuer("patient")+"/signin"), "email", email, "password", "not the walnut of anybody")
			signIn[name] = first.bytes(email)
			// From the fifth failure on nobody is let try, known or not.
			var last *page
			for range 5 {
				last = b.submit(first, "email", email, "password", "not the walnut of anybody")
			}
			if last.header.Get("Retry-After") == "" {
				t.Errorf("%s is not slowed down: %d %s", name, last.status, last.says())
			}
			last.header.Set("Retry-After", "some")
			slowed[name] = last.bytes(email)
			b = w.browser(t)
			for range 3 { // the second and third send nothing
				asked := b.submit(b.open(w.issuer("patient")+"/forgot"), "email", email)
				forgot[name] += asked.bytes(email) + b.follow(asked).bytes(email)
			}
		}
		same(t, "sign-in", signIn)
		same(t, "sign-in, throttled", slowed)
		same(t, "forgot password", forgot)
	})
}

// A link that is over says the same as one that never was, of whomever it was.
func TestLinksThatAreOverAreAsIfTheyNeverWere(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx, r := context.Background(), w.realm(t, "patient")
		links := map[string]string{"unknown": randomText(32)}
		token := func(who *person) string {
			_, raw, _ := cutLast(w.mail.wait(t, who.email, inviteLetter, 1).link(t), "/")
			return raw
		}
		used := w.invited(t, "patient")
		links["used"] = token(used)
		b := w.browser(t)
		p := choose(b, b.send(b.open(w.issuer("patient")+"/activate/"+links["used"])), used.password)
		b.send(p, "question", "first_pet", "answer", used.answer).want(t, 200, "Your account is ready")
		disabled := w.invited(t, "patient")
		links["disabled"] = token(disabled)
		if err := w.srv.Accounts().Disable(ctx, r, disabled.id, account.By{Actor: "system"}); err != nil {
			t.Fatal(err)
		}
		again := w.invited(t, "patient")
		links["replaced"] = token(again)
		if err := w.srv.Accounts().Invite(ctx, r, again.id, account.By{Actor: "system"}); err != nil {
			t.Fatal(err)
		}
		reset := w.person(t, "patient")
		_, raw, _ := cutLast(w.forget(t, w.browser(t), reset, 1).link(t), "/")
		links["of a reset"] = raw
		answers := map[string]string{}
		for name, token := range links {
			got := w.browser(t).get(w.issuer("patient")+"/activate/"+token).want(t, http.StatusGone, gone)
			answers[name] = got.bytes(token)
		}
		same(t, "activation", answers)
	})
}
