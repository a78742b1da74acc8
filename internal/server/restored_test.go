package server_test

import (
	"context"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/oauth2"

	"github.com/portico-id/portico/config"
	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/server"
)

// copied makes a copy of a database that nobody uses just now.
func copied(t *testing.T, engine, dsn string) string {
	t.Helper()
	if engine == "sqlite" {
		content, err := os.ReadFile(strings.TrimPrefix(dsn, "sqlite:"))
		if err != nil {
			t.Fatal(err)
		}
		to := dbtest.SQLiteURL(t)
		if err := os.WriteFile(strings.TrimPrefix(to, "sqlite:"), content, 0o600); err != nil {
			t.Fatal(err)
		}
		return to
	}
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	from := strings.TrimPrefix(u.Path, "/")
	name := from + "_backup"
	u.Path = "/postgres"
	conn, err := pgx.Connect(t.Context(), u.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = conn.Exec(context.Background(), "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)")
		conn.Close(context.Background())
	})
	if _, err := conn.Exec(t.Context(), "CREATE DATABASE "+name+" TEMPLATE "+from); err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}

// goOn starts the provider again, on another database.
func (w *world) goOn(t *testing.T, dsn string) {
	t.Helper()
	w.dsn, w.env["DATABASE_URL"] = dsn, dsn
	if err := w.start(); err != nil {
		t.Fatal(err)
	}
}

func (w *world) halt(t *testing.T) {
	t.Helper()
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
}

// restored does what the operator does with a database from a backup.
func (w *world) restored(t *testing.T, dsn string) map[string]server.Closed {
	t.Helper()
	w.dsn, w.env["DATABASE_URL"] = dsn, dsn
	cfg, err := config.Parse("test.yaml", []byte(w.yaml), w.lookup)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	db, err := server.OpenDatabase(t.Context(), cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	o, err := server.NewOperator(cfg, db, log)
	if err != nil {
		t.Fatal(err)
	}
	closed := map[string]server.Closed{}
	for _, r := range cfg.Realms() {
		if closed[r.Name], err = o.Restored(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	return closed
}

// A backup knows as unused what was used after it was made.
func TestARestoredBackupRevivesNoLinkSessionOrToken(t *testing.T) {
	t.Parallel()
	for _, engine := range engines {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			w := alone(t, engine, options{})
			forgetful, reader, mover, newcomer := w.person(t, "patient"), w.person(t, "patient"), w.person(t, "patient"), w.invited(t, "patient")
			portal := w.party(t, "patient", "portal")

			// What is open when the backup is made.
			reset := w.forget(t, w.browser(t), forgetful, 1).link(t)
			walked := w.browser(t)
			last := w.answered(t, walked, reset, forgetful)
			phone := w.browser(t)
			had := portal.signIn(phone, reader)
			waiting := portal.begin(oauth2.SetAuthURLParam("prompt", "none"))
			code := portal.code(t, waiting, phone.open(waiting.url))
			invitation := w.mail.wait(t, newcomer.email, inviteLetter, 1).link(t)
			a, err := w.srv.Accounts().FindByEmail(t.Context(), "patient", mover.email)
			if err != nil {
				t.Fatal(err)
			}
			moved := "moved-" + mover.email
			if err := w.srv.Accounts().RequestEmailChange(t.Context(), w.realm(t, "patient"), a, moved, account.By{Actor: a.Actor()}); err != nil {
				t.Fatal(err)
			}
			w.mail.wait(t, moved, "/email/", 1)
			confirm := w.ownLinks(moved, "email")[0]
			eventually(t, "no letter is under way", func() bool {
				return w.count(t, `SELECT COUNT(*) FROM mail_outbox WHERE state = 'queued'`) == 0
			})
			thief := phone.tab()
			w.halt(t)
			backup := copied(t, engine, w.dsn)

			// Afterwards all of it is used or ended.
			w.goOn(t, w.dsn)
			choose(walked, last, forgetful.other).want(t, 200, "Your password is changed")
			if r := portal.redeem(t, waiting, code); r.status != 200 {
				t.Fatalf("%d %s", r.status, r.body)
			}
			phone.send(phone.open(w.issuer("patient") + "/oauth/logout"))
			if portal.silently(thief.tab()) != "login_required" {
				t.Fatal("the session was not ended")
			}
			w.halt(t)

			// The backup is put back.
			closed := w.restored(t, backup)["patient"]
			if closed.Sessions != 1 || closed.Grants != 2 || closed.Links != 3 {
				t.Errorf("ended: %+v", closed)
			}
			w.goOn(t, backup)
			w.browser(t).open(reset).want(t, 410, gone)
			if again := w.browser(t); w.browser(t).open(invitation).status != 410 || again.open(confirm).status != 410 {
				t.Error("the invitation or the confirmation works")
			}
			if p := walked.open(w.issuer("patient") + "/recovery/password"); p.h1() == "Create a new password" {
				t.Error("the recovery goes on")
			}
			w.signedOut(t, portal, thief, had)
			refusedGrant(t, portal.redeem(t, waiting, code))
			if n := w.count(t, `SELECT COUNT(*) FROM audit_events WHERE kind = 'database.restored' AND severity = 'high'`); n != int64(len(w.realms)) {
				t.Errorf("%d events", n)
			}

			// And people go on: with what they had, and by new links.
			if !w.canSignIn(t, forgetful, forgetful.password) {
				t.Error("the password of the backup does not work")
			}
			dbtest.Advance(w.db(), 6*time.Minute)
			b := w.browser(t)
			choose(b, w.answered(t, b, w.forget(t, b, forgetful, 2).link(t), forgetful), forgetful.other).want(t, 200, "Your password is changed")
		})
	}
}
