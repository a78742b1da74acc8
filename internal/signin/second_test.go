package signin_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/account/accounttest"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/session"
	"github.com/portico-id/portico/internal/web/webtest"
)

func TestTheSecondStepStandsBetweenThePasswordAndTheSession(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a := w.Person(accounttest.Email)
		app, _ := w.withApp(a)
		b := w.browser("192.0.2.1")
		p := w.half(b, flowPath)
		if p.H1() != "One more step" || !p.Has("code") || p.Has("response") || !strings.Contains(p.Text(), "Maple <Portal>") {
			t.Fatalf("%s", p.Text())
		}
		if !strings.Contains(p.Header.Get("Content-Security-Policy"), "form-action 'self' https://portal.example.test") {
			t.Errorf("%s", p.Header.Get("Content-Security-Policy"))
		}
		if b.Cookie("") != "" || w.sessions() != 0 || w.Events("signin.succeeded") != 0 || w.Events("signin.password_right") != 1 {
			t.Fatal("signed in by half")
		}
		if p := b.Get("/account"); p.Status != http.StatusSeeOther || !strings.HasPrefix(p.Location(), "/patient/signin") {
			t.Errorf("My Account after the first step: %d", p.Status)
		}
		if p := b.Get(secondFlow + "&lang=es"); !strings.Contains(p.Text(), "Portal <Arce>") || strings.Contains(p.Text(), "Maple <Portal>") {
			t.Errorf("in Spanish: %s", p.Text())
		}
		b.Get(secondFlow + "&lang=en")
		p = b.Post(secondFlow, code(app.next()))
		if p.Status != http.StatusSeeOther || p.Location() != "/patient/oauth/authorize?flow="+flow.String() {
			t.Fatalf("%d %s %s", p.Status, p.Location(), p.Text())
		}
		s := w.sessionOf(b)
		if s == nil || s.ACR != session.TwoFactors || !slices.Equal(s.AMR, []string{"pwd", "otp", "mfa"}) || s.AccountID != a.ID || s.Kept {
			t.Fatalf("%+v", s)
		}
		if b.Cookie("step") != "" || w.Events("signin.succeeded") != 1 || w.details("signin.succeeded")["acr"] != "2" {
			t.Error("not complete")
		}
		if b.Cookie("device") == "" {
			t.Error("the device is not known")
		}
		// A recovery code does as well.
		b = w.browser("192.0.2.2")
		_, codes := w.withApp(w.Person("second@example.test"))
		try(b, plainPath, "second@example.test", accounttest.Password)
		p = b.Get(second + "?code=recovery")
		if p.Link("Use the authenticator app") != "/patient/signin/second" {
			t.Errorf("%s", p.Text())
		}
		if p := b.Post(second+"?code=recovery", code(" "+strings.ToUpper(codes[3])+" ")); p.Location() != "/patient/account" {
			t.Errorf("recovery code: %d %s", p.Status, p.Text())
		}
		if w.Events("recovery_code.used") != 1 {
			t.Error("no event")
		}
	})
}

func TestAPasskeyAsTheSecondStep(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a := w.Person(accounttest.Email)
		k := w.withPasskey(w.Realm, a)
		b := w.browser("192.0.2.1")
		p := w.half(b, plainPath)
		if !p.Has("response") || p.Value("options") == "" || p.Has("code") {
			t.Fatalf("%s", p.Text())
		}
		if strings.Contains(p.Value("options"), a.LoginEmail) {
			t.Error("the page tells the address")
		}
		// Somebody else's passkey is none.
		other := w.Person("other@example.test")
		stranger := w.withPasskey(w.Realm, other)
		p = b.Post(second, url.Values{"response": {stranger.get(t, p.Value("options"))}})
		if p.Status != http.StatusUnprocessableEntity || !strings.Contains(p.Text(), "We could not use that passkey. Tries left: 4.") {
			t.Fatalf("%d %s", p.Status, p.Text())
		}
		answer := k.get(t, p.Value("options"))
		thief := w.browser("203.0.113.1")
		thief.SetCookie("step", b.Cookie("step"))
		thief.Get(plainPath)
		if p := thief.Post(second, url.Values{"response": {answer}}); p.Status != http.StatusForbidden {
			t.Errorf("in another browser: %d", p.Status)
		}
		p = b.Post(second, url.Values{"response": {answer}})
		if p.Location() != "/patient/account" {
			t.Fatalf("%d %s", p.Status, p.Text())
		}
		if s := w.sessionOf(b); s == nil || s.ACR != session.TwoFactors || !slices.Equal(s.AMR, []string{"pwd", "hwk", "user", "mfa"}) {
			t.Errorf("%+v", s)
		}
		// The answer of a sign-in with a passkey alone is none to this question.
		b = w.browser("192.0.2.3")
		alone := k.get(t, b.Get(plainPath).Value("options"))
		w.half(b, plainPath)
		if p := b.Post(second, url.Values{"response": {alone}}); p.Status != http.StatusUnprocessableEntity {
			t.Errorf("answered another question: %d", p.Status)
		}
	})
}

func TestEveryFaceOfTheSecondPage(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a := w.Person(accounttest.Email)
		w.withPasskey(w.Realm, a)
		_, codes := w.withApp(a)
		b := w.browser("192.0.2.1")
		p := w.half(b, plainPath)
		if !p.Has("response") || !p.Has("code") || p.Link("Use a recovery code") != "/patient/signin/second?code=recovery" ||
			p.Link("Sign in as somebody else") != "/patient/signin" {
			t.Errorf("%s", p.Text())
		}
		if p = b.Get(second + "?lang=es"); p.H1() != "Un paso más" {
			t.Errorf("%s", p.Text())
		}
		b.Get(second + "?lang=en")
		p = b.Post(second, code(""))
		if p.Status != http.StatusUnprocessableEntity || p.ByID("code-err") != "Enter the code" || !strings.HasPrefix(p.Title(), "Error: ") {
			t.Errorf("%d %s", p.Status, p.Text())
		}
		if n := w.Count(`SELECT tries FROM signin_steps`); n != 0 {
			t.Error("an empty code costs a try")
		}
		p = b.Post(second+"?code=recovery", code("aaaaa-aaaaa"))
		if p.ByID("code-err") != "That code does not match, or it was used before. Tries left: 4." || strings.Contains(p.Body, "aaaaa-aaaaa") {
			t.Errorf("%s", p.Text())
		}
		// Passkeys and recovery codes without an app.
		must(t, w.factors.RemoveTOTP(context.Background(), w.Realm, a, account.By{Actor: a.Actor()}))
		if p = b.Get(second); !strings.Contains(p.Text(), "Recovery code") || p.Link("Use the authenticator app") != "" {
			t.Errorf("%s", p.Text())
		}
		if p := b.Post(second, code(codes[0])); p.Location() != "/patient/account" {
			t.Errorf("%d %s", p.Status, p.Text())
		}
		// Nobody is half way there any more.
		if p := b.Get(second); p.Location() != "/patient/account" {
			t.Errorf("strong already: %d %s", p.Status, p.Location())
		}
		if p := w.browser("192.0.2.9").Get(secondFlow); p.Location() != "/patient/signin?flow="+flow.String() {
			t.Errorf("nobody: %d %s", p.Status, p.Location())
		}
	})
}

func TestFiveWrongCodesEndAStartedSignIn(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a := w.Person(accounttest.Email)
		app, _ := w.withApp(a)
		w.Realm.SignIn.DelayFromFailure = 50
		b := w.browser("192.0.2.1")
		w.half(b, plainPath)
		for left := 4; left > 0; left-- {
			p := b.Post(second, code(app.bad()))
			if want := fmt.Sprintf("Tries left: %d.", left); p.Status != http.StatusUnprocessableEntity || !strings.Contains(p.ByID("code-err"), want) {
				t.Fatalf("%d %s, want %s", p.Status, p.Text(), want)
			}
		}
		p := b.Post(second, code(app.bad()))
		if p.Status != http.StatusForbidden || p.H1() != "Sign in again" || p.Link("Start again") != "/patient/signin" {
			t.Fatalf("%d %s", p.Status, p.Text())
		}
		if b.Cookie("step") != "" {
			t.Error("the cookie stays")
		}
		if n := w.Events("signin.second_failed"); n != 5 {
			t.Errorf("%d events", n)
		}
		// The right code comes too late, also with the cookie from before.
		w.half(b, plainPath)
		for range 4 {
			b.Post(second, code(app.bad()))
		}
		kept := copyOf(b, "flow", "step")
		b.Post(second, code(app.bad()))
		kept.Get(plainPath)
		if p := kept.Post(second, code(app.next())); p.Status != http.StatusForbidden || w.sessions() != 0 {
			t.Errorf("the sixth try: %d", p.Status)
		}
		// Starting again starts again, for the person.
		w.half(b, plainPath)
		if p := b.Post(second, code(app.next())); p.Location() != "/patient/account" {
			t.Errorf("%d %s", p.Status, p.Text())
		}
	})
}

func TestTheTriesOfADayAreForAllStartedSignIns(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a := w.Person(accounttest.Email)
		app, _ := w.withApp(a)
		w.Realm.SignIn.DelayFromFailure = 50
		w.Realm.Factors.TriesPerDay = 6
		b := w.browser("203.0.113.1")
		for range 2 {
			w.half(b, plainPath)
			for range 3 {
				b.Post(second, code(app.bad()))
			}
		}
		w.half(b, plainPath)
		p := b.Post(second, code(app.next()))
		if p.Status != http.StatusUnprocessableEntity || p.ByID("code-err") != "Too many wrong codes today. Use a passkey, or try again tomorrow." {
			t.Fatalf("%d %s", p.Status, p.Text())
		}
		if n := w.Count(`SELECT MAX(tries) FROM signin_steps WHERE tries < 3`); n != 0 {
			t.Error("what was not verified costs a try of the sign-in")
		}
		dbtest.Advance(w.DB, 25*time.Hour)
		w.half(b, plainPath)
		if p := b.Post(second, code(app.next())); p.Location() != "/patient/account" {
			t.Errorf("the next day: %d %s", p.Status, p.Text())
		}
	})
}

// Whoever stole the password, and nothing else, guesses until the day's tries
// are over, and keeps nobody out of a browser that has signed in before.
func TestAThiefWithThePasswordKeepsNoKnownDeviceOut(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a := w.Person(accounttest.Email)
		app, codes := w.withApp(a)
		hers := w.browser("192.0.2.1")
		w.half(hers, plainPath)
		if p := hers.Post(second, code(app.next())); p.Location() != "/patient/account" {
			t.Fatalf("%d %s", p.Status, p.Text())
		}
		w.Realm.Factors.TriesPerDay, w.Realm.SignIn.DelayFromFailure = 3, 50
		thief := w.browser("198.51.100.7")
		w.half(thief, plainPath)
		for range 3 {
			thief.Post(second, code(app.bad()))
		}
		if p := thief.Post(second, code(app.next())); w.sessionOf(thief) != nil {
			t.Fatalf("there is no end: %d", p.Status)
		}
		hers.SetCookie("", "")
		w.half(hers, plainPath)
		if p := hers.Post(second, code(app.next())); p.Location() != "/patient/account" {
			t.Errorf("she is kept out: %d %s", p.Status, p.Text())
		}
		// All known browsers together have as many tries, and no more.
		hers.SetCookie("", "")
		w.half(hers, plainPath)
		for range 3 {
			hers.Post(second, code(app.bad()))
		}
		if p := hers.Post(second, code(codes[0])); p.Status != http.StatusUnprocessableEntity || w.sessionOf(hers) != nil {
			t.Errorf("a known browser guesses on: %d", p.Status)
		}
	})
}

func TestTooManyWrongCodesSlowDown(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		now := time.Date(2025, 3, 3, 9, 0, 0, 0, time.UTC)
		dbtest.SetNow(w.DB, func() time.Time { return now })
		app, _ := w.withApp(w.Person(accounttest.Email))
		w.Realm.SignIn.DelayFromFailure = 2
		w.Realm.SignIn.FirstDelay = 3 * time.Minute
		b := w.browser("192.0.2.1")
		w.half(b, plainPath)
		b.Post(second, code(app.bad()))
		b.Post(second, code(app.bad()))
		p := b.Post(second, code(app.bad()))
		if p.ByID("code-err") != "Too many wrong codes. Wait 3 minutes, then try again." || p.Header.Get("Retry-After") != "181" {
			t.Errorf("%s %s", p.Text(), p.Header.Get("Retry-After"))
		}
	})
}

func TestOfManyRightCodesOneStartsASession(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a := w.Person(accounttest.Email)
		app, codes := w.withApp(a)
		w.Realm.Factors.TriesPerSignIn = 100
		b := w.browser("192.0.2.1")
		w.half(b, plainPath)
		tabs := make([]*webtest.Browser, 32)
		for i := range tabs {
			tabs[i] = copyOf(b, "flow", "step")
			tabs[i].Get(second)
		}
		right := app.next()
		statuses := make([]int, len(tabs))
		var all sync.WaitGroup
		for i, tab := range tabs {
			send := right
			if i%4 == 0 {
				send = codes[i/4] // each of these is right, too
			}
			all.Go(func() { statuses[i] = tab.Post(second, code(send)).Status })
		}
		all.Wait()
		won := 0
		for _, status := range statuses {
			if status == http.StatusSeeOther {
				won++
			} else if status != http.StatusForbidden && status != http.StatusUnprocessableEntity {
				t.Errorf("status %d", status)
			}
		}
		if won != 1 || w.sessions() != 1 || w.Events("signin.succeeded") != 1 {
			t.Errorf("%d won, %d sessions", won, w.sessions())
		}
	})
}

func TestTheSecondStepEndsTheSessionBeforeAndIgnoresPlantedOnes(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a := w.Person(accounttest.Email)
		app, _ := w.withApp(a)
		b := w.browser("192.0.2.1")
		w.SignIn(b, a)
		before := b.Cookie("")
		w.half(b, flowPath)
		if w.sessions() != 1 {
			t.Error("the first step ended the session")
		}
		b.Post(secondFlow, code(app.next()))
		if b.Cookie("") == before || w.sessions() != 1 || w.sessionOf(b).ACR != session.TwoFactors {
			t.Error("session fixation")
		}
	})
}

// Whoever has stolen the password but not the phone must neither wipe out what
// was counted against the password nor run it up until the person is locked out.
func TestHalfASignInNeitherForgetsFailuresNorCountsAsOne(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Realm.SignIn.DisableAtFailures = 8
		w.Realm.SignIn.DelayFromFailure = 50
		app, _ := w.withApp(w.Person(accounttest.Email))
		row := func() int {
			return w.Count(`SELECT COALESCE(MAX(failures), 0) FROM rate_delays WHERE counter_key LIKE 'signin-row/%'`)
		}
		for range 5 {
			wrong(w.browser("203.0.113.1"))
		}
		for range 12 {
			w.half(w.browser("203.0.113.2"), plainPath)
		}
		if row() != 5 {
			t.Errorf("%d failures are counted, want the five wrong passwords", row())
		}
		b := w.browser("203.0.113.3")
		w.half(b, plainPath)
		if p := b.Post(second, code(app.next())); p.Status != http.StatusSeeOther {
			t.Fatalf("the person is out: %d %s", p.Status, p.Text())
		}
		if row() != 0 {
			t.Errorf("%d failures are remembered after a whole sign-in", row())
		}
	})
}

func TestADeadDatabaseIsNotAWrongCode(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		app, _ := w.withApp(w.Person(accounttest.Email))
		b := w.browser("192.0.2.1")
		w.half(b, plainPath)
		w.Exec(`DROP TABLE audit_unchained`)
		p := b.Post(second, code(app.next()))
		if p.Status != http.StatusInternalServerError || b.Cookie("") != "" || w.sessions() != 0 {
			t.Errorf("signed in without a trace: %d", p.Status)
		}
	})
}

func TestManyWrongCodesAtOnceGetNoMoreTries(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		app, _ := w.withApp(w.Person(accounttest.Email))
		w.Realm.SignIn.DelayFromFailure = 50
		b := w.browser("192.0.2.1")
		w.half(b, plainPath)
		bad := app.bad()
		var all sync.WaitGroup
		for range 32 {
			tab := copyOf(b, "flow", "step")
			tab.Get(second)
			all.Go(func() { tab.Post(second, code(bad)) })
		}
		all.Wait()
		if n := w.Count(`SELECT COALESCE(SUM(hits), 0) FROM rate_counters WHERE counter_key LIKE 'factor-tries/%'`); n != 5 {
			t.Errorf("%d codes were verified, want 5", n)
		}
	})
}
