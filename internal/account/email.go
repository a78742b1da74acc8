package account

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"
)

// Longest address and local part (RFC 5321 §4.5.3.1).
const (
	maxEmail = 254
	maxLocal = 64
)

var domains = idna.New(
	idna.MapForLookup(),
	idna.BidiRule(),
	idna.StrictDomainName(true),
	idna.VerifyDNSLength(true),
)

// NormalizeEmail turns what somebody typed into the one form in which login
// emails are stored and compared: ASCII lower case, the domain as A-labels.
//
// It returns ErrEmail for anything that is not a plain address, and for text
// that only looks like one after Unicode's compatibility mappings: were the
// Kelvin sign a "k" here and not in the database, one person could be mistaken
// for another. Only ASCII letters are lowered, for the same reason.
func NormalizeEmail(s string) (string, error) {
	s = strings.Trim(s, " \t\r\n")
	if s == "" || len(s) > 4*maxEmail || !utf8.ValidString(s) || norm.NFKC.String(s) != s {
		return "", ErrEmail
	}
	local, domain, found := strings.Cut(s, "@")
	if !found || strings.Contains(domain, "@") || !dotAtom(local) {
		return "", ErrEmail
	}
	domain, ok := aLabels(lowerASCII(domain))
	if !ok || !strings.Contains(domain, ".") || strings.HasSuffix(domain, ".") || !hostName(domain) {
		return "", ErrEmail
	}
	email := lowerASCII(local + "@" + domain)
	if len(email) > maxEmail {
		return "", ErrEmail
	}
	return email, nil
}

// aLabels encodes a domain. IDNA's mappings drop characters and turn others
// into letters and dots; a domain that they change is refused.
func aLabels(domain string) (string, bool) {
	ascii, err := domains.ToASCII(domain)
	if err != nil {
		return "", false
	}
	back, err := domains.ToUnicode(ascii)
	return ascii, err == nil && (domain == ascii || domain == back)
}

// dotAtom reports whether local is an unquoted local part (RFC 5322 §3.2.3).
func dotAtom(local string) bool {
	if local == "" || len(local) > maxLocal || local[0] == '.' || local[len(local)-1] == '.' || strings.Contains(local, "..") {
		return false
	}
	for i := range len(local) {
		c := local[i]
		if !isAlnum(c) && !strings.ContainsRune("!#$%&'*+-/=?^_`{|}~.", rune(c)) {
			return false
		}
	}
	return true
}

// hostName reports whether domain has letters, digits, hyphens and dots only,
// and a last label that is not a number: a mailbox is not at an IP address.
func hostName(domain string) bool {
	for i := range len(domain) {
		if c := domain[i]; !isAlnum(c) && c != '-' && c != '.' {
			return false
		}
	}
	last := domain[strings.LastIndexByte(domain, '.')+1:]
	return strings.Trim(last, "0123456789") != ""
}

func isAlnum(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

func lowerASCII(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// MaskEmail shows an address to somebody who may not be its owner: the first
// letter and the domain.
func MaskEmail(email string) string {
	local, domain, found := strings.Cut(email, "@")
	if !found || local == "" {
		return "•••"
	}
	return local[:1] + "•••@" + domain
}
