package factor

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/secret"
	"github.com/portico-id/portico/internal/session"
	"github.com/portico-id/portico/internal/web"
)

// Guard finds the person who is signed in and has proved it a short time ago,
// or answers the request. account.Handler is one.
type Guard interface {
	Confirmed(c *gin.Context, page string) (account.Visit, bool, error)
}

// Handler shows the pages on which people look after their second factors.
type Handler struct {
	pages   *web.Pages
	service *Service
	guard   Guard
	proved  func(c *gin.Context, r *realm.Realm, a account.Account, since time.Time)
}

// NewHandler makes the pages of a service.
func NewHandler(pages *web.Pages, s *Service, guard Guard) *Handler {
	return &Handler{pages: pages, service: s, guard: guard}
}

// OnProved has fn told of a browser that holds a session of two factors when what
// the account has has changed in it, and since when (Summary.Since).
func (h *Handler) OnProved(fn func(c *gin.Context, r *realm.Realm, a account.Account, since time.Time)) {
	h.proved = fn
}

// changed tells OnProved. What has changed stands, whatever comes of that.
func (h *Handler) changed(c *gin.Context, v visit) {
	if h.proved == nil {
		return
	}
	if has, err := h.service.Of(c.Request.Context(), v.Account.ID); err == nil && has.Any() {
		h.proved(c, v.Realm, v.Account, has.Since)
	}
}

const home = "/account/second-step"

// Mount adds the routes, relative to the realm.
func (h *Handler) Mount(g gin.IRouter) {
	g = g.Group(home, h.pages.Protect())
	g.GET("", h.handle(h.overview))
	g.GET("/app", h.handle(h.appPage))
	g.POST("/app", h.handle(h.addApp))
	g.GET("/app/remove", h.handle(h.removeAppPage))
	g.POST("/app/remove", h.handle(h.removeApp))
	g.GET("/passkey", h.handle(h.passkeyPage))
	g.POST("/passkey", h.handle(h.addPasskey))
	g.GET("/passkey/:id/rename", h.handle(h.renamePage))
	g.POST("/passkey/:id/rename", h.handle(h.rename))
	g.GET("/passkey/:id/remove", h.handle(h.removePasskeyPage))
	g.POST("/passkey/:id/remove", h.handle(h.removePasskey))
	g.GET("/codes", h.handle(h.codesPage))
	g.POST("/codes", h.handle(h.makeCodes))
}

// handle sends whoever was thrown out of the account meanwhile back to the
// overview, which asks who they are.
func (h *Handler) handle(fn func(*gin.Context) error) gin.HandlerFunc {
	return web.Handle(func(c *gin.Context) error {
		err := fn(c)
		if errors.Is(err, ErrChanged) {
			c.Redirect(http.StatusSeeOther, realm.From(c.Request.Context()).Path+home)
			return nil
		}
		return err
	})
}

// visit is a person who may change their second factors.
type visit struct {
	account.Visit
	has Summary
	by  account.By
}

// confirmed lets those through who have just proved themselves. Where there is
// a second factor already it has to have been part of that: a password alone,
// in a session from before, must neither take a factor away nor add the
// factor of whoever has stolen the password.
func (h *Handler) confirmed(c *gin.Context, page string) (visit, bool, error) {
	v, ok, err := h.guard.Confirmed(c, page)
	if !ok {
		return visit{}, false, err
	}
	has, err := h.service.Of(c.Request.Context(), v.Account.ID)
	if err != nil {
		return visit{}, false, err
	}
	if has.Any() && !session.Reaches(v.Session.ACR, session.TwoFactors) {
		c.Redirect(http.StatusSeeOther, v.Realm.Path+"/signin/second?return_to="+url.QueryEscape(page))
		return visit{}, false, nil
	}
	by := account.By{Actor: v.Account.Actor(), Device: account.DeviceName(web.UserAgent(c))}
	if addr := web.ClientIP(c); addr.IsValid() {
		by.IP = addr.String()
	}
	return visit{v, has, by}, true, nil
}

// overviewView is templates/pages/factor/overview.html.
type overviewView struct {
	Has      Summary
	App      *App
	Passkeys []Passkey
	Full     bool // no more passkeys
	Possible bool // the realm can have passkeys
	Required bool // the realm demands a second factor of this account
	Done     string
}

// what the overview may be told has just been done.
var dones = []string{"app", "app-removed", "passkey", "passkey-renamed", "passkey-removed"}

func (h *Handler) overview(c *gin.Context) error {
	v, ok, err := h.confirmed(c, home)
	if !ok {
		return err
	}
	ctx := c.Request.Context()
	_, impossible := party(v.Realm)
	view := overviewView{Has: v.has, Full: v.has.Passkeys >= v.Realm.Factors.PasskeysPerPerson, Possible: impossible == nil}
	if view.App, err = h.service.App(ctx, v.Account.ID); err != nil {
		return err
	}
	if view.Passkeys, err = h.service.Passkeys(ctx, v.Realm, v.Account.ID); err != nil {
		return err
	}
	if view.Required, err = h.service.Required(ctx, v.Realm, v.Account.ID); err != nil {
		return err
	}
	if done := c.Query("done"); slices.Contains(dones, done) {
		view.Done = done
	}
	return h.pages.Render(c, http.StatusOK, "factor/overview.html", view)
}

func (h *Handler) done(c *gin.Context, v visit, what string) error {
	c.Redirect(http.StatusSeeOther, v.Realm.Path+home+"?done="+what)
	return nil
}

// add adds a factor and makes the session in which that happens one of two
// factors: the person has just used both. The cookie is a new one, since a
// session that gains must not be one that somebody has copied. Both happen or
// neither, and in a session of one factor only while there is no other: whoever
// was second has to prove what the first one has added. ErrChanged says so, and
// that the session is over.
func (h *Handler) add(c *gin.Context, v visit, set func(ctx context.Context) error, amr ...string) error {
	ctx := c.Request.Context()
	if session.Reaches(v.Session.ACR, session.TwoFactors) {
		err := set(ctx)
		if err == nil {
			h.changed(c, v)
		}
		return err
	}
	all := slices.Clone(v.Session.AMR)
	for _, one := range amr {
		if !slices.Contains(all, one) {
			all = append(all, one)
		}
	}
	var token secret.Token
	err := h.service.DB.InTx(ctx, func(ctx context.Context) error {
		if _, err := h.service.lock(ctx, v.Realm, v.Account); err != nil {
			return err
		}
		has, err := h.service.Of(ctx, v.Account.ID)
		switch {
		case err != nil:
			return err
		case has.Any():
			return ErrChanged
		}
		if err := set(ctx); err != nil {
			return err
		}
		token, err = h.service.Sessions.Strengthen(ctx, v.Realm, v.Session.ID, session.Method{ACR: session.TwoFactors, AMR: all})
		if errors.Is(err, session.ErrNotFound) {
			return ErrChanged
		}
		return err
	})
	if err != nil {
		return err
	}
	h.service.Sessions.SetCookie(c, v.Realm, token)
	h.changed(c, v)
	return nil
}

// removeView is templates/pages/factor/remove.html.
type removeView struct {
	Form     web.Form
	Name     string // of a passkey; "" with App
	App      bool
	Last     bool // nothing is left after it
	Required bool // and the realm demands one: it stays
	Action   string
	Since    time.Time
}

func (h *Handler) removal(c *gin.Context, v visit, view removeView) (removeView, error) {
	view.Last = factors(v.has) == 1
	if !view.Last {
		return view, nil
	}
	required, err := h.service.Required(c.Request.Context(), v.Realm, v.Account.ID)
	view.Required = required
	return view, err
}

// refused shows why a factor stays, which the page said before it was sent.
func (h *Handler) refused(c *gin.Context, view removeView) error {
	view.Last, view.Required = true, true
	view.Form.Add("", "factor.remove.error.required")
	return h.pages.Render(c, http.StatusUnprocessableEntity, "factor/remove.html", view)
}

// codesView is templates/pages/factor/codes.html.
type codesView struct {
	Codes   []string // to be shown this once; empty: the question whether to make some
	Left    int
	AppDone bool // an authenticator app was added a moment ago
	KeyDone bool
}

func (h *Handler) codesPage(c *gin.Context) error {
	v, ok, err := h.confirmed(c, home+"/codes")
	if !ok {
		return err
	}
	if !v.has.Any() {
		c.Redirect(http.StatusSeeOther, v.Realm.Path+home)
		return nil
	}
	return h.pages.Render(c, http.StatusOK, "factor/codes.html",
		codesView{Left: v.has.RecoveryCodes, KeyDone: c.Query("done") == "passkey"})
}

// makeCodes answers with the codes themselves: they are in no store and no
// address from which the page could be shown again.
func (h *Handler) makeCodes(c *gin.Context) error {
	v, ok, err := h.confirmed(c, home+"/codes")
	if !ok {
		return err
	}
	codes, err := h.service.NewRecoveryCodes(c.Request.Context(), v.Realm, v.Account, v.by)
	switch {
	case errors.Is(err, ErrNotFound):
		c.Redirect(http.StatusSeeOther, v.Realm.Path+home)
		return nil
	case err != nil:
		return err
	}
	return h.pages.Render(c, http.StatusOK, "factor/codes.html", codesView{Codes: codes})
}

func idOf(c *gin.Context) (uuid.UUID, error) {
	id, err := uuid.Parse(c.Param("id"))
	if err != nil {
		return uuid.Nil, web.NotFound()
	}
	return id, nil
}
