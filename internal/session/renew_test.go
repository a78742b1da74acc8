package session

import (
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/realm"
)

func TestARenewedSessionIsANewSignInUnderTheSameName(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		ctx, m, r := t.Context(), NewManager(db), testRealm(t, "patient", realm.Patient)
		other := testRealm(t, "annex", realm.Patient)
		maria, ana := addAccount(t, db, r, "maria@example.test"), addAccount(t, db, r, "ana@example.test")
		s, old := start(t, m, r, maria)
		dbtest.Advance(db, r.Lifetimes.SessionAbsolute+time.Minute)
		if alive(t, m, r, old) {
			t.Fatal("the session has no limit")
		}
		how := Method{ACR: Password, AMR: []string{"pwd"}}
		for what, wrong := range map[string]func() error{
			"somebody else's": func() error { _, _, err := m.Renew(ctx, r, s.ID, ana, Device{}, how); return err },
			"another realm's": func() error { _, _, err := m.Renew(ctx, other, s.ID, maria, Device{}, how); return err },
			"nobody's":        func() error { _, _, err := m.Renew(ctx, r, uuid.New(), maria, Device{}, how); return err },
		} {
			if err := wrong(); !errors.Is(err, ErrNotFound) {
				t.Errorf("%s session is renewed: %v", what, err)
			}
		}
		renewed, tok, err := m.Renew(ctx, r, s.ID, maria, Device{UserAgent: "Chrome"}, how)
		if err != nil {
			t.Fatal(err)
		}
		found, err := m.Find(ctx, r, tok)
		if err != nil || found == nil {
			t.Fatalf("the new token finds %v, %v", found, err)
		}
		if found.ID != s.ID || found.ACR != Password || len(found.AMR) != 1 || found.UserAgent != "Chrome" || !found.AuthTime.After(s.AuthTime) ||
			!found.ExpiresAt.Equal(renewed.ExpiresAt) || !found.ConfirmedAt.Equal(found.AuthTime) {
			t.Errorf("found %+v, renewed %+v", found, renewed)
		}
		if alive(t, m, r, old) {
			t.Error("the old token signs in")
		}
		if err := m.End(ctx, s.ID, "signed_out"); err != nil {
			t.Fatal(err)
		}
		if _, _, err := m.Renew(ctx, r, s.ID, maria, Device{}, how); !errors.Is(err, ErrNotFound) {
			t.Errorf("what was ended is revived: %v", err)
		}
	})
}
