package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/portico-id/portico/config"
	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/demo/seed"
	"github.com/portico-id/portico/internal/locale"
	"github.com/portico-id/portico/internal/mail"
	"github.com/portico-id/portico/internal/password"
	"github.com/portico-id/portico/internal/practice"
	"github.com/portico-id/portico/internal/ratelimit"
	"github.com/portico-id/portico/internal/secret"
	"github.com/portico-id/portico/internal/session"
	"github.com/portico-id/portico/templates"
)

func TestSeedingTwiceChangesNothing(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		ctx := t.Context()
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		o := parse(t)
		s, err := loadSecrets(t.TempDir(), o.confidential())
		must(err)
		text, err := o.configure()
		must(err)
		cfg, err := config.Parse("demo.yaml", text, o.environment(s, "sqlite:x.db"))
		must(err)
		sealer, err := secret.NewSealer([]byte(cfg.KeyEncryptionKey.Reveal()))
		must(err)
		trail, err := audit.New(db, audit.Options{Keys: [][]byte{sealer.DeriveKey(audit.KeyPurpose, 32)}})
		must(err)
		outbox, err := mail.New(mail.Options{DB: db, Sealer: sealer, From: cfg.Mail.From})
		must(err)
		words, err := locale.Load(templates.FS)
		must(err)
		list, err := password.NewBlocklist()
		must(err)
		accounts := account.NewService(account.Deps{DB: db, Hasher: password.NewHasher(cfg.Argon2.Params, bytes.Repeat([]byte{1}, 32), password.PoolOptions{}),
			Blocklist: list, Sessions: session.NewManager(db), Outbox: outbox, Audit: trail, Throttle: account.NewThrottle(ratelimit.New(db)), Catalog: words})
		people := practice.New(db, practice.Realms{Patient: seed.PatientRealm, Practice: seed.PracticeRealm}, trail)
		data := seed.Demo()
		must(seed.Apply(ctx, NewTarget(db, cfg.Realms(), accounts, people), data))

		// Somebody has changed since.
		ana := data.Accounts[0]
		_, err = db.Exec(ctx, `UPDATE accounts SET login_email = $2 WHERE id = $1`, ana.ID, "ana.changed@example.test")
		must(err)
		must(seed.Apply(ctx, NewTarget(db, cfg.Realms(), accounts, people), data))

		for table, want := range map[string]int64{"accounts": int64(len(data.Accounts)), "patients": int64(len(data.Patients)), "practices": 2,
			"associations": int64(len(data.Associations)), "staff_roles": int64(len(data.StaffRoles)), "invitations": 1, "mail_outbox": 1} {
			var n int64
			must(db.QueryRow(ctx, `SELECT count(*) FROM `+table).Scan(&n))
			if n != want {
				t.Errorf("%d rows in %s, want %d", n, table, want)
			}
		}
		if a, err := accounts.Find(ctx, seed.PatientRealm, ana.ID); err != nil || a.LoginEmail != "ana.changed@example.test" {
			t.Errorf("what changed was undone: %v %v", a.LoginEmail, err)
		}
		for _, a := range data.Accounts[1:] {
			if a.State != seed.Active {
				continue
			}
			if _, err := accounts.Authenticate(ctx, cfg.Realms()[map[string]int{seed.PatientRealm: 0, seed.PracticeRealm: 1}[a.Realm]], a.Email, a.Password); err != nil {
				t.Errorf("%s of %s cannot sign in: %v", a.Email, a.Realm, err)
			}
			if key, has, err := accounts.Question(ctx, a.ID); err != nil || key != a.Question || has != (a.Question != "") {
				t.Errorf("%s has the question %q: %v", a.Email, key, err)
			}
		}
		perms, err := people.Permissions(ctx, data.StaffRoles[1].AccountID)
		if err != nil || !perms[data.StaffRoles[1].PracticeID].Reset || len(perms) != 1 {
			t.Errorf("permissions %v %v", perms, err)
		}
	})
}

func TestABusyMachineIsWaitedFor(t *testing.T) {
	tries := 0
	busy := func() error {
		if tries++; tries < 3 {
			return fmt.Errorf("hash answer: %w", password.ErrBusy)
		}
		return nil
	}
	if err := patiently(t.Context(), busy); err != nil || tries != 3 {
		t.Errorf("%d tries: %v", tries, err)
	}
	other := errors.New("something else")
	if err := patiently(t.Context(), func() error { tries++; return other }); err != other || tries != 4 {
		t.Errorf("%d tries: %v", tries, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := patiently(ctx, func() error { return password.ErrBusy }); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
}
