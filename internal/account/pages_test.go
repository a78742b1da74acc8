package account_test

import (
	"context"
	"net/http"
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
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/web"
	"github.com/portico-id/portico/internal/web/webtest"
)

func mount(w *accounttest.World) func(g *gin.Engine) {
	h := account.NewHandler(w.Pages, w.Accounts)
	return func(g *gin.Engine) {
		h.Mount(g)
		g.GET("/csrf", web.Handle(func(c *gin.Context) error { // see csrfOf
			return w.Pages.Render(c, http.StatusOK, "account/freeze_link.html", struct{ Email string }{})
		}))
	}
}

func change(b *webtest.Browser, current, plain, confirm string) *webtest.Page {
	return b.Post("/account/password", url.Values{"current-password": {current}, "new-password": {plain}, "confirm-password": {confirm}})
}

func TestMyAccountShowsThePersonAndLinksWhatWorks(t *testing.T) {
	w := accounttest.New(t, dbtest.SQLite(t))
	a := w.Person(accounttest.Email)
	b := w.Browser(mount(w))
	w.SignIn(b, a)
	p := b.Get("/account")
	for _, says := range []string{"Maria Gomez", accounttest.Email, "English", "Chosen.", "Safari, iPhone", "This device", "Last changed"} {
		if !strings.Contains(p.Text(), says) {
			t.Errorf("%q is not in %s", says, p.Text())
		}
	}
	if p.H1() != "My Account" || p.Link("Change password") != "/patient/account/password" || p.Link("Back to Maple Clinic") != w.Realm.Home {
		t.Errorf("%q %q %q", p.H1(), p.Link("Change password"), p.Link("Back to Maple Clinic"))
	}
	// Which question it is stands behind a live link, and nowhere else.
	if strings.Contains(p.Text(), "first pet") || strings.Contains(p.Text(), accounttest.Answer) || strings.Contains(p.Text(), "other devices") {
		t.Errorf("%s", p.Text())
	}
	if p := b.Get("/.well-known/change-password"); p.Status != http.StatusFound || p.Location() != "/patient/account/password" {
		t.Errorf("%d %s", p.Status, p.Location())
	}
	staff := w.BrowserOf(w.Other, mount(w))
	if p := staff.Get("/account"); p.Status != http.StatusSeeOther || p.Location() != "/practice/signin?return_to=%2Faccount" {
		t.Errorf("signed out: %d %s", p.Status, p.Location())
	}
	staff.SetCookie("", b.Cookie(""))
	if p := staff.Get("/account"); p.Status != http.StatusSeeOther {
		t.Errorf("a session of another realm: %d", p.Status)
	}
}

// seconds is a room that counts second factors.
type seconds account.FactorSummary

func (s seconds) Of(context.Context, uuid.UUID) (account.FactorSummary, error) {
	return account.FactorSummary(s), nil
}

func (s seconds) AddedSince(context.Context, uuid.UUID, time.Time) (bool, error) { return false, nil }

func (s seconds) RemoveSince(context.Context, *realm.Realm, uuid.UUID, time.Time, account.By) (bool, error) {
	return false, nil
}

func TestMyAccountLeadsToEverythingThatCanBeChanged(t *testing.T) {
	w := accounttest.New(t, dbtest.SQLite(t))
	_, b := signedIn(w)
	for text, path := range map[string]string{"Change Name": "/account/profile", "Change Language": "/account/language",
		"Change Email": "/account/email", "Change password": "/account/password", "Change Security question": "/account/question",
		"See Connected apps": "/account/apps", "See History": "/account/history"} {
		if got := b.Get("/account").Link(text); got != "/patient"+path {
			t.Errorf("%s leads to %q", text, got)
		}
	}
	if p := b.Get("/account"); strings.Contains(p.Text(), "Second step") {
		t.Error("a second step where none is offered")
	}
	for says, has := range map[string]seconds{
		"Off. You sign in with your password alone.":           {RecoveryCodes: 3},
		"On Authenticator app 2 passkeys 1 recovery code left": {TOTP: true, Passkeys: 2, RecoveryCodes: 1},
		"On 1 passkey": {Passkeys: 1},
	} {
		w.Accounts.Connect(account.Peers{Grants: w.Grants, Tickets: w.Tickets, Factors: has})
		p := b.Get("/account")
		if p.Link("Change Second step") != "/patient/account/second-step" || !strings.Contains(p.Text(), "Second step "+says+" Change") {
			t.Errorf("%q is not in %s", says, p.Text())
		}
	}
	inSpanish(t, b, "/account", "My Account", "Mi cuenta")
}

func TestPasswordIsChangedByWhoKnowsTheCurrentOne(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		a := w.Person(accounttest.Email)
		b, elsewhere := w.Browser(mount(w)), w.Browser(mount(w))
		w.SignIn(b, a)
		w.SignIn(elsewhere, a)
		p := b.Get("/account/password")
		if p.H1() != "Change password" || p.Value("username") != accounttest.Email || !p.Has("current-password") {
			t.Fatalf("%s", p.Text())
		}
		for field, c := range map[string][4]string{
			"current-password-err": {"", accounttest.NewPassword, accounttest.NewPassword, "Enter your current password"},
			"new-password-err":     {accounttest.Password, "short", "short", "Use at least 15 characters"},
			"confirm-password-err": {accounttest.Password, accounttest.NewPassword, "x", "The two passwords are not the same"},
		} {
			if p := change(b, c[0], c[1], c[2]); p.Status != http.StatusUnprocessableEntity || p.ByID(field) != c[3] {
				t.Errorf("%s: %d %q", field, p.Status, p.ByID(field))
			}
		}
		if p := change(b, "wrong", accounttest.NewPassword, accounttest.NewPassword); !strings.HasPrefix(p.ByID("current-password-err"), "That is not your current password") {
			t.Errorf("%d %s", p.Status, p.Text())
		}
		if p := change(b, accounttest.Password, accounttest.Password, accounttest.Password); p.ByID("new-password-err") == "" {
			t.Errorf("the same password: %d", p.Status)
		}
		old := b.Cookie("")
		if p := change(b, accounttest.Password, accounttest.NewPassword, accounttest.NewPassword); p.Status != http.StatusSeeOther || p.Location() != "/patient/account?done=password" {
			t.Fatalf("%d %s", p.Status, p.Location())
		}
		if b.Cookie("") == old {
			t.Error("the session kept its name")
		}
		if p := b.Get("/account?done=password"); p.Status != http.StatusOK || !strings.Contains(p.Text(), "Your password is changed.") {
			t.Errorf("%d", p.Status)
		}
		if p := elsewhere.Get("/account"); p.Status != http.StatusSeeOther {
			t.Errorf("the other browser: %d", p.Status)
		}
		b.SetCookie("", old)
		if p := b.Get("/account"); p.Status != http.StatusSeeOther {
			t.Errorf("the old cookie: %d", p.Status)
		}
		if !w.CanSignIn(accounttest.Email, accounttest.NewPassword) || w.CanSignIn(accounttest.Email, accounttest.Password) {
			t.Error("not exactly the new password works")
		}
		w.Deliver()
		if w.Post.To(accounttest.Email) != 1 {
			t.Error("no notice")
		}
	})
}

func TestGuessingTheCurrentPasswordIsSlowedDown(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		a := w.Person(accounttest.Email)
		b := w.Browser(mount(w))
		w.SignIn(b, a)
		b.Get("/account/password")
		slowed := false
		for range 7 {
			p := change(b, "wrong", accounttest.NewPassword, accounttest.NewPassword)
			slowed = slowed || p.ByID("current-password-err") == "Too many tries. Wait one minute or reset your password."
		}
		if !slowed {
			t.Error("not slowed down")
		}
		if p := change(b, accounttest.Password, accounttest.NewPassword, accounttest.NewPassword); p.Status != http.StatusUnprocessableEntity {
			t.Errorf("verified while it had to wait: %d", p.Status)
		}
		dbtest.Advance(w.DB, 2*time.Minute)
		if p := change(b, accounttest.Password, accounttest.NewPassword, accounttest.NewPassword); p.Status != http.StatusSeeOther {
			t.Errorf("after the wait: %d", p.Status)
		}
	})
}

func TestParallelChangesOfOnePasswordLeaveOne(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		a := w.Person(accounttest.Email)
		b := w.Browser(mount(w))
		w.SignIn(b, a)
		csrf := b.Get("/account/password").Value("csrf")
		var won atomic.Int64
		var wg sync.WaitGroup
		for range 4 {
			one := b.Another()
			one.SetCookie("", b.Cookie(""))
			one.SetCookie("flow", b.Cookie("flow"))
			wg.Go(func() {
				p := one.Post("/account/password", url.Values{"csrf": {csrf}, "current-password": {accounttest.Password},
					"new-password": {accounttest.NewPassword}, "confirm-password": {accounttest.NewPassword}})
				if p.Location() == "/patient/account?done=password" {
					won.Add(1)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 || w.Events("password.changed") != 1 {
			t.Errorf("%d changes, %d events", won.Load(), w.Events("password.changed"))
		}
	})
}

func TestDevicesAreSignedOut(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		a, stranger := w.Person(accounttest.Email), w.Person("stranger@example.test")
		b, second, third, other := w.Browser(mount(w)), w.Browser(mount(w)), w.Browser(mount(w)), w.Browser(mount(w))
		here, there := w.SignIn(b, a), w.SignIn(second, a)
		w.SignIn(third, a)
		foreign := w.SignIn(other, stranger)
		b.Get("/account")
		end := func(id uuid.UUID) *webtest.Page { return b.Post("/account/sessions/"+id.String()+"/end", url.Values{}) }
		end(foreign)
		if p := other.Get("/account"); p.Status != http.StatusOK {
			t.Error("signed somebody else out")
		}
		if p := end(there); p.Location() != "/patient/account?done=devices" {
			t.Errorf("%d %s", p.Status, p.Location())
		}
		if len(w.Grants.Sessions) != 1 || w.Grants.Sessions[0] != there {
			t.Errorf("grants of %v revoked", w.Grants.Sessions)
		}
		if second.Get("/account").Status != http.StatusSeeOther || third.Get("/account").Status != http.StatusOK {
			t.Error("the wrong device is signed out")
		}
		if p := b.Post("/account/sessions/nonsense/end", url.Values{}); p.Status != http.StatusNotFound {
			t.Errorf("nonsense: %d", p.Status)
		}
		b.Get("/account")
		b.Post("/account/sessions/end-others", url.Values{})
		if third.Get("/account").Status != http.StatusSeeOther || b.Get("/account").Status != http.StatusOK {
			t.Error("all others and only they have to be signed out")
		}
		if p := end(here); p.Location() != "/patient/signin" || b.Cookie("") != "" {
			t.Errorf("this device: %s", p.Location())
		}
	})
}

func TestLanguageIsRemembered(t *testing.T) {
	w := accounttest.New(t, dbtest.SQLite(t))
	a := w.Person(accounttest.Email)
	b := w.Browser(mount(w))
	w.SignIn(b, a)
	b.Get("/account/language")
	p := b.Post("/account/language", url.Values{"language": {"es"}})
	if p := b.Get(p.Location()); p.H1() != "Mi cuenta" || !strings.Contains(p.Text(), "Español") {
		t.Errorf("%s", p.Text())
	}
	if got := find(t, w, a.ID).Locale; got != "es" {
		t.Errorf("locale %q", got)
	}
	b.Get("/account/language")
	if p := b.Post("/account/language", url.Values{"language": {"xx"}}); p.Status != http.StatusBadRequest {
		t.Errorf("a language nobody speaks: %d", p.Status)
	}
}

// invite makes an invited person and returns the path of the link.
func invite(t *testing.T, w *accounttest.World) (account.Account, string) {
	t.Helper()
	a := w.Create(account.New{LoginEmail: accounttest.Email, State: account.Invited, GivenName: "Maria"})
	if err := w.Accounts.Invite(ctx, w.Realm, a.ID, account.By{Actor: "system", Name: "Maple Pediatrics", ClientID: accounttest.PortalID}); err != nil {
		t.Fatal(err)
	}
	return a, w.LastLink(accounttest.Email)
}

func TestAnInvitationMakesTheAccountActive(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		a, link := invite(t, w)
		b := w.Browser(mount(w))
		before := w.Dump()
		for range 20 {
			if p := w.Browser(mount(w)).Get(link); p.Status != http.StatusOK || p.H1() != "Set up your account" {
				t.Fatalf("%d", p.Status)
			}
		}
		if w.Dump() != before {
			t.Error("looking changed something")
		}
		b.Get(link)
		if p := b.Post(link, url.Values{}); p.Location() != "/patient/activation/password" {
			t.Fatalf("%d %s", p.Status, p.Location())
		}
		if p := b.Get("/activation/question"); p.Location() != "/patient/activation/password" {
			t.Errorf("the second step first: %d", p.Status)
		}
		if p := b.Get("/activation/done"); p.Status != http.StatusGone {
			t.Errorf("the last step first: %d", p.Status)
		}
		p := b.Get("/activation/password")
		if p.Value("username") != accounttest.Email {
			t.Errorf("%s", p.Text())
		}
		if p := b.Post("/activation/password", url.Values{"new-password": {"maria"}, "confirm-password": {"maria"}}); p.ByID("new-password-err") == "" {
			t.Errorf("%d", p.Status)
		}
		chosen := url.Values{"new-password": {accounttest.Password}, "confirm-password": {accounttest.Password}}
		if p := b.Post("/activation/question", url.Values{"question": {"first_pet"}, "answer": {"x"}}); p.Location() != "/patient/activation/password" {
			t.Errorf("the question without a password: %d %s", p.Status, p.Location())
		}
		if p := b.Post("/activation/password", chosen); p.Location() != "/patient/activation/question" {
			t.Fatalf("%d %s", p.Status, p.Text())
		}
		if w.CanSignIn(accounttest.Email, accounttest.Password) || find(t, w, a.ID).State != account.Invited {
			t.Error("active after the first step")
		}
		p = b.Get("/activation/question")
		if !strings.Contains(p.Text(), "people who know you could not guess") || !strings.Contains(p.Text(), "What was the name of your first pet?") {
			t.Errorf("%s", p.Text())
		}
		for field, form := range map[string]url.Values{
			"question-err": {"question": {""}, "answer": {"x"}},
			"answer-err":   {"question": {"first_pet"}, "answer": {accounttest.Password}},
		} {
			if p := b.Post("/activation/question", form); p.Status != http.StatusUnprocessableEntity || p.ByID(field) == "" {
				t.Errorf("%s: %d", field, p.Status)
			}
		}
		if p := b.Post("/activation/question", url.Values{"question": {"first_pet"}, "answer": {accounttest.Answer}}); p.Location() != "/patient/activation/done" {
			t.Fatalf("%d %s", p.Status, p.Text())
		}
		if p := b.Get("/activation/done"); p.Link("Sign in") != accounttest.PortalStart {
			t.Errorf("%d, leads to %q", p.Status, p.Link("Sign in"))
		}
		got := find(t, w, a.ID)
		if got.State != account.Active || !got.EmailVerified || !w.CanSignIn(accounttest.Email, accounttest.Password) {
			t.Errorf("%+v", got)
		}
		if ok, err := w.Accounts.VerifyAnswer(ctx, a.ID, "senor bigotes"); !ok || err != nil {
			t.Errorf("answer: %t %v", ok, err)
		}
		if p := b.Get(link); p.Status != http.StatusGone {
			t.Errorf("the link again: %d", p.Status)
		}
		if w.Events("account.activated") != 1 || w.Events("account.invited") != 1 {
			t.Error("events")
		}
		for _, canary := range []string{strings.TrimPrefix(link, "/activate/"), accounttest.Password, b.Cookie("activation"), accounttest.Answer} {
			if strings.Contains(w.Log.String(), canary) || strings.Contains(w.Dump(), canary) {
				t.Errorf("%q was kept", canary)
			}
		}
	})
}

func TestOneOfManyParallelActivationsWins(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		_, link := invite(t, w)
		var tabs []*webtest.Browser
		for range 8 {
			b := w.Browser(mount(w))
			b.Get(link)
			b.Post(link, url.Values{})
			b.Get("/activation/password")
			b.Post("/activation/password", url.Values{"new-password": {accounttest.Password}, "confirm-password": {accounttest.Password}})
			b.Get("/activation/question")
			tabs = append(tabs, b)
		}
		var won, lost atomic.Int64
		var wg sync.WaitGroup
		for _, b := range tabs {
			wg.Go(func() {
				switch p := b.Post("/activation/question", url.Values{"question": {"first_pet"}, "answer": {accounttest.Answer}}); {
				case p.Location() == "/patient/activation/done":
					won.Add(1)
				case p.Status == http.StatusGone:
					lost.Add(1)
				default:
					t.Errorf("%d %s", p.Status, p.Location())
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 || lost.Load() != 7 {
			t.Errorf("%d won, %d lost", won.Load(), lost.Load())
		}
	})
}

func TestInvitationsEnd(t *testing.T) {
	for name, do := range map[string]func(w *accounttest.World, a account.Account) error{
		"expired": func(w *accounttest.World, _ account.Account) error {
			dbtest.Advance(w.DB, w.Realm.Lifetimes.Invitation+time.Second)
			return nil
		},
		"replaced": func(w *accounttest.World, a account.Account) error {
			return w.Accounts.Invite(ctx, w.Realm, a.ID, account.By{Actor: "system"})
		},
		"disabled": func(w *accounttest.World, a account.Account) error {
			return w.Accounts.Disable(ctx, w.Realm, a.ID, account.By{Actor: "system"})
		},
		"another address": func(w *accounttest.World, a account.Account) error {
			_, err := w.Accounts.ChangeEmail(ctx, w.Realm, a.ID, a.Version, "other@example.test", account.By{Actor: "system"})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, w *accounttest.World) {
				a, link := invite(t, w)
				b := w.Browser(mount(w))
				b.Get(link)
				b.Post(link, url.Values{})
				b.Get("/activation/password")
				if err := do(w, a); err != nil {
					t.Fatal(err)
				}
				if p := b.Post("/activation/password", url.Values{"new-password": {accounttest.Password}, "confirm-password": {accounttest.Password}}); p.Status != http.StatusGone {
					t.Errorf("started walk: %d", p.Status)
				}
				if p := b.Get(link); p.Status != http.StatusGone {
					t.Errorf("link: %d", p.Status)
				}
			})
		})
	}
}
