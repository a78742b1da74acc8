package main

import (
	"bytes"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/portico-id/portico/internal/locale"
	"github.com/portico-id/portico/internal/mail"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/web"
	"github.com/portico-id/portico/templates"
)

func newMail() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "mail",
		Short: "look at the letters that are mailed",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newMailPreview())
	return cmd
}

func newMailPreview() *cobra.Command {
	var out, path string
	cmd := &cobra.Command{
		Use:   "preview --out DIR",
		Short: "write every letter in every language to a folder",
		Long: `Writes every letter, in every language of every realm, as the text and the HTML
that are mailed, and an index.html that leads to them:

  DIR/index.html
  DIR/patient/reset.en.txt      subject, then the text part
  DIR/patient/reset.en.html     the HTML part
  ...

Without --config the letters are those of two invented realms, as they ship.
With it they are those of your realms: your names, colours, lifetimes and phone
numbers, and your templates where templates_dir replaces built-in ones
(mail/layout.html, mail/reset.txt, locales/es.json, ...). So this is how to see
what you changed before anybody gets it.

The people are invented, the time is always the same, and the links open
nothing: two runs differ only where templates or configuration do. Nothing is
sent, and no database is opened. The configuration's environment has to be
there, as for "idp check".`,
		Example: `  idp mail preview --out letters && xdg-open letters/index.html
  idp mail preview --out after --config idp.yaml && diff -r before after`,
		Args: noArgs,
	}
	cmd.Flags().StringVarP(&out, "out", "o", "", "the folder to write to; made if it is not there")
	cmd.Flags().StringVarP(&path, "config", "c", "", "the configuration with the realms (default: two invented realms)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if out == "" {
			return usageError{errors.New("say where to write with --out")}
		}
		realms, override, err := previewRealms(path)
		if err != nil {
			return err
		}
		n, err := previewMail(out, realms, override)
		if err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%d letters; open %s\n", n, filepath.Join(out, "index.html"))
		return nil
	}
	return cmd
}

// previewRealms are the realms of a configuration and its templates, or
// invented ones and none.
func previewRealms(path string) ([]*realm.Realm, fs.FS, error) {
	if path == "" {
		realms, err := inventedRealms()
		return realms, nil, err
	}
	cfg, err := load(path)
	if err != nil {
		return nil, nil, err
	}
	var override fs.FS
	if cfg.TemplatesDir != "" {
		override = os.DirFS(cfg.TemplatesDir)
	}
	return cfg.Realms(), override, nil
}

func inventedRealms() ([]*realm.Realm, error) {
	zone, err := time.LoadLocation("America/New_York")
	if err != nil {
		return nil, fmt.Errorf("time zone of the invented realms: %w", err)
	}
	catalog, err := locale.Load(templates.FS)
	if err != nil {
		return nil, fmt.Errorf("read locales: %w", err)
	}
	var realms []*realm.Realm
	for _, r := range []realm.Realm{
		{Name: "patient", Kind: realm.Patient, Home: "https://patients.example.test/",
			Brand: realm.Brand{Name: "Patient Portal", Color: "#0b5c8a", SupportPhone: "(555) 010-0100", SupportEmail: "help@example.test", SupportHours: "8 AM–6 PM"}},
		{Name: "practice", Kind: realm.Practice, Home: "https://practice.example.test/",
			Brand: realm.Brand{Name: "Practice Portal", Color: "#3f5c1a", SupportPhone: "(555) 010-0200", SupportEmail: "support@example.test"}},
	} {
		r.Issuer = "https://id.example.test/" + r.Name
		r.TimeZone, r.DefaultLocale, r.Locales = zone, locale.Fallback, catalog.Languages()
		made, err := realm.New(r, nil)
		if err != nil {
			return nil, fmt.Errorf("invented realm: %w", err)
		}
		realms = append(realms, made)
	}
	return realms, nil
}

// previewed is a letter in the index.
type previewed struct {
	Lang, Subject, Preheader string
	File                     string // without ending, seen from the index
}

type previewedKind struct {
	Kind    mail.Kind
	Letters []previewed
}

type previewedRealm struct {
	Name, Issuer string
	Kinds        []previewedKind
}

// previewMail writes the letters of all realms and returns how many.
func previewMail(dir string, realms []*realm.Realm, override fs.FS) (int, error) {
	catalog, err := locale.Load(web.Overlay(templates.FS, override))
	if err != nil {
		return 0, fmt.Errorf("read locales: %w", err)
	}
	renderer, err := mail.NewRenderer(templates.FS, override, catalog)
	if err != nil {
		return 0, fmt.Errorf("read mail templates: %w", err)
	}
	n := 0
	var index []previewedRealm
	for _, r := range realms {
		if err := os.MkdirAll(filepath.Join(dir, r.Name), 0o755); err != nil {
			return n, err
		}
		section := previewedRealm{Name: r.Brand.Name, Issuer: r.Issuer}
		for _, kind := range mail.Kinds() {
			letters, err := previewKind(dir, renderer, r, kind)
			if err != nil {
				return n, err
			}
			n += len(letters)
			section.Kinds = append(section.Kinds, previewedKind{kind, letters})
		}
		index = append(index, section)
	}
	var b bytes.Buffer
	if err := previewIndex.Execute(&b, index); err != nil {
		return n, fmt.Errorf("write index: %w", err)
	}
	return n, os.WriteFile(filepath.Join(dir, "index.html"), b.Bytes(), 0o644)
}

// previewKind writes one letter in the languages of its realm.
func previewKind(dir string, renderer *mail.Renderer, r *realm.Realm, kind mail.Kind) ([]previewed, error) {
	var letters []previewed
	for _, lang := range r.Locales {
		c, err := renderer.Render(inventedLetter(r, kind, lang))
		if err != nil {
			return nil, err
		}
		if c.Lang != lang { // no sentences in it: the letter is that of another language
			continue
		}
		file := r.Name + "/" + string(kind) + "." + lang
		name := filepath.Join(dir, filepath.FromSlash(file))
		if err := errors.Join(
			os.WriteFile(name+".txt", []byte("Subject: "+c.Subject+"\n\n"+c.Text), 0o644),
			os.WriteFile(name+".html", []byte(c.HTML), 0o644),
		); err != nil {
			return nil, err
		}
		letters = append(letters, previewed{lang, c.Subject, c.Preheader, file})
	}
	return letters, nil
}

// inventedLetter is a letter to María González with all that a letter of its
// kind can tell.
func inventedLetter(r *realm.Realm, kind mail.Kind, lang string) mail.Letter {
	const token = "invented-so-this-link-opens-nothing-at-all"
	sent := time.Date(2026, time.March, 4, 14, 12, 0, 0, time.UTC)
	path, lifetime := "/reset/", r.Lifetimes.ResetLink
	switch kind {
	case mail.Invite:
		path, lifetime = "/activate/", r.Lifetimes.Invitation
	case mail.VerifyEmail, mail.EmailChangeAsked:
		path, lifetime = "/email/", r.Lifetimes.EmailLink
	}
	return mail.Letter{Realm: r, Kind: kind, To: "maria.gonzalez@example.test", Locale: lang, Data: map[string]string{
		"link": r.URL(path + token), "until": sent.Add(lifetime).Format(time.RFC3339), "when": sent.Format(time.RFC3339),
		"device": "Firefox on Android", "practice": "Riverside Pediatrics", "practice_phone": "(555) 010-0199",
		"inviter": "Riverside Pediatrics", "new_masked": "m•••@example.test", "masked": "m•••@example.test",
		"freeze": r.URL("/freeze/" + token), "what": "passkey_added",
	}}
}

var previewIndex = template.Must(template.New("index").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Letters</title>
<style>
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }
body { margin: 0 auto; max-width: 60rem; padding: 1rem; }
table { border-collapse: collapse; width: 100%; }
caption, th, td { text-align: left; vertical-align: top; padding: .5rem .75rem .5rem 0; }
tr { border-top: 1px solid; }
p { margin: 0; }
</style>
<h1>Letters</h1>
{{range .}}<h2>{{.Name}}</h2>
<table>
<caption>{{.Issuer}}</caption>
{{range .Kinds}}<tr>
<th scope="row">{{.Kind}}</th>
{{range .Letters}}<td>
<p lang="{{.Lang}}"><b>{{.Subject}}</b></p>
<p lang="{{.Lang}}">{{.Preheader}}</p>
<p>{{.Lang}}: <a href="{{.File}}.html">HTML</a>, <a href="{{.File}}.txt">text</a></p>
</td>
{{end}}</tr>
{{end}}</table>
{{end}}</html>
`))
