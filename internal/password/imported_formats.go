package password

import (
	"crypto/pbkdf2"
	"crypto/sha1" //nolint:gosec // PBKDF2-HMAC-SHA-1 is what old systems stored; it is replaced at the next sign-in
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"fmt"
	"hash"
	"math/bits"
	"regexp"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/crypto/scrypt"
)

var bcryptForm = regexp.MustCompile(`^\$2[aby]\$[0-9]{2}\$[./A-Za-z0-9]{53}$`)

// parseBcrypt reads $2b$12$ and 22 characters of salt, 31 of hash.
//
// bcrypt looks at the first 72 bytes of a password only, everywhere, and so
// does this: what the old system took for the password is taken once more.
// The hash that replaces it covers all that was typed.
func parseBcrypt(s string) (imported, error) {
	if !bcryptForm.MatchString(s) {
		return imported{}, refuse("not the form of a bcrypt hash")
	}
	cost, err := bcrypt.Cost([]byte(s))
	if err != nil || cost > maxBcryptCost {
		return imported{}, refuse("bcrypt with a cost that is not %d to %d", bcrypt.MinCost, maxBcryptCost)
	}
	return imported{kind: s[:len("$2b$12")], memory: 4 << 10, matches: func(plain string) bool {
		return bcrypt.CompareHashAndPassword([]byte(s), []byte(plain)) == nil
	}}, nil
}

// digests are the hash functions of PBKDF2-HMAC.
var digests = map[string]struct {
	make func() hash.Hash
	size int
}{
	"sha1":   {sha1.New, sha1.Size},
	"sha256": {sha256.New, sha256.Size},
	"sha512": {sha512.New, sha512.Size},
}

// parsePBKDF2 reads what follows $pbkdf2-sha256$ in passlib's form,
// 29000$salt$hash, or in that of the PHC string format,
// i=600000,l=32$salt$hash, where l may be left out.
func parsePBKDF2(digest, rest string) (imported, error) {
	parts := strings.Split(rest, "$")
	if len(parts) != 3 {
		return imported{}, refuse("not the form of a PBKDF2 hash")
	}
	salt, tag, err := saltAndTag(parts[1], parts[2])
	if err != nil {
		return imported{}, err
	}
	iterations, ok := number(parts[0])
	if !ok {
		if v, withLength := numbers(parts[0], "i", "l"); withLength && v[1] == uint64(len(tag)) {
			iterations, ok = v[0], true
		} else if v, without := numbers(parts[0], "i"); without {
			iterations, ok = v[0], true
		}
	}
	if !ok {
		return imported{}, refuse("not the parameters of a PBKDF2 hash")
	}
	return newPBKDF2(digest, iterations, salt, tag)
}

// parseDjango reads what follows pbkdf2_sha256$: 1000000$salt$hash, where the
// salt is text.
func parseDjango(digest, rest string) (imported, error) {
	parts := strings.Split(rest, "$")
	if len(parts) != 3 {
		return imported{}, refuse("not the form of a Django hash")
	}
	iterations, ok := number(parts[0])
	if !ok {
		return imported{}, refuse("not the iterations of a Django hash")
	}
	if parts[1] == "" || len(parts[1]) > maxImportedSalt {
		return imported{}, refuse("the salt is not 1 to %d bytes", maxImportedSalt)
	}
	tag, err := decodeTag(parts[2])
	if err != nil {
		return imported{}, err
	}
	return newPBKDF2(digest, iterations, []byte(parts[1]), tag)
}

func newPBKDF2(digest string, iterations uint64, salt, tag []byte) (imported, error) {
	d, ok := digests[digest]
	if !ok {
		return imported{}, refuse("PBKDF2 with a digest that is not sha1, sha256 or sha512")
	}
	// A tag longer than the digest costs all iterations once more.
	blocks := uint64((len(tag) + d.size - 1) / d.size)
	if iterations*blocks > maxPBKDF2Work {
		return imported{}, refuse("PBKDF2 with more than %d iterations", maxPBKDF2Work/blocks)
	}
	return imported{kind: fmt.Sprintf("pbkdf2 %s %d %d", digest, iterations, blocks), memory: 1 << 10, matches: func(plain string) bool {
		got, err := pbkdf2.Key(d.make, plain, salt, int(iterations), len(tag))
		return err == nil && subtle.ConstantTimeCompare(got, tag) == 1
	}}, nil
}

// parseScrypt reads what follows $scrypt$: ln=16,r=8,p=1$salt$hash, where
// N = 2^ln (RFC 7914).
func parseScrypt(rest string) (imported, error) {
	parts := strings.Split(rest, "$")
	if len(parts) != 3 {
		return imported{}, refuse("not the form of a scrypt hash")
	}
	v, ok := numbers(parts[0], "ln", "r", "p")
	if !ok {
		return imported{}, refuse("not the parameters of a scrypt hash")
	}
	ln, r, p := v[0], v[1], v[2]
	// Each is bounded alone first, so that the product cannot overflow.
	if ln > 21 || r > maxScryptWork || p > maxScryptWork || r*p > maxScryptWork>>ln {
		return imported{}, refuse("scrypt with N·r·p over %d", maxScryptWork)
	}
	memory := 128 * int64(r) * (int64(1)<<ln + int64(p))
	if memory > maxScryptMemory {
		return imported{}, refuse("scrypt with over %d MiB", maxScryptMemory>>20)
	}
	salt, tag, err := saltAndTag(parts[1], parts[2])
	if err != nil {
		return imported{}, err
	}
	return imported{kind: "scrypt " + parts[0], memory: memory, matches: func(plain string) bool {
		got, err := scrypt.Key([]byte(plain), salt, 1<<ln, int(r), int(p), len(tag))
		return err == nil && subtle.ConstantTimeCompare(got, tag) == 1
	}}, nil
}

// parseArgon2 reads what follows $argon2id$ or $argon2i$:
// v=19$m=65536,t=3,p=4$salt$hash (RFC 9106, without secret and associated data).
func parseArgon2(variant, rest string) (imported, error) {
	parts := strings.Split(rest, "$")
	if len(parts) == 3 || parts[0] == "v=16" {
		return imported{}, refuse("Argon2 of version 1.0 is not supported, only 1.3 (v=19)")
	}
	if len(parts) != 4 || parts[0] != "v=19" {
		return imported{}, refuse("not the form of an Argon2 hash")
	}
	v, ok := numbers(parts[1], "m", "t", "p")
	if !ok {
		return imported{}, refuse("not the parameters of an Argon2 hash, or a keyed one")
	}
	m, t, p := v[0], v[1], v[2]
	if m < 8*p || p > maxImportedLanes || m > maxImportedArgonKiB {
		return imported{}, refuse("Argon2 with over %d MiB, over %d lanes, or under 8 KiB a lane", maxImportedArgonKiB>>10, maxImportedLanes)
	}
	if hi, sum := bits.Mul64(m, t); hi != 0 || sum > maxImportedArgonSum {
		return imported{}, refuse("Argon2 with memory times passes over %d MiB", maxImportedArgonSum>>10)
	}
	salt, tag, err := saltAndTag(parts[2], parts[3])
	if err != nil {
		return imported{}, err
	}
	key := argon2.IDKey
	if variant == "argon2i" {
		key = argon2.Key
	}
	return imported{kind: variant + " " + parts[1], memory: int64(m) << 10, matches: func(plain string) bool {
		got := key([]byte(plain), salt, uint32(t), uint32(m), uint8(p), uint32(len(tag)))
		return subtle.ConstantTimeCompare(got, tag) == 1
	}}, nil
}
