package locale

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"regexp"
	"sort"
	"strings"
	"sync"

	"golang.org/x/text/language"
)

// Fallback is the language every key exists in.
const Fallback = "en"

var placeholder = regexp.MustCompile(`\{[a-z][a-z0-9_]*\}`)

// Catalog holds the sentences of every language.
type Catalog struct {
	messages map[string]map[string]string
	langs    []string
	missing  sync.Map // "lang/key" already logged
}

// Load reads locales/*.json of fsys; the file name is the language tag.
func Load(fsys fs.FS) (*Catalog, error) {
	files, err := fs.Glob(fsys, "locales/*.json")
	if err != nil {
		return nil, fmt.Errorf("list locales: %w", err)
	}
	cat := &Catalog{messages: map[string]map[string]string{}}
	for _, file := range files {
		lang := strings.TrimSuffix(path.Base(file), ".json")
		if _, err := language.Parse(lang); err != nil {
			return nil, fmt.Errorf("%s: the file name is not a language tag: %w", file, err)
		}
		raw, err := fs.ReadFile(fsys, file)
		if err != nil {
			return nil, fmt.Errorf("read locale: %w", err)
		}
		messages := map[string]string{}
		if err := json.Unmarshal(raw, &messages); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		cat.messages[lang] = messages
		cat.langs = append(cat.langs, lang)
	}
	if cat.messages[Fallback] == nil {
		return nil, fmt.Errorf("locales/%s.json is missing", Fallback)
	}
	sort.Strings(cat.langs)
	return cat, nil
}

// Languages lists the languages of the catalog.
func (cat *Catalog) Languages() []string { return append([]string(nil), cat.langs...) }

// Has reports whether English has the key, or its plural forms.
func (cat *Catalog) Has(key string) bool {
	en := cat.messages[Fallback]
	if _, ok := en[key]; ok {
		return true
	}
	_, one := en[key+".one"]
	_, other := en[key+".other"]
	return one && other
}

// Keys lists the keys of a language, sorted.
func (cat *Catalog) Keys(lang string) []string {
	keys := make([]string, 0, len(cat.messages[lang]))
	for key := range cat.messages[lang] {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}

// Message is the sentence behind a key as it stands in the file.
func (cat *Catalog) Message(lang, key string) (string, bool) {
	message, ok := cat.messages[lang][key]
	return message, ok
}

// T says key in a language. Args are pairs of placeholder name and value. A
// key without a sentence in lang is said in English, and logged once.
func (cat *Catalog) T(lang, key string, args ...any) string {
	return cat.Expand(lang, key, func(value any) string { return fmt.Sprint(value) }, nil, args...)
}

// Expand is T with a say in the output: text turns the sentence around the
// placeholders and value what stands in them. A nil text keeps it as it is.
func (cat *Catalog) Expand(lang, key string, value func(any) string, text func(string) string, args ...any) string {
	values := make(map[string]any, len(args)/2)
	for i := 0; i+1 < len(args); i += 2 {
		values[fmt.Sprint(args[i])] = args[i+1]
	}
	message := cat.find(lang, key, values)
	if text == nil {
		text = func(s string) string { return s }
	}
	// One pass from left to right, so a value that looks like a placeholder
	// stays what somebody typed.
	var out strings.Builder
	at := 0
	for _, span := range placeholder.FindAllStringIndex(message, -1) {
		v, ok := values[message[span[0]+1:span[1]-1]]
		if !ok {
			continue
		}
		out.WriteString(text(message[at:span[0]]))
		out.WriteString(value(v))
		at = span[1]
	}
	out.WriteString(text(message[at:]))
	return out.String()
}

// find looks the key up in the language, then in its parent (es for es-MX), then
// in English. Each of them has its own plural rules.
func (cat *Catalog) find(lang, key string, values map[string]any) string {
	n, counts := values["n"]
	for _, l := range []string{lang, base(lang), Fallback} {
		names := []string{key}
		if counts {
			names = []string{key + form(l, n), key + ".other", key}
		}
		for _, name := range names {
			message, ok := cat.messages[l][name]
			if ok && l == Fallback && base(lang) != Fallback {
				cat.tell(lang, key)
			}
			if ok {
				return message
			}
		}
	}
	cat.tell(lang, key)
	return key
}

// tell logs a sentence that is missing, once.
func (cat *Catalog) tell(lang, key string) {
	if _, told := cat.missing.LoadOrStore(lang+"/"+key, true); !told {
		slog.Warn("no translation", "language", lang, "key", key)
	}
}

// Placeholders lists the placeholder names of a sentence, sorted, each once.
func Placeholders(message string) []string {
	seen := map[string]bool{}
	var names []string
	for _, p := range placeholder.FindAllString(message, -1) {
		if name := p[1 : len(p)-1]; !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names
}

// Match picks the supported language that suits accept best: an
// Accept-Language header or a ui_locales parameter (OpenID Connect Core
// §3.1.2.1). It returns "" when none suits.
func Match(supported []string, accept string) string {
	// Longer than any browser sends; parsing cost grows with the length.
	if accept == "" || len(supported) == 0 || len(accept) > 512 {
		return ""
	}
	if !strings.ContainsAny(accept, ",;") { // ui_locales separates by spaces
		accept = strings.Join(strings.Fields(accept), ",")
	}
	wanted, _, err := language.ParseAcceptLanguage(accept)
	if err != nil || len(wanted) == 0 {
		return ""
	}
	for _, want := range wanted {
		if want == language.Und {
			continue // "*" says nothing the realm's default does not say
		}
		tags := make([]language.Tag, 0, len(supported))
		for _, s := range supported {
			tags = append(tags, language.Make(s))
		}
		if _, i, confidence := language.NewMatcher(tags).Match(want); confidence >= language.High {
			return supported[i]
		}
	}
	return ""
}
