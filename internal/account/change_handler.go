package account

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/portico-id/portico/internal/password"
	"github.com/portico-id/portico/internal/session"
	"github.com/portico-id/portico/internal/web"
)

// passwordView is templates/pages/account/password.html.
type passwordView struct {
	Form     web.Form
	Username string
	Min      int
}

func (h *Handler) changePasswordPage(c *gin.Context) error {
	v, ok, err := h.protected(c, "/account/password")
	if !ok {
		return err
	}
	if ok, err := h.hasPassword(c, v); !ok {
		return err
	}
	return h.showChangePassword(c, http.StatusOK, v, web.Form{})
}

// hasPassword sends whoever has no password to the way to one: the practice took
// it away, and a passkey signed in. When ok is false the answer is written.
func (h *Handler) hasPassword(c *gin.Context, v Visit) (ok bool, err error) {
	hash, _, err := h.service.passwordHash(c.Request.Context(), v.Account.ID)
	if err != nil {
		return false, fmt.Errorf("find password: %w", err)
	}
	if hash == "" {
		c.Redirect(http.StatusSeeOther, v.Realm.Path+"/forgot")
	}
	return hash != "", nil
}

func (h *Handler) showChangePassword(c *gin.Context, status int, v Visit, f web.Form) error {
	return h.pages.Render(c, status, "account/password.html",
		passwordView{Form: f, Username: v.Account.LoginEmail, Min: v.Realm.Password.MinLength})
}

func (h *Handler) changePassword(c *gin.Context) error {
	v, ok, err := h.protected(c, "/account/password")
	if ok {
		v, ok, err = h.stillOpen(c, v, "/account/password")
	}
	if !ok {
		return err
	}
	var f web.Form
	current, plain := c.PostForm("current-password"), c.PostForm("new-password")
	if current == "" {
		f.Add("current-password", "password.error.empty")
	}
	CheckNewPassword(&f, h.service.CheckPassword(v.Realm, v.Account, plain), plain, c.PostForm("confirm-password"))
	if !f.OK() {
		return h.showChangePassword(c, http.StatusUnprocessableEntity, v, f)
	}
	s, token, err := h.service.ChangePassword(c.Request.Context(), v.Realm, v.Account, *v.Session, current, plain,
		deviceOf(c), byPerson(c, v.Account))
	switch {
	case err == nil:
		h.sessions.StartCookie(c, v.Realm, s, token)
		c.Redirect(http.StatusSeeOther, v.Realm.Path+"/account?done=password")
		return nil
	case errors.Is(err, errSessionOver), errors.Is(err, session.ErrNotFound):
		return h.sessionOver(c, v.Realm, "/account/password")
	case !addConfirmProblem(&f, "current-password", err) && !addPasswordProblem(&f, err):
		return err
	}
	return h.showChangePassword(c, http.StatusUnprocessableEntity, v, f)
}

// CheckNewPassword adds to a form what is wrong with a new password and its
// repetition. judged is the answer of CheckPassword.
func CheckNewPassword(f *web.Form, judged error, plain, confirm string) {
	var problem *password.Problem
	if errors.As(judged, &problem) {
		f.Add("new-password", problem.Key, problem.Args...)
		return
	}
	if plain != confirm {
		f.Add("confirm-password", "password.error.mismatch")
	}
}
