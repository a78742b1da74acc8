package web

import (
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"slices"
	"strings"
	"text/template/parse"
)

// Overlay is base with the files of override in place of its own. A nil
// override is base.
func Overlay(base, override fs.FS) fs.FS {
	if override == nil {
		return base
	}
	return overlay{base, override}
}

type overlay struct{ base, over fs.FS }

func (o overlay) Open(name string) (fs.File, error) {
	file, err := o.over.Open(name)
	if err != nil {
		return o.base.Open(name)
	}
	if info, err := file.Stat(); err == nil && info.IsDir() {
		file.Close()
		return o.base.Open(name)
	}
	return file, nil
}

// ReadDir lists the files of both.
func (o overlay) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(o.base, name)
	more, overErr := fs.ReadDir(o.over, name)
	if err != nil && overErr != nil {
		return nil, err
	}
	for _, entry := range more {
		if !slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == entry.Name() }) {
			entries = append(entries, entry)
		}
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, nil
}

// checkOverride refuses a replacement of nothing: a misspelt file name would
// silently leave the page as it was.
func checkOverride(base, override fs.FS) error {
	if override == nil {
		return nil
	}
	return fs.WalkDir(override, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return fmt.Errorf("read the template overrides: %w", err)
		case name != "." && strings.HasPrefix(entry.Name(), "."):
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		case entry.IsDir() || strings.HasPrefix(name, "static/") || strings.HasPrefix(name, "locales/"):
			return nil
		}
		if _, err := fs.Stat(base, name); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("template override %s replaces nothing: there is no such template", name)
		}
		return nil
	})
}

// Keys lists the locale keys that templates name literally, each once.
func Keys(tmpl *template.Template) []string { return literals(tmpl, "t", "tb") }

// literals lists the literal first arguments of some functions.
func literals(tmpl *template.Template, functions ...string) []string {
	w := walker{functions: functions}
	for _, each := range tmpl.Templates() {
		if each.Tree != nil && each.Tree.Root != nil {
			w.walk(each.Tree.Root)
		}
	}
	slices.Sort(w.found)
	return slices.Compact(w.found)
}

type walker struct{ functions, found []string }

func (w *walker) walk(node parse.Node) {
	switch n := node.(type) {
	case *parse.ListNode:
		if n != nil {
			for _, each := range n.Nodes {
				w.walk(each)
			}
		}
	case *parse.ActionNode:
		w.walk(n.Pipe)
	case *parse.PipeNode:
		if n != nil {
			for _, command := range n.Cmds {
				w.walk(command)
			}
		}
	case *parse.CommandNode:
		if name, ok := n.Args[0].(*parse.IdentifierNode); ok && len(n.Args) > 1 && contains(w.functions, name.Ident) {
			if key, ok := n.Args[1].(*parse.StringNode); ok {
				w.found = append(w.found, key.Text)
			}
		}
		for _, arg := range n.Args {
			w.walk(arg)
		}
	case *parse.ChainNode:
		w.walk(n.Node)
	case *parse.IfNode:
		w.branch(&n.BranchNode)
	case *parse.RangeNode:
		w.branch(&n.BranchNode)
	case *parse.WithNode:
		w.branch(&n.BranchNode)
	case *parse.TemplateNode:
		w.walk(n.Pipe)
	}
}

func (w *walker) branch(n *parse.BranchNode) {
	w.walk(n.Pipe)
	w.walk(n.List)
	w.walk(n.ElseList)
}
