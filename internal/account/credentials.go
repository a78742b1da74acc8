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

// maxAnswer bounds an answer before it is hashed, in bytes.
const maxAnswer = 1 << 10

// Authenticate verifies an email and a password. An unknown address, a wrong
// password and an account that is not active take the same time and give the
// same ErrCredentials; the *Refusal behind it is for the audit trail only.
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

// HashPassword judges a new password by the realm's policy, the blocklist and
// the person's own words, and hashes it for ReplacePassword. A password that
// is not good enough comes back as a *password.Problem. It is slow: call it
// before the transaction.
func (s *Service) HashPassword(ctx context.Context, r *realm.Realm, a Account, plain string) (string, error) {
	if err := s.blocklist.Check(password.Policy{MinLength: r.Password.MinLength}, plain, contextWords(r, a)); err != nil {
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
	if err := s.endEverything(ctx, a.ID, "password_changed"); err != nil {
		return err
	}
	if err := s.throttle.Forget(ctx, r, a.LoginEmail, why.By.IP); err != nil {
		return fmt.Errorf("forget throttles: %w", err)
	}
	// The first password is no news to the one who chose it a moment ago.
	if why.Why != Activation {
		if err := s.notify(ctx, r, a, mail.PasswordChanged, why.By.Device); err != nil {
			return fmt.Errorf("queue notice: %w", err)
		}
	}
	return s.audit.Record(ctx, audit.Event{Realm: r.Name, Kind: "password.changed", Actor: why.By.Actor,
		Target: a.Actor(), PracticeID: why.By.PracticeID, ClientID: why.By.ClientID, IP: why.By.IP,
		Details: map[string]any{"journey": string(why.Why)}})
}

func (s *Service) notify(ctx context.Context, r *realm.Realm, a Account, kind mail.Kind, device string) error {
	now := s.db.Now(ctx)
	_, err := s.outbox.Queue(ctx, mail.Letter{Realm: r, Kind: kind, To: a.LoginEmail, Locale: s.localeOf(r, a),
		AccountID: a.ID, NotAfter: now.Add(noticeFor),
		Data: map[string]string{"when": now.Format(time.RFC3339), "device": device}})
	return err
}

// Question returns the key of the account's security question. ok is false
// when there is none that could be asked: such a person is never let past the
// question, but helped by the practice.
func (s *Service) Question(ctx context.Context, accountID uuid.UUID) (key string, ok bool, err error) {
	question, hash, err := s.findAnswer(ctx, accountID)
	if err != nil {
		return "", false, fmt.Errorf("find question: %w", err)
	}
	if hash == "" || !KnownQuestion(question) {
		return "", false, nil
	}
	return question, true, nil
}

// VerifyAnswer tells whether answer is the one on file, ignoring case, accents
// and extra spaces. Nothing is right when nothing is on file. The caller
// counts the try before.
func (s *Service) VerifyAnswer(ctx context.Context, accountID uuid.UUID, answer string) (bool, error) {
	question, hash, err := s.findAnswer(ctx, accountID)
	if err != nil {
		return false, fmt.Errorf("find answer: %w", err)
	}
	folded := foldAnswer(answer)
	if hash == "" || folded == "" || !KnownQuestion(question) {
		return false, nil
	}
	ok, _, err := s.hasher.Verify(ctx, password.Answers, hash, folded)
	if err != nil {
		return false, fmt.Errorf("verify answer: %w", err)
	}
	return ok, nil
}

// EmptyAnswer reports whether nothing is left of an answer once folded.
func EmptyAnswer(answer string) bool { return foldAnswer(answer) == "" }

func foldAnswer(answer string) string {
	if len(answer) > maxAnswer {
		return ""
	}
	return password.NormalizeAnswer(answer)
}

// SetQuestion gives an account another security question and answer, tells the
// person and voids open reset links. current is the account's password, which
// the caller has had confirmed: the answer must not be a spelling of it. It
// returns ErrQuestion, ErrAnswerEmpty, ErrAnswerLong, ErrAnswerObvious, or
// ErrCredentials when current is not the password.
func (s *Service) SetQuestion(ctx context.Context, r *realm.Realm, accountID uuid.UUID, key, answer, current string, by By) error {
	a, err := s.Find(ctx, r.Name, accountID)
	if err != nil {
		return fmt.Errorf("set question: %w", err)
	}
	ok, err := s.VerifyPassword(ctx, a, current)
	if err != nil {
		return fmt.Errorf("set question: %w", err)
	}
	if !ok {
		return ErrCredentials
	}
	if foldAnswer(answer) == foldAnswer(current) {
		return ErrAnswerObvious
	}
	answerHash, err := s.hashAnswer(ctx, a, key, answer)
	if err != nil {
		return err
	}
	err = s.db.InTx(ctx, func(ctx context.Context) error {
		if a, err = s.Lock(ctx, r.Name, accountID); err != nil {
			return err
		}
		if err := s.storeAnswer(ctx, a.ID, key, answerHash); err != nil {
			return err
		}
		if err := s.peers.Tickets.VoidAll(ctx, a.ID, "question_changed"); err != nil {
			return fmt.Errorf("void reset links: %w", err)
		}
		if err := s.notify(ctx, r, a, mail.QuestionChanged, by.Device); err != nil {
			return fmt.Errorf("queue notice: %w", err)
		}
		return s.audit.Record(ctx, audit.Event{Realm: r.Name, Kind: "question.changed", Actor: by.Actor,
			Target: a.Actor(), PracticeID: by.PracticeID, ClientID: by.ClientID, IP: by.IP})
	})
	if err != nil {
		return fmt.Errorf("set question: %w", err)
	}
	return nil
}

// hashAnswer judges an answer and hashes it. The caller has compared it with
// the password, both folded: whoever learns one of them tries the other.
func (s *Service) hashAnswer(ctx context.Context, a Account, key, answer string) (string, error) {
	if !KnownQuestion(key) {
		return "", ErrQuestion
	}
	if len(answer) > maxAnswer {
		return "", ErrAnswerLong
	}
	folded := foldAnswer(answer)
	if folded == "" {
		return "", ErrAnswerEmpty
	}
	local, _, _ := strings.Cut(a.LoginEmail, "@")
	for _, obvious := range append(s.sentences(key), a.LoginEmail, local, key) {
		if folded == password.NormalizeAnswer(obvious) {
			return "", ErrAnswerObvious
		}
	}
	hash, err := s.hasher.Hash(ctx, password.Answers, folded)
	if err != nil {
		return "", fmt.Errorf("hash answer: %w", err)
	}
	return hash, nil
}

// sentences is the question in every language, with and without its marks.
func (s *Service) sentences(key string) []string {
	var all []string
	for _, lang := range s.catalog.Languages() {
		sentence := s.catalog.T(lang, QuestionSentence(key))
		all = append(all, sentence, strings.Trim(sentence, "¿? "))
	}
	return all
}
