package account_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/account/accounttest"
	"github.com/portico-id/portico/internal/web/webtest"
)

var staff = account.By{Actor: "account:0197a1f0-0000-7000-8000-000000000001", PracticeID: "0197a1f0-0000-7000-8000-000000000002",
	Practice: "Riverside Pediatrics", Phone: "555-0199", ClientID: "front-desk", Reason: "called us"}

func byStaff(t *testing.T, w *accounttest.World, a account.Account, email string) (account.EmailChange, error) {
	t.Helper()
	var e account.EmailChange
	err := w.DB.InTx(ctx, func(ctx context.Context) (err error) {
		e, err = w.Accounts.RequestEmailChangeByStaff(ctx, w.Realm, a.ID, a.Version, email, staff)
		return err
	})
	return e, err
}

func TestWhatStaffAskForHappensWhenThePersonAllowsIt(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		a, b := signedIn(w)
		e, err := byStaff(t, w, a, newEmail)
		if err != nil || e.ID == uuid.Nil || e.State != "awaiting_confirmation" || e.NewEmail != newEmail {
			t.Fatalf("%+v %v", e, err)
		}
		pending, err := w.Accounts.PendingEmailChange(ctx, w.Realm, a.ID)
		if err != nil || pending.ID != e.ID || pending.Practice != staff.Practice || pending.PracticeID == nil || pending.PracticeID.String() != staff.PracticeID ||
			pending.RequestedBy == nil || account.Actor(*pending.RequestedBy) != staff.Actor {
			t.Errorf("%+v %v", pending, err)
		}
		if got := subjects(w, accounttest.Email); len(got) != 1 || got[0] != "Riverside Pediatrics wants to change your sign-in email" || w.Post.To(newEmail) != 0 {
			t.Errorf("%q", got)
		}
		link := w.LastLink(accounttest.Email)
		before := w.Dump()
		for range 20 {
			p := w.Browser(mount(w)).Get(link)
			if p.H1() != "Change your sign-in email?" || strings.Contains(p.Text(), "@example.test") {
				t.Fatalf("%d %s", p.Status, p.Text())
			}
		}
		if w.Dump() != before || find(t, w, a.ID).LoginEmail != accounttest.Email || b.Get("/account").Status != http.StatusOK {
			t.Error("something changed before it was allowed")
		}
		reader := w.Browser(mount(w))
		inSpanish(t, reader, link, "Change your sign-in email?", "¿Cambiar el correo con el que inicia sesión?")
		// The address is shown in full: behind a mask a strange one may look like
		// one's own.
		p := follow(reader, link)
		csrf := p.Value("csrf")
		if !strings.Contains(p.Text(), "Riverside Pediatrics wants you to sign in with "+newEmail) || strings.Contains(p.Body, "checked") {
			t.Fatalf("%d %s", p.Status, p.Text())
		}
		for _, neither := range []url.Values{{}, {"decision": {""}}, {"decision": {"on"}}} {
			p = reader.Post("/email/confirm", neither)
			if p.Status != http.StatusUnprocessableEntity || p.ByID("decision-err") != "Choose yes or no" || !strings.HasPrefix(p.Title(), "Error: ") ||
				!strings.Contains(p.Text(), newEmail) || find(t, w, a.ID).LoginEmail != accounttest.Email {
				t.Errorf("%d %s", p.Status, p.Text())
			}
		}
		inSpanish(t, reader, "/email/confirm", "Change your sign-in email?", "¿Cambiar el correo con el que inicia sesión?")
		reader.Get("/email/confirm?lang=es")
		if p := reader.Post("/email/confirm", url.Values{}); p.ByID("decision-err") != "Elija sí o no" || !strings.Contains(p.Text(), "No, yo no pedí esto") {
			t.Errorf("%s", p.Text())
		}
		reader.Get("/email/confirm?lang=en")
		if p := reader.Post("/email/confirm", url.Values{"decision": {"yes"}}); p.Location() != "/patient/email/done" {
			t.Fatalf("%d %s", p.Status, p.Text())
		}
		if p := reader.Get("/email/done"); !strings.Contains(p.Text(), newEmail) {
			t.Errorf("%s", p.Text())
		}
		got := find(t, w, a.ID)
		if got.LoginEmail != newEmail || got.EmailVerified || got.EmailChangedAt == nil || b.Get("/account").Status != http.StatusSeeOther {
			t.Errorf("%+v", got)
		}
		if w.Count(`SELECT COUNT(*) FROM audit_events WHERE kind = 'email.changed' AND actor = $1 AND practice_id = $2`, staff.Actor, staff.PracticeID) != 1 ||
			w.Count(`SELECT COUNT(*) FROM audit_events WHERE kind = 'email.change_allowed' AND actor = $1`, a.Actor()) != 1 {
			t.Error("events")
		}
		if _, err := w.Accounts.PendingEmailChange(ctx, w.Realm, a.ID); !errors.Is(err, account.ErrEmailChange) {
			t.Errorf("still pending: %v", err)
		}
		if p := reader.Post("/email/confirm", url.Values{"decision": {"no"}, "csrf": {csrf}}); p.Status != http.StatusGone {
			t.Errorf("refused afterwards: %d", p.Status)
		}
	})
}

func TestWhatStaffAskForCanBeRefused(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		a := w.Person(accounttest.Email)
		if _, err := byStaff(t, w, a, newEmail); err != nil {
			t.Fatal(err)
		}
		link := w.LastLink(accounttest.Email)
		b := w.Browser(mount(w))
		if p := confirm(b, link, "no"); p.Status != http.StatusSeeOther || p.Location() != "/patient/freeze/confirm" {
			t.Fatalf("%d %s", p.Status, p.Location())
		}
		if p := b.Post("/email/confirm", url.Values{"decision": {"yes"}}); p.Status != http.StatusGone {
			t.Errorf("allowed after it was refused: %d", p.Status)
		}
		if got := find(t, w, a.ID); got.FrozenAt != nil || got.LoginEmail != accounttest.Email {
			t.Errorf("%+v", got)
		}
		if p := b.Get("/freeze/confirm"); p.H1() != "Lock your account?" {
			t.Errorf("%q", p.H1())
		}
		if p := b.Post("/freeze/confirm", url.Values{"decision": {"yes"}}); p.Location() != "/patient/freeze/done" || find(t, w, a.ID).FrozenAt == nil {
			t.Errorf("%d", p.Status)
		}
		if w.Count(`SELECT COUNT(*) FROM audit_events WHERE kind = 'email.change_refused' AND severity = 'high'`) != 1 {
			t.Error("events")
		}
		if _, err := w.Accounts.PendingEmailChange(ctx, w.Realm, a.ID); !errors.Is(err, account.ErrEmailChange) {
			t.Error(err)
		}
	})
}

// The link that confirms a new address may reach a stranger, by a typing
// mistake: it must not hand out the means to lock somebody's account.
func TestAStrangerAtTheNewAddressFreezesNobody(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		a, _, link := asked(t, w)
		b := w.Browser(mount(w))
		for _, p := range []*webtest.Page{b.Get(link), follow(b, link)} {
			if strings.Contains(p.Body, "/freeze/") || strings.Contains(p.Text(), "gomez") {
				t.Errorf("%s", p.Text())
			}
		}
		// Nor by a no, which leaves all as it is.
		before := w.Dump()
		if p := confirm(b, link, "no"); p.Status != http.StatusOK || p.H1() != "Nothing has changed" || w.Dump() != before {
			t.Errorf("%d %s", p.Status, p.Text())
		}
		if p := b.Get("/freeze/confirm"); p.Status != http.StatusGone {
			t.Errorf("%d %s", p.Status, p.Location())
		}
		if w.Count(`SELECT COUNT(*) FROM freeze_links`) != 0 || find(t, w, a.ID).FrozenAt != nil {
			t.Error("a stranger got a link")
		}
		for _, m := range w.Post.All() {
			if m.To == newEmail && strings.Contains(m.Content.Text, "/freeze/") {
				t.Error("the letter has one")
			}
		}
	})
}

func TestStaffsRequestsHaveTheirRules(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		a := w.Person(accounttest.Email)
		w.Create(account.New{LoginEmail: "taken@example.test", State: account.Invited})
		stale := a
		stale.Version++
		for name, c := range map[string]struct {
			a     account.Account
			email string
			want  error
		}{
			"stale": {stale, newEmail, account.ErrVersion}, "taken": {a, "taken@example.test", account.ErrEmailTaken},
			"strange": {a, "x", account.ErrEmail}, "the same": {a, "Maria.Gomez@example.test", account.ErrSameEmail},
			"nobody": {account.Account{ID: uuid.New()}, newEmail, account.ErrNotFound},
		} {
			if _, err := byStaff(t, w, c.a, c.email); !errors.Is(err, c.want) {
				t.Errorf("%s: %v", name, err)
			}
		}
		first, err := byStaff(t, w, a, "first@example.test")
		if err != nil {
			t.Fatal(err)
		}
		old := w.LastLink(accounttest.Email)
		second, err := byStaff(t, w, a, "second@example.test")
		if err != nil || first.ID == second.ID {
			t.Fatal(err)
		}
		if p := w.Browser(mount(w)).Get(old); p.Status != http.StatusGone {
			t.Errorf("the replaced one: %d", p.Status)
		}
		cancel := func() error {
			return w.DB.InTx(ctx, func(ctx context.Context) error {
				return w.Accounts.CancelEmailChange(ctx, w.Realm, a.ID, account.StaffsWish, staff)
			})
		}
		link := w.LastLink(accounttest.Email)
		if err := cancel(); err != nil {
			t.Fatal(err)
		}
		if p := w.Browser(mount(w)).Get(link); p.Status != http.StatusGone || w.Events("email.change_cancelled") != 1 {
			t.Errorf("the cancelled one: %d", p.Status)
		}
		if err := cancel(); !errors.Is(err, account.ErrEmailChange) {
			t.Errorf("cancelled twice: %v", err)
		}
		for range 3 {
			if _, err := byStaff(t, w, a, newEmail); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := byStaff(t, w, a, newEmail); !errors.Is(err, account.ErrTooMany) {
			t.Errorf("the sixth in a day: %v", err)
		}
		if err := w.Accounts.Disable(ctx, w.Realm, a.ID, staff); err != nil {
			t.Fatal(err)
		}
		if _, err := byStaff(t, w, find(t, w, a.ID), newEmail); !errors.Is(err, account.ErrState) {
			t.Errorf("closed: %v", err)
		}
	})
}
