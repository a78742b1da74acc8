package account_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/account/accounttest"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/realm"
)

// someApps are the apps of whoever asks, until they are removed.
type someApps struct {
	list    []account.App
	owner   uuid.UUID // uuid.Nil: everybody
	removed []string
	by      account.By
	fail    error
}

func (s *someApps) Connected(_ context.Context, _ *realm.Realm, accountID uuid.UUID) ([]account.App, error) {
	if s.owner != uuid.Nil && accountID != s.owner {
		return nil, s.fail
	}
	return s.list, s.fail
}

func (s *someApps) Remove(_ context.Context, _ *realm.Realm, accountID uuid.UUID, clientID string, by account.By) error {
	i := slices.IndexFunc(s.list, func(a account.App) bool { return a.ClientID == clientID })
	if i < 0 || s.owner != uuid.Nil && accountID != s.owner {
		return errors.Join(account.ErrApp, s.fail)
	}
	s.list = slices.Delete(slices.Clone(s.list), i, i+1)
	s.removed, s.by = append(s.removed, clientID), by
	return s.fail
}

func (s *someApps) Names(_ context.Context, r *realm.Realm, ids []string) (map[string]account.App, error) {
	names := map[string]account.App{}
	for _, id := range ids {
		if c, ok := r.Client(id); ok {
			names[id] = account.App{ClientID: id, Name: c.Name}
		}
	}
	for _, a := range s.list {
		names[a.ClientID] = a
	}
	return names, s.fail
}

var (
	diary = account.App{ClientID: "dyn-AAAAAAAAAAAAAAAAAAAAAA", Name: "Growth Diary", Registered: true, Since: time.Date(2025, 3, 6, 9, 0, 0, 0, time.UTC),
		LastUsed: time.Date(2025, 3, 9, 14, 12, 0, 0, time.UTC), MaySee: []string{"consent.scope.openid", "consent.scope.email"}}
	old = account.App{ClientID: "old portal/é?&", Name: "old portal/é?&", Since: time.Date(2025, 1, 2, 9, 0, 0, 0, time.UTC), MaySee: []string{"consent.scope.openid"}}
)

func TestConnectedAppsAreShownAndRemoved(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		a, stranger := w.Person(accounttest.Email), w.Person("stranger@example.test")
		apps := &someApps{list: []account.App{diary, old}, owner: a.ID}
		connect(w, apps)
		b := w.Browser(mount(w))
		if p := b.Get("/account/apps"); p.Location() != "/patient/signin?return_to=%2Faccount%2Fapps" {
			t.Errorf("signed out: %d %s", p.Status, p.Location())
		}
		w.SignIn(b, a)
		for lang, c := range map[string]struct {
			h1   string
			says []string
		}{
			"es": {"Aplicaciones conectadas", []string{"Esta aplicación se registró por su cuenta", "Conectada desde 6 de marzo de 2025", "domingo 9 de marzo de 2025, 2:12 p. m.",
				"No está en uso ahora", "Puede", "Ver su correo electrónico", "Quitar el acceso", "Volver a Mi cuenta"}},
			"en": {"Connected apps", []string{"Growth Diary", "This app registered itself", "Connected since March 6, 2025", "Sunday, March 9, 2025, 2:12 PM UTC", "old portal/é?&",
				"Not in use now", "See your email", "Remove access Growth Diary"}},
		} {
			p := b.Get("/account/apps?lang=" + lang)
			if p.Status != http.StatusOK || p.H1() != c.h1 {
				t.Fatalf("%d %q", p.Status, p.H1())
			}
			for _, says := range c.says {
				if !strings.Contains(p.Text(), says) {
					t.Errorf("%s: %q is not in %s", lang, says, p.Text())
				}
			}
		}
		p := b.Get(strings.TrimPrefix(b.Get("/account/apps?lang=en").Link("Remove access old portal/é?&"), "/patient"))
		if p.Status != http.StatusOK || p.H1() != "Remove the access of old portal/é?&?" || p.Value("app") != old.ClientID || strings.Contains(p.Text(), "registered itself") {
			t.Fatalf("%d %s", p.Status, p.Text())
		}
		p = b.Get("/account/apps/remove?app=" + diary.ClientID + "&lang=es")
		if p.H1() != "¿Quitar el acceso de Growth Diary?" || !strings.Contains(p.Text(), "Nadie ha comprobado") || len(apps.removed) != 0 {
			t.Errorf("%s", p.Text())
		}
		b.Get("/account/apps?lang=en")

		// Somebody else cannot, and is not told more than the owner would be.
		other := w.Browser(mount(w))
		w.SignIn(other, stranger)
		if p := other.Get("/account/apps"); strings.Contains(p.Text(), "Growth Diary") || !strings.Contains(p.Text(), "No app is connected.") {
			t.Errorf("%s", p.Text())
		}
		if p := other.Get("/account/apps/remove?app=" + diary.ClientID); p.Status != http.StatusSeeOther || p.Location() != "/patient/account/apps" {
			t.Errorf("%d %s", p.Status, p.Location())
		}
		other.Get("/account")
		if p := other.Post("/account/apps/remove", url.Values{"app": {diary.ClientID}}); p.Location() != "/patient/account/apps?done=removed" || len(apps.removed) != 0 {
			t.Errorf("%d %s, removed %v", p.Status, p.Location(), apps.removed)
		}

		b.Get("/account/apps/remove?app=" + diary.ClientID)
		if p := b.Post("/account/apps/remove", url.Values{"app": {diary.ClientID}, "csrf": {"x"}}); p.Status != http.StatusForbidden || len(apps.removed) != 0 {
			t.Errorf("forged: %d", p.Status)
		}
		b.Get("/account/apps/remove?app=" + diary.ClientID)
		for range 2 { // a double click
			if p := b.Post("/account/apps/remove", url.Values{"app": {diary.ClientID}}); p.Status != http.StatusSeeOther || p.Location() != "/patient/account/apps?done=removed" {
				t.Fatalf("%d %s", p.Status, p.Location())
			}
		}
		if !slices.Equal(apps.removed, []string{diary.ClientID}) || apps.by.Actor != a.Actor() || apps.by.IP == "" {
			t.Errorf("%v by %+v", apps.removed, apps.by)
		}
		if p := b.Get("/account/apps?done=removed"); !strings.Contains(p.Text(), "The access is removed.") || strings.Contains(p.Text(), "Growth Diary") {
			t.Errorf("%s", p.Text())
		}
	})
}

func TestWithoutClientsThereAreNoApps(t *testing.T) {
	w := accounttest.New(t, dbtest.SQLite(t))
	a := w.Person(accounttest.Email)
	b := w.Browser(mount(w))
	w.SignIn(b, a)
	if p := b.Get("/account/apps?lang=es"); p.Status != http.StatusOK || !strings.Contains(p.Text(), "No hay ninguna aplicación conectada.") {
		t.Errorf("%d %s", p.Status, p.Text())
	}
	b.Get("/account")
	if p := b.Post("/account/apps/remove", url.Values{"app": {"x"}}); p.Status != http.StatusSeeOther {
		t.Errorf("%d", p.Status)
	}
	connect(w, &someApps{fail: errors.New("the database is away")})
	if p := b.Get("/account/apps"); p.Status != http.StatusInternalServerError {
		t.Errorf("%d", p.Status)
	}
}

func TestOnlyTheBeginningOfAnAddressIsShown(t *testing.T) {
	for ip, want := range map[string]string{
		"203.0.113.77": "203.0.113.x", "::ffff:203.0.113.77": "203.0.113.x", "2001:db8:1:2:3:4:5:6": "2001:db8:1:x", "2001:db8::/64": "2001:db8:0:x",
		"fe80::1%eth0": "fe80:0:0:x", "": "", "unknown": "", "<b>": "",
	} {
		if got := account.Network(ip); got != want {
			t.Errorf("%q: %q, want %q", ip, got, want)
		}
	}
}
