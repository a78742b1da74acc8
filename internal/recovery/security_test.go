package recovery_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
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
	"github.com/portico-id/portico/internal/web"
	"github.com/portico-id/portico/internal/web/webtest"
)

// tab is another tab of the same browser.
func tab(b *webtest.Browser) *webtest.Browser {
	other := b.Another()
	for _, kind := range []string{"flow", "recovery", "typed", ""} {
		if v := b.Cookie(kind); v != "" {
			other.SetCookie(kind, v)
		}
	}
	return other
}

func TestOneOf32ParallelRedemptionsWins(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Person(accounttest.Email)
		link := w.link(accounttest.Email)
		var tabs []*webtest.Browser
		for range 4 { // four browsers, eight tabs each
			b := w.browser()
			w.answered(b, link)
			for range 8 {
				one := tab(b)
				if p := one.Get("/recovery/password"); p.Status != http.StatusOK {
					t.Fatalf("tab: %d", p.Status)
				}
				tabs = append(tabs, one)
			}
		}
		var won, lost atomic.Int64
		var wg sync.WaitGroup
		winner := make(chan string, len(tabs))
		for i, one := range tabs {
			wg.Go(func() {
				plain := accounttest.NewPassword + " " + string(rune('a'+i/26)) + string(rune('a'+i%26))
				p := choose(one, plain)
				switch {
				case p.Location() == "/patient/recovery/done":
					won.Add(1)
					winner <- plain
				case p.Status == http.StatusGone:
					lost.Add(1)
				default:
					t.Errorf("status %d %s", p.Status, p.Location())
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 || lost.Load() != 31 {
			t.Fatalf("%d won and %d lost", won.Load(), lost.Load())
		}
		if !w.CanSignIn(accounttest.Email, <-winner) {
			t.Error("the winner's password does not work")
		}
		if n := w.Events("password.changed"); n != 1 {
			t.Errorf("%d events", n)
		}
		if n := w.Count(`SELECT COUNT(*) FROM mail_outbox WHERE kind = 'password_changed'`); n != 1 {
			t.Errorf("%d notices", n)
		}
	})
}

func TestOneHundredParallelWrongAnswersAreCountedExactly(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Person(accounttest.Email)
		round := func(link string) (retry, gone int64) {
			b := w.browser()
			open(b, link)
			b.Get("/recovery/question")
			csrf := b.Get("/recovery/question").Value("csrf")
			var again, over atomic.Int64
			var wg sync.WaitGroup
			for range 100 {
				one := tab(b)
				wg.Go(func() {
					p := one.Post("/recovery/question", url.Values{"answer": {"wrong"}, "csrf": {csrf}})
					switch p.Status {
					case http.StatusUnprocessableEntity:
						again.Add(1)
					case http.StatusGone:
						over.Add(1)
					default:
						t.Errorf("status %d", p.Status)
					}
				})
			}
			wg.Wait()
			return again.Load(), over.Load()
		}
		first := w.link(accounttest.Email)
		if again, over := round(first); again+over != 100 || again > 4 {
			t.Errorf("%d may try again, %d may not", again, over)
		}
		if n := w.Events("recovery.answer_failed"); n != 5 {
			t.Errorf("%d answers were verified, a link allows 5", n)
		}
		if n := w.Count(`SELECT answer_attempts FROM recovery_tickets`); n != 5 {
			t.Errorf("%d counted on the link", n)
		}
		wantStatus(t, "the link after five", w.browser().Get(first), http.StatusGone)

		dbtest.Advance(w.DB, 10*time.Minute)
		second := w.link(accounttest.Email)
		round(second)
		if n := w.Events("recovery.answer_failed"); n != 10 {
			t.Errorf("%d answers were verified, a day allows 10", n)
		}
		if n := w.Events("recovery.locked"); n != 1 {
			t.Errorf("recovery was locked %d times", n)
		}
		if !w.CanSignIn(accounttest.Email, accounttest.Password) {
			t.Error("the lock is about recovery, the password has to work")
		}
		// Locked: no new links, neither from the person nor from staff.
		dbtest.Advance(w.DB, 23*time.Hour)
		before := w.Count(`SELECT COUNT(*) FROM recovery_tickets`)
		w.forgot(w.browser(), accounttest.Email)
		if n := w.Count(`SELECT COUNT(*) FROM recovery_tickets`); n != before {
			t.Error("a link while recovery is locked")
		}
		if _, err := w.staffLink(accounttest.Email); !errors.Is(err, recovery.ErrLocked) {
			t.Errorf("staff's link while recovery is locked: %v", err)
		}
		dbtest.Advance(w.DB, 90*time.Minute)
		b := w.browser()
		w.answered(b, w.link(accounttest.Email))
	})
}

func TestRightAnswersCostNoTryAndEmptyOnesNeither(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Person(accounttest.Email)
		link := w.link(accounttest.Email)
		for range 7 {
			w.answered(w.browser(), link)
		}
		b := w.browser()
		open(b, link)
		for _, empty := range []string{"", "   ", "\u200b\u0301", strings.Repeat("x", 5000)} {
			p := answer(b, empty)
			if p.Status != http.StatusUnprocessableEntity || p.ByID("answer-err") != "Enter an answer" {
				t.Errorf("empty answer %q: %d %s", empty[:min(len(empty), 5)], p.Status, p.Text())
			}
		}
		p := b.Post("/recovery/question", url.Values{"answer[]": {accounttest.Answer}})
		wantStatus(t, "an array of answers", p, http.StatusUnprocessableEntity)
		if p := answer(b, "wrong"); p.ByID("answer-err") != "That answer does not match. Tries left: 4." {
			t.Errorf("%s", p.Text())
		}
	})
}

// head asks for a link the way scanners do, and returns the status.
func (w *world) head(path string) int {
	engine := gin.New()
	engine.Use(w.Pages.Middleware())
	w.mount(engine)
	req := httptest.NewRequest(http.MethodHead, path, nil)
	req = req.WithContext(realm.WithRealm(req.Context(), w.Realm))
	recorder := httptest.NewRecorder()
	web.HeadAsGet(engine).ServeHTTP(recorder, req)
	return recorder.Code
}

func TestTwentyLooksAtTheLinkChangeNothing(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Person(accounttest.Email)
		link := w.link(accounttest.Email)
		before := w.Dump()
		scanner := w.browser()
		for i := range 20 {
			if i%3 == 0 {
				scanner = w.browser() // without the cookies of before
			}
			wantStatus(t, "look", scanner.Get(link), http.StatusOK)
		}
		for range 5 {
			if status := w.head(link); status != http.StatusOK {
				t.Errorf("HEAD: status %d", status)
			}
		}
		if w.Dump() != before || w.Count(`SELECT COUNT(*) FROM recovery_tickets WHERE opened_at IS NOT NULL`) != 0 {
			t.Error("looking changed something")
		}
		// A scanner that sends the form without having been on the page.
		wantStatus(t, "a form from nowhere", w.browser().Post(link, url.Values{"csrf": {""}}), http.StatusForbidden)
		b := w.browser()
		w.answered(b, link)
		if p := choose(b, accounttest.NewPassword); p.Location() != "/patient/recovery/done" {
			t.Errorf("status %d", p.Status)
		}
	})
}

func TestStepsCannotBeSkipped(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Person(accounttest.Email)
		link := w.link(accounttest.Email)
		stranger := w.browser()
		stranger.Get("/forgot") // for a form token
		csrf := stranger.Get("/forgot").Value("csrf")
		form := url.Values{"new-password": {accounttest.NewPassword}, "confirm-password": {accounttest.NewPassword},
			"answer": {accounttest.Answer}, "csrf": {csrf}}
		for _, path := range []string{"/recovery/question", "/recovery/password", "/recovery/done", "/recovery/help"} {
			wantStatus(t, "no cookie, GET "+path, stranger.Get(path), http.StatusGone)
		}
		for _, path := range []string{"/recovery/question", "/recovery/password", "/reset/" + strings.Repeat("A", 43), "/reset/x"} {
			wantStatus(t, "no cookie, POST "+path, stranger.Post(path, form), http.StatusGone)
		}
		// The link's token is no flow.
		stranger.SetCookie("recovery", strings.TrimPrefix(link, "/reset/"))
		wantStatus(t, "the token as a flow", stranger.Post("/recovery/password", form), http.StatusGone)

		b := w.browser()
		open(b, link)
		csrf = b.Get("/recovery/question").Value("csrf")
		form.Set("csrf", csrf)
		if p := b.Get("/recovery/password"); p.Location() != "/patient/recovery/question" {
			t.Errorf("password page before the answer: %d %s", p.Status, p.Location())
		}
		if p := b.Post("/recovery/password", form); p.Location() != "/patient/recovery/question" {
			t.Errorf("password before the answer: %d %s", p.Status, p.Location())
		}
		wantStatus(t, "done before the end", b.Get("/recovery/done"), http.StatusGone)

		// An answer in one browser opens nothing in another.
		second := w.browser()
		w.answered(second, link)
		if p := b.Post("/recovery/password", form); p.Location() != "/patient/recovery/question" {
			t.Errorf("another browser's answer opened the last step: %d %s", p.Status, p.Location())
		}
		// A link of one realm is nothing in the other.
		other := w.BrowserOf(w.Other, w.mount)
		wantStatus(t, "another realm", other.Get(link), http.StatusGone)
		other.SetCookie("recovery", second.Cookie("recovery"))
		wantStatus(t, "another realm's flow", other.Get("/recovery/password"), http.StatusGone)

		if !w.CanSignIn(accounttest.Email, accounttest.Password) {
			t.Error("the password changed")
		}
	})
}

func TestAStartedRecoveryEndsWithTheLink(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		start := time.Date(2025, 3, 3, 9, 0, 0, 0, time.UTC)
		dbtest.SetNow(w.DB, func() time.Time { return start })
		w.Person(accounttest.Email)
		link := w.link(accounttest.Email)
		b := w.browser()
		dbtest.SetNow(w.DB, func() time.Time { return start.Add(48*time.Hour - 10*time.Second) })
		w.answered(b, link)
		wantStatus(t, "ten seconds before", b.Get("/recovery/password"), http.StatusOK)
		dbtest.SetNow(w.DB, func() time.Time { return start.Add(48*time.Hour + 10*time.Second) })
		wantStatus(t, "ten seconds after", choose(b, accounttest.NewPassword), http.StatusGone)
		wantStatus(t, "the link", b.Get(link), http.StatusGone)
		if !w.CanSignIn(accounttest.Email, accounttest.Password) {
			t.Error("the password changed")
		}
		if tickets, _ := w.tickets(); tickets[0].State != recovery.Expired {
			t.Errorf("state %s", tickets[0].State)
		}
	})
}

func TestAFlowDoesNotOutliveItsTime(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t))
	w.Person(accounttest.Email)
	link := w.link(accounttest.Email)
	b := w.browser()
	w.answered(b, link)
	dbtest.Advance(w.DB, w.Realm.Lifetimes.Interaction+time.Second)
	wantStatus(t, "an old walk", choose(b, accounttest.NewPassword), http.StatusGone)
	wantStatus(t, "the link itself", b.Get(link), http.StatusOK)
}

// tickets reads all tickets, oldest first.
func (w *world) tickets() ([]recovery.Ticket, error) {
	w.T.Helper()
	ctx := context.Background()
	rows, err := w.DB.Query(ctx, `SELECT id FROM recovery_tickets ORDER BY created_at, id`)
	ids, err := database.Collect(rows, err, func(r *database.Rows) (id uuid.UUID, err error) { err = r.Scan(&id); return id, err })
	if err != nil {
		w.T.Fatal(err)
	}
	var all []recovery.Ticket
	for _, id := range ids {
		t, err := w.recovery.Find(ctx, id)
		if err != nil {
			w.T.Fatal(err)
		}
		all = append(all, t)
	}
	return all, nil
}

// Every event that has to end older links and what was started from them.
func TestWhateverChangesThePersonEndsStartedRecoveries(t *testing.T) {
	ctx := context.Background()
	person := func(w *world) account.Account {
		a, err := w.Accounts.FindByEmail(ctx, w.Realm.Name, accounttest.Email)
		if err != nil {
			w.T.Fatal(err)
		}
		return a
	}
	by := account.By{Actor: "system"}
	for name, c := range map[string]struct {
		do    func(w *world) error
		state recovery.State
	}{
		"a newer link": {func(w *world) error {
			dbtest.Advance(w.DB, 6*time.Minute)
			w.link(accounttest.Email)
			return nil
		}, recovery.Replaced},
		"a link from staff": {func(w *world) error {
			_, err := w.staffLink(accounttest.Email)
			return err
		}, recovery.Replaced},
		"a password change": {func(w *world) error {
			hash, err := w.Accounts.HashPassword(ctx, w.Realm, person(w), accounttest.NewPassword)
			if err != nil {
				return err
			}
			return w.DB.InTx(ctx, func(ctx context.Context) error {
				return w.Accounts.ReplacePassword(ctx, w.Realm, person(w).ID, hash, account.Reason{Why: account.Change, By: by})
			})
		}, recovery.Cancelled},
		"an email change": {func(w *world) error {
			a := person(w)
			_, err := w.Accounts.ChangeEmail(ctx, w.Realm, a.ID, a.Version, "other@example.test", by)
			return err
		}, recovery.Cancelled},
		"another question": {func(w *world) error {
			return w.Accounts.SetQuestion(ctx, w.Realm, person(w), "first_concert", "los tigres", by)
		}, recovery.Cancelled},
		"a closed account": {func(w *world) error {
			return w.Accounts.Disable(ctx, w.Realm, person(w).ID, by)
		}, recovery.Cancelled},
		"a cancelled ticket": {func(w *world) error {
			tickets, _ := w.tickets()
			return w.recovery.Cancel(ctx, w.Realm, tickets[0].ID, by)
		}, recovery.Cancelled},
		"wrong answers elsewhere": {func(w *world) error {
			b := w.browser()
			open(b, w.LastLink(accounttest.Email))
			for range 5 {
				answer(b, "wrong")
			}
			return nil
		}, recovery.AnsweredWrong},
		"use elsewhere": {func(w *world) error {
			b := w.browser()
			w.answered(b, w.LastLink(accounttest.Email))
			choose(b, "another long new password")
			return nil
		}, recovery.Used},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, w *world) {
				w.Person(accounttest.Email)
				link := w.link(accounttest.Email)
				atQuestion, atPassword := w.browser(), w.browser()
				open(atQuestion, link)
				atQuestion.Get("/recovery/question")
				w.answered(atPassword, link)
				atPassword.Get("/recovery/password")
				if err := c.do(w); err != nil {
					t.Fatal(err)
				}
				wantStatus(t, "the link", w.browser().Get(link), http.StatusGone)
				wantStatus(t, "the question", atQuestion.Post("/recovery/question", url.Values{"answer": {accounttest.Answer}}), http.StatusGone)
				p := choose(atPassword, "a password nobody wants here")
				wantStatus(t, "the password", p, http.StatusGone)
				if p.H1() != "This link no longer works" || p.Link("Get a new link") != "/patient/forgot" {
					t.Errorf("page %q, link %q", p.H1(), p.Link("Get a new link"))
				}
				if w.CanSignIn(accounttest.Email, "a password nobody wants here") {
					t.Error("the dead link set a password")
				}
				if tickets, _ := w.tickets(); tickets[0].State != c.state {
					t.Errorf("state %s (%s), want %s", tickets[0].State, tickets[0].VoidReason, c.state)
				}
			})
		})
	}
}

// The letter of a link that was ended before it was sent is not sent.
func TestALetterThatWaitsIsNotSentAfterItsLinkEnded(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a := w.Person(accounttest.Email)
		w.forgot(w.browser(), accounttest.Email)
		if err := w.Accounts.Disable(context.Background(), w.Realm, a.ID, account.By{Actor: "system"}); err != nil {
			t.Fatal(err)
		}
		w.Deliver()
		if n := w.Post.To(accounttest.Email); n != 0 {
			t.Errorf("%d letters", n)
		}
	})
}

func TestNoQuestionIsADeadEndAndNeverSkipped(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Create(account.New{LoginEmail: accounttest.Email, State: account.Active, Password: accounttest.Password})
		link := w.link(accounttest.Email)
		for _, break_ := range []string{"", `UPDATE security_answers SET answer_hash = ''`, `UPDATE security_answers SET question = 'gone_from_list'`} {
			if break_ != "" {
				a, _ := w.Accounts.FindByEmail(context.Background(), w.Realm.Name, accounttest.Email)
				if w.Count(`SELECT COUNT(*) FROM security_answers`) == 0 {
					w.Exec(`INSERT INTO security_answers (account_id, question, answer_hash, set_at) VALUES ($1, 'first_pet', 'x', $2)`, a.ID, time.Now())
				}
				w.Exec(break_)
			}
			b := w.browser()
			open(b, link)
			p := b.Get("/recovery/question")
			if p.H1() != "We can help you" || !strings.Contains(p.Text(), "555-0100") || p.Has("answer") {
				t.Fatalf("%s", p.Text())
			}
			csrf := b.Get("/forgot").Value("csrf")
			for _, form := range []url.Values{{}, {"answer": {""}}, {"answer[]": {"x"}}, {"answer": {"x"}}, {"answer": {"null", ""}}} {
				form.Set("csrf", csrf)
				p := b.Post("/recovery/question", form)
				if p.Status != http.StatusOK || p.H1() != "We can help you" {
					t.Errorf("answer %v: %d %s", form, p.Status, p.Location())
				}
			}
			if p := b.Get("/recovery/password"); p.Location() != "/patient/recovery/question" {
				t.Errorf("past the question: %d", p.Status)
			}
		}
	})
}

func TestNewPasswordsAreJudged(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t))
	w.Person(accounttest.Email)
	b := w.browser()
	w.answered(b, w.link(accounttest.Email))
	b.Get("/recovery/password")
	for plain, says := range map[string]string{
		"":                         "Use at least 15 characters",
		"fourteen chars":           "Use at least 15 characters",
		"passwordpassword":         "That password is easy to guess. Try three unrelated words.",
		"maria.gomez@example.test": "That password is easy to guess. Try three unrelated words.",
		strings.Repeat("é", 257):   "Use at most 256 characters",
		strings.Repeat("x", 2000):  "Use at most 256 characters",
	} {
		p := choose(b, plain)
		if p.Status != http.StatusUnprocessableEntity || p.ByID("new-password-err") != says {
			t.Errorf("%.20q: %d %q", plain, p.Status, p.ByID("new-password-err"))
		}
		if plain != "" && plain != accounttest.Email && len(plain) < 1000 && strings.Contains(p.Body, plain) {
			t.Errorf("%.20q is on the page", plain)
		}
	}
	p := b.Post("/recovery/password", url.Values{"new-password": {accounttest.NewPassword}, "confirm-password": {"x"}})
	if p.ByID("confirm-password-err") != "The two passwords are not the same" {
		t.Errorf("%s", p.Text())
	}
	if p := choose(b, accounttest.NewPassword); p.Location() != "/patient/recovery/done" {
		t.Errorf("a mistake cost the link: %d", p.Status)
	}
}

func TestSecretsAreInNoLogAuditOrDatabase(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Person(accounttest.Email)
		link := w.link(accounttest.Email)
		b := w.browser()
		open(b, link)
		answer(b, "canary wrong answer")
		w.answered(b, link)
		flow := b.Cookie("recovery")
		choose(b, "canary weak")
		choose(b, accounttest.NewPassword)
		w.Deliver()
		token := strings.TrimPrefix(link, "/reset/")
		for _, where := range []struct{ name, text string }{{"log", w.Log.String()}, {"database", w.Dump()}} {
			for _, canary := range []string{token, flow, accounttest.NewPassword, accounttest.Password, "canary wrong answer", "canary weak",
				accounttest.Answer, "senor bigotes"} {
				if strings.Contains(where.text, canary) {
					t.Errorf("%q is in the %s", canary, where.name)
				}
			}
		}
		if !strings.Contains(w.Log.String(), "/reset/:token") {
			t.Error("the log is empty, so it proves nothing")
		}
	})
}

func TestTheLinkPageSaysWhoIsSignedIn(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t))
	w.Person(accounttest.Email)
	other := w.Person("someone.else@example.test")
	link := w.link(accounttest.Email)
	b := w.browser()
	w.SignIn(b, other)
	if p := b.Get(link); !strings.Contains(p.Text(), "You are signed in here as someone.else@example.test") {
		t.Errorf("%s", p.Text())
	}
	w.answered(b, link)
	if p := choose(b, accounttest.NewPassword); p.Location() != "/patient/recovery/done" {
		t.Errorf("status %d", p.Status)
	}
}

// Even a change that forgot to void the links does not leave them working.
func TestALinkIsBoundToEmailAndCredentialVersion(t *testing.T) {
	for name, change := range map[string]string{
		"credential version": `UPDATE accounts SET credential_version = credential_version + 1`,
		"email":              `UPDATE accounts SET login_email = 'moved@example.test'`,
		"state":              `UPDATE accounts SET state = 'disabled'`,
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, w *world) {
				w.Person(accounttest.Email)
				link := w.link(accounttest.Email)
				b := w.browser()
				w.answered(b, link)
				b.Get("/recovery/password")
				w.Exec(change)
				wantStatus(t, "the link", w.browser().Get(link), http.StatusGone)
				wantStatus(t, "the started recovery", choose(b, accounttest.NewPassword), http.StatusGone)
			})
		})
	}
}
