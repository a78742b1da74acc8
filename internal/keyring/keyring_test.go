package keyring_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/keyring"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/secret"
)

func sealer(t *testing.T, b byte) *secret.Sealer {
	t.Helper()
	s, err := secret.NewSealer(bytes.Repeat([]byte{b}, secret.KeyBytes))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newRealm(t *testing.T, name string) *realm.Realm {
	t.Helper()
	r, err := realm.New(realm.Realm{Name: name, Kind: realm.Kind(name), Issuer: "https://id.example.test/" + name}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func replica(t *testing.T, db *database.DB) *keyring.Keyring {
	t.Helper()
	return keyring.New(db, sealer(t, 1), slog.New(slog.DiscardHandler))
}

func ensured(t *testing.T, db *database.DB, realms ...*realm.Realm) *keyring.Keyring {
	t.Helper()
	k := replica(t, db)
	if err := k.Ensure(t.Context(), realms...); err != nil {
		t.Fatal(err)
	}
	return k
}

func signer(t *testing.T, k *keyring.Keyring, r *realm.Realm, alg string) keyring.Key {
	t.Helper()
	key, err := k.Signer(t.Context(), r, alg)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// kids reads the published key set as a relying party would.
func kids(t *testing.T, k *keyring.Keyring, r *realm.Realm) []string {
	t.Helper()
	body, etag := k.JWKS(r)
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(body, &set); err != nil || etag == "" {
		t.Fatalf("%s: %v", body, err)
	}
	var list []string
	for _, key := range set.Keys {
		if !key.Valid() || !key.IsPublic() || key.Use != "sig" || key.Algorithm == "" || key.KeyID == "" {
			t.Errorf("published: %+v", key)
		}
		list = append(list, key.KeyID)
	}
	return list
}

func TestARealmGetsItsKeysAtFirstStart(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		patient, practice := newRealm(t, "patient"), newRealm(t, "practice")
		k := ensured(t, db, patient, practice)
		seen := map[string]bool{}
		for _, r := range []*realm.Realm{patient, practice} {
			for _, alg := range []string{realm.ES256, realm.RS256} {
				key := signer(t, k, r, alg)
				if seen[key.KID] {
					t.Error("two keys have one id")
				}
				seen[key.KID] = true
				jws, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(alg), Key: jose.JSONWebKey{Key: key.Private, KeyID: key.KID}}, nil)
				if err != nil {
					t.Fatal(err)
				}
				token, err := jwt.Signed(jws).Claims(map[string]any{"sub": "x"}).Serialize()
				if err != nil {
					t.Fatal(err)
				}
				public, got, ok := k.Public(t.Context(), r, key.KID)
				if !ok || got != alg {
					t.Fatalf("Public: %v, %v", got, ok)
				}
				parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(alg)})
				if err != nil {
					t.Fatal(err)
				}
				if err := parsed.Claims(public, &map[string]any{}); err != nil {
					t.Errorf("%s of %s does not verify: %v", alg, r.Name, err)
				}
			}
			if len(kids(t, k, r)) != 2 {
				t.Errorf("published: %v", kids(t, k, r))
			}
		}
		own := signer(t, k, patient, realm.ES256)
		if _, _, ok := k.Public(t.Context(), practice, own.KID); ok {
			t.Error("one realm's key is known in the other")
		}
		if _, err := k.Signer(t.Context(), patient, "none"); !errors.Is(err, keyring.ErrNoKey) {
			t.Errorf("signing with none: %v", err)
		}
		if _, err := k.Signer(t.Context(), newRealm(t, "stranger"), realm.ES256); !errors.Is(err, keyring.ErrNoKey) {
			t.Errorf("a realm without keys: %v", err)
		}
		// The next start finds the same keys.
		if again := signer(t, ensured(t, db, patient), patient, realm.RS256); again.KID != signer(t, k, patient, realm.RS256).KID {
			t.Error("a restart made new keys")
		}
	})
}

func TestReplicasThatStartTogetherShareTheirKeys(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		r := newRealm(t, "patient")
		rings := make([]*keyring.Keyring, 6)
		var start, wg sync.WaitGroup
		start.Add(1)
		for i := range rings {
			rings[i] = replica(t, db)
			wg.Go(func() {
				start.Wait()
				if err := rings[i].Ensure(t.Context(), r); err != nil {
					t.Error(err)
				}
			})
		}
		start.Done()
		wg.Wait()
		for _, alg := range []string{realm.ES256, realm.RS256} {
			for _, k := range rings[1:] {
				if signer(t, k, r, alg).KID != signer(t, rings[0], r, alg).KID {
					t.Errorf("replicas sign %s with different keys", alg)
				}
			}
		}
		if n := len(kids(t, rings[0], r)); n != 2 {
			t.Errorf("%d keys were made, want 2", n)
		}
	})
}

func TestANewKeyIsPublishedLongBeforeItSigns(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		r := newRealm(t, "patient")
		one, two := ensured(t, db, r), ensured(t, db, r)
		old := signer(t, one, r, realm.ES256)
		_, before := one.JWKS(r)
		if err := one.Rotate(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if err := two.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, after := one.JWKS(r); after == before {
			t.Error("the key set changed and its ETag did not")
		}
		if n := len(kids(t, two, r)); n != 4 {
			t.Fatalf("%d keys published during a rotation, want 4", n)
		}
		if signer(t, two, r, realm.ES256).KID != old.KID {
			t.Error("the new key signs at once")
		}
		dbtest.Advance(db, keyring.PublishAhead-time.Minute)
		if signer(t, two, r, realm.ES256).KID != old.KID {
			t.Error("the new key signs too early")
		}
		dbtest.Advance(db, 2*time.Minute)
		next := signer(t, two, r, realm.ES256)
		if next.KID == old.KID || signer(t, one, r, realm.ES256).KID != next.KID {
			t.Error("the replicas did not change over together")
		}
		// What the old key signed last still verifies until it has expired.
		dbtest.Advance(db, r.Lifetimes.GrantAbsolute)
		if err := one.Maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, _, ok := one.Public(t.Context(), r, old.KID); !ok {
			t.Error("the old key was removed while its tokens live")
		}
		dbtest.Advance(db, 25*time.Hour)
		if err := one.Maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, _, ok := one.Public(t.Context(), r, old.KID); ok || len(kids(t, one, r)) != 2 {
			t.Errorf("the old key is still there: %v", kids(t, one, r))
		}
	})
}

func TestRotatingTwiceRotatesOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		r := newRealm(t, "patient")
		rings := []*keyring.Keyring{ensured(t, db, r), ensured(t, db, r), ensured(t, db, r)}
		var wg sync.WaitGroup
		for _, k := range rings {
			wg.Go(func() {
				if err := k.Rotate(t.Context(), r); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if err := rings[0].Rotate(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if n := len(kids(t, rings[0], r)); n != 4 {
			t.Errorf("%d keys, want two old and two new", n)
		}
	})
}

func TestOldKeysRotateByThemselves(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		r := newRealm(t, "practice")
		k := ensured(t, db, r)
		old := signer(t, k, r, realm.RS256)
		for _, wait := range []time.Duration{keyring.RotateEvery - time.Hour, 2 * time.Hour, 25 * time.Hour} {
			dbtest.Advance(db, wait)
			if err := k.Maintain(t.Context()); err != nil {
				t.Fatal(err)
			}
			if wait < 24*time.Hour && signer(t, k, r, realm.RS256).KID != old.KID {
				t.Error("the key changed too early")
			}
		}
		if signer(t, k, r, realm.RS256).KID == old.KID {
			t.Error("the key was never rotated")
		}
	})
}

func TestAnUnknownKeyIsLookedForOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		r := newRealm(t, "patient")
		here, there := ensured(t, db, r), ensured(t, db, r)
		before := kids(t, here, r)
		if err := there.Rotate(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		for _, kid := range kids(t, there, r) {
			if _, _, ok := here.Public(t.Context(), r, kid); !ok {
				t.Errorf("a key of another replica is not found (new: %v)", !slices.Contains(before, kid))
			}
		}
		ctx, trips := dbtest.CountTrips(t.Context())
		for range 100 {
			if _, _, ok := here.Public(ctx, r, "made-up"); ok {
				t.Error("a made-up key is known")
			}
		}
		if trips.Trips() > 1 {
			t.Errorf("100 made-up ids cost %d queries", trips.Trips())
		}
		if _, err := here.Signer(ctx, r, realm.ES256); err != nil || trips.Trips() > 1 {
			t.Errorf("signing costs a query: %v", err)
		}
	})
}

func TestPrivateKeysAreSealedAndBoundToTheirRows(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		ctx := t.Context()
		patient, practice := newRealm(t, "patient"), newRealm(t, "practice")
		k := ensured(t, db, patient, practice)

		rows, err := db.Query(ctx, `SELECT sealed, public_jwk FROM signing_keys`)
		dumped, err := database.Collect(rows, err, func(r *database.Rows) (string, error) {
			var sealed []byte
			var public string
			err := r.Scan(&sealed, &public)
			return string(sealed) + public, err
		})
		if err != nil || len(dumped) != 4 {
			t.Fatal(len(dumped), err)
		}
		for _, row := range dumped {
			if strings.Contains(row, `"d"`) || strings.Contains(row, "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07") || strings.Contains(row, "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01") {
				t.Error("a private key is readable in the table")
			}
		}

		other := keyring.New(db, sealer(t, 2), slog.New(slog.DiscardHandler))
		if err := other.Ensure(ctx, patient); !errors.Is(err, keyring.ErrSealedKey) || !errors.Is(err, secret.ErrOtherKey) {
			t.Errorf("with another key-encryption key: %v", err)
		}

		// A key copied over another realm's does not open, and what was in
		// memory goes on.
		own := signer(t, k, practice, realm.ES256)
		if _, err := db.Exec(ctx, `UPDATE signing_keys SET sealed =
			(SELECT sealed FROM signing_keys WHERE realm = 'patient' AND alg = 'ES256')
			WHERE realm = 'practice' AND alg = 'ES256'`); err != nil {
			t.Fatal(err)
		}
		if err := k.Refresh(ctx); !errors.Is(err, keyring.ErrSealedKey) {
			t.Errorf("a swapped key: %v", err)
		}
		if signer(t, k, practice, realm.ES256).KID != own.KID {
			t.Error("a failed refresh took the keys away")
		}
		if err := replica(t, db).Ensure(ctx, practice); !errors.Is(err, keyring.ErrSealedKey) {
			t.Errorf("starting on a swapped key: %v", err)
		}
	})
}

func TestAReadableColumnMakesNoKeyTrusted(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		r := newRealm(t, "patient")
		k := ensured(t, db, r)
		want, _ := k.JWKS(r)
		if _, err := db.Exec(t.Context(), `UPDATE signing_keys SET public_jwk = '{"kty":"EC","kid":"forged"}'`); err != nil {
			t.Fatal(err)
		}
		fresh := ensured(t, db, r)
		if got, _ := fresh.JWKS(r); !bytes.Equal(got, want) {
			t.Errorf("the column decides what is published: %s", got)
		}
	})
}

func TestSigningGoesOnWithoutADatabase(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		r := newRealm(t, "patient")
		k := ensured(t, db, r)
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if err := k.Refresh(gone); err == nil {
			t.Error("reading without a database succeeds")
		}
		key := signer(t, k, r, realm.ES256)
		digest := sha256.Sum256([]byte("x"))
		if _, err := key.Private.Sign(rand.Reader, digest[:], crypto.SHA256); err != nil {
			t.Error(err)
		}
		if len(kids(t, k, r)) != 2 {
			t.Error("the key set is gone")
		}
	})
}
