package config_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portico-id/portico/config"
	"github.com/portico-id/portico/internal/realm"
)

// loadExample takes the environment from the example's own comment.
func loadExample(t *testing.T, name string) (c *config.Config, env map[string]string) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	env = map[string]string{}
	for i, m := range regexp.MustCompile(`(?m)^#   export (\w+)=(.+)$`).FindAllStringSubmatch(string(text), -1) {
		if env[m[1]] = m[2]; strings.HasPrefix(m[2], "$(openssl") {
			env[m[1]] = random(byte(i))
		}
	}
	from := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	if c, err = config.Load(name, from); err != nil {
		t.Fatal(err)
	}
	return c, env
}

func TestTheExampleIsValid(t *testing.T) {
	c, env := loadExample(t, "idp.example.yaml")
	from := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	if len(c.Warnings) != 0 {
		t.Error(c.Warnings)
	}
	if len(c.Realms()) != 2 || c.Realms()[0].Name != "patient" || c.Realms()[1].Name != "practice" {
		t.Error(c.Realms())
	}
	practice, _ := c.Set().ByName("practice")
	portal, _ := practice.Client("practice-portal")
	if practice.OAuth.ScopeAudiences[realm.ScopeAdminRead] != "https://id.example.test/admin/v1" || !portal.AllowsAudience("https://id.example.test/admin/v1") {
		t.Errorf("%+v %+v", practice.OAuth, portal)
	}
	patient, _ := c.Set().ByName("patient")
	if p, _ := patient.Client("patient-portal"); p.NameIn("es") != "Portal del Paciente" || p.NameIn("en") != "Patient Portal" {
		t.Errorf("%q %q", p.NameIn("es"), p.NameIn("en"))
	}
	if practice.Lifetimes.SessionIdle != 15*time.Minute {
		t.Errorf("%+v", practice.Lifetimes)
	}
	for name := range env {
		value := env[name]
		delete(env, name)
		if _, err := config.Load("idp.example.yaml", from); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v", name, err)
		}
		env[name] = value
	}
}

// TestTheExampleShowsEveryDefault switches every commented key of the example
// on that shows its default: it must be known and change nothing.
func TestTheExampleShowsEveryDefault(t *testing.T) {
	text, err := os.ReadFile("idp.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	shown := 0
	commented := regexp.MustCompile(`^(\s*)# (( *)[a-z_]+: .*)$`)
	for _, line := range strings.Split(string(text), "\n") {
		if m := commented.FindStringSubmatch(line); m != nil && m[1] != "" && !strings.Contains(line, "no default") && !strings.Contains(line, "logo_dark") {
			line = m[1] + m[2]
			shown++
		}
		lines = append(lines, line)
	}
	env := func(string) (string, bool) { return "", false }
	_, err = config.Parse("x", []byte(strings.Join(lines, "\n")), env)
	var problems config.Problems
	if !errors.As(err, &problems) {
		t.Fatal(err)
	}
	for _, p := range problems {
		if !strings.Contains(p.What, "environment variable") {
			t.Error(p)
		}
	}
	if shown < 35 {
		t.Errorf("only %d commented keys were found", shown)
	}
}

// TestTheExamplesShowEveryKey reads which keys this package asks for out of its
// own code: each stands in one of the two examples.
func TestTheExamplesShowEveryKey(t *testing.T) {
	var shown strings.Builder
	for _, name := range []string{"idp.example.yaml", "conformance.example.yaml"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		shown.Write(text)
	}
	readers := []string{"text", "need", "number", "duration", "choice", "flag", "texts", "list", "sub", "subs", "someOf", "webAddress", "image", "kept", "clientSecret"}
	keys := map[string]bool{}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) == 0 {
				return true
			}
			fn, isMethod := call.Fun.(*ast.SelectorExpr)
			key, isText := call.Args[0].(*ast.BasicLit)
			if isMethod && isText && key.Kind == token.STRING && slices.Contains(readers, fn.Sel.Name) {
				keys[strings.Trim(key.Value, `"`)] = true
			}
			return true
		})
	}
	if len(keys) < 120 {
		t.Errorf("only %d keys were found", len(keys))
	}
	for key := range keys {
		if key != "token" && !strings.Contains(shown.String(), key+":") {
			t.Errorf("no example shows %s", key)
		}
	}
}

// TestWhatTheExampleShowsIsTheDefault compares the policies of its realms with
// and without the commented keys.
func TestWhatTheExampleShowsIsTheDefault(t *testing.T) {
	text, err := os.ReadFile("idp.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	read := func(text string) *config.Config {
		c, err := config.Parse("x", []byte(text), func(name string) (string, bool) {
			switch {
			case strings.Contains(name, "URL"):
				return "sqlite:/tmp/portico.db", true
			case strings.Contains(name, "PEPPER"):
				return random(2), true
			}
			return random(byte(len(name))), true
		})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	// Only below realms: elsewhere the file shows what it does not set.
	at := strings.Index(string(text), "\nrealms:")
	policies := regexp.MustCompile(`(?m)^(      (?:  )?)# ([a-z_]+: .*)$`)
	on := policies.ReplaceAllStringFunc(string(text[at:]), func(line string) string {
		if strings.Contains(line, "no default") || strings.Contains(line, "logo") || strings.Contains(line, "_uri") || strings.Contains(line, "_alg") ||
			strings.Contains(line, "auth_method") || strings.Contains(line, "subject_type") {
			return line
		}
		return policies.ReplaceAllString(line, "$1$2")
	})
	plain, shown := read(string(text)), read(string(text[:at])+on)
	for i, r := range plain.Realms() {
		s := shown.Realms()[i]
		for what, pair := range map[string][2]any{"lifetimes": {r.Lifetimes, s.Lifetimes}, "password": {r.Password, s.Password}, "recovery": {r.Recovery, s.Recovery},
			"sign_in": {r.SignIn, s.SignIn}, "second_factor": {r.Factors, s.Factors}, "staff": {r.Staff, s.Staff}, "oauth": {r.OAuth, s.OAuth}} {
			if fmt.Sprint(pair[0]) != fmt.Sprint(pair[1]) {
				t.Errorf("%s, %s: the example shows\n%+v\nthe default is\n%+v", r.Name, what, pair[1], pair[0])
			}
		}
	}
	if strings.Count(on, "\n") != strings.Count(string(text[at:]), "\n") || on == string(text[at:]) {
		t.Error("nothing was switched on")
	}
}
