package locale_test

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
	_ "time/tzdata" // a machine may have none

	"github.com/portico-id/portico/internal/locale"
	"github.com/portico-id/portico/templates"
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

func builtIn(t *testing.T) *locale.Catalog {
	t.Helper()
	cat, err := locale.Load(templates.FS)
	if err != nil {
		t.Fatal(err)
	}
	return cat
}

func TestDatesNameTheirZone(t *testing.T) {
	cat := builtIn(t)
	zone := func(name string) *time.Location {
		loc, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
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
		{"fr", march, nil, "Thursday, March 6, 2025, 2:12 PM UTC"}, // nothing of French is built in
		{"en", march.Add(-14 * time.Hour), nil, "Thursday, March 6, 2025, 12:12 AM UTC"},
		{"es", march.AddDate(0, 0, 3), nil, "domingo 9 de marzo de 2025, 2:12 p. m. UTC"},
	} {
		if got := cat.Date(c.lang, c.when, c.loc); got != c.want {
			t.Errorf("%s: %q, want %q", c.lang, got, c.want)
		}
	}
	late := time.Date(2025, 3, 7, 3, 0, 0, 0, time.UTC)
	if got := cat.Day("es", late, zone("America/New_York")); got != "6 de marzo de 2025" {
		t.Errorf("day %q", got)
	}
	if got := cat.Day("en", late, nil); got != "March 7, 2025" {
		t.Errorf("day %q", got)
	}
}

// polish is what a file for a third language holds: nothing about it stands in
// the code.
const polish = `{
	"language.name": "Polski", "hi": "Cześć {name}",
	"tries.one": "{n} próba", "tries.few": "{n} próby", "tries.many": "{n} prób",
	"date.moment": "{weekday}, {day} {month} {year}, {time} {zone}", "date.day": "{day} {month} {year}", "date.time": "{hour24}:{minute}",
	"date.month.3": "marca", "date.weekday.4": "czwartek"
}`

const fewEnglish = `{
	"language.name": "English", "hi": "Hi {name}", "tries.one": "{n} try", "tries.other": "{n} tries",
	"date.moment": "{weekday}, {month} {day}, {year}, {time} {zone}", "date.day": "{month} {day}, {year}", "date.time": "{hour12}:{minute} {half}",
	"date.half.am": "AM", "date.half.pm": "PM", "date.month.3": "March", "date.weekday.4": "Thursday"
}`

func third(t *testing.T, en, lang, more string) *locale.Catalog {
	t.Helper()
	cat, err := locale.Load(fstest.MapFS{"locales/en.json": {Data: []byte(en)}, "locales/" + lang + ".json": {Data: []byte(more)}})
	if err != nil {
		t.Fatal(err)
	}
	return cat
}

func TestALanguageIsOneFile(t *testing.T) {
	cat := third(t, fewEnglish, "pl", polish)
	for n, want := range map[any]string{1: "1 próba", 2: "2 próby", 4: "4 próby", 5: "5 prób", 12: "12 prób", 22: "22 próby", 0: "0 prób",
		int64(3): "3 próby", -1: "-1 próba"} {
		if got := cat.T("pl", "tries", "n", n); got != want {
			t.Errorf("%v: %q, want %q", n, got, want)
		}
	}
	march := time.Date(2025, 3, 6, 9, 5, 0, 0, time.UTC)
	if got := cat.Date("pl", march, nil); got != "czwartek, 6 marca 2025, 09:05 UTC" {
		t.Errorf("%q", got)
	}
	if got := cat.Day("pl", march, nil); got != "6 marca 2025" {
		t.Errorf("%q", got)
	}
	// No whole number needs "other" in Polish; English would.
	want := locale.Gaps{Missing: []string{"date.half.am", "date.half.pm"}}
	if got := cat.Gaps("pl"); !slices.Equal(got.Missing, want.Missing) || len(got.Unknown)+len(got.Placeholders) != 0 {
		t.Errorf("%+v", got)
	}
}

func TestEachLanguageCountsItsOwnWay(t *testing.T) {
	en := `{"tries.one":"one try","tries.other":"{n} tries"}`
	french := third(t, en, "fr", `{"tries.one":"{n} essai","tries.other":"{n} essais"}`)
	japanese := third(t, en, "ja", `{"tries.other":"{n}回"}`)
	arabic := third(t, en, "ar", `{"tries.zero":"0","tries.one":"1","tries.two":"2","tries.few":"few {n}","tries.many":"many {n}","tries.other":"other {n}"}`)
	flat := third(t, en, "de", `{"tries":"Versuche: {n}"}`)
	for _, c := range []struct {
		cat  *locale.Catalog
		lang string
		n    any
		want string
	}{
		{french, "fr", 0, "0 essai"}, {french, "fr", 2, "2 essais"}, {japanese, "ja", 1, "1回"}, {arabic, "ar", 2, "2"},
		{arabic, "ar", 3, "few 3"}, {arabic, "ar", 11, "many 11"}, {arabic, "ar", 100, "other 100"}, {flat, "de", 1, "Versuche: 1"},
		{french, "en", 0, "0 tries"}, {french, "en", 1, "one try"}, {french, "en", "some", "some tries"},
		{japanese, "xx", 1, "one try"}, // without a file: in English, by English rules
	} {
		if got := c.cat.T(c.lang, "tries", "n", c.n); got != c.want {
			t.Errorf("%s %v: %q, want %q", c.lang, c.n, got, c.want)
		}
	}
	for _, cat := range []*locale.Catalog{french, japanese, arabic, flat} {
		for _, lang := range cat.Languages() {
			if g := cat.Gaps(lang); !g.None() {
				t.Errorf("%s: %s", lang, g)
			}
		}
	}
}

func TestGapsAreNamed(t *testing.T) {
	en := `{"a.b":"A {x}","c.d":"C","n.one":"{n} day","n.other":"{n} days","date.day":"{month} {day}, {year}","stop.other":"Other"}`
	for name, c := range map[string]struct {
		said string
		want locale.Gaps
	}{
		"complete":                {`{"a.b":"Á {x}","c.d":"Ç","n.one":"{n} ð","n.other":"{n} ðs","date.day":"{day}.{month}","stop.other":"Ø"}`, locale.Gaps{}},
		"empty":                   {`{}`, locale.Gaps{Missing: []string{"a.b", "c.d", "date.day", "n.one", "n.other", "stop.other"}}},
		"a value is left out":     {`{"a.b":"Á","c.d":"Ç","n":"{n}","date.day":"{day}","stop.other":"Ø"}`, locale.Gaps{Placeholders: []string{"a.b"}}},
		"a value is misspelt":     {`{"a.b":"Á {x}","c.d":"Ç","n":"{m}","date.day":"{tag}","stop.other":"Ø"}`, locale.Gaps{Placeholders: []string{"date.day", "n.one", "n.other"}}},
		"a key is misspelt":       {`{"a.b":"Á {x}","c.e":"Ç","n":"{n}","date.day":"{day}","stop.other":"Ø"}`, locale.Gaps{Missing: []string{"c.d"}, Unknown: []string{"c.e"}}},
		"a form it does not need": {`{"a.b":"Á {x}","c.d":"Ç","n.one":"1","n.few":"2","n.other":"3","date.day":"{day}","stop.other":"Ø"}`, locale.Gaps{}},
	} {
		got := third(t, en, "de", c.said).Gaps("de")
		if !slices.Equal(got.Missing, c.want.Missing) || !slices.Equal(got.Unknown, c.want.Unknown) || !slices.Equal(got.Placeholders, c.want.Placeholders) {
			t.Errorf("%s: %+v", name, got)
		}
		if got.None() != (got.String() == "") {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestARegionSaysWhatDiffers(t *testing.T) {
	cat, err := locale.Load(fstest.MapFS{
		"locales/en.json":    {Data: []byte(`{"a":"a","b":"b","c":"c"}`)},
		"locales/es.json":    {Data: []byte(`{"a":"á","b":"bé","c":"cé"}`)},
		"locales/es-MX.json": {Data: []byte(`{"b":"be grande"}`)},
	})
	if err != nil {
		t.Fatal(err)
	}
	if a, b := cat.T("es-MX", "a"), cat.T("es-MX", "b"); a != "á" || b != "be grande" || !cat.Gaps("es-MX").None() {
		t.Errorf("%q %q %s", a, b, cat.Gaps("es-MX"))
	}
}

func TestBuiltInLanguagesAreComplete(t *testing.T) {
	cat := builtIn(t)
	for _, lang := range cat.Languages() {
		if g := cat.Gaps(lang); !g.None() {
			t.Errorf("%s: %s", lang, g)
		}
	}
}
