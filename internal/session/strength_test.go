package session

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/secret"
)

var both = Method{ACR: TwoFactors, AMR: []string{"pwd", "otp", "mfa"}}

func TestLevels(t *testing.T) {
	for _, c := range []struct {
		have, want string
		reaches    bool
	}{
		{Password, Password, true}, {TwoFactors, Password, true}, {TwoFactors, TwoFactors, true}, {Password, TwoFactors, false},
		{"", Password, false}, {"x", "x", true}, {"x", Password, false}, {TwoFactors, "x", false}, {TwoFactors, "", false}, {"3", TwoFactors, false},
		{TwoFactors, "0", false}, {TwoFactors, "01", false}, {TwoFactors, "-1", false},
	} {
		if Reaches(c.have, c.want) != c.reaches {
			t.Errorf("%q reaches %q: %t", c.have, c.want, !c.reaches)
		}
	}
}

func TestAStrongerSessionHasAnotherToken(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		now := time.Date(2025, 3, 6, 12, 0, 0, 0, time.UTC)
		dbtest.SetNow(db, func() time.Time { return now })
		ctx, m, r := context.Background(), NewManager(db), testRealm(t, "patient", realm.Patient)
		s, old := start(t, m, r, addAccount(t, db, r, "ana@example.test"))
		if !s.ConfirmedAt.Equal(s.AuthTime) {
			t.Error("a sign-in confirms")
		}
		now = now.Add(time.Minute)
		tok, err := m.Strengthen(ctx, r, s.ID, both)
		if err != nil {
			t.Fatal(err)
		}
		if alive(t, m, r, old) {
			t.Error("the old token lives on")
		}
		got, err := m.Find(ctx, r, tok)
		if err != nil || got == nil {
			t.Fatal(got, err)
		}
		if got.ID != s.ID || got.ACR != TwoFactors || strings.Join(got.AMR, " ") != "pwd otp mfa" || !got.AuthTime.Equal(s.AuthTime.Add(time.Minute)) ||
			!got.ConfirmedAt.Equal(s.ConfirmedAt) || !got.ExpiresAt.Equal(s.ExpiresAt) || !got.CreatedAt.Equal(s.CreatedAt) {
			t.Errorf("%+v", *got)
		}
		stronger := both
		stronger.Confirms = true
		if tok, err = m.Strengthen(ctx, r, s.ID, stronger); err != nil {
			t.Fatal(err)
		}
		if got, _ = m.Find(ctx, r, tok); got == nil || !got.ConfirmedAt.Equal(got.AuthTime) {
			t.Errorf("a passkey does not confirm: %+v", got)
		}
		other := testRealm(t, "practice", realm.Practice)
		if _, err := m.Strengthen(ctx, other, s.ID, both); !errors.Is(err, ErrNotFound) {
			t.Error("in another realm", err)
		}
		if err := m.End(ctx, s.ID, "signed_out"); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Strengthen(ctx, r, s.ID, both); !errors.Is(err, ErrNotFound) {
			t.Error("a session that is over became stronger", err)
		}
		if _, err := m.Confirm(ctx, s.ID); !errors.Is(err, ErrNotFound) {
			t.Error("a session that is over was confirmed", err)
		}
	})
}

func TestConfirmingMovesOneTimeAndTheToken(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		now := time.Date(2025, 3, 6, 12, 0, 0, 0, time.UTC)
		dbtest.SetNow(db, func() time.Time { return now })
		ctx, m, r := context.Background(), NewManager(db), testRealm(t, "patient", realm.Patient)
		s, old := start(t, m, r, addAccount(t, db, r, "ana@example.test"))
		now = now.Add(time.Minute)
		tok, err := m.Confirm(ctx, s.ID)
		if err != nil || alive(t, m, r, old) {
			t.Fatal("the old token lives on", err)
		}
		got, err := m.Find(ctx, r, tok)
		if err != nil || got == nil || !got.ConfirmedAt.Equal(s.AuthTime.Add(time.Minute)) || !got.AuthTime.Equal(s.AuthTime) || got.ACR != s.ACR {
			t.Errorf("%+v %v", got, err)
		}
	})
}

func TestOfManyThatStrengthenOneTokenWorks(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		ctx, m, r := context.Background(), NewManager(db), testRealm(t, "patient", realm.Patient)
		s, _ := start(t, m, r, addAccount(t, db, r, "ana@example.test"))
		tokens := make([]secret.Token, 8)
		var all sync.WaitGroup
		for i := range tokens {
			all.Go(func() {
				var err error
				if tokens[i], err = m.Strengthen(ctx, r, s.ID, both); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		n := 0
		for _, tok := range tokens {
			if alive(t, m, r, tok) {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%d tokens work", n)
		}
	})
}

func TestKeptSessions(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		ctx, m, plain := context.Background(), NewManager(db), testRealm(t, "patient", realm.Patient)
		offers := *plain
		offers.Lifetimes.KeptSession = 30 * 24 * time.Hour
		r, ana := &offers, addAccount(t, db, plain, "ana@example.test")
		begin := func(r *realm.Realm) (Session, secret.Token) {
			t.Helper()
			s, tok, err := m.Start(ctx, r, ana, Device{}, Method{ACR: Password, AMR: []string{"pwd"}, Keep: true})
			if err != nil {
				t.Fatal(err)
			}
			return s, tok
		}
		if s, _ := begin(plain); s.Kept || !s.ExpiresAt.Equal(s.CreatedAt.Add(24*time.Hour)) {
			t.Errorf("a realm that does not offer it keeps: %+v", s)
		}
		kept, tok := begin(r)
		_, ordinary := start(t, m, r, ana)
		if !kept.Kept || !kept.ExpiresAt.Equal(kept.CreatedAt.Add(30*24*time.Hour)) {
			t.Errorf("%+v", kept)
		}
		dbtest.Advance(db, 20*24*time.Hour)
		if alive(t, m, r, ordinary) {
			t.Error("a session that is not kept lives as long")
		}
		// Switched off, the ordinary limits hold at once, and no longer than that.
		if alive(t, m, plain, tok) {
			t.Error("the realm does not keep any more, the session goes on")
		}
		list, err := m.List(ctx, r, ana)
		if err != nil || len(list) != 1 || list[0].ID != kept.ID || !list[0].Kept {
			t.Errorf("%+v %v", list, err)
		}
		if list, err := m.List(ctx, plain, ana); err != nil || len(list) != 0 {
			t.Errorf("listed where it is over: %+v %v", list, err)
		}
		got, err := m.Find(ctx, r, tok)
		if err != nil || got == nil || !got.Kept {
			t.Fatal(got, err)
		}
		shorter := offers
		shorter.Lifetimes.KeptSession = 21 * 24 * time.Hour
		if got, _ := m.Find(ctx, &shorter, tok); got == nil || !got.ExpiresAt.Equal(kept.CreatedAt.Add(21*24*time.Hour)) {
			t.Errorf("a lowered limit: %+v", got)
		}
		dbtest.Advance(db, 10*24*time.Hour)
		if alive(t, m, r, tok) {
			t.Error("using it moves the absolute limit")
		}
		// Switched off within the ordinary limits.
		_, tok = begin(r)
		dbtest.Advance(db, 20*time.Minute)
		if !alive(t, m, plain, tok) {
			t.Error("over before the ordinary limits")
		}
		dbtest.Advance(db, 31*time.Minute)
		if alive(t, m, plain, tok) || !alive(t, m, r, tok) {
			t.Error("not the limits of today")
		}
	})
}

func TestTheCookieOfAKeptSessionStays(t *testing.T) {
	db := dbtest.SQLite(t)
	m, r := NewManager(db), testRealm(t, "patient", realm.Patient)
	r.Lifetimes.KeptSession = 30 * 24 * time.Hour
	ana := addAccount(t, db, r, "ana@example.test")
	for _, keep := range []bool{false, true} {
		want := 0
		if keep {
			want = 30 * 24 * 3600
		}
		s, tok, err := m.Start(context.Background(), r, ana, Device{}, Method{ACR: Password, Keep: keep})
		if err != nil {
			t.Fatal(err)
		}
		set := browser(m, r, nil, func(c *gin.Context) { m.StartCookie(c, r, s, tok) })
		if set.MaxAge != want || !set.Secure || !set.HttpOnly {
			t.Errorf("kept %t: %+v", keep, set)
		}
		again := browser(m, r, set, func(c *gin.Context) {
			if _, err := m.Current(c); err != nil {
				t.Fatal(err)
			}
			next, err := m.Confirm(c.Request.Context(), s.ID)
			if err != nil {
				t.Fatal(err)
			}
			m.SetCookie(c, r, next)
		})
		if again.MaxAge != want || again.Value == set.Value {
			t.Errorf("kept %t, after a confirmation: %+v", keep, again)
		}
	}
}
