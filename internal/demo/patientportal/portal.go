package patientportal

import (
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/portico-id/portico/internal/demo/look"
	"github.com/portico-id/portico/internal/demo/relyingparty"
)

//go:embed pages
var files embed.FS

// Scopes the portal asks for. offline_access lets it keep asking who the
// person is after the first access token has expired.
var Scopes = []string{"openid", "profile", "email", "offline_access"}

// Config is the portal's own configuration: its registration at the provider
// and where it is reached.
type Config struct {
	BaseURL      string // http://localhost:9001, no slash at the end
	Issuer       string
	ClientID     string
	ClientSecret string
	Zone         *time.Location
	HTTPClient   *http.Client
	Log          *slog.Logger
}

// Portal is the Patient Portal.
type Portal struct {
	party *relyingparty.Party
	pages map[string]*look.Pages // by language
	zone  *time.Location
	log   *slog.Logger
	http  http.Handler

	secure bool // served over https
}

// New returns the portal as an http.Handler. It does not contact the provider.
func New(c Config) (*Portal, error) {
	origin, err := url.Parse(c.Issuer)
	if err != nil || origin.Host == "" {
		return nil, fmt.Errorf("issuer %q is not an address", c.Issuer)
	}
	p := &Portal{
		party: relyingparty.New(relyingparty.Config{
			Name: "patient_portal", BaseURL: c.BaseURL, Issuer: c.Issuer, ClientID: c.ClientID, ClientSecret: c.ClientSecret,
			Scopes: Scopes, Idle: 30 * time.Minute, Absolute: 24 * time.Hour, HTTPClient: c.HTTPClient,
		}),
		pages: map[string]*look.Pages{}, zone: c.Zone, log: c.Log, secure: strings.HasPrefix(c.BaseURL, "https://"),
	}
	if p.zone == nil {
		p.zone = time.UTC
	}
	if p.log == nil {
		p.log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	for _, lang := range []string{"en", "es"} {
		t := func(key string, pairs ...string) string { return say(lang, key, pairs...) }
		if p.pages[lang], err = look.Parse(files, "pages", template.FuncMap{"t": t}); err != nil {
			return nil, err
		}
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
	mux.HandleFunc("GET /settings", p.handle(p.signedIn(p.settings)))
	mux.HandleFunc("GET /settings/account", p.handle(p.signedIn(p.account)))
	mux.HandleFunc("GET /signin", p.handle(p.signIn))
	mux.HandleFunc("POST /signin", p.handle(p.signInPosted))
	mux.HandleFunc("GET /callback", p.handle(p.callback))
	mux.HandleFunc("POST /signout", p.handle(p.signOut))
	mux.HandleFunc("GET /signed-out", p.handle(p.signedOut))
	mux.HandleFunc("GET /static/", look.Static)
	mux.HandleFunc("/", p.handle(func(v *visit) error { return v.failure(http.StatusNotFound, "missing", "") }))
	return mux
}

// visit is one request with what every page needs to know.
type visit struct {
	portal  *Portal
	w       http.ResponseWriter
	r       *http.Request
	session *relyingparty.Session
	user    *relyingparty.User // nil when signed out
	lang    string
}

func (p *Portal) handle(next func(*visit) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v := &visit{portal: p, w: w, r: r, session: p.party.Session(r)}
		v.user = v.session.User()
		locale := ""
		if v.user != nil {
			locale = v.user.Locale
		}
		v.lang = chooseLanguage(w, r, locale, p.secure)
		if err := next(v); err != nil {
			p.log.Error("patient portal", "path", r.URL.Path, "error", err)
			if errors.Is(err, relyingparty.ErrProvider) {
				err = v.failure(http.StatusBadGateway, "down", "")
			} else {
				err = v.failure(http.StatusInternalServerError, "unknown", "")
			}
			if err != nil {
				http.Error(w, "Something went wrong", http.StatusInternalServerError)
			}
		}
	}
}

// signedIn lets only signed-in people through and asks the provider whether
// they still are: after a password reset elsewhere they are not.
func (p *Portal) signedIn(next func(*visit) error) func(*visit) error {
	return func(v *visit) error {
		if v.refresh(); v.user != nil {
			return next(v)
		}
		if p.party.JustSignedIn(v.session) { // do not send the browser in circles
			return v.failure(http.StatusUnauthorized, "denied", "/signin")
		}
		return v.begin(v.r.URL.RequestURI())
	}
}

// refresh brings v.user up to date with the provider, or to nil when the
// provider no longer vouches for the person. A provider that does not answer
// leaves the visit as it was.
func (v *visit) refresh() {
	if v.user == nil {
		return
	}
	user, err := v.portal.party.UserInfo(v.r.Context(), v.session)
	switch {
	case err == nil:
		v.user = user
	case errors.Is(err, relyingparty.ErrSignInAgain):
		v.user = nil
	default:
		v.portal.log.Warn("patient portal could not ask who the person is", "error", err)
	}
}

func (p *Portal) home(v *visit) error {
	if v.refresh(); v.user == nil {
		return v.render(http.StatusOK, "landing.html", &look.Page{Title: v.say("landing.title")})
	}
	name := v.user.GivenName
	if name == "" {
		name = v.user.Name
	}
	view := struct{ Email, Since string }{Email: v.user.Email}
	if !v.user.AuthTime.IsZero() {
		view.Since = look.Moment(v.lang, v.user.AuthTime, p.zone)
	}
	return v.render(http.StatusOK, "home.html", &look.Page{Title: v.say("home.title", "name", name), Wide: true, View: view})
}

func (p *Portal) settings(v *visit) error {
	return v.render(http.StatusOK, "settings.html", &look.Page{Title: v.say("settings.title"), Wide: true})
}

func (p *Portal) account(v *visit) error {
	view := struct{ Name, Email, AccountURL, PasswordURL string }{
		v.user.Name, v.user.Email,
		p.party.Issuer() + "/account?lang=" + v.lang,
		p.party.Issuer() + "/account/password?lang=" + v.lang,
	}
	return v.render(http.StatusOK, "account.html", &look.Page{Title: v.say("account.title"), Wide: true, View: view})
}

func (p *Portal) signIn(v *visit) error {
	i, ok := p.party.Initiated(v.r.URL.Query())
	if !ok {
		return v.failure(http.StatusBadRequest, "state", "/signin")
	}
	return p.party.Begin(v.w, v.r, relyingparty.Begin{ReturnTo: i.ReturnTo, LoginHint: i.LoginHint, Locales: v.lang})
}

// signInPosted is a sign-in that another site's form starts.
func (p *Portal) signInPosted(v *visit) error {
	target := p.party.PostedInitiation(v.w, v.r)
	if target == "" {
		return v.failure(http.StatusBadRequest, "state", "/signin")
	}
	http.Redirect(v.w, v.r, target, http.StatusSeeOther)
	return nil
}

// begin sends somebody to sign in who came to a page of theirs.
func (v *visit) begin(returnTo string) error {
	return v.portal.party.Begin(v.w, v.r, relyingparty.Begin{ReturnTo: returnTo, Locales: v.lang})
}

func (p *Portal) callback(v *visit) error {
	returnTo, err := p.party.Finish(v.w, v.r)
	again := "/signin?return_to=" + url.QueryEscape(returnTo)
	switch {
	case errors.Is(err, relyingparty.ErrState):
		if v.user != nil { // the answer arrived twice: Back, or a reload
			http.Redirect(v.w, v.r, "/", http.StatusSeeOther)
			return nil
		}
		return v.failure(http.StatusBadRequest, "state", again)
	case errors.Is(err, relyingparty.ErrDenied):
		p.log.Info("sign-in was not allowed", "error", err)
		return v.failure(http.StatusForbidden, "denied", again)
	case err != nil:
		return err
	}
	http.Redirect(v.w, v.r, returnTo, http.StatusSeeOther)
	return nil
}

func (p *Portal) signOut(v *visit) error {
	if v.session.User() != nil && !v.session.CheckCSRF(v.r) {
		return v.failure(http.StatusForbidden, "form", "")
	}
	http.Redirect(v.w, v.r, p.party.SignOut(v.w, v.r, v.lang), http.StatusSeeOther)
	return nil
}

func (p *Portal) signedOut(v *visit) error {
	return v.render(http.StatusOK, "signedout.html", &look.Page{Title: v.say("out.title")})
}

// failure shows one of the error pages; signIn, when given, is where its
// sign-in button leads.
func (v *visit) failure(status int, kind, signIn string) error {
	view := struct{ Text, SignIn string }{v.say("error." + kind + ".text"), signIn}
	return v.render(status, "error.html", &look.Page{Title: v.say("error." + kind + ".title"), View: view})
}

func (v *visit) say(key string, pairs ...string) string { return say(v.lang, key, pairs...) }

func (v *visit) render(status int, name string, page *look.Page) error {
	page.Site, page.SiteName, page.Lang = "patient", v.say("site"), v.lang
	page.Skip, page.NavLabel = v.say("skip"), v.say("nav")
	page.ErrorPrefix, page.ErrorHeading = v.say("error.prefix"), v.say("error.heading")
	page.Footer = []string{v.say("footer.help"), v.say("footer")}
	for _, lang := range []struct{ tag, name string }{{"en", "English"}, {"es", "Español"}} {
		q := url.Values{"lang": {lang.tag}}
		target := "/"
		if status == http.StatusOK {
			target = v.r.URL.Path
		}
		page.Languages = append(page.Languages, look.Language{Tag: lang.tag, Name: lang.name, URL: target + "?" + q.Encode(), Current: lang.tag == v.lang})
	}
	if v.user != nil {
		path := v.r.URL.Path
		page.CSRF = v.session.CSRF()
		page.Nav = []look.Link{
			{Label: v.say("nav.home"), URL: "/", Current: path == "/"},
			{Label: v.say("nav.settings"), URL: "/settings", Current: path == "/settings" || path == "/settings/account"},
			{Label: v.say("nav.sign_out"), URL: "/signout", Post: true},
		}
	}
	return v.portal.pages[v.lang].Render(v.w, status, name, page)
}
