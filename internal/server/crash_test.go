package server_test

import (
	"context"
	"math/rand/v2"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/demo/seed"
)

// look opens the database beside the server, or of a server that is dead.
func (c *child) look(t *testing.T, query string, args ...any) (n int64) {
	t.Helper()
	db, err := database.Open(context.Background(), c.dsn, database.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRow(context.Background(), query, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

// delivered waits until the outbox is empty and insists that the letter came,
// at most twice, and the second time under the same Message-ID.
func (c *child) delivered(t *testing.T, address, what string) letter {
	t.Helper()
	eventually(t, "no letter waits any more", func() bool {
		return c.look(t, `SELECT COUNT(*) FROM recovery_requests WHERE processed_at IS NULL`) == 0 &&
			c.look(t, `SELECT COUNT(*) FROM mail_outbox WHERE state = 'queued'`) == 0
	})
	got := c.mail.to(address, what)
	if len(got) < 1 || len(got) > 2 || len(once(got)) != 1 {
		t.Fatalf("%d letters, %d different ones", len(got), len(once(got)))
	}
	return got[0]
}

func TestNothingAcknowledgedIsLost(t *testing.T) {
	t.Parallel()
	t.Run("forgot password", func(t *testing.T) {
		t.Parallel()
		c := newChild(t)
		who := seededPerson(t, "patient", "ngozi.okafor@example.test")
		c.start(t)
		b := c.browser(t)
		answer := b.submit(b.open(c.issuer("patient")+"/forgot"), "email", who.email)
		c.kill()
		if answer.status != http.StatusSeeOther {
			t.Fatalf("%d", answer.status)
		}
		c.revive(t)
		l := c.delivered(t, who.email, resetLetter)
		b = c.browser(t)
		last := c.answered(t, b, l.link(t), who)
		answer = b.submit(last, "new-password", "after the crash walnut", "confirm-password", "after the crash walnut")
		c.kill()
		c.revive(t)
		if answer.status != http.StatusSeeOther || !c.canSignIn(t, who, "after the crash walnut") || c.canSignIn(t, who, who.password) {
			t.Error("the new password was lost")
		}
		c.delivered(t, who.email, noticeLetter)
		c.browser(t).open(l.link(t)).want(t, http.StatusGone, gone)
	})
	t.Run("staff reset", func(t *testing.T) {
		t.Parallel()
		c := newChild(t)
		who := seededPerson(t, "patient", "j.blake@example.test")
		for _, a := range seed.Demo().Associations {
			if a.AccountID == who.id {
				who.association = a.ID
			}
		}
		c.start(t)
		access := c.admin(t, seededPerson(t, "practice", "dana.whitfield@maple.example.test"))
		send := func() reply {
			return c.api(t, access, "POST", "/associations/"+who.association.String()+"/password-resets",
				map[string]any{"confirm_login_email": who.email, "reason": "called in"}, "Idempotency-Key", "k")
		}
		sent := send()
		c.kill()
		if sent.status != http.StatusAccepted {
			t.Fatalf("%d %s", sent.status, sent.body)
		}
		c.revive(t)
		if again := send(); again.get("id") != sent.get("id") || again.header.Get("Idempotency-Replayed") != "true" {
			t.Errorf("the repetition made another reset: %d %s", again.status, again.body)
		}
		l := c.delivered(t, who.email, resetLetter)
		if r := c.api(t, access, "GET", "/password-resets/"+sent.get("id"), nil); r.get("state") != "sent" {
			t.Errorf("staff see %s", r.body)
		}
		b := c.browser(t)
		c.answered(t, b, l.link(t), who)
	})
	t.Run("change of a password", func(t *testing.T) {
		t.Parallel()
		c := newChild(t)
		who := seededPerson(t, "practice", "marcus.hall@juniper.example.test")
		const chosen = "after the crash walnut"
		c.start(t)
		b := c.browser(t)
		had := c.party(t, "practice", "portal").signIn(b, who)
		form := b.open(c.issuer("practice") + "/account/password")
		answer := b.submit(form, "current-password", who.password, "new-password", chosen, "confirm-password", chosen)
		c.kill()
		if answer.status != http.StatusSeeOther {
			t.Fatalf("%d %s", answer.status, answer.says())
		}
		c.revive(t)
		if b.open(c.issuer("practice")+"/account").h1() != "My Account" {
			t.Error("the new session was lost")
		}
		refusedGrant(t, c.party(t, "practice", "portal").renew(t, had.refresh))
		if !c.canSignIn(t, who, chosen) || c.canSignIn(t, who, who.password) {
			t.Error("the new password was lost")
		}
		c.delivered(t, who.email, noticeLetter)
	})
}

func TestAKillDuringAChangeLeavesOneValidPassword(t *testing.T) {
	t.Parallel()
	c := newChild(t)
	who := seededPerson(t, "patient", "petra.novak@example.test")
	c.start(t)
	changes, took := int64(0), time.Hour
	for i := range 12 { // the first two are not killed and tell how long one takes
		b := c.browser(t)
		b.send(b.open(c.issuer("patient")+"/signin"), "email", who.email, "password", who.password).want(t, 200, "My Account")
		action, fields := b.open(c.issuer("patient")+"/account/password").form(t, "")
		next := "walnut number " + randomText(9)
		for name, value := range map[string]string{"current-password": who.password, "new-password": next, "confirm-password": next} {
			fields.Set(name, value)
		}
		acknowledged, began := make(chan bool, 1), time.Now()
		go func() { acknowledged <- c.changed(b, action, fields) }()
		var done bool
		if i < 2 {
			done = <-acknowledged
			took = min(took, time.Since(began))
		} else {
			time.Sleep(time.Duration(rand.Int64N(int64(took) * 5 / 4)))
			c.kill()
			done = <-acknowledged
			c.start(t)
		}
		old, new := c.canSignIn(t, who, who.password), c.canSignIn(t, who, next)
		if old == new || done && !new {
			t.Fatalf("round %d: acknowledged %v, the old password works %v, the new one %v", i, done, old, new)
		}
		if new {
			changes++
			who.password = next
		}
		if n := c.look(t, `SELECT COUNT(*) FROM mail_outbox WHERE account_id = $1`, who.id); n != changes {
			t.Errorf("round %d: %d notices of %d changes", i, n, changes)
		}
		if n := c.look(t, `SELECT COUNT(*) FROM audit_events WHERE kind = 'password.changed' AND target = $1`, "account:"+who.id.String()); n != changes {
			t.Errorf("round %d: %d events of %d changes", i, n, changes)
		}
	}
	t.Logf("%d of 12 changes were made before the kill; one takes %s", changes, took.Round(time.Millisecond))
}

// changed sends the form to a server that may die meanwhile.
func (c *child) changed(b *browser, action string, fields url.Values) bool {
	answer, err := b.try(http.MethodPost, action, fields, "same-origin")
	return err == nil && answer.status == http.StatusSeeOther
}
