package look

import (
	"math"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestMomentsNameDayZoneAndDistance(t *testing.T) {
	zone, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2025, 3, 6, 14, 12, 0, 0, time.UTC)
	india := time.FixedZone("+0530", 5*3600+1800)
	for _, c := range []struct {
		lang string
		zone *time.Location
		want string
	}{
		{"en", zone, "Thursday, March 6, 2025, 9:12 AM EST (UTC−5)"},
		{"es", zone, "jueves 6 de marzo de 2025, 9:12 a. m. EST (UTC−5)"},
		{"en", time.UTC, "Thursday, March 6, 2025, 2:12 PM UTC"},
		{"es", india, "jueves 6 de marzo de 2025, 7:42 p. m. UTC+5:30"},
	} {
		if got := Moment(c.lang, at, c.zone); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func TestOnlyTheHashedAddressOfAFileAnswers(t *testing.T) {
	css, err := Asset("look.css")
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{css: 200, "/static/look.css": 404, "/static/0/look.css": 404, "/static/../look.go": 404} {
		w := httptest.NewRecorder()
		Static(w, httptest.NewRequest("GET", path, nil))
		if w.Code != want {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	if _, err := Asset("none.css"); err == nil {
		t.Error("a file that is not there has an address")
	}
}

var declaration = regexp.MustCompile(`--([a-z0-9-]+): (#[0-9a-f]{6});`)

// TestColoursCanBeRead checks every site in both schemes: text 4.5:1, controls
// and focus 3:1 (WCAG 2.2 §1.4.3, §1.4.11).
func TestColoursCanBeRead(t *testing.T) {
	css := string(assets["look.css"].body)
	light, dark, _ := strings.Cut(css[:strings.Index(css, "/* ---- 2.")], "prefers-color-scheme: dark")
	read := func(part, selector string, into map[string]string) {
		_, rest, ok := strings.Cut(part, selector+" {")
		if !ok {
			return
		}
		block, _, _ := strings.Cut(rest, "}")
		for _, m := range declaration.FindAllStringSubmatch(block, -1) {
			into[m[1]] = m[2]
		}
	}
	for _, scheme := range []string{"light", "dark"} {
		for _, site := range []string{"patient", "practice", "mailbox"} {
			c := map[string]string{}
			own := ":root[data-site=" + site + "]"
			read(light, ":root", c)
			read(light, own, c)
			if scheme == "dark" {
				read(dark, ":root", c)
				read(dark, own, c)
			}
			for _, pair := range []struct {
				fore, back string
				least      float64
			}{
				{"text", "surface", 4.5}, {"text", "bg", 4.5}, {"text-2", "surface", 4.5}, {"text-2", "bg", 4.5},
				{"link", "surface", 4.5}, {"link", "bg", 4.5}, {"link", "info-bg", 4.5}, {"text", "info-bg", 4.5}, {"text", "ok-bg", 4.5},
				{"on-brand", "brand", 4.5}, {"on-brand", "brand-hover", 4.5}, {"danger", "danger-bg", 4.5}, {"danger", "surface", 4.5},
				{"ok", "ok-bg", 4.5}, {"control", "surface", 3}, {"brand", "surface", 3}, {"brand", "info-bg", 3}, {"focus", "surface", 3}, {"focus", "bg", 3},
			} {
				if got := contrast(t, c[pair.fore], c[pair.back]); got < pair.least {
					t.Errorf("%s, %s: %s %s on %s %s is %.2f:1", site, scheme, pair.fore, c[pair.fore], pair.back, c[pair.back], got)
				}
			}
		}
	}
}

func contrast(t *testing.T, a, b string) float64 {
	t.Helper()
	x, y := luminance(t, a), luminance(t, b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

func luminance(t *testing.T, hex string) float64 {
	t.Helper()
	if len(hex) != 7 {
		t.Fatalf("no colour: %q", hex)
	}
	var sum float64
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		n, err := strconv.ParseUint(hex[1+2*i:3+2*i], 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		v := float64(n) / 255
		if v <= 0.04045 {
			v /= 12.92
		} else {
			v = math.Pow((v+0.055)/1.055, 2.4)
		}
		sum += weight * v
	}
	return sum
}
