package account

import (
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/secret"
	"github.com/portico-id/portico/internal/web"
)

// freezeView is templates/pages/account/freeze.html, and freeze_link.html. The
// email is the letter's, masked, not the account's: the thief's is none of the
// reader's business, and nobody learns a new one from an old mailbox.
type freezeView struct {
	Form  web.Form
	Email string
}

// freezeLinkPage looks and changes nothing: mail scanners open every link.
func (h *Handler) freezeLinkPage(c *gin.Context) error {
	token, err := secret.ParseToken(c.Param("token"))
	if err != nil {
		return h.linkGone(c)
	}
	r := realm.From(c.Request.Context())
	l, err := h.service.freezeLinkByToken(c.Request.Context(), r, token)
	return h.showFreeze(c, http.StatusOK, "account/freeze_link.html", l, err, web.Form{})
}

// showFreeze shows a page about a link, or that it is gone or has nothing left
// to do.
func (h *Handler) showFreeze(c *gin.Context, status int, page string, l freezeLink, err error, f web.Form) error {
	if errors.Is(err, ErrFreezeLink) {
		return h.linkGone(c)
	}
	if err != nil {
		return err
	}
	web.PreferLang(c, l.account.Locale)
	if l.idle() {
		return h.pages.Render(c, http.StatusOK, "account/freeze_done.html", nil)
	}
	return h.pages.Render(c, status, page, freezeView{Form: f, Email: MaskEmail(l.email)})
}

func (h *Handler) openFreezeLink(c *gin.Context) error {
	return link{h.service.openFreezeLink, ErrFreezeLink, freezeCookie, "/freeze/confirm", h.linkGone}.swap(c)
}

func (h *Handler) freezeConfirmPage(c *gin.Context) error {
	r := realm.From(c.Request.Context())
	flow, found := flowOf(c, r, freezeCookie)
	if !found {
		return h.linkGone(c)
	}
	l, err := h.service.freezeLinkByFlow(c.Request.Context(), r, flow)
	return h.showFreeze(c, http.StatusOK, "account/freeze.html", l, err, web.Form{})
}

// freezeAccount is the answer, yes or no. Neither is chosen beforehand: a mail
// scanner that goes on from the link and sends what it finds locks nobody out.
func (h *Handler) freezeAccount(c *gin.Context) error {
	r := realm.From(c.Request.Context())
	flow, found := flowOf(c, r, freezeCookie)
	if !found {
		return h.linkGone(c)
	}
	if decision := c.PostForm("decision"); decision != "yes" {
		l, err := h.service.freezeLinkByFlow(c.Request.Context(), r, flow)
		if decision != "no" || err != nil {
			return h.showFreeze(c, http.StatusUnprocessableEntity, "account/freeze.html", l, err, undecided())
		}
		web.PreferLang(c, l.account.Locale)
		return h.unchanged(c)
	}
	err := h.service.freezeByLink(c.Request.Context(), r, flow, web.Network(c), byStranger(c))
	var slow *Throttled
	switch {
	case errors.Is(err, ErrFreezeLink), errors.Is(err, ErrNotFound):
		return h.linkGone(c)
	case errors.As(err, &slow):
		return web.Busy(slow.Wait, err)
	case err != nil:
		return err
	}
	c.Redirect(http.StatusSeeOther, r.Path+"/freeze/done")
	return nil
}

func (h *Handler) freezeDonePage(c *gin.Context) error {
	r := realm.From(c.Request.Context())
	flow, found := flowOf(c, r, freezeCookie)
	if !found {
		return h.linkGone(c)
	}
	l, err := h.service.freezeLinkByFlow(c.Request.Context(), r, flow)
	if errors.Is(err, ErrFreezeLink) || err == nil && l.account.FrozenAt == nil {
		return h.linkGone(c)
	}
	if err != nil {
		return err
	}
	web.PreferLang(c, l.account.Locale)
	return h.pages.Render(c, http.StatusOK, "account/freeze_done.html", nil)
}
