package uitest

import (
	_ "embed"
	"flag"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

//go:embed testdata/texts.js
var textsSource string

// covered notes which of the provider's texts stood on a page that was checked.
// A page or a state of error that no journey leads to is one that nobody has
// looked at: a whole run fails when there is one, see unseen.
var covered = newCoverage()

// someSkipped is set when a test did not run: then nothing is known of what
// is missing.
var someSkipped atomic.Bool

// shownTexts is what a page shows, by where it stands.
type shownTexts struct {
	Heading string   `json:"heading"`
	Said    []string `json:"said"` // problems, notes, and the words of error pages
	All     []string `json:"all"`
}

type coverage struct {
	mu    sync.Mutex
	books map[string]*book             // by language
	where map[string]map[string]string // language to key to the step that showed it first
}

// book finds the keys of a language's texts.
type book struct {
	plain  map[string][]string // text to its keys: some texts have several
	long   map[string][]string // of these the sentences, which need not stand alone
	filled map[string]*regexp.Regexp
}

func newCoverage() *coverage {
	c := &coverage{books: map[string]*book{}, where: map[string]map[string]string{}}
	for _, lang := range []string{"en", "es"} {
		b := &book{plain: map[string][]string{}, long: map[string][]string{}, filled: map[string]*regexp.Regexp{}}
		for key, text := range texts(lang) {
			if !wanted(key) {
				continue
			}
			text = oneLine(text)
			if strings.Contains(text, "{") {
				b.filled[key] = placeholders(text)
			} else {
				b.plain[text] = append(b.plain[text], key)
				if len(text) >= 12 && !isTitle(key) && !isError(key) {
					b.long[text] = b.plain[text]
				}
			}
		}
		c.books[lang], c.where[lang] = b, map[string]string{}
	}
	return c
}

var placeholder = regexp.MustCompile(`\\\{[a-z0-9_]+\\\}`)

// placeholders matches a text whatever its placeholders were filled with.
//
// Enough words of its own may stand among others.
func placeholders(text string) *regexp.Regexp {
	if words := placeholder.ReplaceAllString(regexp.QuoteMeta(text), ""); len(words) >= 12 {
		return regexp.MustCompile(placeholder.ReplaceAllString(regexp.QuoteMeta(text), ".{1,120}?"))
	}
	return regexp.MustCompile("^" + placeholder.ReplaceAllString(regexp.QuoteMeta(text), ".{1,120}") + "$")
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// wanted are the keys of pages and of what pages say when something is not as
// hoped. Mails, dates, the names of events and the frame have tests elsewhere.
func wanted(key string) bool {
	room, _, _ := strings.Cut(key, ".")
	switch room {
	case "mail", "date", "layout", "language":
		return false
	case "history":
		return !strings.Contains(key, "_") && strings.Count(key, ".") == 1 && slices.Contains([]string{"about", "title", "empty", "newest", "older", "when", "what", "device", "network"}, strings.TrimPrefix(key, "history."))
	}
	return true
}

func isTitle(key string) bool {
	return strings.HasSuffix(key, ".title") || strings.Contains(key, ".title_")
}

func isError(key string) bool {
	return strings.HasPrefix(key, "error.") || strings.Contains(key, ".error.")
}

// note takes down what a page shows. A title counts in the heading only and an
// error where errors are said, so that a button of the same words is neither.
func (c *coverage) note(lang, step string, page shownTexts) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b, where := c.books[lang], c.where[lang]
	if b == nil {
		return
	}
	hit := func(key string, is func(string) bool) {
		if _, known := where[key]; !known && (is == nil || is(key)) {
			where[key] = step
		}
	}
	look := func(texts []string, is func(string) bool) {
		for _, text := range texts {
			text = oneLine(text)
			for _, key := range b.plain[text] {
				hit(key, is)
			}
			for long, keys := range b.long { // a sentence among others
				if strings.Contains(text, long) {
					for _, key := range keys {
						hit(key, is)
					}
				}
			}
			for key, pattern := range b.filled {
				if _, known := where[key]; !known && (is == nil || is(key)) && pattern.MatchString(text) {
					hit(key, is)
				}
			}
		}
	}
	look([]string{page.Heading}, isTitle)
	look(page.Said, isError)
	look(page.All, func(key string) bool { return !isTitle(key) && !isError(key) })
}

// unseen returns what was never shown, as "key (language): text", and excuses
// that are none because the text was shown.
func (c *coverage) unseen(excused map[string]string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var missing []string
	for _, lang := range slices.Sorted(maps.Keys(c.books)) {
		all := texts(lang)
		for _, key := range slices.Sorted(maps.Keys(all)) {
			shown := c.shows(lang, key)
			_, excuse := excused[key]
			switch {
			case !wanted(key):
			case !shown && !excuse:
				missing = append(missing, fmt.Sprintf("%s (%s) was never shown: %s", key, lang, all[key]))
			case shown && excuse:
				missing = append(missing, fmt.Sprintf("%s (%s) needs no excuse, it was shown", key, lang))
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(excused)) {
		if _, there := texts("en")[key]; !there {
			missing = append(missing, key+" is excused, and there is no such text")
		}
	}
	return missing
}

// shows reports whether a text was seen; of a plural either form will do.
func (c *coverage) shows(lang, key string) bool {
	for _, form := range []string{".one", ".other"} {
		if base, plural := strings.CutSuffix(key, form); plural {
			return c.where[lang][base+".one"] != "" || c.where[lang][base+".other"] != ""
		}
	}
	return c.where[lang][key] != ""
}

// noteTexts takes down what the provider's page shows.
func (p *page) noteTexts(step string) error {
	if p.quick || !slices.ContainsFunc(p.issuers, func(issuer string) bool { return strings.HasPrefix(p.address(), issuer) }) {
		return nil
	}
	page, err := value[shownTexts](p, textsSource)
	if err != nil {
		return fmt.Errorf("read the texts: %w", err)
	}
	covered.note(p.lang, p.journey+"."+step, page)
	return nil
}

// wholeRun reports whether every test was run: only then is what is missing
// missing.
func wholeRun() bool {
	for _, name := range []string{"test.run", "test.skip", "test.list"} {
		if f := flag.Lookup(name); f != nil && f.Value.String() != "" {
			return false
		}
	}
	return !someSkipped.Load()
}

// excused are the texts that no journey shows, each with its reason.
var excused = map[string]string{
	"consent.scope.other": "for scopes that a realm invents; the demo's have none",
	"freeze_done.contact": "for a realm without a telephone number, whose letters nobody in these tests reads",
	"recoveryhelp.ask":    "the same",
	"error.busy.action":   "no page that is busy says where to go",
}
