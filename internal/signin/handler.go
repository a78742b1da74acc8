package signin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"time"

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
	ClientNames          map[string]string // by language, where another one is shown
	LoginHint            string            // OpenID Connect Core §3.1.2.1
	UILocales            string            // the same, space-separated
	RedirectOrigin       string            // origin, or the whole, of the validated redirect URI

	LogoURI, PolicyURI, TermsURI string // of the client, as it registered them; https

	UnverifiedHost string // where an app leads that registered itself; "" for others
}

// NameIn is what people who read a language are told that the client is called.
func (f Flow) NameIn(lang string) string { return cmp.Or(f.ClientNames[lang], f.ClientName) }

// Flows describes authorization requests. oauth has it. ErrFlow may come with
// the ClientID of a request that has expired.
type Flows interface {
	Describe(ctx context.Context, r *realm.Realm, flow uuid.UUID, browser []byte) (Flow, error)
}

// Pages below the realm.
const (
	pathSignIn       = "/signin"
	pathSecond       = "/signin/second"
	pathEnrol        = "/signin/enrol"
	pathEnrolApp     = "/signin/enrol/app"
	pathEnrolPasskey = "/signin/enrol/passkey"
)

// Handler shows the pages of signing in.
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
	g.GET(pathSignIn, web.Handle(h.page))
	g.POST(pathSignIn, web.Handle(h.signIn))
	g.GET(pathSecond, web.Handle(h.secondPage))
	g.POST(pathSecond, web.Handle(h.second))
	g.GET(pathEnrol, web.Handle(h.enrolPage))
	g.POST(pathEnrol, web.Handle(h.notNow))
	g.GET(pathEnrolApp, web.Handle(h.appPage))
	g.POST(pathEnrolApp, web.Handle(h.addApp))
	g.GET(pathEnrolPasskey, web.Handle(h.passkeyPage))
	g.POST(pathEnrolPasskey, web.Handle(h.addPasskey))
}

// view is templates/pages/signin/signin.html.
type view struct {
	Form    web.Form
	Client  string
	Flow    string
	Options string // for a passkey; "" where the realm can have none
	Keep    int    // days that "keep me signed in" lasts; 0: it is not offered
	Kept    bool   // the box was ticked

	Logo, Policy, Terms string // of the client
	Host                string // see Flow.UnverifiedHost
}

// target is where a sign-in leads: to a client's request, or to My Account.
type target struct {
	realm  *realm.Realm
	id     string
	flow   Flow
	next   string // realm-relative
	direct bool   // no client waits
	query  string // that leads to the same target, "" or with its question mark
}

// page is the address of another page of this sign-in.
func (t target) page(path string) string { return t.realm.Path + path + t.query }

// ownPages are the addresses return_to may name: pages of My Account, without
// query, so that nothing can be smuggled in.
var ownPages = regexp.MustCompile(`^/account(/[a-z-]+){0,2}$`)

func (h *Handler) target(c *gin.Context) (target, error) {
	r := realm.From(c.Request.Context())
	raw := c.Query("flow")
	if raw == "" {
		next := c.Query("return_to")
		if !ownPages.MatchString(next) {
			return target{realm: r, next: "/account", direct: true}, nil
		}
		return target{realm: r, next: next, direct: true, query: "?" + url.Values{"return_to": {next}}.Encode()}, nil
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
	query := "?" + url.Values{"flow": {id.String()}}.Encode()
	return target{realm: r, id: id.String(), flow: flow, next: "/oauth/authorize" + query, query: query}, nil
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
		if current != nil && !current.Overdue {
			c.Redirect(http.StatusSeeOther, t.realm.Path+t.next)
			return nil
		}
	}
	var f web.Form
	f.Set("email", t.flow.LoginHint)
	return h.show(c, http.StatusOK, t, f)
}

func (h *Handler) show(c *gin.Context, status int, t target, f web.Form) error {
	options, err := h.service.factors.Assertion(c.Request.Context(), t.realm, web.Browser(c), nil)
	if err != nil {
		return err
	}
	v := view{Form: f, Client: t.flow.NameIn(web.Lang(c)), Flow: t.id, Options: string(options), Policy: t.flow.PolicyURI, Terms: t.flow.TermsURI,
		Keep: days(t.realm.Lifetimes.KeptSession), Kept: keeps(c), Host: t.flow.UnverifiedHost}
	if t.flow.LogoURI != "" && web.Image(c, t.flow.LogoURI) {
		v.Logo = t.flow.LogoURI
	}
	return h.pages.Render(c, status, "signin/signin.html", v)
}

// days is a lifetime as people are told it.
func days(d time.Duration) int { return int((d + 24*time.Hour - 1) / (24 * time.Hour)) }

func keeps(c *gin.Context) bool { return c.PostForm("keep") != "" }

// visitor is who sent a form.
func (h *Handler) visitor(c *gin.Context, t target) (visitor, error) {
	// Also one that has run into a limit: what clients hold of it goes on.
	previous, err := h.sessions.Idle(c)
	if err != nil {
		return visitor{}, err
	}
	v := visitor{browser: web.Browser(c), network: web.Network(c), flow: t.id, clientID: t.flow.ClientID, previous: previous,
		device: session.Device{UserAgent: web.UserAgent(c)}}
	if ip := web.ClientIP(c); ip.IsValid() {
		v.device.IP = ip.String()
	}
	return v, nil
}

// signIn takes the form of the page: an email and a password, or what a passkey
// answered.
func (h *Handler) signIn(c *gin.Context) error {
	t, err := h.target(c)
	if err != nil {
		return err
	}
	if response := c.PostForm("response"); response != "" {
		return h.signInWithPasskey(c, t, response)
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
	v, err := h.visitor(c, t)
	if err != nil {
		return err
	}
	whose, version, err := h.service.accounts.Whose(c.Request.Context(), t.realm.Name, email)
	if err != nil {
		return fmt.Errorf("find account: %w", err)
	}
	out, err := h.service.signIn(c.Request.Context(), t.realm, try{visitor: v, email: email, password: plain, whose: whose,
		known: h.devices.find(c, t.realm, email, version), keep: keeps(c),
		proved: func(a account.Account, since time.Time) bool { return h.devices.proved(c, t.realm, a, since) }})
	switch {
	case err == nil:
		return h.letIn(c, t, out)
	case slowDown(c, &f, "email", "signin.error.slow_down", err):
	case errors.Is(err, account.ErrCredentials):
		f.Add("email", "signin.error.no_match")
	default:
		return err
	}
	h.typed.Remember(c, t.realm, email)
	return h.show(c, http.StatusUnprocessableEntity, t, f)
}

func (h *Handler) signInWithPasskey(c *gin.Context, t target, response string) error {
	v, err := h.visitor(c, t)
	if err != nil {
		return err
	}
	known := func(a account.Account) string { return h.devices.find(c, t.realm, a.LoginEmail, a.CredentialVersion) }
	out, err := h.service.withPasskey(c.Request.Context(), t.realm, v, keeps(c), []byte(response), known)
	f := web.NewForm(c, "email")
	switch {
	case err == nil:
		return h.letIn(c, t, out)
	case slowDown(c, &f, "", "signin.error.slow_down", err):
	case errors.Is(err, account.ErrCredentials):
		f.Add("", "signin.error.passkey")
	default:
		return err
	}
	return h.show(c, http.StatusUnprocessableEntity, t, f)
}

// slowDown reports whether a try came too soon, and says so on the page.
func slowDown(c *gin.Context, f *web.Form, field, key string, err error) bool {
	var slow *account.Throttled
	if !errors.As(err, &slow) {
		return false
	}
	c.Header("Retry-After", strconv.Itoa(int(slow.Wait.Seconds())+1))
	f.Add(field, key, "n", slow.Minutes(), "minutes", slow.Minutes())
	return true
}

// letIn gives the browser what it has earned and sends it on: to where it was
// going, or to the page of the second step.
func (h *Handler) letIn(c *gin.Context, t target, out outcome) error {
	h.typed.Forget(c, t.realm)
	if out.at != "" {
		setStep(c, t.realm, out.wait)
		c.Redirect(http.StatusSeeOther, t.page(out.at))
		return nil
	}
	h.arrived(c, t, out)
	c.Redirect(http.StatusSeeOther, t.realm.Path+t.next)
	return nil
}

// arrived sets the cookies of a sign-in that is complete, or of a session that
// has become stronger.
func (h *Handler) arrived(c *gin.Context, t target, out outcome) {
	endStep(c, t.realm)
	if out.session.ID == uuid.Nil {
		h.sessions.SetCookie(c, t.realm, out.token)
		h.devices.prove(c, t.realm, out.account, out.since)
		return
	}
	h.sessions.StartCookie(c, t.realm, out.session, out.token)
	switch {
	case out.known != "" && !out.since.IsZero():
		h.devices.prove(c, t.realm, out.account, out.since)
	case out.known != "":
		h.devices.renew(c, t.realm)
	case out.newDevice:
		h.devices.remember(c, t.realm, out.account, out.since)
	}
}

// Proved notes that the browser, if it is known to an account, has just proved
// the account's second factors too, which there are since then. It is for pages
// on which people change them.
func (h *Handler) Proved(c *gin.Context, r *realm.Realm, a account.Account, since time.Time) {
	h.devices.prove(c, r, a, since)
}
