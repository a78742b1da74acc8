package session

import (
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/secret"
)

// cacheKey holds the result of Current in the gin context.
const cacheKey = "portico/session"

type cached struct{ session *Session }

// StartCookie gives the browser the token of a session that has just been
// started. The cookie of a session that is kept lasts as long as the session
// may; any other has no lifetime of its own: the row decides, and a browser
// that is closed forgets it.
func (m *Manager) StartCookie(c *gin.Context, r *realm.Realm, s Session, tok secret.Token) {
	m.setCookie(c, r, tok, s.Kept)
}

// SetCookie gives the browser another token for the session that it has, after
// Confirm or Strengthen: the cookie lasts like the one before.
func (m *Manager) SetCookie(c *gin.Context, r *realm.Realm, tok secret.Token) {
	v, _ := c.Get(cacheKey)
	hit, _ := v.(cached)
	m.setCookie(c, r, tok, hit.session != nil && hit.session.Kept)
}

func (m *Manager) setCookie(c *gin.Context, r *realm.Realm, tok secret.Token, kept bool) {
	c.Set(cacheKey, nil)
	maxAge := 0
	if kept {
		maxAge = int(r.Lifetimes.KeptSession.Seconds())
	}
	http.SetCookie(c.Writer, cookie(r, tok.Reveal(), maxAge))
	showState(c, r, stateOf(tok), "")
}

// ClearCookie makes the browser forget its token. End the session as well: a
// copied cookie does not hear of it.
func (m *Manager) ClearCookie(c *gin.Context, r *realm.Realm) {
	c.Set(cacheKey, nil)
	http.SetCookie(c.Writer, cookie(r, "", -1))
	showState(c, r, "", "")
}

// Current is the open session of the browser that sent the request, or nil:
// no cookie, or a session that expired, was ended, or whose account is not
// active. The answer is read once per request. An error means that nobody
// knows; it is never to be taken for "signed out".
func (m *Manager) Current(c *gin.Context) (*Session, error) {
	if v, ok := c.Get(cacheKey); ok {
		if hit, ok := v.(cached); ok {
			return hit.session, nil
		}
	}
	ctx := c.Request.Context()
	r := realm.From(ctx)
	s, err := m.current(c, r)
	if err != nil {
		return nil, err
	}
	c.Set(cacheKey, cached{s})
	return s, nil
}

func (m *Manager) current(c *gin.Context, r *realm.Realm) (*Session, error) {
	ck, err := c.Request.Cookie(r.CookieName(""))
	if err != nil {
		return nil, nil
	}
	tok, err := secret.ParseToken(ck.Value)
	if err != nil {
		return nil, nil
	}
	return m.Find(c.Request.Context(), r, tok)
}

// cookie is Lax because portals send the browser here by a link or a redirect.
// A name with __Host- is refused by the browser unless it is Secure, host-only
// and for the path / (RFC 6265bis §4.1.3.2).
func cookie(r *realm.Realm, value string, maxAge int) *http.Cookie {
	name := r.CookieName("")
	return &http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: maxAge,
		Secure:   strings.HasPrefix(name, "__Host-") || r.IssuerURL.Scheme == "https",
		HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
}
