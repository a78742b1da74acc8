package factor

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
	"github.com/pquerna/otp/totp"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/realm"
)

const (
	period   = 30 * time.Second
	codeSize = 6
	keySize  = 20 // bytes: RFC 4226 §4 R6
	// setupLife is how long a page may be used for: a setup is shown for so long,
	// and counts for as long again.
	setupLife = 20 * time.Minute
)

var noPadding = base32.StdEncoding.WithPadding(base32.NoPadding)

// Holder is who is shown a setup: one session, or one sign-in that waits. Nobody
// else is shown the same one, or confirms it.
type Holder [sha256.Size]byte

// HolderOf makes a holder of what names it, such as "session " and its id.
func HolderOf(name string) Holder { return sha256.Sum256([]byte(name)) }

// BeginTOTP makes a secret for an authenticator app, or shows the one again that
// its holder has been shown a moment ago: a second tab or a browser that reads
// ahead leaves what was scanned as it is. It counts for nothing until FinishTOTP.
func (s *Service) BeginTOTP(ctx context.Context, r *realm.Realm, a account.Account, h Holder) (TOTPSetup, error) {
	setup, raw, err := s.findSetup(ctx, r, a.ID, h)
	switch {
	case err == nil && setup.createdAt.After(s.DB.Now(ctx).Add(-setupLife)):
		return setupOf(r, a, raw)
	case err != nil && !errors.Is(err, ErrSetup):
		return TOTPSetup{}, err
	}
	return s.newSetup(ctx, r, a, h)
}

// newSetup makes a setup, unless somebody else has done so for the same holder
// at the same time: then it is that one.
func (s *Service) newSetup(ctx context.Context, r *realm.Realm, a account.Account, h Holder) (TOTPSetup, error) {
	raw := make([]byte, keySize)
	if _, err := rand.Read(raw); err != nil {
		return TOTPSetup{}, fmt.Errorf("make secret: %w", err)
	}
	id := uuid.New()
	now := s.DB.Now(ctx)
	_, err := s.DB.Exec(ctx, `
		INSERT INTO totp_setups (id, account_id, holder, sealed, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (account_id, holder) DO UPDATE SET id = excluded.id, sealed = excluded.sealed,
			created_at = excluded.created_at, expires_at = excluded.expires_at
			WHERE totp_setups.created_at <= $7`,
		id, a.ID, h[:], s.Sealer.Seal(sealPurpose, setupAAD(r, a.ID, id), raw), now, now.Add(2*setupLife), now.Add(-setupLife))
	if err != nil {
		return TOTPSetup{}, fmt.Errorf("store setup: %w", err)
	}
	if _, raw, err = s.findSetup(ctx, r, a.ID, h); err != nil {
		return TOTPSetup{}, err
	}
	return setupOf(r, a, raw)
}

// ResumeTOTP shows a setup again, after a wrong code: the same one for as long
// as it counts, else a new one.
func (s *Service) ResumeTOTP(ctx context.Context, r *realm.Realm, a account.Account, h Holder) (TOTPSetup, error) {
	_, raw, err := s.findSetup(ctx, r, a.ID, h)
	switch {
	case errors.Is(err, ErrSetup):
		return s.newSetup(ctx, r, a, h)
	case err != nil:
		return TOTPSetup{}, err
	}
	return setupOf(r, a, raw)
}

// FinishTOTP turns the setup that its holder was shown into the account's
// authenticator app, in place of one it may have had. All other setups end. The code proves that the app has the
// secret, which is why nobody counts the tries: who types it was shown the
// secret. The first second factor comes with recovery codes, which are shown
// this once. ErrCode, ErrSetup.
func (s *Service) FinishTOTP(ctx context.Context, r *realm.Realm, a account.Account, h Holder, code string, by account.By) (recovery []string, err error) {
	err = s.DB.InTx(ctx, func(ctx context.Context) error {
		recovery = nil
		a, err := s.lock(ctx, r, a)
		if err != nil {
			return err
		}
		setup, raw, err := s.findSetup(ctx, r, a.ID, h)
		if err != nil {
			return err
		}
		step, ok := s.match(ctx, raw, foldCode(code))
		if !ok {
			return ErrCode
		}
		had, err := s.Of(ctx, a.ID)
		if err != nil {
			return err
		}
		if err := s.storeTOTP(ctx, r, a.ID, setup, raw, step); err != nil {
			return err
		}
		if had.RecoveryCodes == 0 {
			if recovery, err = s.replaceCodes(ctx, r, a.ID); err != nil {
				return err
			}
		}
		return s.changed(ctx, r, a, by, change{kind: "factor.added", what: totpAdded, severity: audit.Warning,
			details: map[string]any{"factor": "totp", "replaced": had.TOTP}})
	})
	if err != nil {
		return nil, fmt.Errorf("finish authenticator app: %w", err)
	}
	return recovery, nil
}

// RemoveTOTP takes the authenticator app away. ErrNotFound, ErrRequired.
func (s *Service) RemoveTOTP(ctx context.Context, r *realm.Realm, a account.Account, by account.By) error {
	return s.remove(ctx, r, a, by, change{kind: "factor.removed", what: totpRemoved, severity: audit.High,
		details: map[string]any{"factor": "totp"}}, func(ctx context.Context) error {
		rows, err := s.DB.Exec(ctx, `DELETE FROM totp_secrets WHERE account_id = $1`, a.ID)
		return database.ExactlyOne(rows, err, ErrNotFound)
	})
}

// remove takes one factor away; drop deletes it. The last one takes the
// recovery codes along, which would stand in for nothing.
func (s *Service) remove(ctx context.Context, r *realm.Realm, a account.Account, by account.By, ch change, drop func(context.Context) error) error {
	err := s.DB.InTx(ctx, func(ctx context.Context) error {
		a, err := s.lock(ctx, r, a)
		if err != nil {
			return err
		}
		if err := drop(ctx); err != nil {
			return err
		}
		left, err := s.Of(ctx, a.ID)
		if err != nil {
			return err
		}
		if !left.Any() {
			switch required, err := s.Required(ctx, r, a.ID); {
			case err != nil:
				return err
			case required:
				return ErrRequired
			}
			if err := s.deleteAll(ctx, a.ID); err != nil {
				return err
			}
		}
		ch.details["left"] = factors(left)
		return s.changed(ctx, r, a, by, ch)
	})
	if err != nil {
		return fmt.Errorf("remove second factor: %w", err)
	}
	return nil
}

// App describes the authenticator app of an account; nil: there is none.
func (s *Service) App(ctx context.Context, accountID uuid.UUID) (*App, error) {
	var app App
	err := s.DB.QueryRow(ctx, `SELECT confirmed_at, last_used_at FROM totp_secrets WHERE account_id = $1`, accountID).
		Scan(&app.CreatedAt, &app.LastUsedAt)
	switch {
	case errors.Is(err, database.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("find authenticator app: %w", err)
	}
	return &app, nil
}

// useTOTP verifies a code and makes it worthless at once: of any number of
// parallel uses the conditional update lets one through (RFC 6238 §5.2).
func (s *Service) useTOTP(ctx context.Context, r *realm.Realm, accountID uuid.UUID, code string) (bool, error) {
	var id uuid.UUID
	var sealed []byte
	err := s.DB.QueryRow(ctx, `SELECT id, sealed FROM totp_secrets WHERE account_id = $1`, accountID).Scan(&id, &sealed)
	switch {
	case errors.Is(err, database.ErrNoRows):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("find authenticator app: %w", err)
	}
	raw, err := s.Sealer.Open(sealPurpose, secretAAD(r, accountID, id), sealed)
	if err != nil {
		return false, fmt.Errorf("open secret of authenticator app: %w", err)
	}
	step, ok := s.match(ctx, raw, code)
	if !ok {
		return false, nil
	}
	rows, err := s.DB.Exec(ctx, `
		UPDATE totp_secrets SET last_step = $3, last_used_at = $4
		WHERE account_id = $1 AND id = $2 AND last_step < $3`, accountID, id, step, s.DB.Now(ctx))
	if err != nil {
		return false, fmt.Errorf("use code: %w", err)
	}
	return rows == 1, nil
}

// match finds the time step that a code belongs to: the present one or a
// neighbour, by the database's clock. All three are computed whatever matches.
func (s *Service) match(ctx context.Context, raw []byte, code string) (step int64, ok bool) {
	secret := noPadding.EncodeToString(raw)
	now := s.DB.Now(ctx).Unix() / int64(period/time.Second)
	for candidate := now - 1; candidate <= now+1; candidate++ {
		right, err := hotp.ValidateCustom(code, uint64(candidate), secret, //nolint:gosec // time steps are not negative
			hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
		if err == nil && right {
			step, ok = candidate, true
		}
	}
	return step, ok
}

// pending is a row of totp_setups.
type pending struct {
	id        uuid.UUID
	createdAt time.Time
}

func (s *Service) findSetup(ctx context.Context, r *realm.Realm, accountID uuid.UUID, h Holder) (p pending, raw []byte, err error) {
	var sealed []byte
	err = s.DB.QueryRow(ctx, `
		SELECT id, sealed, created_at FROM totp_setups WHERE account_id = $1 AND holder = $2 AND expires_at > $3`,
		accountID, h[:], s.DB.Now(ctx)).Scan(&p.id, &sealed, &p.createdAt)
	switch {
	case errors.Is(err, database.ErrNoRows):
		return pending{}, nil, ErrSetup
	case err != nil:
		return pending{}, nil, fmt.Errorf("find setup: %w", err)
	}
	if raw, err = s.Sealer.Open(sealPurpose, setupAAD(r, accountID, p.id), sealed); err != nil {
		return pending{}, nil, fmt.Errorf("open setup: %w", err)
	}
	return p, raw, nil
}

// storeTOTP makes a setup the account's authenticator app. The code that
// confirmed it is used up.
func (s *Service) storeTOTP(ctx context.Context, r *realm.Realm, accountID uuid.UUID, p pending, raw []byte, step int64) error {
	rows, err := s.DB.Exec(ctx, `DELETE FROM totp_setups WHERE account_id = $1 AND id = $2`, accountID, p.id)
	if err := database.ExactlyOne(rows, err, ErrSetup); err != nil {
		return fmt.Errorf("finish setup: %w", err)
	}
	if _, err := s.DB.Exec(ctx, `DELETE FROM totp_setups WHERE account_id = $1`, accountID); err != nil {
		return fmt.Errorf("end other setups: %w", err)
	}
	id := database.NewID()
	_, err = s.DB.Exec(ctx, `
		INSERT INTO totp_secrets (account_id, id, sealed, last_step, created_at, confirmed_at) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (account_id) DO UPDATE SET id = excluded.id, sealed = excluded.sealed, last_step = excluded.last_step,
			created_at = excluded.created_at, confirmed_at = excluded.confirmed_at, last_used_at = NULL`,
		accountID, id, s.Sealer.Seal(sealPurpose, secretAAD(r, accountID, id), raw), step, p.createdAt, s.DB.Now(ctx))
	if err != nil {
		return fmt.Errorf("store secret: %w", err)
	}
	return nil
}

// What a sealed secret is bound to: a row that was copied to another account,
// or a setup that was copied over the confirmed secret, does not open.
func setupAAD(r *realm.Realm, accountID, id uuid.UUID) string {
	return "setup/" + r.Name + "/" + accountID.String() + "/" + id.String()
}

func secretAAD(r *realm.Realm, accountID, id uuid.UUID) string {
	return "secret/" + r.Name + "/" + accountID.String() + "/" + id.String()
}

func setupOf(r *realm.Realm, a account.Account, raw []byte) (TOTPSetup, error) {
	key, err := totp.Generate(totp.GenerateOpts{Issuer: issuerName(r), AccountName: a.LoginEmail, Secret: raw,
		Period: uint(period / time.Second), Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
	if err != nil {
		return TOTPSetup{}, fmt.Errorf("describe authenticator app: %w", err)
	}
	svg, err := qrCode(key.URL())
	if err != nil {
		return TOTPSetup{}, err
	}
	return TOTPSetup{Key: grouped(key.Secret()), URI: key.URL(), SVG: svg}, nil
}

// issuerName is what the app lists the account under. A colon would end it.
func issuerName(r *realm.Realm) string {
	name := strings.TrimSpace(strings.ReplaceAll(r.Brand.Name, ":", " "))
	if name == "" {
		return r.Name
	}
	return name
}

func grouped(key string) string {
	var b strings.Builder
	for i, c := range key {
		if i > 0 && i%4 == 0 {
			b.WriteByte(' ')
		}
		b.WriteRune(c)
	}
	return b.String()
}
