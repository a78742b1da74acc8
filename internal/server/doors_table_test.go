package server_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The table of docs/security.md: what is promised, by number, and what holds it.
const (
	requirements = 76
	deviations   = 3
)

type requirement struct{ number, says, heldBy string }

func securityTable(t *testing.T) []requirement {
	t.Helper()
	text, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile(`^\| (D?[0-9]+) \| (.+) \| (.+) \|$`)
	var table []requirement
	for line := range strings.Lines(string(text)) {
		if m := row.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
			table = append(table, requirement{m[1], m[2], m[3]})
		}
	}
	return table
}

// testsIn lists the tests, benchmarks and fuzz targets of a folder.
func testsIn(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Recv != nil || fn.Type.Params.NumFields() != 1 {
				continue
			}
			star, ok := fn.Type.Params.List[0].Type.(*ast.StarExpr)
			if !ok {
				continue
			}
			of, ok := star.X.(*ast.SelectorExpr)
			if !ok {
				continue
			}
			prefix := map[string]string{"T": "Test", "B": "Benchmark", "F": "Fuzz"}[of.Sel.Name]
			if prefix != "" && strings.HasPrefix(fn.Name.Name, prefix) {
				names = append(names, fn.Name.Name)
			}
		}
	}
	return names
}

// roomDir is the folder of a package as the table names it.
func roomDir(name string) string {
	for _, dir := range []string{"../../internal/" + name, "../../" + name} {
		if found, err := os.Stat(dir); err == nil && found.IsDir() {
			return dir
		}
	}
	return ""
}

// Every requirement stands in the table once, in order, and names tests that
// there are.
func TestEveryRequirementNamesItsTests(t *testing.T) {
	t.Parallel()
	table := securityTable(t)
	var want, got []string
	for n := range deviations {
		want = append(want, fmt.Sprintf("D%d", n+1))
	}
	for n := range requirements {
		want = append(want, strconv.Itoa(n+1))
	}
	known := map[string][]string{}
	for _, r := range table {
		got = append(got, r.number)
		if len(r.says) < 20 || len(r.says) > 220 {
			t.Errorf("%s says %d characters: %s", r.number, len(r.says), r.says)
		}
		held := 0
		for _, part := range strings.Split(r.heldBy, "; ") {
			room, names, ok := strings.Cut(part, ": ")
			dir := roomDir(room)
			if !ok || dir == "" {
				t.Errorf("%s: %q is no package with tests", r.number, part)
				continue
			}
			if known[dir] == nil {
				known[dir] = testsIn(t, dir)
			}
			for _, name := range strings.Split(names, ", ") {
				if !slices.Contains(known[dir], name) {
					t.Errorf("%s: there is no %s in %s", r.number, name, room)
					continue
				}
				held++
			}
		}
		if held == 0 {
			t.Errorf("nothing holds %s", r.number)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the table has\n%v\nwant\n%v", got, want)
	}
}

func moduleVersion(t *testing.T, module string) string {
	t.Helper()
	list := exec.Command("go", "list", "-m", "-f", "{{.Version}}", module)
	list.Dir = "../.."
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list -m %s: %v", module, err)
	}
	return strings.TrimSpace(string(out))
}

func atLeast(t *testing.T, version string, least [3]int) bool {
	t.Helper()
	parts := strings.Split(strings.TrimPrefix(version, "v"), ".")
	for i := range least {
		n, err := strconv.Atoi(parts[i])
		if err != nil {
			t.Fatalf("version %q: %v", version, err)
		}
		if n != least[i] {
			return n > least[i]
		}
	}
	return true
}
