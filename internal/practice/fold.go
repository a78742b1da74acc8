package practice

import (
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// maxWords and maxKey bound what one name puts into the index.
const (
	maxWords = 12
	maxKey   = 120 // code points of a key
)

// lastRune is the upper end of every prefix range. Fold drops it, so no key
// contains it.
const lastRune = "\U0010FFFF"

// undecomposed are letters that people type without their stroke or ligature,
// but which Unicode does not decompose.
var undecomposed = strings.NewReplacer(
	"ł", "l", "ø", "o", "đ", "d", "ð", "d", "ħ", "h", "ı", "i",
	"æ", "ae", "œ", "oe", "þ", "th",
)

// Fold reduces a name to what people type for it: no accents, no case, no
// apostrophes, anything else that is neither letter nor digit a space.
// "O’Brien-Núñez" becomes "obrien nunez".
func Fold(s string) string {
	s = base(s)
	var b strings.Builder
	for _, r := range s {
		switch {
		case unicode.IsLetter(r) || unicode.IsDigit(r):
			b.WriteRune(r)
		case r == '\'' || r == '’' || r == '‘' || r == 'ʼ' || r == '`' || r == '´':
		default:
			b.WriteByte(' ')
		}
	}
	return cut(strings.Join(strings.Fields(b.String()), " "))
}

// foldExact keeps punctuation: for login emails and account numbers.
func foldExact(s string) string {
	return cut(strings.Join(strings.Fields(base(s)), " "))
}

// base folds case and strips what modifies letters. Compatibility forms
// (fullwidth letters, ligatures) become their plain selves.
func base(s string) string {
	s = strings.ToValidUTF8(s, "")
	s = norm.NFKD.String(cases.Fold().String(norm.NFKD.String(s)))
	s = strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) || unicode.Is(unicode.Cf, r) || r == 0 || r == '\U0010FFFF' {
			return -1
		}
		return r
	}, s)
	return norm.NFC.String(undecomposed.Replace(s))
}

func cut(s string) string {
	runes := []rune(s)
	if len(runes) <= maxKey {
		return s
	}
	return strings.TrimSpace(string(runes[:maxKey]))
}

// sortKey orders lists by family name, then given name.
func sortKey(given, family string) string {
	key := strings.TrimSpace(Fold(family) + " " + Fold(given))
	if key == "" {
		return "~" // a name without a letter sorts after the Latin ones
	}
	return cut(key)
}

// nameKeys lists the keys of a name: every word-suffix of "given family" and
// of "family given".
func nameKeys(given, family string) []string {
	g, f := strings.Fields(Fold(given)), strings.Fields(Fold(family))
	return append(suffixes(append(slices.Clone(g), f...)), suffixes(append(slices.Clone(f), g...))...)
}

func suffixes(words []string) []string {
	words = words[:min(len(words), maxWords)]
	var keys []string
	for i := range words {
		keys = append(keys, cut(strings.Join(words[i:], " ")))
	}
	return keys
}

// numberKeys lists the keys of an account number: as written, without
// punctuation, and from each of its parts on.
func numberKeys(number string) []string {
	words := strings.Fields(Fold(number))
	return append(suffixes(words), foldExact(number), cut(strings.Join(words, "")))
}

// distinct sorts keys and drops empty and repeated ones.
func distinct(keys []string) []string {
	keys = slices.DeleteFunc(keys, func(k string) bool { return k == "" })
	slices.Sort(keys)
	return slices.Compact(keys)
}

// keyRange is a half-open range of keys that begin with a prefix.
type keyRange struct{ from, to string }

// ranges turns what was typed into the ranges of keys that match: as a name,
// and as an email or number with its punctuation. Nothing typed that could be
// searched for gives no range at all.
func ranges(typed string) []keyRange {
	var prefixes []string
	if !strings.Contains(typed, "@") {
		prefixes = append(prefixes, Fold(typed))
	}
	prefixes = append(prefixes, foldExact(typed))
	var out []keyRange
	for _, p := range distinct(prefixes) {
		out = append(out, keyRange{p, p + lastRune})
	}
	return out
}
