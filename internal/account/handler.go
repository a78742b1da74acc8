package account

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/secret"
	"github.com/portico-id/portico/internal/session"
	"github.com/portico-id/portico/internal/web"
)

// Handler shows the pages on which people look after their own account.
type Handler struct {
	pages    *web.Pages
	service  *Service
	sessions *session.Manager
}

// NewHandler makes the pages of a service.
func NewHandler(pages *web.Pages, s *Service) *Handler {
	return &Handler{pages: pages, service: s, sessions: s.sessions}
}

// Mount adds the routes, relative to the realm.
func (h *Handler) Mount(g gin.IRouter) {
	g = g.Group("", h.pages.Protect())
	g.GET("/account", web.Handle(h.overview))
	g.GET("/account/password", web.Handle(h.changePasswordPage))
	g.POST("/account/password", web.Handle(h.changePassword))
	g.GET("/account/language", web.Handle(h.languagePage))
	g.POST("/account/language", web.Handle(h.changeLanguage))
	g.POST("/account/sessions/end-others", web.Handle(h.endOtherSessions))
	g.POST("/account/sessions/:id/end", web.Handle(h.endSession))
	g.GET("/.well-known/change-password", web.Handle(h.wellKnown))

	g.GET("/activate/:token", web.Handle(h.invitationPage))
	g.POST("/activate/:token", web.Handle(h.openInvitation))
	g.GET("/activation/password", web.Handle(h.activationPasswordPage))
	g.POST("/activation/password", web.Handle(h.activationPassword))
	g.GET("/activation/question", web.Handle(h.activationQuestionPage))
	g.POST("/activation/question", web.Handle(h.activationQuestion))
	g.GET("/activation/done", web.Handle(h.activationDone))
}

// visit is who is signed in, for a page of My Account.
type visit struct {
	realm   *realm.Realm
	account Account
	session *session.Session
}

// signedIn finds the person, or sends the browser to sign in and back to page.
func (h *Handler) signedIn(c *gin.Context, page string) (v visit, ok bool, err error) {
	v.realm = realm.From(c.Request.Context())
	v.session, err = h.sessions.Current(c)
	if err != nil {
		return visit{}, false, fmt.Errorf("find session: %w", err)
	}
	if v.session != nil {
		v.account, err = h.service.Find(c.Request.Context(), v.realm.Name, v.session.AccountID)
		if err == nil {
			web.PreferLang(c, v.account.Locale)
			return v, true, nil
		}
		if !errors.Is(err, ErrNotFound) {
			return visit{}, false, err
		}
	}
	c.Redirect(http.StatusSeeOther, v.realm.Path+"/signin?return_to="+url.QueryEscape(page))
	return visit{}, false, nil
}

func byPerson(c *gin.Context, a Account) By {
	return By{Actor: a.Actor(), IP: ip(c), Device: DeviceName(web.UserAgent(c))}
}

func ip(c *gin.Context) string {
	if addr := web.ClientIP(c); addr.IsValid() {
		return addr.String()
	}
	return ""
}

func deviceOf(c *gin.Context) session.Device {
	return session.Device{UserAgent: web.UserAgent(c), IP: ip(c)}
}

// overviewView is templates/pages/account/account.html.
type overviewView struct {
	Name, Email     string
	Language        string
	PasswordChanged time.Time
	HasQuestion     bool // which one is asked behind a live link, and shown nowhere else
	Practice        bool // the realm is one for staff
	Devices         []deviceView
	Done            string // what has just been done: "password", "language", "devices"
	Home, HomeName  string
}

type deviceView struct {
	ID       uuid.UUID
	Name     string
	LastSeen time.Time
	Current  bool
}

func (h *Handler) overview(c *gin.Context) error {
	v, ok, err := h.signedIn(c, "/account")
	if !ok {
		return err
	}
	ctx := c.Request.Context()
	_, hasQuestion, err := h.service.Question(ctx, v.account.ID)
	if err != nil {
		return err
	}
	_, changed, err := h.service.passwordHash(ctx, v.account.ID)
	if err != nil {
		return fmt.Errorf("find password: %w", err)
	}
	list, err := h.sessions.List(ctx, v.realm, v.account.ID)
	if err != nil {
		return err
	}
	lang := v.account.Locale
	if !slices.Contains(v.realm.Locales, lang) {
		lang = web.Lang(c)
	}
	view := overviewView{Name: v.account.DisplayName(), Email: v.account.LoginEmail,
		Language: h.service.catalog.T(lang, "language.name"), PasswordChanged: changed, HasQuestion: hasQuestion,
		Practice: v.realm.Kind == realm.Practice, Home: v.realm.Home, HomeName: v.realm.Brand.In(web.Lang(c)).Name}
	if done := c.Query("done"); slices.Contains([]string{"password", "language", "devices"}, done) {
		view.Done = done
	}
	for _, s := range list {
		view.Devices = append(view.Devices, deviceView{ID: s.ID, Name: DeviceName(s.UserAgent),
			LastSeen: s.LastSeenAt, Current: s.ID == v.session.ID})
	}
	return h.pages.Render(c, http.StatusOK, "account/account.html", view)
}

// languageView is templates/pages/account/language.html.
type languageView struct {
	Form    web.Form
	Options []web.Option
}

func (h *Handler) languagePage(c *gin.Context) error {
	v, ok, err := h.signedIn(c, "/account/language")
	if !ok {
		return err
	}
	view := languageView{}
	for _, lang := range v.realm.Locales {
		view.Options = append(view.Options, web.Option{Value: lang,
			Text: h.service.catalog.T(lang, "language.name"), Selected: lang == web.Lang(c)})
	}
	return h.pages.Render(c, http.StatusOK, "account/language.html", view)
}

func (h *Handler) changeLanguage(c *gin.Context) error {
	v, ok, err := h.signedIn(c, "/account/language")
	if !ok {
		return err
	}
	lang := c.PostForm("language")
	if !slices.Contains(v.realm.Locales, lang) {
		return web.BadRequest(errors.New("a language the realm does not have"))
	}
	if err := h.service.SetLocale(c.Request.Context(), v.realm.Name, v.account.ID, lang); err != nil {
		return fmt.Errorf("set language: %w", err)
	}
	// With lang in the query the pages follow at once, whatever was clicked before.
	c.Redirect(http.StatusSeeOther, v.realm.Path+"/account?done=language&lang="+url.QueryEscape(lang))
	return nil
}

func (h *Handler) endSession(c *gin.Context) error {
	v, ok, err := h.signedIn(c, "/account")
	if !ok {
		return err
	}
	id, err := uuid.Parse(c.Param("id"))
	if err != nil {
		return web.NotFound()
	}
	err = h.service.endSession(c.Request.Context(), v.realm, v.account, id, byPerson(c, v.account))
	if err != nil && !errors.Is(err, session.ErrNotFound) { // over already is as good
		return err
	}
	if id == v.session.ID {
		h.sessions.ClearCookie(c, v.realm)
		c.Redirect(http.StatusSeeOther, v.realm.Path+"/signin")
		return nil
	}
	c.Redirect(http.StatusSeeOther, v.realm.Path+"/account?done=devices")
	return nil
}

func (h *Handler) endOtherSessions(c *gin.Context) error {
	v, ok, err := h.signedIn(c, "/account")
	if !ok {
		return err
	}
	if err := h.service.endOtherSessions(c.Request.Context(), v.realm, v.account, v.session.ID, byPerson(c, v.account)); err != nil {
		return err
	}
	c.Redirect(http.StatusSeeOther, v.realm.Path+"/account?done=devices")
	return nil
}

// wellKnown is where password managers find Change password
// (W3C, A Well-Known URL for Changing Passwords).
func (h *Handler) wellKnown(c *gin.Context) error {
	c.Redirect(http.StatusFound, realm.From(c.Request.Context()).Path+"/account/password")
	return nil
}

// setFlow keeps a walk's token in a cookie of its own kind, for the browser's
// session.
func setFlow(c *gin.Context, r *realm.Realm, kind string, token secret.Token) {
	http.SetCookie(c.Writer, &http.Cookie{Name: r.CookieName(kind), Value: token.Reveal(), Path: "/",
		Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

func flowOf(c *gin.Context, r *realm.Realm, kind string) (secret.Token, bool) {
	cookie, err := c.Request.Cookie(r.CookieName(kind))
	if err != nil {
		return secret.Token{}, false
	}
	token, err := secret.ParseToken(cookie.Value)
	return token, err == nil
}

func auditSession(r *realm.Realm, a Account, by By, details map[string]any) audit.Event {
	return audit.Event{Realm: r.Name, Kind: "session.ended", Actor: by.Actor, Target: a.Actor(), IP: by.IP, Details: details}
}
