package account

import (
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/portico-id/portico/internal/password"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/secret"
	"github.com/portico-id/portico/internal/web"
)

// activationCookie is the kind of the cookie that holds a walk through an
// invitation. It is good for nothing else.
const activationCookie = "activation"

// invitationView is templates/pages/account/invitation.html.
type invitationView struct {
	Token string
	Email string // masked
}

// invitationPage looks and changes nothing: mail scanners open every link.
func (h *Handler) invitationPage(c *gin.Context) error {
	r, ctx := realm.From(c.Request.Context()), c.Request.Context()
	token, err := secret.ParseToken(c.Param("token"))
	if err != nil {
		return h.invitationGone(c)
	}
	inv, err := h.service.invitationByToken(ctx, r, token)
	if errors.Is(err, ErrInvitation) {
		return h.invitationGone(c)
	}
	if err != nil {
		return err
	}
	web.PreferLang(c, inv.Account.Locale)
	return h.pages.Render(c, http.StatusOK, "account/invitation.html",
		invitationView{Token: token.Reveal(), Email: MaskEmail(inv.Account.LoginEmail)})
}

func (h *Handler) invitationGone(c *gin.Context) error {
	return h.pages.Render(c, http.StatusGone, "account/gone.html", nil)
}

func (h *Handler) openInvitation(c *gin.Context) error {
	return link{h.service.openInvitation, ErrInvitation, activationCookie, "/activation/password", h.invitationGone}.swap(c)
}

// activating finds the walk of this browser, or answers that it is over.
func (h *Handler) activating(c *gin.Context) (r *realm.Realm, flow secret.Token, inv invitation, ok bool, err error) {
	r = realm.From(c.Request.Context())
	flow, found := flowOf(c, r, activationCookie)
	if !found {
		return r, flow, inv, false, h.invitationGone(c)
	}
	inv, err = h.service.walk(c.Request.Context(), r, flow)
	if errors.Is(err, ErrInvitation) {
		return r, flow, inv, false, h.invitationGone(c)
	}
	if err != nil {
		return r, flow, inv, false, err
	}
	web.PreferLang(c, inv.Account.Locale)
	return r, flow, inv, true, nil
}

func (h *Handler) activationPasswordPage(c *gin.Context) error {
	r, _, inv, ok, err := h.activating(c)
	if !ok {
		return err
	}
	return h.showActivationPassword(c, http.StatusOK, r, inv, web.Form{})
}

// showActivationPassword is templates/pages/account/activation_password.html.
func (h *Handler) showActivationPassword(c *gin.Context, status int, r *realm.Realm, inv invitation, f web.Form) error {
	return h.pages.Render(c, status, "account/activation_password.html",
		passwordView{Form: f, Username: inv.Account.LoginEmail, Min: r.Password.MinLength})
}

func (h *Handler) activationPassword(c *gin.Context) error {
	r, flow, inv, ok, err := h.activating(c)
	if !ok {
		return err
	}
	var f web.Form
	plain := c.PostForm("new-password")
	CheckNewPassword(&f, h.service.CheckPassword(r, inv.Account, plain), plain, c.PostForm("confirm-password"))
	if !f.OK() {
		return h.showActivationPassword(c, http.StatusUnprocessableEntity, r, inv, f)
	}
	err = h.service.choosePassword(c.Request.Context(), r, flow, plain)
	var problem *password.Problem
	var slow *Throttled
	switch {
	case errors.Is(err, ErrInvitation):
		return h.invitationGone(c)
	case errors.As(err, &slow):
		return web.Busy(slow.Wait, err)
	case errors.As(err, &problem):
		f.Add("new-password", problem.Key, problem.Args...)
		return h.showActivationPassword(c, http.StatusUnprocessableEntity, r, inv, f)
	case err != nil:
		return err
	}
	c.Redirect(http.StatusSeeOther, r.Path+"/activation/question")
	return nil
}

// questionView is templates/pages/account/activation_question.html, and
// question.html.
type questionView struct {
	Form      web.Form
	Questions []web.Option
}

func (h *Handler) activationQuestionPage(c *gin.Context) error {
	r, _, inv, ok, err := h.activating(c)
	if !ok {
		return err
	}
	if inv.PasswordHash == "" {
		c.Redirect(http.StatusSeeOther, r.Path+"/activation/password")
		return nil
	}
	return h.showActivationQuestion(c, http.StatusOK, web.Form{})
}

func (h *Handler) showActivationQuestion(c *gin.Context, status int, f web.Form) error {
	return h.pages.Render(c, status, "account/activation_question.html", questionView{Form: f, Questions: h.questionOptions(c)})
}

func (h *Handler) activationQuestion(c *gin.Context) error {
	r, flow, inv, ok, err := h.activating(c)
	if !ok {
		return err
	}
	f := web.NewForm(c, "question")
	err = h.service.activate(c.Request.Context(), r, flow, f.Value("question"), c.PostForm("answer"), byPerson(c, inv.Account))
	var slow *Throttled
	switch {
	case err == nil:
		c.Redirect(http.StatusSeeOther, r.Path+"/activation/done")
		return nil
	case errors.Is(err, ErrInvitation):
		return h.invitationGone(c)
	case errors.As(err, &slow):
		return web.Busy(slow.Wait, err)
	case errors.Is(err, errStep):
		c.Redirect(http.StatusSeeOther, r.Path+"/activation/password")
		return nil
	case !addAnswerProblem(&f, err):
		return err
	}
	return h.showActivationQuestion(c, http.StatusUnprocessableEntity, f)
}

// doneView is templates/pages/account/activation_done.html.
type doneView struct{ Next string }

func (h *Handler) activationDone(c *gin.Context) error {
	r := realm.From(c.Request.Context())
	flow, found := flowOf(c, r, activationCookie)
	if !found {
		return h.invitationGone(c)
	}
	inv, err := h.service.walked(c.Request.Context(), r, flow)
	if errors.Is(err, ErrInvitation) {
		return h.invitationGone(c)
	}
	if err != nil {
		return err
	}
	web.PreferLang(c, inv.Account.Locale)
	return h.pages.Render(c, http.StatusOK, "account/activation_done.html", doneView{Next: SignInLink(r, inv.ClientID)})
}

// SignInLink is where "Sign in" leads at the end of a journey: to the client
// that the person came from, else to the realm's portal, else to My Account.
// Only configured addresses are ever used.
func SignInLink(r *realm.Realm, clientID string) string {
	if client, ok := r.Client(clientID); ok {
		if client.InitiateLoginURI != "" {
			return client.InitiateLoginURI
		}
		if client.ClientURI != "" {
			return client.ClientURI
		}
	}
	if r.Home != "" {
		return r.Home
	}
	return r.URL("/account")
}
