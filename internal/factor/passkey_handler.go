package factor

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/gin-gonic/gin"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/web"
)

// passkeyView is templates/pages/factor/passkey.html.
type passkeyView struct {
	Form    web.Form
	Options string // for navigator.credentials.create; "" when none can be created
	Full    bool
}

func (h *Handler) passkeyPage(c *gin.Context) error {
	v, ok, err := h.confirmed(c, home+"/passkey")
	if !ok {
		return err
	}
	var form web.Form
	form.Set("name", account.DeviceName(web.UserAgent(c)))
	return h.showPasskey(c, http.StatusOK, v, form)
}

func (h *Handler) showPasskey(c *gin.Context, status int, v visit, form web.Form) error {
	options, err := h.service.Creation(c.Request.Context(), v.Realm, web.Browser(c), v.Account)
	view := passkeyView{Form: form, Options: string(options)}
	switch {
	case errors.Is(err, ErrNoPasskeys):
		return web.NotFound()
	case errors.Is(err, ErrFull):
		view.Full = true
	case err != nil:
		return err
	}
	return h.pages.Render(c, status, "factor/passkey.html", view)
}

func (h *Handler) addPasskey(c *gin.Context) error {
	v, ok, err := h.confirmed(c, home+"/passkey")
	if !ok {
		return err
	}
	form := web.NewForm(c, "name")
	if CleanName(form.Value("name")) == "" {
		form.Add("name", "factor.passkey.error.name")
		return h.showPasskey(c, http.StatusUnprocessableEntity, v, form)
	}
	response := c.PostForm("response")
	if response == "" {
		form.Add("", "factor.passkey.error.none")
		return h.showPasskey(c, http.StatusUnprocessableEntity, v, form)
	}
	err = h.add(c, v, func(ctx context.Context) error {
		return h.service.FinishPasskey(ctx, v.Realm, web.Browser(c), v.Account, []byte(response), form.Value("name"), v.by)
	}, "user", "mfa")
	switch {
	case err == nil:
	case errors.Is(err, ErrNoPasskeys):
		return web.NotFound()
	case errors.Is(err, ErrChallenge):
		form.Add("", "factor.passkey.error.old")
	case errors.Is(err, ErrKnown):
		form.Add("", "factor.passkey.error.known")
	case errors.Is(err, ErrFull):
		form.Add("", "factor.passkey.error.full")
	case errors.Is(err, ErrPasskey):
		form.Add("", "factor.passkey.error.refused")
	default:
		return err
	}
	if !form.OK() {
		return h.showPasskey(c, http.StatusUnprocessableEntity, v, form)
	}
	if v.has.RecoveryCodes == 0 {
		c.Redirect(http.StatusSeeOther, v.Realm.Path+home+"/codes?done=passkey")
		return nil
	}
	return h.done(c, v, "passkey")
}

// theirs finds the person, confirmed a moment ago, and the passkey of theirs
// that the address names. When ok is false the answer is written, or err says
// what it is.
func (h *Handler) theirs(c *gin.Context) (v visit, p Passkey, ok bool, err error) {
	if v, ok, err = h.confirmed(c, home); !ok {
		return v, p, false, err
	}
	id, err := idOf(c)
	if err != nil {
		return v, p, false, err
	}
	all, err := h.service.Passkeys(c.Request.Context(), v.Realm, v.Account.ID)
	if err != nil {
		return v, p, false, err
	}
	i := slices.IndexFunc(all, func(p Passkey) bool { return p.ID == id })
	if i < 0 {
		return v, p, false, web.NotFound()
	}
	return v, all[i], true, nil
}

// renameView is templates/pages/factor/rename.html.
type renameView struct{ Form web.Form }

func (h *Handler) renamePage(c *gin.Context) error {
	_, p, ok, err := h.theirs(c)
	if !ok {
		return err
	}
	var form web.Form
	form.Set("name", p.Name)
	return h.pages.Render(c, http.StatusOK, "factor/rename.html", renameView{form})
}

func (h *Handler) rename(c *gin.Context) error {
	v, p, ok, err := h.theirs(c)
	if !ok {
		return err
	}
	form := web.NewForm(c, "name")
	if CleanName(form.Value("name")) == "" {
		form.Add("name", "factor.passkey.error.name")
		return h.pages.Render(c, http.StatusUnprocessableEntity, "factor/rename.html", renameView{form})
	}
	err = h.service.RenamePasskey(c.Request.Context(), v.Realm, v.Account, p.ID, form.Value("name"), v.by)
	if errors.Is(err, ErrNotFound) {
		return web.NotFound()
	}
	if err != nil {
		return err
	}
	return h.done(c, v, "passkey-renamed")
}

func (h *Handler) removePasskeyPage(c *gin.Context) error {
	v, p, ok, err := h.theirs(c)
	if !ok {
		return err
	}
	view, err := h.removal(c, v, removalOf(p))
	if err != nil {
		return err
	}
	return h.pages.Render(c, http.StatusOK, "factor/remove.html", view)
}

func removalOf(p Passkey) removeView {
	return removeView{Name: p.Name, Since: p.CreatedAt, Action: home + "/passkey/" + p.ID.String() + "/remove"}
}

func (h *Handler) removePasskey(c *gin.Context) error {
	v, p, ok, err := h.theirs(c)
	if !ok {
		return err
	}
	err = h.service.RemovePasskey(c.Request.Context(), v.Realm, v.Account, p.ID, v.by)
	switch {
	case errors.Is(err, ErrRequired):
		return h.refused(c, removalOf(p))
	case errors.Is(err, ErrNotFound): // removed already is as good
	case err != nil:
		return err
	}
	h.changed(c, v)
	return h.done(c, v, "passkey-removed")
}
