package password

import (
	"context"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
)

// The bounds of an imported hash. Whoever writes the import file chooses what
// it costs to check, so the cost has a ceiling: about a second of one core and
// 256 MiB, which is far above what the systems that people come from use.
const (
	maxImportedChars = 512 // characters of the whole string
	maxImportedSalt  = 128 // bytes
	minImportedTag   = 16  // bytes
	maxImportedTag   = 64  // bytes

	maxBcryptCost       = 14        // 2^14 rounds
	maxPBKDF2Work       = 2_000_000 // iterations, times the blocks of output they are done for
	maxScryptWork       = 1 << 21   // N·r·p
	maxScryptMemory     = 256 << 20 // 128·r·(N+p) bytes
	maxImportedArgonKiB = 256 << 10
	maxImportedArgonSum = 1 << 20 // memory in KiB, times passes
	maxImportedLanes    = 16
)

// imported is a hash of another system, parsed and within bounds.
type imported struct {
	kind    string                  // algorithm and parameters: hashes of one kind cost the same
	memory  int64                   // bytes that matches needs
	matches func(plain string) bool // compares in constant time
}

// CheckImported tells an importer whether a hash of another system can be
// verified here: it returns nil, or an error that wraps ErrHash and says why
// not, without the hash. See the package comment for formats and limits.
//
// A hash of Portico's own, with a pepper in it, is refused: it is worth
// something only with the pepper it was made with, and that comes back with a
// restored backup, not with an import.
func CheckImported(hash string) error {
	if ours(hash) {
		return fmt.Errorf("%w: made with a pepper, which an import does not carry", ErrHash)
	}
	_, err := parseImported(hash)
	return err
}

// ours reports whether a hash looks like one that Hash made; parsePHC decides.
func ours(hash string) bool {
	return strings.HasPrefix(hash, "$argon2id$") && strings.Contains(hash, ",keyid=")
}

// verifyImported checks a password against a hash of another system. The
// password goes in byte for byte as it was typed, as it did there; what could
// not be hashed here afterwards is no match, and found out as quickly as for
// every other account.
func (h *Hasher) verifyImported(ctx context.Context, in Pool, hash, plain string) (ok, rehash bool, err error) {
	if in != Passwords {
		return false, false, ErrHash // answers are folded here, and in no two systems alike
	}
	old, err := parseImported(hash)
	if err != nil {
		return false, false, err
	}
	if _, err := h.normal(in, plain); err != nil {
		return false, false, nil //nolint:nilerr // see above
	}
	if own := int64(h.params.MemoryKiB) << 10; old.memory > own {
		release, err := h.large.acquire(ctx, old.memory)
		if err != nil {
			return false, false, fmt.Errorf("check an imported hash: %w", err)
		}
		defer release()
	}
	err = h.timed(ctx, in, old.kind, func() bool {
		ok = old.matches(plain) && plain != ""
		return ok
	})
	return ok, ok, err
}

func parseImported(s string) (imported, error) {
	if len(s) > maxImportedChars {
		return imported{}, refuse("longer than %d characters", maxImportedChars)
	}
	if name, rest, ok := strings.Cut(s, "$"); ok && name != "" {
		if digest, ok := strings.CutPrefix(name, "pbkdf2_"); ok {
			return parseDjango(digest, rest)
		}
	}
	name, rest, _ := strings.Cut(strings.TrimPrefix(s, "$"), "$")
	if !strings.HasPrefix(s, "$") {
		name = ""
	}
	switch name {
	case "2a", "2b", "2y":
		return parseBcrypt(s)
	case "2", "2x":
		return imported{}, refuse("bcrypt of the versions 2 and 2x, which were broken, is not supported")
	case "argon2i", "argon2id":
		return parseArgon2(name, rest)
	case "argon2d":
		return imported{}, refuse("Argon2d is not supported: it was not made for passwords (RFC 9106 §4), and no library offers it")
	case "scrypt":
		return parseScrypt(rest)
	case "pbkdf2", "pbkdf2-sha1", "pbkdf2-sha256", "pbkdf2-sha512":
		digest, ok := strings.CutPrefix(name, "pbkdf2-")
		if !ok {
			digest = "sha1" // passlib's name for it
		}
		return parsePBKDF2(digest, rest)
	}
	return imported{}, refuse("not one of bcrypt, PBKDF2, scrypt, Argon2i and Argon2id")
}

// refuse makes an ErrHash with a reason. Reasons never quote the hash.
func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrHash, fmt.Sprintf(format, args...))
}

// saltAndTag decodes the last two parts of a PHC string. passlib writes "."
// where standard base64 has "+", others pad with "=".
func saltAndTag(salt, tag string) (s, t []byte, err error) {
	if s, err = decode(salt); err != nil || len(s) == 0 || len(s) > maxImportedSalt {
		return nil, nil, refuse("the salt is not 1 to %d bytes of base64", maxImportedSalt)
	}
	t, err = decodeTag(tag)
	return s, t, err
}

func decodeTag(tag string) ([]byte, error) {
	t, err := decode(tag)
	if err != nil || len(t) < minImportedTag || len(t) > maxImportedTag {
		return nil, refuse("the hash is not %d to %d bytes of base64", minImportedTag, maxImportedTag)
	}
	return t, nil
}

func decode(s string) ([]byte, error) {
	if strings.ContainsAny(s, "\r\n") {
		return nil, base64.CorruptInputError(0) // the decoder would skip them
	}
	return b64.DecodeString(strings.TrimRight(strings.ReplaceAll(s, ".", "+"), "="))
}

// numbers reads "m=65536,t=3,p=4": exactly these names, in this order.
func numbers(s string, names ...string) ([]uint64, bool) {
	parts := strings.Split(s, ",")
	if len(parts) != len(names) {
		return nil, false
	}
	values := make([]uint64, len(names))
	for i, name := range names {
		digits, ok := strings.CutPrefix(parts[i], name+"=")
		if !ok {
			return nil, false
		}
		if values[i], ok = number(digits); !ok {
			return nil, false
		}
	}
	return values, true
}

// number reads a positive number of at most 32 bits, in its one spelling.
func number(digits string) (uint64, bool) {
	n, err := strconv.ParseUint(digits, 10, 32)
	return n, err == nil && n > 0 && strconv.FormatUint(n, 10) == digits
}
