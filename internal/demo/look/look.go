package look

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed layout.html static
var files embed.FS

// Page is what the frame around every page needs. View holds the page's own data.
type Page struct {
	Site     string // "patient", "practice" or "mailbox": chooses the colours
	SiteName string
	Lang     string // BCP 47
	Title    string // the h1, also the first half of <title>
	Skip     string
	Panel    bool // navigation as a panel beside the page on wide screens
	Wide     bool

	NavLabel  string
	Nav       []Link
	Languages []Language
	CSRF      string
	Footer    []string

	ErrorPrefix  string
	ErrorHeading string
	Problems     []Problem
	Flash        []string

	View any
}

// Link is one entry of the navigation. Post makes it a form button, for entries
// that change something.
type Link struct {
	Label, URL    string
	Current, Post bool
}

// Language is one entry of the language switch.
type Language struct {
	Tag, Name, URL string
	Current        bool
}

// Problem is one sentence of the error summary. Field is the id of the input
// it leads to, or empty.
type Problem struct{ Field, Text string }

// Problem returns the sentence that belongs to a field, or "".
func (p *Page) Problem(field string) string {
	for _, problem := range p.Problems {
		if problem.Field == field {
			return problem.Text
		}
	}
	return ""
}

// Pages are parsed page templates.
type Pages struct{ byName map[string]*template.Template }

// Parse reads every *.html file of dir in fsys. Each defines the template
// "main" and is laid into the common frame.
func Parse(fsys fs.FS, dir string, funcs template.FuncMap) (*Pages, error) {
	names, err := fs.Glob(fsys, path.Join(dir, "*.html"))
	if err != nil {
		return nil, fmt.Errorf("list pages: %w", err)
	}
	pages := &Pages{byName: map[string]*template.Template{}}
	for _, name := range names {
		page := template.New("layout.html").Funcs(template.FuncMap{"asset": Asset}).Funcs(funcs)
		if page, err = page.ParseFS(files, "layout.html"); err != nil {
			return nil, fmt.Errorf("parse the page frame: %w", err)
		}
		if page, err = page.ParseFS(fsys, name); err != nil {
			return nil, fmt.Errorf("parse page %s: %w", name, err)
		}
		pages.byName[path.Base(name)] = page
	}
	return pages, nil
}

// Render writes a page. It is complete in memory before the status is sent, so
// a failing template never leaves half a page behind.
func (p *Pages) Render(w http.ResponseWriter, status int, name string, page *Page) error {
	t, ok := p.byName[name]
	if !ok {
		return fmt.Errorf("no page %q", name)
	}
	var out bytes.Buffer
	if err := t.Execute(&out, page); err != nil {
		return fmt.Errorf("render %s: %w", name, err)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, err := w.Write(out.Bytes())
	return err
}

type asset struct {
	body []byte
	url  string
}

var assets = readAssets()

func readAssets() map[string]asset {
	entries, err := fs.ReadDir(files, "static")
	if err != nil {
		panic("look: embedded files are missing: " + err.Error())
	}
	all := map[string]asset{}
	for _, entry := range entries {
		body, err := fs.ReadFile(files, "static/"+entry.Name())
		if err != nil {
			panic("look: embedded files are missing: " + err.Error())
		}
		sum := sha256.Sum256(body)
		all[entry.Name()] = asset{body, "/static/" + hex.EncodeToString(sum[:6]) + "/" + entry.Name()}
	}
	return all
}

// Asset gives the address of a static file. It carries a hash of the content,
// so browsers may keep the file for ever.
func Asset(name string) (string, error) {
	a, ok := assets[name]
	if !ok {
		return "", fmt.Errorf("no static file %q", name)
	}
	return a.url, nil
}

// Static serves the stylesheet, the script and the logo under /static/.
func Static(w http.ResponseWriter, r *http.Request) {
	a, ok := assets[path.Base(r.URL.Path)]
	if !ok || a.url != r.URL.Path {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", mime.TypeByExtension(path.Ext(r.URL.Path)))
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	http.ServeContent(w, r, path.Base(r.URL.Path), time.Time{}, bytes.NewReader(a.body))
}

// Headers sets the headers of every page. Origins given as formTargets may
// follow a form: Chromium applies form-action to each redirect after a POST,
// and signing out or in again leads to the provider.
func Headers(next http.Handler, formTargets ...string) http.Handler {
	policy := "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; frame-src 'self'; " +
		"base-uri 'none'; frame-ancestors 'none'; form-action " + strings.Join(append([]string{"'self'"}, formTargets...), " ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "strict-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
		next.ServeHTTP(w, r)
	})
}
