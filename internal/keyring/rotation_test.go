package keyring_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/keyring"
	"github.com/portico-id/portico/internal/realm"
)

func signed(t *testing.T, k *keyring.Keyring, r *realm.Realm, alg string) string {
	t.Helper()
	key := signer(t, k, r, alg)
	jws, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(alg), Key: jose.JSONWebKey{Key: key.Private, KeyID: key.KID}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := jwt.Signed(jws).Claims(map[string]any{"sub": "x"}).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func verifies(t *testing.T, k *keyring.Keyring, r *realm.Realm, raw string) bool {
	t.Helper()
	parsed, err := jwt.ParseSigned(raw, []jose.SignatureAlgorithm{jose.ES256, jose.RS256})
	if err != nil {
		t.Fatal(err)
	}
	public, _, ok := k.Public(context.Background(), r, parsed.Headers[0].KeyID)
	return ok && parsed.Claims(public, &map[string]any{}) == nil
}

// Replicas re-read once a minute, as Worker does, not at the same moment; the
// clock runs while both sign and verify what the other signed.
func TestARotationUnderLoadFailsNoValidToken(t *testing.T) {
	for name, rotate := range map[string]func(*keyring.Keyring, context.Context, *realm.Realm) error{
		"planned": (*keyring.Keyring).Rotate, "soon": (*keyring.Keyring).RotateSoon,
	} {
		dbtest.Each(t, func(t *testing.T, db *database.DB) {
			r := newRealm(t, "patient")
			replicas := []*keyring.Keyring{ensured(t, db, r), ensured(t, db, r)}
			first := signer(t, replicas[0], r, realm.ES256).KID
			var checked, failed atomic.Int64
			step := func(minutes int) {
				for i, k := range replicas {
					raw := signed(t, k, r, realm.ES256)
					var wg sync.WaitGroup
					for _, other := range replicas {
						wg.Go(func() {
							checked.Add(1)
							if !verifies(t, other, r, raw) {
								failed.Add(1)
							}
						})
						// Somebody sends made-up ids meanwhile, to use up the looks.
						wg.Go(func() { other.Public(context.Background(), r, "made-up") })
					}
					wg.Wait()
					if minutes%2 == i { // each replica's Worker, at its own minute
						if err := k.Maintain(context.Background()); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
			for minute := range 10 {
				step(minute)
				dbtest.Advance(db, 30*time.Second)
			}
			if err := rotate(replicas[0], context.Background(), r); err != nil {
				t.Fatal(err)
			}
			before := signed(t, replicas[1], r, realm.ES256)
			for minute := range 20 {
				step(minute)
				dbtest.Advance(db, 30*time.Second)
			}
			if name == "planned" {
				dbtest.Advance(db, keyring.PublishAhead-11*time.Minute)
				for minute := range 8 {
					step(minute)
					dbtest.Advance(db, 30*time.Second)
				}
			}
			if signer(t, replicas[0], r, realm.ES256).KID == first || signer(t, replicas[1], r, realm.ES256).KID == first {
				t.Error(name, "the old key still signs")
			}
			if failed.Load() > 0 {
				t.Errorf("%s: %d of %d valid tokens were refused", name, failed.Load(), checked.Load())
			}
			for i, k := range replicas {
				if !verifies(t, k, r, before) {
					t.Errorf("%s: replica %d forgot what was signed before", name, i)
				}
			}
		})
	}
}

func TestRotateSoonHurriesARotationUnderWay(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		ctx, r := t.Context(), newRealm(t, "patient")
		k := ensured(t, db, r)
		old := signer(t, k, r, realm.ES256)
		if err := k.Rotate(ctx, r); err != nil {
			t.Fatal(err)
		}
		if err := k.RotateSoon(ctx, r); err != nil {
			t.Fatal(err)
		}
		if n := len(kids(t, k, r)); n != 4 {
			t.Fatalf("%d keys, want the two that were published and their successors", n)
		}
		if signer(t, k, r, realm.ES256).KID != old.KID {
			t.Error("it signs before other replicas can know it")
		}
		dbtest.Advance(db, keyring.SoonAhead)
		if signer(t, k, r, realm.ES256).KID == old.KID {
			t.Error("it does not sign in time")
		}
		list, err := k.List(ctx, r)
		if err != nil || len(list) != 4 {
			t.Fatal(list, err)
		}
		now := db.Now(ctx)
		for _, key := range list {
			isOld := key.SignsFrom.Before(now.Add(-time.Minute))
			if isOld != !key.Retired.IsZero() || isOld && (key.Retired.After(now) || key.Until.Before(now.Add(r.Lifetimes.GrantAbsolute))) {
				t.Errorf("%+v", key)
			}
		}
		// The old key goes when nothing it signed can count any longer.
		dbtest.Advance(db, r.Lifetimes.GrantAbsolute+25*time.Hour)
		if err := k.Maintain(ctx); err != nil || len(kids(t, k, r)) != 2 {
			t.Errorf("%v, %v", kids(t, k, r), err)
		}
	})
}
