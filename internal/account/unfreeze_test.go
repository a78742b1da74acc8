package account_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/account/accounttest"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/session"
)

// since remembers from when on second factors were removed.
type since struct {
	seconds
	at  []time.Time
	had bool
}

func (s *since) RemoveSince(_ context.Context, _ *realm.Realm, _ uuid.UUID, at time.Time, _ account.By) (bool, error) {
	s.at = append(s.at, at)
	return s.had, nil
}

func unfreeze(t *testing.T, w *accounttest.World, a account.Account) {
	t.Helper()
	if err := w.DB.InTx(ctx, func(ctx context.Context) error { return w.Accounts.Unfreeze(ctx, w.Realm, a.ID, staff) }); err != nil {
		t.Fatal(err)
	}
}

func setQuestion(t *testing.T, w *accounttest.World, a account.Account) {
	t.Helper()
	if err := w.Accounts.SetQuestion(ctx, w.Realm, find(t, w, a.ID), "first_concert", "los tigres", account.By{Actor: a.Actor()}); err != nil {
		t.Fatal(err)
	}
}

func has(t *testing.T, w *accounttest.World, a account.Account) bool {
	t.Helper()
	_, has, err := w.Accounts.Question(ctx, a.ID)
	if err != nil {
		t.Fatal(err)
	}
	return has
}

// said is the newest letter to an address.
func said(w *accounttest.World, email string) (text string) {
	w.Deliver()
	for _, m := range w.Post.All() {
		if m.To == email {
			text = m.Content.Subject + "\n" + m.Content.Text
		}
	}
	return text
}

func TestWhatAThiefKnowsOrHasSetDoesNotOutliveTheFreeze(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		factors := &since{had: true}
		w.Accounts.Connect(account.Peers{Grants: w.Grants, Tickets: w.Tickets, Factors: factors})
		a := w.Person(accounttest.Email)
		thief := w.Browser(mount(w))
		w.SignIn(thief, a)
		dbtest.Advance(w.DB, time.Hour)
		at := w.DB.Now(ctx)
		setQuestion(t, w, a)
		link := w.LastFreezeLink(accounttest.Email)
		dbtest.Advance(w.DB, time.Hour)
		freeze(w, link)
		got := find(t, w, a.ID)
		if got.FrozenNoticeAt == nil || got.FrozenNoticeAt.Before(at) || got.FrozenNoticeAt.After(at.Add(time.Minute)) || !got.FrozenAt.After(got.FrozenNoticeAt.Add(30*time.Minute)) {
			t.Fatalf("%v %v", got.FrozenNoticeAt, got.FrozenAt)
		}
		if w.Count(`SELECT COUNT(*) FROM password_credentials`) != 1 || !has(t, w, a) || len(factors.at) != 0 {
			t.Error("taken away before the practice knows who is who")
		}
		unfreeze(t, w, a)
		after := find(t, w, a.ID)
		if after.FrozenAt != nil || after.FrozenNoticeAt != nil || after.State != account.Active || after.CredentialVersion == got.CredentialVersion {
			t.Errorf("%+v", after)
		}
		if w.CanSignIn(accounttest.Email, accounttest.Password) || has(t, w, a) || len(factors.at) != 1 || !factors.at[0].Equal(*got.FrozenNoticeAt) {
			t.Errorf("the password or the question of the thief stay, or the second factors: %v", factors.at)
		}
		_, err := w.Accounts.Authenticate(ctx, w.Realm, accounttest.Email, accounttest.Password)
		var refusal *account.Refusal
		if !errors.Is(err, account.ErrCredentials) || !errors.As(err, &refusal) || refusal.Why != "no_password" {
			t.Errorf("%v", err)
		}
		letter := said(w, accounttest.Email)
		for _, says := range []string{"is unlocked", "Riverside Pediatrics unlocked it", "old password does not work any more", "/patient/forgot", "no security question now", "Call 555-0100",
			"removed the second steps", "/patient/freeze/"} {
			if !strings.Contains(letter, says) {
				t.Errorf("%q is not in %s", says, letter)
			}
		}
		if w.Count(`SELECT COUNT(*) FROM audit_events WHERE kind = 'account.unfrozen' AND details LIKE '%password%question%second factors%'`) != 1 {
			t.Error("events")
		}
		// Closing and opening it again leads around no question either.
		by := account.By{Actor: "system"}
		if _, _, err := w.Sessions.Start(ctx, w.Realm, a.ID, session.Device{}, account.PasswordMethod); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(w.Accounts.SignedIn(ctx, after), w.Accounts.Disable(ctx, w.Realm, a.ID, by), w.Accounts.Enable(ctx, w.Realm, a.ID, by)); err != nil {
			t.Fatal(err)
		}
		if err := w.Accounts.Invite(ctx, w.Realm, a.ID, by); !errors.Is(err, account.ErrState) {
			t.Errorf("an invitation: %v", err)
		}
	})
}

func TestWhatIsOlderThanTheNoticeStays(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		a := w.Person(accounttest.Email)
		dbtest.Advance(w.DB, time.Hour)
		replace(t, w, a, accounttest.NewPassword)
		freeze(w, w.LastFreezeLink(accounttest.Email))
		unfreeze(t, w, a)
		if !has(t, w, a) || w.CanSignIn(accounttest.Email, accounttest.NewPassword) || w.CanSignIn(accounttest.Email, accounttest.Password) {
			t.Error("the question went, or a password stays")
		}
		letter := said(w, accounttest.Email)
		if strings.Contains(letter, "no security question") || strings.Contains(letter, "second steps") || !strings.Contains(letter, "old password does not work") {
			t.Errorf("%s", letter)
		}
	})
}

// A thief who changed the email gets the later notices, and may freeze the
// account with one of them: what was set before it would be taken for hers.
func TestTheOldestNoticeCountsWhicheverIsUsed(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		a := w.Person(accounttest.Email)
		dbtest.Advance(w.DB, time.Minute)
		began := w.DB.Now(ctx)
		replace(t, w, a, accounttest.NewPassword)
		first := w.LastFreezeLink(accounttest.Email)
		dbtest.Advance(w.DB, time.Minute)
		setQuestion(t, w, a)
		dbtest.Advance(w.DB, time.Minute)
		last := find(t, w, a.ID)
		if _, err := w.Accounts.ChangeEmail(ctx, w.Realm, a.ID, last.Version, "thief@evil.example.test", account.By{Actor: a.Actor()}); err != nil {
			t.Fatal(err)
		}
		hash, err := w.Accounts.HashPassword(ctx, w.Realm, a, "yet another long password")
		if err != nil {
			t.Fatal(err)
		}
		dbtest.Advance(w.DB, time.Minute)
		if err := w.DB.InTx(ctx, func(ctx context.Context) error {
			return w.Accounts.ReplacePassword(ctx, w.Realm, a.ID, hash, account.Reason{Why: account.Change, By: account.By{Actor: a.Actor()}})
		}); err != nil {
			t.Fatal(err)
		}
		freeze(w, w.LastFreezeLink("thief@evil.example.test"))
		if since := *find(t, w, a.ID).FrozenNoticeAt; since.After(began.Add(time.Second)) {
			t.Errorf("from %s on, the first notice was of %s", since, began)
		}
		for _, link := range []string{first, w.LastFreezeLink("thief@evil.example.test")} {
			if p := w.Browser(mount(w)).Get(link); p.H1() != locked {
				t.Errorf("the account is locked already: %q", p.H1())
			}
		}
		unfreeze(t, w, a)
		if has(t, w, a) {
			t.Error("the question of the thief stays")
		}
	})
}

func TestAnotherAddressOfLateIsToldOfTheUnfreezing(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		a, _, link := stolen(t, w)
		freeze(w, link)
		old := len(subjects(w, accounttest.Email))
		unfreeze(t, w, a)
		got := subjects(w, accounttest.Email)
		if len(got) != old+1 || got[old] != "A Maple Clinic account of yours was unlocked" {
			t.Fatalf("to the old address: %q", got)
		}
		letter := said(w, accounttest.Email)
		if strings.Contains(letter, "http") && strings.Contains(letter, "/freeze/") || strings.Contains(letter, "/patient/") || strings.Contains(letter, "evil") || !strings.Contains(letter, "555-0100") {
			t.Errorf("%s", letter)
		}
		if got := subjects(w, "thief@evil.example.test"); got[len(got)-1] != "Your Maple Clinic account is unlocked" {
			t.Errorf("%q", got)
		}
		// Long ago is no news.
		w.Exec(`UPDATE former_emails SET replaced_at = $2 WHERE account_id = $1`, a.ID, w.DB.Now(ctx).Add(-w.Realm.Recovery.RecentEmailChange-time.Minute))
		if err := w.Accounts.Freeze(ctx, w.Realm, a.ID, staff); err != nil {
			t.Fatal(err)
		}
		unfreeze(t, w, a)
		if got := subjects(w, accounttest.Email); len(got) != old+1 {
			t.Errorf("%q", got)
		}
	})
}

func TestUnfreezingIsOneTransaction(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		a := w.Person(accounttest.Email)
		if err := w.Accounts.Freeze(ctx, w.Realm, a.ID, staff); err != nil {
			t.Fatal(err)
		}
		w.Exec(`DROP TABLE audit_unchained`)
		if err := w.Accounts.Unfreeze(ctx, w.Realm, a.ID, staff); err == nil {
			t.Error("opened without a record of it")
		}
		if find(t, w, a.ID).FrozenAt == nil || w.Count(`SELECT COUNT(*) FROM password_credentials`) != 1 || !has(t, w, a) {
			t.Error("half of it happened")
		}
	})
}

// The practice helps while somebody goes on and on with the link of a notice:
// whatever comes first, nothing breaks, and afterwards the account is open.
func TestUnfreezingRacesWithTheLinkOfANotice(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		a, _, link := stolen(t, w)
		freeze(w, link)
		var wg sync.WaitGroup
		for range 8 {
			b := w.Browser(mount(w))
			csrf := csrfOf(b)
			wg.Go(func() {
				for _, path := range []string{link, "/freeze/confirm", link, "/freeze/confirm"} {
					if p := b.Post(path, url.Values{"csrf": {csrf}, "decision": {"yes"}}); p.Status != http.StatusSeeOther && p.Status != http.StatusGone {
						t.Errorf("%s: %d", path, p.Status)
					}
				}
			})
		}
		wg.Go(func() { unfreeze(t, w, a) })
		wg.Wait()
		if find(t, w, a.ID).FrozenAt != nil || w.CanSignIn("thief@evil.example.test", accounttest.Password) {
			t.Error("frozen again, or the password works")
		}
	})
}

// Nobody finds out by the time it takes that the practice took a password away.
func TestNoPasswordCostsAsMuchAsAWrongOne(t *testing.T) {
	w := accounttest.New(t, dbtest.SQLite(t))
	none := w.Person("none@example.test")
	w.Person(accounttest.Email)
	if err := w.Accounts.Freeze(ctx, w.Realm, none.ID, staff); err != nil {
		t.Fatal(err)
	}
	unfreeze(t, w, none)
	if wrong, nothing := hashes(t, w, accounttest.Email, "wrong"), hashes(t, w, "none@example.test", accounttest.Password); wrong != 1 || nothing != 1 {
		t.Errorf("%d hashes for a wrong password, %d for none", wrong, nothing)
	}
}

// With a passkey that is older than the theft somebody signs in without a
// password, and finds the way to one.
func TestMyAccountWithoutAPasswordLeadsToOne(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		a := w.Person(accounttest.Email)
		dbtest.Advance(w.DB, time.Minute)
		setQuestion(t, w, a)
		freeze(w, w.LastFreezeLink(accounttest.Email))
		unfreeze(t, w, a)
		b := w.Browser(mount(w))
		w.SignIn(b, a)
		p := b.Get("/account")
		if !strings.Contains(p.Text(), "None. Choose one with a link") || p.Link("Get a password link") != "/patient/forgot" || strings.Contains(p.Text(), "Last changed") ||
			!strings.Contains(p.Text(), "None. Choose one now") || p.Link("Change Security question") != "/patient/account/question" {
			t.Errorf("%s", p.Text())
		}
		if p := b.Get("/account?lang=es"); !strings.Contains(p.Text(), "Ninguna. Elija una con un enlace") || p.Link("Recibir un enlace") == "" {
			t.Errorf("%s", p.Text())
		}
		dbtest.Advance(w.DB, w.Realm.Lifetimes.Reauthentication)
		for _, path := range []string{"/account/password", "/account/confirm"} {
			if p := b.Get(path); p.Status != http.StatusSeeOther || p.Location() != "/patient/forgot" {
				t.Errorf("%s: %d %s", path, p.Status, p.Location())
			}
		}
		if p := b.Post("/account/password", url.Values{"csrf": {csrfOf(b)}, "current-password": {accounttest.Password},
			"new-password": {accounttest.NewPassword}, "confirm-password": {accounttest.NewPassword}}); p.Status != http.StatusUnprocessableEntity {
			t.Errorf("the old one: %d", p.Status)
		}
	})
}

// Nor does it matter who freezes it: the operator knows of no notice.
func TestTheOldestNoticeCountsWhenNoneIsUsed(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		a := w.Person(accounttest.Email)
		dbtest.Advance(w.DB, time.Minute)
		setQuestion(t, w, a)
		dbtest.Advance(w.DB, time.Hour)
		if err := w.Accounts.Freeze(ctx, w.Realm, a.ID, account.By{Actor: "system"}); err != nil {
			t.Fatal(err)
		}
		unfreeze(t, w, a)
		if has(t, w, a) {
			t.Error("the question of the thief stays")
		}
		// Where there is no notice, it is the freezing itself that counts.
		other := w.Person("other@example.test")
		dbtest.Advance(w.DB, time.Minute)
		if err := w.Accounts.Freeze(ctx, w.Realm, other.ID, account.By{Actor: "system"}); err != nil {
			t.Fatal(err)
		}
		unfreeze(t, w, other)
		if !has(t, w, other) {
			t.Error("a question that nobody was told of lately went")
		}
	})
}

// Before anybody unfreezes an account they learn what that takes away, and then
// just that goes.
func TestWhatUnfreezingRemovesIsKnownBefore(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		a := w.Person(accounttest.Email)
		removes := func() account.Removal {
			t.Helper()
			g, err := w.Accounts.UnfreezingRemoves(ctx, w.Realm, a.ID)
			if err != nil {
				t.Fatal(err)
			}
			return g
		}
		step := func(want account.Removal) {
			t.Helper()
			if g := removes(); g != (account.Removal{}) {
				t.Errorf("open: %+v", g)
			}
			if err := w.Accounts.Freeze(ctx, w.Realm, a.ID, account.By{Actor: "system"}); err != nil {
				t.Fatal(err)
			}
			if g := removes(); g != want || g.Proof() != (want.Question || want.Factors) {
				t.Errorf("%+v, want %+v", g, want)
			}
			unfreeze(t, w, a)
			if w.Count(`SELECT COUNT(*) FROM audit_events WHERE kind = 'account.unfrozen' AND target = $1 AND details LIKE '%question%'`, a.Actor()) != 0 != want.Question {
				t.Error("something else went than was said")
			}
		}
		dbtest.Advance(w.DB, time.Minute)
		step(account.Removal{Password: true})
		w.Accounts.Connect(account.Peers{Grants: w.Grants, Tickets: w.Tickets, Factors: factorsOf{a.ID: {TOTP: true}}})
		step(account.Removal{Factors: true})
		dbtest.Advance(w.DB, time.Minute)
		setQuestion(t, w, a)
		step(account.Removal{Question: true})
	})
}

// Whoever had the account may have changed its email over and over: every
// address of late is told, the person's own among them.
func TestAllAddressesOfLateAreToldOfTheUnfreezing(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		a := w.Person(accounttest.Email)
		for i := range 12 {
			now := find(t, w, a.ID)
			if _, err := w.Accounts.ChangeEmail(ctx, w.Realm, a.ID, now.Version, string(rune('a'+i))+"@evil.example.test", account.By{Actor: a.Actor()}); err != nil {
				t.Fatal(err)
			}
			dbtest.Advance(w.DB, time.Minute)
		}
		if err := w.Accounts.Freeze(ctx, w.Realm, a.ID, staff); err != nil {
			t.Fatal(err)
		}
		unfreeze(t, w, a)
		if got := subjects(w, accounttest.Email); got[len(got)-1] != "A Maple Clinic account of yours was unlocked" {
			t.Errorf("%q", got)
		}
	})
}
