package account_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/account/accounttest"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/mail"
	"github.com/portico-id/portico/internal/web/webtest"
)

// scan is a mail filter that does more than look: it opens a link again and
// again, then sends the first form of the page with its cookies, as it stands,
// and goes wherever it is sent. It returns what it saw last.
func scan(t *testing.T, b *webtest.Browser, link string) *webtest.Page {
	t.Helper()
	p := b.Get(link)
	for range 3 {
		p = b.Get(link)
	}
	target, form := firstForm(p, link)
	if target == "" {
		t.Fatalf("no form behind %s: %d %s", link, p.Status, p.Text())
	}
	for p = b.Post(target, form); p.Status == http.StatusSeeOther; {
		p = b.Get(strings.TrimPrefix(p.Location(), "/patient"))
	}
	return p
}

// firstForm is where the first form that is posted leads, and what it sends when
// nobody has touched it.
func firstForm(p *webtest.Page, here string) (target string, form url.Values) {
	for n := range p.Doc.Descendants() {
		at := map[string]string{}
		for _, a := range n.Attr {
			at[a.Key] = a.Val
		}
		switch _, checked := at["checked"]; {
		case n.Type != html.ElementNode:
		case n.Data == "form" && target != "":
			return target, form
		case n.Data == "form" && strings.EqualFold(at["method"], "post"):
			if target, form = here, (url.Values{}); at["action"] != "" {
				target = strings.TrimPrefix(at["action"], "/patient")
			}
		case n.Data == "input" && target != "" && (at["type"] != "radio" && at["type"] != "checkbox" || checked):
			form.Add(at["name"], at["value"])
		}
	}
	return target, form
}

func TestAScannerThatSendsFormsChangesNothing(t *testing.T) {
	for name, c := range map[string]struct {
		link func(t *testing.T, w *accounttest.World, a account.Account) string
		h1   string // of the page where it ends
		at   string // where its form leads
	}{
		"the person's new email": {func(t *testing.T, w *accounttest.World, a account.Account) string {
			if err := w.Accounts.RequestEmailChange(ctx, w.Realm, a, newEmail, account.By{Actor: a.Actor()}); err != nil {
				t.Fatal(err)
			}
			return w.LastLink(newEmail)
		}, "Confirm your new email", "/email/confirm"},
		"what staff ask for": {func(t *testing.T, w *accounttest.World, a account.Account) string {
			if _, err := byStaff(t, w, a, newEmail); err != nil {
				t.Fatal(err)
			}
			return w.LastLink(accounttest.Email)
		}, "Change your sign-in email?", "/email/confirm"},
		"a notice": {func(t *testing.T, w *accounttest.World, a account.Account) string {
			if err := w.Accounts.Notify(ctx, w.Realm, a, mail.PasswordChanged, account.By{}, nil); err != nil {
				t.Fatal(err)
			}
			return w.LastFreezeLink(accounttest.Email)
		}, "Lock your account?", "/freeze/confirm"},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, w *accounttest.World) {
				a := w.Person(accounttest.Email)
				link := c.link(t, w, a)
				read, before := find(t, w, a.ID), w.Dump()
				for range 3 {
					b := w.Browser(mount(w))
					p := scan(t, b, link)
					if p.Status != http.StatusOK || p.H1() != c.h1 || b.Cookie("") != "" {
						t.Fatalf("it ends at %d %q", p.Status, p.H1())
					}
					// Nothing is chosen beforehand: it may even send what it finds there.
					target, form := firstForm(p, c.at)
					if p = b.Post(target, form); p.Status != http.StatusUnprocessableEntity || p.H1() != c.h1 || p.ByID("decision-err") != "Choose yes or no" {
						t.Errorf("an answer that nobody chose: %d %q", p.Status, p.Text())
					}
					if p = b.Post(target+"?lang=es", form); p.Status != http.StatusUnprocessableEntity || p.ByID("decision-err") != "Elija sí o no" {
						t.Errorf("in Spanish: %d %q", p.Status, p.Text())
					}
				}
				after := find(t, w, a.ID)
				after.UpdatedAt = read.UpdatedAt
				if w.Dump() != before || after.Version != read.Version || after.CredentialVersion != read.CredentialVersion ||
					after.LoginEmail != read.LoginEmail || after.FrozenAt != nil || !w.CanSignIn(accounttest.Email, accounttest.Password) {
					t.Error("something changed")
				}
				// What the scanner was given is no link, and the token is not kept.
				for _, token := range []string{strings.TrimPrefix(strings.TrimPrefix(link, "/email/"), "/freeze/")} {
					if strings.Contains(w.Log.String(), token) || strings.Contains(w.Dump(), token) {
						t.Error("the link was kept")
					}
				}
				// And the link still does what it is for.
				b := w.Browser(mount(w))
				if p := follow(b, link); p.Status != http.StatusOK || p.H1() != c.h1 {
					t.Errorf("the person: %d %q", p.Status, p.H1())
				}
			})
		})
	}
}

// The cookie of a way from one link leads nowhere else, and is none of the link.
func TestTheWayFromALinkIsGoodForOnePage(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		a := w.Person(accounttest.Email)
		if _, err := byStaff(t, w, a, newEmail); err != nil {
			t.Fatal(err)
		}
		asked, notice := w.LastLink(accounttest.Email), w.LastFreezeLink(accounttest.Email)
		b := w.Browser(mount(w))
		follow(b, asked)
		follow(b, notice)
		mails, freezes := b.Cookie("email"), b.Cookie("freeze")
		if strings.Contains(asked, mails) || strings.Contains(notice, freezes) || mails == "" || freezes == "" {
			t.Error("a cookie is the link itself, or there is none")
		}
		for _, path := range []string{"/email/" + mails, "/freeze/" + freezes, "/email/" + freezes, "/freeze/" + mails} {
			if p := b.Get(path); p.Status != http.StatusGone {
				t.Errorf("a cookie as a link: %d", p.Status)
			}
		}
		swapped := w.Browser(mount(w))
		swapped.SetCookie("email", freezes)
		swapped.SetCookie("freeze", mails)
		csrf := csrfOf(swapped)
		for _, path := range []string{"/email/confirm", "/freeze/confirm", "/email/done", "/freeze/done"} {
			if p := swapped.Get(path); p.Status != http.StatusGone {
				t.Errorf("GET %s: %d", path, p.Status)
			}
		}
		for _, path := range []string{"/email/confirm", "/freeze/confirm"} {
			if p := swapped.Post(path, url.Values{"csrf": {csrf}, "decision": {"yes"}}); p.Status != http.StatusGone {
				t.Errorf("POST %s: %d", path, p.Status)
			}
			if p := w.Browser(mount(w)).Post(path, url.Values{"decision": {"yes"}}); p.Status != http.StatusForbidden {
				t.Errorf("POST %s of another site: %d", path, p.Status)
			}
			// Without the cookie there is nothing to decide.
			bare := w.Browser(mount(w))
			if p := bare.Post(path, url.Values{"csrf": {csrfOf(bare)}, "decision": {"yes"}}); p.Status != http.StatusGone {
				t.Errorf("POST %s without the link: %d", path, p.Status)
			}
			if p := bare.Get(path + "?lang=es"); p.Status != http.StatusGone || p.H1() != "Este enlace ya no funciona" {
				t.Errorf("GET %s without the link: %d %q", path, p.Status, p.H1())
			}
		}
		// A cookie of another realm is none here.
		abroad := w.BrowserOf(w.Other, mount(w))
		abroad.SetCookie("email", mails)
		abroad.SetCookie("freeze", freezes)
		for _, path := range []string{"/email/confirm", "/freeze/confirm"} {
			if p := abroad.Get(path); p.Status != http.StatusGone {
				t.Errorf("%s in another realm: %d", path, p.Status)
			}
		}
		// Nor is one that was left lying, while its link still counts.
		csrf = csrfOf(b)
		dbtest.Advance(w.DB, w.Realm.Lifetimes.Interaction)
		for _, path := range []string{"/email/confirm", "/freeze/confirm"} {
			for _, p := range []*webtest.Page{b.Get(path), b.Post(path, url.Values{"csrf": {csrf}, "decision": {"yes"}})} {
				if p.Status != http.StatusGone {
					t.Errorf("%s later: %d", path, p.Status)
				}
			}
		}
		if got := find(t, w, a.ID); got.LoginEmail != accounttest.Email || got.FrozenAt != nil || b.Get(asked).Status != http.StatusOK {
			t.Errorf("%+v", got)
		}
	})
}
