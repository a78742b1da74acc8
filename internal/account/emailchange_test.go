package account_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/account/accounttest"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/mail"
	"github.com/portico-id/portico/internal/web/webtest"
)

const newEmail = "maria.new@example.test"

// csrfOf is the token of a form that the browser has, for a POST from a page
// that meanwhile is gone.
func csrfOf(b *webtest.Browser) string { return b.Get("/csrf").Value("csrf") }

func ask(b *webtest.Browser, email string) *webtest.Page {
	b.Get("/account/email")
	return b.Post("/account/email", url.Values{"new-email": {email}})
}

// asked makes a person who has asked for newEmail, and returns the link.
func asked(t *testing.T, w *accounttest.World) (account.Account, *webtest.Browser, string) {
	t.Helper()
	a, b := signedIn(w)
	if p := ask(b, newEmail); p.Location() != "/patient/account/email/sent" {
		t.Fatalf("%d %s", p.Status, p.Text())
	}
	return a, b, w.LastLink(newEmail)
}

// subjects are those of the letters to an address, oldest first.
func subjects(w *accounttest.World, email string) (all []string) {
	w.Deliver()
	for _, m := range w.Post.All() {
		if m.To == email {
			all = append(all, m.Content.Subject)
		}
	}
	return all
}

func TestTheEmailChangesWhenItsLinkIsUsed(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		a, b := signedIn(w)
		p := b.Get("/account/email")
		if p.H1() != "Change your email" || !strings.Contains(p.Text(), accounttest.Email) || p.Has("username") {
			t.Errorf("%s", p.Text())
		}
		if p := ask(b, "  Maria.New@Example.test "); p.Location() != "/patient/account/email/sent" {
			t.Fatalf("%d %s", p.Status, p.Text())
		}
		p = b.Get("/account/email/sent")
		if !strings.Contains(p.Text(), newEmail) || !strings.Contains(p.Text(), "works for 24 hours") || !strings.Contains(p.Text(), "you sign in with "+accounttest.Email) {
			t.Errorf("%s", p.Text())
		}
		inSpanish(t, b, "/account/email", "Change your email", "Cambiar su correo electrónico")
		inSpanish(t, b, "/account/email/sent", "Check your new email", "Revise su correo electrónico nuevo")
		if p := b.Get("/account"); !strings.Contains(p.Text(), newEmail+" has not been confirmed yet") {
			t.Errorf("%s", p.Text())
		}
		link := w.LastLink(newEmail)
		// Mail scanners, and whoever looks.
		before := w.Dump()
		for range 20 {
			if p := w.Browser(mount(w)).Get(link); p.Status != http.StatusOK || strings.Contains(p.Text(), "@example.test") {
				t.Fatalf("%d %s", p.Status, p.Text())
			}
		}
		if w.Dump() != before || find(t, w, a.ID).LoginEmail != accounttest.Email || !w.CanSignIn(accounttest.Email, accounttest.Password) {
			t.Error("looking changed something, or the old address does not work until then")
		}
		phone := w.Browser(mount(w)) // any browser will do
		inSpanish(t, phone, link, "Confirm your new email", "Confirme su correo electrónico nuevo")
		if p := follow(phone, link); p.Status != http.StatusOK || !strings.Contains(p.Text(), "m•••@example.test") || strings.Contains(p.Text(), newEmail) ||
			strings.Contains(p.Text(), "gomez") || !p.Has("decision") {
			t.Fatalf("%d %s", p.Status, p.Text())
		}
		inSpanish(t, phone, "/email/confirm", "Confirm your new email", "Confirme su correo electrónico nuevo")
		if find(t, w, a.ID).LoginEmail != accounttest.Email {
			t.Error("changed before anybody decided")
		}
		if p := phone.Post("/email/confirm", url.Values{"decision": {"yes"}}); p.Status != http.StatusSeeOther || p.Location() != "/patient/email/done" {
			t.Fatalf("%d %s", p.Status, p.Text())
		}
		inSpanish(t, phone, "/email/done", "Your sign-in email is changed", "Cambió el correo con el que inicia sesión")
		got := find(t, w, a.ID)
		if got.LoginEmail != newEmail || !got.EmailVerified || got.EmailChangedAt == nil || got.CredentialVersion == a.CredentialVersion {
			t.Errorf("%+v", got)
		}
		if b.Get("/account").Status != http.StatusSeeOther || len(w.Grants.Accounts) != 1 || len(w.Tickets.Reasons) != 1 {
			t.Error("sessions, grants or reset links go on")
		}
		if !w.CanSignIn(newEmail, accounttest.Password) || w.CanSignIn(accounttest.Email, accounttest.Password) {
			t.Error("not exactly the new address works")
		}
		if got := subjects(w, accounttest.Email); len(got) != 1 || got[0] != "Your sign-in email was changed" {
			t.Errorf("to the old address: %q", got)
		}
		if got := subjects(w, newEmail); len(got) != 2 {
			t.Errorf("to the new address: %q", got)
		}
		w.LastFreezeLink(accounttest.Email)
		for _, again := range []*webtest.Browser{phone, w.Browser(mount(w))} {
			csrf := url.Values{"csrf": {csrfOf(again)}}
			for _, p := range []*webtest.Page{again.Get(link), again.Post(link, csrf), again.Get("/email/confirm"), again.Post("/email/confirm", csrf)} {
				if p.Status != http.StatusGone {
					t.Errorf("the link again: %d", p.Status)
				}
			}
		}
		if p := w.Browser(mount(w)).Get("/email/done"); p.Status != http.StatusGone {
			t.Errorf("the last page without the link: %d", p.Status)
		}
		token := strings.TrimPrefix(link, "/email/")
		if strings.Contains(w.Log.String(), token) || strings.Contains(w.Dump(), token) {
			t.Error("the link was kept")
		}
		if w.Count(`SELECT COUNT(*) FROM audit_events WHERE kind = 'email.changed' AND actor = $1 AND severity = 'high'`, a.Actor()) != 1 {
			t.Error("events")
		}
	})
}

func TestWrongNewEmails(t *testing.T) {
	w := accounttest.New(t, dbtest.SQLite(t))
	_, b := signedIn(w)
	for typed, says := range map[string]string{
		"": "Enter an email address like name@example.com", "maria": "Enter an email address like name@example.com",
		"\u212Aelly@example.test":  "Enter an email address like name@example.com",
		"MARIA.gomez@example.TEST": "You already sign in with this email. Enter a different one.",
	} {
		p := ask(b, typed)
		if p.Status != http.StatusUnprocessableEntity || p.ByID("new-email-err") != says || p.Value("new-email") != typed || !strings.HasPrefix(p.Title(), "Error: ") {
			t.Errorf("%q: %d %q %q", typed, p.Status, p.ByID("new-email-err"), p.Value("new-email"))
		}
	}
	if p := b.Get("/account/email/sent"); p.Location() != "/patient/account" {
		t.Errorf("nothing was asked for: %d", p.Status)
	}
	b.Get("/account/email?lang=es")
	if p := b.Post("/account/email", url.Values{"new-email": {accounttest.Email}}); !strings.HasPrefix(p.ByID("new-email-err"), "Ya inicia sesión") {
		t.Errorf("%q", p.ByID("new-email-err"))
	}
}

// Whoever asks for an address learns nothing about whose it is.
func TestAskingForAnotherEmailRevealsNobody(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		_, b := signedIn(w)
		other := w.Create(account.New{LoginEmail: "other@example.test", State: account.Invited, Locale: "es"})
		free, taken := ask(b, "nobody@example.test"), webtest.Page{}
		seenFree := b.Get("/account/email/sent")
		overviewFree := b.Get("/account")
		rows := w.Count(`SELECT COUNT(*) FROM mail_outbox`)
		taken = *ask(b, "Other@example.test")
		seenTaken := b.Get("/account/email/sent")
		overviewTaken := b.Get("/account")
		if free.Status != taken.Status || free.Location() != taken.Location() {
			t.Errorf("%d %s, %d %s", free.Status, free.Location(), taken.Status, taken.Location())
		}
		for _, pair := range [][2]*webtest.Page{{seenFree, seenTaken}, {overviewFree, overviewTaken}} {
			if a, b := strings.ReplaceAll(pair[0].Text(), "nobody@", "other@"), pair[1].Text(); a != b {
				t.Errorf("the pages differ:\n%s\n%s", a, b)
			}
		}
		if n := w.Count(`SELECT COUNT(*) FROM mail_outbox`); n != 2*rows {
			t.Errorf("%d letters, then %d", rows, n-rows)
		}
		if got := subjects(w, "other@example.test"); len(got) != 1 || got[0] != "Alguien escribió su correo de Maple Clinic" {
			t.Errorf("to the owner: %q", got)
		}
		for _, m := range w.Post.All() {
			if m.To == "other@example.test" && (strings.Contains(m.Content.Text, "/email/") || strings.Contains(m.Content.Text, accounttest.Email)) {
				t.Errorf("the owner can use it, or learns who asked:\n%s", m.Content.Text)
			}
		}
		if got := find(t, w, other.ID); got.LoginEmail != "other@example.test" || got.CredentialVersion != other.CredentialVersion {
			t.Errorf("%+v", got)
		}
	})
}

func TestAnAddressTakenInTheMeantimeIsNotTakenAway(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		a, _, link := asked(t, w)
		w.Create(account.New{LoginEmail: newEmail, State: account.Invited})
		b := w.Browser(mount(w))
		p := confirm(b, link, "yes")
		if p.Status != http.StatusConflict || p.H1() != "This address is in use" {
			t.Errorf("%d %q", p.Status, p.H1())
		}
		if find(t, w, a.ID).LoginEmail != accounttest.Email || w.Events("email.changed") != 0 || w.Events("email.change_failed") != 1 {
			t.Error("it was taken away")
		}
		b.Get(link + "?lang=es")
		if p := confirm(b, link, "yes"); p.H1() != "Esta dirección está en uso" {
			t.Errorf("%q", p.H1())
		}
	})
}

func TestLettersAboutNewEmailsAreBounded(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		_, b := signedIn(w)
		for i := range 5 {
			if p := ask(b, fmt.Sprintf("stranger%d@example.test", i)); p.Status != http.StatusSeeOther {
				t.Fatalf("%d: %d %s", i, p.Status, p.Text())
			}
			w.Deliver()
		}
		p := ask(b, "stranger6@example.test")
		if p.Status != http.StatusUnprocessableEntity || !strings.Contains(p.Text(), "That is enough for today. Try again tomorrow, or call us.") {
			t.Errorf("%d %s", p.Status, p.Text())
		}
		w.Deliver()
		if n := len(w.Post.All()); n != 5 {
			t.Errorf("%d letters", n)
		}
		// The last link still works.
		if p := b.Get(w.LastLink("stranger4@example.test")); p.Status != http.StatusOK {
			t.Errorf("%d", p.Status)
		}
		// Several accounts do not flood one stranger either.
		for i := range 5 {
			one := w.Person(fmt.Sprintf("p%d@example.test", i))
			err := w.Accounts.RequestEmailChange(ctx, w.Realm, one, "stranger0@example.test", account.By{Actor: one.Actor(), IP: fmt.Sprintf("203.0.113.%d", i)})
			var slow *account.Throttled
			if (i < 4) != (err == nil) || i == 4 && !errors.As(err, &slow) {
				t.Errorf("%d: %v", i, err)
			}
		}
	})
}

func TestLettersOfOneNetworkAboutNewEmailsAreBounded(t *testing.T) {
	w := accounttest.New(t, dbtest.SQLite(t))
	w.Realm.Recovery.RequestsPerNetworkPerHour = 3
	for i := range 4 {
		one := w.Person(fmt.Sprintf("p%d@example.test", i))
		err := w.Accounts.RequestEmailChange(ctx, w.Realm, one, fmt.Sprintf("n%d@example.test", i), account.By{Actor: one.Actor(), IP: "203.0.113.9"})
		var slow *account.Throttled
		if (i < 3) != (err == nil) || i == 3 && !errors.As(err, &slow) {
			t.Errorf("%d: %v", i, err)
		}
	}
}

func TestALinkForANewEmailEnds(t *testing.T) {
	by := account.By{Actor: "system"}
	for name, do := range map[string]func(w *accounttest.World, a account.Account, b *webtest.Browser) error{
		"expired": func(w *accounttest.World, _ account.Account, _ *webtest.Browser) error {
			dbtest.Advance(w.DB, w.Realm.Lifetimes.EmailLink)
			return nil
		},
		"replaced": func(w *accounttest.World, _ account.Account, b *webtest.Browser) error {
			ask(b, "another@example.test")
			return nil
		},
		"given up": func(w *accounttest.World, _ account.Account, b *webtest.Browser) error {
			b.Get("/account/email/sent")
			if p := b.Post("/account/email/cancel", url.Values{}); p.Location() != "/patient/account?done=email_cancelled" {
				return errors.New(p.Text())
			}
			if p := b.Get("/account?done=email_cancelled"); !strings.Contains(p.Text(), "You keep your present email.") {
				return errors.New(p.Text())
			}
			return nil
		},
		"another password": func(w *accounttest.World, a account.Account, _ *webtest.Browser) error {
			replace(w.T, w, a, accounttest.NewPassword)
			return nil
		},
		"another email": func(w *accounttest.World, a account.Account, _ *webtest.Browser) error {
			_, err := w.Accounts.ChangeEmail(ctx, w.Realm, a.ID, a.Version, "staffs@example.test", by)
			return err
		},
		"disabled": func(w *accounttest.World, a account.Account, _ *webtest.Browser) error {
			return w.Accounts.Disable(ctx, w.Realm, a.ID, by)
		},
		"frozen": func(w *accounttest.World, a account.Account, _ *webtest.Browser) error {
			return w.Accounts.Freeze(ctx, w.Realm, a.ID, by)
		},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, w *accounttest.World) {
				a, b, link := asked(t, w)
				reader := w.Browser(mount(w))
				page := follow(reader, link)
				if err := do(w, a, b); err != nil {
					t.Fatal(err)
				}
				for _, path := range []string{"/email/confirm", link} {
					if p := reader.Post(path, url.Values{"csrf": {page.Value("csrf")}}); p.Status != http.StatusGone {
						t.Errorf("POST %s: %d", path, p.Status)
					}
					if p := reader.Get("/email/confirm"); p.Status != http.StatusGone {
						t.Errorf("the page that decides: %d", p.Status)
					}
				}
				if p := reader.Get(link); p.Status != http.StatusGone || p.H1() != "This link no longer works" {
					t.Errorf("GET: %d %q", p.Status, p.H1())
				}
				if find(t, w, a.ID).LoginEmail == newEmail {
					t.Error("changed all the same")
				}
			})
		})
	}
}

func TestALinkForANewEmailIsOneOfOurs(t *testing.T) {
	w := accounttest.New(t, dbtest.SQLite(t))
	_, _, link := asked(t, w)
	b := w.Browser(mount(w))
	for _, path := range []string{"/email/nonsense", "/email/" + strings.Repeat("A", 43), "/freeze/nonsense", "/freeze/" + strings.TrimPrefix(link, "/email/")} {
		if p := b.Get(path); p.Status != http.StatusGone {
			t.Errorf("GET %s: %d", path, p.Status)
		}
		b.Get(link)
		if p := b.Post(path, url.Values{}); p.Status != http.StatusGone {
			t.Errorf("POST %s: %d", path, p.Status)
		}
	}
	if p := b.Get("/email/nonsense?lang=es"); p.H1() != "Este enlace ya no funciona" {
		t.Errorf("%q", p.H1())
	}
	if p := w.BrowserOf(w.Other, mount(w)).Get(link); p.Status != http.StatusGone {
		t.Errorf("in another realm: %d", p.Status)
	}
}

func TestOneOfManyParallelConfirmationsWins(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		_, _, link := asked(t, w)
		var won, lost atomic.Int64
		var wg sync.WaitGroup
		var readers []*webtest.Browser
		for range 32 {
			b := w.Browser(mount(w))
			follow(b, link)
			readers = append(readers, b)
		}
		for _, b := range readers {
			wg.Go(func() {
				switch p := b.Post("/email/confirm", url.Values{"decision": {"yes"}}); {
				case p.Location() == "/patient/email/done":
					won.Add(1)
				case p.Status == http.StatusGone:
					lost.Add(1)
				default:
					t.Errorf("%d %s", p.Status, p.Location())
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 || lost.Load() != 31 || w.Events("email.changed") != 1 {
			t.Errorf("%d won, %d lost", won.Load(), lost.Load())
		}
	})
}

// A confirmation, a change of the password by its owner and a change of the
// email by staff, all at once: exactly one of them happens.
func TestAConfirmationRacesWithOtherChanges(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		a, b, link := asked(t, w)
		reader := w.Browser(mount(w))
		follow(reader, link)
		b.Get("/account/password")
		var wg sync.WaitGroup
		wg.Go(func() { reader.Post("/email/confirm", url.Values{"decision": {"yes"}}) })
		wg.Go(func() { change(b, accounttest.Password, accounttest.NewPassword, accounttest.NewPassword) })
		wg.Go(func() {
			_, err := w.Accounts.ChangeEmail(ctx, w.Realm, a.ID, a.Version, "staffs@example.test", account.By{Actor: "system"})
			if err != nil && !errors.Is(err, account.ErrVersion) {
				t.Error(err)
			}
		})
		wg.Wait()
		if n := w.Events("email.changed") + w.Events("password.changed"); n != 1 {
			t.Errorf("%d changes", n)
		}
		if got := find(t, w, a.ID); got.CredentialVersion != a.CredentialVersion+1 {
			t.Errorf("credential version %d, was %d", got.CredentialVersion, a.CredentialVersion)
		}
	})
}

func TestWhatIsOverAboutOneselfIsCleanedUp(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		a, b, link := asked(t, w)
		if err := w.Accounts.Notify(ctx, w.Realm, a, mail.PasswordChanged, account.By{}, nil); err != nil {
			t.Fatal(err)
		}
		follow(b, link)
		follow(b, w.LastFreezeLink(accounttest.Email))
		flows := func() int {
			return w.Count(`SELECT (SELECT COUNT(*) FROM email_change_flows) + (SELECT COUNT(*) FROM freeze_flows)`)
		}
		if flows() != 2 {
			t.Errorf("%d ways from links", flows())
		}
		dbtest.Advance(w.DB, w.Realm.Lifetimes.Interaction)
		if err := w.Accounts.CleanUp(ctx); err != nil || flows() != 0 || w.Count(`SELECT COUNT(*) FROM freeze_links`) != 1 {
			t.Errorf("%d ways from links, %v", flows(), err)
		}
		dbtest.Advance(w.DB, w.Realm.Lifetimes.FreezeLink+time.Second)
		if err := w.Accounts.CleanUp(ctx); err != nil {
			t.Fatal(err)
		}
		if w.Count(`SELECT COUNT(*) FROM freeze_links`) != 0 || w.Count(`SELECT COUNT(*) FROM email_changes`) != 1 {
			t.Error("links of notices stay, or changes of the email do not")
		}
		dbtest.Advance(w.DB, 91*24*time.Hour)
		if err := w.Accounts.CleanUp(ctx); err != nil || w.Count(`SELECT COUNT(*) FROM email_changes`) != 0 {
			t.Error("changes of the email stay", err)
		}
	})
}
