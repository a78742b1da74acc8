package mail

import (
	"bytes"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"io/fs"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	texttemplate "text/template"
	"time"

	"github.com/portico-id/portico/internal/locale"
	"github.com/portico-id/portico/internal/realm"
)

// Content is a rendered letter.
type Content struct {
	Lang, Subject, Preheader, Text, HTML string
}

// Renderer renders letters. It is immutable and safe for concurrent use.
type Renderer struct {
	cat  *locale.Catalog
	text map[string]*texttemplate.Template // by "language/kind"
	html map[string]*htmltemplate.Template
}

// NewRenderer parses the folder mail/ of fsys: layout.txt, layout.html, and
// <kind>.txt and <kind>.html for every kind. Files of override, which may be
// nil, replace those of fsys one by one.
func NewRenderer(fsys, override fs.FS, cat *locale.Catalog) (*Renderer, error) {
	r := &Renderer{cat: cat, text: map[string]*texttemplate.Template{}, html: map[string]*htmltemplate.Template{}}
	read := func(name string) (string, error) {
		if override != nil {
			b, err := fs.ReadFile(override, name)
			if err == nil || !errors.Is(err, fs.ErrNotExist) {
				return string(b), err
			}
		}
		b, err := fs.ReadFile(fsys, name)
		return string(b), err
	}
	for _, kind := range Kinds() {
		sources := map[string]string{}
		for _, name := range []string{"layout.txt", "layout.html", string(kind) + ".txt", string(kind) + ".html"} {
			source, err := read("mail/" + name)
			if err != nil {
				return nil, fmt.Errorf("read mail template: %w", err)
			}
			sources[name] = source
		}
		for _, lang := range cat.Languages() {
			if err := r.parse(lang, kind, sources); err != nil {
				return nil, fmt.Errorf("parse mail template: %w", err)
			}
		}
	}
	return r, nil
}

func (r *Renderer) parse(lang string, kind Kind, sources map[string]string) error {
	funcs := map[string]any{"t": func(key string, args ...any) string { return r.cat.T(lang, key, args...) }}
	text := texttemplate.New("").Funcs(funcs).Option("missingkey=error")
	html := htmltemplate.New("").Funcs(funcs).Option("missingkey=error")
	for _, name := range []string{"layout", string(kind)} {
		if _, err := text.New(name + ".txt").Parse(sources[name+".txt"]); err != nil {
			return err
		}
		if _, err := html.New(name + ".html").Parse(sources[name+".html"]); err != nil {
			return err
		}
	}
	for _, part := range []string{"subject", "preheader", "body"} {
		if text.Lookup(part) == nil {
			return fmt.Errorf("%s.txt does not define %q", kind, part)
		}
	}
	if html.Lookup("body") == nil {
		return fmt.Errorf("%s.html does not define %q", kind, "body")
	}
	r.text[lang+"/"+string(kind)], r.html[lang+"/"+string(kind)] = text, html
	return nil
}

// view is what the templates see. Until and When are already in the letter's
// language and the realm's time zone.
type view struct {
	Lang, Realm, Subject, Preheader         string
	Link, Until, When, Device               string
	Practice, PracticePhone, Inviter        string
	NewMasked, Masked, Freeze, What         string
	Password, Factors, Question             string // set: see AccountUnfrozen
	Hours                                   int    // whole hours the link lives; 0 when it is not whole
	Forgot, Account, Home                   string
	SupportPhone, SupportEmail, SupportHour string
	Color, OnColor                          string
}

// Render renders a letter; only Realm, Kind, Locale and Data matter. It serves
// previews too.
func (r *Renderer) Render(l Letter) (Content, error) {
	lang := r.language(l)
	text, ok := r.text[lang+"/"+string(l.Kind)]
	if !ok {
		return Content{}, fmt.Errorf("%w: unknown kind %q", ErrLetter, l.Kind)
	}
	v := newView(r.cat, lang, l)
	c := Content{Lang: lang}
	for _, part := range []struct {
		name string
		to   *string
	}{{"subject", &v.Subject}, {"preheader", &v.Preheader}, {"layout.txt", &c.Text}} {
		var b bytes.Buffer
		if err := text.ExecuteTemplate(&b, part.name, v); err != nil {
			return Content{}, fmt.Errorf("render %s letter: %w", l.Kind, err)
		}
		*part.to = strings.TrimSpace(b.String())
	}
	var b bytes.Buffer
	if err := r.html[lang+"/"+string(l.Kind)].ExecuteTemplate(&b, "layout.html", v); err != nil {
		return Content{}, fmt.Errorf("render %s letter: %w", l.Kind, err)
	}
	c.Subject = strings.Join(strings.Fields(v.Subject), " ") // never more than one line
	c.Preheader = v.Preheader
	c.Text = blankLines.ReplaceAllString(c.Text, "\n\n") + "\n"
	c.HTML = strings.TrimSpace(b.String()) + "\n"
	return c, nil
}

var blankLines = regexp.MustCompile(`\n[ \t]*\n(?:[ \t]*\n)+`)

// language is the recipient's if the realm speaks it, else the realm's.
func (r *Renderer) language(l Letter) string {
	if lang := locale.Match(l.Realm.Locales, l.Locale); lang != "" && slices.Contains(r.cat.Languages(), lang) {
		return lang
	}
	if slices.Contains(r.cat.Languages(), l.Realm.DefaultLocale) {
		return l.Realm.DefaultLocale
	}
	return locale.Fallback
}

func newView(cat *locale.Catalog, lang string, l Letter) view {
	r := l.Realm
	date := func(name string) string {
		at, err := time.Parse(time.RFC3339, l.Data[name])
		if err != nil {
			return l.Data[name]
		}
		return cat.Date(lang, at, r.TimeZone)
	}
	brand := r.Brand.In(lang)
	v := view{
		Lang: lang, Realm: brand.Name,
		Link: l.Data["link"], Until: date("until"), When: date("when"), Device: l.Data["device"],
		Practice: l.Data["practice"], PracticePhone: l.Data["practice_phone"], Inviter: l.Data["inviter"],
		NewMasked: l.Data["new_masked"], Masked: l.Data["masked"], Freeze: l.Data["freeze"], What: l.Data["what"],
		Password: l.Data["password"], Factors: l.Data["factors"], Question: l.Data["question"],
		Forgot: r.URL("/forgot"), Account: r.URL("/account"), Home: r.Home,
		SupportPhone: brand.SupportPhone, SupportEmail: brand.SupportEmail, SupportHour: brand.SupportHours,
	}
	if life := r.Lifetimes.ResetLink; life%time.Hour == 0 {
		v.Hours = int(life / time.Hour)
	}
	v.Color, v.OnColor = button(r)
	return v
}

var hexColor = regexp.MustCompile(`^#[0-9a-fA-F]{6}$`)

// button is the realm's colour and the text colour that can be read on it.
func button(r *realm.Realm) (back, front string) {
	back = r.Brand.Color
	if !hexColor.MatchString(back) {
		back = "#0b5c8a"
	}
	// WCAG 2.2 relative luminance; white needs a contrast of 4.5.
	if 1.05/(luminance(back)+0.05) >= 4.5 {
		return back, "#ffffff"
	}
	return back, "#000000"
}

func luminance(hex string) float64 {
	var sum float64
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		n, _ := strconv.ParseUint(hex[1+2*i:3+2*i], 16, 8)
		c := float64(n) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		sum += weight * c
	}
	return sum
}
