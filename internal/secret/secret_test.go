package secret_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/portico-id/portico/internal/secret"
)

func TestNoPrinterShowsASecret(t *testing.T) {
	token := secret.NewToken()
	text := secret.Text("canary-of-the-coal-mine")
	sealer, err := secret.NewSealer([]byte(strings.Repeat("K", secret.KeyBytes)))
	if err != nil {
		t.Fatal(err)
	}
	type holder struct {
		Token  secret.Token
		Text   secret.Text
		Sealer *secret.Sealer
	}
	h := holder{token, text, sealer}

	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "% x"} {
		fmt.Fprintf(&out, verb+"\n", token)
		fmt.Fprintf(&out, verb+"\n", text)
		fmt.Fprintf(&out, verb+"\n", h)
		fmt.Fprintf(&out, verb+"\n", &h)
	}
	fmt.Fprintln(&out, fmt.Errorf("broken: %w", fmt.Errorf("%v %v", token, text)))
	for _, l := range []*slog.Logger{slog.New(slog.NewJSONHandler(&out, nil)), slog.New(slog.NewTextHandler(&out, nil))} {
		l.Info("x", "token", token, "text", text, "holder", h, "map", map[string]any{"t": token, "x": text})
	}
	j, err := json.Marshal(map[string]any{"t": token, "x": text, "h": struct {
		T secret.Token
		X secret.Text
	}{token, text}})
	if err != nil {
		t.Fatal(err)
	}
	out.Write(j)

	raw, _ := secret.ParseToken(token.Reveal())
	for name, leak := range map[string]string{
		"token":        raw.Reveal(),
		"text":         text.Reveal(),
		"text in hex":  fmt.Sprintf("%x", text.Reveal()),
		"key":          "KKKKKKKK",
		"key in bytes": "75 75 75 75",
		"key in hex":   "4b4b4b4b",
	} {
		if strings.Contains(out.String(), leak) {
			t.Errorf("%s was printed:\n%s", name, out.String())
		}
	}
}

func TestATokenHasOneSpelling(t *testing.T) {
	token := secret.NewToken()
	s := token.Reveal()
	if len(s) != 43 {
		t.Fatalf("a token of 256 bits has 43 characters, got %d", len(s))
	}
	back, err := secret.ParseToken(s)
	if err != nil || !bytes.Equal(back.Hash(), token.Hash()) {
		t.Fatalf("round trip: %v", err)
	}
	// The last character carries four bits and two of padding: only one of
	// four characters that decode alike may be accepted.
	accepted := 0
	for _, last := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_" {
		other, err := secret.ParseToken(s[:42] + string(last))
		if err == nil && bytes.Equal(other.Hash(), token.Hash()) {
			accepted++
		}
	}
	if accepted != 1 {
		t.Errorf("%d spellings of one token were accepted", accepted)
	}
	for _, bad := range []string{"", "x", s[:42], s + "A", s + "=", s[:42] + "\n", s[:42] + "+", strings.Repeat("A", 43)} {
		if _, err := secret.ParseToken(bad); !errors.Is(err, secret.ErrToken) {
			t.Errorf("ParseToken(%q) = %v, want ErrToken", bad, err)
		}
	}
}

func TestASealedValueOpensOnlyWhereItBelongs(t *testing.T) {
	one, _ := secret.NewSealer(bytes.Repeat([]byte{1}, 32))
	two, _ := secret.NewSealer(bytes.Repeat([]byte{2}, 32))
	plain := []byte("the private key")
	sealed := one.Seal("keys", "patient/kid-1", plain)

	got, err := one.Open("keys", "patient/kid-1", sealed)
	if err != nil || !bytes.Equal(got, plain) {
		t.Fatalf("Open: %q, %v", got, err)
	}
	if bytes.Contains(sealed, plain) {
		t.Error("the plain text stands in the sealed value")
	}
	if bytes.Equal(sealed, one.Seal("keys", "patient/kid-1", plain)) {
		t.Error("sealing twice gives the same bytes: the nonce is not random")
	}
	if _, err := one.Open("mail", "patient/kid-1", sealed); !errors.Is(err, secret.ErrSealed) {
		t.Errorf("another purpose: %v", err)
	}
	if _, err := one.Open("keys", "practice/kid-1", sealed); !errors.Is(err, secret.ErrSealed) {
		t.Errorf("another row: %v", err)
	}
	if _, err := two.Open("keys", "patient/kid-1", sealed); !errors.Is(err, secret.ErrOtherKey) {
		t.Errorf("another key: %v", err)
	}
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 1
		if _, err := one.Open("keys", "patient/kid-1", bad); err == nil {
			t.Errorf("byte %d changed and the value still opens", i)
		}
	}
	for n := range sealed {
		if _, err := one.Open("keys", "patient/kid-1", sealed[:n]); err == nil {
			t.Errorf("cut to %d bytes and the value still opens", n)
		}
	}
	// ("keysp", "atient") must not be ("keys", "patient").
	if _, err := one.Open("keysp", "atient/kid-1", sealed); err == nil {
		t.Error("purpose and additional data run into each other")
	}
}

func TestDerivedKeysAreStableAndApart(t *testing.T) {
	a, _ := secret.NewSealer(bytes.Repeat([]byte{1}, 32))
	b, _ := secret.NewSealer(bytes.Repeat([]byte{1}, 32))
	if !bytes.Equal(a.DeriveKey("csrf", 32), b.DeriveKey("csrf", 32)) {
		t.Error("two replicas derive different keys")
	}
	if bytes.Equal(a.DeriveKey("csrf", 32), a.DeriveKey("code", 32)) {
		t.Error("two purposes share a key")
	}
	for _, n := range []int{0, 16, 31, 33} {
		if _, err := secret.NewSealer(make([]byte, n)); !errors.Is(err, secret.ErrKeySize) {
			t.Errorf("a key of %d bytes: %v", n, err)
		}
	}
}
