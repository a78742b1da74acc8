package factor

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/realm"
)

const (
	recoveryCodes = 10
	// A recovery code is ten letters of an alphabet of 32: 50 bits.
	recoverySize = 10
	day          = 24 * time.Hour
)

// alphabet is Crockford's: no letters that look like others.
const alphabet = "0123456789abcdefghjkmnpqrstvwxyz"

// Try is what VerifyCode has to know about a try at a code.
type Try struct {
	// Known: the browser has passed the second step of the account before, with
	// the password and the factors of today. One that has only signed in with the
	// password is none: whoever uses it may be who the second step is against.
	Known bool
	// Count counts the try for the caller too, once it was let through here and
	// before anything is verified: what is turned away costs nothing elsewhere.
	// Its error ends the try. nil: nobody else counts.
	Count func(ctx context.Context) error
}

// VerifyCode tells whether a code is the authenticator app's or an unused
// recovery code, and uses it up. The try is counted before anything is
// verified, so call it outside of a transaction. ErrCode, *account.Throttled,
// ErrTooMany.
//
// Right codes do not count against the day: who signs in often is not locked
// out. They do not forget the wrong ones of the day either: else whoever has
// the password would get new tries with each sign-in of the person.
//
// All known browsers together have tries of their own, so that whoever stole
// the password uses up those of strangers and keeps the person out nowhere. A
// new password brings new tries: what a thief used up with the old one is over.
func (s *Service) VerifyCode(ctx context.Context, r *realm.Realm, a account.Account, code string, by account.By, t Try) (amr []string, err error) {
	whose := r.Name + "/" + a.ID.String() + "/" + strconv.FormatInt(a.CredentialVersion, 10)
	if t.Known {
		whose += "/devices"
	}
	delay, tries, right := "factor-delay/"+whose, "factor-tries/"+whose, "factor-right/"+whose
	good, err := s.Limits.Count(ctx, right, day)
	if err != nil {
		return nil, err
	}
	wait, err := s.Limits.Delay(ctx, delay, r.SignIn)
	switch {
	case err != nil:
		return nil, err
	case wait > 0:
		return nil, &account.Throttled{Wait: wait}
	}
	if err := s.countTry(ctx, tries, r.Factors.TriesPerDay+good, t); err != nil {
		return nil, err
	}
	kind, err := s.useCode(ctx, r, a, code, by)
	switch {
	case err != nil:
		return nil, err
	case kind == "":
		return nil, s.wrongCode(ctx, r, a, tries, good)
	}
	if _, _, err := s.Limits.Allow(ctx, right, math.MaxInt32, day); err != nil {
		return nil, err
	}
	if err := s.Limits.Reset(ctx, delay); err != nil {
		return nil, err
	}
	return []string{"otp"}, nil
}

// countTry counts a try for the caller and for the day. It looks at the day
// first, so that a try which is over the day's limit costs none of the caller's.
func (s *Service) countTry(ctx context.Context, tries string, limit int, t Try) error {
	if t.Count != nil {
		n, err := s.Limits.Count(ctx, tries, day)
		switch {
		case err != nil:
			return err
		case n >= limit:
			return ErrTooMany
		}
		if err := t.Count(ctx); err != nil {
			return err
		}
	}
	ok, _, err := s.Limits.Allow(ctx, tries, limit, day)
	if err == nil && !ok {
		err = ErrTooMany
	}
	return err
}

// wrongCode raises the alarm with the last try of the day.
func (s *Service) wrongCode(ctx context.Context, r *realm.Realm, a account.Account, tries string, good int) error {
	n, err := s.Limits.Count(ctx, tries, day)
	if err != nil {
		return err
	}
	if n >= r.Factors.TriesPerDay+good {
		err := s.Audit.Record(ctx, audit.Event{Realm: r.Name, Kind: "factor.locked", Outcome: audit.Failure, Severity: audit.High,
			Actor: "anonymous", Target: a.Actor(), Details: map[string]any{"why": "too many wrong codes", "tries": n - good}})
		if err != nil {
			return err
		}
	}
	return ErrCode
}

// useCode finds out what a code is and uses it up: "totp", "recovery" or "".
func (s *Service) useCode(ctx context.Context, r *realm.Realm, a account.Account, typed string, by account.By) (kind string, err error) {
	code := foldCode(typed)
	switch len(code) {
	case codeSize:
		ok, err := s.useTOTP(ctx, r, a.ID, code)
		if err != nil || !ok {
			return "", err
		}
		return "totp", nil
	case recoverySize:
		ok, err := s.useRecoveryCode(ctx, r, a, code, by)
		if err != nil || !ok {
			return "", err
		}
		return "recovery", nil
	}
	return "", nil
}

// foldCode drops what people add to codes, and reads letters as they were
// meant.
func foldCode(typed string) string {
	if len(typed) > 64 {
		return ""
	}
	return strings.Map(func(c rune) rune {
		switch {
		case c == 'o' || c == 'O':
			return '0'
		case c == 'i' || c == 'I' || c == 'l' || c == 'L':
			return '1'
		case c >= 'A' && c <= 'Z':
			return c + 'a' - 'A'
		case c >= '0' && c <= '9' || c >= 'a' && c <= 'z':
			return c
		}
		return -1
	}, typed)
}

// useRecoveryCode spends a code: the WHERE clause lets one use through. The
// person is told: whoever uses a code that was found has the password too.
func (s *Service) useRecoveryCode(ctx context.Context, r *realm.Realm, a account.Account, code string, by account.By) (ok bool, err error) {
	err = s.DB.InTx(ctx, func(ctx context.Context) error {
		rows, err := s.DB.Exec(ctx, `
			UPDATE recovery_codes SET used_at = $3 WHERE account_id = $1 AND code_hash = $2 AND used_at IS NULL`,
			a.ID, s.hashCode(r, a.ID, code), s.DB.Now(ctx))
		if ok = rows == 1; err != nil || !ok {
			return err
		}
		left, err := s.Of(ctx, a.ID)
		if err != nil {
			return err
		}
		return s.changed(ctx, r, a, by, change{kind: "recovery_code.used", what: codeUsed, severity: audit.Warning,
			details: map[string]any{"left": left.RecoveryCodes}})
	})
	if err != nil {
		return false, fmt.Errorf("use recovery code: %w", err)
	}
	return ok, nil
}

// NewRecoveryCodes replaces the recovery codes of an account; the old ones are
// dead. What it returns is shown once and kept nowhere. ErrNotFound when there
// is no second factor that they could stand in for.
func (s *Service) NewRecoveryCodes(ctx context.Context, r *realm.Realm, a account.Account, by account.By) (codes []string, err error) {
	err = s.DB.InTx(ctx, func(ctx context.Context) error {
		a, err := s.lock(ctx, r, a)
		if err != nil {
			return err
		}
		has, err := s.Of(ctx, a.ID)
		switch {
		case err != nil:
			return err
		case !has.Any():
			return ErrNotFound
		}
		if codes, err = s.replaceCodes(ctx, r, a.ID); err != nil {
			return err
		}
		return s.changed(ctx, r, a, by, change{kind: "recovery_codes.renewed", what: codesRenewed, severity: audit.Warning,
			details: map[string]any{"unused": has.RecoveryCodes}})
	})
	if err != nil {
		return nil, fmt.Errorf("make recovery codes: %w", err)
	}
	return codes, nil
}

func (s *Service) replaceCodes(ctx context.Context, r *realm.Realm, accountID uuid.UUID) ([]string, error) {
	now := s.DB.Now(ctx)
	var b database.Batch
	b.Queue(`DELETE FROM recovery_codes WHERE account_id = $1`, accountID)
	codes := make([]string, recoveryCodes)
	for i := range codes {
		code := newCode()
		codes[i] = code[:recoverySize/2] + "-" + code[recoverySize/2:]
		b.Queue(`INSERT INTO recovery_codes (account_id, code_hash, created_at) VALUES ($1, $2, $3)`,
			accountID, s.hashCode(r, accountID, code), now)
	}
	if _, err := s.DB.Batch(ctx, &b); err != nil {
		return nil, fmt.Errorf("store recovery codes: %w", err)
	}
	return codes, nil
}

// newCode is random; each byte gives five of its bits.
func newCode() string {
	b := make([]byte, recoverySize)
	_, _ = rand.Read(b) // never fails: crypto/rand
	for i := range b {
		b[i] = alphabet[b[i]&31]
	}
	return string(b)
}

// hashCode is how a recovery code is stored: an HMAC under a key that is not
// in the database, so that 50 bits are enough against whoever reads it.
func (s *Service) hashCode(r *realm.Realm, accountID uuid.UUID, code string) []byte {
	mac := hmac.New(sha256.New, s.codeKey)
	mac.Write([]byte(r.Name + "/" + accountID.String() + "/" + code))
	return mac.Sum(nil)
}

func (s *Service) deleteAll(ctx context.Context, accountID uuid.UUID) error {
	var b database.Batch
	for _, table := range []string{"totp_secrets", "totp_setups", "passkeys", "recovery_codes"} {
		b.Queue(`DELETE FROM `+table+` WHERE account_id = $1`, accountID)
	}
	if _, err := s.DB.Batch(ctx, &b); err != nil {
		return fmt.Errorf("delete second factors: %w", err)
	}
	return nil
}
