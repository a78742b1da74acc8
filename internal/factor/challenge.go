package factor

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/realm"
)

// A challenge is kept nowhere until it is answered: it names its own end and
// carries an HMAC over that, the realm, the browser and what it is for. So an
// answer that was lured out of somebody elsewhere, for something else or long
// ago is worth nothing, and pages that are only looked at leave no rows.
const (
	challengeLife   = 5 * time.Minute
	challengeRandom = 16
	challengeSize   = challengeRandom + 8 + sha256.Size
)

// What a challenge is for.
const purposeSignIn = "sign in"

func purposeStep(accountID uuid.UUID) string   { return "second step of " + accountID.String() }
func purposeCreate(accountID uuid.UUID) string { return "create for " + accountID.String() }

func (s *Service) newChallenge(ctx context.Context, r *realm.Realm, browser []byte, purpose string) []byte {
	c := make([]byte, challengeRandom, challengeSize)
	_, _ = rand.Read(c)                                                                        // never fails: crypto/rand
	c = binary.BigEndian.AppendUint64(c, uint64(s.DB.Now(ctx).Add(challengeLife).UnixMicro())) //nolint:gosec // after 1970
	return append(c, s.signChallenge(r, browser, purpose, c)...)
}

func (s *Service) signChallenge(r *realm.Realm, browser []byte, purpose string, c []byte) []byte {
	mac := hmac.New(sha256.New, s.challengeKey)
	for _, part := range [][]byte{[]byte(r.Name), browser, []byte(purpose), c} {
		_ = binary.Write(mac, binary.BigEndian, uint64(len(part))) // a hash never fails
		mac.Write(part)
	}
	return mac.Sum(nil)
}

// checkChallenge reads a challenge as it comes back, or returns ErrChallenge.
func (s *Service) checkChallenge(ctx context.Context, r *realm.Realm, browser []byte, purpose, encoded string) (challenge, error) {
	c, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil || len(c) != challengeSize || len(browser) == 0 {
		return challenge{}, ErrChallenge
	}
	body := c[:challengeRandom+8]
	if !hmac.Equal(c[len(body):], s.signChallenge(r, browser, purpose, body)) {
		return challenge{}, ErrChallenge
	}
	until := time.UnixMicro(int64(binary.BigEndian.Uint64(body[challengeRandom:]))).UTC() //nolint:gosec // we wrote it
	if !s.DB.Now(ctx).Before(until) {
		return challenge{}, ErrChallenge
	}
	sum := sha256.Sum256(c)
	return challenge{encoded, sum[:], until}, nil
}

type challenge struct {
	encoded string
	hash    []byte
	until   time.Time
}

// spend uses a challenge up, in the transaction of what it buys.
func (s *Service) spend(ctx context.Context, c challenge) error {
	rows, err := s.DB.Exec(ctx, `
		INSERT INTO spent_challenges (challenge_hash, expires_at) VALUES ($1, $2)
		ON CONFLICT (challenge_hash) DO NOTHING`, c.hash, c.until)
	if err := database.ExactlyOne(rows, err, ErrChallenge); err != nil {
		return fmt.Errorf("spend challenge: %w", err)
	}
	return nil
}
