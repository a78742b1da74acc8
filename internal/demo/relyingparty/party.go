package relyingparty

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

var (
	// ErrSignInAgain means the provider no longer vouches for the person: the
	// refresh token was refused, or there is none.
	ErrSignInAgain = errors.New("the person must sign in again")
	// ErrState means an answer that no sign-in of this browser waits for:
	// forged, too late, or arrived a second time.
	ErrState = errors.New("no sign-in of this browser is waiting for this answer")
	// ErrDenied means the person, or the provider, said no.
	ErrDenied = errors.New("the sign-in was not allowed")
	// ErrProvider means the provider cannot be reached or does not make sense.
	ErrProvider = errors.New("the sign-in service does not answer")
)

// Config describes one portal and its registration at the provider.
type Config struct {
	Name         string // prefix of the cookie names; ports of one host share cookies, so portals need different ones
	BaseURL      string // where the portal is reached, without a slash at the end
	Issuer       string
	ClientID     string
	ClientSecret string
	Scopes       []string
	Idle         time.Duration // a session unused for so long ends
	Absolute     time.Duration // a session ends after so long in any case
	HTTPClient   *http.Client  // nil: a client of its own with a timeout of 10 s
	Now          func() time.Time
}

// Party is a relying party: one client of one provider.
type Party struct {
	config   Config
	http     *http.Client
	now      func() time.Time
	sessions store

	mu       sync.Mutex
	provider *provider // nil until discovery succeeded
}

// provider is what discovery told.
type provider struct {
	oauth       oauth2.Config
	verifier    *oidc.IDTokenVerifier
	userInfo    string
	endSession  string
	namesItself bool // every answer says iss (RFC 9207 §3)
}

// New returns a party. The provider is looked up when it is first needed, so a
// portal may start before it.
func New(c Config) *Party {
	p := &Party{config: c, http: c.HTTPClient, now: c.Now}
	if p.http == nil {
		p.http = &http.Client{Timeout: 10 * time.Second}
	}
	if p.now == nil {
		p.now = time.Now
	}
	p.sessions = store{idle: c.Idle, absolute: c.Absolute, byID: map[string]*Session{}}
	return p
}

// Issuer returns the issuer identifier of the provider.
func (p *Party) Issuer() string { return p.config.Issuer }

// discover reads the provider's metadata once; failures are not remembered.
func (p *Party) discover(ctx context.Context) (*provider, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.provider != nil {
		return p.provider, nil
	}
	found, err := oidc.NewProvider(oidc.ClientContext(ctx, p.http), p.config.Issuer)
	if err != nil {
		return nil, fmt.Errorf("%w: discovery: %w", ErrProvider, err)
	}
	var more struct {
		EndSession  string `json:"end_session_endpoint"`
		NamesItself bool   `json:"authorization_response_iss_parameter_supported"`
	}
	if err := found.Claims(&more); err != nil {
		return nil, fmt.Errorf("%w: discovery: %w", ErrProvider, err)
	}
	endpoint := found.Endpoint()
	// Our registration says so; probing would present a code or a refresh
	// token twice.
	endpoint.AuthStyle = oauth2.AuthStyleInHeader
	p.provider = &provider{
		oauth: oauth2.Config{
			ClientID:     p.config.ClientID,
			ClientSecret: p.config.ClientSecret,
			Endpoint:     endpoint,
			RedirectURL:  p.config.BaseURL + "/callback",
			Scopes:       p.config.Scopes,
		},
		verifier:   found.Verifier(&oidc.Config{ClientID: p.config.ClientID, Now: p.now}),
		userInfo:   found.UserInfoEndpoint(),
		endSession: more.EndSession,

		namesItself: more.NamesItself,
	}
	return p.provider, nil
}

// Begin is what a sign-in starts from.
type Begin struct {
	ReturnTo  string // local path to come back to; anything else becomes "/"
	Locales   string // ui_locales
	LoginHint string
	MaxAge    *time.Duration // the person must have typed a password this recently (OpenID Connect Core 1.0 §3.1.2.1)
	ACRValues string         // levels of sign-in that an API asks for (RFC 9470 §4), separated by spaces
	Form      url.Values     // typed but not yet sent; kept for the form at ReturnTo
}

// Begin sends the browser to the provider.
func (p *Party) Begin(w http.ResponseWriter, r *http.Request, b Begin) error {
	provider, err := p.discover(r.Context())
	if err != nil {
		return err
	}
	s := p.Session(r)
	if s == nil {
		s = p.sessions.create(p.now())
		p.setCookie(w, s)
	}
	state := random()
	wait := pending{nonce: random(), verifier: oauth2.GenerateVerifier(), returnTo: LocalPath(b.ReturnTo), form: b.Form, begun: p.now()}
	if user := s.User(); user != nil {
		wait.subject = user.Subject
	}
	options := []oauth2.AuthCodeOption{oidc.Nonce(wait.nonce), oauth2.S256ChallengeOption(wait.verifier)}
	if b.MaxAge != nil {
		wait.maxAge, wait.hasMaxAge = *b.MaxAge, true
		options = append(options, oauth2.SetAuthURLParam("max_age", fmt.Sprint(int(b.MaxAge.Seconds()))))
	}
	if b.ACRValues != "" {
		options = append(options, oauth2.SetAuthURLParam("acr_values", b.ACRValues))
	}
	if b.Locales != "" {
		options = append(options, oauth2.SetAuthURLParam("ui_locales", b.Locales))
	}
	if b.LoginHint != "" {
		options = append(options, oauth2.SetAuthURLParam("login_hint", b.LoginHint))
	}
	s.addPending(state, wait, p.now())
	http.Redirect(w, r, provider.oauth.AuthCodeURL(state, options...), http.StatusSeeOther)
	return nil
}

// Finish takes the provider's answer at /callback, signs the person in and
// returns the local path they came for.
func (p *Party) Finish(w http.ResponseWriter, r *http.Request) (returnTo string, err error) {
	q := r.URL.Query()
	s := p.Session(r)
	if s == nil {
		return "", ErrState
	}
	wait, ok := s.takePending(q.Get("state"), p.now())
	if !ok {
		return "", ErrState
	}
	provider, err := p.discover(r.Context())
	if err != nil {
		return wait.returnTo, err
	}
	// RFC 9207 §2.4: an answer of another provider is not for us, nor one that
	// does not say whose it is when ours always does. Errors too.
	if iss := q.Get("iss"); iss != p.config.Issuer && (provider.namesItself || q.Has("iss")) {
		return wait.returnTo, fmt.Errorf("%w: answer of issuer %q", ErrState, iss)
	}
	if code := q.Get("error"); code != "" {
		return wait.returnTo, fmt.Errorf("%w: %s: %s", ErrDenied, code, q.Get("error_description"))
	}
	token, err := provider.oauth.Exchange(p.context(r.Context()), q.Get("code"), oauth2.VerifierOption(wait.verifier))
	if err != nil {
		return wait.returnTo, fmt.Errorf("%w: exchange the code: %w", ErrProvider, err)
	}
	p.stamp(token)
	raw, _ := token.Extra("id_token").(string)
	user, err := p.verify(r.Context(), provider, raw, token.AccessToken, wait)
	if err != nil {
		return wait.returnTo, fmt.Errorf("%w: %w", ErrProvider, err)
	}
	if user, err = p.complete(r.Context(), provider, user, token.AccessToken); err != nil {
		return wait.returnTo, fmt.Errorf("%w: %w", ErrProvider, err)
	}
	p.setCookie(w, p.signIn(s, user, token, raw, wait))
	return wait.returnTo, nil
}

// verify checks the ID token: signature, issuer, audience and expiry, then what
// belongs to this one sign-in (OpenID Connect Core 1.0 §3.1.3.7).
func (p *Party) verify(ctx context.Context, provider *provider, raw, accessToken string, wait pending) (*User, error) {
	if raw == "" {
		return nil, errors.New("the answer has no ID token")
	}
	idToken, err := provider.verifier.Verify(p.context(ctx), raw)
	if err != nil {
		return nil, fmt.Errorf("verify the ID token: %w", err)
	}
	if idToken.Nonce != wait.nonce {
		return nil, errors.New("the ID token is not of this sign-in: nonce differs")
	}
	if idToken.AccessTokenHash != "" {
		if err := idToken.VerifyAccessToken(accessToken); err != nil {
			return nil, fmt.Errorf("the access token is not of this ID token: %w", err)
		}
	}
	var claims claims
	if err := idToken.Claims(&claims); err != nil {
		return nil, fmt.Errorf("read the ID token: %w", err)
	}
	user := claims.user(idToken.Subject)
	if claims.AuthTime != 0 {
		user.AuthTime = time.Unix(claims.AuthTime, 0).UTC()
	}
	// Asked for a fresh sign-in, believe only one that says it is (§3.1.2.1,
	// max_age). A minute allows for clocks that disagree.
	if wait.hasMaxAge && p.now().Sub(user.AuthTime) > wait.maxAge+time.Minute {
		return nil, errors.New("the sign-in is older than was asked for")
	}
	return user, nil
}

// claims are what we read of an ID token or of userinfo.
type claims struct {
	Subject       string `json:"sub"`
	Name          string `json:"name"`
	GivenName     string `json:"given_name"`
	Email         string `json:"email"`
	EmailVerified bool   `json:"email_verified"`
	Locale        string `json:"locale"`
	AuthTime      int64  `json:"auth_time"`
}

func (c claims) user(subject string) *User {
	user := &User{Subject: subject, Name: c.Name, GivenName: c.GivenName, Email: c.Email, EmailVerified: c.EmailVerified, Locale: c.Locale}
	if user.Name == "" {
		user.Name = user.Email
	}
	return user
}

// complete asks userinfo for what the ID token leaves out: a provider that
// issues an access token need not repeat profile and email in the ID token
// (OpenID Connect Core 1.0 §5.4).
func (p *Party) complete(ctx context.Context, provider *provider, user *User, accessToken string) (*User, error) {
	if user.Name != "" || provider.userInfo == "" {
		return user, nil
	}
	more, _, err := p.userInfo(ctx, provider, accessToken)
	if err != nil {
		return nil, fmt.Errorf("userinfo: %w", err)
	}
	// A token swapped for another person's must not change who signs in (§5.3.2).
	if more.Subject != user.Subject {
		return nil, errors.New("userinfo is for somebody else")
	}
	more.AuthTime = user.AuthTime
	return more, nil
}

// signIn replaces the anonymous or older session: a new identifier at every
// sign-in, so one planted in the browser beforehand is worth nothing.
func (p *Party) signIn(old *Session, user *User, token *oauth2.Token, idToken string, wait pending) *Session {
	s := p.sessions.create(p.now())
	old.mu.Lock()
	s.pending = old.pending // other tabs may be signing in too
	if old.user != nil && old.user.Subject == user.Subject {
		s.csrf, s.forms = old.csrf, old.forms // pages still open in other tabs stay usable
	}
	old.pending = map[string]pending{}
	old.mu.Unlock()
	p.sessions.remove(old)

	s.mu.Lock()
	defer s.mu.Unlock()
	s.user, s.token, s.idToken = user, token, idToken
	if wait.form != nil && (wait.subject == "" || wait.subject == user.Subject) {
		if len(s.forms) >= maxPending {
			clear(s.forms)
		}
		s.forms[pathOf(wait.returnTo)] = wait.form
	}
	return s
}

// SignOut ends the session here and returns where to send the browser so that
// it ends at the provider too (OpenID Connect RP-Initiated Logout 1.0 §2).
func (p *Party) SignOut(w http.ResponseWriter, r *http.Request, locales string) string {
	after := p.config.BaseURL + "/signed-out"
	s := p.Session(r)
	if s == nil {
		return after
	}
	p.sessions.remove(s)
	http.SetCookie(w, p.cookie("", -1))
	s.mu.Lock()
	hint := s.idToken
	s.mu.Unlock()
	provider, err := p.discover(r.Context())
	if err != nil || provider.endSession == "" || hint == "" {
		return after
	}
	target, err := url.Parse(provider.endSession)
	if err != nil {
		return after
	}
	q := target.Query()
	q.Set("id_token_hint", hint)
	q.Set("client_id", p.config.ClientID)
	q.Set("post_logout_redirect_uri", after)
	if locales != "" {
		q.Set("ui_locales", locales)
	}
	target.RawQuery = q.Encode()
	return target.String()
}

// Session returns the browser's session, signed in or not, or nil.
func (p *Party) Session(r *http.Request) *Session {
	cookie, err := r.Cookie(p.cookieName())
	if err != nil {
		return nil
	}
	return p.sessions.find(cookie.Value, p.now())
}

func (p *Party) setCookie(w http.ResponseWriter, s *Session) {
	http.SetCookie(w, p.cookie(s.id, 0))
}

func (p *Party) cookie(value string, maxAge int) *http.Cookie {
	return &http.Cookie{
		Name: p.cookieName(), Value: value, Path: "/", MaxAge: maxAge,
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: p.secure(),
	}
}

func (p *Party) secure() bool { return strings.HasPrefix(p.config.BaseURL, "https://") }

func (p *Party) cookieName() string {
	if p.secure() {
		return "__Host-" + p.config.Name + "_session"
	}
	return p.config.Name + "_session"
}

func (p *Party) context(ctx context.Context) context.Context {
	return oidc.ClientContext(ctx, p.http)
}

// LocalPath returns path when it stays on this site and can be returned to,
// else "/". A return address from the query must never lead elsewhere.
func LocalPath(path string) string {
	u, err := url.Parse(path)
	if err != nil || u.IsAbs() || u.Host != "" || u.User != nil ||
		!strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.ContainsAny(path, "\\\r\n\t") {
		return "/"
	}
	switch u.Path {
	case "/signin", "/callback", "/signout", "/signed-out":
		return "/"
	}
	return path
}

// maxInitiation bounds what a sign-in that somebody else starts is read from.
const maxInitiation = 4 << 10

// Initiation is what a sign-in that the provider, or another site, starts says
// (OpenID Connect Core 1.0 §4).
type Initiation struct {
	ReturnTo  string // local path
	LoginHint string
}

// Initiated reads what /signin was called with. ok is false when it names
// another provider: only ours may send people here. target_link_uri is followed
// to pages of this portal and nowhere else (§4, open redirector).
func (p *Party) Initiated(q url.Values) (i Initiation, ok bool) {
	if q.Has("iss") && q.Get("iss") != p.config.Issuer {
		return Initiation{}, false
	}
	i = Initiation{ReturnTo: LocalPath(q.Get("return_to")), LoginHint: q.Get("login_hint")}
	if q.Has("target_link_uri") {
		i.ReturnTo = p.OwnPath(q.Get("target_link_uri"))
	}
	if len(i.LoginHint) > 254 { // no address is longer
		i.LoginHint = ""
	}
	return i, true
}

// PostedInitiation turns a sign-in that was started by POST into the same one
// by GET: a form of another site comes without our cookie (SameSite), and must
// not cost the person the session they have. It gives "" for what is no such
// form.
func (p *Party) PostedInitiation(w http.ResponseWriter, r *http.Request) string {
	r.Body = http.MaxBytesReader(w, r.Body, maxInitiation)
	if err := r.ParseForm(); err != nil || r.PostForm.Get("iss") != p.config.Issuer {
		return ""
	}
	q := url.Values{}
	for _, name := range []string{"iss", "login_hint", "target_link_uri"} {
		if r.PostForm.Has(name) {
			q.Set(name, r.PostForm.Get(name))
		}
	}
	return "/signin?" + q.Encode()
}

// OwnPath returns the local path of an address of this portal, else "/".
func (p *Party) OwnPath(address string) string {
	u, err := url.Parse(address)
	own, ownErr := url.Parse(p.config.BaseURL)
	if err != nil || ownErr != nil || u.User != nil || u.Opaque != "" || u.Scheme != own.Scheme || u.Host != own.Host {
		return "/"
	}
	return LocalPath(u.RequestURI())
}

func pathOf(local string) string {
	path, _, _ := strings.Cut(local, "?")
	return path
}
