package secret

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
)

// redacted is what every printer shows instead of a secret.
const redacted = "[redacted]"

// tokenBytes is the size of a Token: 256 bits from the system's generator.
const tokenBytes = 32

// ErrToken says that a string is not a token this package could have made.
// It says nothing about whether a well-formed token is known.
var ErrToken = errors.New("malformed token")

// strict refuses the padding bits that a lenient decoder ignores: a token has
// exactly one spelling, so its hash is a key.
var strict = base64.RawURLEncoding.Strict()

// Token is a random bearer secret of 256 bits. The zero value is no token:
// its Hash is that of nothing that was ever handed out.
type Token struct {
	bytes [tokenBytes]byte
}

// NewToken makes a token from the system's random generator.
func NewToken() Token {
	var t Token
	_, _ = rand.Read(t.bytes[:]) // never fails: crypto/rand ends the program instead
	return t
}

// ParseToken reads what Reveal wrote, or returns ErrToken.
func ParseToken(s string) (Token, error) {
	var t Token
	if len(s) != strict.EncodedLen(tokenBytes) {
		return Token{}, ErrToken
	}
	// The decoder passes over line ends, so the count has to be right too.
	if n, err := strict.Decode(t.bytes[:], []byte(s)); err != nil || n != tokenBytes {
		return Token{}, ErrToken
	}
	if t.IsZero() {
		return Token{}, ErrToken
	}
	return t, nil
}

// IsZero reports whether t is the zero value rather than a token.
func (t Token) IsZero() bool { return t == Token{} }

// Reveal is the token as it travels: 43 characters of base64url.
func (t Token) Reveal() string { return strict.EncodeToString(t.bytes[:]) }

// Hash is what is stored and looked up: SHA-256 of the 32 bytes. A slow hash
// would add nothing to 256 random bits. Reading the database yields no token.
func (t Token) Hash() []byte {
	h := sha256.Sum256(t.bytes[:])
	return h[:]
}

// String redacts.
func (t Token) String() string { return redacted }

// GoString redacts.
func (t Token) GoString() string { return redacted }

// Format redacts for every verb: without it %x and %d would print the bytes.
func (t Token) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// LogValue redacts.
func (t Token) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText redacts, also for JSON and as a map key.
func (t Token) MarshalText() ([]byte, error) { return []byte(redacted), nil }
