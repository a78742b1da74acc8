package web

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"log/slog"
	"net/netip"
	"path"
	"runtime"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/portico-id/portico/internal/locale"
	"github.com/portico-id/portico/internal/realm"
)

// Options are what Pages needs beside the templates.
type Options struct {
	CSRFKey        []byte             // 32 secret bytes, the same on every replica
	TrustedProxies []netip.Prefix     // whose X-Forwarded-For counts; empty: nobody's
	Log            *slog.Logger       // nil: slog.Default()
	Classify       func(error) *Error // pages for errors of other packages; nil result: ours to mend (500)
	Now            func() time.Time   // nil: time.Now
	MaxBody        int64              // the largest request body in bytes; 0: MaxBody
}

// Pages shows pages and errors. Safe for concurrent use.
type Pages struct {
	catalog  *locale.Catalog
	csrfKey  []byte
	trusted  []netip.Prefix
	log      *slog.Logger
	classify func(error) *Error
	now      func() time.Time
	maxBody  int64
	pages    map[string]*page
	assets   map[string]asset
	themes   themes
}

// page is a parsed page and its idle instances.
type page struct {
	source *template.Template // never executed, so it can be cloned
	idle   chan *instance
}

// instance is a page bound to helpers of its own: html/template fixes the
// functions when it parses, and ours depend on who asks.
type instance struct {
	tmpl *template.Template
	help *helpers
}

// NewPages parses every page of fsys (layout.html, partials.html,
// pages/<room>/<page>.html, static/). override may replace files one by one and
// add files below static/; nil replaces nothing. The error names the file.
func NewPages(fsys, override fs.FS, cat *locale.Catalog, o Options) (*Pages, error) {
	if len(o.CSRFKey) < 32 {
		return nil, errors.New("web: the CSRF key has fewer than 32 bytes")
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	p := &Pages{
		catalog: cat, csrfKey: o.CSRFKey, trusted: o.TrustedProxies, log: o.Log,
		classify: o.Classify, now: o.Now, maxBody: cmp.Or(o.MaxBody, MaxBody), pages: map[string]*page{},
	}
	if err := checkOverride(fsys, override); err != nil {
		return nil, err
	}
	merged := Overlay(fsys, override)
	var err error
	if p.assets, err = loadAssets(merged); err != nil {
		return nil, err
	}
	files, err := fs.Glob(merged, "pages/*/*.html")
	if err != nil {
		return nil, fmt.Errorf("list pages: %w", err)
	}
	for _, file := range files {
		if err := p.parse(merged, file, override != nil); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	if p.pages["web/error.html"] == nil {
		return nil, errors.New("pages/web/error.html is missing")
	}
	return p, nil
}

// parse prepares one page. The sentences of our own pages are checked by the
// tests; where an operator's files are among them, at start.
func (p *Pages) parse(fsys fs.FS, file string, checkKeys bool) error {
	help := &helpers{p: p, s: &state{lang: locale.Fallback}, page: &pageInfo{}}
	tmpl := template.New(path.Base(file)).Funcs(help.funcs()).Option("missingkey=error")
	for _, name := range []string{"layout.html", "partials.html", file} {
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			return fmt.Errorf("read template: %w", err)
		}
		if _, err := tmpl.Parse(string(text)); err != nil {
			return fmt.Errorf("parse: %w", err)
		}
	}
	for _, part := range []string{"layout", "h1", "main"} {
		if tmpl.Lookup(part) == nil {
			return fmt.Errorf("{{define %q}} is missing", part)
		}
	}
	for _, key := range Keys(tmpl) {
		if checkKeys && !p.catalog.Has(key) {
			return fmt.Errorf("the sentence %q is in no locale", key)
		}
	}
	for _, name := range literals(tmpl, "asset") {
		if _, err := p.assetURL("", name); err != nil {
			return err
		}
	}
	made := &page{source: tmpl, idle: make(chan *instance, 2*runtime.GOMAXPROCS(0))}
	first, err := made.instance(p)
	if err != nil {
		return err
	}
	// Executing escapes first; what the escaper refuses is found now and not by
	// the first visitor. That an empty view lacks fields says nothing.
	err = first.tmpl.ExecuteTemplate(io.Discard, "layout", nil)
	var refused *template.Error
	if errors.As(err, &refused) {
		return fmt.Errorf("escape: %w", err)
	}
	made.idle <- first
	name, _ := strings.CutPrefix(file, "pages/")
	p.pages[name] = made
	return nil
}

func (pg *page) instance(p *Pages) (*instance, error) {
	select {
	case ready := <-pg.idle:
		return ready, nil
	default:
	}
	tmpl, err := pg.source.Clone()
	if err != nil {
		return nil, fmt.Errorf("clone template: %w", err)
	}
	in := &instance{help: &helpers{p: p}}
	in.reset()
	in.tmpl = tmpl.Funcs(in.help.funcs())
	return in, nil
}

// reset forgets whose page it was.
func (in *instance) reset() {
	in.help.c, in.help.s, in.help.page = nil, &state{lang: locale.Fallback}, &pageInfo{}
}

func (pg *page) release(in *instance) {
	in.reset()
	select {
	case pg.idle <- in:
	default:
	}
}

// Render shows a page: name is "room/page.html". The page is complete before
// the status line is written; when it fails nothing is, and the error goes to
// Handle.
func (p *Pages) Render(c *gin.Context, status int, name string, view any) error {
	pg, ok := p.pages[name]
	if !ok {
		return fmt.Errorf("no page %q", name)
	}
	in, err := pg.instance(p)
	if err != nil {
		return err
	}
	defer pg.release(in)
	s := stateOf(c)
	in.help.c, in.help.s, in.help.page = c, s, p.info(c, s, view)
	var out bytes.Buffer
	if err := in.tmpl.ExecuteTemplate(&out, "layout", view); err != nil {
		return fmt.Errorf("render %s: %w", name, err)
	}
	c.Header("Vary", "Accept-Language, Cookie")
	c.Header("Content-Language", s.lang)
	c.Data(status, "text/html; charset=utf-8", out.Bytes())
	return nil
}

// Has reports whether a page of that name was parsed.
func (p *Pages) Has(name string) bool { return p.pages[name] != nil }

// pageInfo is what the layout knows about the realm and the visitor.
type pageInfo struct {
	Lang, Name, Home, Theme                  string
	Logo, LogoDark                           string
	SupportPhone, SupportEmail, SupportHours string
	PrivacyURL, HelpURL                      string
	Languages                                []language
	Failed                                   bool
	path                                     string
	zone                                     *time.Location
}

type language struct {
	Lang, Name, URL string
	Current         bool
}

func (p *Pages) info(c *gin.Context, s *state, view any) *pageInfo {
	info := &pageInfo{Lang: s.lang, Name: "Portico", Failed: !formOf(view).OK()}
	r := s.realm
	if r == nil {
		info.Logo, _ = p.assetURL("", "logo.svg")
		return info
	}
	b := r.Brand.In(s.lang)
	info.Name, info.Home, info.path, info.zone = b.Name, r.Home, r.Path, r.TimeZone
	info.SupportPhone, info.SupportEmail, info.SupportHours = b.SupportPhone, b.SupportEmail, b.SupportHours
	info.PrivacyURL, info.HelpURL = b.PrivacyURL, b.HelpURL
	info.Logo, info.LogoDark = p.logoURL(r, b.Logo), p.logoURL(r, b.LogoDark)
	info.Theme = p.themes.of(p.log, r).url(r.Path)
	info.Languages = p.languages(c, s, r)
	return info
}

func (p *Pages) languages(c *gin.Context, s *state, r *realm.Realm) []language {
	list := make([]language, 0, len(r.Locales))
	here := s.here(c)
	query := here.Query()
	for _, lang := range r.Locales {
		query.Set("lang", lang)
		here.RawQuery = query.Encode()
		name := p.catalog.T(lang, "language.name")
		list = append(list, language{Lang: lang, Name: name, URL: here.String(), Current: lang == s.lang})
	}
	return list
}
