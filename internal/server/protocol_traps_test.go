package server_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The table of docs/protocol.md says what implementations fall into and which
// tests hold it here. Each trap stands there once, with tests that there are.
func TestEveryTrapNamesItsTests(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(text), "\n|---|---|---|\n")
	if !ok {
		t.Fatal("no table")
	}
	row := regexp.MustCompile(`^\| ([^|]{10,200}) \| ([^|]{10,200}) \| ([^|]+) \|$`)
	known, seen := map[string][]string{}, map[string]bool{}
	for line := range strings.Lines(table) {
		if strings.TrimSpace(line) == "" {
			break
		}
		m := row.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			t.Errorf("no trap, what it does, and its tests: %s", line)
			continue
		}
		if seen[m[1]] {
			t.Errorf("twice: %s", m[1])
		}
		seen[m[1]] = true
		for part := range strings.SplitSeq(m[3], "; ") {
			room, names, ok := strings.Cut(part, ": ")
			dir := roomDir(room)
			if !ok || dir == "" {
				t.Errorf("%s: %q is no package with tests", m[1], part)
				continue
			}
			if known[dir] == nil {
				known[dir] = testsIn(t, dir)
			}
			for name := range strings.SplitSeq(names, ", ") {
				if !slices.Contains(known[dir], name) {
					t.Errorf("%s: there is no %s in %s", m[1], name, room)
				}
			}
		}
	}
	if len(seen) < 60 {
		t.Errorf("only %d traps", len(seen))
	}
}
