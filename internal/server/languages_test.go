package server_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/portico-id/portico/config"
	"github.com/portico-id/portico/internal/server"
	"github.com/portico-id/portico/templates"
)

// foreign turns an English sentence into one of a language that nobody speaks:
// a vowel without an accent is English that was left.
var foreign = strings.NewReplacer("a", "á", "e", "é", "i", "í", "o", "ó", "u", "ú", "A", "Á", "E", "É", "I", "Í", "O", "Ó", "U", "Ú")

var placeholderPattern = regexp.MustCompile(`\{[a-z0-9_]+\}`)

// foreignFile makes the file of a third language, here of Polish by its name and
// its plural rules, from the English one. It leaves some keys out.
func foreignFile(t *testing.T, without ...string) []byte {
	t.Helper()
	raw, err := fs.ReadFile(templates.FS, "locales/en.json")
	if err != nil {
		t.Fatal(err)
	}
	var english map[string]string
	if err := json.Unmarshal(raw, &english); err != nil {
		t.Fatal(err)
	}
	said := func(s string) string {
		var out strings.Builder
		at := 0
		for _, span := range placeholderPattern.FindAllStringIndex(s, -1) {
			out.WriteString(foreign.Replace(s[at:span[0]]) + s[span[0]:span[1]])
			at = span[1]
		}
		return out.String() + foreign.Replace(s[at:])
	}
	file := map[string]string{}
	for key, s := range english {
		stem := strings.TrimSuffix(key, ".other")
		_, counts := english[stem+".one"]
		switch {
		case slices.Contains(without, key):
		case strings.HasSuffix(key, ".other") && counts:
			file[stem+".few"], file[stem+".many"] = said(s), said(s)
		default:
			file[key] = said(s)
		}
	}
	file["layout.title_error"] = english["layout.title_error"] // the browser of the tests looks for it
	file["date.moment"], file["date.time"] = "{day} {month} {year}, {time} {zone}", "{hour24}:{minute}"
	raw, err = json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// speaking starts a provider whose patient realm has a third language, and
// nothing of it but a file in templates_dir and a word in the configuration.
func speaking(t *testing.T, engine string, file []byte) *world {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "locales"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "locales", "pl.json"), file, 0o644); err != nil {
		t.Fatal(err)
	}
	w := &world{settings: newSettings(seeded(t, engine), startMail(t), "templates_dir: "+dir), log: &logBuffer{}}
	w.yaml = strings.Replace(w.yaml, "locales: [en, es]", "locales: [en, es, pl]", 1)
	if err := w.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.stop(); err != nil {
			t.Errorf("the server did not end in order: %v", err)
		}
		w.http.CloseIdleConnections()
	})
	showErrors(t, w)
	return w
}

var wordPattern = regexp.MustCompile(`\pL+`)

// english lists the words of a text that are not of the foreign language.
func english(said string, names ...string) (words []string) {
	for _, name := range names {
		said = strings.ReplaceAll(said, name, "")
	}
	for _, word := range wordPattern.FindAllString(said, -1) {
		if strings.ContainsAny(word, "aeiouAEIOU") && !slices.Contains([]string{"UTC", "EST", "EDT"}, word) {
			words = append(words, word)
		}
	}
	return words
}

// A third language is one more file: every page, refusal and letter speaks it.
func TestAThirdLanguageIsOneFile(t *testing.T) {
	t.Parallel()
	for _, engine := range engines {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			w := speaking(t, engine, foreignFile(t))
			who, portal := w.person(t, "patient"), w.party(t, "patient", "portal")
			portal.signIn(w.browser(t), who) // for the list of apps
			b := w.browser(t)
			b.more.Set("Accept-Language", "pl-PL, en;q=0.5")
			at := w.issuer("patient")
			names := []string{who.name, who.email, "@example.test", "Patient Portal", "Firefox, Linux"}
			spoken := func(p *page, status int, h1 string) *page {
				t.Helper()
				if p.status != status || p.h1() != foreign.Replace(h1) || !strings.Contains(p.body, `<html lang="pl"`) || p.header.Get("Content-Language") != "pl" {
					t.Fatalf("%s: %d %q in %q, want %q", p.url.Path, p.status, p.h1(), p.header.Get("Content-Language"), foreign.Replace(h1))
				}
				if left := english(p.says(), names...); len(left) > 0 {
					t.Errorf("%s: English is left: %v", p.url.Path, left)
				}
				return p
			}
			if p := w.browser(t).open(at + "/signin?lang=en"); !strings.Contains(p.body, `lang="pl"`) || !strings.Contains(p.body, "?lang=pl") {
				t.Error("the language is not offered")
			}
			p := spoken(b.open(at+"/signin"), 200, "Sign in")
			spoken(b.send(p, "email", "nobody"), 422, "Sign in")
			p = spoken(b.open(at+"/forgot"), 200, "Forgot password")
			spoken(b.send(p, "email", "nobody"), 422, "Forgot password")

			// The account has chosen the language, and so the letters are in it.
			b.send(b.open(at+"/signin"), "email", who.email, "password", who.password).want(t, 200, "My Account")
			if p = b.open(at + "/account/language"); !strings.Contains(p.says(), foreign.Replace("English")) {
				t.Errorf("%s", p.says())
			}
			spoken(b.send(p, "language", "pl"), 200, "My Account")
			for path, h1 := range map[string]string{"/account/history": "Sign-in history", "/account/apps": "Connected apps", "/account/profile": "Your name"} {
				spoken(b.open(at+path), 200, h1)
			}
			p = b.send(b.open(at+"/forgot"), "email", who.email)
			spoken(p, 200, "Check your email")
			l := w.mail.wait(t, who.email, resetLetter, 1)
			body := regexp.MustCompile(`https?://\S+`).ReplaceAllString(l.text, "")
			if left := english(l.subject+" "+body, names...); len(left) > 0 {
				t.Errorf("English is left in the letter: %v\n%s", left, l.text)
			}
			if !regexp.MustCompile(`\d{1,2} \pL+ \d{4}, \d\d:\d\d E[SD]T \(UTC−[45]\)`).MatchString(l.text) {
				t.Errorf("the date is not written as the file says:\n%s", l.text)
			}
			question := spoken(b.send(spoken(b.open(l.link(t)), 200, "Reset your password")), 200, "Answer your security question")
			spoken(b.send(question, "answer", "wrong"), 422, "Answer your security question")
			if strings.Contains(w.log.String(), "a language is incomplete") {
				t.Error("a complete language is called incomplete")
			}
		})
	}
}

func TestWhatALanguageLacksIsNamedAndSaidInEnglish(t *testing.T) {
	t.Parallel()
	w := speaking(t, "sqlite", foreignFile(t, "signin.title", "date.month.3"))
	if log := w.log.String(); !strings.Contains(log, "a language is incomplete") || !strings.Contains(log, "locales/pl.json") || !strings.Contains(log, "missing: date.month.3, signin.title") {
		t.Errorf("the log does not say it:\n%s", log)
	}
	b := w.browser(t)
	b.more.Set("Accept-Language", "pl")
	if p := b.open(w.issuer("patient") + "/signin"); p.status != 200 || p.h1() != "Sign in" || !strings.Contains(p.body, `<html lang="pl"`) {
		t.Errorf("%d %q", p.status, p.h1())
	}
	cfg, err := config.Parse("test.yaml", []byte(w.yaml), w.lookup)
	if err != nil {
		t.Fatal(err)
	}
	warnings, err := server.Warnings(cfg)
	if err != nil || len(warnings) != 1 || warnings[0] != "locales/pl.json: missing: date.month.3, signin.title" {
		t.Errorf("%q, %v", warnings, err)
	}
}
