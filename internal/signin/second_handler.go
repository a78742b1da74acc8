package signin

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/portico-id/portico/internal/factor"
	"github.com/portico-id/portico/internal/session"
	"github.com/portico-id/portico/internal/web"
)

// secondView is templates/pages/signin/second.html.
type secondView struct {
	Form     web.Form
	Step     string // what the proof is for, see halfway.name
	Client   string
	Options  string // for a passkey; "" when the person has none
	Code     bool   // an authenticator app or recovery codes are there
	App      bool   // an authenticator app is there
	Recovery bool   // a recovery code is asked for
	Other    string // leads to the other kind of code, "" when there is none
	Again    string // leads back to the first page; "" in a session
}

// halfway finds the person at this browser who has proved one thing and is to
// prove another: errStep when there is nobody.
func (h *Handler) halfway(c *gin.Context, t target) (halfway, error) {
	ctx := c.Request.Context()
	var found halfway
	if tok, ok := stepToken(c, t.realm); ok {
		p, a, err := h.service.findStep(ctx, t.realm, tok, web.Browser(c), t.id)
		if err != nil && !errors.Is(err, errStep) {
			return halfway{}, err
		}
		if err == nil {
			found.pending, found.account = &p, a
		}
	}
	if found.pending == nil {
		current, err := h.sessions.Current(c)
		if err != nil {
			return halfway{}, err
		}
		if current == nil {
			return halfway{}, errStep
		}
		a, err := h.service.accounts.Find(ctx, t.realm.Name, current.AccountID)
		if err != nil {
			return halfway{}, err
		}
		found.session, found.account = current, a
	}
	web.PreferLang(c, t.flow.UILocales, found.account.Locale)
	var err error
	found.has, err = h.service.factors.Of(ctx, found.account.ID)
	return found, err
}

// strong reports whether nothing is left to prove.
func (h halfway) strong() bool {
	return h.pending == nil && session.Reaches(h.session.ACR, session.TwoFactors)
}

// name tells what a proof is for, in the form that asks for it. The sign-in may
// be over by then, or another one, and a code for it is no try at whatever else
// this browser could prove.
func (h halfway) name() string {
	sum := sha256.Sum256([]byte(h.what()))
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

// what is the sign-in that waits, or the session.
func (h halfway) what() string {
	if h.pending != nil {
		return "sign-in " + string(h.pending.hash)
	}
	return "session " + h.session.ID.String()
}

// overdue reports whether the realm lets the session do nothing more without a
// second factor.
func (h halfway) overdue() bool { return h.pending == nil && h.session.Overdue }

// overStep is the page for a second step that cannot be finished any more.
func overStep(t target) error {
	return &web.Error{Status: http.StatusForbidden, Key: "error.second_over", Action: t.page(pathSignIn), Err: errStep}
}

// atSecond finds who is to prove something, or sends the browser on; then ok
// is false.
func (h *Handler) atSecond(c *gin.Context) (t target, at halfway, ok bool, err error) {
	if t, err = h.target(c); err != nil {
		return t, at, false, err
	}
	at, err = h.halfway(c, t)
	switch {
	case errors.Is(err, errStep):
		c.Redirect(http.StatusSeeOther, t.page(pathSignIn))
	case err != nil:
		return t, at, false, err
	case at.strong():
		c.Redirect(http.StatusSeeOther, t.realm.Path+t.next)
	case !at.has.Any() && at.pending == nil && t.direct && !at.overdue():
		c.Redirect(http.StatusSeeOther, t.realm.Path+t.next) // nothing to prove; the page there decides
	case !at.has.Any():
		c.Redirect(http.StatusSeeOther, t.page(pathEnrol))
	default:
		return t, at, true, nil
	}
	return t, at, false, nil
}

func (h *Handler) secondPage(c *gin.Context) error {
	t, at, ok, err := h.atSecond(c)
	if !ok {
		return err
	}
	return h.showSecond(c, http.StatusOK, t, at, web.Form{})
}

func (h *Handler) showSecond(c *gin.Context, status int, t target, at halfway, f web.Form) error {
	options, err := h.service.factors.Assertion(c.Request.Context(), t.realm, web.Browser(c), &at.account)
	if err != nil {
		return err
	}
	v := secondView{Form: f, Step: at.name(), Client: t.flow.NameIn(web.Lang(c)), Options: string(options), App: at.has.TOTP,
		Code: at.has.TOTP || at.has.RecoveryCodes > 0}
	v.Recovery = at.has.RecoveryCodes > 0 && (!at.has.TOTP || c.Query("code") == "recovery")
	if at.has.TOTP && at.has.RecoveryCodes > 0 {
		v.Other = t.page(pathSecond)
		if !v.Recovery {
			v.Other += separator(t) + "code=recovery"
		}
	}
	if at.pending != nil {
		v.Again = t.page(pathSignIn)
	}
	return h.pages.Render(c, status, "signin/second.html", v)
}

func separator(t target) string {
	if t.query == "" {
		return "?"
	}
	return "&"
}

// second takes a code, or what a passkey answered.
func (h *Handler) second(c *gin.Context) error {
	t, err := h.target(c)
	if err != nil {
		return err
	}
	at, err := h.halfway(c, t)
	switch {
	case errors.Is(err, errStep):
		return overStep(t)
	case err != nil:
		return err
	case at.strong() || !at.has.Any():
		c.Redirect(http.StatusSeeOther, t.page(pathSecond)) // which knows where to go
		return nil
	case c.PostForm("step") != at.name():
		return overStep(t)
	}
	var f web.Form // a code is not shown again: it is another one by then
	known := h.devices.find(c, t.realm, at.account.LoginEmail, at.account.CredentialVersion)
	prove, ok := h.proofOf(c, t, at, &f)
	if !ok {
		return h.showSecond(c, http.StatusUnprocessableEntity, t, at, f)
	}
	v, err := h.visitor(c, t)
	if err != nil {
		return err
	}
	out, err := h.service.second(c.Request.Context(), t.realm, v, at, known, prove)
	var failed *wrong
	switch {
	case err == nil:
		return h.letIn(c, t, out)
	case errors.Is(err, errStep):
		endStep(c, t.realm)
		if at.pending == nil {
			h.sessions.ClearCookie(c, t.realm)
		}
		return overStep(t)
	case slowDown(c, &f, "code", "second.error.slow_down", err):
	case errors.Is(err, factor.ErrTooMany):
		f.Add("code", "second.error.too_many")
	case errors.As(err, &failed) && errors.Is(err, factor.ErrCode):
		f.Add("code", "second.error.no_match", "n", failed.left)
	case errors.As(err, &failed):
		f.Add("", "second.error.passkey", "n", failed.left)
	default:
		return err
	}
	return h.showSecond(c, http.StatusUnprocessableEntity, t, at, f)
}

// proofOf reads which proof was sent. An empty code costs no try.
func (h *Handler) proofOf(c *gin.Context, t target, at halfway, f *web.Form) (proof, bool) {
	if response := c.PostForm("response"); response != "" {
		return func(ctx context.Context, count func(context.Context) error) ([]string, bool, error) {
			if err := count(ctx); err != nil {
				return nil, false, err
			}
			p, err := h.service.factors.VerifyAssertion(ctx, t.realm, web.Browser(c), []byte(response), &at.account.ID)
			return p.AMR, true, err
		}, true
	}
	code := c.PostForm("code")
	if code == "" {
		f.Add("code", "second.error.empty")
		return nil, false
	}
	known := h.devices.proved(c, t.realm, at.account, at.has.Since)
	return func(ctx context.Context, count func(context.Context) error) ([]string, bool, error) {
		amr, err := h.service.factors.VerifyCode(ctx, t.realm, at.account, code, by(c, at.account), factor.Try{Known: known, Count: count})
		return amr, false, err
	}, true
}
