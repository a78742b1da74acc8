package clientkeys

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/portico-id/portico/internal/realm"
)

const (
	// maxLength bounds what is parsed.
	maxLength = 16 << 10
	// maxKeys bounds a set: each of them may have to be tried.
	maxKeys = 20
	// freshFor is how long fetched keys are used without asking again.
	freshFor = 10 * time.Minute
	// staleFor is how long they are used when they cannot be fetched again: a
	// key that was taken back must not live because its address is silent.
	staleFor = 24 * time.Hour
	// A set is fetched again at most refetches times in refetchWindow because
	// of signatures that none of its keys made.
	refetches     = 5
	refetchWindow = time.Minute
	// maxSets bounds the sets that are remembered.
	maxSets = 4096
	// maxWritten bounds those that clients wrote out: parsed again, they cost little.
	maxWritten = 1024
)

var (
	// ErrSignature says that a client's registered keys did not make this.
	ErrSignature = errors.New("not signed by a key of the client")
	// ErrKeys says that a set of keys cannot be used.
	ErrKeys = errors.New("unusable key set")
)

// Algorithms are those that clients may sign with.
var Algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.PS256, jose.ES256, jose.EdDSA}

// Fetcher gets a document from an address that a client registered. stranger
// says that the client registered itself.
type Fetcher interface {
	Document(ctx context.Context, address string, stranger bool) ([]byte, error)
}

// Keys finds and remembers the keys of clients. It is safe for concurrent use.
type Keys struct {
	fetch Fetcher
	now   func() time.Time

	mu      sync.Mutex
	sets    map[source]*remote
	written map[[sha256.Size]byte][]jose.JSONWebKey // sets that clients wrote out, by the hash of what they wrote
}

// source is where a set comes from. A stranger that names the address of
// somebody else uses up no fetch of theirs.
type source struct {
	address  string
	stranger bool
}

func sourceOf(c *realm.Client) source { return source{c.JWKSURI, c.Registered} }

// remote is a set behind an address. Its lock is held while it is fetched, so
// that many requests at once fetch it once.
type remote struct {
	fetching sync.Mutex  // one fetch at a time
	attempts []time.Time // of the last window; guarded by fetching

	mu   sync.Mutex
	keys []jose.JSONWebKey
	at   time.Time // of keys; zero: never
}

// New makes Keys that fetch with f.
func New(f Fetcher) *Keys {
	return &Keys{fetch: f, now: time.Now, sets: map[source]*remote{}, written: map[[sha256.Size]byte][]jose.JSONWebKey{}}
}

// Signed is a signature that has been parsed and not been verified: nothing it
// says is known to be true.
type Signed struct {
	Alg, KeyID, Type string
	Claims           []byte // JSON

	jws *jose.JSONWebSignature
}

// Parse reads a compact JWS of one of the algorithms. It asks nobody, so that
// a caller can refuse what makes no sense before any key is looked for.
func Parse(raw string, algorithms []jose.SignatureAlgorithm) (*Signed, error) {
	if len(raw) > maxLength {
		return nil, fmt.Errorf("%w: too long", ErrSignature)
	}
	jws, err := jose.ParseSignedCompact(raw, algorithms)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSignature, err)
	}
	if len(jws.Signatures) != 1 {
		return nil, fmt.Errorf("%w: one signature expected", ErrSignature)
	}
	h := jws.Signatures[0].Protected
	s := &Signed{Alg: h.Algorithm, KeyID: h.KeyID, Claims: jws.UnsafePayloadWithoutVerification(), jws: jws}
	s.Type, _ = h.ExtraHeaders[jose.HeaderType].(string)
	return s, nil
}

// Verify checks that a client's key made the signature; after that the claims
// are the client's. ErrSignature.
func (k *Keys) Verify(ctx context.Context, c *realm.Client, s *Signed) error {
	set, err := k.Set(ctx, c, s.KeyID, true)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSignature, err)
	}
	err = s.by(set)
	if err == nil || s.KeyID != "" || c.JWKSURI == "" {
		return err
	}
	// Which key it was meant to be is not known: maybe a new one.
	r := k.remote(sourceOf(c))
	_, at := r.known()
	newer, refetched := r.refresh(ctx, k, sourceOf(c), at)
	if refetched != nil {
		return errors.Join(err, refetched)
	}
	return s.by(newer)
}

// Set returns the keys of a client. With ask, keys behind an address may be
// fetched: when they are not known, when they are old, and when none has this
// kid ("" means any). Without, nobody is asked. ErrKeys when there are none.
func (k *Keys) Set(ctx context.Context, c *realm.Client, kid string, ask bool) ([]jose.JSONWebKey, error) {
	switch {
	case len(c.JWKS) > 0:
		return k.parsed(c.JWKS)
	case c.JWKSURI == "":
		return nil, fmt.Errorf("%w: none registered", ErrKeys)
	}
	r := k.remote(sourceOf(c))
	set, at := r.known()
	unknown := kid != "" && !slices.ContainsFunc(set, func(j jose.JSONWebKey) bool { return j.KeyID == kid })
	if ask && (at.IsZero() || unknown || k.now().Sub(at) > freshFor) {
		newer, err := r.refresh(ctx, k, sourceOf(c), at)
		switch {
		case err == nil:
			set = newer
		case at.IsZero(), k.now().Sub(at) > staleFor:
			return nil, fmt.Errorf("%w: %w", ErrKeys, err)
		}
	}
	if len(set) == 0 {
		return nil, fmt.Errorf("%w: not known yet", ErrKeys)
	}
	return set, nil
}

// parsed is ParseSet of a set that a client wrote out, remembered: by what
// stands in it, so that nothing that was replaced can be found, whichever
// replica or configuration replaced it.
func (k *Keys) parsed(raw []byte) ([]jose.JSONWebKey, error) {
	of := sha256.Sum256(raw)
	k.mu.Lock()
	set, ok := k.written[of]
	k.mu.Unlock()
	if ok {
		return set, nil
	}
	set, err := ParseSet(raw)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.written) >= maxWritten {
		clear(k.written)
	}
	k.written[of] = set
	return set, nil
}

// by tries the keys that may have made a signature: those of its kid, or all
// of them when it names none.
func (s *Signed) by(set []jose.JSONWebKey) error {
	for _, key := range set {
		if s.KeyID != "" && key.KeyID != s.KeyID || !fits(key, s.Alg) {
			continue
		}
		if _, err := s.jws.Verify(key.Key); err == nil {
			return nil
		}
	}
	return ErrSignature
}

// fits reports whether a key is one for an algorithm (RFC 8725 §3.1).
func fits(key jose.JSONWebKey, alg string) bool {
	if key.Algorithm != "" && key.Algorithm != alg || key.Use != "" && key.Use != "sig" {
		return false
	}
	switch public := key.Key.(type) {
	case *rsa.PublicKey:
		return alg == string(jose.RS256) || alg == string(jose.PS256)
	case *ecdsa.PublicKey:
		return alg == string(jose.ES256) && public.Curve == elliptic.P256()
	case ed25519.PublicKey:
		return alg == string(jose.EdDSA)
	}
	return false
}

// ParseSet reads a JSON Web Key Set. Keys of kinds that are not used here are
// left out (RFC 7517 §5), but a set with private or symmetric keys is refused:
// whoever published it has lost it. ErrKeys.
func ParseSet(raw []byte) ([]jose.JSONWebKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(raw, &set); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeys, err)
	}
	if len(set.Keys) == 0 || len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("%w: 1 to %d keys are expected", ErrKeys, maxKeys)
	}
	var out []jose.JSONWebKey
	for _, raw := range set.Keys {
		var kind struct {
			Type    string          `json:"kty"`
			Private json.RawMessage `json:"d"`
			Secret  json.RawMessage `json:"k"`
		}
		if err := json.Unmarshal(raw, &kind); err != nil || kind.Type == "" {
			return nil, fmt.Errorf("%w: a key has no type", ErrKeys)
		}
		if kind.Private != nil || kind.Secret != nil || kind.Type == "oct" {
			return nil, fmt.Errorf("%w: a private or symmetric key is in it", ErrKeys)
		}
		var key jose.JSONWebKey
		if err := json.Unmarshal(raw, &key); err != nil || !key.Valid() || !key.IsPublic() {
			continue
		}
		if r, ok := key.Key.(*rsa.PublicKey); ok && (r.N.BitLen() < 2048 || r.N.BitLen() > 8192) {
			continue
		}
		out = append(out, key)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: no key in it is of use here", ErrKeys)
	}
	return out, nil
}

func (k *Keys) remote(from source) *remote {
	k.mu.Lock()
	defer k.mu.Unlock()
	r, ok := k.sets[from]
	if !ok {
		if len(k.sets) >= maxSets {
			// Those of strangers first: they are fetched again when they are needed.
			maps.DeleteFunc(k.sets, func(s source, _ *remote) bool { return s.stranger })
		}
		if len(k.sets) >= maxSets {
			clear(k.sets)
		}
		r = &remote{}
		k.sets[from] = r
	}
	return r
}

func (r *remote) known() ([]jose.JSONWebKey, time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.keys, r.at
}

// refresh fetches the set, unless somebody did since the caller looked, or it
// was fetched too often. Readers of keys that are known do not wait for it. A
// fetch that has begun goes on when the caller hangs up: what a stranger asked
// for serves the client as well, and costs it nothing.
func (r *remote) refresh(ctx context.Context, k *Keys, from source, seen time.Time) ([]jose.JSONWebKey, error) {
	r.fetching.Lock()
	defer r.fetching.Unlock()
	now := k.now()
	if keys, at := r.known(); at.After(seen) {
		return keys, nil
	} else if !r.allowed(now, at) {
		return nil, fmt.Errorf("%w: fetched too often", ErrKeys)
	}
	raw, err := k.fetch.Document(context.WithoutCancel(ctx), from.address, from.stranger)
	if err != nil {
		return nil, err
	}
	keys, err := ParseSet(raw)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys, r.at = keys, now
	return keys, nil
}

// allowed counts an attempt. Nothing being known yet is worth more attempts
// than a key that is unknown to a set that was read.
func (r *remote) allowed(now, read time.Time) bool {
	most := refetches
	if read.IsZero() {
		most = 6 * refetches
	}
	r.attempts = slices.DeleteFunc(r.attempts, func(t time.Time) bool { return now.Sub(t) >= refetchWindow })
	if len(r.attempts) >= most {
		return false
	}
	r.attempts = append(r.attempts, now)
	return true
}
