package secret

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
)

// KeyBytes is the length of a key-encryption key.
const KeyBytes = 32

// A sealed value is: version, key id, nonce, ciphertext with tag.
const (
	sealVersion = 1
	keyIDBytes  = 4
	nonceBytes  = 12
	headBytes   = 1 + keyIDBytes + nonceBytes
)

var (
	// ErrKeySize says that a key-encryption key is not 32 bytes long.
	ErrKeySize = errors.New("a key-encryption key has exactly 32 bytes")
	// ErrOtherKey says that a value was sealed under another key-encryption
	// key than the one the program was started with.
	ErrOtherKey = errors.New("sealed under another key-encryption key")
	// ErrSealed says that a sealed value was damaged, or moved to another row
	// or purpose than it was sealed for.
	ErrSealed = errors.New("sealed value does not open")
)

// Sealer encrypts with AES-256-GCM under subkeys of one key-encryption key.
// Every purpose has its own subkey (HKDF-SHA-256, RFC 5869), so a value sealed
// for one purpose never opens for another. It is safe for concurrent use.
type Sealer struct {
	kek   []byte
	keyID [keyIDBytes]byte
	aeads sync.Map // purpose → cipher.AEAD
}

// NewSealer takes a key-encryption key of 32 random bytes; ErrKeySize otherwise.
func NewSealer(kek []byte) (*Sealer, error) {
	if len(kek) != KeyBytes {
		return nil, fmt.Errorf("%w, this one has %d", ErrKeySize, len(kek))
	}
	s := &Sealer{kek: append([]byte(nil), kek...)}
	copy(s.keyID[:], s.derive("key id", keyIDBytes))
	return s, nil
}

// Seal encrypts plain for a purpose, bound to aad: name the realm and the row
// there, so that a value copied to another row does not open.
func (s *Sealer) Seal(purpose, aad string, plain []byte) []byte {
	out := make([]byte, headBytes, headBytes+len(plain)+16)
	out[0] = sealVersion
	copy(out[1:], s.keyID[:])
	nonce := out[1+keyIDBytes : headBytes]
	_, _ = rand.Read(nonce)
	return s.aead(purpose).Seal(out, nonce, plain, s.bound(purpose, aad))
}

// Open decrypts what Seal made for the same purpose and aad. It returns
// ErrOtherKey when the key-encryption key is a different one, ErrSealed when
// anything else does not fit.
func (s *Sealer) Open(purpose, aad string, sealed []byte) ([]byte, error) {
	if len(sealed) < headBytes || sealed[0] != sealVersion {
		return nil, ErrSealed
	}
	if [keyIDBytes]byte(sealed[1:1+keyIDBytes]) != s.keyID {
		return nil, ErrOtherKey
	}
	nonce := sealed[1+keyIDBytes : headBytes]
	plain, err := s.aead(purpose).Open(nil, nonce, sealed[headBytes:], s.bound(purpose, aad))
	if err != nil {
		return nil, ErrSealed
	}
	return plain, nil
}

// DeriveKey is a subkey of n bytes for a purpose of its own (the HMAC of the
// CSRF tokens, of the codes, …). The same purpose gives the same key on every
// replica; no derived key is ever a sealing key.
func (s *Sealer) DeriveKey(purpose string, n int) []byte {
	return s.derive("derive:"+purpose, n)
}

// String redacts.
func (s *Sealer) String() string { return redacted }

// GoString redacts.
func (s *Sealer) GoString() string { return redacted }

// Format redacts for every verb: a Sealer in a printed struct shows no key.
func (s *Sealer) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// bound is the additional data: the purpose, its length before it, and aad.
// The length keeps ("ab", "c") and ("a", "bc") apart.
func (s *Sealer) bound(purpose, aad string) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(purpose)))
	b = append(b, purpose...)
	return append(b, aad...)
}

func (s *Sealer) aead(purpose string) cipher.AEAD {
	if a, ok := s.aeads.Load(purpose); ok {
		return a.(cipher.AEAD)
	}
	block, err := aes.NewCipher(s.derive("seal:"+purpose, KeyBytes))
	if err != nil {
		panic("secret: " + err.Error()) // the key is always 32 bytes long
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		panic("secret: " + err.Error())
	}
	a, _ := s.aeads.LoadOrStore(purpose, gcm)
	return a.(cipher.AEAD)
}

func (s *Sealer) derive(info string, n int) []byte {
	key, err := hkdf.Key(sha256.New, s.kek, nil, "portico/1 "+info, n)
	if err != nil {
		panic(fmt.Sprintf("secret: derive %d bytes: %v", n, err)) // more than 8160 bytes asked
	}
	return key
}
