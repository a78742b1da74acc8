package password

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// The bounds of what is hashed. More is refused, never cut off.
const (
	MaxRunes = 256
	MaxBytes = 1024
)

// Normalize prepares a typed password for hashing: Unicode NFC, so that the
// same letters typed on two keyboards are the same password. It returns a
// *Problem: ErrLong beyond 256 code points or 1 KiB, ErrCharacters for control
// characters and for what is not UTF-8.
func Normalize(plain string) (string, error) {
	// The bound comes first: normalising is work, too.
	if len(plain) > MaxBytes {
		return "", tooLong()
	}
	if !utf8.ValidString(plain) || strings.ContainsFunc(plain, unicode.IsControl) {
		return "", &Problem{Key: "password.error.characters", kind: ErrCharacters}
	}
	s := norm.NFC.String(plain)
	if len(s) > MaxBytes || utf8.RuneCountInString(s) > MaxRunes {
		return "", tooLong()
	}
	return s, nil
}

// NormalizeAnswer prepares an answer for hashing, so that "  JOSÉ  maría" and
// "jose maria" are one answer: compatibility forms, case, accents and extra
// spaces make no difference. It is empty when nothing but these was typed, and
// when the answer is longer than a password may be: an empty answer is never
// stored and never right.
func NormalizeAnswer(s string) string {
	if len(s) > MaxBytes || !utf8.ValidString(s) {
		return ""
	}
	s = fold(s)
	if len(s) > MaxBytes {
		return ""
	}
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r) || unicode.Is(unicode.Cf, r)
	}), " ")
}

// fold takes compatibility forms, case and accents away.
func fold(s string) string {
	s = cases.Fold().String(norm.NFKD.String(s))
	s = strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		return r
	}, norm.NFKD.String(s))
	return norm.NFKC.String(s)
}
