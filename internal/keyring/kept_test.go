package keyring_test

import (
	"context"
	"testing"
	"time"

	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/keyring"
	"github.com/portico-id/portico/internal/realm"
)

// An ID token is the hint of a sign-out as long as the session lives that it
// came of, kept ones too.
func TestAKeyStaysAsLongAsAKeptSession(t *testing.T) {
	for name, rotate := range map[string]func(*keyring.Keyring, context.Context, *realm.Realm) error{
		"planned": (*keyring.Keyring).Rotate, "soon": (*keyring.Keyring).RotateSoon,
	} {
		t.Run(name, func(t *testing.T) {
			dbtest.Each(t, func(t *testing.T, db *database.DB) {
				r := newRealm(t, "patient")
				r.Lifetimes.KeptSession = 90 * 24 * time.Hour
				k := ensured(t, db, r)
				hint := signed(t, k, r, realm.ES256)
				if err := rotate(k, t.Context(), r); err != nil {
					t.Fatal(err)
				}
				dbtest.Advance(db, r.Lifetimes.KeptSession)
				if err := k.Maintain(t.Context()); err != nil {
					t.Fatal(err)
				}
				if !verifies(t, k, r, hint) {
					t.Error("the key is gone before the session")
				}
				dbtest.Advance(db, 30*24*time.Hour)
				if err := k.Maintain(t.Context()); err != nil {
					t.Fatal(err)
				}
				if verifies(t, k, r, hint) {
					t.Error("the key stays for ever")
				}
			})
		})
	}
}
