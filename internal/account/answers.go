package account

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"golang.org/x/text/cases"
	"golang.org/x/text/language"

	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/mail"
	"github.com/portico-id/portico/internal/password"
	"github.com/portico-id/portico/internal/realm"
)

// maxAnswer bounds an answer before it is hashed, in bytes.
const maxAnswer = 1 << 10

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
// person and voids open reset links. a is the account as the person's confirmed
// session has read it. It returns ErrQuestion, ErrAnswerEmpty, ErrAnswerLong,
// ErrAnswerObvious, password.ErrBusy, *Throttled, or ErrVersion when the account
// has changed since it was read.
func (s *Service) SetQuestion(ctx context.Context, r *realm.Realm, a Account, key, answer string, by By) error {
	if err := s.countQuestion(ctx, r, a); err != nil {
		return err
	}
	answerHash, err := s.hashAnswer(ctx, a, key, answer)
	if err != nil {
		return err
	}
	same, err := s.spellsPassword(ctx, a, answer)
	if err != nil {
		return fmt.Errorf("set question: %w", err)
	}
	if same {
		return ErrAnswerObvious
	}
	err = s.db.InTx(ctx, func(ctx context.Context) error {
		now, err := s.Lock(ctx, r.Name, a.ID)
		if err != nil {
			return err
		}
		if !Unchanged(now, a) {
			return ErrVersion
		}
		if err := s.storeAnswer(ctx, a.ID, key, answerHash); err != nil {
			return err
		}
		if err := s.peers.Tickets.VoidAll(ctx, a.ID, "question_changed"); err != nil {
			return fmt.Errorf("void reset links: %w", err)
		}
		if err := s.Notify(ctx, r, now, mail.QuestionChanged, by, nil); err != nil {
			return err
		}
		return s.audit.Record(ctx, audit.Event{Realm: r.Name, Kind: "question.changed", Actor: by.Actor,
			Target: a.Actor(), PracticeID: by.PracticeID, ClientID: by.ClientID, IP: by.IP, Details: by.Details(nil)})
	})
	if err != nil {
		return fmt.Errorf("set question: %w", err)
	}
	return nil
}

// countQuestion bounds what one account costs with this form: each try is up to
// seven hashes, and each that succeeds a letter.
func (s *Service) countQuestion(ctx context.Context, r *realm.Realm, a Account) error {
	ok, wait, err := s.throttle.limits.Allow(ctx, "question/"+a.ID.String(), r.Recovery.QuestionChangesPerHour, time.Hour)
	if err != nil {
		return fmt.Errorf("count change of the question: %w", err)
	}
	if !ok {
		return &Throttled{wait}
	}
	return nil
}

// spellsPassword tells whether an answer is the account's password in a
// spelling that somebody who learned the answer would try: as it was typed,
// without needless spaces, in small letters with and without accents, and with
// capitals at the beginning of the answer or of each word. The password itself
// is not at hand where the session was confirmed earlier; where it is, at
// activation, all spellings are compared. The other way round HashPassword
// compares all of them too.
func (s *Service) spellsPassword(ctx context.Context, a Account, answer string) (bool, error) {
	hash, _, err := s.passwordHash(ctx, a.ID)
	if err != nil || hash == "" {
		return false, err
	}
	for _, spelling := range spellings(answer) {
		same, err := s.verify(ctx, a.ID, hash, spelling)
		if err != nil || same {
			return same, err
		}
	}
	return false, nil
}

func spellings(answer string) []string {
	spaced := strings.Join(strings.Fields(answer), " ")
	small := cases.Lower(language.Und).String(spaced)
	var all []string
	for _, s := range []string{answer, spaced, small, foldAnswer(answer), capital(small), cases.Title(language.Und).String(spaced)} {
		if s != "" && !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return all
}

func capital(s string) string {
	first, size := utf8.DecodeRuneInString(s)
	return string(unicode.ToTitle(first)) + s[size:]
}

// checkAgainstAnswer refuses a new password that is the answer on file in
// another spelling: whoever learns one of them tries the other. It costs one
// hash of an answer.
func (s *Service) checkAgainstAnswer(ctx context.Context, a Account, plain string) error {
	same, err := s.VerifyAnswer(ctx, a.ID, plain)
	if err != nil {
		return fmt.Errorf("compare password and answer: %w", err)
	}
	if same {
		return password.RepeatsAnswer()
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
