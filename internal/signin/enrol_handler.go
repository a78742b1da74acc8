package signin

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/factor"
	"github.com/portico-id/portico/internal/web"
)

// enrolView is templates/pages/signin/enrol.html.
type enrolView struct {
	Form       web.Form
	Client     string
	Until      time.Time // when it has to be done; zero: now, or never
	Must       bool      // the realm demands a second factor of this person
	NotNow     bool      // it may wait
	App        string    // where to set one up
	Passkey    string    // the same; "" where there are no passkeys
	ForRequest bool      // a client insists, the realm does not
}

// enrolAppView is templates/pages/signin/enrol_app.html.
type enrolAppView struct {
	Form  web.Form
	Setup factor.TOTPSetup
	Back  string
}

// enrolPasskeyView is templates/pages/signin/enrol_passkey.html.
type enrolPasskeyView struct {
	Form    web.Form
	Options string
	Back    string
}

// codesView is templates/pages/signin/codes.html.
type codesView struct {
	Codes []string
	Next  string
}

// atEnrol finds the person who is to set a second factor up, or sends the
// browser on; then ok is false. Who waits has just typed the password. In a
// session that has to be so too: an open browser is not enough to add what
// proves a person.
func (h *Handler) atEnrol(c *gin.Context) (t target, at halfway, ok bool, err error) {
	if t, err = h.target(c); err != nil {
		return t, at, false, err
	}
	at, err = h.halfway(c, t)
	switch {
	case errors.Is(err, errStep):
		c.Redirect(http.StatusSeeOther, t.page(pathSignIn))
	case err != nil:
		return t, at, false, err
	case at.strong(), at.pending == nil && t.direct && !at.overdue():
		c.Redirect(http.StatusSeeOther, t.realm.Path+t.next)
	case at.has.Any():
		c.Redirect(http.StatusSeeOther, t.page(pathSecond))
	case at.pending == nil && h.service.db.Now(c.Request.Context()).Sub(at.session.ConfirmedAt) > t.realm.Lifetimes.Reauthentication:
		c.Redirect(http.StatusSeeOther, t.page(pathSignIn))
	default:
		return t, at, true, nil
	}
	return t, at, false, nil
}

func (h *Handler) enrolPage(c *gin.Context) error {
	t, at, ok, err := h.atEnrol(c)
	if !ok {
		return err
	}
	v, err := h.enrolView(c, t, at)
	if err != nil {
		return err
	}
	return h.pages.Render(c, http.StatusOK, "signin/enrol.html", v)
}

func (h *Handler) enrolView(c *gin.Context, t target, at halfway) (enrolView, error) {
	ctx := c.Request.Context()
	v := enrolView{Client: t.flow.NameIn(web.Lang(c)), NotNow: true, App: t.page(pathEnrolApp), ForRequest: at.pending == nil && !at.overdue()}
	switch _, err := h.service.factors.Creation(ctx, t.realm, web.Browser(c), at.account); {
	case err == nil:
		v.Passkey = t.page(pathEnrolPasskey)
	case !errors.Is(err, factor.ErrNoPasskeys):
		return enrolView{}, err
	}
	if v.ForRequest {
		return v, nil
	}
	until, err := h.service.deadline(ctx, t.realm, at.account.ID)
	if err != nil || until == nil {
		return v, err
	}
	v.Must, v.NotNow = true, h.service.db.Now(ctx).Before(*until)
	if v.NotNow {
		v.Until = *until
	}
	return v, nil
}

// notNow goes on without a second factor, where that is allowed.
func (h *Handler) notNow(c *gin.Context) error {
	t, at, ok, err := h.atEnrol(c)
	if !ok {
		return err
	}
	onward := t.realm.Path + t.next
	if !t.direct {
		onward += "&declined=1" // counts only where the client insists on more
	}
	view, err := h.enrolView(c, t, at)
	switch {
	case err != nil:
		return err
	case !view.NotNow:
		view.Form.Add("", "enrol.error.required")
		return h.pages.Render(c, http.StatusUnprocessableEntity, "signin/enrol.html", view)
	case at.pending == nil:
		c.Redirect(http.StatusSeeOther, onward)
		return nil
	}
	if err := h.complete(c, t, at, nil, nil); err != nil {
		return err
	}
	c.Redirect(http.StatusSeeOther, onward)
	return nil
}

// complete lets a person in who does what this page asks, and sets the
// cookies. set sets up, in the transaction that lets them in, what proves amr;
// nil for nothing. So nothing that proves the person is left by somebody who
// did not get in.
func (h *Handler) complete(c *gin.Context, t target, at halfway, amr []string, set func(ctx context.Context) error) error {
	v, err := h.visitor(c, t)
	if err != nil {
		return err
	}
	if set != nil {
		set = h.service.enrolled(t.realm, at, set)
	}
	var out outcome
	if at.pending == nil {
		out, err = h.service.strengthen(c.Request.Context(), t.realm, v, at, amr, false, set)
	} else {
		known := h.devices.find(c, t.realm, at.account.LoginEmail, at.account.CredentialVersion)
		out, err = h.service.finish(c.Request.Context(), t.realm, v, at, known, amr, set)
	}
	if errors.Is(err, errStep) || errors.Is(err, factor.ErrChanged) {
		endStep(c, t.realm)
		return overStep(t)
	}
	if err != nil {
		return err
	}
	if set != nil {
		// Worth less than being in: without an answer the browser stays a stranger
		// to the second step.
		if has, err := h.service.factors.Of(c.Request.Context(), at.account.ID); err == nil {
			out.since = has.Since
		}
	}
	h.arrived(c, t, out)
	return nil
}

func by(c *gin.Context, a account.Account) account.By {
	who := account.By{Actor: a.Actor(), Device: account.DeviceName(web.UserAgent(c))}
	if addr := web.ClientIP(c); addr.IsValid() {
		who.IP = addr.String()
	}
	return who
}

// holder is who is shown how to set an authenticator app up: of a session, only
// since its person was confirmed last.
func (h halfway) holder() factor.Holder {
	who := h.what()
	if h.pending == nil {
		who += " " + h.session.ConfirmedAt.UTC().Format(time.RFC3339Nano)
	}
	return factor.HolderOf(who)
}

func (h *Handler) appPage(c *gin.Context) error {
	t, at, ok, err := h.atEnrol(c)
	if !ok {
		return err
	}
	setup, err := h.service.factors.BeginTOTP(c.Request.Context(), t.realm, at.account, at.holder())
	if err != nil {
		return err
	}
	return h.pages.Render(c, http.StatusOK, "signin/enrol_app.html", enrolAppView{Setup: setup, Back: t.page(pathEnrol)})
}

func (h *Handler) addApp(c *gin.Context) error {
	t, at, ok, err := h.atEnrol(c)
	if !ok {
		return err
	}
	ctx := c.Request.Context()
	var f web.Form
	code := c.PostForm("code")
	if code == "" {
		f.Add("code", "second.error.empty")
	}
	var codes []string
	if f.OK() {
		err = h.complete(c, t, at, []string{"otp"}, func(ctx context.Context) (err error) {
			codes, err = h.service.factors.FinishTOTP(ctx, t.realm, at.account, at.holder(), code, by(c, at.account))
			return err
		})
		switch {
		case errors.Is(err, factor.ErrCode):
			f.Add("code", "factor.app.error.code")
		case errors.Is(err, factor.ErrSetup):
			f.Add("", "factor.app.error.setup")
		case err != nil:
			return err
		}
	}
	if !f.OK() {
		setup, err := h.service.factors.ResumeTOTP(ctx, t.realm, at.account, at.holder())
		if err != nil {
			return err
		}
		return h.pages.Render(c, http.StatusUnprocessableEntity, "signin/enrol_app.html",
			enrolAppView{Form: f, Setup: setup, Back: t.page(pathEnrol)})
	}
	return h.enrolled(c, t, codes)
}

func (h *Handler) passkeyPage(c *gin.Context) error {
	t, at, ok, err := h.atEnrol(c)
	if !ok {
		return err
	}
	var f web.Form
	f.Set("name", account.DeviceName(web.UserAgent(c)))
	return h.showEnrolPasskey(c, http.StatusOK, t, at, f)
}

func (h *Handler) showEnrolPasskey(c *gin.Context, status int, t target, at halfway, f web.Form) error {
	options, err := h.service.factors.Creation(c.Request.Context(), t.realm, web.Browser(c), at.account)
	if errors.Is(err, factor.ErrNoPasskeys) {
		return web.NotFound()
	}
	if err != nil {
		return err
	}
	return h.pages.Render(c, status, "signin/enrol_passkey.html", enrolPasskeyView{Form: f, Options: string(options), Back: t.page(pathEnrol)})
}

func (h *Handler) addPasskey(c *gin.Context) error {
	t, at, ok, err := h.atEnrol(c)
	if !ok {
		return err
	}
	f := web.NewForm(c, "name")
	who := by(c, at.account)
	var codes []string
	err = h.complete(c, t, at, []string{"user"}, func(ctx context.Context) (err error) {
		err = h.service.factors.FinishPasskey(ctx, t.realm, web.Browser(c), at.account, []byte(c.PostForm("response")), f.Value("name"), who)
		if err != nil || at.has.RecoveryCodes > 0 {
			return err
		}
		codes, err = h.service.factors.NewRecoveryCodes(ctx, t.realm, at.account, who)
		return err
	})
	switch {
	case err == nil:
	case errors.Is(err, factor.ErrNoPasskeys):
		return web.NotFound()
	case errors.Is(err, factor.ErrChallenge), errors.Is(err, factor.ErrPasskey), errors.Is(err, factor.ErrKnown), errors.Is(err, factor.ErrFull):
		f.Add("", "enrol.error.passkey")
		return h.showEnrolPasskey(c, http.StatusUnprocessableEntity, t, at, f)
	default:
		return err
	}
	return h.enrolled(c, t, codes)
}

// enrolled shows the recovery codes to a person who is in. They stand in this
// answer and nowhere else, so it is a page and no redirect.
func (h *Handler) enrolled(c *gin.Context, t target, codes []string) error {
	if codes == nil {
		c.Redirect(http.StatusSeeOther, t.realm.Path+t.next)
		return nil
	}
	return h.pages.Render(c, http.StatusOK, "signin/codes.html", codesView{Codes: codes, Next: t.realm.Path + t.next})
}
