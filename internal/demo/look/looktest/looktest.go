// Package looktest drives the demo's pages in tests as a browser would and
// checks their structure for people who do not see them.
package looktest

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// Browser follows links and sends forms, with cookies and without JavaScript.
type Browser struct {
	t      testing.TB
	client *http.Client
	Page   *Page
}

// Page is what the browser shows.
type Page struct {
	Status int
	URL    *url.URL
	Header http.Header
	Body   string
	root   *html.Node
}

// NewBrowser returns a browser without cookies. lang is its Accept-Language.
func NewBrowser(t testing.TB, lang string) *Browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &Browser{t: t, client: &http.Client{Jar: jar, Transport: &languages{lang}}}
}

type languages struct{ lang string }

func (l *languages) RoundTrip(r *http.Request) (*http.Response, error) {
	r.Header.Set("Accept-Language", l.lang)
	return http.DefaultTransport.RoundTrip(r)
}

// Client is the browser's HTTP client, with its cookies.
func (b *Browser) Client() *http.Client { return b.client }

// Get opens an address and checks the page it leads to.
func (b *Browser) Get(address string) *Page {
	b.t.Helper()
	req, err := http.NewRequest(http.MethodGet, b.absolute(address), nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.do(req)
}

// Click follows the first link with this text.
func (b *Browser) Click(text string) *Page {
	b.t.Helper()
	for _, a := range b.Page.all("a") {
		if squeeze(Text(a)) == text {
			return b.Get(attr(a, "href"))
		}
	}
	b.t.Fatalf("no link %q on %s:\n%s", text, b.Page.URL, b.Page.Body)
	return nil
}

// Send fills in and sends the form that has the button with this text. Of
// boxes those are ticked whose values are named, with spaces between them.
func (b *Browser) Send(button string, fill map[string]string) *Page {
	b.t.Helper()
	req := b.Request(button, fill)
	return b.do(req)
}

// Request is the request that Send would send.
func (b *Browser) Request(button string, fill map[string]string) *http.Request {
	b.t.Helper()
	for _, form := range b.Page.all("form") {
		holds := false
		for _, each := range find(form, "button") {
			holds = holds || squeeze(Text(each)) == button
		}
		if !holds {
			continue
		}
		values := url.Values{}
		boxes := map[string]bool{}
		for _, field := range append(find(form, "input"), append(find(form, "textarea"), find(form, "select")...)...) {
			if name := attr(field, "name"); attr(field, "type") == "checkbox" {
				if boxes[name] = true; has(field, "checked") {
					values.Add(name, value(field))
				}
			} else if name != "" && (attr(field, "type") != "radio" || has(field, "checked")) {
				values.Set(name, value(field))
			}
		}
		for name, text := range fill {
			switch {
			case boxes[name]: // the boxes to tick
				values[name] = strings.Fields(text)
			case !values.Has(name):
				b.t.Fatalf("the form %q has no field %q", button, name)
			default:
				values.Set(name, text)
			}
		}
		target := b.absolute(attr(form, "action"))
		if attr(form, "method") != "post" {
			req, _ := http.NewRequest(http.MethodGet, target+"?"+values.Encode(), nil)
			return req
		}
		req, err := http.NewRequest(http.MethodPost, target, strings.NewReader(values.Encode()))
		if err != nil {
			b.t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Sec-Fetch-Site", "same-origin")
		return req
	}
	b.t.Fatalf("no form with the button %q on %s:\n%s", button, b.Page.URL, b.Page.Body)
	return nil
}

func (b *Browser) absolute(address string) string {
	if b.Page == nil {
		return address
	}
	u, err := b.Page.URL.Parse(address)
	if err != nil {
		b.t.Fatal(err)
	}
	return u.String()
}

func (b *Browser) do(req *http.Request) *Page {
	b.t.Helper()
	res, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	b.Page = &Page{Status: res.StatusCode, URL: res.Request.URL, Header: res.Header, Body: string(body)}
	if strings.HasPrefix(res.Header.Get("Content-Type"), "text/html") {
		if b.Page.root, err = html.Parse(strings.NewReader(b.Page.Body)); err != nil {
			b.t.Fatal(err)
		}
		b.Page.check(b.t)
	}
	return b.Page
}

// Title is the page's h1.
func (p *Page) Title() string {
	for _, h1 := range p.all("h1") {
		return squeeze(Text(h1))
	}
	return ""
}

// Says reports whether the page's text has a sentence in it.
func (p *Page) Says(sentence string) bool {
	return p.root != nil && strings.Contains(squeeze(Text(p.root)), sentence)
}

// Link returns where the first link with this text leads, or "".
func (p *Page) Link(text string) string {
	for _, a := range p.all("a") {
		if squeeze(Text(a)) == text {
			return attr(a, "href")
		}
	}
	return ""
}

// Value is what stands in a field of a form.
func (p *Page) Value(name string) string {
	for _, kind := range []string{"input", "textarea", "select"} {
		for _, field := range p.all(kind) {
			if attr(field, "name") == name && (attr(field, "type") != "radio" || has(field, "checked")) {
				return value(field)
			}
		}
	}
	return ""
}

func (p *Page) all(tag string) []*html.Node { return find(p.root, tag) }

// check finds what axe finds, and some of what it misses: duplicate ids,
// descriptions that describe nothing, fields without labels, anything inline
// that the policy would refuse.
func (p *Page) check(t testing.TB) {
	t.Helper()
	bad := func(format string, args ...any) { t.Errorf("%s: "+format, append([]any{p.URL}, args...)...) }
	for tag, want := range map[string]int{"h1": 1, "main": 1, "title": 1} {
		if n := len(p.all(tag)); n != want {
			bad("%d <%s>", n, tag)
		}
	}
	if root := p.all("html"); len(root) == 0 || attr(root[0], "lang") == "" {
		bad("no language")
	}
	title := squeeze(Text(p.all("title")[0]))
	if !strings.Contains(title, p.Title()) {
		bad("the title %q does not name the page %q", title, p.Title())
	}
	if summary := strings.Contains(p.Body, `class="summary"`); summary != strings.HasPrefix(title, "Error:") {
		bad("the title %q and the error summary disagree", title)
	}
	links := p.all("a")
	if len(links) == 0 || attr(links[0], "href") != "#main" {
		bad("the first link does not skip to the content")
	}
	ids := map[string]bool{}
	walk(p.root, func(n *html.Node) {
		if id := attr(n, "id"); id != "" {
			if ids[id] {
				bad("the id %q is there twice", id)
			}
			ids[id] = true
		}
		if has(n, "style") || n.Data == "style" || n.Data == "script" && !has(n, "src") {
			bad("<%s> has something inline", n.Data)
		}
		for _, a := range n.Attr {
			if strings.HasPrefix(a.Key, "on") || a.Key == "placeholder" || a.Key == "autofocus" {
				bad("<%s> has %s", n.Data, a.Key)
			}
		}
		if n.Data == "iframe" && attr(n, "title") == "" {
			bad("a frame has no title")
		}
	})
	labels := map[string]bool{}
	for _, label := range p.all("label") {
		labels[attr(label, "for")] = true
	}
	for _, field := range slices.Concat(p.all("input"), p.all("select"), p.all("textarea")) {
		id := attr(field, "id")
		if attr(field, "type") != "hidden" && !labels[id] && !within(field, "label") {
			bad("the field %q has no label", attr(field, "name"))
		}
	}
	walk(p.root, func(n *html.Node) {
		for _, name := range []string{"aria-describedby", "aria-labelledby", "aria-controls"} {
			for _, id := range strings.Fields(attr(n, name)) {
				if !ids[id] {
					bad("%s names %q, which is not there", name, id)
				}
			}
		}
		if href := attr(n, "href"); n.Data == "a" && strings.HasPrefix(href, "#") && !ids[href[1:]] {
			bad("a link leads to %q, which is not there", href)
		}
		if n.Data == "a" && squeeze(Text(n)) == "" {
			bad("a link has no text")
		}
	})
	policy := p.Header.Get("Content-Security-Policy")
	if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe-inline") || !strings.Contains(policy, "frame-ancestors 'none'") {
		bad("Content-Security-Policy %q", policy)
	}
	if p.Header.Get("Cache-Control") != "no-store" || p.Header.Get("X-Content-Type-Options") != "nosniff" {
		bad("headers %v", p.Header)
	}
}

// Text is the text inside a node.
func Text(n *html.Node) string {
	var b strings.Builder
	walk(n, func(n *html.Node) {
		if n.Type == html.TextNode && n.Parent != nil && n.Parent.Data != "script" {
			b.WriteString(n.Data)
		}
	})
	return b.String()
}

func squeeze(s string) string { return strings.Join(strings.Fields(s), " ") }

func walk(n *html.Node, visit func(*html.Node)) {
	if n == nil {
		return
	}
	visit(n)
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		walk(c, visit)
	}
}

func find(n *html.Node, tag string) []*html.Node {
	var found []*html.Node
	walk(n, func(n *html.Node) {
		if n.Type == html.ElementNode && n.Data == tag {
			found = append(found, n)
		}
	})
	return found
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func has(n *html.Node, name string) bool {
	return slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == name })
}

func within(n *html.Node, tag string) bool {
	for ; n != nil; n = n.Parent {
		if n.Type == html.ElementNode && n.Data == tag {
			return true
		}
	}
	return false
}

// value is what a browser would send for a field.
func value(n *html.Node) string {
	switch n.Data {
	case "textarea":
		return strings.TrimPrefix(Text(n), "\n")
	case "select":
		for _, option := range find(n, "option") {
			if has(option, "selected") {
				return attr(option, "value")
			}
		}
	}
	return attr(n, "value")
}
