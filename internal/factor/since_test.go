package factor_test

import (
	"context"
	"net/url"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/database/dbtest"
)

var clinic = account.By{Actor: "account:0197a1f0-0000-7000-8000-000000000001", PracticeID: "0197a1f0-0000-7000-8000-000000000002", Practice: "Riverside Pediatrics"}

func (w *world) removeSince(at time.Time) (removed bool) {
	w.T.Helper()
	must(w.T, w.DB.InTx(context.Background(), func(ctx context.Context) (err error) {
		removed, err = w.factors.RemoveSince(ctx, w.Realm, w.maria.ID, at, clinic)
		return err
	}))
	return removed
}

func TestWhatWasAddedSinceATheftGoesAndTheRestStays(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := context.Background()
		other := w.Person("other@example.test")
		w.register(w.Realm, other, newKey(false))
		w.register(w.Realm, w.maria, newKey(false))
		dbtest.Advance(w.DB, time.Minute)
		if w.removeSince(w.DB.Now(ctx)) || w.Events("factor.removed") != 0 {
			t.Error("something older was removed")
		}
		// An app whose setup is older than the theft, and a passkey at its very time.
		setup, err := w.factors.BeginTOTP(ctx, w.Realm, w.maria, mine)
		must(t, err)
		dbtest.Advance(w.DB, time.Minute)
		var at time.Time
		must(t, w.DB.InTx(ctx, func(ctx context.Context) error {
			at = w.DB.Now(ctx)
			_, err := w.factors.FinishTOTP(ctx, w.Realm, w.maria, mine, w.codeAt(secretOf(setup), 0), w.by)
			return err
		}))
		w.register(w.Realm, w.maria, newKey(true))
		_, err = w.factors.BeginTOTP(ctx, w.Realm, w.maria, mine)
		must(t, err)
		if has := w.summary(w.maria); !has.TOTP || has.Passkeys != 2 || has.RecoveryCodes != 10 {
			t.Fatalf("%+v", has)
		}
		letters := w.Count(`SELECT COUNT(*) FROM mail_outbox`)
		if !w.removeSince(at) {
			t.Error("nothing was removed")
		}
		if has := w.summary(w.maria); has.TOTP || has.Passkeys != 1 || has.RecoveryCodes != 0 {
			t.Errorf("%+v", has)
		}
		if has := w.summary(other); has.Passkeys != 1 {
			t.Errorf("of somebody else: %+v", has)
		}
		if w.Count(`SELECT COUNT(*) FROM totp_setups`) != 0 || w.Count(`SELECT COUNT(*) FROM mail_outbox`) != letters ||
			w.Count(`SELECT COUNT(*) FROM audit_events WHERE kind = 'factor.removed' AND actor = $1 AND severity = 'high' AND details LIKE '%"totp":true%'`, clinic.Actor) != 1 {
			t.Error("a setup stays, or a letter was sent, or the trail says nothing")
		}
	})
}

// Codes that are older than the theft stand in for nothing once the factor goes.
func TestCodesDoNotOutliveTheLastFactor(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := context.Background()
		w.withApp(w.maria)
		dbtest.Advance(w.DB, time.Minute)
		at := w.DB.Now(ctx)
		setup, err := w.factors.BeginTOTP(ctx, w.Realm, w.maria, mine) // in the old one's place
		must(t, err)
		_, err = w.factors.FinishTOTP(ctx, w.Realm, w.maria, mine, w.codeAt(secretOf(setup), 0), w.by)
		must(t, err)
		if has := w.summary(w.maria); !has.TOTP || has.RecoveryCodes != 10 {
			t.Fatalf("%+v", has)
		}
		w.removeSince(at)
		if has := w.summary(w.maria); has.Any() || has.RecoveryCodes != 0 {
			t.Errorf("%+v", has)
		}
	})
}

// A thief who adds a passkey does not keep it when the person freezes the
// account with the notice of it and the practice opens it again.
func TestAPasskeyOfAThiefGoesWithTheFreeze(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := context.Background()
		w.Accounts.Connect(account.Peers{Grants: w.Grants, Tickets: w.Tickets, Factors: w.factors})
		own := w.register(w.Realm, w.maria, newKey(false))
		dbtest.Advance(w.DB, w.Realm.Lifetimes.FreezeLink) // the notice of her own has had its time
		thief := w.register(w.Realm, w.maria, newKey(false))
		link := w.LastFreezeLink(w.maria.LoginEmail)
		b := w.Browser(func(g *gin.Engine) { account.NewHandler(w.Pages, w.Accounts).Mount(g) })
		b.Get(link)
		b.Post(link, url.Values{})
		b.Get("/freeze/confirm")
		if p := b.Post("/freeze/confirm", url.Values{"decision": {"yes"}}); p.Location() != "/patient/freeze/done" {
			t.Fatalf("%d %s", p.Status, p.Location())
		}
		must(t, w.DB.InTx(ctx, func(ctx context.Context) error { return w.Accounts.Unfreeze(ctx, w.Realm, w.maria.ID, clinic) }))
		if has := w.summary(w.maria); has.Passkeys != 1 {
			t.Fatalf("%+v", has)
		}
		if _, err := w.factors.VerifyAssertion(ctx, w.Realm, herBrowser, own.get(t, here, w.ask(w.Realm, nil)), nil); err != nil {
			t.Errorf("her own: %v", err)
		}
		if _, err := w.factors.VerifyAssertion(ctx, w.Realm, herBrowser, thief.get(t, here, w.ask(w.Realm, nil)), nil); err == nil {
			t.Error("the thief's still works")
		}
	})
}

// A thief who adds a passkey and then changes the question does not keep the
// passkey because the person, or the operator, goes by the newest notice.
func TestAPasskeyOfAThiefGoesWhicheverNoticeIsUsed(t *testing.T) {
	for _, who := range []string{"the person", "the operator"} {
		t.Run(who, func(t *testing.T) {
			each(t, func(t *testing.T, w *world) {
				ctx := context.Background()
				w.Accounts.Connect(account.Peers{Grants: w.Grants, Tickets: w.Tickets, Factors: w.factors})
				dbtest.Advance(w.DB, time.Minute)
				thief := w.register(w.Realm, w.maria, newKey(false))
				dbtest.Advance(w.DB, time.Minute)
				a, err := w.Accounts.Find(ctx, w.Realm.Name, w.maria.ID)
				must(t, err)
				must(t, w.Accounts.SetQuestion(ctx, w.Realm, a, "first_concert", "los tigres", account.By{Actor: a.Actor()}))
				dbtest.Advance(w.DB, time.Minute)
				if who == "the person" {
					b := w.Browser(func(g *gin.Engine) { account.NewHandler(w.Pages, w.Accounts).Mount(g) })
					link := w.LastFreezeLink(w.maria.LoginEmail)
					b.Get(link)
					b.Post(link, url.Values{})
					b.Get("/freeze/confirm")
					b.Post("/freeze/confirm", url.Values{"decision": {"yes"}})
				} else {
					must(t, w.Accounts.Freeze(ctx, w.Realm, w.maria.ID, account.By{Actor: "system"}))
				}
				if gone, err := w.Accounts.UnfreezingRemoves(ctx, w.Realm, w.maria.ID); err != nil || !gone.Factors || !gone.Question {
					t.Errorf("it is not known before: %+v %v", gone, err)
				}
				must(t, w.DB.InTx(ctx, func(ctx context.Context) error { return w.Accounts.Unfreeze(ctx, w.Realm, w.maria.ID, clinic) }))
				if has := w.summary(w.maria); has.Passkeys != 0 {
					t.Errorf("%+v", has)
				}
				if _, err := w.factors.VerifyAssertion(ctx, w.Realm, herBrowser, thief.get(t, here, w.ask(w.Realm, nil)), nil); err == nil {
					t.Error("the thief's still works")
				}
			})
		})
	}
}

// What would be removed is known before, by each sort, and no more.
func TestWhatWasAddedSinceIsKnown(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := context.Background()
		added := func(at time.Time) bool {
			t.Helper()
			is, err := w.factors.AddedSince(ctx, w.maria.ID, at)
			must(t, err)
			return is
		}
		before := w.DB.Now(ctx)
		w.register(w.Realm, w.Person("other@example.test"), newKey(false))
		if added(before) {
			t.Error("somebody else's")
		}
		w.register(w.Realm, w.maria, newKey(false))
		if !added(before) {
			t.Error("a passkey")
		}
		dbtest.Advance(w.DB, time.Minute)
		before = w.DB.Now(ctx)
		if added(before) {
			t.Error("an older passkey")
		}
		setup, err := w.factors.BeginTOTP(ctx, w.Realm, w.maria, mine)
		must(t, err)
		if added(before) {
			t.Error("what is not confirmed")
		}
		_, err = w.factors.FinishTOTP(ctx, w.Realm, w.maria, mine, w.codeAt(secretOf(setup), 0), w.by)
		must(t, err)
		if !added(before) {
			t.Error("an app")
		}
		w.Exec(`DELETE FROM totp_secrets`)
		if !added(before) {
			t.Error("codes")
		}
		w.removeSince(before)
		if added(before) {
			t.Error("after they are removed")
		}
	})
}
