package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that has to be mended in a configuration file.
type Problem struct {
	File         string
	Line, Column int    // 1-based; 0: the file as a whole
	Path         string // such as realms[0].clients[1].redirect_uris[0]
	What         string // what is wrong
	Mend         string // what to write instead
}

// String is the problem on one line, in the form editors can jump to.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
	}
	if p.Path != "" {
		b.WriteString(": " + p.Path)
	}
	b.WriteString(": " + p.What)
	if p.Mend != "" {
		b.WriteString("; " + p.Mend)
	}
	return b.String()
}

// Problems is every problem of a file, from top to bottom. It is the error
// that Parse and Load return.
type Problems []Problem

// Error lists the problems, one per line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

func (ps Problems) sort() {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}

// closest finds the known word that an unknown one was probably meant to be.
func closest(word string, known []string) string {
	best, distance := "", 3
	for _, k := range known {
		if d := levenshtein(word, k); d < distance {
			best, distance = k, d
		}
	}
	return best
}

func levenshtein(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		last := row[0]
		row[0]++
		for j := range len(b) {
			cost := last
			if a[i] != b[j] {
				cost++
			}
			last = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
