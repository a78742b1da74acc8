package account

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/database"
)

const columns = `id, realm, login_email, email_verified, state, given_name, family_name, name, locale,
	profile, credential_version, version, email_changed_at, recovery_locked_until, frozen_at, frozen_notice_at,
	last_signed_in_at, created_at, updated_at`

type scanner interface{ Scan(targets ...any) error }

func (a *Account) targets() []any {
	return []any{&a.ID, &a.Realm, &a.LoginEmail, &a.EmailVerified, (*string)(&a.State), &a.GivenName, &a.FamilyName,
		&a.Name, &a.Locale, &a.Profile, &a.CredentialVersion, &a.Version, &a.EmailChangedAt,
		&a.RecoveryLockedUntil, &a.FrozenAt, &a.FrozenNoticeAt, &a.LastSignedInAt, &a.CreatedAt, &a.UpdatedAt}
}

func scanAccount(row scanner) (Account, error) {
	var a Account
	err := row.Scan(a.targets()...)
	if errors.Is(err, database.ErrNoRows) {
		return Account{}, ErrNotFound
	}
	return a, err
}

func (s *Service) insert(ctx context.Context, a Account) error {
	profile := a.Profile
	if len(profile) == 0 {
		profile = json.RawMessage("{}")
	}
	rows, err := s.db.Exec(ctx, `
		INSERT INTO accounts (id, realm, login_email, email_verified, state, given_name, family_name,
			name, locale, profile, created_at, updated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)
		ON CONFLICT (realm, login_email) DO NOTHING`,
		a.ID, a.Realm, a.LoginEmail, a.EmailVerified, string(a.State), a.GivenName, a.FamilyName,
		a.Name, a.Locale, profile, s.db.Now(ctx))
	return database.ExactlyOne(rows, err, ErrEmailTaken)
}

// Find reads an account of a realm, or returns ErrNotFound.
func (s *Service) Find(ctx context.Context, realm string, id uuid.UUID) (Account, error) {
	return scanAccount(s.db.QueryRow(ctx,
		`SELECT `+columns+` FROM accounts WHERE realm = $1 AND id = $2`, realm, id))
}

// FindByEmail reads the account with a login email, or returns ErrNotFound,
// also for text that is no address at all.
func (s *Service) FindByEmail(ctx context.Context, realm, email string) (Account, error) {
	email, err := NormalizeEmail(email)
	if err != nil {
		return Account{}, ErrNotFound
	}
	return scanAccount(s.db.QueryRow(ctx,
		`SELECT `+columns+` FROM accounts WHERE realm = $1 AND login_email = $2`, realm, email))
}

// Whose tells to which account of a realm a typed address belongs, with its
// credential version: uuid.Nil and zero when to none, for the same one read.
// For what is needed before anything is verified; never show it to anybody.
func (s *Service) Whose(ctx context.Context, realm, email string) (id uuid.UUID, version int64, err error) {
	normal, err := NormalizeEmail(email)
	if err != nil {
		normal = "" // nobody's
	}
	err = s.db.QueryRow(ctx, `SELECT id, credential_version FROM accounts WHERE realm = $1 AND login_email = $2`,
		realm, normal).Scan(&id, &version)
	if errors.Is(err, database.ErrNoRows) {
		return uuid.Nil, 0, nil
	}
	return id, version, err
}

// Lock reads an account and keeps everybody else from changing it until the
// caller's transaction ends. Everything that changes what proves a person
// starts here, before it touches tickets, sessions or grants.
func (s *Service) Lock(ctx context.Context, realm string, id uuid.UUID) (Account, error) {
	if !s.db.InTransaction(ctx) {
		return Account{}, errors.New("lock account: no open transaction")
	}
	return scanAccount(s.db.QueryRow(ctx, `
		UPDATE accounts SET updated_at = updated_at WHERE realm = $1 AND id = $2
		RETURNING `+columns, realm, id))
}

// credential is what Authenticate needs, in one read.
type credential struct {
	account Account
	hash    string
}

func (s *Service) findCredential(ctx context.Context, realm, email string) (credential, error) {
	var c credential
	var hash *string
	err := s.db.QueryRow(ctx, `
		SELECT `+prefixed+`, p.hash
		FROM accounts a LEFT JOIN password_credentials p ON p.account_id = a.id
		WHERE a.realm = $1 AND a.login_email = $2`, realm, email).Scan(append(c.account.targets(), &hash)...)
	if errors.Is(err, database.ErrNoRows) {
		return credential{}, ErrNotFound
	}
	if hash != nil {
		c.hash = *hash
	}
	return c, err
}

const prefixed = `a.id, a.realm, a.login_email, a.email_verified, a.state, a.given_name, a.family_name,
	a.name, a.locale, a.profile, a.credential_version, a.version, a.email_changed_at,
	a.recovery_locked_until, a.frozen_at, a.frozen_notice_at, a.last_signed_in_at, a.created_at, a.updated_at`

func (s *Service) passwordHash(ctx context.Context, accountID uuid.UUID) (hash string, changed time.Time, err error) {
	err = s.db.QueryRow(ctx, `SELECT hash, changed_at FROM password_credentials WHERE account_id = $1`, accountID).
		Scan(&hash, &changed)
	if errors.Is(err, database.ErrNoRows) {
		return "", time.Time{}, nil
	}
	return hash, changed, err
}

func (s *Service) storePassword(ctx context.Context, accountID uuid.UUID, hash string) error {
	_, err := s.db.Exec(ctx, `
		INSERT INTO password_credentials (account_id, hash, changed_at) VALUES ($1, $2, $3)
		ON CONFLICT (account_id) DO UPDATE SET hash = excluded.hash, changed_at = excluded.changed_at`,
		accountID, hash, s.db.Now(ctx))
	return err
}

// rehash replaces the stored form of an unchanged password. When somebody
// else has stored another one meanwhile, it does nothing.
func (s *Service) rehash(ctx context.Context, accountID uuid.UUID, old, hash string) error {
	_, err := s.db.Exec(ctx, `
		UPDATE password_credentials SET hash = $3 WHERE account_id = $1 AND hash = $2`, accountID, old, hash)
	return err
}

func (s *Service) storeAnswer(ctx context.Context, accountID uuid.UUID, question, answerHash string) error {
	_, err := s.db.Exec(ctx, `
		INSERT INTO security_answers (account_id, question, answer_hash, set_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (account_id) DO UPDATE SET question = excluded.question,
			answer_hash = excluded.answer_hash, set_at = excluded.set_at`,
		accountID, question, answerHash, s.db.Now(ctx))
	return err
}

func (s *Service) findAnswer(ctx context.Context, accountID uuid.UUID) (question, answerHash string, err error) {
	err = s.db.QueryRow(ctx, `SELECT question, answer_hash FROM security_answers WHERE account_id = $1`, accountID).
		Scan(&question, &answerHash)
	if errors.Is(err, database.ErrNoRows) {
		return "", "", nil
	}
	return question, answerHash, err
}

// bump raises the credential version, which voids whatever was bound to the
// old one.
func (s *Service) bump(ctx context.Context, accountID uuid.UUID) error {
	rows, err := s.db.Exec(ctx, `
		UPDATE accounts SET credential_version = credential_version + 1, version = version + 1, updated_at = $2
		WHERE id = $1`, accountID, s.db.Now(ctx))
	return database.ExactlyOne(rows, err, ErrNotFound)
}

func (s *Service) setState(ctx context.Context, accountID uuid.UUID, from []State, to State) error {
	first, last := string(from[0]), string(from[len(from)-1])
	rows, err := s.db.Exec(ctx, `
		UPDATE accounts SET state = $2, version = version + 1, credential_version = credential_version + 1, updated_at = $3
		WHERE id = $1 AND state IN ($4, $5)`, accountID, string(to), s.db.Now(ctx), first, last)
	return database.ExactlyOne(rows, err, ErrState)
}

// SignedIn notes a sign-in and makes sure, in the caller's transaction, that
// what was verified a moment ago still holds: ErrCredentials when the password
// was changed or the account closed or frozen since.
func (s *Service) SignedIn(ctx context.Context, a Account) error {
	rows, err := s.db.Exec(ctx, `
		UPDATE accounts SET last_signed_in_at = $4
		WHERE realm = $1 AND id = $2 AND credential_version = $3 AND state = 'active' AND frozen_at IS NULL`,
		a.Realm, a.ID, a.CredentialVersion, s.db.Now(ctx))
	if err := database.ExactlyOne(rows, err, ErrCredentials); err != nil {
		return fmt.Errorf("note sign-in: %w", err)
	}
	return nil
}

// LockRecovery forbids recovery until a time; the password keeps working. It
// joins the caller's transaction.
func (s *Service) LockRecovery(ctx context.Context, accountID uuid.UUID, until time.Time) error {
	rows, err := s.db.Exec(ctx, `
		UPDATE accounts SET recovery_locked_until = $2, version = version + 1, updated_at = $3 WHERE id = $1`,
		accountID, until, s.db.Now(ctx))
	return database.ExactlyOne(rows, err, ErrNotFound)
}

// ConfirmEmail notes that the person has read a letter at the login email. It
// joins the caller's transaction.
func (s *Service) ConfirmEmail(ctx context.Context, accountID uuid.UUID) error {
	_, err := s.db.Exec(ctx, `
		UPDATE accounts SET email_verified = $2, version = version + 1, updated_at = $3
		WHERE id = $1 AND email_verified = $4`, accountID, true, s.db.Now(ctx), false)
	return err
}

// SetLocale remembers the language of an account.
func (s *Service) SetLocale(ctx context.Context, realm string, accountID uuid.UUID, lang string) error {
	rows, err := s.db.Exec(ctx, `
		UPDATE accounts SET locale = $3, version = version + 1, updated_at = $4
		WHERE realm = $1 AND id = $2`, realm, accountID, lang, s.db.Now(ctx))
	return database.ExactlyOne(rows, err, ErrNotFound)
}
