package session

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/secret"
)

func testRealm(t *testing.T, name string, kind realm.Kind) *realm.Realm {
	t.Helper()
	r, err := realm.New(realm.Realm{Name: name, Kind: kind, Issuer: "https://id.example.test/" + name}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func addAccount(t *testing.T, db *database.DB, r *realm.Realm, email string) uuid.UUID {
	t.Helper()
	id := database.NewID()
	_, err := db.Exec(context.Background(), `
		INSERT INTO accounts (id, realm, login_email, state, created_at, updated_at) VALUES ($1, $2, $3, 'active', $4, $4)`,
		id, r.Name, email, db.Now(context.Background()))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func start(t *testing.T, m *Manager, r *realm.Realm, account uuid.UUID) (Session, secret.Token) {
	t.Helper()
	s, tok, err := m.Start(context.Background(), r, account,
		Device{UserAgent: "Firefox\x00\n on Linux", IP: "192.0.2.1"}, Method{ACR: "urn:portico:pwd", AMR: []string{"pwd", "otp"}})
	if err != nil {
		t.Fatal(err)
	}
	return s, tok
}

func alive(t *testing.T, m *Manager, r *realm.Realm, tok secret.Token) bool {
	t.Helper()
	s, err := m.Find(context.Background(), r, tok)
	if err != nil {
		t.Fatal(err)
	}
	return s != nil
}

func TestASessionIsWhatWasStarted(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		m, r := NewManager(db), testRealm(t, "patient", realm.Patient)
		account := addAccount(t, db, r, "ana@example.test")
		s, tok := start(t, m, r, account)
		got, err := m.Find(context.Background(), r, tok)
		if err != nil || got == nil {
			t.Fatal(got, err)
		}
		if got.ID != s.ID || got.AccountID != account || got.ACR != "urn:portico:pwd" || strings.Join(got.AMR, ",") != "pwd,otp" ||
			!got.AuthTime.Equal(s.AuthTime) || !got.ExpiresAt.Equal(s.AuthTime.Add(24*time.Hour)) {
			t.Errorf("%+v\n%+v", *got, s)
		}
		if got.UserAgent != "Firefox on Linux" || got.IP != "192.0.2.1" {
			t.Errorf("device %q %q", got.UserAgent, got.IP)
		}
		again, other := start(t, m, r, account)
		if again.ID == s.ID || other == tok {
			t.Error("a second sign-in got the same identifier")
		}
		if s, err := m.Find(context.Background(), r, secret.NewToken()); s != nil || err != nil {
			t.Error("an unknown token names a session", err)
		}
	})
}

func TestTheDatabaseSignsNobodyIn(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		m, r := NewManager(db), testRealm(t, "patient", realm.Patient)
		_, tok := start(t, m, r, addAccount(t, db, r, "ana@example.test"))
		var stored []byte
		if err := db.QueryRow(context.Background(), `SELECT token_hash FROM sessions`).Scan(&stored); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(stored, tok.Hash()) || strings.Contains(string(stored), tok.Reveal()) {
			t.Error("the table does not hold the hash")
		}
	})
}

func TestIdleAndAbsoluteLimits(t *testing.T) {
	for kind, limits := range map[realm.Kind][2]time.Duration{
		realm.Patient:  {30 * time.Minute, 24 * time.Hour},
		realm.Practice: {15 * time.Minute, 12 * time.Hour},
	} {
		dbtest.Each(t, func(t *testing.T, db *database.DB) {
			m, r := NewManager(db), testRealm(t, string(kind), kind)
			account := addAccount(t, db, r, "ana@example.test")
			now := time.Date(2025, 3, 6, 12, 0, 0, 0, time.UTC)
			dbtest.SetNow(db, func() time.Time { return now })
			began := now

			_, idle := start(t, m, r, account)
			now = began.Add(limits[0] - time.Second)
			if !alive(t, m, r, idle) {
				t.Error("ended before the idle limit")
			}
			now = now.Add(limits[0] - time.Second)
			if !alive(t, m, r, idle) {
				t.Error("using it did not move the idle limit")
			}
			now = now.Add(limits[0])
			if alive(t, m, r, idle) {
				t.Error("alive at the idle limit")
			}

			began = now
			_, busy := start(t, m, r, account)
			for ; now.Before(began.Add(limits[1])); now = now.Add(10 * time.Minute) {
				if !alive(t, m, r, busy) {
					t.Fatalf("ended after %s of use", now.Sub(began))
				}
			}
			now = began.Add(limits[1])
			if alive(t, m, r, busy) {
				t.Error("alive at the absolute limit")
			}
		})
	}
}

func TestLoweredLimitsHoldForOpenSessions(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		m, r := NewManager(db), testRealm(t, "patient", realm.Patient)
		_, tok := start(t, m, r, addAccount(t, db, r, "ana@example.test"))
		for range 6 {
			dbtest.Advance(db, 20*time.Minute)
			if !alive(t, m, r, tok) {
				t.Fatal("ended")
			}
		}
		stricter := *r
		stricter.Lifetimes.SessionAbsolute = time.Hour
		if alive(t, m, &stricter, tok) {
			t.Error("outlives the new limit")
		}
	})
}

func TestUsingASessionWritesOnceAMinute(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		m, r := NewManager(db), testRealm(t, "patient", realm.Patient)
		_, tok := start(t, m, r, addAccount(t, db, r, "ana@example.test"))
		trips := func() int {
			ctx, c := dbtest.CountTrips(context.Background())
			if s, err := m.Find(ctx, r, tok); s == nil || err != nil {
				t.Fatal(s, err)
			}
			return int(c.Trips())
		}
		if n := trips(); n != 1 {
			t.Errorf("%d round trips at first", n)
		}
		dbtest.Advance(db, time.Minute)
		if n := trips(); n != 2 {
			t.Errorf("%d round trips after a minute", n)
		}
		if n := trips(); n != 1 {
			t.Errorf("%d round trips right after", n)
		}
	})
}

func TestASessionEnds(t *testing.T) {
	ctx := context.Background()
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		m, r, other := NewManager(db), testRealm(t, "patient", realm.Patient), testRealm(t, "practice", realm.Practice)
		ana, ben := addAccount(t, db, r, "ana@example.test"), addAccount(t, db, r, "ben@example.test")

		s, tok := start(t, m, r, ana)
		if alive(t, m, other, tok) {
			t.Error("a session of one realm counts in another")
		}
		if err := m.EndOwn(ctx, ben, s.ID, "signed_out"); !errors.Is(err, ErrNotFound) {
			t.Error("somebody ended a stranger's session", err)
		}
		if err := m.EndOwn(ctx, ana, s.ID, "signed_out"); err != nil || alive(t, m, r, tok) {
			t.Error("own session not ended", err)
		}
		s, tok = start(t, m, r, ana)
		if err := m.End(ctx, s.ID, "signed_out"); err != nil || alive(t, m, r, tok) {
			t.Error("session not ended", err)
		}
		if err := m.End(ctx, s.ID, "again"); err != nil {
			t.Error(err)
		}

		s1, t1 := start(t, m, r, ana)
		_, t2 := start(t, m, r, ana)
		_, t3 := start(t, m, r, ben)
		if err := m.EndAll(ctx, ana, s1.ID, "password_changed"); err != nil {
			t.Fatal(err)
		}
		if !alive(t, m, r, t1) || alive(t, m, r, t2) || !alive(t, m, r, t3) {
			t.Error("not exactly the other sessions of the account ended")
		}
		if err := m.EndAll(ctx, ana, uuid.Nil, "disabled"); err != nil || alive(t, m, r, t1) {
			t.Error("sessions outlive EndAll", err)
		}

		_, tok = start(t, m, r, ben)
		if _, err := db.Exec(ctx, `UPDATE accounts SET state = 'disabled' WHERE id = $1`, ben); err != nil {
			t.Fatal(err)
		}
		if alive(t, m, r, tok) {
			t.Error("a disabled account is still signed in")
		}
	})
}

func TestEndingIsPartOfTheTransaction(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		m, r := NewManager(db), testRealm(t, "patient", realm.Patient)
		ana := addAccount(t, db, r, "ana@example.test")
		_, tok := start(t, m, r, ana)
		stop := errors.New("stop")
		err := db.InTx(context.Background(), func(ctx context.Context) error {
			if err := m.EndAll(ctx, ana, uuid.Nil, "password_changed"); err != nil {
				t.Error(err)
			}
			return stop
		})
		if !errors.Is(err, stop) || !alive(t, m, r, tok) {
			t.Error("ended although the transaction was undone", err)
		}
	})
}

func TestTheListShowsOpenSessionsNewestFirst(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		m, r := NewManager(db), testRealm(t, "patient", realm.Patient)
		ana := addAccount(t, db, r, "ana@example.test")
		start(t, m, r, ana)
		dbtest.Advance(db, 31*time.Minute)
		first, tok := start(t, m, r, ana)
		second, _ := start(t, m, r, ana)
		dbtest.Advance(db, 5*time.Minute)
		alive(t, m, r, tok)
		all, err := m.List(context.Background(), r, ana)
		if err != nil || len(all) != 2 || all[0].ID != first.ID || all[1].ID != second.ID {
			t.Error(all, err)
		}
	})
}

func TestCleanUpDeletesOldSessionsOnly(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		m, r := NewManager(db), testRealm(t, "patient", realm.Patient)
		ana := addAccount(t, db, r, "ana@example.test")
		start(t, m, r, ana)
		dbtest.Advance(db, keepFor+25*time.Hour)
		_, tok := start(t, m, r, ana)
		if err := m.CleanUp(context.Background()); err != nil {
			t.Fatal(err)
		}
		var n int64
		if err := db.QueryRow(context.Background(), `SELECT COUNT(*) FROM sessions`).Scan(&n); err != nil || n != 1 || !alive(t, m, r, tok) {
			t.Error(n, err)
		}
	})
}

// browser runs one request with a cookie jar of one.
func browser(m *Manager, r *realm.Realm, sent *http.Cookie, handle func(c *gin.Context)) *http.Cookie {
	gin.SetMode(gin.TestMode)
	rec := httptest.NewRecorder()
	c, _ := gin.CreateTestContext(rec)
	req := httptest.NewRequest("GET", "/", nil)
	if sent != nil {
		req.AddCookie(sent)
	}
	c.Request = req.WithContext(realm.WithRealm(req.Context(), r))
	handle(c)
	if set := rec.Result().Cookies(); len(set) > 0 {
		return set[0]
	}
	return nil
}

func TestTheCookie(t *testing.T) {
	db := dbtest.SQLite(t)
	m, r := NewManager(db), testRealm(t, "patient", realm.Patient)
	ana := addAccount(t, db, r, "ana@example.test")
	s, tok := start(t, m, r, ana)
	set := browser(m, r, nil, func(c *gin.Context) {
		if got, err := m.Current(c); got != nil || err != nil {
			t.Error("signed in without a cookie", err)
		}
		m.SetCookie(c, r, tok)
	})
	if set.Name != "__Host-portico-patient" || !set.Secure || !set.HttpOnly || set.SameSite != http.SameSiteLaxMode ||
		set.Path != "/" || set.Domain != "" || set.MaxAge != 0 || len(set.Value) != 43 {
		t.Errorf("cookie %+v", set)
	}
	browser(m, r, set, func(c *gin.Context) {
		ctx, trips := dbtest.CountTrips(c.Request.Context())
		c.Request = c.Request.WithContext(ctx)
		for range 3 {
			if got, err := m.Current(c); err != nil || got == nil || got.ID != s.ID {
				t.Error(got, err)
			}
		}
		if trips.Trips() != 1 {
			t.Errorf("%d round trips in one request", trips.Trips())
		}
	})
	for _, bad := range []string{"", "x", strings.Repeat("A", 43), set.Value + "A", set.Value[:42]} {
		browser(m, r, &http.Cookie{Name: set.Name, Value: bad}, func(c *gin.Context) {
			if got, err := m.Current(c); got != nil || err != nil {
				t.Errorf("%q: %v, %v", bad, got, err)
			}
		})
	}
	cleared := browser(m, r, set, func(c *gin.Context) { m.ClearCookie(c, r) })
	if cleared.MaxAge >= 0 || cleared.Value != "" || !cleared.Secure || cleared.Path != "/" {
		t.Errorf("cleared %+v", cleared)
	}
}

func TestADeadDatabaseDoesNotSignOut(t *testing.T) {
	db := dbtest.SQLite(t)
	m, r := NewManager(db), testRealm(t, "patient", realm.Patient)
	_, tok := start(t, m, r, addAccount(t, db, r, "ana@example.test"))
	sent := cookie(r, tok.Reveal(), 0)
	set := browser(m, r, sent, func(c *gin.Context) {
		ctx, cancel := context.WithCancel(c.Request.Context())
		cancel()
		c.Request = c.Request.WithContext(ctx)
		if got, err := m.Current(c); got != nil || err == nil {
			t.Error("no error", got)
		}
	})
	if set != nil {
		t.Error("the cookie was touched")
	}
}
