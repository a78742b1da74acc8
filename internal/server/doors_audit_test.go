package server_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/portico-id/portico/internal/database"
)

// event is a row of the audit trail.
type event struct{ kind, actor, target, practice, ip, outcome string }

func (w *world) events(t testing.TB) []event {
	t.Helper()
	rows, err := w.db().Query(context.Background(), `
		SELECT kind, actor, target, COALESCE(practice_id, ''), ip, outcome FROM audit_events ORDER BY id`)
	all, err := database.Collect(rows, err, func(r *database.Rows) (e event, err error) {
		return e, r.Scan(&e.kind, &e.actor, &e.target, &e.practice, &e.ip, &e.outcome)
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Whoever reads the trail sees who did what to whom, from where, and whether
// it worked.
func TestEveryFlowLeavesItsEvents(t *testing.T) {
	eachAlone(t, options{}, func(t *testing.T, w *world) {
		guardian := w.guardian(t)
		dana := w.staff(t, maple, "administrator")
		who, staff := "account:"+guardian.id.String(), "account:"+dana.id.String()
		b, p := w.browser(t), w.party(t, "patient", "native")
		b.send(b.open(w.issuer("patient")+"/signin"), "email", guardian.email, "password", "not the walnut")
		b.send(b.open(w.issuer("patient")+"/signin"), "email", "nobody@example.test", "password", "not the walnut")
		got := p.signIn(b, guardian)
		stale := p.renew(t, got.refresh)
		p.renew(t, stale.get("refresh_token"))
		p.renew(t, got.refresh) // reuse
		access := w.admin(t, dana)
		path := "/associations/" + guardian.association.String()
		sent := w.api(t, access, "POST", path+"/password-resets", map[string]any{"confirm_login_email": guardian.email, "reason": "called in"}, "Idempotency-Key", "k")
		if sent.status != http.StatusAccepted {
			t.Fatalf("%d %s", sent.status, sent.body)
		}
		link := w.mail.wait(t, guardian.email, resetLetter, 1).link(t)
		mail := w.browser(t)
		question := mail.send(mail.open(link))
		question = mail.send(question, "answer", "not this")
		choose(mail, mail.send(question, "answer", guardian.answer), guardian.other).want(t, 200, "Your password is changed")
		w.mail.wait(t, guardian.email, noticeLetter, 1)
		w.forget(t, w.browser(t), w.person(t, "patient"), 1)

		for _, want := range []event{
			{"signin.failed", "anonymous", who, "", "ip", "failure"},
			{"signin.failed", "anonymous", "", "", "ip", "failure"},
			{"signin.succeeded", who, who, "", "ip", "success"},
			{"grant.created", who, "client:native", "", "ip", "success"},
			{"token.reuse_detected", "", who, "", "ip", "failure"},
			{"admin.reset_sent", staff, who, maple.ID.String(), "ip", "success"},
			{"recovery.staff_requested", staff, who, maple.ID.String(), "ip", "success"},
			{"recovery.opened", "", who, "", "ip", "success"},
			{"recovery.answer_failed", "", who, "", "ip", "failure"},
			{"recovery.answered", "", who, "", "ip", "success"},
			{"recovery.completed", "", who, "", "ip", "success"},
			{"password.changed", "", who, "", "ip", "success"},
			{"recovery.requested", "anonymous", "", "", "ip", "success"},
			{"key.made", "system", "", "", "", "success"},
		} {
			found := false
			var like []event
			for _, e := range w.events(t) {
				if e.kind != want.kind {
					continue
				}
				like = append(like, e)
				found = found || (want.actor == "" || e.actor == want.actor) && (want.target == "" || e.target == want.target) &&
					(want.practice == "" || e.practice == want.practice) && (want.ip == "" || e.ip != "") && e.outcome == want.outcome
			}
			if !found {
				t.Errorf("no event like %+v among %+v", want, like)
			}
		}
		eventually(t, "the letters are on record", func() bool {
			return w.count(t, `SELECT COUNT(*) FROM audit_events WHERE kind LIKE 'mail.%' OR kind = 'recovery.link_sent'`) >= 2
		})
	})
}

// What cannot be recorded does not happen.
func TestWithoutTheTrailNothingIsDone(t *testing.T) {
	eachAlone(t, options{}, func(t *testing.T, w *world) {
		guardian := w.guardian(t)
		access := w.admin(t, w.staff(t, maple, "administrator"))
		p, b := w.party(t, "patient", "native"), w.browser(t)
		p.signIn(b, guardian)
		mail := w.browser(t)
		last := w.answered(t, mail, w.forget(t, mail, guardian, 1).link(t), guardian)
		form := b.open(w.issuer("patient")+"/account/password").want(t, 200, "Change password")
		fresh := w.browser(t)
		signIn := fresh.open(w.issuer("patient") + "/signin")
		ctx := context.Background()
		if _, err := w.db().Exec(ctx, `ALTER TABLE audit_events RENAME TO audit_events_away`); err != nil {
			t.Fatal(err)
		}
		before := w.count(t, `SELECT COUNT(*) FROM mail_outbox`)
		for what, got := range map[string]int{
			"sign-in":         fresh.submit(signIn, "email", guardian.email, "password", guardian.password).status,
			"a wrong sign-in": w.browser(t).submitTo(signIn, fresh, "email", guardian.email, "password", "not the walnut").status,
			"a change":        b.submit(form, "current-password", guardian.password, "new-password", guardian.other, "confirm-password", guardian.other).status,
			"a reset":         mail.submit(last, "new-password", guardian.other, "confirm-password", guardian.other).status,
			"a staff reset": w.api(t, access, "POST", "/associations/"+guardian.association.String()+"/password-resets",
				map[string]any{"confirm_login_email": guardian.email, "reason": "called in"}, "Idempotency-Key", "k").status,
		} {
			if got < 500 {
				t.Errorf("%s is answered %d", what, got)
			}
		}
		if fresh.cookie("patient", "") != "" {
			t.Error("somebody is signed in")
		}
		if n := w.count(t, `SELECT COUNT(*) FROM mail_outbox`); n != before {
			t.Errorf("%d letters more", n-before)
		}
		if _, err := w.db().Exec(ctx, `ALTER TABLE audit_events_away RENAME TO audit_events`); err != nil {
			t.Fatal(err)
		}
		if !w.canSignIn(t, guardian, guardian.password) || w.canSignIn(t, guardian, guardian.other) {
			t.Error("the password was changed without a trace")
		}
	})
}

// submitTo sends a form that another browser has opened.
func (b *browser) submitTo(p *page, opener *browser, pairs ...string) *page {
	b.jar = opener.jar.clone()
	return b.submit(p, pairs...)
}

// No default secret, and libraries that are known to be mended.
func TestKnownHolesOfLibrariesAreClosed(t *testing.T) {
	t.Parallel()
	for module, least := range map[string][3]int{"github.com/go-jose/go-jose/v3": {3, 0, 4}, "github.com/go-jose/go-jose/v4": {4, 0, 5}} {
		version := moduleVersion(t, module)
		if !atLeast(t, version, least) {
			t.Errorf("%s is %s, older than v%d.%d.%d", module, strings.TrimSpace(version), least[0], least[1], least[2])
		}
	}
}
