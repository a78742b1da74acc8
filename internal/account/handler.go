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
	g.GET("/account/confirm", web.Handle(h.confirmPage))
	g.POST("/account/confirm", web.Handle(h.confirm))
	g.GET("/account/password", web.Handle(h.changePasswordPage))
	g.POST("/account/password", web.Handle(h.changePassword))
	g.GET("/account/email", web.Handle(h.emailPage))
	g.POST("/account/email", web.Handle(h.changeEmail))
	g.GET("/account/email/sent", web.Handle(h.emailSentPage))
	g.POST("/account/email/cancel", web.Handle(h.cancelEmail))
	g.GET("/account/question", web.Handle(h.questionPage))
	g.POST("/account/question", web.Handle(h.changeQuestion))
	g.GET("/account/profile", web.Handle(h.profilePage))
	g.POST("/account/profile", web.Handle(h.changeProfile))
	g.GET("/account/apps", web.Handle(h.appsPage))
	g.GET("/account/apps/remove", web.Handle(h.removeAppPage))
	g.POST("/account/apps/remove", web.Handle(h.removeApp))
	g.GET("/account/history", web.Handle(h.historyPage))
	g.GET("/account/language", web.Handle(h.languagePage))
	g.POST("/account/language", web.Handle(h.changeLanguage))
	g.POST("/account/sessions/end-others", web.Handle(h.endOtherSessions))
	g.POST("/account/sessions/:id/end", web.Handle(h.endSession))
	g.GET("/.well-known/change-password", web.Handle(h.wellKnown))

	g.GET("/email/done", web.Handle(h.emailDonePage))
	g.GET("/email/confirm", web.Handle(h.emailConfirmPage))
	g.POST("/email/confirm", web.Handle(h.confirmEmail))
	g.GET("/email/:token", web.Handle(h.emailLinkPage))
	g.POST("/email/:token", web.Handle(h.openEmailLink))
	g.GET("/freeze/done", web.Handle(h.freezeDonePage))
	g.GET("/freeze/confirm", web.Handle(h.freezeConfirmPage))
	g.POST("/freeze/confirm", web.Handle(h.freezeAccount))
	g.GET("/freeze/:token", web.Handle(h.freezeLinkPage))
	g.POST("/freeze/:token", web.Handle(h.openFreezeLink))

	g.GET("/activate/:token", web.Handle(h.invitationPage))
	g.POST("/activate/:token", web.Handle(h.openInvitation))
	g.GET("/activation/password", web.Handle(h.activationPasswordPage))
	g.POST("/activation/password", web.Handle(h.activationPassword))
	g.GET("/activation/question", web.Handle(h.activationQuestionPage))
	g.POST("/activation/question", web.Handle(h.activationQuestion))
	g.GET("/activation/done", web.Handle(h.activationDone))
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
	HasPassword     bool // the practice may have taken it away, see Unfreeze; a passkey signs in all the same
	PasswordChanged time.Time
	Waiting         string // an email that waits for its link
	HasQuestion     bool   // which one is asked behind a live link, and shown nowhere else
	SecondStep      bool   // there is a page for it
	Factors         FactorSummary
	Apps            int
	Practice        bool // the realm is one for staff
	Devices         []deviceView
	Done            string // what has just been done: one of doneThings
	Home, HomeName  string
}

type deviceView struct {
	ID       uuid.UUID
	Name     string
	LastSeen time.Time
	Current  bool
}

func (h *Handler) overview(c *gin.Context) error {
	v, ok, err := h.SignedIn(c, "/account")
	if !ok {
		return err
	}
	ctx := c.Request.Context()
	_, hasQuestion, err := h.service.Question(ctx, v.Account.ID)
	if err != nil {
		return err
	}
	hash, changed, err := h.service.passwordHash(ctx, v.Account.ID)
	if err != nil {
		return fmt.Errorf("find password: %w", err)
	}
	list, err := h.sessions.List(ctx, v.Realm, v.Account.ID)
	if err != nil {
		return err
	}
	lang := v.Account.Locale
	if !slices.Contains(v.Realm.Locales, lang) {
		lang = web.Lang(c)
	}
	view := overviewView{Name: v.Account.DisplayName(), Email: v.Account.LoginEmail,
		Language: h.service.catalog.T(lang, "language.name"), HasPassword: hash != "", PasswordChanged: changed, HasQuestion: hasQuestion,
		Practice: v.Realm.Kind == realm.Practice, Home: v.Realm.Home, HomeName: v.Realm.Brand.In(web.Lang(c)).Name}
	if done := c.Query("done"); slices.Contains(doneThings, done) {
		view.Done = done
	}
	if err := h.addOthers(c, v, &view); err != nil {
		return err
	}
	for _, s := range list {
		view.Devices = append(view.Devices, deviceView{ID: s.ID, Name: DeviceName(s.UserAgent),
			LastSeen: s.LastSeenAt, Current: s.ID == v.Session.ID})
	}
	return h.pages.Render(c, http.StatusOK, "account/account.html", view)
}

var doneThings = []string{"password", "language", "devices", "question", "email_cancelled"}

// addOthers adds what has pages of its own, as far as this server has them.
func (h *Handler) addOthers(c *gin.Context, v Visit, view *overviewView) (err error) {
	if view.Waiting, err = h.waitingEmail(c, v); err != nil {
		return err
	}
	apps, err := h.service.ConnectedApps(c.Request.Context(), v.Realm, v.Account)
	if err != nil {
		return err
	}
	view.Apps = len(apps)
	if h.service.peers.Factors == nil {
		return nil
	}
	view.SecondStep = true
	view.Factors, err = h.service.peers.Factors.Of(c.Request.Context(), v.Account.ID)
	return err
}

// languageView is templates/pages/account/language.html.
type languageView struct {
	Form    web.Form
	Options []web.Option
}

func (h *Handler) languagePage(c *gin.Context) error {
	v, ok, err := h.SignedIn(c, "/account/language")
	if !ok {
		return err
	}
	view := languageView{}
	for _, lang := range v.Realm.Locales {
		view.Options = append(view.Options, web.Option{Value: lang,
			Text: h.service.catalog.T(lang, "language.name"), Selected: lang == web.Lang(c)})
	}
	return h.pages.Render(c, http.StatusOK, "account/language.html", view)
}

func (h *Handler) changeLanguage(c *gin.Context) error {
	v, ok, err := h.SignedIn(c, "/account/language")
	if !ok {
		return err
	}
	lang := c.PostForm("language")
	if !slices.Contains(v.Realm.Locales, lang) {
		return web.BadRequest(errors.New("a language the realm does not have"))
	}
	if err := h.service.SetLocale(c.Request.Context(), v.Realm.Name, v.Account.ID, lang); err != nil {
		return fmt.Errorf("set language: %w", err)
	}
	// With lang in the query the pages follow at once, whatever was clicked before.
	c.Redirect(http.StatusSeeOther, v.Realm.Path+"/account?done=language&lang="+url.QueryEscape(lang))
	return nil
}

func (h *Handler) endSession(c *gin.Context) error {
	v, ok, err := h.SignedIn(c, "/account")
	if !ok {
		return err
	}
	id, err := uuid.Parse(c.Param("id"))
	if err != nil {
		return web.NotFound()
	}
	err = h.service.endSession(c.Request.Context(), v.Realm, v.Account, id, byPerson(c, v.Account))
	if err != nil && !errors.Is(err, session.ErrNotFound) { // over already is as good
		return err
	}
	if id == v.Session.ID {
		h.sessions.ClearCookie(c, v.Realm)
		c.Redirect(http.StatusSeeOther, v.Realm.Path+"/signin")
		return nil
	}
	c.Redirect(http.StatusSeeOther, v.Realm.Path+"/account?done=devices")
	return nil
}

func (h *Handler) endOtherSessions(c *gin.Context) error {
	v, ok, err := h.SignedIn(c, "/account")
	if !ok {
		return err
	}
	if err := h.service.endOtherSessions(c.Request.Context(), v.Realm, v.Account, v.Session.ID, byPerson(c, v.Account)); err != nil {
		return err
	}
	c.Redirect(http.StatusSeeOther, v.Realm.Path+"/account?done=devices")
	return nil
}

// wellKnown is where password managers find Change password
// (W3C, A Well-Known URL for Changing Passwords).
func (h *Handler) wellKnown(c *gin.Context) error {
	c.Redirect(http.StatusFound, realm.From(c.Request.Context()).Path+"/account/password")
	return nil
}

func auditSession(r *realm.Realm, a Account, by By, details map[string]any) audit.Event {
	return audit.Event{Realm: r.Name, Kind: "session.ended", Actor: by.Actor, Target: a.Actor(), IP: by.IP, Details: by.Details(details)}
}
