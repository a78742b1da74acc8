package oauth

import (
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"net/http"
	"net/url"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/secret"
	"github.com/portico-id/portico/internal/web"
)

// addSessionState tells the client what its frame compares later (OpenID
// Connect Session Management §2), in realms that have session management: with
// errors too, so that somebody who is signed out is heard to sign in. A database
// that does not answer costs the client that, and nothing else.
func (p *Provider) addSessionState(c *gin.Context, r *realm.Realm, a *authorization, parameters url.Values) {
	if !r.OAuth.SessionManagement || embedded(c, r) {
		return
	}
	state, err := p.sessions.BrowserState(c, r)
	if err != nil || state == "" && !parameters.Has("error") {
		return
	}
	salt := secret.NewToken().Reveal()[:22]
	parameters.Set("session_state", sessionState(a.client.ID, originOf(a.redirectURI), state, salt))
}

// embedded reports whether a browser keeps the session's cookie back from this
// request: a form of another site, or a frame in one. Then nothing is known about
// the session. The cookie for scripts does come along, and if it were made to say
// that nobody is signed in, any site could have all clients hear of a sign-out.
func embedded(c *gin.Context, r *realm.Realm) bool {
	if _, err := c.Request.Cookie(r.CookieName("")); err == nil {
		return false
	}
	if c.Request.Method != http.MethodGet {
		return true
	}
	to := c.GetHeader("Sec-Fetch-Dest")
	return c.GetHeader("Sec-Fetch-Site") == "cross-site" && to != "" && to != "document"
}

// sessionState is the value of session_state. templates/static/session.js makes
// the same out of what it is sent and the browser's cookie.
func sessionState(client, origin, state, salt string) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{client, origin, state, salt}, " ")))
	return base64.RawURLEncoding.EncodeToString(sum[:]) + "." + salt
}

// checkPage is the frame that clients ask whether anything has changed. It
// shows nothing and takes no clicks, so any page may frame it; what it answers
// says nothing to those who do not have a session_state.
var checkPage = template.Must(template.New("session").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Session</title>
<script src="{{.Script}}" data-cookie="{{.Cookie}}" defer></script></head><body></body></html>
`))

func (p *Provider) checkSession(c *gin.Context) error {
	r := realm.From(c.Request.Context())
	if !r.OAuth.SessionManagement {
		return web.NotFound()
	}
	script, err := p.pages.AssetURL(r, "session.js")
	if err != nil {
		return err
	}
	header := c.Writer.Header()
	header.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors *")
	header.Set("Cross-Origin-Resource-Policy", "cross-origin")
	header.Del("Cross-Origin-Opener-Policy")
	header.Set("Content-Type", "text/html; charset=utf-8")
	c.Status(http.StatusOK)
	return checkPage.Execute(c.Writer, map[string]string{"Script": script, "Cookie": r.CookieName("state")})
}
