package practiceportal

import (
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/portico-id/portico/internal/demo/look"
	"github.com/portico-id/portico/internal/demo/relyingparty"
)

//go:embed pages
var files embed.FS

// Scopes the portal asks for: who is signed in, and the admin API's two.
var Scopes = []string{"openid", "profile", "email", "offline_access", "admin.read", "admin.manage"}

// Config is the portal's own configuration.
type Config struct {
	BaseURL      string // http://localhost:9002, no slash at the end
	Issuer       string
	ClientID     string
	ClientSecret string
	AdminAPI     string // http://localhost:9000/admin/v1, no slash at the end
	Zone         *time.Location
	HTTPClient   *http.Client
	Log          *slog.Logger
}

// Portal is the Practice Portal.
type Portal struct {
	party *relyingparty.Party
	api   *adminAPI
	pages *look.Pages
	roles roles
	zone  *time.Location
	log   *slog.Logger
	http  http.Handler
}

// New returns the portal as an http.Handler. It contacts neither the provider
// nor the admin API yet.
func New(c Config) (*Portal, error) {
	origin, err := url.Parse(c.Issuer)
	if err != nil || origin.Host == "" {
		return nil, fmt.Errorf("issuer %q is not an address", c.Issuer)
	}
	p := &Portal{
		party: relyingparty.New(relyingparty.Config{
			Name: "practice_portal", BaseURL: c.BaseURL, Issuer: c.Issuer, ClientID: c.ClientID, ClientSecret: c.ClientSecret,
			Scopes: Scopes, Idle: 15 * time.Minute, Absolute: 12 * time.Hour, HTTPClient: c.HTTPClient,
		}),
		api: &adminAPI{base: strings.TrimSuffix(c.AdminAPI, "/"), http: c.HTTPClient}, zone: c.Zone, log: c.Log,
	}
	if p.api.http == nil {
		p.api.http = &http.Client{Timeout: 10 * time.Second}
	}
	if p.zone == nil {
		p.zone = time.UTC
	}
	if p.log == nil {
		p.log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	if p.pages, err = look.Parse(files, "pages", p.funcs()); err != nil {
		return nil, err
	}
	guard := http.NewCrossOriginProtection()
	guard.AddInsecureBypassPattern("POST /signin") // starts a sign-in, as a link does
	p.http = look.Headers(guard.Handler(p.mount()), origin.Scheme+"://"+origin.Host)
	return p, nil
}

func (p *Portal) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.http.ServeHTTP(w, r) }

func (p *Portal) mount() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", p.handle(p.home))
	mux.HandleFunc("GET /patients", p.handle(p.signedIn(p.search)))
	mux.HandleFunc("GET /patients/{id}", p.handle(p.signedIn(p.patient)))
	mux.HandleFunc("GET /associations/{id}", p.handle(p.signedIn(p.association)))
	mux.HandleFunc("GET /associations/{id}/login-email", p.handle(p.signedIn(p.askEmail)))
	mux.HandleFunc("POST /associations/{id}/login-email", p.handle(p.signedIn(p.changeEmail)))
	mux.HandleFunc("GET /associations/{id}/reset-password", p.handle(p.signedIn(p.askReset)))
	mux.HandleFunc("POST /associations/{id}/reset-password", p.handle(p.signedIn(p.sendReset)))
	mux.HandleFunc("GET /associations/{id}/password-resets/{reset}", p.handle(p.signedIn(p.showReset)))
	mux.HandleFunc("POST /associations/{id}/password-resets/{reset}/cancel", p.handle(p.signedIn(p.cancelReset)))
	p.mountHelps(mux)
	p.mountInvitation(mux)
	p.mountWaivers(mux)
	p.mountStaff(mux)
	mux.HandleFunc("GET /account", p.handle(p.signedIn(p.account)))
	mux.HandleFunc("GET /signin", p.handle(p.signIn))
	mux.HandleFunc("POST /signin", p.handle(p.signInPosted))
	mux.HandleFunc("GET /callback", p.handle(p.callback))
	mux.HandleFunc("POST /signout", p.handle(p.signOut))
	mux.HandleFunc("GET /signed-out", p.handle(p.signedOut))
	mux.HandleFunc("GET /static/", look.Static)
	mux.HandleFunc("/", p.handle(func(v *visit) error {
		return v.failure(http.StatusNotFound, "We could not find that page", "Check the address, or go back to the start.")
	}))
	return mux
}

// funcs are the few words and shapes that pages share.
func (p *Portal) funcs() template.FuncMap {
	return template.FuncMap{
		"moment": func(t time.Time) string { return look.Moment("en", t, p.zone) },
		"day": func(date string) string {
			if t, err := time.Parse(time.DateOnly, date); err == nil {
				return t.Format("January 2, 2006")
			}
			return date
		},
		"words": func(s string) string { // "front_desk" → "Front desk"
			if s == "" {
				return ""
			}
			s = strings.ReplaceAll(s, "_", " ")
			return strings.ToUpper(s[:1]) + s[1:]
		},
		"access": func(s string) string {
			switch s {
			case "active":
				return "Active"
			case "invited":
				return "Invited, not set up yet"
			case "frozen":
				return "Frozen"
			case "disabled":
				return "Disabled"
			}
			return "No portal access"
		},
		"tone": func(s string) string {
			switch s {
			case "active":
				return "ok"
			case "disabled", "frozen":
				return "bad"
			}
			return ""
		},
		"language": func(tag string) string {
			switch {
			case strings.HasPrefix(tag, "es"):
				return "Spanish"
			case strings.HasPrefix(tag, "en"):
				return "English"
			}
			return tag
		},
		"roles": func(list []string) string {
			var words []string
			for _, role := range list {
				words = append(words, roleWords(role))
			}
			return strings.Join(words, ", ")
		},
		"holds": func(list []string, one string) bool { return slices.Contains(list, one) },
		"event": eventWords,
	}
}

// visit is one request with what every page needs to know.
type visit struct {
	portal  *Portal
	w       http.ResponseWriter
	r       *http.Request
	session *relyingparty.Session
	user    *relyingparty.User // nil when signed out
	form    url.Values         // typed into this form before a sign-in interrupted it
}

func (p *Portal) handle(next func(*visit) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v := &visit{portal: p, w: w, r: r, session: p.party.Session(r)}
		v.user = v.session.User()
		err := next(v)
		if err != nil {
			err = v.explain(err)
		}
		if err != nil {
			p.log.Error("practice portal", "path", r.URL.Path, "error", err)
			http.Error(w, "Something went wrong", http.StatusInternalServerError)
		}
	}
}

// signedIn lets only signed-in people through, and only forms that this
// session's own pages wrote.
func (p *Portal) signedIn(next func(*visit) error) func(*visit) error {
	return func(v *visit) error {
		post := v.r.Method == http.MethodPost
		if v.user == nil {
			if post {
				return v.begin(formPath(v.r.URL.Path), nil, v.typed())
			}
			return v.begin(v.r.URL.RequestURI(), nil, nil)
		}
		if post && !v.session.CheckCSRF(v.r) {
			return v.failure(http.StatusForbidden, "This page timed out", "Nothing was changed. Go back, load the page again and send it once more.")
		}
		if !post {
			v.form = v.session.TakeForm(v.r.URL.Path)
		}
		return next(v)
	}
}

// call asks the admin API on behalf of the signed-in person. A token that the
// API no longer takes is renewed once.
func (v *visit) call(c call, out any) (http.Header, error) {
	ctx := v.r.Context()
	token, err := v.portal.party.AccessToken(ctx, v.session)
	if err != nil {
		return nil, err
	}
	header, err := v.portal.api.do(ctx, token, c, out)
	var refusal *problem
	if !errors.As(err, &refusal) || refusal.Status != http.StatusUnauthorized {
		return header, err
	}
	if _, stepUp := refusal.stepUp(); stepUp {
		return header, err
	}
	if token, err = v.portal.party.Renew(ctx, v.session, token); err != nil {
		return nil, err
	}
	header, err = v.portal.api.do(ctx, token, c, out)
	if errors.As(err, &refusal) && refusal.Status == http.StatusUnauthorized {
		if _, stepUp := refusal.stepUp(); !stepUp {
			return nil, relyingparty.ErrSignInAgain
		}
	}
	return header, err
}

// explain answers errors that no page handles itself: by signing the person in
// again, or in plain words.
func (v *visit) explain(err error) error {
	returnTo, typed := v.r.URL.RequestURI(), url.Values(nil)
	if v.r.Method == http.MethodPost {
		returnTo, typed = formPath(v.r.URL.Path), v.typed()
	}
	// A page that is refused straight after the sign-in it asked for must not
	// ask again by itself: the browser would go round in circles.
	circles := v.r.Method == http.MethodGet && v.portal.party.JustSignedIn(v.session)
	if errors.Is(err, relyingparty.ErrSignInAgain) {
		if circles {
			v.user = nil
			return v.failure(http.StatusUnauthorized, "You need to sign in again", "Your sign-in was not accepted for this page.")
		}
		return v.begin(returnTo, nil, typed)
	}
	var refusal *problem
	if errors.As(err, &refusal) {
		if wanted, ok := refusal.stepUp(); ok && !circles {
			return v.begin(returnTo, &wanted, typed)
		}
		v.portal.log.Info("the admin API refused", "path", v.r.URL.Path, "status", refusal.Status, "title", refusal.Title)
		switch {
		case refusal.Status == http.StatusForbidden:
			return v.failure(http.StatusForbidden, "You are not allowed to do that",
				refusal.words())
		case refusal.Status == http.StatusNotFound:
			return v.failure(http.StatusNotFound, "We could not find that",
				"It does not exist, or it belongs to a practice you do not work for.")
		case refusal.Status == http.StatusTooManyRequests:
			return v.failure(http.StatusTooManyRequests, "Too many requests", refusal.later(), "Nothing was changed.")
		case refusal.Status < http.StatusInternalServerError:
			return v.failure(refusal.Status, "That did not work", "Nothing was changed.", refusal.words())
		case refusal.Status == http.StatusServiceUnavailable:
			return v.failure(http.StatusServiceUnavailable, "The service is busy", "Nothing was changed. Try again in a minute.")
		}
	}
	v.portal.log.Error("practice portal", "path", v.r.URL.Path, "error", err)
	return v.failure(http.StatusBadGateway, "The service does not answer",
		"We cannot tell whether the last step was done. Wait a minute, load the page again and look before you repeat it.")
}

// formPath is the page whose form posts to path.
func formPath(path string) string {
	return strings.TrimSuffix(path, "/cancel")
}

// typed is what was sent, without what belongs to the old session.
func (v *visit) typed() url.Values {
	if err := v.r.ParseForm(); err != nil {
		return nil
	}
	typed := url.Values{}
	for name, values := range v.r.PostForm {
		if name != "csrf" {
			typed[name] = values
		}
	}
	return typed
}

// begin sends the person to sign in. wanted is what the API asks of the
// sign-in, or nil.
func (v *visit) begin(returnTo string, wanted *stepUp, form url.Values) error {
	b := relyingparty.Begin{ReturnTo: returnTo, Form: form, Locales: "en"}
	if wanted != nil {
		b.MaxAge, b.ACRValues = wanted.maxAge, wanted.acrValues
	}
	if v.user != nil {
		b.LoginHint = v.user.Email
	}
	return v.portal.party.Begin(v.w, v.r, b)
}

// failure shows the error page.
func (v *visit) failure(status int, title, text string, more ...string) error {
	view := struct {
		Text, More, SignIn string
	}{Text: text, More: strings.Join(more, " ")}
	if v.user == nil {
		view.SignIn = "/signin"
	}
	return v.render(status, "error.html", &look.Page{Title: title, View: view})
}

func (v *visit) render(status int, name string, page *look.Page) error {
	page.Site, page.SiteName, page.Lang = "practice", "Practice Portal", "en"
	page.Skip, page.NavLabel = "Skip to main content", "Navigation panel"
	page.ErrorPrefix, page.ErrorHeading = "Error:", "There is a problem"
	page.Footer = []string{"This is a demonstration. Every person and practice in it is invented."}
	if v.user != nil {
		path := v.r.URL.Path
		page.Panel = true
		page.CSRF = v.session.CSRF()
		page.Flash = v.session.TakeFlash()
		page.Nav = []look.Link{
			{Label: "Patient Administration", URL: "/patients", Current: strings.HasPrefix(path, "/patients") || strings.HasPrefix(path, "/associations")},
		}
		if v.anywhere(func(p perms) bool { return p.ManageStaff }, status == http.StatusOK) {
			page.Nav = append(page.Nav, look.Link{Label: "Staff", URL: "/staff", Current: strings.HasPrefix(path, "/staff")})
		}
		page.Nav = append(page.Nav,
			look.Link{Label: "My Account", URL: "/account", Current: path == "/account"},
			look.Link{Label: "Sign out", URL: "/signout", Post: true})
	}
	return v.portal.pages.Render(v.w, status, name, page)
}
