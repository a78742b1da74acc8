package server

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/portico-id/portico/internal/password"
	"github.com/portico-id/portico/internal/web"
)

// admit turns sign-ins away at the door when as many are inside as can be
// verified within the wait that the hashing queue allows. Without it each of a
// flood of guesses would be looked up and counted first, and the other
// endpoints would wait for that. The form is read before a place is taken, so
// that a slow sender holds none.
func admit(h *password.Hasher) gin.HandlerFunc {
	return web.Handle(func(c *gin.Context) error {
		if c.Request.Method != http.MethodPost || c.FullPath() != "/signin" ||
			c.ContentType() != "application/x-www-form-urlencoded" {
			return nil // the page itself says what is wrong
		}
		if err := web.ReadForm(c); err != nil {
			return err
		}
		leave, err := h.Enter(password.Passwords)
		if err != nil {
			return err
		}
		defer leave()
		c.Next()
		return nil
	})
}
