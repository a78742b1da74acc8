package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// reader walks the parsed file and collects what is wrong with it. Decoding
// into structs would stop at the first mistake; walking finds them all.
type reader struct {
	file     string
	env      func(string) (string, bool)
	look     bool // whether files that the text names are looked at
	problems Problems
	warnings Problems
}

// mark is a place in the file.
type mark struct {
	r            *reader
	path         string
	line, column int
}

func (m mark) bad(what, mend string) {
	m.r.problems = append(m.r.problems, Problem{m.r.file, m.line, m.column, m.path, what, mend})
}

func (m mark) warn(what, mend string) {
	m.r.warnings = append(m.r.warnings, Problem{m.r.file, m.line, m.column, m.path, what, mend})
}

func (m mark) at(node ast.Node, path string) mark {
	// A mapping's own token is the colon after its first key.
	if mapping, ok := node.(*ast.MappingNode); ok && len(mapping.Values) > 0 {
		node = mapping.Values[0].Key
	}
	if t := node.GetToken(); t != nil && t.Position != nil {
		m.line, m.column = t.Position.Line, t.Position.Column
	}
	m.path = path
	return m
}

// field is a value with its place. The place of an absent key is that of the
// section it is missing from.
type field[T any] struct {
	mark
	v   T
	set bool
}

// section is a mapping of the file, or one that is absent and thus empty.
type section struct {
	mark
	entries map[string]entry
	known   []string
	present bool
}

type entry struct {
	mark
	node ast.Node
}

func newSection(m mark, node ast.Node) *section {
	s := &section{mark: m, entries: map[string]entry{}}
	switch n := node.(type) {
	case nil, *ast.NullNode:
	case *ast.MappingNode:
		s.present = true
		for _, v := range n.Values {
			key := v.Key.GetToken().Value
			place := m.at(v.Key, join(m.path, key))
			if _, twice := s.entries[key]; twice {
				place.bad("this key stands here twice", "keep one of the two")
				continue
			}
			s.entries[key] = entry{place, v.Value}
		}
	default:
		m.at(node, m.path).bad("keys with values were expected here, found "+kind(node), "write “key: value” lines, indented")
	}
	return s
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// kind names a node in words an operator knows.
func kind(node ast.Node) string {
	switch node.(type) {
	case *ast.MappingNode:
		return "keys with values"
	case *ast.SequenceNode:
		return "a list"
	case *ast.IntegerNode, *ast.FloatNode:
		return "a number"
	case *ast.BoolNode:
		return "true or false"
	case *ast.StringNode, *ast.LiteralNode:
		return "text"
	case *ast.AnchorNode, *ast.AliasNode, *ast.MergeKeyNode:
		return "an anchor or alias, which this file does not use"
	case *ast.TagNode:
		return "a tag, which this file does not use"
	}
	return "something else"
}

// take finds an entry and remembers that its key is one we know.
func (s *section) take(key string) (entry, bool) {
	s.known = append(s.known, key)
	e, ok := s.entries[key]
	if ok {
		if _, null := e.node.(*ast.NullNode); null || e.node == nil {
			return e, false
		}
	}
	return e, ok
}

// doneLanguages is done for a section whose keys are the realm's languages.
func (s *section) doneLanguages() {
	for key, e := range s.entries {
		if !slices.Contains(s.known, key) {
			e.bad("the realm does not speak this language", "add "+key+" to its locales, or remove these lines")
		}
	}
}

// done reports the keys nobody asked for.
func (s *section) done() {
	for key, e := range s.entries {
		if slices.Contains(s.known, key) {
			continue
		}
		mend := "remove it; known here: " + strings.Join(s.known, ", ")
		if guess := closest(key, s.known); guess != "" {
			mend = "write " + guess
		}
		e.bad("unknown key", mend)
	}
}

// sub is the section under a key; done is the caller's to call.
func (s *section) sub(key string) *section {
	e, ok := s.take(key)
	if !ok {
		m := s.mark
		m.path = join(s.path, key)
		return newSection(m, nil)
	}
	return newSection(e.mark, e.node)
}

// subs is a list of sections.
func (s *section) subs(key string) []*section {
	var list []*section
	for _, e := range s.list(key) {
		list = append(list, newSection(e.mark, e.node))
	}
	return list
}

func (s *section) list(key string) []entry {
	e, ok := s.take(key)
	if !ok {
		return nil
	}
	seq, ok := e.node.(*ast.SequenceNode)
	if !ok {
		e.at(e.node, e.path).bad("a list was expected here, found "+kind(e.node), "write one “- item” per line, or [a, b]")
		return nil
	}
	items := make([]entry, 0, len(seq.Values))
	for i, v := range seq.Values {
		if text, ok := glued(v); ok {
			v = &ast.StringNode{BaseNode: &ast.BaseNode{}, Token: firstToken(v), Value: text}
		}
		items = append(items, entry{e.at(v, fmt.Sprintf("%s[%d]", e.path, i)), v})
	}
	return items
}

// glued is the text of an item such as env:NAME or https://example.test. In a
// list inside of braces the parser takes it for a key with a value; YAML 1.2
// (§7.3.3) does not, as long as no space follows the colon.
func glued(node ast.Node) (string, bool) {
	if m, ok := node.(*ast.MappingNode); ok && len(m.Values) == 1 && !strings.HasPrefix(m.Start.Value, "{") {
		node = m.Values[0]
	}
	pair, ok := node.(*ast.MappingValueNode)
	if !ok {
		return "", false
	}
	first, colon, next := pair.Key.GetToken(), pair.Start, firstToken(pair.Value)
	if _, isText := pair.Key.(*ast.StringNode); !isText || first == nil || colon == nil || next == nil ||
		next.Position.Line != colon.Position.Line || next.Position.Offset != colon.Position.Offset+1 {
		return "", false
	}
	rest, ok := glued(pair.Value)
	if !ok {
		if rest = next.Value; pair.Value.GetToken() != next {
			return "", false
		}
	}
	return first.Value + ":" + rest, true
}

// firstToken is where a node begins; that of a mapping is its first key.
func firstToken(node ast.Node) *token.Token {
	switch n := node.(type) {
	case *ast.MappingNode:
		if len(n.Values) == 1 {
			return n.Values[0].Key.GetToken()
		}
	case *ast.MappingValueNode:
		return n.Key.GetToken()
	}
	return node.GetToken()
}

// scalar is the text of a single value, from the environment if it says so.
// plain tells whether it was written as text rather than as a number or truth.
func (e entry) scalar() (text string, plain, ok bool) {
	plain = true
	switch n := e.node.(type) {
	case *ast.StringNode:
		text = n.Value
	case *ast.LiteralNode:
		text = n.Value.Value
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		text, plain = n.GetToken().Value, false
	default:
		e.bad("a single value was expected here, found "+kind(e.node), "write one value after the colon")
		return "", false, false
	}
	if name, fromEnv := strings.CutPrefix(text, "env:"); fromEnv {
		value, found := e.r.env(name)
		if !found || value == "" {
			e.bad("the environment variable "+name+" is not set", "set it before starting; new secrets are made by: idp secrets")
			return "", true, false
		}
		return value, true, true
	}
	return text, plain, true
}

func (e entry) text() (field[string], bool) {
	text, plain, ok := e.scalar()
	if ok && !plain {
		e.bad("text was expected here, found "+kind(e.node), "put it in quotes")
		return field[string]{mark: e.mark}, false
	}
	return field[string]{e.mark, text, ok}, ok
}

func absent[T any](s *section, key string, def T) field[T] {
	m := s.mark
	m.path = join(s.path, key)
	return field[T]{m, def, false}
}

// text reads an optional text.
func (s *section) text(key, def string) field[string] {
	e, ok := s.take(key)
	if !ok {
		return absent(s, key, def)
	}
	f, ok := e.text()
	if !ok {
		f.v = def
	}
	return f
}

// need reads a text that has to be there.
func (s *section) need(key, mend string) field[string] {
	f := s.text(key, "")
	if _, there := s.entries[key]; !there || f.set && strings.TrimSpace(f.v) == "" {
		f.bad("this is missing", mend)
		f.set = false
	}
	return f
}

// choice reads one of a few words.
func (s *section) choice(key, def string, options ...string) string {
	f := s.text(key, def)
	if f.set && !slices.Contains(options, f.v) {
		f.bad(fmt.Sprintf("%q is not possible here", f.v), "write one of: "+strings.Join(options, ", "))
		return def
	}
	return f.v
}

// texts reads a list of texts.
func (s *section) texts(key string) []field[string] {
	var list []field[string]
	for _, e := range s.list(key) {
		if f, ok := e.text(); ok {
			list = append(list, f)
		}
	}
	return list
}

// number reads a whole number between two bounds.
func (s *section) number(key string, def, low, high int) int {
	e, ok := s.take(key)
	if !ok {
		return def
	}
	text, _, ok := e.scalar()
	if !ok {
		return def
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < low || n > high {
		e.bad(fmt.Sprintf("%q is not possible here", text), fmt.Sprintf("write a whole number from %d to %d", low, high))
		return def
	}
	return n
}

// flag reads true or false.
func (s *section) flag(key string, def bool) field[bool] {
	e, ok := s.take(key)
	if !ok {
		return absent(s, key, def)
	}
	text, _, ok := e.scalar()
	if !ok {
		return field[bool]{e.mark, def, false}
	}
	switch text {
	case "true":
		return field[bool]{e.mark, true, true}
	case "false":
		return field[bool]{e.mark, false, true}
	}
	e.bad(fmt.Sprintf("%q is not possible here", text), "write true or false")
	return field[bool]{e.mark, def, false}
}

// duration reads a length of time between two bounds.
func (s *section) duration(key string, def, low, high time.Duration) time.Duration {
	e, ok := s.take(key)
	if !ok {
		return def
	}
	text, _, ok := e.scalar()
	if !ok {
		return def
	}
	d, err := parseDuration(text)
	if err != nil || d < low || d > high {
		e.bad(fmt.Sprintf("%q is not possible here", text),
			fmt.Sprintf("write a time from %s to %s, such as 90s, 15m, 12h or 7d", showDuration(low), showDuration(high)))
		return def
	}
	return d
}

const day = 24 * time.Hour

// parseDuration is time.ParseDuration with days ("7d").
func parseDuration(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.Atoi(days)
		if err != nil || n < 0 || n > 36500 {
			return 0, fmt.Errorf("%q is no number of days", days)
		}
		return time.Duration(n) * day, nil
	}
	return time.ParseDuration(s)
}

func showDuration(d time.Duration) string {
	switch {
	case d >= 3*day && d%day == 0:
		return fmt.Sprintf("%dd", d/day)
	case d >= time.Hour && d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d >= time.Minute && d%time.Minute == 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return d.String()
}
