package session

import "slices"

// The levels of sign-in, as acr tells them to clients (OpenID Connect Core §2).
const (
	Password   = "1" // one proof: the password
	TwoFactors = "2" // two: a password and a code, or a passkey that knows its person
)

var levels = []string{Password, TwoFactors}

// Reaches reports whether a sign-in of one level is enough where another one
// is wanted. A value that is no level of ours is reached by itself only.
func Reaches(have, want string) bool {
	wanted := slices.Index(levels, want)
	return have == want || wanted >= 0 && slices.Index(levels, have) >= wanted
}
