package password

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	_ "embed"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

//go:embed blocklist/common.txt.gz
var commonList []byte

// common is the built-in list, unpacked once for the whole program.
var common = sync.OnceValues(func() ([]uint64, error) { return readList(bytes.NewReader(commonList)) })

// Blocklist knows passwords that are easy to guess: a built-in list of more
// than 170,000 breached passwords, dictionary words and names, lists and
// filters of the operator's, and simple patterns. It holds hashes, in about
// 1.5 MiB and what the operator adds, needs no network, and is safe for
// concurrent use.
type Blocklist struct {
	lists   [][]uint64
	filters []*filter
}

// NewBlocklist reads the built-in list and any further ones: plain or gzipped
// text, one password per line, or a filter that BuildFilter made.
func NewBlocklist(extra ...io.Reader) (*Blocklist, error) {
	builtIn, err := common()
	if err != nil {
		return nil, fmt.Errorf("read the built-in blocklist: %w", err)
	}
	b := &Blocklist{lists: [][]uint64{builtIn}}
	for i, r := range extra {
		if err := b.add(r); err != nil {
			return nil, fmt.Errorf("read blocklist %d: %w", i+1, err)
		}
	}
	return b, nil
}

func (b *Blocklist) add(r io.Reader) error {
	buffered := bufio.NewReader(r)
	if isFilter(buffered) {
		f, err := readFilter(buffered, sizeOf(r))
		if err != nil {
			return err
		}
		b.filters = append(b.filters, f)
		return nil
	}
	list, err := readList(buffered)
	if err != nil {
		return err
	}
	b.lists = append(b.lists, list)
	return nil
}

// Len is the number of entries, all lists together.
func (b *Blocklist) Len() int {
	n := 0
	for _, l := range b.lists {
		n += len(l)
	}
	for _, f := range b.filters {
		n += int(f.keys)
	}
	return n
}

// minEntry is the shortest entry that is kept: shorter ones match nothing that
// may be a password.
const minEntry = 4

var errHashes = errors.New("hashes, not passwords: make a filter of them with `idp blocklist build`")

func readList(r io.Reader) ([]uint64, error) {
	buffered := bufio.NewReader(r)
	if magic, _ := buffered.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		unpacked, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, err
		}
		defer unpacked.Close()
		buffered = bufio.NewReader(unpacked)
	}
	// As text, hashes would be read without complaint, and match nothing.
	if head, _ := buffered.Peek(256); guessFormat(head) != "" {
		return nil, errHashes
	}
	var list []uint64
	lines := bufio.NewScanner(buffered)
	for lines.Scan() {
		if entry := foldPlain(strings.TrimSuffix(lines.Text(), "\r")); utf8.RuneCountInString(entry) >= minEntry {
			list = append(list, hash64(entry))
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}

// foldPlain is fold with a short cut: nearly all of the list is plain ASCII.
func foldPlain(s string) string {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return fold(s)
		}
	}
	return strings.ToLower(s)
}

func hash64(s string) uint64 {
	h := fnv.New64a()
	_, _ = io.WriteString(h, s)
	return h.Sum64()
}

func (b *Blocklist) has(folded string) bool {
	h := hash64(folded)
	for _, l := range b.lists {
		if _, ok := slices.BinarySearch(l, h); ok {
			return true
		}
	}
	return false
}

// breached looks a whole password up in the filters, as typed and folded.
func (b *Blocklist) breached(normal, folded string) bool {
	for _, f := range b.filters {
		if f.has(normal) || folded != normal && f.has(folded) {
			return true
		}
	}
	return false
}

// guessable compares the whole password, never a part of it: "purple monkey
// dishwasher" is made of three listed words and is a good password. What falls
// is the listed password itself, also spelt with other case, accents, digits
// for letters or separators; a repetition; a walk along the alphabet or the
// keyboard; one of these with a little decoration around it; and the person's
// or the place's own words with little else.
func (b *Blocklist) guessable(normal string, contextWords []string) bool {
	folded := foldPlain(normal)
	if b.weak(folded) || b.decorated(folded) || b.breached(normal, folded) {
		return true
	}
	squeezed := keep(folded, isWordRune)
	if squeezed != folded && (b.weak(squeezed) || b.decorated(squeezed)) {
		return true
	}
	return b.contextual(squeezed, contextWords)
}

// weak: listed, repeated or a walk.
func (b *Blocklist) weak(s string) bool {
	return b.has(s) || b.has(unleet(s)) || repetition(s) || walk(s)
}

// shortRest is how little is "little decoration" and "little else".
const (
	shortDecoration = 4
	shortRest       = 8
)

// decorated: weak letters between digits and signs that add nothing.
func (b *Blocklist) decorated(s string) bool {
	core := strings.TrimFunc(s, func(r rune) bool { return !unicode.IsLetter(r) })
	if core == "" || core == s || utf8.RuneCountInString(core) < minEntry || !b.weak(core) {
		return false
	}
	at := strings.Index(s, core)
	for _, side := range []string{s[:at], s[at+len(core):]} {
		if utf8.RuneCountInString(side) > shortDecoration && !b.weak(side) && !b.weak(keep(side, isWordRune)) {
			return false
		}
	}
	return true
}

// contextual: take the known words out and see whether anything is left.
func (b *Blocklist) contextual(squeezed string, contextWords []string) bool {
	var words []string
	for _, w := range contextWords {
		w = foldPlain(w)
		parts := strings.FieldsFunc(w, func(r rune) bool { return !isWordRune(r) })
		for _, part := range append(parts, keep(w, isWordRune)) {
			if utf8.RuneCountInString(part) >= minEntry {
				words = append(words, part)
			}
		}
	}
	slices.SortFunc(words, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	rest := squeezed
	for _, w := range words {
		rest = strings.ReplaceAll(rest, w, "")
	}
	if rest == squeezed {
		return false
	}
	return utf8.RuneCountInString(rest) < shortRest || b.weak(rest) || b.decorated(rest)
}

func isWordRune(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

func keep(s string, want func(rune) bool) string {
	return strings.Map(func(r rune) rune {
		if want(r) {
			return r
		}
		return -1
	}, s)
}

var leet = strings.NewReplacer("@", "a", "4", "a", "3", "e", "1", "i", "!", "i", "0", "o", "$", "s", "5", "s", "7", "t")

func unleet(s string) string { return leet.Replace(s) }

// repetition: "abcabcabcab" is "abc" over and over.
func repetition(s string) bool {
	runes := []rune(s)
	for unit := 1; unit <= len(runes)/2; unit++ {
		same := true
		for i := unit; i < len(runes) && same; i++ {
			same = runes[i] == runes[i-unit]
		}
		if same {
			return true
		}
	}
	return false
}

// rows are what fingers and minds walk along.
var rows = []string{"abcdefghijklmnopqrstuvwxyz", "01234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm", "qwertzuiop", "azertyuiop"}

// steps holds every pair of neighbours in a row, both ways.
var steps = func() map[[2]rune]bool {
	m := map[[2]rune]bool{}
	for _, row := range rows {
		runes := []rune(row)
		for i := 1; i < len(runes); i++ {
			m[[2]rune{runes[i-1], runes[i]}] = true
			m[[2]rune{runes[i], runes[i-1]}] = true
		}
	}
	return m
}()

// walk: the whole string is made of runs of three or more characters, each the
// neighbour of the one before, or the same one.
func walk(s string) bool {
	runes := []rune(s)
	if len(runes) < minEntry {
		return false
	}
	run := 1
	for i := 1; i <= len(runes); i++ {
		if i < len(runes) && (runes[i] == runes[i-1] || steps[[2]rune{runes[i-1], runes[i]}]) {
			run++
			continue
		}
		if run < 3 {
			return false
		}
		run = 1
	}
	return true
}
