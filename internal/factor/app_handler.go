package factor

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/portico-id/portico/internal/web"
)

// appView is templates/pages/factor/app.html.
type appView struct {
	Form     web.Form
	Setup    TOTPSetup
	Replaces bool // there is an app already, whose codes will stop working
}

// holder is the session as it was confirmed last. The browser is not enough:
// people share it. Nor is the session: whoever had a copy of its cookie until the
// person proved themselves again has seen what was shown before.
func holder(v visit) Holder {
	return HolderOf("session " + v.Session.ID.String() + " " + v.Session.ConfirmedAt.UTC().Format(time.RFC3339Nano))
}

func (h *Handler) appPage(c *gin.Context) error {
	v, ok, err := h.confirmed(c, home+"/app")
	if !ok {
		return err
	}
	setup, err := h.service.BeginTOTP(c.Request.Context(), v.Realm, v.Account, holder(v))
	if err != nil {
		return err
	}
	return h.pages.Render(c, http.StatusOK, "factor/app.html", appView{Setup: setup, Replaces: v.has.TOTP})
}

func (h *Handler) addApp(c *gin.Context) error {
	v, ok, err := h.confirmed(c, home+"/app")
	if !ok {
		return err
	}
	var form web.Form // the code is not shown again: it is another one by then
	code := c.PostForm("code")
	if foldCode(code) == "" {
		form.Add("code", "factor.app.error.empty")
	}
	var recovery []string
	if form.OK() {
		err = h.add(c, v, func(ctx context.Context) (err error) {
			recovery, err = h.service.FinishTOTP(ctx, v.Realm, v.Account, holder(v), code, v.by)
			return err
		}, "otp", "mfa")
		switch {
		case errors.Is(err, ErrCode):
			form.Add("code", "factor.app.error.code")
		case errors.Is(err, ErrSetup):
			form.Add("", "factor.app.error.setup")
		case err != nil:
			return err
		}
	}
	if !form.OK() {
		setup, err := h.service.ResumeTOTP(c.Request.Context(), v.Realm, v.Account, holder(v))
		if err != nil {
			return err
		}
		return h.pages.Render(c, http.StatusUnprocessableEntity, "factor/app.html",
			appView{Form: form, Setup: setup, Replaces: v.has.TOTP})
	}
	if recovery != nil {
		return h.pages.Render(c, http.StatusOK, "factor/codes.html", codesView{Codes: recovery, AppDone: true})
	}
	return h.done(c, v, "app")
}

func (h *Handler) removeAppPage(c *gin.Context) error {
	v, ok, err := h.confirmed(c, home)
	if !ok {
		return err
	}
	app, err := h.service.App(c.Request.Context(), v.Account.ID)
	switch {
	case err != nil:
		return err
	case app == nil:
		return web.NotFound()
	}
	view, err := h.removal(c, v, removeView{App: true, Since: app.CreatedAt, Action: home + "/app/remove"})
	if err != nil {
		return err
	}
	return h.pages.Render(c, http.StatusOK, "factor/remove.html", view)
}

func (h *Handler) removeApp(c *gin.Context) error {
	v, ok, err := h.confirmed(c, home)
	if !ok {
		return err
	}
	app, err := h.service.App(c.Request.Context(), v.Account.ID)
	if err != nil {
		return err
	}
	err = h.service.RemoveTOTP(c.Request.Context(), v.Realm, v.Account, v.by)
	switch {
	case errors.Is(err, ErrRequired) && app != nil:
		return h.refused(c, removeView{App: true, Since: app.CreatedAt, Action: home + "/app/remove"})
	case errors.Is(err, ErrNotFound): // removed already is as good
	case err != nil:
		return err
	}
	h.changed(c, v)
	return h.done(c, v, "app-removed")
}
