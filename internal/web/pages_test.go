package web_test

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/portico-id/portico/internal/locale"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/web"
	"github.com/portico-id/portico/internal/web/webtest"
	"github.com/portico-id/portico/templates"
)

const formPage = `
{{define "h1"}}{{t "field.password"}}{{end}}
{{define "above"}}{{template "steps" (dict "n" 2 "of" 3)}}{{end}}
{{define "main"}}
<p>{{tb "error.reference" "id" .Client}}</p>
<form method="post" novalidate>{{csrf}}
{{template "field" (field . "email" "hint" (t "layout.help"))}}
{{template "field" (field . "username" "value" "ana@example.test")}}
{{template "password" (field . "new-password" "min" 15 "controls" "new-password confirm-password")}}
{{template "field" (field . "confirm-password")}}
{{template "field" (field . "answer" "label" "¿Dónde?")}}
{{template "select" (field . "question" "label" "Question" "options" .Questions)}}
{{template "actions" (dict "submit" (t "field.email") "href" (url "/forgot" "flow" .Flow "empty" "") "text" (t "layout.help"))}}
</form>
{{end}}`

const rowsPage = `
{{define "h1"}}{{t "field.username"}}{{end}}
{{define "class"}}wide{{end}}
{{define "main"}}<dl class="rows">
{{template "row" (dict "label" (t "field.email") "value" "ana@example.test" "href" (url "/account/email") "action" (t "field.new_email"))}}
{{template "row" (dict "label" (t "field.username") "value" "Ana")}}
</dl><p>{{date .}}</p>{{end}}`

func testFS(more map[string]string) fs.FS {
	files := fstest.MapFS{
		"pages/test/form.html": {Data: []byte(formPage)},
		"pages/test/rows.html": {Data: []byte(rowsPage)},
	}
	for name, text := range more {
		files[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return web.Overlay(templates.FS, files)
}

func init() { gin.SetMode(gin.ReleaseMode) }

func newPages(t *testing.T, base, override fs.FS, o web.Options) (*web.Pages, error) {
	t.Helper()
	catalog, err := locale.Load(templates.FS)
	if err != nil {
		t.Fatal(err)
	}
	o.CSRFKey = bytes.Repeat([]byte{7}, 32)
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	return web.NewPages(base, override, catalog, o)
}

type formView struct {
	web.Form
	Client, Flow string
	Questions    []web.Option
}

// door mounts the test pages behind Protect and opens a browser on them.
func door(t *testing.T, o web.Options) *webtest.Browser {
	t.Helper()
	pages, err := newPages(t, testFS(nil), nil, o)
	if err != nil {
		t.Fatal(err)
	}
	return webtest.New(t, webtest.Realm(t, "patient"), pages, func(g *gin.Engine) { routes(g, pages) })
}

func routes(g *gin.Engine, pages *web.Pages) {
	g.GET("/boom", func(*gin.Context) { panic("broken on purpose") })
	g.GET("/fault", web.Handle(func(*gin.Context) error { return errors.New("database on fire") }))
	g.GET("/busy", web.Handle(func(*gin.Context) error { return web.Busy(1500*time.Millisecond, nil) }))
	g.GET("/nopage", web.Handle(func(c *gin.Context) error { return pages.Render(c, 200, "test/none.html", nil) }))
	g.GET("/halfpage", web.Handle(func(c *gin.Context) error { return pages.Render(c, 200, "test/form.html", nil) }))
	g.GET("/rows", web.Handle(func(c *gin.Context) error {
		return pages.Render(c, 200, "test/rows.html", time.Date(2025, 3, 6, 14, 12, 0, 0, time.UTC))
	}))
	g.GET("/reset/:token", web.Handle(func(c *gin.Context) error { return web.NotFound() }))
	people := g.Group("", pages.Protect())
	show := func(c *gin.Context, status int, form web.Form) error {
		web.FormAction(c, "https://rp.example.test/callback?x=1")
		return pages.Render(c, status, "test/form.html", formView{
			form, "<b>Maple & Co</b>", "f 1", []web.Option{{Value: "pet", Text: "Pet"}, {Value: "street", Text: "Street"}},
		})
	}
	people.GET("/form", web.Handle(func(c *gin.Context) error {
		web.PreferLang(c, c.Query("ui_locales"), "en")
		return show(c, 200, web.Form{})
	}))
	people.POST("/form", web.Handle(func(c *gin.Context) error {
		form := web.NewForm(c, "email", "question")
		if form.Value("email") == "ana@example.test" {
			c.Redirect(http.StatusSeeOther, realm.From(c.Request.Context()).Path+"/done")
			return nil
		}
		form.Add("email", "email.error.format")
		form.Add("new-password", "password.error.short", "n", 15)
		form.Set("new-password", c.PostForm("new-password"))
		return show(c, http.StatusUnprocessableEntity, form)
	}))
}

func TestFormPageIsWhole(t *testing.T) {
	page := door(t, web.Options{}).Get("/form")
	if page.Status != 200 || page.Title() != "Password – Maple Clinic" {
		t.Errorf("got %d %q", page.Status, page.Title())
	}
	for _, want := range []string{
		`autocomplete="username" autocapitalize="none" spellcheck="false" maxlength="254" aria-describedby="email-hint"`,
		`passwordrules="minlength: 15;"`, `aria-controls="new-password confirm-password"`,
		`readonly`, `<strong>&lt;b&gt;Maple &amp; Co&lt;/b&gt;</strong>`, `Step 2 of 3`, `href="/patient/forgot?flow=f&#43;1"`,
		`<a href="tel:555-0100">555-0100</a>`, `href="http://localhost:9001/"`, `alt=""`,
	} {
		if !strings.Contains(page.Body, want) {
			t.Errorf("page lacks %s", want)
		}
	}
}

func TestErrorsAreShownAboveAndBesideTheField(t *testing.T) {
	b := door(t, web.Options{})
	b.Get("/form")
	page := b.Post("/form", url.Values{"email": {" ana@ "}, "new-password": {"hunter2"}, "question": {"street"}})
	if page.Status != http.StatusUnprocessableEntity || !strings.HasPrefix(page.Title(), "Error: Password – ") {
		t.Errorf("got %d %q", page.Status, page.Title())
	}
	const format, short = "Enter an email address like name@example.com", "Use at least 15 characters"
	if page.ByID("email-err") != format || page.ByID("new-password-err") != short {
		t.Errorf("inline errors %q and %q", page.ByID("email-err"), page.ByID("new-password-err"))
	}
	if page.Link(format) != "#email" || page.Link(short) != "#new-password" {
		t.Errorf("summary links %q and %q", page.Link(format), page.Link(short))
	}
	if page.Value("email") != "ana@" || strings.Contains(page.Body, "hunter2") {
		t.Error("what was typed is kept, passwords excepted")
	}
	for _, want := range []string{`aria-describedby="email-hint email-err" aria-invalid="true"`, `<option value="street" selected>`} {
		if !strings.Contains(page.Body, want) {
			t.Errorf("page lacks %s", want)
		}
	}
}

func TestRowsNameWhatTheyChange(t *testing.T) {
	page := door(t, web.Options{}).Get("/rows?lang=es")
	if page.Link("Correo electrónico nuevo Correo electrónico") != "/patient/account/email" {
		t.Error("the link does not say what it changes")
	}
	if !strings.Contains(page.Text(), "jueves 6 de marzo de 2025, 2:12 p. m. UTC") {
		t.Errorf("date in %q", page.Text())
	}
	if !strings.Contains(page.Body, `class="card wide"`) {
		t.Error("not wide")
	}
}

func TestFaultsBecomePages(t *testing.T) {
	var log bytes.Buffer
	b := door(t, web.Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	for path, status := range map[string]int{
		"/boom": 500, "/fault": 500, "/nopage": 500, "/halfpage": 500, "/busy": 503, "/reset/canary": 404, "/static/x/none.css": 404,
	} {
		page := b.Get(path)
		if page.Status != status || page.Doc == nil || page.H1() == "" {
			t.Errorf("%s: got %d %q", path, page.Status, page.H1())
		}
		id := page.Header.Get("X-Request-Id")
		if id == "" || !strings.Contains(log.String(), "request_id="+id) {
			t.Errorf("%s: request id %q is not in the log", path, id)
		}
		if status >= 500 && !strings.Contains(page.Text(), "Reference: "+id) {
			t.Errorf("%s: the page does not show the reference", path)
		}
		if strings.Contains(page.Body, "on purpose") || strings.Contains(page.Body, "on fire") {
			t.Errorf("%s: the page tells the cause", path)
		}
		if path == "/busy" && page.Header.Get("Retry-After") != "2" {
			t.Errorf("Retry-After %q", page.Header.Get("Retry-After"))
		}
	}
	if page := b.Post("/rows", url.Values{}); page.Status != http.StatusMethodNotAllowed {
		t.Errorf("POST on a GET route: %d", page.Status)
	}
	b.Get("/reset/canary?code=canary")
	b.Get("/Reset/canary")
	if strings.Contains(log.String(), "canary") || !strings.Contains(log.String(), "route=/reset/:token") {
		t.Error("the log holds a path instead of its route")
	}
}

func TestClassifyNamesErrorsOfOtherPackages(t *testing.T) {
	b := door(t, web.Options{Classify: func(err error) *web.Error { return web.Busy(time.Second, err) }})
	if page := b.Get("/fault"); page.Status != http.StatusServiceUnavailable {
		t.Errorf("got %d", page.Status)
	}
}

func TestLanguageOrder(t *testing.T) {
	now := time.Now()
	b := door(t, web.Options{Now: func() time.Time { return now }})
	says := func(want, path, why string) {
		t.Helper()
		if page := b.Get(path); page.Header.Get("Content-Language") != want || !strings.Contains(page.Body, `<html lang="`+want+`">`) {
			t.Errorf("%s: got %s", why, page.Header.Get("Content-Language"))
		}
	}
	says("en", "/rows", "realm default")
	b.Header.Set("Accept-Language", "fr-CA, es-MX;q=0.8, en;q=0.5")
	says("es", "/rows", "Accept-Language")
	b.Header.Set("Accept-Language", "*")
	says("en", "/rows", "a star is no wish")
	b.Header.Set("Accept-Language", "en")
	says("es", "/form?ui_locales=de+es", "ui_locales before Accept-Language")
	says("en", "/rows?lang=de", "unsupported link")
	says("es", "/rows?lang=es", "link")
	says("es", "/rows", "cookie before Accept-Language")
	says("es", "/form?ui_locales=en", "a fresh click before ui_locales")
	now = now.Add(2 * time.Hour)
	says("es", "/rows", "old cookie before Accept-Language")
	says("en", "/form?ui_locales=en", "ui_locales before an old cookie")
}

func TestHeaders(t *testing.T) {
	b := door(t, web.Options{})
	page := b.Get("/form")
	want := map[string]string{
		"Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; " +
			"base-uri 'none'; frame-ancestors 'none'; form-action 'self' https://rp.example.test",
		"Referrer-Policy": "strict-origin", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store",
		"Cross-Origin-Opener-Policy": "same-origin", "Strict-Transport-Security": "",
	}
	for name, value := range want {
		if got := page.Header.Get(name); got != value {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
	}
	if csp := b.Get("/nowhere").Header.Get("Content-Security-Policy"); !strings.HasSuffix(csp, "form-action 'self'") {
		t.Errorf("policy of another page: %q", csp)
	}
	secure, err := realm.New(realm.Realm{Name: "practice", Issuer: "https://id.example.test", Brand: realm.Brand{
		Logo: "https://cdn.example.test/logo.svg",
	}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	pages, err := newPages(t, testFS(nil), nil, web.Options{})
	if err != nil {
		t.Fatal(err)
	}
	page = webtest.New(t, secure, pages, func(*gin.Engine) {}).Get("/")
	if got := page.Header.Get("Strict-Transport-Security"); got != "max-age=31536000" {
		t.Errorf("HSTS over https: %q", got)
	}
	if csp := page.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "img-src 'self' https://cdn.example.test;") {
		t.Errorf("the logo's origin is missing: %q", csp)
	}
}

func TestPagesOfManyAtOnceDoNotMix(t *testing.T) {
	b := door(t, web.Options{})
	var wg sync.WaitGroup
	for range 24 {
		one := b.Another()
		wg.Go(func() {
			for _, lang := range []string{"en", "es", "en"} {
				page := one.Get("/form?lang=" + lang)
				if page.Header.Get("Content-Language") != lang || !strings.Contains(page.Body, `<html lang="`+lang+`">`) {
					t.Errorf("asked for %s", lang)
				}
			}
			if page := one.Post("/form", url.Values{"email": {"ana@example.test"}}); page.Status != http.StatusSeeOther {
				t.Errorf("the token belongs to another browser: %d", page.Status)
			}
		})
	}
	wg.Wait()
}

func TestOverridesReplaceFileByFile(t *testing.T) {
	own := func(name, text string) fs.FS { return fstest.MapFS{name: {Data: []byte(text)}} }
	const errorPage = "pages/web/error.html"
	pages, err := newPages(t, templates.FS, own(errorPage, `{{define "h1"}}{{.Title}}{{end}}{{define "main"}}<p>Our own words</p>{{end}}`), web.Options{})
	if err != nil {
		t.Fatal(err)
	}
	page := webtest.New(t, webtest.Realm(t, "patient"), pages, func(*gin.Engine) {}).Get("/nowhere")
	if !strings.Contains(page.Text(), "Our own words") {
		t.Errorf("page says %q", page.Text())
	}
	for name, c := range map[string]struct {
		over fs.FS
		want string
	}{
		"misspelt file":    {own("pages/web/eror.html", ""), "replaces nothing"},
		"broken syntax":    {own(errorPage, `{{define "h1"}}`), errorPage},
		"no heading":       {own(errorPage, `{{define "main"}}x{{end}}`), `"h1"`},
		"unknown key":      {own(errorPage, `{{define "h1"}}{{t "no.such"}}{{end}}{{define "main"}}{{end}}`), "no.such"},
		"unknown part":     {own(errorPage, `{{define "h1"}}{{.Title}}{{end}}{{define "main"}}{{template "nope"}}{{end}}`), "nope"},
		"unsafe place":     {own(errorPage, `{{define "h1"}}{{.Title}}{{end}}{{define "main"}}<p {{if .Href}}title="{{end}}>{{end}}`), "escape"},
		"unknown file":     {own(errorPage, `{{define "h1"}}{{.Title}}{{end}}{{define "main"}}{{asset "no.css"}}{{end}}`), "no.css"},
		"unknown function": {own(errorPage, `{{define "h1"}}{{secret}}{{end}}`), "secret"},
	} {
		if _, err := newPages(t, templates.FS, c.over, web.Options{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q in it", name, err, c.want)
		}
	}
}

func TestStaticFilesAreKeptForEverUnderTheirHash(t *testing.T) {
	b := door(t, web.Options{})
	body := b.Get("/form").Body
	found := 0
	for _, part := range strings.Split(body, `"`) {
		if !strings.HasPrefix(part, "/patient/static/") {
			continue
		}
		found++
		file := b.Get(part)
		if file.Status != 200 || file.Header.Get("Cache-Control") != "public, max-age=31536000, immutable" {
			t.Errorf("%s: %d %q", part, file.Status, file.Header.Get("Cache-Control"))
		}
		if kind := file.Header.Get("Content-Type"); kind == "" || strings.HasPrefix(kind, "text/html") {
			t.Errorf("%s: kind %q", part, kind)
		}
	}
	if found != 5 { // icon, stylesheet, theme, script, logo
		t.Errorf("%d static files on the page", found)
	}
	old := b.Get("/static/0123456789abcdef/portico.css")
	if old.Status != 200 || old.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("hash of another version: %d %q", old.Status, old.Header.Get("Cache-Control"))
	}
	if theme := b.Get("/static/theme-0123.css"); theme.Status != 200 || theme.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("theme of another version: %d %q", theme.Status, theme.Header.Get("Cache-Control"))
	}
	for _, path := range []string{"/static/x/..%2flayout.html", "/static/x/layout.html", "/static/other.css", "/static/x/"} {
		if page := b.Get(path); page.Status != 404 {
			t.Errorf("%s: %d", path, page.Status)
		}
	}
}

func TestAddressOfNoRealmIsMisdirected(t *testing.T) {
	pages, err := newPages(t, testFS(nil), nil, web.Options{})
	if err != nil {
		t.Fatal(err)
	}
	engine := gin.New()
	engine.Use(pages.Middleware())
	engine.NoRoute(pages.Misdirected())
	engine.POST("/signin", pages.Protect(), func(c *gin.Context) { c.Status(http.StatusNoContent) })
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		recorder := httptest.NewRecorder()
		request := httptest.NewRequest(method, "http://unknown.example.test/signin?lang=es", strings.NewReader(""))
		request.Header.Set("Accept-Language", "es")
		engine.ServeHTTP(recorder, request)
		body := recorder.Body.String()
		if recorder.Code != http.StatusMisdirectedRequest || !strings.Contains(body, "No hay ningún portal en esta dirección – Portico") {
			t.Errorf("%s: %d %s", method, recorder.Code, body)
		}
		if faults := webtest.Faults(body); len(faults) > 0 || len(recorder.Result().Cookies()) > 0 {
			t.Errorf("%s: %q, cookies %v", method, faults, recorder.Result().Cookies())
		}
	}
}

func TestRealmLooksAreCheckedAtStart(t *testing.T) {
	pages := webtest.Pages(t)
	for _, c := range []struct {
		brand   realm.Brand
		locales []string
		ok      bool
	}{
		{realm.Brand{Logo: "logo.svg", Color: "#0b5c8a"}, nil, true},
		{realm.Brand{Logo: "https://cdn.example.test/a.png", LogoDark: "/patient/own.png"}, []string{"en", "es"}, true},
		{realm.Brand{Logo: "missing.svg"}, nil, false},
		{realm.Brand{Color: "blue"}, nil, false},
		{realm.Brand{}, []string{"en", "fr"}, false},
	} {
		r, err := realm.New(realm.Realm{Name: "patient", Issuer: "http://localhost:9000", Brand: c.brand, Locales: c.locales}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := pages.Check([]*realm.Realm{r}); (err == nil) != c.ok {
			t.Errorf("%+v %v: %v", c.brand, c.locales, err)
		}
	}
}

func TestCheckerOfPagesFindsFaults(t *testing.T) {
	const frame = `<html lang="en"><head><title>A – B</title></head><body><a href="#main">Skip</a><main id="main"><h1>A</h1>%s</main></body></html>`
	if faults := webtest.Faults(strings.Replace(frame, "%s", "<p>fine</p>", 1)); len(faults) > 0 {
		t.Fatalf("faults in a good page: %q", faults)
	}
	for _, bad := range []string{
		`<input id="a" name="a">`, `<label for="a">A</label>`, `<h1>B</h1>`, `<p style="color:red">x</p>`, `<p onclick="x()">x</p>`,
		`<form method="post" novalidate></form>`, `<form method="post"><input type="hidden" name="csrf"></form>`, `<img src="/x">`,
		`<script>1</script>`, `<a href="/x"></a>`, `<p id="x"></p><p id="x"></p>`, `<p aria-describedby="gone">x</p>`,
		`<label for="p">P</label><input id="p" type="password" value="hunter2">`, `<div role="alert">x</div>`,
		`<label for="q">Q</label><input id="q" placeholder="q">`, `<a href="#ZgotmplZ">x</a>`,
	} {
		if faults := webtest.Faults(strings.Replace(frame, "%s", bad, 1)); len(faults) == 0 {
			t.Errorf("no fault in %s", bad)
		}
	}
}
