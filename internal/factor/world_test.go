package factor_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/account/accounttest"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/factor"
	"github.com/portico-id/portico/internal/realm"
)

// world is people with second factors.
type world struct {
	*accounttest.World
	factors *factor.Service
	maria   account.Account
	by      account.By
}

// mine is who sets an authenticator app up, where it does not matter.
var mine = factor.HolderOf("her session")

// each runs a test on both engines.
func each(t *testing.T, fn func(t *testing.T, w *world)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, db *database.DB) { fn(t, newWorld(t, db)) })
}

func newWorld(t *testing.T, db *database.DB) *world {
	t.Helper()
	w := &world{World: accounttest.New(t, db)}
	w.factors = factor.NewService(factor.Deps{DB: db, Sealer: w.Sealer, Limits: w.Limits, Audit: w.Audit,
		Accounts: w.Accounts, Sessions: w.Sessions, Grants: w.Grants})
	w.maria = w.Person(accounttest.Email)
	w.by = account.By{Actor: w.maria.Actor(), IP: "192.0.2.1", Device: "Safari, iPhone"}
	return w
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// secretOf is the key of a setup as an authenticator app keeps it.
func secretOf(s factor.TOTPSetup) string { return strings.ReplaceAll(s.Key, " ", "") }

// codeAt is what an app shows, so many time steps from now.
func (w *world) codeAt(secret string, steps int) string {
	w.T.Helper()
	now := w.DB.Now(context.Background()).Add(time.Duration(steps) * 30 * time.Second)
	code, err := totp.GenerateCode(secret, now)
	if err != nil {
		w.T.Fatal(err)
	}
	return code
}

// wrong is a code that no neighbouring time step has.
func (w *world) wrong(secret string) string {
	w.T.Helper()
	for _, code := range []string{"000000", "111111", "222222", "333333"} {
		right := false
		for step := -2; step <= 2; step++ {
			right = right || w.codeAt(secret, step) == code
		}
		if !right {
			return code
		}
	}
	w.T.Fatal("four wrong codes are all right")
	return ""
}

// withApp gives an account an authenticator app, and moves on to the next time
// step, since the code that confirmed it is used up.
func (w *world) withApp(a account.Account) (secret string, recovery []string) {
	w.T.Helper()
	ctx := context.Background()
	setup, err := w.factors.BeginTOTP(ctx, w.Realm, a, mine)
	must(w.T, err)
	recovery, err = w.factors.FinishTOTP(ctx, w.Realm, a, mine, w.codeAt(secretOf(setup), 0), w.by)
	must(w.T, err)
	dbtest.Advance(w.DB, 31*time.Second)
	return secretOf(setup), recovery
}

// demanding is the realm with a second factor for everybody.
func demanding(r *realm.Realm) *realm.Realm {
	other := *r
	other.Factors.Required = realm.SecondFactorEveryone
	return &other
}

func (w *world) summary(a account.Account) factor.Summary {
	w.T.Helper()
	s, err := w.factors.Of(context.Background(), a.ID)
	must(w.T, err)
	return s
}

// dump is everything the database holds about second factors, beside what
// accounttest dumps.
func (w *world) dump() string {
	w.T.Helper()
	var out strings.Builder
	for table, columns := range map[string][]string{
		"totp_secrets": {"sealed"}, "totp_setups": {"sealed"}, "recovery_codes": {"code_hash"},
		"passkeys": {"name", "transports"}, "audit_events": {"details"},
	} {
		for _, column := range columns {
			rows, err := w.DB.Query(context.Background(), `SELECT `+column+` FROM `+table)
			must(w.T, err)
			for rows.Next() {
				var raw []byte
				must(w.T, rows.Scan(&raw))
				out.Write(raw)
				out.WriteByte('\n')
			}
			must(w.T, rows.Err())
			rows.Close()
		}
	}
	return out.String() + w.Dump()
}
