package web_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/web"
	"github.com/portico-id/portico/internal/web/webtest"
)

func TestAClientsLogoOpensThePolicyForThatPictureAlone(t *testing.T) {
	r, err := realm.New(realm.Realm{Name: "practice", Issuer: "https://id.example.test"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	pages, err := newPages(t, testFS(nil), nil, web.Options{})
	if err != nil {
		t.Fatal(err)
	}
	type view struct {
		Form                              web.Form
		Client, Flow, Logo, Policy, Terms string
		Host, Options                     string
		Keep                              int
	}
	b := webtest.New(t, r, pages, func(g *gin.Engine) {
		g.GET("/signin", web.Handle(func(c *gin.Context) error {
			v := view{Client: `<b>"Charts"`, Policy: "https://rp.example.test/policy", Terms: "https://rp.example.test/terms"}
			if logo := c.Query("logo"); web.Image(c, logo) {
				v.Logo = logo
			}
			return pages.Render(c, http.StatusOK, "signin/signin.html", v)
		}))
	})
	page := b.Get("/signin?logo=https://rp.example.test/logo.png")
	if csp := page.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "img-src 'self' https://rp.example.test/logo.png;") {
		t.Errorf("policy: %s", csp)
	}
	if csp := b.Get("/signin?logo=https://rp.example.test/logo.png%3Fv=1").Header.Get("Content-Security-Policy"); !strings.Contains(csp, "img-src 'self' https://rp.example.test/logo.png;") {
		t.Errorf("policy with a query: %s", csp)
	}
	for _, want := range []string{`<img id="client-logo" src="https://rp.example.test/logo.png"`, `href="https://rp.example.test/policy"`, `href="https://rp.example.test/terms"`} {
		if !strings.Contains(page.Body, want) {
			t.Errorf("%s is missing:\n%s", want, page.Body)
		}
	}
	if strings.Contains(page.Body, `<b>"Charts"`) {
		t.Error("the client's name is not escaped")
	}
	for _, bad := range []string{"", "http://rp.example.test/l", "https://rp.example.test/l;script-src%20*", "https://rp.example.test/a%20b", "data:image/png,x",
		"https://*/l", "https://rp.example.test", "https://u@rp.example.test/l", "https://rp.example.test/l%2Cx%27"} {
		page := b.Get("/signin?logo=" + bad)
		if csp := page.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "img-src 'self';") || strings.Contains(page.Body, "client-logo") {
			t.Errorf("%s: %s", bad, csp)
		}
	}
}
