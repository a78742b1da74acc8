package session

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/secret"
)

// stateCookie is the kind of the cookie that scripts may read.
const stateCookie = "state"

// stateOf is what tells one session of a browser from the next (OpenID Connect
// Session Management §3.2). It follows from the token and leads back to
// nothing: the token has 256 random bits.
func stateOf(tok secret.Token) string {
	sum := sha256.Sum256([]byte("browser state\n" + tok.Reveal()))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// BrowserState is the state of the browser's session, and makes the cookie say
// the same; "" when nobody is signed in, as Current has found out. Only realms
// with session management have the cookie.
func (m *Manager) BrowserState(c *gin.Context, r *realm.Realm) (string, error) {
	current, err := m.Current(c)
	if err != nil {
		return "", err
	}
	state := ""
	if current != nil {
		if ck, err := c.Request.Cookie(r.CookieName("")); err == nil {
			if tok, err := secret.ParseToken(ck.Value); err == nil {
				state = stateOf(tok)
			}
		}
	}
	sent := ""
	if ck, err := c.Request.Cookie(r.CookieName(stateCookie)); err == nil {
		sent = ck.Value
	}
	if sent != state {
		showState(c, r, state, sent)
	}
	return state, nil
}

// showState sets the cookie that scripts in a frame of ours read. It is for
// frames on clients' pages, so it has to travel there (SameSite=None), and it
// is worth nothing anywhere else.
func showState(c *gin.Context, r *realm.Realm, state, sent string) {
	if !r.OAuth.SessionManagement || state == "" && sent == "" && !hasCookie(c, r.CookieName(stateCookie)) {
		return
	}
	ck := &http.Cookie{Name: r.CookieName(stateCookie), Value: state, Path: "/", Secure: true, SameSite: http.SameSiteNoneMode}
	if state == "" {
		ck.MaxAge = -1
	}
	http.SetCookie(c.Writer, ck)
}

func hasCookie(c *gin.Context, name string) bool {
	return strings.Contains(c.GetHeader("Cookie"), name+"=")
}
