package account_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/account/accounttest"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/mail"
	"github.com/portico-id/portico/internal/session"
	"github.com/portico-id/portico/internal/web/webtest"
)

const locked = "Your account is locked"

// freeze follows a link of a notice in a browser of its own.
func freeze(w *accounttest.World, link string) *webtest.Page {
	b := w.Browser(mount(w))
	p := lock(b, link)
	if p.Location() == "/patient/freeze/done" {
		return b.Get("/freeze/done")
	}
	return p
}

// follow sends the form of a link and goes on to the page that decides.
func follow(b *webtest.Browser, link string) *webtest.Page {
	b.Get(link)
	p := b.Post(link, url.Values{})
	for _, next := range []string{"/email/confirm", "/freeze/confirm"} {
		if p.Location() == "/patient"+next {
			return b.Get(next)
		}
	}
	return p
}

// lock decides to freeze the account of a notice.
func lock(b *webtest.Browser, link string) *webtest.Page {
	if p := follow(b, link); p.Status != http.StatusOK {
		return p
	}
	return b.Post("/freeze/confirm", url.Values{"decision": {"yes"}})
}

// confirm answers whether the email is to be changed.
func confirm(b *webtest.Browser, link, decision string) *webtest.Page {
	if p := follow(b, link); p.Status != http.StatusOK {
		return p
	}
	return b.Post("/email/confirm", url.Values{"decision": {decision}})
}

// stolen makes a person whose email a thief, who had the password, changed. It
// returns the thief's browser and the link in the old mailbox.
func stolen(t *testing.T, w *accounttest.World) (a account.Account, thief *webtest.Browser, link string) {
	t.Helper()
	a = w.Person(accounttest.Email)
	thief = w.Browser(mount(w))
	w.SignIn(thief, a)
	if p := ask(thief, "thief@evil.example.test"); p.Status != http.StatusSeeOther {
		t.Fatal(p.Text())
	}
	verify := w.LastLink("thief@evil.example.test")
	if p := confirm(thief, verify, "yes"); p.Location() != "/patient/email/done" {
		t.Fatal(p.Text())
	}
	a = find(t, w, a.ID)
	w.SignIn(thief, a)
	return a, thief, w.LastFreezeLink(accounttest.Email)
}

func TestEveryNoticeCarriesALinkThatFreezes(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		a := w.Person(accounttest.Email)
		seen := map[string]bool{}
		link := func() string {
			l := w.LastFreezeLink(accounttest.Email)
			if seen[l] {
				t.Error("a link was mailed twice")
			}
			seen[l] = true
			return l
		}
		replace(t, w, a, accounttest.NewPassword)
		first := link()
		if err := w.Accounts.SetQuestion(ctx, w.Realm, find(t, w, a.ID), "first_concert", "los tigres", account.By{Actor: a.Actor()}); err != nil {
			t.Fatal(err)
		}
		link()
		if err := w.DB.InTx(ctx, func(ctx context.Context) error {
			return w.Accounts.Notify(ctx, w.Realm, a, mail.FactorChanged, account.By{Device: "Firefox, Linux"}, map[string]string{"what": "passkey_added"})
		}); err != nil {
			t.Fatal(err)
		}
		link()
		if _, err := w.Accounts.ChangeEmail(ctx, w.Realm, a.ID, find(t, w, a.ID).Version, newEmail, account.By{Actor: "system"}); err != nil {
			t.Fatal(err)
		}
		link()
		for _, m := range w.Post.All() {
			if m.To == newEmail && strings.Contains(m.Content.Text, "/freeze/") {
				t.Error("the new address, which may be a thief's, got a link")
			}
		}
		// The link of the oldest notice works after all that came later.
		if p := freeze(w, first); p.H1() != locked || find(t, w, a.ID).FrozenAt == nil {
			t.Errorf("%d %q", p.Status, p.H1())
		}
		for l := range seen {
			token := strings.TrimPrefix(l, "/freeze/")
			if strings.Contains(w.Dump(), token) || strings.Contains(w.Log.String(), token) {
				t.Error("a link was kept")
			}
		}
	})
}

func TestTheOldMailboxStopsAThief(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		a, thief, link := stolen(t, w)
		pendingEmail(t, w, thief)
		b := w.Browser(mount(w))
		before := w.Dump()
		for range 20 { // mail scanners
			if p := w.Browser(mount(w)).Get(link); p.Status != http.StatusOK || p.H1() != "Lock your account?" {
				t.Fatalf("%d %q", p.Status, p.H1())
			}
		}
		if w.Dump() != before || thief.Get("/account").Status != http.StatusOK {
			t.Fatal("looking changed something")
		}
		inSpanish(t, b, link, "Lock your account?", "¿Bloquear su cuenta?")
		p := b.Get(link)
		if !strings.Contains(p.Text(), "m•••@example.test") || strings.Contains(p.Text(), "evil") {
			t.Errorf("%s", p.Text())
		}
		p = follow(b, link)
		if !strings.Contains(p.Text(), "m•••@example.test") || strings.Contains(p.Text(), "evil") || !strings.Contains(p.Text(), "Nobody can sign in, not even you.") {
			t.Errorf("%s", p.Text())
		}
		inSpanish(t, b, "/freeze/confirm", "Lock your account?", "¿Bloquear su cuenta?")
		if p := b.Post("/freeze/confirm", url.Values{"decision": {"yes"}}); p.Status != http.StatusSeeOther || p.Location() != "/patient/freeze/done" {
			t.Fatalf("%d %s", p.Status, p.Text())
		}
		inSpanish(t, b, "/freeze/done", locked, "Su cuenta está bloqueada")
		if p := b.Get("/freeze/done"); !strings.Contains(p.Text(), "Call 555-0100.") {
			t.Errorf("%s", p.Text())
		}
		got := find(t, w, a.ID)
		if got.FrozenAt == nil || got.CredentialVersion == a.CredentialVersion || got.State != account.Active {
			t.Errorf("%+v", got)
		}
		if thief.Get("/account").Status != http.StatusSeeOther || w.Grants.Accounts[len(w.Grants.Accounts)-1] != a.ID ||
			w.Tickets.Reasons[len(w.Tickets.Reasons)-1] != "account_frozen" ||
			w.Count(`SELECT COUNT(*) FROM email_changes WHERE used_at IS NULL AND voided_at IS NULL`) != 0 {
			t.Error("sessions, grants, reset links or changes of the email go on")
		}
		_, err := w.Accounts.Authenticate(ctx, w.Realm, "thief@evil.example.test", accounttest.Password)
		var refusal *account.Refusal
		if !errors.Is(err, account.ErrCredentials) || !errors.As(err, &refusal) || refusal.Why != "frozen" || refusal.AccountID != a.ID {
			t.Errorf("the right password: %v", err)
		}
		// Nor with what was verified a moment before, a passkey for one.
		for _, stale := range []account.Account{a, got} {
			if err := w.Accounts.SignedIn(ctx, stale); !errors.Is(err, account.ErrCredentials) {
				t.Errorf("verified before: %v", err)
			}
		}
		letterToPractice(t, w)
		if w.Count(`SELECT COUNT(*) FROM audit_events WHERE kind = 'account.frozen' AND severity = 'high' AND target = $1 AND actor = 'anonymous'`, a.Actor()) != 1 {
			t.Error("events")
		}
		// Looking again shows the same page, and freezing again does no more.
		letters := w.Count(`SELECT COUNT(*) FROM mail_outbox`)
		if p := b.Get(link); p.Status != http.StatusOK || p.H1() != locked {
			t.Errorf("again: %d %q", p.Status, p.H1())
		}
		if err := w.Accounts.Freeze(ctx, w.Realm, a.ID, account.By{Actor: "system"}); err != nil || w.Events("account.frozen") != 1 ||
			w.Count(`SELECT COUNT(*) FROM mail_outbox`) != letters {
			t.Errorf("frozen twice: %v", err)
		}
	})
}

// pendingEmail has a signed-in browser ask for yet another email.
func pendingEmail(t *testing.T, w *accounttest.World, b *webtest.Browser) {
	t.Helper()
	if p := ask(b, "second@evil.example.test"); p.Status != http.StatusSeeOther {
		t.Fatal(p.Text())
	}
	w.Deliver()
}

func letterToPractice(t *testing.T, w *accounttest.World) {
	t.Helper()
	if got := subjects(w, accounttest.Support); len(got) != 1 || got[0] != "A Maple Clinic account was locked" {
		t.Fatalf("to the practice: %q", got)
	}
	for _, m := range w.Post.All() {
		if m.To != accounttest.Support {
			continue
		}
		for _, part := range []string{m.Content.Text, m.Content.HTML} {
			if !strings.Contains(part, "t•••@evil.example.test") || strings.Contains(part, "Gomez") || strings.Contains(part, "Maria") ||
				strings.Contains(part, "thief@") || strings.Contains(part, "/freeze/") {
				t.Errorf("%s", part)
			}
		}
	}
}

func TestThePostOfALinkIsRepeatable(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		a, _, link := stolen(t, w)
		var tabs []*webtest.Browser
		for range 16 {
			b := w.Browser(mount(w))
			follow(b, link)
			tabs = append(tabs, b)
		}
		var wg sync.WaitGroup
		for _, b := range tabs {
			wg.Go(func() {
				if p := b.Post("/freeze/confirm", url.Values{"decision": {"yes"}}); p.Location() != "/patient/freeze/done" {
					t.Errorf("%d %s", p.Status, p.Location())
				}
			})
		}
		wg.Wait()
		if w.Events("account.frozen") != 1 || find(t, w, a.ID).FrozenAt == nil {
			t.Errorf("%d events", w.Events("account.frozen"))
		}
		if got := subjects(w, accounttest.Support); len(got) != 1 {
			t.Errorf("%d letters to the practice", len(got))
		}
	})
}

// Who still reads somebody's old mailbox can lock the account, and nothing
// else: not see the new address, not get in, not do it again.
func TestAnExPartnerWithTheOldMailboxCanLockAndNothingElse(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		a, b, verify := asked(t, w)
		confirm(b, verify, "yes")
		link := w.LastFreezeLink(accounttest.Email)
		ex := w.Browser(mount(w))
		for _, p := range []*webtest.Page{ex.Get(link), ex.Post(link, url.Values{}), ex.Get("/freeze/confirm"), ex.Post("/freeze/confirm", url.Values{"decision": {"yes"}}), ex.Get("/freeze/done")} {
			if strings.Contains(p.Body, newEmail) || strings.Contains(p.Body, "new@") {
				t.Errorf("the new address is shown: %s", p.Text())
			}
		}
		if ex.Cookie("") != "" || ex.Get("/account").Status != http.StatusSeeOther {
			t.Error("it signed somebody in")
		}
		// The person learns why the password does not work any more.
		if got := subjects(w, newEmail); got[len(got)-1] != "Your Maple Clinic account is locked" {
			t.Errorf("%q", got)
		}
		if err := w.DB.InTx(ctx, func(ctx context.Context) error { return w.Accounts.Unfreeze(ctx, w.Realm, a.ID, staff) }); err != nil {
			t.Fatal(err)
		}
		if w.CanSignIn(newEmail, accounttest.Password) || find(t, w, a.ID).FrozenAt != nil {
			t.Error("still frozen, or the password that somebody may know opens it")
		}
		for _, p := range []*webtest.Page{ex.Get(link), freeze(w, link), ex.Get("/freeze/confirm"), ex.Post("/freeze/confirm", url.Values{"decision": {"yes"}}), ex.Get("/freeze/done")} {
			if p.Status != http.StatusGone && p.Status != http.StatusForbidden {
				t.Errorf("once more: %d %q", p.Status, p.H1())
			}
		}
		if find(t, w, a.ID).FrozenAt != nil {
			t.Error("locked again")
		}
		if got := subjects(w, newEmail); got[len(got)-1] != "Your Maple Clinic account is unlocked" {
			t.Errorf("%q", got)
		}
		if w.Count(`SELECT COUNT(*) FROM audit_events WHERE kind = 'account.unfrozen' AND severity = 'high' AND actor = $1 AND practice_id = $2`, staff.Actor, staff.PracticeID) != 1 {
			t.Error("events")
		}
		if err := w.Accounts.Unfreeze(ctx, w.Realm, a.ID, staff); !errors.Is(err, account.ErrState) {
			t.Errorf("unfrozen twice: %v", err)
		}
		// That notice has a link of its own.
		if p := freeze(w, w.LastFreezeLink(newEmail)); p.H1() != locked {
			t.Errorf("%d", p.Status)
		}
	})
}

func TestALinkOfANoticeEnds(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		a, _, link := stolen(t, w)
		b := w.Browser(mount(w))
		csrf := url.Values{"csrf": {follow(b, link).Value("csrf")}, "decision": {"yes"}}
		dbtest.Advance(w.DB, w.Realm.Lifetimes.Interaction)
		for _, p := range []*webtest.Page{b.Get("/freeze/confirm"), b.Post("/freeze/confirm", csrf)} {
			if p.Status != http.StatusGone {
				t.Errorf("the way from it: %d", p.Status)
			}
		}
		if p := follow(b, link); p.Status != http.StatusOK {
			t.Errorf("the link, while it works: %d", p.Status)
		}
		dbtest.Advance(w.DB, w.Realm.Lifetimes.FreezeLink-w.Realm.Lifetimes.Interaction-time.Second)
		csrf.Set("csrf", follow(b, link).Value("csrf"))
		dbtest.Advance(w.DB, time.Second)
		for _, p := range []*webtest.Page{b.Post("/freeze/confirm", csrf), b.Get("/freeze/confirm"), b.Post(link, csrf)} {
			if p.Status != http.StatusGone {
				t.Errorf("after the link: %d", p.Status)
			}
		}
		if p := b.Get(link); p.Status != http.StatusGone || find(t, w, a.ID).FrozenAt != nil {
			t.Errorf("GET: %d", p.Status)
		}
		if p := w.BrowserOf(w.Other, mount(w)).Get(link); p.Status != http.StatusGone {
			t.Errorf("in another realm: %d", p.Status)
		}
	})
}

func TestAFrozenAccountWaitsForThePractice(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		a, _, link := stolen(t, w)
		freeze(w, link)
		got := find(t, w, a.ID)
		if _, err := byStaff(t, w, got, newEmail); !errors.Is(err, account.ErrFrozen) || !errors.Is(err, account.ErrState) {
			t.Errorf("asking at an address that may be the thief's: %v", err)
		}
		if err := w.Accounts.RequestEmailChange(ctx, w.Realm, got, newEmail, account.By{Actor: a.Actor()}); !errors.Is(err, account.ErrVersion) {
			t.Errorf("the person: %v", err)
		}
		if err := w.Accounts.SetQuestion(ctx, w.Realm, got, "first_concert", "los tigres", account.By{Actor: a.Actor()}); !errors.Is(err, account.ErrVersion) {
			t.Errorf("the question: %v", err)
		}
		// Putting the email right is how the practice helps.
		fixed, err := w.Accounts.ChangeEmail(ctx, w.Realm, a.ID, got.Version, accounttest.Email, staff)
		if err != nil || fixed.FrozenAt == nil || w.CanSignIn(accounttest.Email, accounttest.Password) {
			t.Errorf("%+v %v", fixed, err)
		}
		invited := w.Create(account.New{LoginEmail: "invited@example.test", State: account.Invited})
		if err := w.Accounts.Freeze(ctx, w.Realm, invited.ID, staff); err != nil {
			t.Fatal(err)
		}
		if err := w.Accounts.Invite(ctx, w.Realm, invited.ID, staff); !errors.Is(err, account.ErrFrozen) {
			t.Errorf("an invitation: %v", err)
		}
	})
}

// Whoever signs in while the account is frozen has no session afterwards.
func TestFreezingRacesWithSigningIn(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		a := w.Person(accounttest.Email)
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				if i == 4 {
					if err := w.Accounts.Freeze(ctx, w.Realm, a.ID, account.By{Actor: "system"}); err != nil {
						t.Error(err)
					}
					return
				}
				err := w.DB.InTx(ctx, func(ctx context.Context) error {
					if err := w.Accounts.SignedIn(ctx, a); err != nil {
						return err
					}
					_, _, err := w.Sessions.Start(ctx, w.Realm, a.ID, session.Device{}, account.PasswordMethod)
					return err
				})
				if err != nil && !errors.Is(err, account.ErrCredentials) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := w.Count(`SELECT COUNT(*) FROM sessions WHERE ended_at IS NULL`); n != 0 {
			t.Errorf("%d sessions are open", n)
		}
	})
}

func TestOneNetworkFreezesOnlySoManyAccounts(t *testing.T) {
	w := accounttest.New(t, dbtest.SQLite(t))
	var last *webtest.Page
	for i := range 21 {
		email := fmt.Sprintf("p%d@example.test", i)
		one := w.Create(account.New{LoginEmail: email, State: account.Invited})
		if err := w.Accounts.Notify(ctx, w.Realm, one, mail.PasswordChanged, account.By{}, nil); err != nil {
			t.Fatal(err)
		}
		last = freeze(w, w.LastFreezeLink(email))
		if i < 20 && last.H1() != locked {
			t.Fatalf("%d: %d %s", i, last.Status, last.Text())
		}
	}
	if last.Status != http.StatusServiceUnavailable || last.Header.Get("Retry-After") == "" {
		t.Errorf("%d", last.Status)
	}
}

func TestFreezingIsOneTransaction(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		a := w.Person(accounttest.Email)
		b := w.Browser(mount(w))
		w.SignIn(b, a)
		w.Exec(`DROP TABLE audit_unchained`)
		if err := w.Accounts.Freeze(ctx, w.Realm, a.ID, account.By{Actor: "system"}); err == nil {
			t.Error("frozen without a record of it")
		}
		if find(t, w, a.ID).FrozenAt != nil || b.Get("/account").Status != http.StatusOK || w.Count(`SELECT COUNT(*) FROM mail_outbox`) != 0 {
			t.Error("half of it happened")
		}
	})
}

// Who is told nothing cannot tell either by the time it takes: both ways hash
// once.
func TestAFrozenAccountCostsAsMuchAsAWrongPassword(t *testing.T) {
	w := accounttest.New(t, dbtest.SQLite(t))
	frozen := w.Person("frozen@example.test")
	w.Person(accounttest.Email)
	if err := w.Accounts.Freeze(ctx, w.Realm, frozen.ID, account.By{Actor: "system"}); err != nil {
		t.Fatal(err)
	}
	if wrong, right := hashes(t, w, accounttest.Email, "wrong"), hashes(t, w, "frozen@example.test", accounttest.Password); wrong != 1 || right != 1 {
		t.Errorf("%d hashes for a wrong password, %d for a frozen account", wrong, right)
	}
}

// hashes counts what a refused sign-in costs.
func hashes(t *testing.T, w *accounttest.World, email, plain string) int64 {
	t.Helper()
	before := accounttest.Hashed()
	if _, err := w.Accounts.Authenticate(ctx, w.Realm, email, plain); !errors.Is(err, account.ErrCredentials) {
		t.Fatal(err)
	}
	return accounttest.Hashed() - before
}

// "It was me" leaves all as it is, and the link works on.
func TestANoFreezesNothing(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		a, thief, link := stolen(t, w)
		b := w.Browser(mount(w))
		follow(b, link)
		before := w.Dump()
		for _, answer := range []string{"no", "", "Yes", "yes please"} {
			p := b.Post("/freeze/confirm", url.Values{"decision": {answer}})
			if answer == "no" && (p.Status != http.StatusOK || p.H1() != "Nothing has changed") || answer != "no" && p.Status != http.StatusUnprocessableEntity {
				t.Errorf("%q: %d %q", answer, p.Status, p.H1())
			}
			follow(b, link)
		}
		if p := b.Post("/freeze/confirm?lang=es", url.Values{"decision": {"no"}}); p.H1() != "No ha cambiado nada" {
			t.Errorf("in Spanish: %q", p.H1())
		}
		if find(t, w, a.ID).FrozenAt != nil || w.Dump() != before || thief.Get("/account").Status != http.StatusOK {
			t.Error("something changed")
		}
		if p := freeze(w, link); p.H1() != locked {
			t.Errorf("later: %q", p.H1())
		}
	})
}
