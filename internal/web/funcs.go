package web

import (
	"errors"
	"fmt"
	"html/template"
	"net/url"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
)

// helpers are the functions of the templates. One instance belongs to one
// rendering at a time, so they may ask whose page it is.
type helpers struct {
	p    *Pages
	c    *gin.Context // nil while the templates are checked
	s    *state
	page *pageInfo
}

func (h *helpers) funcs() template.FuncMap {
	return template.FuncMap{
		"page":     func() *pageInfo { return h.page },
		"t":        h.t,
		"tb":       h.tb,
		"url":      h.url,
		"csrf":     h.csrf,
		"asset":    h.asset,
		"date":     h.date,
		"day":      h.day,
		"field":    h.field,
		"problems": h.problems,
		"dict":     dict,
		"link":     link,
		"tel":      tel,
		"mailto":   func(email string) string { return "mailto:" + url.PathEscape(email) },
	}
}

// t says a key of the locale; args are pairs for its placeholders.
func (h *helpers) t(key string, args ...any) string {
	return h.p.catalog.T(h.s.lang, key, args...)
}

// tb is t with the values in bold, or as the link that "link" made of them.
func (h *helpers) tb(key string, args ...any) template.HTML {
	bold := func(v any) string {
		if html, ok := v.(template.HTML); ok {
			return string(html)
		}
		return "<strong>" + template.HTMLEscapeString(fmt.Sprint(v)) + "</strong>"
	}
	return template.HTML(h.p.catalog.Expand(h.s.lang, key, bold, template.HTMLEscapeString, args...))
}

// url is the address of a path of the realm, with pairs for the query; empty
// values are left out.
func (h *helpers) url(path string, query ...any) (string, error) {
	if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || len(query)%2 != 0 {
		return "", fmt.Errorf("url %q: want a path of the realm and pairs", path)
	}
	values := url.Values{}
	for i := 0; i < len(query); i += 2 {
		if v := fmt.Sprint(query[i+1]); v != "" {
			values.Set(fmt.Sprint(query[i]), v)
		}
	}
	if len(values) > 0 {
		path += "?" + values.Encode()
	}
	return h.page.path + path, nil
}

func (h *helpers) csrf() template.HTML {
	if h.c == nil {
		return ""
	}
	return template.HTML(`<input type="hidden" name="` + csrfField + `" value="` + h.p.CSRF(h.c) + `">`)
}

func (h *helpers) asset(name string) (string, error) {
	return h.p.assetURL(h.page.path, name)
}

func (h *helpers) date(t time.Time) string { return h.p.catalog.Date(h.s.lang, t, h.page.zone) }
func (h *helpers) day(t time.Time) string  { return h.p.catalog.Day(h.s.lang, t, h.page.zone) }

type problem struct{ Field, Text string }

func (h *helpers) problems(view any) []problem {
	var out []problem
	for _, p := range formOf(view).Problems {
		out = append(out, problem{p.Field, h.t(p.Key, p.Args...)})
	}
	return out
}

// field describes an input for the partials. Options come in pairs: "label",
// "hint", "value", "type", "autocomplete", "inputmode", "maxlength", "min" (the
// shortest password), "controls", "options".
func (h *helpers) field(view any, name string, options ...any) (input, error) {
	if len(options)%2 != 0 {
		return input{}, fmt.Errorf("field %q: options come in pairs", name)
	}
	known := kinds[name]
	in := known.input
	in.Name, in.Controls = name, name
	if in.Type == "" {
		in.Type = "text"
	}
	if known.label != "" {
		in.Label = h.t(known.label)
	}
	form := formOf(view)
	in.Value = form.Values[name]
	for _, p := range form.Problems {
		if p.Field == name {
			in.Problem = h.t(p.Key, p.Args...)
			break
		}
	}
	for i := 0; i < len(options); i += 2 {
		if err := in.set(options[i], options[i+1]); err != nil {
			return input{}, fmt.Errorf("field %q: %w", name, err)
		}
	}
	if in.Label == "" {
		return input{}, fmt.Errorf("field %q has no label", name)
	}
	if in.secret || in.Type == "password" {
		in.Value = ""
	}
	for i := range in.Options {
		in.Options[i].Selected = in.Options[i].Selected || in.Value != "" && in.Options[i].Value == in.Value
	}
	var described []string
	if in.Hint != "" {
		described = append(described, name+"-hint")
	}
	if in.Problem != "" {
		described = append(described, name+"-err")
	}
	in.DescribedBy = strings.Join(described, " ")
	return in, nil
}

func (in *input) set(option, value any) error {
	switch option {
	case "label":
		in.Label = fmt.Sprint(value)
	case "hint":
		in.Hint = fmt.Sprint(value)
	case "value":
		in.Value = fmt.Sprint(value)
	case "type":
		in.Type = fmt.Sprint(value)
	case "autocomplete":
		in.Autocomplete = fmt.Sprint(value)
	case "inputmode":
		in.InputMode = fmt.Sprint(value)
	case "controls":
		in.Controls = fmt.Sprint(value)
	case "min":
		in.PasswordRules = fmt.Sprintf("minlength: %v;", value)
	case "maxlength":
		n, ok := value.(int)
		if !ok {
			return errors.New("maxlength is a number")
		}
		in.MaxLength = n
	case "options":
		options, ok := value.([]Option)
		if !ok {
			return errors.New("options are []web.Option")
		}
		in.Options = append([]Option(nil), options...)
	default:
		return fmt.Errorf("unknown option %v", option)
	}
	return nil
}

func dict(pairs ...any) (map[string]any, error) {
	if len(pairs)%2 != 0 {
		return nil, errors.New("dict wants pairs")
	}
	m := make(map[string]any, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		m[fmt.Sprint(pairs[i])] = pairs[i+1]
	}
	return m, nil
}

// link is an <a> for use inside a sentence (tb).
func link(href, text string) (template.HTML, error) {
	u, err := url.Parse(href)
	if err != nil {
		return "", fmt.Errorf("link: %w", err)
	}
	switch u.Scheme {
	case "", "https", "http", "tel", "mailto":
	default:
		return "", fmt.Errorf("link: scheme %q", u.Scheme)
	}
	return template.HTML(`<a href="` + template.HTMLEscapeString(u.String()) + `">` +
		template.HTMLEscapeString(text) + `</a>`), nil
}

func tel(phone string) string {
	return "tel:" + strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r == '+' || r == '-' {
			return r
		}
		return -1
	}, phone)
}
