package session

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/secret"
)

// Where a realm demands second factors, a session of one factor goes no further
// from the moment on from which a sign-in would not.
func TestAPasswordIsNotEnoughForEver(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		now := time.Date(2025, 3, 6, 12, 0, 0, 0, time.UTC)
		dbtest.SetNow(db, func() time.Time { return now })
		ctx, m, r := context.Background(), NewManager(db), testRealm(t, "practice", realm.Practice)
		r.Lifetimes.KeptSession = 60 * 24 * time.Hour
		exec := func(query string, args ...any) {
			t.Helper()
			if _, err := db.Exec(ctx, query, args...); err != nil {
				t.Fatal(err)
			}
		}
		account, site := addAccount(t, db, r, "ana@example.test"), database.NewID()
		exec(`INSERT INTO practices (id, name, created_at) VALUES ($1, 'Maple', $2)`, site, now)
		begin := func(how Method, whose uuid.UUID) secret.Token {
			how.Keep = true
			_, tok, err := m.Start(ctx, r, whose, Device{}, how)
			if err != nil {
				t.Fatal(err)
			}
			return tok
		}
		weak, strong := begin(Method{ACR: Password, AMR: []string{"pwd"}}, account), begin(both, account)
		neighbour := begin(Method{ACR: Password, AMR: []string{"pwd"}}, addAccount(t, db, r, "ben@example.test"))
		check := func(what string, want bool) {
			t.Helper()
			counted, trips := dbtest.CountTrips(ctx)
			for tok, want := range map[secret.Token]bool{weak: want, strong: false} {
				s, err := m.Find(counted, r, tok)
				if err != nil || s == nil {
					t.Fatal(what, s, err)
				}
				if s.Overdue != want {
					t.Errorf("%s: acr %s overdue %t", what, s.ACR, s.Overdue)
				}
			}
			if n := trips.Trips(); n > 4 { // two of them slide
				t.Errorf("%s: %d trips", what, n)
			}
		}
		role := func(name string) {
			exec(`INSERT INTO staff_roles (account_id, practice_id, role, granted_at) VALUES ($1, $2, $3, $4)`, account, site, name, now)
		}
		check("nobody has to", false)
		r.Factors.Required, r.Factors.Roles, r.Factors.Grace = realm.SecondFactorRoles, []string{"administrator", "provider"}, 14*24*time.Hour
		exec(`INSERT INTO signin_told (account_id, told_at) VALUES ($1, $2)`, account, now)
		now = now.Add(20 * 24 * time.Hour)
		role("viewer")
		check("no role that has to", false)
		role("provider")
		check("a role that has to, and the time is over", true)
		r.Factors.Grace = 20*24*time.Hour + time.Second
		check("a second left", false)
		exec(`INSERT INTO totp_secrets (account_id, id, sealed, last_step, created_at, confirmed_at) VALUES ($1, $2, $3, 0, $4, $4)`,
			account, database.NewID(), []byte("x"), now)
		check("who has one needs no time to set one up", true)
		exec(`DELETE FROM totp_secrets`)
		exec(`INSERT INTO passkeys (id, realm, account_id, credential_id, public_key, sign_count, aaguid, backup_eligible, backed_up, name, created_at)
			VALUES ($1, $2, $3, $4, $4, 0, $4, $5, $5, '', $6)`, database.NewID(), r.Name, account, []byte("x"), false, now)
		check("or a passkey", true)
		exec(`DELETE FROM passkeys`)
		exec(`DELETE FROM staff_roles WHERE role = 'provider'`)
		r.Factors.Grace = time.Second
		check("the role is gone", false)
		r.Factors.Required = realm.SecondFactorEveryone
		check("everybody", true)
		for what, want := range map[string]bool{"nobody has told this person": false, "and there is no time": true} {
			if r.Factors.Grace = time.Second; want {
				r.Factors.Grace = 0
			}
			if s, err := m.Find(ctx, r, neighbour); err != nil || s == nil || s.Overdue != want {
				t.Error(what, s, err)
			}
		}
	})
}
