package recovery

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/password"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/secret"
	"github.com/portico-id/portico/internal/session"
	"github.com/portico-id/portico/internal/web"
)

// flowCookie is the kind of the cookie that holds a walk through a link. It is
// good for nothing else.
const flowCookie = "recovery"

// Flows knows from which client a browser came. oauth has it. Unknown and
// expired flows give "" and no error.
type Flows interface {
	ClientOf(ctx context.Context, r *realm.Realm, flow uuid.UUID, browser []byte) (clientID string, err error)
}

// Handler shows the pages of the journey.
type Handler struct {
	pages    *web.Pages
	service  *Service
	accounts *account.Service
	sessions *session.Manager
	flows    Flows
	typed    *account.Typed
}

// NewHandler makes the pages of a service.
func NewHandler(pages *web.Pages, s *Service, sessions *session.Manager, flows Flows, typed *account.Typed) *Handler {
	return &Handler{pages: pages, service: s, accounts: s.accounts, sessions: sessions, flows: flows, typed: typed}
}

// Mount adds the routes, relative to the realm.
func (h *Handler) Mount(g gin.IRouter) {
	g = g.Group("", h.pages.Protect())
	g.GET("/forgot", web.Handle(h.forgotPage))
	g.POST("/forgot", web.Handle(h.forgot))
	g.GET("/forgot/sent", web.Handle(h.sentPage))
	g.GET("/reset/:token", web.Handle(h.linkPage))
	g.POST("/reset/:token", web.Handle(h.open))
	g.GET("/recovery/question", web.Handle(h.questionPage))
	g.POST("/recovery/question", web.Handle(h.answer))
	g.GET("/recovery/password", web.Handle(h.passwordPage))
	g.POST("/recovery/password", web.Handle(h.setPassword))
	g.GET("/recovery/done", web.Handle(h.donePage))
	g.GET("/recovery/help", web.Handle(h.helpPage))
}

// forgotView is templates/pages/recovery/forgot.html.
type forgotView struct {
	Form web.Form
	Flow string
}

// sentView is templates/pages/recovery/sent.html.
type sentView struct {
	Email, Flow string
	Hours       int
}

// flowID is the flow in the query, if it looks like one: it is carried along
// so that the way back to the client is kept.
func flowID(c *gin.Context) (id uuid.UUID, text string) {
	id, err := uuid.Parse(c.Query("flow"))
	if err != nil {
		return uuid.Nil, ""
	}
	return id, id.String()
}

func (h *Handler) forgotPage(c *gin.Context) error {
	_, flow := flowID(c)
	var f web.Form
	f.Set("email", h.typed.Recall(c, realm.From(c.Request.Context())))
	return h.pages.Render(c, http.StatusOK, "recovery/forgot.html", forgotView{Form: f, Flow: flow})
}

func (h *Handler) forgot(c *gin.Context) error {
	r, ctx := realm.From(c.Request.Context()), c.Request.Context()
	id, flow := flowID(c)
	f := web.NewForm(c, "email")
	email, err := account.NormalizeEmail(f.Value("email"))
	if err != nil {
		f.Add("email", "email.error.format")
		return h.pages.Render(c, http.StatusUnprocessableEntity, "recovery/forgot.html", forgotView{Form: f, Flow: flow})
	}
	clientID := ""
	if flow != "" {
		if clientID, err = h.flows.ClientOf(ctx, r, id, web.Browser(c)); err != nil {
			return fmt.Errorf("find client: %w", err)
		}
	}
	err = h.service.Request(ctx, r, Ask{Email: email, ClientID: clientID, Locale: web.Lang(c), Network: web.Network(c)})
	if err != nil {
		return err
	}
	h.typed.Remember(c, r, email)
	next := r.Path + "/forgot/sent"
	if flow != "" {
		next += "?flow=" + url.QueryEscape(flow)
	}
	c.Redirect(http.StatusSeeOther, next)
	return nil
}

func (h *Handler) sentPage(c *gin.Context) error {
	r := realm.From(c.Request.Context())
	_, flow := flowID(c)
	email := h.typed.Recall(c, r)
	if email == "" {
		c.Redirect(http.StatusSeeOther, r.Path+"/forgot")
		return nil
	}
	return h.pages.Render(c, http.StatusOK, "recovery/sent.html", sentView{Email: email, Flow: flow,
		Hours: int(r.Lifetimes.ResetLink.Hours())})
}

// linkView is templates/pages/recovery/link.html.
type linkView struct {
	Email    string // masked
	SignedIn string // the email of whoever is signed in here, "" for nobody
	Waived   bool   // no question is asked
}

// linkPage looks and changes nothing: mail scanners open every link.
func (h *Handler) linkPage(c *gin.Context) error {
	r, ctx := realm.From(c.Request.Context()), c.Request.Context()
	token, err := secret.ParseToken(c.Param("token"))
	if err != nil {
		return h.gone(c, "")
	}
	l, err := h.service.byToken(ctx, r, token)
	if errors.Is(err, ErrTicket) {
		waits, err := h.service.waits(ctx, r, token)
		if err != nil {
			return err
		}
		if waits {
			return h.gone(c, "waiting")
		}
		return h.gone(c, "")
	}
	if err != nil {
		return err
	}
	web.PreferLang(c, l.locale)
	view := linkView{Email: account.MaskEmail(l.ticket.Email), Waived: l.ticket.Waived()}
	current, err := h.sessions.Current(c)
	if err != nil {
		return err
	}
	if current != nil {
		a, err := h.accounts.Find(ctx, r.Name, current.AccountID)
		if err != nil {
			return fmt.Errorf("find who is signed in: %w", err)
		}
		view.SignedIn = a.LoginEmail
	}
	return h.pages.Render(c, http.StatusOK, "recovery/link.html", view)
}

// goneView is templates/pages/recovery/gone.html. Why is "", "answers" when
// the link ran out of tries a moment ago, "locked", or "waiting" for staff.
type goneView struct{ Why string }

// gone is the one page for a link that does not work, whatever the reason.
func (h *Handler) gone(c *gin.Context, why string) error {
	return h.pages.Render(c, http.StatusGone, "recovery/gone.html", goneView{why})
}

// open swaps the token for a flow cookie, so that it leaves the address bar
// and the browser's history.
func (h *Handler) open(c *gin.Context) error {
	r := realm.From(c.Request.Context())
	token, err := secret.ParseToken(c.Param("token"))
	if err != nil {
		return h.gone(c, "")
	}
	flow, err := h.service.open(c.Request.Context(), r, token, by(c).IP)
	if errors.Is(err, ErrTicket) {
		return h.gone(c, "")
	}
	if err != nil {
		return err
	}
	http.SetCookie(c.Writer, &http.Cookie{Name: r.CookieName(flowCookie), Value: flow.Reveal(), Path: "/",
		Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
	c.Redirect(http.StatusSeeOther, r.Path+"/recovery/question")
	return nil
}

// walking proves this browser's way so far, or answers that it is over.
func (h *Handler) walking(c *gin.Context) (r *realm.Realm, w walk, ok bool, err error) {
	r = realm.From(c.Request.Context())
	flow, found := cookieFlow(c, r)
	if !found {
		return r, w, false, h.gone(c, "")
	}
	w, err = h.service.walk(c.Request.Context(), r, flow)
	if errors.Is(err, ErrTicket) {
		return r, w, false, h.gone(c, "")
	}
	if err != nil {
		return r, w, false, err
	}
	web.PreferLang(c, w.locale)
	return r, w, true, nil
}

func cookieFlow(c *gin.Context, r *realm.Realm) (secret.Token, bool) {
	cookie, err := c.Request.Cookie(r.CookieName(flowCookie))
	if err != nil {
		return secret.Token{}, false
	}
	flow, err := secret.ParseToken(cookie.Value)
	return flow, err == nil
}

func by(c *gin.Context) account.By {
	b := account.By{Device: account.DeviceName(web.UserAgent(c))}
	if ip := web.ClientIP(c); ip.IsValid() {
		b.IP = ip.String()
	}
	return b
}

// questionView is templates/pages/recovery/question.html.
type questionView struct {
	Form     web.Form
	Question string // its sentence in the locales
}

func (h *Handler) questionPage(c *gin.Context) error {
	r, w, ok, err := h.walking(c)
	if !ok {
		return err
	}
	if w.answered {
		c.Redirect(http.StatusSeeOther, r.Path+"/recovery/password")
		return nil
	}
	return h.showQuestion(c, http.StatusOK, w, web.Form{})
}

func (h *Handler) showQuestion(c *gin.Context, status int, w walk, f web.Form) error {
	key, ok, err := h.accounts.Question(c.Request.Context(), w.ticket.AccountID)
	if err != nil {
		return err
	}
	if !ok {
		// Never a way around the question: this is where it ends online.
		return h.pages.Render(c, http.StatusOK, "recovery/help.html", helpView{})
	}
	return h.pages.Render(c, status, "recovery/question.html",
		questionView{Form: f, Question: account.QuestionSentence(key)})
}

func (h *Handler) answer(c *gin.Context) error {
	r, w, ok, err := h.walking(c)
	if !ok {
		return err
	}
	if w.answered { // a second click
		c.Redirect(http.StatusSeeOther, r.Path+"/recovery/password")
		return nil
	}
	if _, ok, err := h.accounts.Question(c.Request.Context(), w.ticket.AccountID); err != nil || !ok {
		if err != nil {
			return err
		}
		return h.showQuestion(c, http.StatusOK, w, web.Form{})
	}
	err = h.service.answer(c.Request.Context(), r, w.flow, c.PostForm("answer"), by(c).IP)
	var f web.Form
	var miss *wrong
	switch {
	case err == nil:
		c.Redirect(http.StatusSeeOther, r.Path+"/recovery/password")
		return nil
	case errors.As(err, &miss) && miss.locked:
		return h.gone(c, "locked")
	case errors.As(err, &miss) && miss.left == 0, errors.Is(err, errNoTries):
		return h.gone(c, "answers")
	case errors.As(err, &miss):
		f.Add("answer", "question.error.no_match", "n", miss.left)
	case errors.Is(err, account.ErrAnswerEmpty):
		f.Add("answer", "question.error.empty")
	case errors.Is(err, ErrTicket):
		return h.gone(c, "")
	default:
		return err
	}
	return h.showQuestion(c, http.StatusUnprocessableEntity, w, f)
}

// passwordView is templates/pages/recovery/password.html.
type passwordView struct {
	Form     web.Form
	Username string
	Min      int
	Waived   bool // no question was asked
}

func (h *Handler) passwordPage(c *gin.Context) error {
	r, w, ok, err := h.walking(c)
	if !ok {
		return err
	}
	if !w.answered {
		c.Redirect(http.StatusSeeOther, r.Path+"/recovery/question")
		return nil
	}
	return h.showPassword(c, http.StatusOK, r, w, web.Form{})
}

func (h *Handler) showPassword(c *gin.Context, status int, r *realm.Realm, w walk, f web.Form) error {
	return h.pages.Render(c, status, "recovery/password.html",
		passwordView{Form: f, Username: w.ticket.Email, Min: r.Password.MinLength, Waived: w.ticket.Waived()})
}

func (h *Handler) setPassword(c *gin.Context) error {
	r, w, ok, err := h.walking(c)
	if !ok {
		return err
	}
	if !w.answered {
		c.Redirect(http.StatusSeeOther, r.Path+"/recovery/question")
		return nil
	}
	ctx := c.Request.Context()
	a, err := h.accounts.Find(ctx, r.Name, w.ticket.AccountID)
	if err != nil {
		return fmt.Errorf("find account: %w", err)
	}
	var f web.Form
	plain := c.PostForm("new-password")
	account.CheckNewPassword(&f, h.accounts.CheckPassword(r, a, plain), plain, c.PostForm("confirm-password"))
	if !f.OK() {
		return h.showPassword(c, http.StatusUnprocessableEntity, r, w, f)
	}
	err = h.service.reset(ctx, r, w.flow, plain, by(c))
	var problem *password.Problem
	var slow *account.Throttled
	switch {
	case err == nil:
		c.Redirect(http.StatusSeeOther, r.Path+"/recovery/done")
		return nil
	case errors.Is(err, ErrTicket):
		return h.gone(c, "")
	case errors.As(err, &slow):
		return web.Busy(slow.Wait, err)
	case errors.Is(err, errStep):
		c.Redirect(http.StatusSeeOther, r.Path+"/recovery/question")
		return nil
	case errors.As(err, &problem):
		f.Add("new-password", problem.Key, problem.Args...)
		return h.showPassword(c, http.StatusUnprocessableEntity, r, w, f)
	}
	return err
}

// doneView is templates/pages/recovery/done.html.
type doneView struct {
	Next       string
	NoQuestion bool // the practice helped past it, and the next time it would have to again
}

func (h *Handler) donePage(c *gin.Context) error {
	r := realm.From(c.Request.Context())
	flow, found := cookieFlow(c, r)
	if !found {
		return h.gone(c, "")
	}
	l, err := h.service.walked(c.Request.Context(), r, flow)
	if errors.Is(err, ErrTicket) {
		return h.gone(c, "")
	}
	if err != nil {
		return err
	}
	web.PreferLang(c, l.locale)
	_, has, err := h.accounts.Question(c.Request.Context(), l.ticket.AccountID)
	if err != nil {
		return err
	}
	return h.pages.Render(c, http.StatusOK, "recovery/done.html",
		doneView{Next: account.SignInLink(r, l.ticket.ClientID), NoQuestion: !has})
}

// helpView is templates/pages/recovery/help.html.
type helpView struct{ Back bool }

// helpPage is for people who cannot remember their answer. It looks the same
// as the end for an account that has no question.
func (h *Handler) helpPage(c *gin.Context) error {
	r, w, ok, err := h.walking(c)
	if !ok {
		return err
	}
	if w.answered { // the practice has helped a moment ago
		c.Redirect(http.StatusSeeOther, r.Path+"/recovery/password")
		return nil
	}
	return h.pages.Render(c, http.StatusOK, "recovery/help.html", helpView{Back: true})
}
