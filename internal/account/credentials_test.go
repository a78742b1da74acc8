package account_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/account/accounttest"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/password"
)

var ctx = context.Background()

func each(t *testing.T, fn func(t *testing.T, w *accounttest.World)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, db *database.DB) { fn(t, accounttest.New(t, db)) })
}

func find(t *testing.T, w *accounttest.World, id uuid.UUID) account.Account {
	t.Helper()
	a, err := w.Accounts.Find(ctx, w.Realm.Name, id)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAuthenticateHasOneAnswer(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		a := w.Person(accounttest.Email)
		closed := w.Person("closed@example.test")
		if err := w.Accounts.Disable(ctx, w.Realm, closed.ID, account.By{Actor: "system"}); err != nil {
			t.Fatal(err)
		}
		w.Create(account.New{LoginEmail: "invited@example.test", State: account.Invited})
		for why, try := range map[string][2]string{
			"wrong_password":  {accounttest.Email, "wrong"},
			"unknown":         {"nobody@example.test", accounttest.Password},
			"not_active":      {"closed@example.test", accounttest.Password},
			"unknown ":        {"not an address", accounttest.Password},
			"not_active ":     {"invited@example.test", ""},
			"wrong_password ": {accounttest.Email, strings.Repeat("x", 5000)},
		} {
			_, err := w.Accounts.Authenticate(ctx, w.Realm, try[0], try[1])
			var refusal *account.Refusal
			if !errors.Is(err, account.ErrCredentials) || err.Error() != account.ErrCredentials.Error() ||
				!errors.As(err, &refusal) || refusal.Why != strings.TrimSpace(why) {
				t.Errorf("%s: %v (%+v)", why, err, refusal)
			}
		}
		got, err := w.Accounts.Authenticate(ctx, w.Realm, " MARIA.gomez@example.test", accounttest.Password)
		if err != nil || got.ID != a.ID {
			t.Errorf("%v, %v", got.ID, err)
		}
		// The same person's address in another realm is another person's.
		if _, err := w.Accounts.Authenticate(ctx, w.Other, accounttest.Email, accounttest.Password); !errors.Is(err, account.ErrCredentials) {
			t.Errorf("another realm: %v", err)
		}
	})
}

func TestSignedInRefusesWhatIsNoLongerTrue(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		w.Person(accounttest.Email)
		a, err := w.Accounts.Authenticate(ctx, w.Realm, accounttest.Email, accounttest.Password)
		if err != nil {
			t.Fatal(err)
		}
		replace(t, w, a, accounttest.NewPassword)
		if err := w.Accounts.SignedIn(ctx, a); !errors.Is(err, account.ErrCredentials) {
			t.Errorf("after a password change: %v", err)
		}
		a = find(t, w, a.ID)
		if err := w.Accounts.SignedIn(ctx, a); err != nil {
			t.Error(err)
		}
		if find(t, w, a.ID).LastSignedInAt == nil {
			t.Error("not noted")
		}
	})
}

func replace(t *testing.T, w *accounttest.World, a account.Account, plain string) {
	t.Helper()
	hash, err := w.Accounts.HashPassword(ctx, w.Realm, a, plain)
	if err != nil {
		t.Fatal(err)
	}
	err = w.DB.InTx(ctx, func(ctx context.Context) error {
		return w.Accounts.ReplacePassword(ctx, w.Realm, a.ID, hash, account.Reason{Why: account.Change, By: account.By{Actor: a.Actor(), Device: "Firefox, Linux"}})
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestReplacePasswordEndsEverythingOrNothing(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		a := w.Person(accounttest.Email)
		b := w.Browser(mount(w))
		session := w.SignIn(b, a)
		replace(t, w, a, accounttest.NewPassword)
		after := find(t, w, a.ID)
		if after.CredentialVersion != a.CredentialVersion+1 {
			t.Errorf("credential version %d, was %d", after.CredentialVersion, a.CredentialVersion)
		}
		if w.Count(`SELECT COUNT(*) FROM sessions WHERE id = $1 AND ended_at IS NULL`, session) != 0 ||
			len(w.Grants.Accounts) != 1 || len(w.Tickets.Reasons) != 1 || w.Events("password.changed") != 1 {
			t.Errorf("grants %v, tickets %v", w.Grants.Accounts, w.Tickets.Reasons)
		}
		w.Deliver()
		if w.Post.To(accounttest.Email) != 1 {
			t.Error("no notice")
		}
		// When the audit trail cannot be written, nothing happens.
		w.Exec(`DROP TABLE audit_unchained`)
		hash, err := w.Accounts.HashPassword(ctx, w.Realm, a, "a third long enough one")
		if err != nil {
			t.Fatal(err)
		}
		err = w.DB.InTx(ctx, func(ctx context.Context) error {
			return w.Accounts.ReplacePassword(ctx, w.Realm, a.ID, hash, account.Reason{Why: account.Change})
		})
		if err == nil || !w.CanSignIn(accounttest.Email, accounttest.NewPassword) {
			t.Errorf("without audit: %v", err)
		}
		if n := w.Count(`SELECT COUNT(*) FROM mail_outbox`); n != 1 {
			t.Errorf("%d letters", n)
		}
	})
}

func TestCreateJudgesWhatItIsGiven(t *testing.T) {
	w := accounttest.New(t, dbtest.SQLite(t))
	w.Person(accounttest.Email)
	good := account.New{LoginEmail: "new@example.test", State: account.Active, GivenName: "Rosalinda",
		Password: accounttest.Password, Question: accounttest.Question, Answer: accounttest.Answer}
	for name, c := range map[string]struct {
		change func(n *account.New)
		want   error
	}{
		"address":            {func(n *account.New) { n.LoginEmail = "x" }, account.ErrEmail},
		"taken":              {func(n *account.New) { n.LoginEmail = "MARIA.gomez@example.test" }, account.ErrEmailTaken},
		"short":              {func(n *account.New) { n.Password = "short" }, password.ErrShort},
		"common":             {func(n *account.New) { n.Password = "passwordpassword" }, password.ErrCommon},
		"own name":           {func(n *account.New) { n.Password = "rosalindarosalinda" }, password.ErrCommon},
		"no password":        {func(n *account.New) { n.Password = "" }, account.ErrState},
		"invited with one":   {func(n *account.New) { n.State = account.Invited }, account.ErrState},
		"unknown question":   {func(n *account.New) { n.Question = "mothers_maiden_name" }, account.ErrQuestion},
		"empty answer":       {func(n *account.New) { n.Answer = " \u0301 " }, account.ErrAnswerEmpty},
		"long answer":        {func(n *account.New) { n.Answer = strings.Repeat("x", 2000) }, account.ErrAnswerLong},
		"answer is email":    {func(n *account.New) { n.Answer = "NEW@example.test" }, account.ErrAnswerObvious},
		"answer is its name": {func(n *account.New) { n.Answer = "new" }, account.ErrAnswerObvious},
		"answer is password": {func(n *account.New) { n.Answer = accounttest.Password }, account.ErrAnswerObvious},
		"answer is question": {func(n *account.New) { n.Answer = "what was the name of your first pet?" }, account.ErrAnswerObvious},
		"answer is pregunta": {func(n *account.New) { n.Answer = "Como se llamaba su primera mascota" }, account.ErrAnswerObvious},
		"nothing is wrong":   {func(*account.New) {}, nil},
	} {
		n := good
		c.change(&n)
		if _, err := w.Accounts.Create(ctx, w.Realm, n); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if n := w.Count(`SELECT COUNT(*) FROM accounts`); n != 2 {
		t.Errorf("%d accounts", n)
	}
}

func TestAnswersIgnoreCaseAccentsAndSpaces(t *testing.T) {
	w := accounttest.New(t, dbtest.SQLite(t))
	a := w.Person(accounttest.Email)
	for answer, want := range map[string]bool{"Señor Bigotes": true, "  SENOR\u00a0 bigotes ": true, "ＳＥＮＯＲ bigotes": true,
		"senorbigotes": false, "": false, "x": false} {
		if ok, err := w.Accounts.VerifyAnswer(ctx, a.ID, answer); err != nil || ok != want {
			t.Errorf("%q: %t, %v", answer, ok, err)
		}
	}
	if ok, err := w.Accounts.VerifyAnswer(ctx, uuid.New(), ""); ok || err != nil {
		t.Error("nothing on file, and nothing matched it")
	}
	if key, ok, err := w.Accounts.Question(ctx, a.ID); key != accounttest.Question || !ok || err != nil {
		t.Errorf("%q %t %v", key, ok, err)
	}
}

func TestEveryQuestionHasItsSentence(t *testing.T) {
	w := accounttest.New(t, dbtest.SQLite(t))
	if len(account.Questions()) < 8 {
		t.Error("fewer than eight questions")
	}
	for _, key := range account.Questions() {
		for _, lang := range w.Catalog.Languages() {
			if _, ok := w.Catalog.Message(lang, account.QuestionSentence(key)); !ok {
				t.Errorf("%s has no sentence in %s", key, lang)
			}
		}
	}
}

func TestChangeEmailEndsSessionsAndTellsBothAddresses(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		a := w.Person(accounttest.Email)
		w.Person("taken@example.test")
		by := account.By{Actor: "account:" + uuid.NewString(), Reason: "called us"}
		for name, c := range map[string]struct {
			email   string
			version int64
			want    error
		}{
			"stale":   {"new@example.test", a.Version + 1, account.ErrVersion},
			"taken":   {"Taken@example.test", a.Version, account.ErrEmailTaken},
			"strange": {"\u212A@example.test", a.Version, account.ErrEmail},
		} {
			if _, err := w.Accounts.ChangeEmail(ctx, w.Realm, a.ID, c.version, c.email, by); !errors.Is(err, c.want) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := w.Accounts.ChangeEmail(ctx, w.Other, a.ID, a.Version, "new@example.test", by); !errors.Is(err, account.ErrNotFound) {
			t.Errorf("another realm: %v", err)
		}
		b := w.Browser(mount(w))
		session := w.SignIn(b, a)
		got, err := w.Accounts.ChangeEmail(ctx, w.Realm, a.ID, a.Version, "New@example.test", by)
		if err != nil {
			t.Fatal(err)
		}
		if got.LoginEmail != "new@example.test" || got.EmailVerified || got.EmailChangedAt == nil || got.Version == a.Version || got.CredentialVersion == a.CredentialVersion {
			t.Errorf("%+v", got)
		}
		if w.Count(`SELECT COUNT(*) FROM sessions WHERE id = $1 AND ended_at IS NULL`, session) != 0 || len(w.Grants.Accounts) != 1 || len(w.Tickets.Reasons) != 1 {
			t.Error("something lives on")
		}
		w.Deliver()
		if w.Post.To(accounttest.Email) != 1 || w.Post.To("new@example.test") != 1 {
			t.Error("both addresses have to be told")
		}
		for _, m := range w.Post.All() {
			if m.To == accounttest.Email && strings.Contains(m.Content.Text, "new@example.test") {
				t.Error("the old address is told the whole new one")
			}
		}
		if !w.CanSignIn("new@example.test", accounttest.Password) || w.CanSignIn(accounttest.Email, accounttest.Password) {
			t.Error("not exactly the new address works")
		}
	})
}

func TestConcurrentEmailChangesToOneAddress(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		people := []account.Account{w.Person("a@example.test"), w.Person("b@example.test"), w.Person("c@example.test")}
		var won atomic.Int64
		var wg sync.WaitGroup
		for _, a := range people {
			wg.Go(func() {
				_, err := w.Accounts.ChangeEmail(ctx, w.Realm, a.ID, a.Version, "wanted@example.test", account.By{Actor: "system"})
				switch {
				case err == nil:
					won.Add(1)
				case !errors.Is(err, account.ErrEmailTaken):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			t.Errorf("%d won", won.Load())
		}
	})
}

func TestDisableAndEnable(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		a, by := w.Person(accounttest.Email), account.By{Actor: "system"}
		if err := w.Accounts.Enable(ctx, w.Realm, a.ID, by); !errors.Is(err, account.ErrState) {
			t.Errorf("enable an active account: %v", err)
		}
		if err := w.Accounts.Disable(ctx, w.Realm, a.ID, by); err != nil {
			t.Fatal(err)
		}
		if w.CanSignIn(accounttest.Email, accounttest.Password) || find(t, w, a.ID).State != account.Disabled {
			t.Error("not closed")
		}
		if err := w.Accounts.Disable(ctx, w.Realm, a.ID, by); !errors.Is(err, account.ErrState) {
			t.Errorf("disable twice: %v", err)
		}
		if err := w.Accounts.Enable(ctx, w.Realm, a.ID, by); err != nil {
			t.Fatal(err)
		}
		if !w.CanSignIn(accounttest.Email, accounttest.Password) {
			t.Error("not open")
		}
		invited := w.Create(account.New{LoginEmail: "invited@example.test", State: account.Invited})
		if err := w.Accounts.Disable(ctx, w.Realm, invited.ID, by); err != nil {
			t.Fatal(err)
		}
		if err := w.Accounts.Enable(ctx, w.Realm, invited.ID, by); err != nil || find(t, w, invited.ID).State != account.Invited {
			t.Errorf("an invited account comes back as %s, %v", find(t, w, invited.ID).State, err)
		}
	})
}

func TestThrottleSlowsGuessingButNotKnownDevices(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		now := time.Date(2025, 3, 3, 9, 0, 0, 0, time.UTC)
		dbtest.SetNow(w.DB, func() time.Time { return now })
		attacker := account.Attempt{Email: accounttest.Email, Network: "192.0.2.66"}
		waited := false
		failed := 0
		for range 400 {
			wait, dead, err := w.Throttle.Begin(ctx, w.Realm, attacker)
			if err != nil {
				t.Fatal(err)
			}
			if wait > 0 {
				if failed < 5 {
					t.Fatalf("slowed down after %d failures", failed)
				}
				waited = true
				now = now.Add(wait)
				continue
			}
			if dead {
				break
			}
			failed++
		}
		if !waited || failed != w.Realm.SignIn.DisableAtFailures {
			t.Errorf("waited %t, %d tries before the password was disabled", waited, failed)
		}
		// Another network is told the same, a device that is known is not.
		if _, dead, err := w.Throttle.Begin(ctx, w.Realm, account.Attempt{Email: "MARIA.gomez@example.test", Network: "198.51.100.1"}); !dead || err != nil {
			t.Errorf("another network: %t, %v", dead, err)
		}
		if wait, dead, err := w.Throttle.Begin(ctx, w.Realm, account.Attempt{Email: accounttest.Email, Network: attacker.Network, Device: "known"}); wait != 0 || dead || err != nil {
			t.Errorf("known device: %s %t %v", wait, dead, err)
		}
		// Recovery lifts it.
		if err := w.Throttle.Forget(ctx, w.Realm, accounttest.Email, attacker.Network); err != nil {
			t.Fatal(err)
		}
		if wait, dead, err := w.Throttle.Begin(ctx, w.Realm, attacker); wait != 0 || dead || err != nil {
			t.Errorf("after recovery: %s %t %v", wait, dead, err)
		}
	})
}
