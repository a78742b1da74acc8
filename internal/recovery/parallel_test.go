package recovery_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portico-id/portico/internal/account/accounttest"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/recovery"
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
