// Package webtest is a browser for the tests of pages: it keeps cookies, sends
// forms with their hidden inputs and the headers of a browser, and checks the
// structure of every page it is given.
package webtest

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"golang.org/x/net/html"

	"github.com/portico-id/portico/internal/locale"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/web"
	"github.com/portico-id/portico/templates"
)

// Realm is http://localhost:9000/{name} in English and Spanish.
func Realm(t testing.TB, name string) *realm.Realm {
	t.Helper()
	r, err := realm.New(realm.Realm{
		Name: name, Issuer: "http://localhost:9000/" + name,
		Brand: realm.Brand{
			Name: "Maple Clinic", Logo: "logo.svg", Color: "#0b5c8a", SupportPhone: "555-0100",
			HelpURL: "https://help.example.test/", PrivacyURL: "https://privacy.example.test/",
		},
		DefaultLocale: "en", Locales: []string{"en", "es"}, Home: "http://localhost:9001/",
	}, nil)
	if err != nil {
		t.Fatalf("realm: %v", err)
	}
	return r
}

// Pages are the built-in pages.
func Pages(t testing.TB) *web.Pages {
	t.Helper()
	catalog, err := locale.Load(templates.FS)
	if err != nil {
		t.Fatalf("load locales: %v", err)
	}
	pages, err := web.NewPages(templates.FS, nil, catalog, web.Options{
		CSRFKey: bytes.Repeat([]byte{7}, 32), Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatalf("load pages: %v", err)
	}
	return pages
}

// Browser visits one realm.
type Browser struct {
	t       testing.TB
	realm   *realm.Realm
	handler http.Handler
	cookies map[string]string
	last    *Page

	Header http.Header // sent with every request, in place of the browser's own
}

// New mounts routes, relative to the realm and within web's Middleware, and
// opens a browser with no cookies on them.
func New(t testing.TB, r *realm.Realm, pages *web.Pages, mount func(g *gin.Engine)) *Browser {
	t.Helper()
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.RedirectTrailingSlash = false
	engine.HandleMethodNotAllowed = true
	engine.Use(pages.Middleware())
	engine.NoRoute(pages.NotFound())
	engine.NoMethod(pages.MethodNotAllowed())
	pages.Mount(engine)
	mount(engine)
	handler := web.HeadAsGet(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		rest, _ := strings.CutPrefix(req.URL.Path, r.Path)
		req = req.WithContext(realm.WithRealm(req.Context(), r))
		inner := *req.URL
		inner.Path, inner.RawPath = rest, ""
		req.URL = &inner
		engine.ServeHTTP(w, req)
	}))
	return &Browser{t: t, realm: r, handler: handler, cookies: map[string]string{}, Header: http.Header{}}
}

// Another is a second browser on the same routes, without the cookies.
func (b *Browser) Another() *Browser {
	return &Browser{t: b.t, realm: b.realm, handler: b.handler, cookies: map[string]string{}, Header: http.Header{}}
}

// Get asks for a path of the realm. It follows no redirects.
func (b *Browser) Get(path string) *Page {
	b.t.Helper()
	return b.do(http.MethodGet, path, nil)
}

// Post sends a form to a path of the realm, with the hidden tokens of the page
// seen last.
func (b *Browser) Post(path string, form url.Values) *Page {
	b.t.Helper()
	sent := url.Values{}
	for key, values := range form {
		sent[key] = values
	}
	for _, name := range []string{"csrf", "step"} {
		if _, ok := sent[name]; !ok && b.last != nil && b.last.Has(name) {
			sent.Set(name, b.last.Value(name))
		}
	}
	return b.do(http.MethodPost, path, sent)
}

// Cookie is the value of a cookie by the kind of the realm's cookie name.
func (b *Browser) Cookie(kind string) string { return b.cookies[b.realm.CookieName(kind)] }

// SetCookie plants a cookie.
func (b *Browser) SetCookie(kind, value string) { b.cookies[b.realm.CookieName(kind)] = value }

func (b *Browser) do(method, path string, form url.Values) *Page {
	b.t.Helper()
	target := path
	if !strings.HasPrefix(path, b.realm.Path+"/") {
		target = b.realm.Path + path
	}
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	req := httptest.NewRequest(method, target, body)
	req.Host = b.realm.IssuerURL.Host
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", b.realm.Origin())
	}
	for key, values := range b.Header {
		req.Header[key] = values
	}
	for name, value := range b.cookies {
		req.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	recorder := httptest.NewRecorder()
	b.handler.ServeHTTP(recorder, req)
	for _, cookie := range recorder.Result().Cookies() {
		if cookie.MaxAge < 0 || cookie.Value == "" {
			delete(b.cookies, cookie.Name)
		} else {
			b.cookies[cookie.Name] = cookie.Value
		}
	}
	page := &Page{Status: recorder.Code, Header: recorder.Header(), Body: recorder.Body.String()}
	if strings.HasPrefix(page.Header.Get("Content-Type"), "text/html") {
		doc, err := html.Parse(strings.NewReader(page.Body))
		if err != nil {
			b.t.Fatalf("%s %s: parse page: %v", method, path, err)
		}
		page.Doc = doc
		for _, fault := range Faults(page.Body) {
			b.t.Errorf("%s %s (%d): %s", method, path, page.Status, fault)
		}
		b.last = page
	}
	return page
}

// Page is an answer.
type Page struct {
	Status int
	Header http.Header
	Body   string
	Doc    *html.Node // nil when it is no page
}

// Location is where a redirect leads.
func (p *Page) Location() string { return p.Header.Get("Location") }

// Title is the text of <title>, H1 that of <h1>.
func (p *Page) Title() string {
	return text(find(p.Doc, func(n *html.Node) bool { return n.Data == "title" }))
}

// H1 is the text of the page's heading.
func (p *Page) H1() string {
	return text(find(p.Doc, func(n *html.Node) bool { return n.Data == "h1" }))
}

// Text is what the page says between <body> and </body>, spaces collapsed.
func (p *Page) Text() string {
	return text(find(p.Doc, func(n *html.Node) bool { return n.Data == "body" }))
}

// ByID is the text of the element with that id.
func (p *Page) ByID(id string) string {
	return text(find(p.Doc, func(n *html.Node) bool { return attr(n, "id") == id }))
}

// Value is the value of the first input of that name.
func (p *Page) Value(name string) string {
	return attr(find(p.Doc, func(n *html.Node) bool { return n.Data == "input" && attr(n, "name") == name }), "value")
}

// Has reports whether a field of that name is on the page.
func (p *Page) Has(name string) bool {
	return find(p.Doc, func(n *html.Node) bool {
		return (n.Data == "input" || n.Data == "select") && attr(n, "name") == name
	}) != nil
}

// Link is the address of the first link that says exactly that.
func (p *Page) Link(says string) string {
	return attr(find(p.Doc, func(n *html.Node) bool { return n.Data == "a" && text(n) == says }), "href")
}
