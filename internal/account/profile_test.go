package account_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/account/accounttest"
	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/session"
)

func TestNamesAreWhatPeopleWriteAndNothingHidden(t *testing.T) {
	for typed, want := range map[string]string{
		"Maria": "Maria", "  Ana   María ": "Ana María", "O’Brien-Smith, Jr.": "O’Brien-Smith, Jr.", "李": "李", "Nguyễn": "Nguyễn", "": "", "   ": "",
		"Jose\u0301": "José", "علی\u200cرضا": "علی\u200cرضا", "Anne\u00a0Marie": "Anne Marie", "X Æ A-12": "X Æ A-12", strings.Repeat("é", 100): strings.Repeat("é", 100),
		"<b>Ana</b>": "<b>Ana</b>", // escaped where it is shown
	} {
		if got, err := account.NormalizeName(typed); got != want || err != nil {
			t.Errorf("%q: %q, %v", typed, got, err)
		}
	}
	for _, bad := range []string{"Ana\nBcc", "Ana\tB", "Ana\x00", "Ana\u202eanA", "\u2066Ana", "Ana\u200b", "\ufeffAna", "Ana\u2028B", "\xff", "Ana\ufffd", "12", "…", "\u200d",
		"Ana\u0085", "Ana\U000e0041", "\u3164", "Ana\ue000"} {
		if _, err := account.NormalizeName(bad); !errors.Is(err, account.ErrNameCharacters) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for _, long := range []string{strings.Repeat("é", 101), strings.Repeat("a", 1<<20)} {
		if _, err := account.NormalizeName(long); !errors.Is(err, account.ErrNameLong) {
			t.Errorf("%d bytes: %v", len(long), err)
		}
	}
}

// reindexed counts whom staff's search has learnt anew.
type reindexed struct {
	mu   sync.Mutex
	ids  []uuid.UUID
	fail error
}

func (r *reindexed) Reindex(_ context.Context, id uuid.UUID) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ids = append(r.ids, id)
	return r.fail
}

func (r *reindexed) Lapse(context.Context, uuid.UUID, uuid.UUID, audit.Event) error { return r.fail }

func names(version, given, family, display string) url.Values {
	return url.Values{"version": {version}, "given-name": {given}, "family-name": {family}, "display-name": {display}}
}

func TestPeopleChangeTheirName(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		directory := &reindexed{}
		w.Accounts.Connect(account.Peers{Grants: w.Grants, Tickets: w.Tickets, Directory: directory})
		a := w.Person(accounttest.Email)
		b := w.Browser(mount(w))
		if p := b.Get("/account/profile"); p.Location() != "/patient/signin?return_to=%2Faccount%2Fprofile" {
			t.Errorf("signed out: %d %s", p.Status, p.Location())
		}
		w.SignIn(b, a)
		p := b.Get("/account/profile")
		version := p.Value("version")
		if p.H1() != "Your name" || p.Value("given-name") != a.GivenName || p.Value("family-name") != a.FamilyName || version != strconv.FormatInt(a.Version, 10) {
			t.Fatalf("%s", p.Text())
		}
		for field, c := range map[string]struct {
			form   url.Values
			en, es string
		}{
			"given-name-err":   {names(version, "", " ", ""), "Enter your name", "Escriba su nombre"},
			"family-name-err":  {names(version, "Ana", strings.Repeat("é", 101), ""), "Use at most 100 characters", "Use como máximo 100 caracteres"},
			"display-name-err": {names(version, "Ana", "", "Ana\u202eanA"), "Use letters, and no hidden characters", "Use letras y ningún carácter oculto"},
		} {
			for lang, says := range map[string]string{"en": c.en, "es": c.es} {
				b.Get("/account/profile?lang=" + lang)
				p := b.Post("/account/profile", c.form)
				if p.Status != http.StatusUnprocessableEntity || p.ByID(field) != says || !strings.Contains(p.Text(), says) {
					t.Errorf("%s %s: %d %q", lang, field, p.Status, p.ByID(field))
				}
			}
		}
		b.Get("/account/profile?lang=en")
		if p := b.Post("/account/profile", names("x", "Ana", "", "")); p.Status != http.StatusBadRequest {
			t.Errorf("no version: %d", p.Status)
		}
		if got := find(t, w, a.ID); got.GivenName != a.GivenName || w.Events("profile.changed") != 0 || len(directory.ids) != 0 {
			t.Error("a refused name was kept")
		}

		p = b.Get("/account/profile")
		if p = b.Post("/account/profile", names(p.Value("version"), " María  José ", "Gómez <i>", "Mari")); p.Status != http.StatusSeeOther || p.Location() != "/patient/account/profile?done=names" {
			t.Fatalf("%d %s", p.Status, p.Text())
		}
		got := find(t, w, a.ID)
		if got.GivenName != "María José" || got.FamilyName != "Gómez <i>" || got.Name != "Mari" || got.Version == a.Version || got.CredentialVersion != a.CredentialVersion {
			t.Errorf("%+v", got)
		}
		if w.Events("profile.changed") != 1 || len(directory.ids) != 1 || directory.ids[0] != a.ID {
			t.Errorf("%d events, reindexed %v", w.Events("profile.changed"), directory.ids)
		}
		if strings.Contains(w.Dump(), `"María José"`) {
			t.Error("the audit trail holds the name")
		}
		if p := b.Get("/account/profile?done=names&lang=es"); !strings.Contains(p.Text(), "Su nombre está guardado.") || p.Value("family-name") != "Gómez <i>" {
			t.Errorf("%s", p.Text())
		}
		if p := b.Get("/account?lang=en"); !strings.Contains(p.Text(), "Mari") {
			t.Errorf("%s", p.Text())
		}

		// An older window: told what is stored now, with what was typed still there.
		p = b.Post("/account/profile", names(version, "Anita", "Old", ""))
		if p.Status != http.StatusUnprocessableEntity || !strings.Contains(p.Text(), "The name is now Mari.") || p.Value("given-name") != "Anita" ||
			p.Value("version") != strconv.FormatInt(got.Version, 10) || !strings.HasPrefix(p.Title(), "Error: ") {
			t.Errorf("%d %s", p.Status, p.Text())
		}
		if p := b.Post("/account/profile", names(p.Value("version"), "Anita", "Old", "")); p.Status != http.StatusSeeOther || find(t, w, a.ID).GivenName != "Anita" {
			t.Errorf("%d", p.Status)
		}
		// Saving what is there already is no change.
		before := w.Events("profile.changed")
		p = b.Get("/account/profile")
		if p := b.Post("/account/profile", names(p.Value("version"), "Anita", "Old", "")); p.Status != http.StatusSeeOther || w.Events("profile.changed") != before {
			t.Errorf("%d", p.Status)
		}

		// Search that cannot follow is no change at all.
		directory.fail = errors.New("the index is away")
		p = b.Get("/account/profile")
		if p := b.Post("/account/profile", names(p.Value("version"), "Never", "", "")); p.Status != http.StatusInternalServerError || find(t, w, a.ID).GivenName != "Anita" {
			t.Errorf("%d", p.Status)
		}
	})
}

func TestOfParallelNamesOneIsKept(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		a := w.Person(accounttest.Email)
		var won, lost atomic.Int64
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				err := w.Accounts.ChangeNames(ctx, w.Realm, a.ID, a.Version, account.Names{Given: "Name " + string(rune('A'+i))}, account.By{Actor: a.Actor()})
				switch {
				case err == nil:
					won.Add(1)
				case errors.Is(err, account.ErrVersion):
					lost.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		all.Wait()
		if won.Load() != 1 || lost.Load() != 7 || w.Events("profile.changed") != 1 {
			t.Errorf("%d won, %d lost", won.Load(), lost.Load())
		}
	})
}

func TestStaffsNamesAreKeptByTheirPractice(t *testing.T) {
	w := accounttest.New(t, dbtest.SQLite(t))
	dana, err := w.Accounts.Create(ctx, w.Other, account.New{LoginEmail: "dana@maple.example.test", State: account.Active, GivenName: "Dana", FamilyName: "Whitfield", Password: accounttest.Password})
	if err != nil {
		t.Fatal(err)
	}
	b := w.BrowserOf(w.Other, mount(w))
	_, token, err := w.Sessions.Start(ctx, w.Other, dana.ID, session.Device{}, account.PasswordMethod)
	if err != nil {
		t.Fatal(err)
	}
	b.SetCookie("", token.Reveal())
	for lang, says := range map[string]string{"en": "ask an administrator", "es": "pida a un administrador"} {
		if p := b.Get("/account/profile?lang=" + lang); p.Status != http.StatusOK || p.Has("given-name") || !strings.Contains(p.Text(), says) || !strings.Contains(p.Text(), "Whitfield") {
			t.Errorf("%d %s", p.Status, p.Text())
		}
	}
	b.Get("/account")
	if p := b.Post("/account/profile", names(strconv.FormatInt(dana.Version, 10), "Eve", "", "")); p.Status != http.StatusForbidden {
		t.Errorf("%d", p.Status)
	}
	if err := w.Accounts.ChangeNames(ctx, w.Other, dana.ID, dana.Version, account.Names{Given: "Eve"}, account.By{}); !errors.Is(err, account.ErrNamesFixed) {
		t.Error(err)
	}
	// The other realm's path does not open the account either.
	if err := w.Accounts.ChangeNames(ctx, w.Realm, dana.ID, dana.Version, account.Names{Given: "Eve"}, account.By{}); !errors.Is(err, account.ErrNotFound) {
		t.Error(err)
	}
}

// Names reach an account in other ways too: staff type them, and imports bring
// them along. A name that turns the text around it is refused everywhere.
func TestNobodyIsCreatedWithANameThatIsNone(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		people := w.Count(`SELECT COUNT(*) FROM accounts`)
		for name, bad := range map[string]string{"bidi": "Maria \u202egro.live", "isolate": "\u2067Maria", "zero width": "Ma\u200bria", "soft hyphen": "Ma\u00adria",
			"a line": "Maria\nGomez", "no letter": "12", "long": strings.Repeat("a", 101), "not text": "Maria\xff", "tag": "Maria\U000e0041"} {
			for field, n := range map[string]account.New{"given": {GivenName: bad}, "family": {FamilyName: bad}, "name": {Name: bad}} {
				for _, state := range []account.State{account.Invited, account.Active} {
					if n.State, n.LoginEmail, n.Password = state, "x@example.test", ""; state == account.Active {
						n.Password = accounttest.Password
					}
					if _, err := w.Accounts.Create(ctx, w.Realm, n); !errors.Is(err, account.ErrName) {
						t.Errorf("%s, %s, %s: %v", name, field, state, err)
					}
				}
			}
		}
		if w.Count(`SELECT COUNT(*) FROM accounts`) != people {
			t.Error("somebody was made")
		}
		a := w.Create(account.New{LoginEmail: "x@example.test", State: account.Invited, GivenName: "  Mari\u0301a ", FamilyName: "O’Neill  Núñez"})
		if a.GivenName != "Mar\u00eda" || a.FamilyName != "O’Neill Núñez" {
			t.Errorf("%q %q", a.GivenName, a.FamilyName)
		}
		if _, err := account.NormalizeName("\u202e"); !errors.Is(err, account.ErrName) || !errors.Is(err, account.ErrNameCharacters) || errors.Is(err, account.ErrNameLong) {
			t.Errorf("%v", err)
		}
	})
}
