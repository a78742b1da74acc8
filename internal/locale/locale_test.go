package locale_test

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/portico-id/portico/internal/locale"
)

func load(t *testing.T, en, es string) *locale.Catalog {
	t.Helper()
	cat, err := locale.Load(fstest.MapFS{
		"locales/en.json": {Data: []byte(en)},
		"locales/es.json": {Data: []byte(es)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return cat
}

func TestSentences(t *testing.T) {
	cat := load(t,
		`{"hi":"Hi {name}, {name}!","only":"English only","tries.one":"{n} try","tries.other":"{n} tries","flat":"Tries left: {n}."}`,
		`{"hi":"¡Hola {name}, {name}!","tries.one":"{n} intento","tries.other":"{n} intentos","flat":"Intentos: {n}."}`)
	for _, c := range []struct {
		lang, key string
		args      []any
		want      string
	}{
		{"es", "hi", []any{"name", "Ana"}, "¡Hola Ana, Ana!"},
		{"es", "only", nil, "English only"},
		{"fr", "only", nil, "English only"},
		{"en", "no.such", nil, "no.such"},
		{"en", "tries", []any{"n", 1}, "1 try"},
		{"en", "tries", []any{"n", 0}, "0 tries"},
		{"es", "tries", []any{"n", 4}, "4 intentos"},
		{"es", "flat", []any{"n", 4}, "Intentos: 4."},
		{"en", "hi", []any{"name", "{name}"}, "Hi {name}, {name}!"},
		{"en", "hi", nil, "Hi {name}, {name}!"},
		{"en", "hi", []any{"name"}, "Hi {name}, {name}!"},
	} {
		if got := cat.T(c.lang, c.key, c.args...); got != c.want {
			t.Errorf("%s %s %v: %q, want %q", c.lang, c.key, c.args, got, c.want)
		}
	}
	if !cat.Has("tries") || !cat.Has("hi") || cat.Has("trie") {
		t.Error("Has")
	}
	if got := locale.Placeholders("{b} {a} {b} { c } {D}"); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("placeholders %v", got)
	}
}

func TestBrokenLocalesAreRefused(t *testing.T) {
	for name, files := range map[string]fstest.MapFS{
		"no English":  {"locales/es.json": {Data: []byte(`{}`)}},
		"not flat":    {"locales/en.json": {Data: []byte(`{"a":{"b":"c"}}`)}},
		"not JSON":    {"locales/en.json": {Data: []byte(`{"a":`)}},
		"no language": {"locales/en.json": {Data: []byte(`{}`)}, "locales/not a tag.json": {Data: []byte(`{}`)}},
	} {
		if _, err := locale.Load(files); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestMatch(t *testing.T) {
	both := []string{"en", "es"}
	for accept, want := range map[string]string{
		"es": "es", "es-MX,es;q=0.9,en;q=0.8": "es", "en-GB": "en", "de, es;q=0.5": "es", "fr es": "es", "fr": "", "": "",
		"*": "", "es-419": "es", "pt": "", "en;q=0.2, es; q=0.8": "es", "@@": "", strings.Repeat("es,", 500): "",
	} {
		if got := locale.Match(both, accept); got != want {
			t.Errorf("%.40q: %q, want %q", accept, got, want)
		}
	}
	if locale.Match(nil, "en") != "" {
		t.Error("nothing supported matches nothing")
	}
}

func TestDatesNameTheirZone(t *testing.T) {
	zone := func(name string) *time.Location {
		loc, err := time.LoadLocation(name)
		if err != nil {
			t.Skip("no time zone data")
		}
		return loc
	}
	march := time.Date(2025, 3, 6, 14, 12, 0, 0, time.UTC)
	for _, c := range []struct {
		lang string
		when time.Time
		loc  *time.Location
		want string
	}{
		{"en", march, zone("America/New_York"), "Thursday, March 6, 2025, 9:12 AM EST (UTC−5)"},
		{"es", march, zone("America/New_York"), "jueves 6 de marzo de 2025, 9:12 a. m. EST (UTC−5)"},
		{"es-MX", march.Add(3 * time.Hour), zone("America/New_York"), "jueves 6 de marzo de 2025, 12:12 p. m. EST (UTC−5)"},
		{"en", march.AddDate(0, 3, 25), zone("America/New_York"), "Tuesday, July 1, 2025, 10:12 AM EDT (UTC−4)"},
		{"en", march, zone("America/Sao_Paulo"), "Thursday, March 6, 2025, 11:12 AM (UTC−3)"},
		{"en", march, zone("Asia/Kolkata"), "Thursday, March 6, 2025, 7:42 PM IST (UTC+5:30)"},
		{"en", march, nil, "Thursday, March 6, 2025, 2:12 PM UTC"},
		{"fr", march, nil, "2025-03-06 14:12 UTC"},
	} {
		if got := locale.Date(c.lang, c.when, c.loc); got != c.want {
			t.Errorf("%s: %q, want %q", c.lang, got, c.want)
		}
	}
	late := time.Date(2025, 3, 7, 3, 0, 0, 0, time.UTC)
	if got := locale.Day("es", late, zone("America/New_York")); got != "6 de marzo de 2025" {
		t.Errorf("day %q", got)
	}
	if got := locale.Day("en", late, nil); got != "March 7, 2025" {
		t.Errorf("day %q", got)
	}
}
