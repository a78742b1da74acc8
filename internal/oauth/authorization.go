package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/oauth/token"
	"github.com/portico-id/portico/internal/realm"
)

// authorization is an authorization request that makes sense: its client is
// known, its redirect URI registered, every parameter read.
type authorization struct {
	form        url.Values // what is kept of the request
	client      *realm.Client
	redirectURI string
	mode        string // response_mode: "query" or "fragment"
	state       string
	hasState    bool

	scopes           []string
	nonce, challenge string
	prompt           []string
	maxAge           time.Duration // noMaxAge: not asked for
	hintSubject      string        // of id_token_hint
	loginHint        string
	uiLocales        string

	flow *interaction // nil when the request came straight from the client
}

const noMaxAge = time.Duration(-1)

// parameters are those of an authorization request that mean something here.
// The rest is ignored and not kept (RFC 6749 §3.1).
var parameters = []string{
	"response_type", "client_id", "redirect_uri", "scope", "state", "response_mode", "nonce",
	"code_challenge", "code_challenge_method", "prompt", "max_age", "login_hint", "ui_locales",
	"id_token_hint", "acr_values", "display", "claims_locales",
}

var (
	errNoClient   = errors.New("unknown client")
	errNoRedirect = errors.New("redirect URI not registered")
	errGarbled    = errors.New("client or redirect URI sent more than once")
)

// readAuthorization reads a request. As long as it is not certain where the
// answer may go (the first three errors) there is no authorization, and the
// error belongs on a page here; after that both are returned, and the error
// goes to the client (RFC 6749 §4.1.2.1).
func (p *Provider) readAuthorization(ctx context.Context, r *realm.Realm, form url.Values) (*authorization, error) {
	if len(form["client_id"]) > 1 || len(form["redirect_uri"]) > 1 {
		return nil, errGarbled
	}
	found, ok := r.Client(form.Get("client_id"))
	if !ok {
		return nil, errNoClient
	}
	a := &authorization{client: found, redirectURI: form.Get("redirect_uri"), maxAge: noMaxAge, form: url.Values{}}
	if a.redirectURI == "" || !allowedRedirect(found, a.redirectURI) {
		return nil, errNoRedirect
	}
	for _, name := range parameters {
		if v, ok := form[name]; ok && len(v) == 1 {
			a.form[name] = v
		}
	}
	a.state, a.hasState = a.form.Get("state"), a.form.Has("state")
	a.loginHint, a.uiLocales = a.form.Get("login_hint"), a.form.Get("ui_locales")
	a.nonce = a.form.Get("nonce")
	a.mode = responseMode(form)

	for _, check := range []func(context.Context, *realm.Realm, url.Values) error{
		a.checkShape, a.checkResponse, a.checkScope, a.checkChallenge, a.checkPrompt,
	} {
		if err := check(ctx, r, form); err != nil {
			return a, err
		}
	}
	return a, a.checkHint(r, form, p.publicKeys(ctx, r))
}

// responseMode is where answers go: the mode asked for, if there is one of
// that name, else the default of the response type. Errors about the mode or
// the type need it too.
func responseMode(form url.Values) string {
	switch mode := form.Get("response_mode"); mode {
	case "query", "fragment":
		return mode
	}
	types := strings.Fields(form.Get("response_type"))
	if slices.Contains(types, "token") || slices.Contains(types, "id_token") {
		return "fragment" // what a client that asks for these reads
	}
	return "query"
}

func (a *authorization) checkShape(_ context.Context, _ *realm.Realm, form url.Values) error {
	switch {
	case duplicate(form) != "":
		if len(form["state"]) > 1 {
			a.hasState = false
		}
		return refuse(errInvalidRequest, "A parameter was sent more than once.")
	case form.Has("request"):
		return refuse(errRequestUnsupported, "Request objects are not supported.")
	case form.Has("request_uri"):
		return refuse(errRequestURI, "Request URIs are not supported.")
	case form.Has("registration"):
		return refuse(errRegistration, "Registration in a request is not supported.")
	}
	return nil
}

func (a *authorization) checkResponse(_ context.Context, _ *realm.Realm, form url.Values) error {
	switch {
	case form.Get("response_type") == "":
		return refuse(errInvalidRequest, "The response_type is missing.")
	case form.Get("response_type") != "code":
		return refuse(errUnsupportedResponse, "The response_type has to be code.")
	case !a.client.AllowsGrant(realm.GrantCode):
		return refuse(errUnauthorizedClient, "The client may not use the authorization code grant.")
	}
	if mode := form.Get("response_mode"); mode != "" && mode != a.mode {
		return refuse(errInvalidRequest, "The response_mode is not supported.")
	}
	return nil
}

func (a *authorization) checkScope(_ context.Context, r *realm.Realm, form url.Values) error {
	for _, scope := range strings.Fields(form.Get("scope")) {
		switch {
		case slices.Contains(a.scopes, scope):
		case !slices.Contains(r.OAuth.Scopes, scope) || !a.client.AllowsScope(scope):
			return refuse(errInvalidScope, "A scope is unknown, or not allowed for this client.")
		case scope == realm.ScopeOfflineAccess && !a.client.AllowsGrant(realm.GrantRefresh):
			// Ignored: the client could not use it (OpenID Connect Core §11).
		default:
			a.scopes = append(a.scopes, scope)
		}
	}
	if len(a.scopes) == 0 {
		return refuse(errInvalidScope, "The scope is missing.")
	}
	return nil
}

// checkChallenge wants S256 of every client (RFC 7636 §4.3, RFC 9700 §2.1.1).
func (a *authorization) checkChallenge(_ context.Context, _ *realm.Realm, form url.Values) error {
	a.challenge = form.Get("code_challenge")
	switch {
	case a.challenge == "":
		return refuse(errInvalidRequest, "The code_challenge is missing (PKCE).")
	case form.Get("code_challenge_method") != "S256":
		return refuse(errInvalidRequest, "The code_challenge_method has to be S256.")
	case len(a.challenge) != 43 || strings.Trim(a.challenge, base64url) != "":
		return refuse(errInvalidRequest, "The code_challenge is not a SHA-256 in base64url.")
	}
	return nil
}

const base64url = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// checkPrompt reads what OpenID Connect Core §3.1.2.1 says about asking the
// person again. What cannot be read is refused rather than ignored: ignoring a
// max_age would let an old sign-in pass.
func (a *authorization) checkPrompt(_ context.Context, _ *realm.Realm, form url.Values) error {
	a.prompt = strings.Fields(form.Get("prompt"))
	for _, value := range a.prompt {
		if !slices.Contains([]string{"none", "login", "consent", "select_account"}, value) {
			return refuse(errInvalidRequest, "The prompt has an unknown value.")
		}
	}
	if slices.Contains(a.prompt, "none") && len(a.prompt) > 1 {
		return refuse(errInvalidRequest, "The prompt none stands alone.")
	}
	if form.Has("max_age") {
		seconds, err := strconv.ParseInt(form.Get("max_age"), 10, 32)
		if err != nil || seconds < 0 {
			return refuse(errInvalidRequest, "The max_age is not a number of seconds.")
		}
		a.maxAge = time.Duration(seconds) * time.Second
	}
	return nil
}

// checkHint reads id_token_hint: a token we gave this client once, expired or
// not.
func (a *authorization) checkHint(r *realm.Realm, form url.Values, keys token.KeyFunc) error {
	raw := form.Get("id_token_hint")
	if raw == "" {
		return nil
	}
	id, err := token.ReadIdentity(raw, keys)
	if err != nil || id.Issuer != r.Issuer || !id.Audience.Has(a.client.ID) {
		e := refuse(errInvalidRequest, "The id_token_hint is not an ID token of this issuer for this client.")
		e.cause = err
		return e
	}
	a.hintSubject = id.Subject
	return nil
}

func (a *authorization) asks(prompt string) bool { return slices.Contains(a.prompt, prompt) }

// silent reports whether nothing may be shown (prompt=none).
func (a *authorization) silent() bool { return a.asks("none") }

// grantFor is what the account is about to allow the client.
func (a *authorization) grantFor(r *realm.Realm, id uuid.UUID, now time.Time) *grant {
	return &grant{
		ID: id, ClientID: a.client.ID, Scopes: a.scopes, Audiences: audiencesFor(r, a.client, a.scopes),
		ExpiresAt: now.Add(r.Lifetimes.GrantAbsolute), Live: true,
	}
}

// canonical writes scopes in one order, so that two lists can be compared as
// text.
func canonical(scopes []string) string {
	sorted := slices.Clone(scopes)
	slices.Sort(sorted)
	return strings.Join(slices.Compact(sorted), " ")
}

// encode is the request as an interaction keeps it, and as a link carries it.
func (a *authorization) encode() string { return a.form.Encode() }

func decodeRequest(stored string) (url.Values, error) {
	form, err := url.ParseQuery(stored)
	if err != nil {
		return nil, fmt.Errorf("decode stored request: %w", err)
	}
	return form, nil
}
