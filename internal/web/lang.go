package web

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/portico-id/portico/internal/locale"
)

// A language somebody clicked on holds against the client's ui_locales and the
// account's language for the length of a journey; after that it is a habit,
// which they outrank.
const choiceHolds = time.Hour

// Lang is the language of the answer.
func Lang(c *gin.Context) string { return stateOf(c).lang }

// PreferLang applies the wishes that a room knows, best first: the ui_locales
// of the request (space-separated, OpenID Connect Core §3.1.2.1), then the
// account's language. A language that was clicked on outranks them; the cookie,
// Accept-Language and the realm's default come after them.
func PreferLang(c *gin.Context, wishes ...string) {
	s := stateOf(c)
	if s.chosen || s.realm == nil {
		return
	}
	for _, wish := range wishes {
		if lang := locale.Match(s.realm.Locales, wish); lang != "" {
			s.lang = lang
			return
		}
	}
}

// language finds the language of a request: link, cookie, Accept-Language,
// realm. A click on a link is kept in a cookie.
func (p *Pages) language(c *gin.Context, s *state) (lang string, chosen bool) {
	if s.realm == nil {
		if lang := locale.Match(p.catalog.Languages(), c.GetHeader("Accept-Language")); lang != "" {
			return lang, false
		}
		return locale.Fallback, false
	}
	supported := s.realm.Locales
	if lang := c.Query("lang"); lang != "" && contains(supported, lang) {
		setCookie(c, s.realm.CookieName("lang"), lang+"."+strconv.FormatInt(p.now().Unix(), 10), 365*24*time.Hour)
		return lang, true
	}
	if cookie, err := c.Request.Cookie(s.realm.CookieName("lang")); err == nil {
		lang, at, _ := strings.Cut(cookie.Value, ".")
		if contains(supported, lang) {
			unix, _ := strconv.ParseInt(at, 10, 64)
			age := p.now().Sub(time.Unix(unix, 0))
			return lang, age >= 0 && age < choiceHolds
		}
	}
	if lang := locale.Match(supported, c.GetHeader("Accept-Language")); lang != "" {
		return lang, false
	}
	return s.realm.DefaultLocale, false
}

func contains(list []string, s string) bool {
	for _, each := range list {
		if each == s {
			return true
		}
	}
	return false
}

// setCookie sets a cookie of the realm; maxAge 0 ends it with the browser.
// Browsers take Secure cookies on http://localhost too.
func setCookie(c *gin.Context, name, value string, maxAge time.Duration) {
	http.SetCookie(c.Writer, &http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: int(maxAge.Seconds()),
		Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}
