package server_test

import (
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"
)

const racers = 32

// together runs fn for all racers at once.
func together(fn func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range racers {
		wg.Go(func() {
			<-start
			fn(i)
		})
	}
	close(start)
	wg.Wait()
}

// refusedGrant insists that a loser learns no more than anybody else would.
func refusedGrant(t *testing.T, r reply) {
	t.Helper()
	if r.status != http.StatusBadRequest || r.get("error") != "invalid_grant" || r.header.Get("Cache-Control") != "no-store" ||
		r.get("access_token")+r.get("refresh_token")+r.get("id_token") != "" {
		t.Errorf("a loser is answered %d %s", r.status, r.body)
	}
}

func TestOneOf32RedemptionsOfACodeWins(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for _, client := range []string{"native", "spa"} {
			t.Run(client, func(t *testing.T) {
				who, p, b := w.person(t, "patient"), w.party(t, "patient", client), w.browser(t)
				a := p.begin()
				code := p.code(t, a, p.enter(b, a, who, who.password))
				replies := make([]reply, racers)
				together(func(i int) { replies[i] = p.redeem(t, a, code) })
				var won []reply
				for _, r := range replies {
					if r.status == http.StatusOK {
						won = append(won, r)
						continue
					}
					refusedGrant(t, r)
				}
				if len(won) != 1 {
					t.Fatalf("%d of %d redemptions won", len(won), racers)
				}
				// A code that is presented twice ends what came of it (RFC 6749 §4.1.2).
				refusedGrant(t, p.renew(t, won[0].get("refresh_token")))
				if r := p.userinfo(t, won[0].get("access_token")); r.status != http.StatusUnauthorized {
					t.Errorf("the winner's access token goes on: %d", r.status)
				}
				if n := w.count(t, `SELECT COUNT(*) FROM audit_events WHERE kind = 'token.reuse_detected' AND target = $1`,
					"account:"+who.id.String()); n == 0 {
					t.Error("no alarm")
				}
			})
		}
	})
}

func TestOneOf32RefreshesOfAPublicClientWins(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		who, p := w.person(t, "patient"), w.party(t, "patient", "spa")
		had := p.signIn(w.browser(t), who)
		replies := make([]reply, racers)
		together(func(i int) { replies[i] = p.renew(t, had.refresh) })
		won := 0
		for _, r := range replies {
			if r.status != http.StatusOK {
				refusedGrant(t, r)
				continue
			}
			won++
			// The others were reuse, so the whole family is over.
			refusedGrant(t, p.renew(t, r.get("refresh_token")))
			if got := p.userinfo(t, r.get("access_token")); got.status != http.StatusUnauthorized {
				t.Errorf("the winner's access token goes on: %d", got.status)
			}
		}
		if won != 1 {
			t.Errorf("%d of %d refreshes won", won, racers)
		}
	})
}

// A confidential client that lost an answer may ask again for a few seconds
// and gets the very same successor (FAPI 2.0 §5.3.2.1): one token is live.
func TestOf32RefreshesOfAConfidentialClientOneTokenIsLeft(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		who, p := w.person(t, "patient"), w.party(t, "patient", "native")
		had := p.signIn(w.browser(t), who)
		replies := make([]reply, racers)
		together(func(i int) { replies[i] = p.renew(t, had.refresh) })
		successors, won := map[string]bool{}, 0
		for _, r := range replies {
			if r.status != http.StatusOK {
				refusedGrant(t, r)
				continue
			}
			won++
			successors[r.get("refresh_token")] = true
		}
		if won == 0 || len(successors) != 1 {
			t.Fatalf("%d answers, %d different refresh tokens", won, len(successors))
		}
		if n := w.count(t, `SELECT COUNT(*) FROM refresh_tokens t JOIN grants g ON g.id = t.grant_id
			WHERE g.account_id = $1 AND t.used_at IS NULL AND g.revoked_at IS NULL`, who.id); n != 1 {
			t.Fatalf("%d tokens are live", n)
		}
		for token := range successors {
			if r := p.renew(t, token); r.status != http.StatusOK {
				t.Errorf("the successor does not work: %s", r.body)
			}
		}
		refusedGrant(t, p.renew(t, had.refresh)) // older than the predecessor now: reuse
		for token := range successors {
			refusedGrant(t, p.renew(t, token))
		}
	})
}

func TestOneOf32RedemptionsOfAResetLinkWins(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		who := w.person(t, "patient")
		link := w.forget(t, w.browser(t), who, 1).link(t)
		type try struct {
			b      *browser
			action string
			form   url.Values
			answer *page
			chosen string
		}
		tries := make([]*try, 0, racers)
		for range 4 { // four browsers with eight tabs each
			b := w.browser(t)
			p := w.answered(t, b, link, who)
			for range racers / 4 {
				one := &try{b: b.tab(), chosen: fmt.Sprintf("racer %d %s", len(tries), randomText(9))}
				one.action, one.form = p.form(t, "", "new-password", one.chosen, "confirm-password", one.chosen)
				tries = append(tries, one)
			}
		}
		together(func(i int) {
			for { // a queue that is full says 503: nothing was changed, try again
				tries[i].answer = tries[i].b.post(tries[i].action, tries[i].form)
				if tries[i].answer.status != http.StatusServiceUnavailable {
					return
				}
				time.Sleep(100 * time.Millisecond)
			}
		})
		var winner *try
		for _, one := range tries {
			switch {
			case one.answer.location != nil && one.answer.location.Path == "/patient/recovery/done":
				if winner != nil {
					t.Error("two won")
				}
				winner = one
			default:
				one.answer.want(t, http.StatusGone, "This link no longer works")
			}
		}
		if winner == nil {
			t.Fatal("nobody won")
		}
		winner.b.follow(winner.answer).want(t, 200, "Your password is changed")
		if !w.canSignIn(t, who, winner.chosen) || w.canSignIn(t, who, who.password) {
			t.Error("the password is not the winner's")
		}
		if n := w.count(t, `SELECT COUNT(*) FROM audit_events WHERE kind = 'password.changed' AND target = $1`, "account:"+who.id.String()); n != 1 {
			t.Errorf("the password was changed %d times", n)
		}
		w.mail.wait(t, who.email, noticeLetter, 1)
		if n := w.count(t, `SELECT COUNT(*) FROM mail_outbox WHERE account_id = $1 AND kind = 'password_changed'`, who.id); n != 1 {
			t.Errorf("%d notices", n)
		}
	})
}

func TestOf32ResetsWithOneKeyOneIsSent(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		guardian := w.guardian(t)
		access := w.admin(t, w.staff(t, maple, "front_desk"))
		ids := make([]string, racers)
		together(func(i int) {
			r := w.api(t, access, "POST", "/associations/"+guardian.association.String()+"/password-resets",
				map[string]any{"confirm_login_email": guardian.email, "reason": "called in"}, "Idempotency-Key", "the-same")
			if r.status != http.StatusAccepted {
				t.Errorf("%d %s", r.status, r.body)
			}
			ids[i] = r.get("id")
		})
		for _, id := range ids {
			if id != ids[0] {
				t.Fatalf("two resets: %v", ids)
			}
		}
		w.mail.wait(t, guardian.email, resetLetter, 1)
		if n := w.count(t, `SELECT COUNT(*) FROM mail_outbox WHERE account_id = $1`, guardian.id); n != 1 {
			t.Errorf("%d letters", n)
		}
	})
}

func TestOf32ChangesOfAPasswordOneIsMade(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		who, b := w.person(t, "patient"), w.browser(t)
		w.party(t, "patient", "portal").signIn(b, who)
		p := b.open(w.issuer("patient") + "/account/password")
		chosen := func(i int) string { return fmt.Sprintf("%s %d", who.other, i) }
		answers := make([]*page, racers)
		together(func(i int) {
			action, form := p.form(t, "", "current-password", who.password, "new-password", chosen(i), "confirm-password", chosen(i))
			answers[i] = b.tab().post(action, form)
		})
		var won []int
		for i, answer := range answers {
			switch {
			case answer.location != nil && answer.location.Path == "/patient/account":
				won = append(won, i)
			case answer.location != nil && answer.location.Path == "/patient/signin": // the winner ended the session
			case answer.status == http.StatusUnprocessableEntity, answer.status == http.StatusServiceUnavailable:
			default:
				t.Errorf("a loser is answered %d %q", answer.status, answer.h1())
			}
		}
		if len(won) != 1 || !w.canSignIn(t, who, chosen(won[0])) {
			t.Errorf("%d changes were made", len(won))
		}
	})
}
