package templates_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/template/parse"

	"github.com/portico-id/portico/internal/locale"
	"github.com/portico-id/portico/templates"
)

// The same in both languages, and rightly so.
var sameInBoth = []string{"layout.title_error"}

func catalog(t *testing.T) *locale.Catalog {
	t.Helper()
	cat, err := locale.Load(templates.FS)
	if err != nil {
		t.Fatal(err)
	}
	return cat
}

func TestLanguagesSayTheSame(t *testing.T) {
	cat := catalog(t)
	en := cat.Keys("en")
	for _, lang := range cat.Languages() {
		for _, key := range cat.Keys(lang) {
			if _, ok := cat.Message("en", key); !ok {
				t.Errorf("%s: %s is not in English", lang, key)
			}
		}
		for _, key := range en {
			said, ok := cat.Message(lang, key)
			if !ok {
				t.Errorf("%s: %s is missing", lang, key)
				continue
			}
			english, _ := cat.Message("en", key)
			if !slices.Equal(locale.Placeholders(english), locale.Placeholders(said)) {
				t.Errorf("%s: %s has other placeholders than English: %q", lang, key, said)
			}
			if lang != "en" && said == english && !slices.Contains(sameInBoth, key) && !onlyPlaceholders(said) {
				t.Errorf("%s: %s is not translated: %q", lang, key, said)
			}
			checkSentence(t, lang, key, said)
		}
	}
}

func onlyPlaceholders(s string) bool {
	return !regexp.MustCompile(`\pL`).MatchString(regexp.MustCompile(`\{[a-z0-9_]+\}`).ReplaceAllString(s, ""))
}

var keyPattern = regexp.MustCompile(`^[a-z][a-z0-9_]*(\.[a-z0-9_]+)+$`)

func checkSentence(t *testing.T, lang, key, said string) {
	t.Helper()
	if !keyPattern.MatchString(key) {
		t.Errorf("key %q is not page.element in lower snake case", key)
	}
	if said == "" || strings.TrimSpace(said) != said || strings.ContainsAny(said, "<>&\t\n") {
		t.Errorf("%s: %s: empty, with markup or with white space around: %q", lang, key, said)
	}
	if plural, ok := strings.CutSuffix(key, ".one"); ok {
		if _, ok := catalog(t).Message(lang, plural+".other"); !ok {
			t.Errorf("%s: %s has no .other", lang, key)
		}
	}
	if lang == "es" {
		for _, pair := range []string{"¿?", "¡!"} {
			marks := []rune(pair)
			if strings.Count(said, string(marks[0])) != strings.Count(said, string(marks[1])) {
				t.Errorf("es: %s: %s without its other half: %q", key, pair, said)
			}
		}
	}
	if strings.Contains(strings.ToLower(said), "please") || strings.Contains(strings.ToLower(said), "por favor") {
		t.Errorf("%s: %s: say what to do, without please: %q", lang, key, said)
	}
}

// uses is where sentences are asked for.
type uses struct {
	certain  map[string]string // key → place: must exist
	literals map[string]bool   // any string that may be a key, or the beginning of one
}

func TestEverySentenceIsThereAndUsed(t *testing.T) {
	cat := catalog(t)
	found := uses{map[string]string{}, map[string]bool{}}
	scanTemplates(t, &found)
	scanGo(t, &found)
	for key, place := range found.certain {
		if !cat.Has(key) {
			t.Errorf("%s: the sentence %q is in no locale", place, key)
		}
	}
	for _, key := range cat.Keys("en") {
		if !found.used(key) {
			t.Errorf("%s is used nowhere", key)
		}
	}
}

// used: the key stands in full, without its last word where code adds that, or
// begins with a literal that ends in a dot ("question." + name).
func (u uses) used(key string) bool {
	if u.literals[key] {
		return true
	}
	for _, last := range []string{".one", ".other", ".title", ".text", ".action"} {
		if stem, ok := strings.CutSuffix(key, last); ok && u.literals[stem] {
			return true
		}
	}
	for i, r := range key {
		if r == '.' && u.literals[key[:i+1]] {
			return true
		}
	}
	return false
}

func (u uses) literal(s string) {
	s, _, _ = strings.Cut(s, "%") // printf "question.%s"
	u.literals[s] = true
}

func scanTemplates(t *testing.T, u *uses) {
	t.Helper()
	err := fs.WalkDir(templates.FS, ".", func(name string, entry fs.DirEntry, err error) error {
		if ext := filepath.Ext(name); err != nil || entry.IsDir() || ext != ".html" && ext != ".txt" || strings.HasPrefix(name, "static/") {
			return err
		}
		text, err := fs.ReadFile(templates.FS, name)
		if err != nil {
			return err
		}
		tree := parse.New(name)
		tree.Mode = parse.SkipFuncCheck
		trees := map[string]*parse.Tree{}
		if _, err := tree.Parse(string(text), "", "", trees); err != nil {
			t.Errorf("%s: %v", name, err)
			return nil
		}
		for _, each := range trees {
			if each.Root != nil {
				scanNode(each.Root, name, u)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func scanNode(node parse.Node, place string, u *uses) {
	branch := func(n *parse.BranchNode) {
		scanNode(n.Pipe, place, u)
		scanNode(n.List, place, u)
		scanNode(n.ElseList, place, u)
	}
	switch n := node.(type) {
	case *parse.ListNode:
		if n != nil {
			for _, each := range n.Nodes {
				scanNode(each, place, u)
			}
		}
	case *parse.PipeNode:
		if n != nil {
			for _, command := range n.Cmds {
				scanNode(command, place, u)
			}
		}
	case *parse.CommandNode:
		if name, ok := n.Args[0].(*parse.IdentifierNode); ok && (name.Ident == "t" || name.Ident == "tb") && len(n.Args) > 1 {
			if key, ok := n.Args[1].(*parse.StringNode); ok {
				u.certain[key.Text] = place
			}
		}
		for _, arg := range n.Args {
			scanNode(arg, place, u)
		}
	case *parse.StringNode:
		u.literal(n.Text)
	case *parse.ActionNode:
		scanNode(n.Pipe, place, u)
	case *parse.ChainNode:
		scanNode(n.Node, place, u)
	case *parse.TemplateNode:
		scanNode(n.Pipe, place, u)
	case *parse.IfNode:
		branch(&n.BranchNode)
	case *parse.RangeNode:
		branch(&n.BranchNode)
	case *parse.WithNode:
		branch(&n.BranchNode)
	}
}

// scanGo reads the code: every string literal may be a key, and those that are
// given to Form.Add, Catalog.T and web.Error must be.
func scanGo(t *testing.T, u *uses) {
	t.Helper()
	for _, root := range []string{"../internal", "../config", "../cmd"} {
		err := filepath.WalkDir(root, func(name string, entry os.DirEntry, err error) error {
			switch {
			case os.IsNotExist(err):
				return nil
			case err != nil:
				return err
			case entry.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
				return nil
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
			if err != nil {
				t.Logf("%s: %v", name, err)
				return nil
			}
			ast.Inspect(file, func(n ast.Node) bool { inspect(n, name, u); return true })
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func inspect(n ast.Node, place string, u *uses) {
	switch n := n.(type) {
	case *ast.BasicLit:
		if s, ok := stringOf(n); ok {
			u.literal(s)
		}
	case *ast.CallExpr:
		method, ok := n.Fun.(*ast.SelectorExpr)
		if !ok || len(n.Args) < 2 || method.Sel.Name != "Add" && method.Sel.Name != "T" {
			return
		}
		// Header.Add and Query.Add have values without a dotted key.
		if key, ok := stringOf(n.Args[1]); ok && keyPattern.MatchString(key) {
			u.certain[key] = place
		}
	case *ast.CompositeLit:
		if !isWebError(n.Type, place) {
			return
		}
		for _, element := range n.Elts {
			pair, ok := element.(*ast.KeyValueExpr)
			if !ok {
				continue
			}
			field, _ := pair.Key.(*ast.Ident)
			if key, ok := stringOf(pair.Value); ok && field != nil && field.Name == "Key" {
				u.certain[key+".title"], u.certain[key+".text"] = place, place
			}
		}
	}
}

func isWebError(kind ast.Expr, place string) bool {
	switch kind := kind.(type) {
	case *ast.SelectorExpr:
		from, ok := kind.X.(*ast.Ident)
		return ok && from.Name == "web" && kind.Sel.Name == "Error"
	case *ast.Ident:
		return kind.Name == "Error" && strings.HasPrefix(place, "../internal/web/")
	}
	return false
}

func stringOf(e ast.Expr) (string, bool) {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	s, err := strconv.Unquote(lit.Value)
	return s, err == nil
}

func TestStylesheetIsSmall(t *testing.T) {
	css, err := fs.ReadFile(templates.FS, "static/portico.css")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(css), "url(") || strings.Contains(string(css), "@import") {
		t.Error("the stylesheet loads something: the policy of the pages forbids it")
	}
}

// What every page has in common is checked on the page's source too, so that a
// state no test renders is not forgotten.
func TestPageSourcesKeepTheHouseRules(t *testing.T) {
	files, err := fs.Glob(templates.FS, "pages/*/*.html")
	if err != nil || len(files) == 0 {
		t.Fatalf("no pages: %v", err)
	}
	form := regexp.MustCompile(`(?s)<form\b([^>]*)>(.*?)</form>`)
	inline := regexp.MustCompile(`\s(style|on[a-z]+|placeholder|required|autofocus)(=|\s|>)`)
	for _, name := range files {
		text, err := fs.ReadFile(templates.FS, name)
		if err != nil {
			t.Fatal(err)
		}
		for _, each := range form.FindAllStringSubmatch(string(text), -1) {
			abroad := strings.Contains(each[1], "{{.Action}}") // to a portal, which must not know our token
			if strings.Contains(each[1], `method="post"`) && (!strings.Contains(each[1], "novalidate") || strings.Contains(each[2], "{{csrf}}") == abroad) {
				t.Errorf("%s: a form without novalidate or {{csrf}}", name)
			}
		}
		for _, tag := range regexp.MustCompile(`<[a-z][^>]*>`).FindAllString(string(text), -1) {
			if inline.MatchString(tag) {
				t.Errorf("%s: %s", name, tag)
			}
		}
		for _, never := range []string{"<h1", "<main", "<script", "<style", "safeHTML"} {
			// A page may bring a script of its own, never one written into it.
			if strings.Contains(strings.ReplaceAll(string(text), `<script src="{{asset "`, ""), never) {
				t.Errorf("%s: %s is the layout's", name, never)
			}
		}
	}
}
