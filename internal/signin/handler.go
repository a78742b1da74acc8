package signin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/session"
	"github.com/portico-id/portico/internal/web"
)

// ErrFlow says that there is no such authorization request for this browser,
// or not any more.
var ErrFlow = errors.New("no such authorization request")

// Flow is what the page needs to know about an authorization request.
type Flow struct {
	ClientID, ClientName string
	LoginHint            string // OpenID Connect Core §3.1.2.1
	UILocales            string // the same, space-separated
	RedirectOrigin       string // origin, or the whole, of the validated redirect URI

	LogoURI, PolicyURI, TermsURI string // of the client, as it registered them; https
}

// Flows describes authorization requests. oauth has it. ErrFlow may come with
// the ClientID of a request that has expired.
type Flows interface {
	Describe(ctx context.Context, r *realm.Realm, flow uuid.UUID, browser []byte) (Flow, error)
}

// Handler shows the sign-in page.
type Handler struct {
	pages    *web.Pages
	service  *Service
	sessions *session.Manager
	flows    Flows
	typed    *account.Typed
	devices  devices
}

// NewHandler makes the page. deviceKey is derived for DeviceKeyPurpose.
func NewHandler(pages *web.Pages, s *Service, flows Flows, typed *account.Typed, deviceKey []byte) *Handler {
	return &Handler{pages: pages, service: s, sessions: s.sessions, flows: flows, typed: typed, devices: devices{deviceKey}}
}

// Mount adds the routes, relative to the realm.
func (h *Handler) Mount(g gin.IRouter) {
	g = g.Group("", h.pages.Protect())
	g.GET("/signin", web.Handle(h.page))
	g.POST("/signin", web.Handle(h.signIn))
}

// view is templates/pages/signin/signin.html.
type view struct {
	Form   web.Form
	Client string
	Flow   string

	Logo, Policy, Terms string // of the client
}

// target is where a sign-in leads: to a client's request, or to My Account.
type target struct {
	realm  *realm.Realm
	id     string
	flow   Flow
	next   string // realm-relative
	direct bool   // no client waits
}

// ownPages are the addresses return_to may name: pages of My Account, without
// query, so that nothing can be smuggled in.
var ownPages = regexp.MustCompile(`^/account(/[a-z-]+){0,2}$`)

func (h *Handler) target(c *gin.Context) (target, error) {
	r := realm.From(c.Request.Context())
	raw := c.Query("flow")
	if raw == "" {
		next := c.Query("return_to")
		if !ownPages.MatchString(next) {
			next = "/account"
		}
		return target{realm: r, next: next, direct: true}, nil
	}
	id, err := uuid.Parse(raw)
	if err != nil {
		return target{}, over(r, "", err)
	}
	flow, err := h.flows.Describe(c.Request.Context(), r, id, web.Browser(c))
	if errors.Is(err, ErrFlow) {
		return target{}, over(r, flow.ClientID, err)
	}
	if err != nil {
		return target{}, err
	}
	web.PreferLang(c, flow.UILocales)
	web.FormAction(c, flow.RedirectOrigin)
	return target{realm: r, id: id.String(), flow: flow, next: "/oauth/authorize?flow=" + url.QueryEscape(id.String())}, nil
}

// over is the page for a request that is gone. Its link starts again at the
// client, as far as that is known.
func over(r *realm.Realm, clientID string, cause error) error {
	return &web.Error{Status: http.StatusForbidden, Key: "error.timed_out", Action: account.SignInLink(r, clientID), Err: cause}
}

func (h *Handler) page(c *gin.Context) error {
	t, err := h.target(c)
	var gone *web.Error
	if errors.As(err, &gone) && gone.Action != "" && c.Query(web.Again) != "" {
		// The flow is over or the browser has lost its cookie: back to the
		// client, which starts a new one.
		c.Redirect(http.StatusSeeOther, gone.Action)
		return nil
	}
	if err != nil {
		return err
	}
	if t.direct {
		current, err := h.sessions.Current(c)
		if err != nil {
			return err
		}
		if current != nil {
			c.Redirect(http.StatusSeeOther, t.realm.Path+t.next)
			return nil
		}
	}
	var f web.Form
	f.Set("email", t.flow.LoginHint)
	return h.show(c, http.StatusOK, t, f)
}

func (h *Handler) show(c *gin.Context, status int, t target, f web.Form) error {
	v := view{Form: f, Client: t.flow.ClientName, Flow: t.id, Policy: t.flow.PolicyURI, Terms: t.flow.TermsURI}
	if t.flow.LogoURI != "" && web.Image(c, t.flow.LogoURI) {
		v.Logo = t.flow.LogoURI
	}
	return h.pages.Render(c, status, "signin/signin.html", v)
}

func (h *Handler) signIn(c *gin.Context) error {
	t, err := h.target(c)
	if err != nil {
		return err
	}
	f := web.NewForm(c, "email")
	email, plain := f.Value("email"), c.PostForm("password")
	if _, err := account.NormalizeEmail(email); err != nil {
		f.Add("email", "email.error.format")
	}
	if plain == "" {
		f.Add("password", "signin.error.no_password")
	}
	if !f.OK() {
		return h.show(c, http.StatusUnprocessableEntity, t, f)
	}
	previous, err := h.sessions.Current(c)
	if err != nil {
		return err
	}
	device := session.Device{UserAgent: web.UserAgent(c)}
	if ip := web.ClientIP(c); ip.IsValid() {
		device.IP = ip.String()
	}
	whose, version, err := h.service.accounts.Whose(c.Request.Context(), t.realm.Name, email)
	if err != nil {
		return fmt.Errorf("find account: %w", err)
	}
	known := h.devices.find(c, t.realm, email, version)
	in, err := h.service.signIn(c.Request.Context(), t.realm, try{email: email, password: plain, whose: whose,
		network: web.Network(c), known: known, clientID: t.flow.ClientID, device: device, previous: previous})
	var slow *account.Throttled
	switch {
	case err == nil:
		h.sessions.SetCookie(c, t.realm, in.token)
		switch {
		case known != "":
			h.devices.renew(c, t.realm)
		case in.newDevice:
			h.devices.remember(c, t.realm, email, in.version)
		}
		h.typed.Forget(c, t.realm)
		c.Redirect(http.StatusSeeOther, t.realm.Path+t.next)
		return nil
	case errors.As(err, &slow):
		c.Header("Retry-After", strconv.Itoa(int(slow.Wait.Seconds())+1))
		f.Add("email", "signin.error.slow_down", "n", slow.Minutes(), "minutes", slow.Minutes())
	case errors.Is(err, account.ErrCredentials):
		f.Add("email", "signin.error.no_match")
	default:
		return err
	}
	h.typed.Remember(c, t.realm, email)
	return h.show(c, http.StatusUnprocessableEntity, t, f)
}
