package account_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/account/accounttest"
	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/database/dbtest"
)

// clinics are the practices that a test knows.
type clinics map[uuid.UUID]string

func (c clinics) Names(_ context.Context, ids []uuid.UUID) (map[uuid.UUID]string, error) {
	names := map[uuid.UUID]string{}
	for _, id := range ids {
		if name, ok := c[id]; ok {
			names[id] = name
		}
	}
	return names, nil
}

var willow = uuid.MustParse("0195713e-7d52-7c3f-9d0c-7a1f6f1f2b10")

func connect(w *accounttest.World, apps account.Apps) {
	w.Accounts.Connect(account.Peers{Grants: w.Grants, Tickets: w.Tickets, Apps: apps, Practices: clinics{willow: "Willow Pediatrics"}})
}

func record(t *testing.T, w *accounttest.World, events ...audit.Event) {
	t.Helper()
	for _, e := range events {
		if e.Realm == "" {
			e.Realm = w.Realm.Name
		}
		if err := w.Audit.Record(ctx, e); err != nil {
			t.Fatal(err)
		}
	}
}

// what tells the sentences of a person's history, newest first.
func what(t *testing.T, w *accounttest.World, a account.Account) (keys []string) {
	t.Helper()
	lines, _, err := w.Accounts.History(ctx, w.Realm, a, audit.Place{})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lines {
		keys = append(keys, l.Key)
	}
	return keys
}

func TestAppsAreCalledAsTheirReaderReads(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		portal := account.App{ClientID: accounttest.PortalID, Name: "Patient Portal", Names: map[string]string{"es": "Portal del Paciente"}}
		connect(w, &someApps{list: []account.App{portal}})
		a := w.Person(accounttest.Email)
		record(t, w, audit.Event{Kind: "signin.succeeded", Actor: a.Actor(), Target: a.Actor(), ClientID: portal.ClientID})
		b := w.Browser(mount(w))
		w.SignIn(b, a)
		for _, path := range []string{"/account/apps?", "/account/apps/remove?app=" + portal.ClientID + "&", "/account/history?"} {
			for lang, names := range map[string][2]string{"es": {"Portal del Paciente", "Patient Portal"}, "en": {"Patient Portal", "Portal del Paciente"}} {
				p := b.Get(path + "lang=" + lang)
				if p.Status != http.StatusOK || !strings.Contains(p.Text(), names[0]) || strings.Contains(p.Text(), names[1]) {
					t.Errorf("%s in %s: %d %s", path, lang, p.Status, p.Text())
				}
			}
		}
	})
}

func TestHistoryIsToldInWordsOfBothLanguages(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		connect(w, &someApps{list: []account.App{diary}})
		a, stranger := w.Person(accounttest.Email), w.Person("stranger@example.test")
		me, dana := a.Actor(), account.Actor(uuid.New())
		record(t, w,
			audit.Event{Kind: "signin.succeeded", Actor: me, Target: me, ClientID: accounttest.PortalID, IP: "198.51.100.23", Details: map[string]any{"device": "Safari, iPhone"}},
			audit.Event{Kind: "signin.failed", Actor: "anonymous", Target: me, IP: "2001:db8:47:1:2:3:4:5", Details: map[string]any{"why": "wrong_password"}},
			audit.Event{Kind: "email.changed", Actor: dana, Target: me, PracticeID: willow.String(), ClientID: "practice-portal", IP: "203.0.113.77",
				Details: map[string]any{"from": "old@example.test", "to": "new@example.test", "reason": "Called in", "device": "Edge, Windows"}},
			audit.Event{Kind: "recovery.staff_requested", Actor: dana, Target: me, PracticeID: uuid.NewString(), IP: "203.0.113.78"},
			audit.Event{Kind: "recovery.requested", Actor: "anonymous", Target: me, IP: "2001:db8:99::/64", Details: map[string]any{"result": "link_queued"}},
			audit.Event{Kind: "consent.given", Actor: me, Target: audit.Client(diary.ClientID), ClientID: diary.ClientID, IP: "198.51.100.23"},
			audit.Event{Kind: "recovery.answered", Actor: "anonymous", Target: me, Details: map[string]any{"question": "first_pet"}},
			// What is not for this person's eyes.
			audit.Event{Kind: "mail.sent", Actor: "system", Target: me},
			audit.Event{Kind: "something.new", Actor: "system", Target: me, Details: map[string]any{"note": "raw text"}},
			audit.Event{Kind: "admin.email_changed", Realm: "practice", Actor: dana, Target: me, IP: "203.0.113.79"},
			audit.Event{Kind: "signin.succeeded", Actor: stranger.Actor(), Target: stranger.Actor(), IP: "192.0.2.200", Details: map[string]any{"device": "Opera, Linux"}},
			audit.Event{Kind: "email.changed", Realm: "practice", Actor: me, Target: me})
		b := w.Browser(mount(w))
		w.SignIn(b, a)
		for lang, c := range map[string]struct {
			h1   string
			says []string
		}{
			"en": {"Sign-in history", []string{"You signed in to Maple Portal", "Somebody tried to sign in with a wrong password", "Willow Pediatrics changed your sign-in email",
				"Your practice sent you a password link", "A password link was asked for, and sent to your email", "You let Growth Diary (registered itself) use your account",
				"Your security question was answered", "Safari, iPhone", "198.51.100.x", "2001:db8:47:x", "2001:db8:99:x", "UTC", "Back to My Account"}},
			"es": {"Historial de inicio de sesión", []string{"Usted inició sesión en Maple Portal", "Alguien intentó iniciar sesión con una contraseña equivocada",
				"Willow Pediatrics cambió su correo electrónico", "Su consultorio le envió un enlace", "Growth Diary (se registró por su cuenta)", "No sabemos desde qué lugar", " de 20"}},
		} {
			p := b.Get("/account/history?lang=" + lang)
			if p.Status != http.StatusOK || p.H1() != c.h1 {
				t.Fatalf("%d %q", p.Status, p.H1())
			}
			for _, says := range c.says {
				if !strings.Contains(p.Text(), says) {
					t.Errorf("%s: %q is not in %s", lang, says, p.Text())
				}
			}
			for _, never := range []string{"203.0.113", "Edge", "198.51.100.23", ":1:2", "old@", "new@example", "Called in", "something.new", "raw text", "first_pet", "first pet",
				dana, "192.0.2.", "Opera", "mail.sent", "practice-portal", "history."} {
				if strings.Contains(p.Text(), never) {
					t.Errorf("%s: %q is in %s", lang, never, p.Text())
				}
			}
		}
	})
}

func TestHistoryHasPagesThatNeitherSkipNorRepeat(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		a := w.Person(accounttest.Email)
		b := w.Browser(mount(w))
		if p := b.Get("/account/history"); p.Status != http.StatusSeeOther || p.Location() != "/patient/signin?return_to=%2Faccount%2Fhistory" {
			t.Errorf("signed out: %d %s", p.Status, p.Location())
		}
		w.SignIn(b, a)
		if p := b.Get("/account/history"); p.Status != http.StatusOK || p.Link("Older") != "" || !strings.Contains(p.Text(), "There is nothing older.") {
			t.Errorf("%d %s", p.Status, p.Text())
		}
		for i := range 45 {
			record(t, w, audit.Event{Kind: "signin.succeeded", Actor: a.Actor(), Target: a.Actor(), Details: map[string]any{"device": fmt.Sprintf("Device number %d.", i)}})
		}
		var seen []string
		path := "/account/history"
		for _, n := range []int{20, 20, 5} {
			p := b.Get(path)
			found := regexp.MustCompile(`Device number \d+\.`).FindAllString(p.Text(), -1)
			if len(found) != n || (p.Link("Back to the newest") == "") != (path == "/account/history") {
				t.Errorf("%s: %d lines", path, len(found))
			}
			seen = append(seen, found...)
			path = strings.TrimPrefix(p.Link("Older"), "/patient")
			if (path == "") != (n == 5) {
				t.Errorf("the link to older ones is %q", path)
			}
		}
		for i, device := range seen {
			if device != fmt.Sprintf("Device number %d.", 44-i) {
				t.Errorf("%d: %s", i, device)
			}
		}
		for _, before := range []string{"x", "%00", strings.Repeat("A", 32) + "'", "..."} {
			if p := b.Get("/account/history?before=" + before); p.Status != http.StatusNotFound {
				t.Errorf("%s: %d", before, p.Status)
			}
		}
		// A place of somebody else's history shows one's own.
		other := w.Person("stranger@example.test")
		record(t, w, audit.Event{Kind: "signin.succeeded", Actor: other.Actor(), Target: other.Actor(), Details: map[string]any{"device": "Foreign"}})
		_, _, err := w.Accounts.History(ctx, w.Realm, other, audit.Place{})
		if p := b.Get("/account/history?before=" + (audit.Place{At: w.DB.Now(ctx).Add(time.Hour)}).String()); err != nil || strings.Contains(p.Text(), "Foreign") {
			t.Error("somebody else's history")
		}
	})
}

// What people do on these pages is found again in their history.
func TestWhatIsDoneIsInTheHistory(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		a := w.Person(accounttest.Email)
		b, other := w.Browser(mount(w)), w.Browser(mount(w))
		w.SignIn(b, a)
		w.SignIn(other, a)
		b.Header.Set("User-Agent", "Mozilla/5.0 (iPhone) Safari/604.1")
		b.Get("/account/password")
		change(b, "wrong", accounttest.NewPassword, accounttest.NewPassword)
		change(b, accounttest.Password, accounttest.NewPassword, accounttest.NewPassword)
		by := account.By{Actor: a.Actor(), IP: "198.51.100.1"}
		if err := w.Accounts.Disable(ctx, w.Realm, a.ID, account.By{Actor: account.Actor(uuid.New()), PracticeID: willow.String()}); err != nil {
			t.Fatal(err)
		}
		if err := w.Accounts.Enable(ctx, w.Realm, a.ID, by); err != nil {
			t.Fatal(err)
		}
		got := what(t, w, a)
		want := []string{"history.enabled", "history.disabled_by", "history.password_changed_you", "history.confirm_failed"}
		if !slices.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
		lines, _, err := w.Accounts.History(ctx, w.Realm, a, audit.Place{})
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range lines[2:] {
			if l.Device != "Safari, iPhone" {
				t.Errorf("%s: on %q", l.Key, l.Device)
			}
		}
	})
}

func TestWhoDidItIsSaid(t *testing.T) {
	w := accounttest.New(t, dbtest.SQLite(t))
	const me = "the person"
	dana := account.Actor(uuid.New())
	for _, c := range []struct {
		e    audit.Event
		want string // "": left out
	}{
		{audit.Event{Kind: "account.frozen", Actor: "anonymous"}, "history.frozen"},
		{audit.Event{Kind: "account.frozen", Actor: dana}, "history.frozen_by"},
		{audit.Event{Kind: "account.unfrozen", Actor: dana, PracticeID: willow.String()}, "history.unfrozen_by"},
		{audit.Event{Kind: "email.changed", Actor: me}, "history.email_changed_you"},
		{audit.Event{Kind: "email.changed", Actor: dana}, "history.email_changed_by"},
		{audit.Event{Kind: "email.changed", Actor: "system"}, "history.email_changed"},
		{audit.Event{Kind: "email.change_requested", Actor: dana}, "history.email_asked_by"},
		{audit.Event{Kind: "email.change_refused", Actor: me, PracticeID: willow.String()}, "history.email_refused"},
		{audit.Event{Kind: "password.changed", Actor: me, Details: map[string]any{"journey": "activation"}}, ""},
		{audit.Event{Kind: "password.changed", Actor: me, Details: map[string]any{"journey": "recovery"}}, "history.password_reset"},
		{audit.Event{Kind: "account.invited", Actor: me}, ""},
		{audit.Event{Kind: "session.ended", Actor: me, Details: map[string]any{"session": "all others"}}, "history.ended_others"},
		{audit.Event{Kind: "session.ended", Actor: me, Details: map[string]any{"session": "x"}}, "history.ended_one"},
		{audit.Event{Kind: "session.ended", Actor: me, Details: map[string]any{"why": "too_many_wrong_passwords"}}, "history.ended_guessing"},
		{audit.Event{Kind: "session.ended", Actor: "system"}, "history.ended"},
		{audit.Event{Kind: "signin.succeeded", Actor: me}, "history.signed_in"},
		{audit.Event{Kind: "signin.failed", Actor: "anonymous", Details: map[string]any{"why": "throttled"}}, "history.throttled"},
		{audit.Event{Kind: "signin.failed", Actor: "anonymous", Details: map[string]any{"why": "passkey: unknown"}}, "history.passkey_failed"},
		{audit.Event{Kind: "signin.password_right", Actor: me}, "history.password_right"},
		{audit.Event{Kind: "signin.second_failed", Actor: "anonymous", Details: map[string]any{"why": "wrong_code"}}, "history.wrong_code"},
		{audit.Event{Kind: "signin.second_failed", Actor: "anonymous", Details: map[string]any{"why": "throttled"}}, "history.second_throttled"},
		{audit.Event{Kind: "signin.second_failed", Actor: "anonymous", Details: map[string]any{"why": "passkey"}}, "history.second_failed"},
		{audit.Event{Kind: "session.ended", Actor: me, Details: map[string]any{"why": "too_many_wrong_codes"}}, "history.ended_codes"},
		{audit.Event{Kind: "signin.failed", Actor: "anonymous", Details: map[string]any{"why": "frozen"}}, "history.signin_failed"},
		{audit.Event{Kind: "factor.added", Actor: me, Details: map[string]any{"factor": "totp"}}, "history.totp_added"},
		{audit.Event{Kind: "factor.added", Actor: me, Details: map[string]any{"factor": "passkey"}}, "history.passkey_added"},
		{audit.Event{Kind: "factor.added", Actor: me}, "history.factor_added"},
		{audit.Event{Kind: "factor.removed", Actor: dana, Details: map[string]any{"factor": "all"}}, "history.factor_removed_by"},
		{audit.Event{Kind: "factor.removed", Actor: me, Details: map[string]any{"factor": "totp"}}, "history.totp_removed"},
		{audit.Event{Kind: "factor.removed", Actor: me, Details: map[string]any{"factor": "passkey"}}, "history.passkey_removed"},
		{audit.Event{Kind: "factor.removed", Actor: me}, "history.factor_removed"},
		{audit.Event{Kind: "recovery.requested", Actor: "anonymous", Details: map[string]any{"result": "enough_for_today"}}, "history.link_not_sent"},
		{audit.Event{Kind: "recovery.requested", Actor: "anonymous", Details: map[string]any{"result": "invited_again"}}, "history.invited_again"},
		{audit.Event{Kind: "recovery.cancelled", Actor: dana}, "history.link_cancelled_by"},
		{audit.Event{Kind: "app.removed", Actor: me}, "history.app_removed"},
		{audit.Event{Kind: "profile.changed", Actor: me}, "history.profile_changed"},
	} {
		a := w.Create(account.New{LoginEmail: uuid.NewString() + "@example.test", State: account.Invited, GivenName: "Maria"})
		if c.e.Target = a.Actor(); c.e.Actor == me {
			c.e.Actor = a.Actor()
		}
		record(t, w, c.e)
		if got := strings.Join(what(t, w, a), " "); got != c.want {
			t.Errorf("%s by %s %v: %q, want %q", c.e.Kind, c.e.Actor, c.e.Details, got, c.want)
		}
	}
}

// untold are the kinds of events that are about an account and not told, each
// with the reason.
var untold = map[string]string{
	"account.created":              "the invitation or the set-up says it",
	"practice.added":               "the invitation says it",
	"account.invitation_cancelled": "nobody had an account then",
	"session.confirmed":            "typing the password again in My Account is no news",
	"session.strengthened":         "an extra step in a session of the person's own",
	"email.change_allowed":         "the change follows",
	"association.lapsed":           "what a practice gave, and the person never used",
	"email.change_failed":          "nothing changed",
	"factor.renamed":               "a name of the person's own",
	"recovery.completed":           "the new password is told",
	"recovery.link_sent":           "that it was asked for is told",
	"recovery.throttled":           "about a network, not an account",
	"waiver.requested":             "its approval is told",
	"consent.denied":               "nothing changed",
	"grant.created":                "the sign-in is told",
	"grant.revoked":                "an app gave its own access back",
	"client.registered":            "about a client",
	"client.changed":               "about a client",
	"client.deleted":               "about a client",
	"logout.undelivered":           "about a client",
	"key.made":                     "about the server",
	"keys.rotated":                 "about the server",
	"database.restored":            "about the server",
	"database.restoring":           "about the server",
	"roles.changed":                "staff's own work, in the staff's realm",
	"patients.searched":            "staff's work, in the staff's realm",
	"patient.viewed":               "staff's work, in the staff's realm",
	"account.viewed":               "an operator's look, for the trail",
	"association.viewed":           "staff's work, in the staff's realm",
	"reset.viewed":                 "staff's work, in the staff's realm",
}

// TestEveryKindOfEventIsToldOrLeftOutOnPurpose reads the code of all rooms, so
// that a new kind of event is not forgotten here.
func TestEveryKindOfEventIsToldOrLeftOutOnPurpose(t *testing.T) {
	kind := regexp.MustCompile(`(?:\b[Kk]ind: *|switchState\(.*|s\.failed\(.*|waive\(ctx, r, sw, |consentEvent\(.*|registrationEvent\(.*)"([a-z_]+\.[a-z_]+)"`)
	found := map[string]string{}
	err := filepath.WalkDir("..", func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.HasPrefix(path, "../demo/") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, m := range kind.FindAllStringSubmatch(string(source), -1) {
			found[m[1]] = path
		}
		return err
	})
	if err != nil || len(found) < 30 {
		t.Fatalf("%d kinds, %v", len(found), err)
	}
	for k, path := range found {
		reason, left := untold[k]
		if told := account.Told(k); told == left {
			t.Errorf("%s (%s): told %t, left out %q: say it in historywords.go, or here why not", k, path, told, reason)
		}
	}
}

// Whoever types somebody's address and any password adds to the history of that
// person, as often as they like. It hides nothing.
func TestFailedSignInsPushNothingOutOfTheHistory(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		a := w.Person(accounttest.Email)
		now := w.DB.Now(ctx)
		dbtest.Advance(w.DB, now.Truncate(time.Hour).Add(time.Hour).Sub(now)) // on the hour
		floods(t, w, a)
		b := w.Browser(mount(w))
		w.SignIn(b, a)
		var all []string
		line := regexp.MustCompile(`(?s)<tr><td.*?</tr>`)
		tags := regexp.MustCompile(`<[^>]*>`)
		path, pages := "/account/history", 0
		for ; path != ""; pages++ {
			p := b.Get(path)
			found := line.FindAllString(p.Body, -1)
			if len(found) > 20 || len(found) < 20 && p.Link("Older") != "" {
				t.Errorf("%s: %d lines", path, len(found))
			}
			for _, f := range found {
				all = append(all, strings.Join(strings.Fields(tags.ReplaceAllString(f, " ")), " "))
			}
			path = strings.TrimPrefix(p.Link("Older"), "/patient")
		}
		// 12 hours of two sign-ins and three sorts of failures, then a flood.
		if len(all) != 12*5+2 || pages != 4 {
			t.Fatalf("%d lines on %d pages:\n%s", len(all), pages, strings.Join(all, "\n"))
		}
		if !strings.Contains(all[1], "More than 100 tries to sign in did not work") || strings.Contains(all[1], "Chrome") {
			t.Errorf("%s", all[1])
		}
		for hour := range 12 {
			for at, says := range []string{fmt.Sprintf("Device number %d.", 23-2*hour), "A passkey did not work Chrome, Windows 203.0.113.x",
				"5 tries to sign in with a wrong password", "We stopped 5 tries to sign in", fmt.Sprintf("Device number %d.", 22-2*hour)} {
				got := all[2+5*hour+at]
				if !strings.Contains(got, says) {
					t.Errorf("hour %d, line %d: %q is not in %s", hour, at, says, got)
				}
				if at == 2 && !strings.Contains(got, "Chrome, Windows 198.51.100.x") || at == 3 && !strings.Contains(got, "– –") {
					t.Errorf("from where: %s", got)
				}
			}
		}
		if p := b.Get("/account/history?lang=es"); !strings.Contains(p.Text(), "Más de 100 intentos de iniciar sesión no funcionaron") || !strings.Contains(p.Text(), "5 intentos de iniciar sesión con una contraseña equivocada") {
			t.Errorf("%s", p.Text())
		}
		// It costs a bounded number of looks, however many failures there were.
		counted, trips := database.CountTrips(ctx)
		if _, _, err := w.Accounts.History(counted, w.Realm, a, audit.Place{}); err != nil || trips.Trips() > 2+21 {
			t.Errorf("%d trips, %v", trips.Trips(), err)
		}
	})
}

// floods records twelve hours in which somebody guesses between a person's own
// sign-ins, and then many tries at once.
func floods(t *testing.T, w *accounttest.World, a account.Account) {
	t.Helper()
	failed := func(n int, why, ip string) {
		for range n {
			record(t, w, audit.Event{Kind: "signin.failed", Actor: "anonymous", Target: a.Actor(), IP: ip,
				Details: map[string]any{"why": why, "device": "Chrome, Windows"}})
		}
	}
	mine := func(i int) {
		record(t, w, audit.Event{Kind: "signin.succeeded", Actor: a.Actor(), Target: a.Actor(), IP: "192.0.2.1",
			Details: map[string]any{"device": fmt.Sprintf("Device number %d.", i)}})
	}
	for i := range 12 {
		failed(3, "wrong_password", "198.51.100.23")
		dbtest.Advance(w.DB, 10*time.Minute)
		mine(2 * i)
		failed(4, "throttled", "198.51.100.23")
		failed(1, "throttled", "203.0.113.9")
		dbtest.Advance(w.DB, 10*time.Minute)
		failed(2, "wrong_password", "198.51.100.99")
		failed(1, "passkey: unknown", "203.0.113.9")
		mine(2*i + 1)
		dbtest.Advance(w.DB, 40*time.Minute)
	}
	failed(250, "throttled", "198.51.100.23")
	mine(99)
}

// That the statement scans nothing is a test of package audit; here is what a
// page costs, however many lines it has.
func TestAPageOfHistoryIsOneQuery(t *testing.T) {
	each(t, func(t *testing.T, w *accounttest.World) {
		connect(w, &someApps{list: []account.App{diary}})
		a := w.Person(accounttest.Email)
		for range 30 {
			record(t, w, audit.Event{Kind: "signin.succeeded", Actor: a.Actor(), Target: a.Actor(), ClientID: diary.ClientID},
				audit.Event{Kind: "email.changed", Actor: "system", Target: a.Actor(), PracticeID: willow.String()})
		}
		counted, trips := database.CountTrips(ctx)
		lines, next, err := w.Accounts.History(counted, w.Realm, a, audit.Place{})
		// The names come from fakes here, which ask nobody.
		if err != nil || len(lines) != 20 || next == nil || trips.Trips() != 1 {
			t.Errorf("%d lines in %d trips, %v", len(lines), trips.Trips(), err)
		}
	})
}
