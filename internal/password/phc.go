package password

import (
	"encoding/base64"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

const (
	saltBytes = 16
	tagBytes  = 32
)

// What a stored hash may ask for: a damaged row must not eat the memory.
const (
	maxMemoryKiB   = 4 << 20
	maxTime        = 1000
	maxParallelism = 255
)

// b64 is the base64 of PHC strings: standard alphabet, no padding.
var b64 = base64.RawStdEncoding.Strict()

// phc is a parsed hash:
// $argon2id$v=19$m=19456,t=2,p=1,keyid=…$salt$tag
// (PHC string format; keyid names the pepper).
type phc struct {
	params Params
	keyID  string
	salt   []byte
	tag    []byte
}

func (h phc) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d,keyid=%s$%s$%s", argon2.Version,
		h.params.MemoryKiB, h.params.Time, h.params.Parallelism, h.keyID,
		b64.EncodeToString(h.salt), b64.EncodeToString(h.tag))
}

func parsePHC(s string) (phc, error) {
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return phc{}, ErrHash
	}
	var h phc
	var p uint32
	head, keyID, ok := strings.Cut(parts[3], ",keyid=")
	if !ok {
		return phc{}, ErrHash
	}
	h.keyID = keyID
	if _, err := fmt.Sscanf(head, "m=%d,t=%d,p=%d", &h.params.MemoryKiB, &h.params.Time, &p); err != nil {
		return phc{}, ErrHash
	}
	if h.params.MemoryKiB > maxMemoryKiB || h.params.Time < 1 || h.params.Time > maxTime || p < 1 || p > maxParallelism {
		return phc{}, ErrHash
	}
	h.params.Parallelism = uint8(p)
	var err error
	if h.salt, err = b64.DecodeString(parts[4]); err != nil || len(h.salt) < 8 {
		return phc{}, ErrHash
	}
	if h.tag, err = b64.DecodeString(parts[5]); err != nil || len(h.tag) != tagBytes {
		return phc{}, ErrHash
	}
	// One spelling only: what is read is what would be written.
	if h.String() != s {
		return phc{}, ErrHash
	}
	return h, nil
}
