package recovery_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/account/accounttest"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/recovery"
	"github.com/portico-id/portico/internal/web/webtest"
)

// world is accounttest's with recovery in it.
type world struct {
	*accounttest.World
	recovery *recovery.Service
	mount    func(g *gin.Engine)
}

// flows knows one flow: somebody came from the portal.
type flows struct{ id uuid.UUID }

func (f flows) ClientOf(_ context.Context, _ *realm.Realm, flow uuid.UUID, _ []byte) (string, error) {
	if flow == f.id {
		return accounttest.PortalID, nil
	}
	return "", nil
}

var portalFlow = uuid.MustParse("0192f0c1-2222-7000-8000-000000000001")

func newWorld(t *testing.T, db *database.DB) *world {
	t.Helper()
	w := &world{World: accounttest.New(t, db)}
	w.recovery = recovery.NewService(recovery.Deps{DB: db, Accounts: w.Accounts, Outbox: w.Outbox, Audit: w.Audit,
		Limits: w.Limits, Realms: w.FindRealm})
	w.Accounts.Connect(account.Peers{Grants: w.Grants, Tickets: w.recovery})
	w.Finished = w.recovery.LetterFinished
	h := recovery.NewHandler(w.Pages, w.recovery, w.Sessions, flows{portalFlow}, w.Typed)
	w.mount = func(g *gin.Engine) { h.Mount(g) }
	return w
}

func (w *world) browser() *webtest.Browser { return w.Browser(w.mount) }

// forgot fills in the form and lets the worker do its work.
func (w *world) forgot(b *webtest.Browser, email string) *webtest.Page {
	w.T.Helper()
	b.Get("/forgot")
	p := b.Post("/forgot", url.Values{"email": {email}})
	w.process()
	return p
}

func (w *world) process() {
	w.T.Helper()
	if err := w.recovery.Process(context.Background()); err != nil {
		w.T.Fatal(err)
	}
}

// link asks for a link and returns its path.
func (w *world) link(email string) string {
	w.T.Helper()
	if err := w.recovery.Request(context.Background(), w.Realm, recovery.Ask{Email: email, Network: "192.0.2." + uuid.NewString()}); err != nil {
		w.T.Fatal(err)
	}
	w.process()
	return w.LastLink(email)
}

// open presses Continue behind a link.
func open(b *webtest.Browser, link string) *webtest.Page {
	b.Get(link)
	return b.Post(link, url.Values{})
}

func answer(b *webtest.Browser, text string) *webtest.Page {
	b.Get("/recovery/question")
	return b.Post("/recovery/question", url.Values{"answer": {text}})
}

func choose(b *webtest.Browser, plain string) *webtest.Page {
	return b.Post("/recovery/password", url.Values{"new-password": {plain}, "confirm-password": {plain}})
}

// answered walks a browser to the last step.
func (w *world) answered(b *webtest.Browser, link string) {
	w.T.Helper()
	if p := open(b, link); p.Status != http.StatusSeeOther {
		w.T.Fatalf("open: %d %s", p.Status, p.Text())
	}
	if p := answer(b, accounttest.Answer); p.Location() != "/patient/recovery/password" {
		w.T.Fatalf("answer: %d %s", p.Status, p.Text())
	}
}

func wantStatus(t *testing.T, what string, p *webtest.Page, status int) {
	t.Helper()
	if p.Status != status {
		text := ""
		if p.Doc != nil {
			text = p.Text()
		}
		t.Errorf("%s: status %d, want %d: %s %s", what, p.Status, status, p.Location(), text)
	}
}

func each(t *testing.T, fn func(t *testing.T, w *world)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, db *database.DB) { fn(t, newWorld(t, db)) })
}

func TestForgottenPasswordIsReplacedAndThePersonGetsBackToThePortal(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a := w.Person(accounttest.Email)
		b := w.browser()
		session := w.SignIn(w.browser(), a)

		p := b.Get("/forgot?flow=" + portalFlow.String())
		if p.H1() != "Forgot password" || !strings.Contains(p.Link("Back to sign in"), "flow="+portalFlow.String()) {
			t.Errorf("forgot page: %q, %q", p.H1(), p.Link("Back to sign in"))
		}
		p = b.Post("/forgot?flow="+portalFlow.String(), url.Values{"email": {" Maria.Gomez@Example.TEST "}})
		if p.Status != http.StatusSeeOther || p.Location() != "/patient/forgot/sent?flow="+portalFlow.String() {
			t.Fatalf("forgot: %d %s", p.Status, p.Location())
		}
		p = b.Get(p.Location())
		for _, says := range []string{"Check your email", "If there is an account for " + accounttest.Email + ", we have sent it a link.",
			"48 hours", "spam", "newer link"} {
			if !strings.Contains(p.Text(), says) {
				t.Errorf("the page does not say %q: %s", says, p.Text())
			}
		}
		w.process()
		link := w.LastLink(accounttest.Email)

		other := w.browser() // the phone on which the mail is read
		p = other.Get(link)
		if p.H1() != "Reset your password" || !strings.Contains(p.Text(), "m•••@example.test") || strings.Contains(p.Text(), accounttest.Email) {
			t.Errorf("link page: %s", p.Text())
		}
		if p := open(other, link); p.Location() != "/patient/recovery/question" {
			t.Fatalf("open: %d %s", p.Status, p.Location())
		}
		p = other.Get("/recovery/question")
		if !strings.Contains(p.Text(), "What was the name of your first pet?") || !strings.Contains(p.Text(), "Step 2 of 3") {
			t.Errorf("question page: %s", p.Text())
		}
		if p := answer(other, "  senor   BIGOTES "); p.Location() != "/patient/recovery/password" {
			t.Fatalf("answer: %d %s", p.Status, p.Text())
		}
		p = other.Get("/recovery/password")
		if p.Value("username") != accounttest.Email || !strings.Contains(p.Text(), "at least 15 characters") {
			t.Errorf("password page: %s", p.Text())
		}
		if !w.CanSignIn(accounttest.Email, accounttest.Password) {
			t.Error("the old password stopped working before the new one was saved")
		}
		if p := choose(other, accounttest.NewPassword); p.Location() != "/patient/recovery/done" {
			t.Fatalf("password: %d %s", p.Status, p.Text())
		}
		p = other.Get("/recovery/done")
		if p.Link("Sign in") != accounttest.PortalStart {
			t.Errorf("Sign in leads to %q, the person came from the portal", p.Link("Sign in"))
		}
		if other.Cookie("") != "" {
			t.Error("the journey signed somebody in")
		}
		if w.CanSignIn(accounttest.Email, accounttest.Password) || !w.CanSignIn(accounttest.Email, accounttest.NewPassword) {
			t.Error("not exactly the new password works")
		}
		if n := w.Count(`SELECT COUNT(*) FROM sessions WHERE id = $1 AND ended_at IS NULL`, session); n != 0 {
			t.Error("an old session lives on")
		}
		if len(w.Grants.Accounts) != 1 {
			t.Errorf("grants revoked %d times", len(w.Grants.Accounts))
		}
		w.Deliver()
		if n := w.Post.To(accounttest.Email); n != 2 {
			t.Errorf("%d letters, want the link and the notice", n)
		}
		for _, kind := range []string{"recovery.requested", "recovery.link_sent", "recovery.opened", "recovery.answered", "recovery.completed", "password.changed"} {
			if n := w.Events(kind); n != 1 {
				t.Errorf("%d events %s", n, kind)
			}
		}
		wantStatus(t, "the link again", other.Get(link), http.StatusGone)
	})
}

func TestThePagesSpeakSpanish(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t))
	w.Create(account.New{LoginEmail: accounttest.Email, State: account.Active, Locale: "es",
		Password: accounttest.Password, Question: accounttest.Question, Answer: accounttest.Answer})
	b := w.browser()
	link := w.link(accounttest.Email)
	for _, step := range []struct {
		do   func() *webtest.Page
		says string
	}{
		{func() *webtest.Page { return b.Get("/forgot?lang=es") }, "Restablecer su contraseña"},
		{func() *webtest.Page { return b.Post("/forgot", url.Values{"email": {"nadie"}}) }, "Escriba un correo electrónico como nombre@ejemplo.com"},
		{func() *webtest.Page { return b.Get(link) }, "Restablezca su contraseña"},
		{func() *webtest.Page { open(b, link); return b.Get("/recovery/question") }, "¿Cómo se llamaba su primera mascota?"},
		{func() *webtest.Page { return answer(b, "otro") }, "La respuesta no coincide. Intentos restantes: 4."},
		{func() *webtest.Page { return b.Get("/recovery/help") }, "Podemos ayudarle"},
		{func() *webtest.Page { answer(b, accounttest.Answer); return b.Get("/recovery/password") }, "Cree una contraseña nueva"},
		{func() *webtest.Page { return choose(b, "corta") }, "Use al menos 15 caracteres"},
		{func() *webtest.Page { choose(b, accounttest.NewPassword); return b.Get("/recovery/done") }, "Su contraseña ha cambiado"},
		{func() *webtest.Page { return b.Get(link) }, "Este enlace ya no funciona"},
	} {
		if p := step.do(); !strings.Contains(p.Text(), step.says) {
			t.Errorf("%q is not in: %s", step.says, p.Text())
		}
	}
}

func TestForgotAnswersAreByteIdentical(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Person("known01@example.test")
		w.Create(account.New{LoginEmail: "invited@example.test", State: account.Invited})
		closed := w.Person("closed1@example.test")
		if err := w.Accounts.Disable(context.Background(), w.Realm, closed.ID, account.By{Actor: "system"}); err != nil {
			t.Fatal(err)
		}
		want := ""
		for i, email := range []string{"known01@example.test", "nobody1@example.test", "invited@example.test", "closed1@example.test",
			"known01@example.test", "throttle@example.test"} {
			b := w.browser()
			if email == "throttle@example.test" {
				email = "known01@example.test"
				for range 25 {
					w.forgot(w.browser(), email)
				}
			}
			before := w.Count(`SELECT COUNT(*) FROM recovery_requests`)
			b.Get("/forgot")
			p := b.Post("/forgot", url.Values{"email": {email}})
			sent := b.Get(p.Location())
			got := strings.Join([]string{http.StatusText(p.Status), p.Location(), p.Body, sent.H1(), strings.ReplaceAll(sent.Text(), email, "EMAIL")}, "\n")
			for name := range p.Header {
				if name != "X-Request-Id" && name != "Set-Cookie" {
					got += "\n" + name + ": " + p.Header.Get(name)
				}
			}
			got = sorted(got)
			if i == 0 {
				want = got
			}
			if got != want {
				t.Errorf("case %d (%s) answers\n%s\nthe first one answered\n%s", i, email, got, want)
			}
			made := w.Count(`SELECT COUNT(*) FROM recovery_requests`) - before
			if i < 5 && made != 1 || i == 5 && made != 0 {
				t.Errorf("case %d stored %d requests", i, made)
			}
			// Nobody was looked up: the ticket is the worker's.
			if n := w.Count(`SELECT COUNT(*) FROM recovery_tickets WHERE created_at IS NOT NULL`); i == 0 && n != 0 {
				t.Error("the request made a ticket")
			}
			w.process()
		}
		w.Deliver()
		if w.Post.To("known01@example.test") != 1 || w.Post.To("nobody1@example.test") != 0 || w.Post.To("closed1@example.test") != 0 {
			t.Errorf("letters: %d known, %d unknown, %d closed", w.Post.To("known01@example.test"), w.Post.To("nobody1@example.test"), w.Post.To("closed1@example.test"))
		}
		if !strings.Contains(w.LastLink("invited@example.test"), "/activate/") {
			t.Error("an invited person gets an invitation")
		}
	})
}

func sorted(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		for j := i + 1; j < len(lines); j++ {
			if lines[j] < lines[i] {
				lines[i], lines[j] = lines[j], lines[i]
			}
		}
	}
	return strings.Join(lines, "\n")
}

func TestRepeatsAreAbsorbedAndTheLastLinkOfTheDayStaysValid(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Person(accounttest.Email)
		first := w.link(accounttest.Email)
		for range 10 {
			if again := w.link(accounttest.Email); again != first {
				t.Fatal("a repeat within five minutes made a new link")
			}
		}
		wantStatus(t, "the link after repeats", w.browser().Get(first), http.StatusOK)
		last := first
		for i := 2; i <= 5; i++ {
			dbtest.Advance(w.DB, 6*time.Minute)
			next := w.link(accounttest.Email)
			if next == last {
				t.Fatalf("link %d was not made", i)
			}
			wantStatus(t, "the replaced link", w.browser().Get(last), http.StatusGone)
			last = next
		}
		for range 30 {
			dbtest.Advance(w.DB, 6*time.Minute)
			if w.link(accounttest.Email) != last {
				t.Fatal("a sixth link in a day")
			}
		}
		b := w.browser()
		w.answered(b, last)
		if p := choose(b, accounttest.NewPassword); p.Location() != "/patient/recovery/done" {
			t.Errorf("the fifth link does not work: %d", p.Status)
		}
	})
}

func TestRealmBudgetDelaysButLosesNoRequest(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t))
	w.Realm.Recovery.RealmRequestsPerHour = 1
	w.Person("one@example.test")
	w.Person("two@example.test")
	w.link("one@example.test")
	if err := w.recovery.Request(context.Background(), w.Realm, recovery.Ask{Email: "two@example.test", Network: "192.0.2.9"}); err != nil {
		t.Fatal(err)
	}
	w.process()
	w.Deliver()
	if n := w.Post.To("two@example.test"); n != 0 {
		t.Fatalf("%d letters over the budget", n)
	}
	dbtest.Advance(w.DB, 61*time.Minute)
	w.process()
	w.LastLink("two@example.test")
}

func TestConcurrentWorkersMakeOneTicketForARequest(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Person(accounttest.Email)
		for range 3 {
			if err := w.recovery.Request(context.Background(), w.Realm, recovery.Ask{Email: accounttest.Email, Network: "n"}); err != nil {
				t.Fatal(err)
			}
		}
		done := make(chan error)
		for range 8 {
			go func() { done <- w.recovery.Process(context.Background()) }()
		}
		for range 8 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if n := w.Count(`SELECT COUNT(*) FROM recovery_tickets`); n != 1 {
			t.Errorf("%d tickets, want 1", n)
		}
	})
}
