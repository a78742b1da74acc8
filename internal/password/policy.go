package password

import (
	"errors"
	"unicode/utf8"
)

// What can be wrong with a new password. A *Problem wraps one of them.
var (
	ErrShort      = errors.New("password is too short")
	ErrLong       = errors.New("password is too long")
	ErrCommon     = errors.New("password is easy to guess")
	ErrCharacters = errors.New("password has characters that cannot be typed again")
	ErrAnswer     = errors.New("password is the answer to the security question")
)

// Policy is what a realm asks of new passwords.
type Policy struct {
	MinLength int // code points
}

// Problem says what is wrong with a new password, by the key of the sentence
// that tells the person and the sentence's arguments (name, value, …). It
// never holds the password.
type Problem struct {
	Key  string
	Args []any
	kind error
}

// Error is for logs.
func (p *Problem) Error() string { return p.kind.Error() }

// Unwrap gives errors.Is one of ErrShort, ErrLong, ErrCommon,
// ErrCharacters, ErrAnswer.
func (p *Problem) Unwrap() error { return p.kind }

// RepeatsAnswer is what is wrong with a password that is also the answer to the
// person's security question. Check cannot know that.
func RepeatsAnswer() *Problem { return &Problem{Key: "password.error.answer", kind: ErrAnswer} }

func tooLong() *Problem {
	return &Problem{Key: "password.error.long", Args: []any{"n", MaxRunes}, kind: ErrLong}
}

// Check judges a new password: its length in code points, then whether it is
// easy to guess. contextWords are words an attacker would try first for this
// person in this place: name, email, the names of realm and product. A refusal
// is a *Problem.
func (b *Blocklist) Check(p Policy, plain string, contextWords []string) error {
	s, err := Normalize(plain)
	if err != nil {
		return err
	}
	if utf8.RuneCountInString(s) < p.MinLength {
		return &Problem{Key: "password.error.short", Args: []any{"n", p.MinLength}, kind: ErrShort}
	}
	if b.guessable(s, contextWords) {
		return &Problem{Key: "password.error.common", kind: ErrCommon}
	}
	return nil
}
