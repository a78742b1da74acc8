package account

import (
	"encoding/base64"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/secret"
)

const (
	typedCookie  = "typed"
	typedPurpose = "typed email"
	typedFor     = 30 * time.Minute
)

// Typed carries the email that somebody typed from one page to the next (sign
// in, forgot password, check your email), in a sealed cookie: in the address
// it would end up in logs and histories.
type Typed struct{ sealer *secret.Sealer }

// NewTyped seals with s.
func NewTyped(s *secret.Sealer) *Typed { return &Typed{s} }

// Remember keeps an address for half an hour. It says nothing about whether
// an account has it.
func (t *Typed) Remember(c *gin.Context, r *realm.Realm, email string) {
	if len(email) > maxEmail {
		return
	}
	sealed := t.sealer.Seal(typedPurpose, r.Name, []byte(email))
	setTyped(c, r, base64.RawURLEncoding.EncodeToString(sealed), int(typedFor.Seconds()))
}

// Recall is the address that was typed before, or "".
func (t *Typed) Recall(c *gin.Context, r *realm.Realm) string {
	cookie, err := c.Request.Cookie(r.CookieName(typedCookie))
	if err != nil {
		return ""
	}
	sealed, err := base64.RawURLEncoding.DecodeString(cookie.Value)
	if err != nil {
		return ""
	}
	email, err := t.sealer.Open(typedPurpose, r.Name, sealed)
	if err != nil {
		return ""
	}
	return string(email)
}

// Forget drops it.
func (t *Typed) Forget(c *gin.Context, r *realm.Realm) {
	if _, err := c.Request.Cookie(r.CookieName(typedCookie)); err == nil {
		setTyped(c, r, "", -1)
	}
}

func setTyped(c *gin.Context, r *realm.Realm, value string, maxAge int) {
	http.SetCookie(c.Writer, &http.Cookie{Name: r.CookieName(typedCookie), Value: value, Path: "/", MaxAge: maxAge,
		Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}
