package main

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/portico-id/portico/internal/mail"
)

// readFolder reads a folder: name, with slashes, to content.
func readFolder(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
		all[name] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestEveryLetterIsPreviewedInEveryLanguage(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "letters")
	stdout, _, err := runCommand(t, newMail(), "", "preview", "--out", dir)
	if err != nil || !strings.Contains(stdout, "index.html") {
		t.Fatal(err, stdout)
	}
	all := readFolder(t, dir)
	index := all["index.html"]
	unfinished := regexp.MustCompile(`\{[a-z_]+\}|\bmail\.[a-z_]+|<no value>|ZgotmplZ|%!`)
	for _, realm := range []string{"patient", "practice"} {
		for _, kind := range mail.Kinds() {
			for _, lang := range []string{"en", "es"} {
				name := realm + "/" + string(kind) + "." + lang
				text, page := all[name+".txt"], all[name+".html"]
				if !strings.HasPrefix(text, "Subject: ") || len(text) < 200 || !strings.Contains(page, "<html") {
					t.Errorf("%s: %.80q, %.80q", name, text, page)
				}
				for _, s := range []string{text, page} {
					if bad := unfinished.FindString(s); bad != "" {
						t.Errorf("%s: %q", name, bad)
					}
				}
				if !strings.Contains(index, `href="`+name+`.html"`) || !strings.Contains(index, `href="`+name+`.txt"`) {
					t.Errorf("%s is not in the index", name)
				}
			}
		}
	}
	if want := 1 + 2*2*2*len(mail.Kinds()); len(all) < want {
		t.Errorf("%d files, want %d", len(all), want)
	}
	if es := all["patient/reset.es.txt"]; !strings.Contains(es, "https://id.example.test/patient/reset/invented") || !strings.Contains(es, "6 de marzo de 2026") {
		t.Errorf("the Spanish reset letter:\n%s", es)
	}
	// Every link of the index leads to a file.
	doc, err := html.Parse(strings.NewReader(index))
	if err != nil {
		t.Fatal(err)
	}
	for n := range doc.Descendants() {
		for _, a := range n.Attr {
			if a.Key == "href" && all[a.Val] == "" {
				t.Errorf("%s leads nowhere", a.Val)
			}
		}
	}
	// Twice the same.
	again := t.TempDir()
	if _, _, err := runCommand(t, newMail(), "", "preview", "--out", again); err != nil {
		t.Fatal(err)
	}
	for name, content := range readFolder(t, again) {
		if all[name] != content {
			t.Errorf("%s differs the second time", name)
		}
	}
}

func TestAPreviewShowsTheOperatorsRealmsAndTemplates(t *testing.T) {
	example, err := os.ReadFile("../../config/idp.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	look := filepath.Join(dir, "look")
	if err := os.MkdirAll(filepath.Join(look, "mail"), 0o755); err != nil {
		t.Fatal(err)
	}
	layout, err := os.ReadFile("../../templates/mail/layout.txt")
	if err != nil {
		t.Fatal(err)
	}
	layout = append([]byte("Greetings from the harbour\n\n"), layout...)
	if err := os.WriteFile(filepath.Join(look, "mail", "layout.txt"), layout, 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "idp.yaml")
	example = bytes.Replace(example, []byte("name: Patient Portal"), []byte("name: Harbour Health"), 1)
	example = bytes.Replace(example, []byte("name: Portal del Paciente"), []byte("name: Salud del Puerto"), 1)
	if err := os.WriteFile(path, append(example, "\ntemplates_dir: "+look+"\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range regexp.MustCompile(`env:([A-Z_]+)`).FindAllSubmatch(example, -1) {
		t.Setenv(string(name[1]), base64.StdEncoding.EncodeToString(random(32)))
	}
	t.Setenv("PORTICO_DATABASE_URL", "sqlite:"+filepath.Join(dir, "none.db"))
	out := filepath.Join(dir, "letters")
	if _, _, err := runCommand(t, newMail(), "", "preview", "--out", out, "--config", path); err != nil {
		t.Fatal(err)
	}
	all := readFolder(t, out)
	for lang, brand := range map[string]string{"en": "Harbour Health", "es": "Salud del Puerto"} {
		if letter := all["patient/reset."+lang+".txt"]; !strings.Contains(letter, brand) || !strings.Contains(letter, "Greetings from the harbour") {
			t.Errorf("%s:\n%s", lang, letter)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "none.db")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the database was opened: %v", err)
	}
}

func TestAPreviewSaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		usage bool
		args  []string
	}{
		"no folder":        {true, nil},
		"a stray argument": {true, []string{"--out", dir, "more"}},
		"no configuration": {true, []string{"--out", dir, "--config", filepath.Join(dir, "none.yaml")}},
		"a file":           {false, []string{"--out", filepath.Join(dir, "file")}},
	} {
		_, _, err := runCommand(t, newMail(), "", append([]string{"preview"}, c.args...)...)
		var usage usageError
		if err == nil || errors.As(err, &usage) != c.usage {
			t.Errorf("%s: %v", name, err)
		}
	}
}
