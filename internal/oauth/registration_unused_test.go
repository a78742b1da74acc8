package oauth

import (
	"crypto/tls"
	"crypto/x509"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/oauth/clientkeys"
	"github.com/portico-id/portico/internal/outbound"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/migrations"
)

// findsRealms lets the work that belongs to no request find the realm.
func (w *world) findsRealms() {
	w.p.realms = func(name string) (*realm.Realm, bool) { return w.r, name == w.r.Name }
}

func (w *world) exists(id string) bool {
	w.t.Helper()
	return w.count(`SELECT COUNT(*) FROM registered_clients WHERE realm = $1 AND client_id = $2`, w.r.Name, id) == 1
}

func (w *world) consents(client, scopes string) {
	w.t.Helper()
	w.exec(`INSERT INTO consents (realm, account_id, client_id, scopes, granted_at) VALUES ($1, $2, $3, $4, $5)`,
		w.r.Name, w.account, client, scopes, w.db.Now(w.t.Context()))
}

func TestTheLoserOfTwoChangesHearsThatItsClientIsStillThere(t *testing.T) {
	keyed(t, func(t *testing.T, w *world) {
		meanwhile := func() {}
		site := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			meanwhile()
			_, _ = rw.Write([]byte(`["` + testRedirect + `"]`))
		}))
		defer site.Close()
		pool := x509.NewCertPool()
		pool.AddCert(site.Certificate())
		w.p.outbound = outbound.New(outbound.Options{RootCAs: &tls.Config{RootCAs: pool}, Exempt: []string{site.Listener.Addr().String()}})
		w.p.keysOf = clientkeys.New(documents{w.p.outbound})

		c := w.register(nil)
		change := func(extra map[string]any) reply {
			extra["client_id"] = c.get("client_id")
			return w.registration("PUT", c.get("registration_client_uri"), c.get("registration_access_token"), document(extra))
		}
		meanwhile = func() {
			meanwhile = func() {}
			w.expect("the first", change(map[string]any{"client_name": "Sooner Diary"}), 200, "")
		}
		slow := map[string]any{"client_name": "Later Diary", "sector_identifier_uri": site.URL + "/sector"}
		lost := change(slow)
		w.expect("the second", lost, 409, "conflict")
		if lost.Header.Get("WWW-Authenticate") != "" || lost.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%v", lost.Header)
		}
		w.expect("again", change(slow), 200, "")

		meanwhile = func() {
			gone := w.registration("DELETE", c.get("registration_client_uri"), c.get("registration_access_token"), "")
			if gone.Status != 204 {
				t.Errorf("delete: %d %s", gone.Status, gone.Body)
			}
		}
		w.expect("of a client that is gone", change(slow), 401, errInvalidToken)
	}, open)
}

func TestWhatPeopleAgreedToGoesWithItsClient(t *testing.T) {
	keyed(t, func(t *testing.T, w *world) {
		c, other := w.register(nil), w.register(nil)
		w.consents(c.get("client_id"), "openid")
		w.consents(other.get("client_id"), "openid")
		w.consents("third", "openid")
		if r := w.registration("DELETE", c.get("registration_client_uri"), c.get("registration_access_token"), ""); r.Status != 204 {
			t.Fatalf("%d %s", r.Status, r.Body)
		}
		if n := w.count(`SELECT COUNT(*) FROM consents`); n != 2 {
			t.Errorf("%d consents are left", n)
		}
		if n := w.count(`SELECT COUNT(*) FROM consents WHERE client_id = $1`, c.get("client_id")); n != 0 {
			t.Errorf("%d of the client that is gone", n)
		}
	}, open)
}

func TestClientsThatGetNoTokensAreRemoved(t *testing.T) {
	keyed(t, func(t *testing.T, w *world) {
		w.signIn(w.account)
		all := []string{"authorization_code", "refresh_token", "client_credentials"}
		asked, never := w.register(map[string]any{"grant_types": all}), w.register(nil)
		alone := w.register(map[string]any{"grant_types": all})
		w.consents(asked.get("client_id"), "offline_access openid")
		w.consents(never.get("client_id"), "openid")
		w.code(asked.get("client_id"))
		got := w.do(t.Context(), "POST", "/oauth/token", http.Header{"Authorization": {basic(alone.get("client_id"), alone.get("client_secret"))}},
			url.Values{"grant_type": {"client_credentials"}}.Encode())
		w.expect("on its own", got, 200, "")
		clean := func() {
			t.Helper()
			if err := w.p.CleanUp(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		left := func(c reply) bool { return w.exists(c.get("client_id")) }

		dbtest.Advance(w.db, w.r.OAuth.Registration.UnusedFor-time.Hour)
		clean() // no realm is known by its name: nothing is removed
		w.findsRealms()
		late := w.register(nil)
		clean()
		if !left(asked) || !left(never) || !left(alone) || !left(late) {
			t.Fatal("one is gone too soon")
		}
		dbtest.Advance(w.db, 2*time.Hour)
		w.r.OAuth.Registration.Mode = realm.RegistrationOff
		clean()
		if !left(never) {
			t.Error("removed while the realm takes no registrations")
		}
		w.r.OAuth.Registration.Mode = realm.RegistrationOpen
		clean()
		if left(never) || !left(asked) || !left(alone) || !left(late) {
			t.Errorf("left: never %v, asked %v, alone %v, late %v", left(never), left(asked), left(alone), left(late))
		}
		if n := w.count(`SELECT COUNT(*) FROM consents WHERE client_id = $1`, never.get("client_id")); n != 0 {
			t.Error("what people agreed to is still there")
		}
		if n := w.count(`SELECT COUNT(*) FROM audit_events WHERE kind = 'client.deleted' AND actor = 'system' AND client_id = $1`, never.get("client_id")); n != 1 {
			t.Errorf("%d events", n)
		}
		// Used once is used, long after the grant is gone.
		dbtest.Advance(w.db, 365*24*time.Hour)
		clean()
		clean()
		if w.count(`SELECT COUNT(*) FROM grants`) != 0 || !left(asked) || !left(alone) || left(late) {
			t.Errorf("a year later: asked %v, alone %v, late %v", left(asked), left(alone), left(late))
		}
	}, open)
}

func TestManyUnusedClientsAreRemovedInSteps(t *testing.T) {
	keyed(t, func(t *testing.T, w *world) {
		w.findsRealms()
		const many = 2*unusedStep + 7
		now := w.db.Now(t.Context())
		for i := range many {
			w.exec(`INSERT INTO registered_clients (realm, client_id, metadata, access_hash, created_at, updated_at, unused_since)
				VALUES ($1, $2, '{}', $3, $4, $4, $4)`, w.r.Name, realm.RegisteredPrefix+strings.Repeat("x", i), []byte{1}, now)
		}
		dbtest.Advance(w.db, w.r.OAuth.Registration.UnusedFor+time.Minute)
		if n, err := w.p.removeSomeUnused(t.Context(), w.r); err != nil || n != unusedStep {
			t.Fatalf("a step: %d, %v", n, err)
		}
		if err := w.p.removeUnused(t.Context()); err != nil || w.count(`SELECT COUNT(*) FROM registered_clients`) != 0 {
			t.Errorf("%v, %d are left", err, w.count(`SELECT COUNT(*) FROM registered_clients`))
		}
		if n := w.count(`SELECT COUNT(*) FROM audit_events WHERE kind = 'client.deleted'`); n != many {
			t.Errorf("%d events", n)
		}
	}, open)
}

// before is the schema as it was before a migration.
func before(t *testing.T, number string) fs.FS {
	t.Helper()
	out := fstest.MapFS{}
	err := fs.WalkDir(migrations.FS, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Base(path) >= number {
			return err
		}
		raw, err := fs.ReadFile(migrations.FS, path)
		out[path] = &fstest.MapFile{Data: raw}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestTheMigrationKeepsWhomToTellAndWhoIsUsed(t *testing.T) {
	urls := map[string]func() string{
		"sqlite":   func() string { return "sqlite:" + filepath.Join(t.TempDir(), "old.db") },
		"postgres": func() string { return dbtest.PostgresURL(t) },
	}
	for name, address := range urls {
		t.Run(name, func(t *testing.T) {
			db, err := database.Open(t.Context(), address(), database.Options{MaxConns: 4})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(db.Close)
			w := &world{t: t, db: db, r: testRealm(t, "patient")}
			if name == "postgres" {
				w.exec(`DROP SCHEMA public CASCADE`)
				w.exec(`CREATE SCHEMA public`)
			}
			if _, err := db.Migrate(t.Context(), before(t, "0021")); err != nil {
				t.Fatal(err)
			}
			w.account = w.newAccount("pat@example.test")
			now, session := db.Now(t.Context()), database.NewID()
			w.exec(`INSERT INTO sessions (id, realm, account_id, token_hash, auth_time, acr, amr, created_at, last_seen_at, expires_at)
				VALUES ($1, 'patient', $2, $3, $4, '1', 'pwd', $4, $4, $4)`, session, w.account, []byte{1}, now)
			for client, of := range map[string]any{"portal": session, "dyn_used": session, "orphan": database.NewID()} {
				for range 2 {
					w.exec(`INSERT INTO grants (id, realm, client_id, account_id, session_id, scopes, audiences, session_data, credential_version, created_at, expires_at)
						VALUES ($1, 'patient', $2, $3, $4, '', '', '{}', 1, $5, $5)`, database.NewID(), client, w.account, of, now)
				}
			}
			for _, id := range []string{"dyn_used", "dyn_agreed", "dyn_never"} {
				w.exec(`INSERT INTO registered_clients (realm, client_id, metadata, access_hash, created_at, updated_at)
					VALUES ('patient', $1, '{}', $2, $3, $3)`, id, []byte{1}, now.Add(-365*24*time.Hour))
			}
			w.consents("dyn_agreed", "openid")
			if _, err := db.Migrate(t.Context(), migrations.FS); err != nil {
				t.Fatal(err)
			}
			if n := w.count(`SELECT COUNT(*) FROM session_clients WHERE session_id = $1 AND client_id IN ('portal', 'dyn_used')`, session); n != 2 {
				t.Errorf("%d clients of the session", n)
			}
			if n := w.count(`SELECT COUNT(*) FROM session_clients`); n != 2 {
				t.Errorf("%d rows", n)
			}
			var waits string
			var since time.Time
			err = db.QueryRow(t.Context(), `SELECT client_id, unused_since FROM registered_clients WHERE unused_since IS NOT NULL`).Scan(&waits, &since)
			if err != nil || waits != "dyn_never" || since.Before(now.Add(-time.Minute)) || since.After(now.Add(time.Minute)) {
				t.Errorf("%s waits since %v, %v", waits, since, err)
			}
		})
	}
}
