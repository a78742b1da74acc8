package locale

import (
	"fmt"
	"slices"
	"strings"
)

// Gaps is what is wrong with the file of a language, measured by English. The
// pages work all the same: what is missing is said in English.
type Gaps struct {
	Missing      []string // keys without a sentence
	Unknown      []string // keys that English does not have: misspelt, or of another version
	Placeholders []string // keys whose sentence leaves a value out, or names one that is not given
}

// None reports whether the language is complete.
func (g Gaps) None() bool { return len(g.Missing)+len(g.Unknown)+len(g.Placeholders) == 0 }

// String names the keys, at most twenty of a kind.
func (g Gaps) String() string {
	var parts []string
	for _, p := range []struct {
		what string
		keys []string
	}{{"missing", g.Missing}, {"unknown", g.Unknown}, {"with other placeholders than in English", g.Placeholders}} {
		if len(p.keys) == 0 {
			continue
		}
		shown := strings.Join(p.keys[:min(len(p.keys), 20)], ", ")
		if more := len(p.keys) - 20; more > 0 {
			shown += fmt.Sprintf(" and %d more", more)
		}
		parts = append(parts, p.what+": "+shown)
	}
	return strings.Join(parts, "; ")
}

// Gaps compares a language with English. A regional language (es-MX) may lean
// on its parent, where that has a file.
func (cat *Catalog) Gaps(lang string) Gaps {
	var g Gaps
	en := cat.messages[Fallback]
	for key := range en {
		stem, counts := cat.counted(key)
		switch {
		case !counts:
			if said, ok := cat.own(lang, key); !ok {
				g.Missing = append(g.Missing, key)
			} else if !fits(key, en[key], said) {
				g.Placeholders = append(g.Placeholders, key)
			}
		case strings.HasSuffix(key, ".other"):
			cat.countedGaps(lang, stem, &g)
		}
	}
	for key := range cat.messages[lang] {
		_, known := en[key]
		stem, _ := cutForm(key)
		if _, counts := cat.counted(stem + ".other"); !known && !counts {
			g.Unknown = append(g.Unknown, key)
		}
	}
	slices.Sort(g.Missing)
	slices.Sort(g.Unknown)
	slices.Sort(g.Placeholders)
	return g
}

// countedGaps looks at the forms of a sentence that counts. A language may also
// have one sentence for all of them, under the key without a form.
func (cat *Catalog) countedGaps(lang, stem string, g *Gaps) {
	given := Placeholders(cat.messages[Fallback][stem+".one"] + cat.messages[Fallback][stem+".other"])
	for _, f := range formsOf(lang) {
		said, ok := cat.own(lang, stem+f)
		if !ok {
			said, ok = cat.own(lang, stem)
		}
		if !ok {
			g.Missing = append(g.Missing, stem+f)
			continue
		}
		// "One minute" needs no {n}, so only what is not given is wrong.
		if slices.ContainsFunc(Placeholders(said), func(name string) bool { return !slices.Contains(given, name) }) {
			g.Placeholders = append(g.Placeholders, stem+f)
		}
	}
}

// own is the sentence of a language or of its parent, not that of English.
func (cat *Catalog) own(lang, key string) (string, bool) {
	for _, l := range []string{lang, base(lang)} {
		if said, ok := cat.messages[l][key]; ok {
			return said, true
		}
	}
	return "", false
}

// counted reports whether a key of English is one form of a sentence that
// counts, and the key without the form.
func (cat *Catalog) counted(key string) (stem string, counts bool) {
	stem, last := cutForm(key)
	_, one := cat.messages[Fallback][stem+".one"]
	_, other := cat.messages[Fallback][stem+".other"]
	return stem, last != "" && one && other
}

// cutForm takes a plural form off a key; last is "" when there is none.
func cutForm(key string) (stem, last string) {
	for _, f := range pluralForms {
		if stem, ok := strings.CutSuffix(key, f); ok {
			return stem, f
		}
	}
	return key, ""
}

// fits reports whether a sentence names the values that it is given. How a date
// is written differs more than that: see dateParts.
func fits(key, english, said string) bool {
	names := Placeholders(said)
	if given := dateParts[key]; given != nil {
		return !slices.ContainsFunc(names, func(name string) bool { return !slices.Contains(given, name) })
	}
	return slices.Equal(Placeholders(english), names)
}
