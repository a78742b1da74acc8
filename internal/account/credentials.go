package account

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/mail"
	"github.com/portico-id/portico/internal/password"
	"github.com/portico-id/portico/internal/realm"
)

// CheckPepper returns password.ErrPepper when none of the last hundred
// passwords and answers was hashed with the pepper this program was started
// with. Imported hashes say nothing about it.
func (s *Service) CheckPepper(ctx context.Context) error {
	rows, err := s.db.Query(ctx, `
		SELECT p.hash FROM (SELECT hash FROM password_credentials ORDER BY account_id DESC LIMIT 100) AS p
		UNION ALL
		SELECT a.answer_hash FROM (SELECT answer_hash FROM security_answers ORDER BY account_id DESC LIMIT 100) AS a`)
	if err != nil {
		return fmt.Errorf("look at the last passwords: %w", err)
	}
	defer rows.Close()
	var verdict error
	for rows.Next() {
		var hash string
		if err := rows.Scan(&hash); err != nil {
			return fmt.Errorf("look at the last passwords: %w", err)
		}
		switch err := s.hasher.CheckPepper(hash); {
		case err == nil:
			return nil
		case errors.Is(err, password.ErrPepper):
			verdict = err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("look at the last passwords: %w", err)
	}
	return verdict
}

// Authenticate verifies an email and a password. An unknown address, a wrong
// password and an account that is not active or frozen take the same time and give
// the same ErrCredentials; the *Refusal behind it is for the audit trail only.
// password.ErrBusy says that nothing was verified.
//
// The caller throttles before, and calls SignedIn in the transaction that
// hands out a session.
func (s *Service) Authenticate(ctx context.Context, r *realm.Realm, email, plain string) (Account, error) {
	var c credential
	normal, err := NormalizeEmail(email)
	if err == nil {
		c, err = s.findCredential(ctx, r.Name, normal)
	}
	refusal := &Refusal{AccountID: c.account.ID}
	switch {
	case errors.Is(err, ErrEmail), errors.Is(err, ErrNotFound):
		refusal.Why = "unknown"
	case err != nil:
		return Account{}, fmt.Errorf("find credential: %w", err)
	case c.account.State != Active:
		refusal.Why = "not_active"
	case c.account.FrozenAt != nil:
		refusal.Why = "frozen"
	case c.hash == "":
		refusal.Why = "no_password"
	}
	if refusal.Why != "" {
		if err := s.VerifyNothing(ctx, plain); err != nil {
			return Account{}, err
		}
		return Account{}, refusal
	}
	ok, err := s.verify(ctx, c.account.ID, c.hash, plain)
	if err != nil {
		return Account{}, err
	}
	if !ok {
		refusal.Why = "wrong_password"
		return Account{}, refusal
	}
	return c.account, nil
}

// VerifyNothing costs what verifying a password costs, for the cases in which
// there is nothing to verify against.
func (s *Service) VerifyNothing(ctx context.Context, plain string) error {
	if err := s.hasher.VerifyNothing(ctx, password.Passwords, plain); err != nil {
		return fmt.Errorf("verify password: %w", err)
	}
	return nil
}

// verify compares a password with a stored hash and renews a hash that was
// made with weaker parameters.
func (s *Service) verify(ctx context.Context, accountID uuid.UUID, hash, plain string) (bool, error) {
	ok, again, err := s.hasher.Verify(ctx, password.Passwords, hash, plain)
	if err != nil {
		return false, fmt.Errorf("verify password: %w", err)
	}
	if ok && again {
		if fresh, err := s.hasher.Hash(ctx, password.Passwords, plain); err == nil {
			// The sign-in is worth more than the renewal: the next one tries again.
			_ = s.rehash(ctx, accountID, hash, fresh)
		}
	}
	return ok, nil
}

// VerifyPassword tells whether plain is the account's password, for a person
// who is signed in already.
func (s *Service) VerifyPassword(ctx context.Context, a Account, plain string) (bool, error) {
	hash, _, err := s.passwordHash(ctx, a.ID)
	if err != nil {
		return false, fmt.Errorf("find password: %w", err)
	}
	if hash == "" {
		return false, s.VerifyNothing(ctx, plain)
	}
	return s.verify(ctx, a.ID, hash, plain)
}

// HashPassword judges a new password by the realm's policy, the blocklist, the
// person's own words and the answer on file, and hashes it for ReplacePassword.
// A password that is not good enough comes back as a *password.Problem. It is
// slow: call it before the transaction, and only for a person who has proved
// the current password or the answer, since it tells whether plain is the answer.
func (s *Service) HashPassword(ctx context.Context, r *realm.Realm, a Account, plain string) (string, error) {
	if err := s.blocklist.Check(password.Policy{MinLength: r.Password.MinLength}, plain, contextWords(r, a)); err != nil {
		return "", err
	}
	if err := s.checkAgainstAnswer(ctx, a, plain); err != nil {
		return "", err
	}
	hash, err := s.hasher.Hash(ctx, password.Passwords, plain)
	if err != nil {
		return "", fmt.Errorf("hash password: %w", err)
	}
	return hash, nil
}

// contextWords are what somebody who guesses tries first.
func contextWords(r *realm.Realm, a Account) []string {
	local, domain, _ := strings.Cut(a.LoginEmail, "@")
	words := []string{a.LoginEmail, local, domain, a.GivenName, a.FamilyName, a.Name, r.Name, r.Brand.Name, "portico"}
	kept := words[:0]
	for _, w := range words {
		if w != "" {
			kept = append(kept, w)
		}
	}
	return kept
}

// passwordChanged is why sessions end when the password is replaced.
const passwordChanged = "password_changed"

// CountChoice bounds what one link costs: who walks through it has proved
// little, and each password or question that is tried is hashed before it is
// refused. *Throttled beyond the limit.
func (s *Service) CountChoice(ctx context.Context, r *realm.Realm, accountID uuid.UUID) error {
	ok, wait, err := s.throttle.limits.Allow(ctx, "choice/"+accountID.String(), r.Recovery.ChoicesPerHour, time.Hour)
	if err != nil {
		return fmt.Errorf("count choice: %w", err)
	}
	if !ok {
		return &Throttled{wait}
	}
	return nil
}

// ReplacePassword is the one way in which a password changes. hash comes from
// HashPassword. It joins the caller's transaction, in which the caller has
// locked the account: the hash is stored, the credential version grows, reset
// links, invitations, sessions and grants end, throttles are forgotten, the
// person is told by mail and the event is recorded, all or nothing.
func (s *Service) ReplacePassword(ctx context.Context, r *realm.Realm, accountID uuid.UUID, hash string, why Reason) error {
	a, err := s.Lock(ctx, r.Name, accountID)
	if err != nil {
		return fmt.Errorf("replace password: %w", err)
	}
	if err := s.storePassword(ctx, a.ID, hash); err != nil {
		return fmt.Errorf("store password: %w", err)
	}
	if err := s.bump(ctx, a.ID); err != nil {
		return fmt.Errorf("raise credential version: %w", err)
	}
	if err := s.endEverything(ctx, a.ID, passwordChanged); err != nil {
		return err
	}
	if err := s.throttle.Forget(ctx, r, a.LoginEmail, why.By.IP); err != nil {
		return fmt.Errorf("forget throttles: %w", err)
	}
	// The first password is no news to the one who chose it a moment ago.
	if why.Why != Activation {
		if err := s.Notify(ctx, r, a, mail.PasswordChanged, why.By, nil); err != nil {
			return fmt.Errorf("queue notice: %w", err)
		}
	}
	return s.audit.Record(ctx, audit.Event{Realm: r.Name, Kind: "password.changed", Actor: why.By.Actor,
		Target: a.Actor(), PracticeID: why.By.PracticeID, ClientID: why.By.ClientID, IP: why.By.IP,
		Details: why.By.Details(map[string]any{"journey": string(why.Why)})})
}
