package password

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"sync/atomic"

	"golang.org/x/crypto/argon2"
)

var (
	// ErrBusy says that too many hashes are being computed or waited for.
	// Answer 503 with Retry-After.
	ErrBusy = errors.New("too many passwords are being checked")
	// ErrHash says that a stored hash cannot be read.
	ErrHash = errors.New("unreadable password hash")
	// ErrPepper says that a stored hash was made with another pepper than the
	// one the program was started with: nothing typed matches it.
	ErrPepper = errors.New("the password hash was made with another pepper")
	// ErrParams says that Argon2id parameters are under the floor.
	ErrParams = errors.New("argon2id parameters under the floor of 19456 KiB, 2 passes, 1 lane")
	// ErrEmpty says that nothing is left of an answer after normalising it.
	ErrEmpty = errors.New("empty answer")
)

// Pool names one of the two pools a Hasher works in.
type Pool int

// The pools. They normalise differently and never wait for each other.
const (
	Passwords Pool = iota
	Answers
)

func (p Pool) String() string {
	if p == Answers {
		return "answers"
	}
	return "passwords"
}

// Params are Argon2id's cost parameters (RFC 9106 §3.1).
type Params struct {
	MemoryKiB   uint32
	Time        uint32
	Parallelism uint8
}

// Floor is the default and the least that is accepted.
func Floor() Params { return Params{MemoryKiB: 19456, Time: 2, Parallelism: 1} }

// Check returns ErrParams when p is under the floor.
func (p Params) Check() error {
	f := Floor()
	if p.MemoryKiB < f.MemoryKiB || p.Time < f.Time || p.Parallelism < f.Parallelism {
		return ErrParams
	}
	return nil
}

// Hasher computes and checks hashes. It is safe for concurrent use.
type Hasher struct {
	params   Params
	pepper   []byte
	pepperID string
	pools    [2]*pool
	paces    [2]pace
	hashed   [2]atomic.Int64
	large    *budget // for imported hashes that need more memory than ours
}

// NewHasher makes a Hasher. It panics on parameters that Check refuses and on
// an empty pepper: both are configuration, judged before this is called.
func NewHasher(p Params, pepper []byte, o PoolOptions) *Hasher {
	if err := p.Check(); err != nil {
		panic("password: " + err.Error())
	}
	if len(pepper) == 0 {
		panic("password: no pepper")
	}
	h := &Hasher{params: p, pepper: append([]byte(nil), pepper...)}
	h.pepperID = b64.EncodeToString(h.mac("pepper id", "")[:6])
	passwords, answers := o.sizes(p)
	h.pools = [2]*pool{newPool(passwords, o), newPool(answers, o)}
	h.large = newBudget(memoryBytes()/8, o)
	return h
}

// Hash makes the PHC string to store. It returns the *Problem of Normalize for
// a password, ErrEmpty for an empty answer, ErrBusy, or the context's error.
func (h *Hasher) Hash(ctx context.Context, in Pool, plain string) (string, error) {
	s, err := h.normal(in, plain)
	if err != nil {
		return "", err
	}
	salt := make([]byte, saltBytes)
	_, _ = rand.Read(salt)
	release, err := h.acquire(ctx, in)
	if err != nil {
		return "", err
	}
	defer release()
	tag := h.compute(in, s, salt, h.params)
	return phc{params: h.params, keyID: h.pepperID, salt: salt, tag: tag}.String(), nil
}

// Verify checks a password or answer against a stored hash: one of ours, or,
// for passwords, one that was imported from another system. rehash says that
// it was a match and the hash should be replaced, because it was imported or
// is of other parameters than today's. Something that could never have been
// hashed is simply not a match, nor is anything for a hash of another pepper
// (see CheckPepper). Errors are ErrHash, ErrBusy and the context's; none means
// "wrong".
func (h *Hasher) Verify(ctx context.Context, in Pool, hash, plain string) (ok, rehash bool, err error) {
	if !ours(hash) {
		return h.verifyImported(ctx, in, hash, plain)
	}
	stored, err := parsePHC(hash)
	if err != nil {
		return false, false, err
	}
	s, err := h.normal(in, plain)
	if err != nil {
		return false, false, nil //nolint:nilerr // see above
	}
	kind := ""
	if stored.params != h.params {
		kind = fmt.Sprintf("%+v", stored.params)
	}
	err = h.timed(ctx, in, kind, func() bool {
		tag := h.compute(in, s, stored.salt, stored.params)
		ok = subtle.ConstantTimeCompare(tag, stored.tag) == 1
		return ok
	})
	return ok, ok && kind != "", err
}

// CheckPepper returns ErrPepper for a stored hash that was made with another
// pepper, and ErrHash for one that cannot be read or was imported, and so has
// none.
func (h *Hasher) CheckPepper(hash string) error {
	stored, err := parsePHC(hash)
	if err == nil && stored.keyID != h.pepperID {
		err = ErrPepper
	}
	return err
}

// VerifyNothing takes as long as Verify and finds nothing: it is called for
// accounts that do not exist or have no password, so that answers take the
// same time for everybody, while imported hashes are about, too.
func (h *Hasher) VerifyNothing(ctx context.Context, in Pool, plain string) error {
	s, err := h.normal(in, plain)
	if err != nil {
		return nil //nolint:nilerr // Verify is as quick with it
	}
	return h.timed(ctx, in, "", func() bool {
		h.compute(in, s, make([]byte, saltBytes), h.params)
		return false
	})
}

// Enter takes a place in a pool for somebody whose password is about to be
// hashed or checked, or returns ErrBusy. Whoever asks first turns a flood away
// before it has cost anything else: a query, a counted try. Call leave once,
// when the request is over.
func (h *Hasher) Enter(in Pool) (leave func(), err error) {
	leave, err = h.pools[in].enter()
	if err != nil {
		return nil, fmt.Errorf("enter pool %s: %w", in, err)
	}
	return leave, nil
}

func (h *Hasher) normal(in Pool, plain string) (string, error) {
	if in == Answers {
		s := NormalizeAnswer(plain)
		if s == "" {
			return "", ErrEmpty
		}
		return s, nil
	}
	return Normalize(plain)
}

// acquire takes a slot of a pool.
func (h *Hasher) acquire(ctx context.Context, in Pool) (release func(), err error) {
	release, err = h.pools[in].acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("hash in pool %s: %w", in, err)
	}
	h.hashed[in].Add(1)
	return release, nil
}

// Hashed is how many hashes a pool has begun to compute, of every kind: what the
// work of a sign-in is counted by.
func (h *Hasher) Hashed(in Pool) int64 { return h.hashed[in].Load() }

// compute runs Argon2id; the caller holds a slot. The pepper goes in first, by
// HMAC under a key per pool: a stolen table alone allows no guessing, and an
// answer's hash is no password's.
func (h *Hasher) compute(in Pool, normal string, salt []byte, p Params) []byte {
	return argon2.IDKey(h.mac(in.String(), normal), salt, p.Time, p.MemoryKiB, p.Parallelism, tagBytes)
}

func (h *Hasher) mac(purpose, s string) []byte {
	m := hmac.New(sha256.New, h.pepper)
	m.Write([]byte("portico/1 " + purpose + "\x00"))
	m.Write([]byte(s))
	return m.Sum(nil)
}
