package account

import (
	"context"
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/secret"
)

// link is one kind of link in our letters, and the walk that begins with it.
type link struct {
	open   func(context.Context, *realm.Realm, secret.Token) (flow secret.Token, err error)
	over   error // of open: the link works no more
	cookie string
	next   string // the first page of the walk
	gone   func(*gin.Context) error
}

// swap takes the token of a link for a flow cookie, so that it leaves the
// address bar and the browser's history, and decides nothing: mail scanners send
// forms too.
func (l link) swap(c *gin.Context) error {
	r := realm.From(c.Request.Context())
	token, err := secret.ParseToken(c.Param("token"))
	if err != nil {
		return l.gone(c)
	}
	flow, err := l.open(c.Request.Context(), r, token)
	switch {
	case errors.Is(err, l.over):
		return l.gone(c)
	case err != nil:
		return err
	}
	setFlow(c, r, l.cookie, flow)
	c.Redirect(http.StatusSeeOther, r.Path+l.next)
	return nil
}

// setFlow keeps a walk's token in a cookie of its own kind, for the browser's
// session.
func setFlow(c *gin.Context, r *realm.Realm, kind string, token secret.Token) {
	http.SetCookie(c.Writer, &http.Cookie{Name: r.CookieName(kind), Value: token.Reveal(), Path: "/",
		Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

func flowOf(c *gin.Context, r *realm.Realm, kind string) (secret.Token, bool) {
	cookie, err := c.Request.Cookie(r.CookieName(kind))
	if err != nil {
		return secret.Token{}, false
	}
	token, err := secret.ParseToken(cookie.Value)
	return token, err == nil
}
