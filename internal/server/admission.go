package server

import (
	"net/http"
	"sync"

	"github.com/gin-gonic/gin"

	"github.com/portico-id/portico/internal/password"
	"github.com/portico-id/portico/internal/web"
)

// admit turns sign-ins away at the door when as many are inside as can be
// verified within the wait that the hashing queue allows. Without it each of a
// flood of guesses would be looked up and counted first, and the other
// endpoints would wait for that. The form is read before a place is taken, and
// the place is left before the answer is written, so that neither a slow sender
// nor a slow reader holds one.
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
		leave = sync.OnceFunc(leave)
		defer leave()
		c.Writer = &leaving{c.Writer, leave}
		c.Next()
		return nil
	})
}

// leaving calls leave before the first byte of the answer is written.
type leaving struct {
	gin.ResponseWriter
	leave func()
}

func (w *leaving) Write(p []byte) (int, error) {
	w.leave()
	return w.ResponseWriter.Write(p)
}

func (w *leaving) WriteString(s string) (int, error) {
	w.leave()
	return w.ResponseWriter.WriteString(s)
}

func (w *leaving) WriteHeaderNow() {
	w.leave()
	w.ResponseWriter.WriteHeaderNow()
}

func (w *leaving) Flush() {
	w.leave()
	w.ResponseWriter.Flush()
}
