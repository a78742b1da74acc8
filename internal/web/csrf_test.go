package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/portico-id/portico/internal/web"
	"github.com/portico-id/portico/internal/web/webtest"
)

var good = url.Values{"email": {"ana@example.test"}}

func TestOwnFormIsLetThrough(t *testing.T) {
	b := door(t, web.Options{})
	b.Get("/form")
	before := b.Cookie("flow")
	if page := b.Post("/form", good); page.Status != http.StatusSeeOther || page.Location() != "/patient/done" {
		t.Fatalf("got %d %s", page.Status, page.Location())
	}
	after := b.Cookie("flow")
	if before == after {
		t.Error("the flow cookie was not rotated: Back would show the typed password")
	}
	if id := func(s string) string { id, _, _ := strings.Cut(s, "."); return id }; id(before) != id(after) {
		t.Error("rotation lost the browser: other tabs would time out")
	}
	// A tab that was opened before the rotation still works.
	if page := b.Post("/form", good); page.Status != http.StatusSeeOther {
		t.Errorf("second tab: %d", page.Status)
	}
}

func TestFormsOfOthersAreRefused(t *testing.T) {
	set := func(name, value string) func(*webtest.Browser) {
		return func(b *webtest.Browser) { b.Header.Set(name, value) }
	}
	token := func(value string) url.Values { return url.Values{"email": good["email"], "csrf": {value}} }
	for name, c := range map[string]struct {
		change func(*webtest.Browser)
		form   url.Values
		status int
	}{
		"another site":       {set("Sec-Fetch-Site", "cross-site"), good, 403},
		"another port":       {set("Sec-Fetch-Site", "same-site"), good, 403},
		"another origin":     {set("Origin", "https://evil.example.test"), good, 403},
		"null origin":        {set("Origin", "null"), good, 403},
		"origin with a path": {set("Origin", "http://localhost:9000/patient"), good, 403},
		"no token":           {nil, token(""), 403},
		"made-up token":      {nil, token(strings.Repeat("A", 86)), 403},
		"no cookie":          {func(b *webtest.Browser) { b.SetCookie("flow", "") }, good, 403},
		"planted cookie":     {func(b *webtest.Browser) { b.SetCookie("flow", strings.Repeat("A", 43)+".x") }, good, 403},
		"text/plain":         {set("Content-Type", "text/plain"), good, 400},
		"multipart":          {set("Content-Type", "multipart/form-data; boundary=x"), good, 400},
		"too large":          {nil, url.Values{"email": {strings.Repeat("x", web.MaxBody)}}, 413},
	} {
		t.Run(name, func(t *testing.T) {
			b := door(t, web.Options{})
			b.Get("/form?flow=f1")
			if c.change != nil {
				c.change(b)
			}
			page := b.Post("/form?flow=f1", c.form)
			if page.Status != c.status {
				t.Errorf("got %d %q, want %d", page.Status, page.Text(), c.status)
			}
			if c.status == 403 && (page.H1() != "This page timed out" || page.Link("Start again") != "/patient/form?again=1&flow=f1") {
				t.Errorf("page %q, link %q", page.H1(), page.Link("Start again"))
			}
		})
	}
}

func TestTokenIsWorthNothingInAnotherBrowser(t *testing.T) {
	attacker := door(t, web.Options{})
	mine := attacker.Get("/form").Value("csrf")
	victim := attacker.Another()
	victim.Get("/form")
	if page := victim.Post("/form", url.Values{"email": good["email"], "csrf": {mine}}); page.Status != http.StatusForbidden {
		t.Errorf("login with the attacker's form: %d", page.Status)
	}
}

func TestTokenIsWorthNothingInAnotherRealm(t *testing.T) {
	pages := webtest.Pages(t)
	show := func(g *gin.Engine) {
		g.GET("/token", func(c *gin.Context) { c.String(200, "%s", pages.CSRF(c)) })
		g.POST("/token", pages.Protect(), func(c *gin.Context) { c.Status(http.StatusNoContent) })
	}
	patient := webtest.New(t, webtest.Realm(t, "patient"), pages, show)
	practice := webtest.New(t, webtest.Realm(t, "practice"), pages, show)
	token := patient.Get("/token").Body
	practice.Get("/token")
	practice.SetCookie("flow", patient.Cookie("flow"))
	if page := patient.Post("/token", url.Values{"csrf": {token}}); page.Status != http.StatusNoContent {
		t.Errorf("own realm: %d", page.Status)
	}
	if page := practice.Post("/token", url.Values{"csrf": {token}}); page.Status != http.StatusForbidden {
		t.Errorf("other realm: %d", page.Status)
	}
	if again := patient.Get("/token").Body; again == token {
		t.Error("the token is the same on every page")
	}
}

func TestCookiesAreLocked(t *testing.T) {
	page := door(t, web.Options{}).Get("/form?lang=es")
	cookies := page.Header.Values("Set-Cookie")
	if len(cookies) != 2 {
		t.Fatalf("cookies %q", cookies)
	}
	for _, cookie := range cookies {
		if !strings.HasPrefix(cookie, "__Host-portico-patient-") || strings.Contains(cookie, "Domain") {
			t.Errorf("cookie %q", cookie)
		}
		for _, want := range []string{"; Path=/", "; Secure", "; HttpOnly", "; SameSite=Lax"} {
			if !strings.Contains(cookie, want) {
				t.Errorf("cookie %q lacks %q", cookie, want)
			}
		}
	}
}

func TestBrowserIsOneHash(t *testing.T) {
	var seen [][]byte
	pages := webtest.Pages(t)
	b := webtest.New(t, webtest.Realm(t, "patient"), pages, func(g *gin.Engine) {
		g.GET("/who", func(c *gin.Context) { seen = append(seen, web.Browser(c)) })
		g.GET("/rotate", func(c *gin.Context) { web.RotateBrowser(c); web.RotateBrowser(c); seen = append(seen, web.Browser(c)) })
		g.GET("/forget", func(c *gin.Context) { web.NewBrowser(c); seen = append(seen, web.Browser(c)) })
	})
	for _, path := range []string{"/who", "/rotate", "/forget", "/who"} {
		if page := b.Get(path); len(page.Header.Values("Set-Cookie")) > 1 {
			t.Errorf("%s: two cookies of one name", path)
		}
	}
	if string(seen[0]) != string(seen[1]) || string(seen[1]) == string(seen[2]) || string(seen[2]) != string(seen[3]) {
		t.Errorf("hashes %x", seen)
	}
	if strings.Contains(b.Cookie("flow"), string(seen[3])) || len(seen[3]) != 32 {
		t.Error("the hash is stored, the cookie is not")
	}
}
