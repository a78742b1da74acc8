package account

import (
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/portico-id/portico/internal/password"
	"github.com/portico-id/portico/internal/web"
)

// passwordView is templates/pages/account/password.html.
type passwordView struct {
	Form     web.Form
	Username string
	Min      int
}

func (h *Handler) changePasswordPage(c *gin.Context) error {
	v, ok, err := h.signedIn(c, "/account/password")
	if !ok {
		return err
	}
	return h.showChangePassword(c, http.StatusOK, v, web.Form{})
}

func (h *Handler) showChangePassword(c *gin.Context, status int, v visit, f web.Form) error {
	return h.pages.Render(c, status, "account/password.html",
		passwordView{Form: f, Username: v.account.LoginEmail, Min: v.realm.Password.MinLength})
}

func (h *Handler) changePassword(c *gin.Context) error {
	v, ok, err := h.signedIn(c, "/account/password")
	if !ok {
		return err
	}
	var f web.Form
	current, plain := c.PostForm("current-password"), c.PostForm("new-password")
	if current == "" {
		f.Add("current-password", "password.error.empty")
	}
	CheckNewPassword(&f, h.service.CheckPassword(v.realm, v.account, plain), plain, c.PostForm("confirm-password"))
	if !f.OK() {
		return h.showChangePassword(c, http.StatusUnprocessableEntity, v, f)
	}
	token, err := h.service.ChangePassword(c.Request.Context(), v.realm, v.account, v.session.ID, current, plain,
		deviceOf(c), byPerson(c, v.account))
	var slow *Throttled
	var problem *password.Problem
	switch {
	case err == nil:
		h.sessions.SetCookie(c, v.realm, token)
		c.Redirect(http.StatusSeeOther, v.realm.Path+"/account?done=password")
		return nil
	case errors.Is(err, errSessionOver):
		h.sessions.ClearCookie(c, v.realm)
		c.Redirect(http.StatusSeeOther, v.realm.Path+"/signin?return_to=/account/password")
		return nil
	case errors.As(err, &slow):
		f.Add("current-password", "signin.error.slow_down", "n", slow.Minutes(), "minutes", slow.Minutes())
	case errors.Is(err, ErrCredentials):
		f.Add("current-password", "password.error.current")
	case errors.Is(err, ErrSamePassword):
		f.Add("new-password", "password.error.same")
	case errors.As(err, &problem):
		f.Add("new-password", problem.Key, problem.Args...)
	default:
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
