package password

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
)

func blocklist(t *testing.T, extra ...io.Reader) *Blocklist {
	t.Helper()
	b, err := NewBlocklist(extra...)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTheBuiltInListIsLarge(t *testing.T) {
	if n := blocklist(t).Len(); n < 170_000 {
		t.Errorf("%d entries", n)
	}
}

func TestLengthIsCountedInCodePoints(t *testing.T) {
	b := blocklist(t)
	letters := "zweq kjhgp vnmx ufro ñandú tbc lqw" // no pattern in it
	for n, want := range map[int]error{14: ErrShort, 15: nil} {
		s := string([]rune(letters)[:n])
		if err := b.Check(Policy{MinLength: 15}, s, nil); !errors.Is(err, want) {
			t.Errorf("%d code points: %v, want %v", n, err, want)
		}
	}
	long := ""
	random := rand.New(rand.NewPCG(1, 2))
	for range 256 {
		long += string(rune('a' + random.IntN(26)))
	}
	for n, want := range map[int]error{64: nil, 255: nil, 256: nil} {
		if err := b.Check(Policy{MinLength: 15}, long[:n], nil); !errors.Is(err, want) {
			t.Errorf("%d code points: %v, want %v", n, err, want)
		}
	}
	if err := b.Check(Policy{MinLength: 15}, long+"x", nil); !errors.Is(err, ErrLong) {
		t.Errorf("257 code points: %v", err)
	}
	if err := b.Check(Policy{MinLength: 15}, strings.Repeat("界", 256), nil); errors.Is(err, ErrLong) {
		t.Errorf("256 code points in 768 bytes: %v", err)
	}
	if err := b.Check(Policy{MinLength: 15}, strings.Repeat("😀", 257), nil); !errors.Is(err, ErrLong) {
		t.Errorf("more than 1 KiB: %v", err)
	}
	if err := b.Check(Policy{MinLength: 15}, "tab\tin the middle of it", nil); !errors.Is(err, ErrCharacters) {
		t.Errorf("a control character: %v", err)
	}
	var p *Problem
	if err := b.Check(Policy{MinLength: 15}, "short", nil); !errors.As(err, &p) || p.Key != "password.error.short" || len(p.Args) != 2 || p.Args[1] != 15 {
		t.Errorf("%+v", p)
	}
}

func TestPasswordsThatAreEasyToGuessAreRefused(t *testing.T) {
	b := blocklist(t)
	context := []string{"maria.gonzalez@example.test", "María", "González", "Patient Portal", "Portico"}
	for _, easy := range []string{
		"passwordpassword", "password12345678", "Password1234567!", "P@ssw0rd12345678", "123456789012345", "qwertyuiopasdfgh",
		"abcdefghijklmnop", "zyxwvutsrqponmlk", "aaaaaaaaaaaaaaaaa", "abcabcabcabcabcabc", "1q2w3e4r5t6y7u8i9o0p1q2w3e4r5t6y7u8i9o0p",
		"iloveyou!!!!!!!!!!", "1234567890dragon", "p a s s w o r d 1 2 3", "111111 222222 333333", "contraseña123456",
		"MariaGonzalez2024", "maria.gonzalez@example.test", "maria gonzalez 1985", "PatientPortal2024!", "portico portico 1", "portico-password", "González María!!",
		"characterization",
	} {
		if err := b.Check(Policy{MinLength: 8}, easy, context); !errors.Is(err, ErrCommon) {
			t.Errorf("%q: %v, want ErrCommon", easy, err)
		}
	}
	for _, good := range []string{
		"purple monkey dishwasher", "correct zebra lamp staple", "tres palabras sin relación", "mi perro come manzanas verdes", "Zx9$kk2!mQ7#pL4w",
		"839201746583920", "maria buys seven green teapots", "elephantdiscover", "the portico has nine blue doors", "señora piano lluvia 7",
	} {
		if err := b.Check(Policy{MinLength: 15}, good, context); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
}

func TestAnOperatorsListCounts(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = io.WriteString(z, "zebra lamp violin teapot\n")
	_ = z.Close()
	b := blocklist(t, strings.NewReader("Blue Harbour Clinic Staff\r\n\nGrün wie die Hoffnung\n"), &packed)
	for _, listed := range []string{"blue harbour clinic staff", "grun wie die hoffnung", "Zebra Lamp Violin Teapot"} {
		if err := b.Check(Policy{MinLength: 15}, listed, nil); !errors.Is(err, ErrCommon) {
			t.Errorf("%q: %v", listed, err)
		}
		if err := blocklist(t).Check(Policy{MinLength: 15}, listed, nil); err != nil {
			t.Errorf("%q without the list: %v", listed, err)
		}
	}
	if _, err := NewBlocklist(bytes.NewReader([]byte{0x1f, 0x8b, 1})); err == nil {
		t.Error("a damaged list is accepted")
	}
}

func BenchmarkCheck(b *testing.B) {
	list, _ := NewBlocklist()
	for b.Loop() {
		_ = list.Check(Policy{MinLength: 15}, "purple monkey dishwasher", []string{"Maria", "maria@example.test"})
	}
}
