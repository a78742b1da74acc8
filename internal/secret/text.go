package secret

import (
	"fmt"
	"log/slog"
)

// Text is a secret that was given to the program. It compares and converts
// like a string, and prints as "[redacted]".
type Text string

// Reveal is the secret itself.
func (t Text) Reveal() string { return string(t) }

// String redacts; an empty Text is empty, so that "not set" can be seen.
func (t Text) String() string {
	if t == "" {
		return ""
	}
	return redacted
}

// GoString redacts.
func (t Text) GoString() string { return t.String() }

// Format redacts for every verb.
func (t Text) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(t.String())) }

// LogValue redacts.
func (t Text) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalText redacts.
func (t Text) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// MarshalJSON redacts.
func (t Text) MarshalJSON() ([]byte, error) { return []byte(`"` + t.String() + `"`), nil }
