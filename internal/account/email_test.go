package account

import (
	"errors"
	"strings"
	"testing"
)

func TestNormalizeEmail(t *testing.T) {
	for in, want := range map[string]string{
		"maria@example.test":              "maria@example.test",
		"  Maria.Gomez@Example.TEST \n":   "maria.gomez@example.test",
		"o'brien+portal@example.test":     "o'brien+portal@example.test",
		"maria@münchen.example.test":      "maria@xn--mnchen-3ya.example.test",
		"maria@xn--mnchen-3ya.example":    "maria@xn--mnchen-3ya.example",
		strings.Repeat("a", 64) + "@e.st": strings.Repeat("a", 64) + "@e.st",
	} {
		got, err := NormalizeEmail(in)
		if err != nil || got != want {
			t.Errorf("%q: %q, %v; want %q", in, got, err, want)
		}
		if again, err := NormalizeEmail(got); err != nil || again != got {
			t.Errorf("%q is not stable: %q, %v", got, again, err)
		}
	}
}

func TestNormalizeEmailRefuses(t *testing.T) {
	for _, in := range []string{
		"", "maria", "@example.test", "maria@", "maria@example", "maria@@example.test", "a@b@example.test",
		`"maria"@example.test`, `"a b"@example.test`, "maria gomez@example.test", "maria@exa mple.test",
		".maria@example.test", "maria.@example.test", "ma..ria@example.test", "maria@.test", "maria@example..test",
		"maria@example.test.", "maria@-example.test", "maria@[192.0.2.1]", "maria@192.0.2.1", "maria@example.1",
		"maria@example.test\x00", "ma\r\nria@example.test", "maria@example.test\r\nBcc: x@example.test",
		"maria@example.test,other@example.test", "Maria <maria@example.test>",
		"\u212Aaren@example.test",         // Kelvin sign
		"maria@\u212Aelvin.test",          // the same in the domain
		"ﬁona@example.test",               // ligature
		"ｍaria@example.test",              // full width
		"maria＠example.test",              // full width @
		"maria@example。test",              // ideographic full stop
		"maria@ex\u00ADample.test",        // soft hyphen
		"maria@MÜNCHEN.example.test",      // only ASCII is lowered
		"mar\u200Bia@example.test",        // zero width space
		"mariа@example.test",              // Cyrillic а
		"josé@example.test",               // needs SMTPUTF8, which not every mail server speaks
		"ınfo@example.test",               // dotless i
		"maria@exa_mple.test",             // no host name
		strings.Repeat("a", 65) + "@e.st", // local part too long
		"a@" + strings.Repeat("a", 250) + ".test",
		"a@" + strings.Repeat("abcdefgh.", 30) + "test",
	} {
		if got, err := NormalizeEmail(in); !errors.Is(err, ErrEmail) {
			t.Errorf("%q: %q, %v; want ErrEmail", in, got, err)
		}
	}
}

func FuzzNormalizeEmail(f *testing.F) {
	f.Add("Maria@Example.test")
	f.Add("\u212A@x.test")
	f.Add("0@0.\x81")
	f.Fuzz(func(t *testing.T, in string) {
		got, err := NormalizeEmail(in)
		if err != nil {
			return
		}
		for i := range len(got) {
			if c := got[i]; c <= ' ' || c > '~' || c >= 'A' && c <= 'Z' {
				t.Fatalf("%q gives %q", in, got)
			}
		}
		if again, err := NormalizeEmail(got); err != nil || again != got {
			t.Fatalf("%q is not stable: %q", got, again)
		}
	})
}

func TestMaskEmail(t *testing.T) {
	for in, want := range map[string]string{"maria@example.test": "m•••@example.test", "x@e.st": "x•••@e.st", "": "•••"} {
		if got := MaskEmail(in); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}

func TestDeviceName(t *testing.T) {
	for in, want := range map[string]string{
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_3 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.3 Mobile/15E148 Safari/604.1": "Safari, iPhone",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/134.0.0.0 Safari/537.36":                         "Chrome, Windows",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/134.0.0.0 Safari/537.36 Edg/134.0.0.0":           "Edge, Windows",
		"Mozilla/5.0 (X11; Linux x86_64; rv:136.0) Gecko/20100101 Firefox/136.0":                                                                  "Firefox, Linux",
		"curl/8.5": "", "": "",
	} {
		if got := DeviceName(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
