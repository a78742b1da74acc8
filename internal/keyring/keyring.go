package keyring

import (
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/secret"
)

const (
	// PublishAhead is how long a new key is published before it signs.
	PublishAhead = 24 * time.Hour
	// SoonAhead is the same for RotateSoon: every replica that runs Worker has
	// read the key again by then.
	SoonAhead = 2 * time.Minute
	// RotateEvery is how long a key signs before Worker replaces it.
	RotateEvery = 90 * 24 * time.Hour

	// retainExtra is added to the longest life of what a key signed, for
	// clocks that differ and logout hints that come late.
	retainExtra = 24 * time.Hour
	// rereadPause keeps unknown key ids from causing a query each.
	rereadPause = 5 * time.Second
)

// algorithms are those every realm has keys for.
var algorithms = []string{realm.ES256, realm.RS256}

var (
	// ErrNoKey says that a realm has no key for an algorithm that may sign now.
	ErrNoKey = errors.New("no signing key")
	// ErrSealedKey says that a stored key could not be opened: the
	// key-encryption key is another one, or the row was tampered with.
	ErrSealedKey = errors.New("a signing key cannot be opened")
)

// Key is a private key that may sign now.
type Key struct {
	KID     string
	Alg     string // ES256, RS256
	Private crypto.Signer
}

// Keyring holds the keys of realms. It is safe for concurrent use.
type Keyring struct {
	store  *store
	sealer *secret.Sealer
	log    *slog.Logger

	// rings is replaced as a whole, never changed: readers need no lock.
	rings atomic.Pointer[map[string]*ring]

	made func(ctx context.Context, k Made) error // may be nil

	load     sync.Mutex // one reader of the database at a time
	realms   map[string]*realm.Realm
	lastMiss time.Time // of the local clock: paces re-reading only
}

// Made tells of a signing key that was stored.
type Made struct{ Realm, Alg, KID string }

// OnMade names a function that is called in the transaction that stores a new
// key, for the audit trail: when it fails, there is no key. Call it before the
// keyring is used.
func (k *Keyring) OnMade(fn func(ctx context.Context, m Made) error) { k.made = fn }

func (k *Keyring) tell(ctx context.Context, n newKey) error {
	if k.made == nil {
		return nil
	}
	return k.made(ctx, Made{Realm: n.realm, Alg: n.alg, KID: n.kid})
}

// ring is the keys of one realm as they were last read, newest first.
type ring struct {
	keys []loaded
	jwks []byte
	etag string
}

type loaded struct {
	row
	private crypto.Signer
}

// New makes an empty Keyring; Ensure fills it.
func New(db *database.DB, sealer *secret.Sealer, log *slog.Logger) *Keyring {
	k := &Keyring{store: &store{db}, sealer: sealer, log: log, realms: map[string]*realm.Realm{}}
	k.rings.Store(&map[string]*ring{})
	return k
}

// Ensure makes the keys that realms do not have yet and reads all of them in.
// Call it at start and when realms are added. When replicas race, each ends up
// with the keys of whoever was first. ErrSealedKey: do not start.
func (k *Keyring) Ensure(ctx context.Context, realms ...*realm.Realm) error {
	k.load.Lock()
	defer k.load.Unlock()
	for _, r := range realms {
		k.realms[r.Name] = r
	}
	if err := k.reload(ctx); err != nil {
		return err
	}
	var missing []newKey
	for _, r := range realms {
		for _, alg := range algorithms {
			if !(*k.rings.Load())[r.Name].has(alg) {
				missing = append(missing, newKey{realm: r.Name, alg: alg, generation: 1})
			}
		}
	}
	if len(missing) == 0 {
		return nil
	}
	// An RSA key takes a while: all of them at once, and before any transaction.
	if err := k.generate(missing); err != nil {
		return err
	}
	for _, n := range missing {
		made := false
		err := k.store.db.InTx(ctx, func(ctx context.Context) (err error) {
			// The first key has to sign at once: there is no older one.
			now := k.store.db.Now(ctx)
			if made, err = k.store.insert(ctx, n, now, now); err != nil || !made {
				return err
			}
			return k.tell(ctx, n)
		})
		if err != nil {
			return fmt.Errorf("store %s key of realm %s: %w", n.alg, n.realm, err)
		}
		if made {
			k.log.Info("signing key made", "realm", n.realm, "alg", n.alg, "kid", n.kid)
		}
	}
	return k.reload(ctx)
}

// Signer is the key that signs for a realm now, from memory. ErrNoKey: Ensure
// was not called for the realm, or alg is not one of ES256 and RS256.
func (k *Keyring) Signer(ctx context.Context, r *realm.Realm, alg string) (Key, error) {
	now := k.store.db.Now(ctx)
	if ring := (*k.rings.Load())[r.Name]; ring != nil {
		for _, key := range ring.keys {
			if key.alg == alg && !key.activeAt.After(now) {
				return Key{KID: key.kid, Alg: key.alg, Private: key.private}, nil
			}
		}
	}
	return Key{}, fmt.Errorf("%w: realm %s, %s", ErrNoKey, r.Name, alg)
}

// Public finds a published key of the realm by its id, to verify a signature
// with exactly the algorithm that is returned (RFC 8725 §3.1). An id that is
// not known leads to one look into the database, at most every few seconds:
// another replica may just have made it.
func (k *Keyring) Public(ctx context.Context, r *realm.Realm, kid string) (key crypto.PublicKey, alg string, ok bool) {
	if key, alg, ok = k.find(r, kid); ok {
		return key, alg, true
	}
	k.load.Lock()
	defer k.load.Unlock()
	if key, alg, ok = k.find(r, kid); ok || time.Since(k.lastMiss) < rereadPause {
		return key, alg, ok
	}
	k.lastMiss = time.Now()
	if err := k.reload(ctx); err != nil {
		k.log.Warn("signing keys could not be read again", "error", err)
		return nil, "", false
	}
	return k.find(r, kid)
}

func (k *Keyring) find(r *realm.Realm, kid string) (crypto.PublicKey, string, bool) {
	if ring := (*k.rings.Load())[r.Name]; ring != nil {
		for _, key := range ring.keys {
			if key.kid == kid {
				return key.private.Public(), key.alg, true
			}
		}
	}
	return nil, "", false
}

// JWKS is the realm's published key set (RFC 7517 §5), ready to be sent, and a
// strong ETag for it. Do not change the bytes.
func (k *Keyring) JWKS(r *realm.Realm) (body []byte, etag string) {
	if ring := (*k.rings.Load())[r.Name]; ring != nil {
		return ring.jwks, ring.etag
	}
	return []byte(`{"keys":[]}`), `"empty"`
}

// Refresh reads the keys again. On an error the old ones stay in use.
func (k *Keyring) Refresh(ctx context.Context) error {
	k.load.Lock()
	defer k.load.Unlock()
	return k.reload(ctx)
}

// reload replaces the rings; the caller holds k.load.
func (k *Keyring) reload(ctx context.Context) error {
	rows, err := k.store.all(ctx)
	if err != nil {
		return fmt.Errorf("read signing keys: %w", err)
	}
	now, old := k.store.db.Now(ctx), *k.rings.Load()
	rings := make(map[string]*ring, len(k.realms))
	for name := range k.realms {
		rings[name] = &ring{}
	}
	for _, row := range rows {
		ring := rings[row.realm]
		if ring == nil || row.removeAt != nil && !row.removeAt.After(now) {
			continue
		}
		private, err := k.open(row, old[row.realm])
		if err != nil {
			return err
		}
		ring.keys = append(ring.keys, loaded{row, private})
	}
	for _, ring := range rings {
		if err := ring.publish(); err != nil {
			return err
		}
	}
	k.rings.Store(&rings)
	return nil
}

// open unseals a key, or takes it from the ring that has it open already.
func (k *Keyring) open(row row, old *ring) (crypto.Signer, error) {
	if old != nil {
		for _, key := range old.keys {
			if key.kid == row.kid && key.alg == row.alg && slices.Equal(key.sealed, row.sealed) {
				return key.private, nil
			}
		}
	}
	der, err := k.sealer.Open(sealPurpose, sealedAs(row.realm, row.kid, row.alg), row.sealed)
	if err != nil {
		return nil, fmt.Errorf("%w: realm %s, kid %s: %w", ErrSealedKey, row.realm, row.kid, err)
	}
	private, err := parsePrivate(der, row.alg)
	if err != nil {
		return nil, fmt.Errorf("%w: realm %s, kid %s: %w", ErrSealedKey, row.realm, row.kid, err)
	}
	return private, nil
}

func (r *ring) has(alg string) bool {
	return slices.ContainsFunc(r.keys, func(key loaded) bool { return key.alg == alg })
}

func (r *ring) publish() error {
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, key := range r.keys {
		set.Keys = append(set.Keys, publicJWK(key.private.Public(), key.kid, key.alg))
	}
	body, err := json.Marshal(set)
	if err != nil {
		return fmt.Errorf("write key set: %w", err)
	}
	hash := sha256.Sum256(body)
	r.jwks, r.etag = body, `"`+base64.RawURLEncoding.EncodeToString(hash[:12])+`"`
	return nil
}

// known lists the realms Ensure was called for.
func (k *Keyring) known() []*realm.Realm {
	k.load.Lock()
	defer k.load.Unlock()
	return slices.Collect(maps.Values(k.realms))
}
