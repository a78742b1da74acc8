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
	form         url.Values // what is kept of the request
	client       *realm.Client
	redirectURI  string
	responseType string // canonical
	mode         string // response_mode: "query", "fragment" or "form_post"
	state        string
	hasState     bool

	scopes           []string
	resources        []string // the APIs asked for (RFC 8707); none: those of client and scopes
	nonce, challenge string
	prompt           []string
	maxAge           time.Duration // noMaxAge: not asked for
	hintSubject      string        // of id_token_hint
	loginHint        string
	uiLocales        string
	claims           *claimsRequest // nil: none
	acrs             []string       // wished for, the best first: a wish, no demand
	essentialACR     []string       // one of these the sign-in has to reach; nil: any

	flow   *interaction // nil when the request came straight from the client
	pushed []byte       // hash of the pushed request that says all this; nil: none
}

const noMaxAge = time.Duration(-1)

// parameters are those of an authorization request that mean something here.
// The rest is ignored and not kept (RFC 6749 §3.1).
var parameters = []string{
	"response_type", "client_id", "redirect_uri", "scope", "state", "response_mode", "nonce",
	"code_challenge", "code_challenge_method", "prompt", "max_age", "login_hint", "ui_locales",
	"id_token_hint", "acr_values", "display", "claims_locales", "claims", "resource",
	"registration", // to be refused, also where it comes in a request object
}

var (
	errNoClient   = errors.New("unknown client")
	errNoRedirect = errors.New("redirect URI not registered")
	errGarbled    = errors.New("client or redirect URI sent more than once")
)

// Clients put some state of theirs into these; both are kept in rows that
// anybody can make.
const (
	maxState = 4 << 10
	maxNonce = 1 << 10
)

// readParameters reads the parameters of a request, wherever they came from.
// As long as it is not certain where the answer may go there is no
// authorization; after that both are returned.
func (p *Provider) readParameters(ctx context.Context, r *realm.Realm, found *realm.Client, form url.Values) (*authorization, error) {
	if len(form["redirect_uri"]) > 1 {
		return nil, errGarbled
	}
	a := &authorization{client: found, redirectURI: form.Get("redirect_uri"), maxAge: noMaxAge, form: url.Values{}}
	if a.redirectURI == "" || !answersAt(found, a.redirectURI) {
		return nil, errNoRedirect
	}
	for _, name := range parameters {
		if v, ok := form[name]; ok && (len(v) == 1 || name == "resource") {
			a.form[name] = v
		}
	}
	a.state, a.hasState = a.form.Get("state"), hasState(a.form)
	a.loginHint, a.uiLocales = a.form.Get("login_hint"), a.form.Get("ui_locales")
	a.nonce = a.form.Get("nonce")
	a.mode = responseMode(form)

	for _, check := range []func(context.Context, *realm.Realm, url.Values) error{
		a.checkShape, a.checkResponse, a.checkScope, a.checkChallenge, a.checkPrompt, a.checkClaims, a.checkResource,
	} {
		if err := check(ctx, r, form); err != nil {
			return a, err
		}
	}
	if len(a.essentialACR) > 0 && !slices.ContainsFunc(a.essentialACR, func(acr string) bool { return slices.Contains(p.acrs, acr) }) {
		return a, refuse(errUnmet, "No sign-in here reaches the acr that is essential.")
	}
	return a, a.checkHint(r, form, p.publicKeys(ctx, r))
}

// hasState reports whether an answer repeats the state. One that is refused for
// its length is not: the answer would be too long for a browser.
func hasState(form url.Values) bool {
	return len(form["state"]) == 1 && len(form.Get("state")) <= maxState
}

// responseMode is where answers go: the mode asked for, if there is one of
// that name, else the default of the response type. Errors about the mode or
// the type need it too.
func responseMode(form url.Values) string {
	front := bringsTokens(form.Get("response_type"))
	mode := form.Get("response_mode")
	switch {
	case mode == modeFormPost, mode == modeFragment, mode == modeQuery && !front:
		return mode
	case front:
		return modeFragment // what a client that asks for these reads; tokens never stand in a query
	}
	return modeQuery
}

// Response modes (OAuth 2.0 Multiple Response Type Encoding Practices §2.1,
// OAuth 2.0 Form Post Response Mode §2).
const (
	modeQuery    = "query"
	modeFragment = "fragment"
	modeFormPost = "form_post"
)

// bringsTokens reports whether an answer of this type contains a token.
func bringsTokens(responseType string) bool {
	types := strings.Fields(responseType)
	return slices.Contains(types, "token") || slices.Contains(types, "id_token")
}

// brings reports whether the answer is to contain a code, a token or an id_token.
func (a *authorization) brings(what string) bool {
	return slices.Contains(strings.Fields(a.responseType), what)
}

func (a *authorization) checkShape(_ context.Context, _ *realm.Realm, form url.Values) error {
	switch {
	case duplicate(form) != "":
		if len(form["state"]) > 1 {
			a.hasState = false
		}
		return refuse(errInvalidRequest, "A parameter was sent more than once.")
	case len(a.state) > maxState || len(a.nonce) > maxNonce:
		return refuse(errInvalidRequest, "The state or the nonce is too long.")
	case len(a.encode()) > maxLocation:
		return refuse(errInvalidRequest, "The request is too long.")
	case form.Has("registration"):
		return refuse(errRegistration, "Registration in a request is not supported.")
	}
	return nil
}

func (a *authorization) checkResponse(_ context.Context, r *realm.Realm, form url.Values) error {
	a.responseType = realm.ResponseType(form.Get("response_type"))
	switch {
	case form.Get("response_type") == "":
		return refuse(errInvalidRequest, "The response_type is missing.")
	case a.responseType == "" || !slices.Contains(r.OAuth.ResponseTypes, a.responseType):
		return refuse(errUnsupportedResponse, "The response_type is not supported.")
	case !a.client.AllowsResponse(a.responseType):
		return refuse(errUnauthorizedClient, "The client is not registered for this response_type.")
	}
	for _, grantType := range realm.NeedsGrants(a.responseType) {
		if !a.client.AllowsGrant(grantType) {
			return refuse(errUnauthorizedClient, "The client may not use the grant "+grantType+".")
		}
	}
	if mode := form.Get("response_mode"); mode != "" && mode != a.mode {
		return refuse(errInvalidRequest, "The response_mode is not supported, or not for this response_type.")
	}
	// It ties the ID token to the browser that asked (OpenID Connect Core §3.2.2.1).
	if a.brings("id_token") && a.nonce == "" {
		return refuse(errInvalidRequest, "The nonce is missing.")
	}
	return nil
}

func (a *authorization) checkScope(_ context.Context, r *realm.Realm, form url.Values) error {
	for _, scope := range strings.Fields(form.Get("scope")) {
		switch {
		case slices.Contains(a.scopes, scope):
		case !slices.Contains(r.OAuth.Scopes, scope):
			// Ignored (OpenID Connect Core §3.1.2.1): clients are written for many
			// providers. The token response says what was granted (RFC 6749 §3.3).
		case !a.client.AllowsScope(scope):
			// Something that is known here is not forgotten in silence: somebody has to
			// register the client for it.
			return refuse(errInvalidScope, "A scope is not allowed for this client.")
		case scope == realm.ScopeOfflineAccess && !(a.client.AllowsGrant(realm.GrantRefresh) && a.brings("code")):
			// Ignored: the client could not use it (OpenID Connect Core §11).
		default:
			a.scopes = append(a.scopes, scope)
		}
	}
	switch {
	case len(a.scopes) == 0:
		return refuse(errInvalidScope, "The scope is missing.")
	case a.brings("id_token") && !slices.Contains(a.scopes, realm.ScopeOpenID):
		return refuse(errInvalidScope, "An ID token needs the scope openid.")
	}
	return nil
}

// checkChallenge wants S256 of every client (RFC 7636 §4.3, RFC 9700 §2.1.1).
// Where a realm is relaxed, clients that authenticate may go without.
func (a *authorization) checkChallenge(_ context.Context, r *realm.Realm, form url.Values) error {
	if !a.brings("code") {
		return nil
	}
	a.challenge = form.Get("code_challenge")
	switch {
	case a.challenge == "" && !form.Has("code_challenge_method") && !needsChallenge(r, a.client):
		return nil
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
	} else if a.client.DefaultMaxAge != nil {
		a.maxAge = time.Duration(*a.client.DefaultMaxAge) * time.Second
	}
	// A voluntary claim either way (OpenID Connect Registration §2).
	if a.acrs = strings.Fields(form.Get("acr_values")); len(a.acrs) == 0 {
		a.acrs = a.client.DefaultACRs
	}
	return nil
}

// needsChallenge reports whether a client has to use PKCE.
func needsChallenge(r *realm.Realm, c *realm.Client) bool { return !r.OAuth.OptionalPKCE || c.Public() }

// displays are the values of display: one page suits all of them.
var displays = []string{"page", "popup", "touch"}

// checkClaims reads the claims parameter and display (OpenID Connect Core §5.5,
// §3.1.2.1). claims_locales is a wish, and there is one text of each claim.
func (a *authorization) checkClaims(_ context.Context, _ *realm.Realm, form url.Values) error {
	if display := form.Get("display"); display != "" && !slices.Contains(displays, display) {
		return refuse(errInvalidRequest, "The display is not supported.")
	}
	if !form.Has("claims") || !slices.Contains(a.scopes, realm.ScopeOpenID) {
		return nil
	}
	asked, err := parseClaims(form.Get("claims"))
	if err != nil {
		e := refuse(errInvalidRequest, "The claims parameter cannot be read.")
		e.cause = err
		return e
	}
	asked.restrict(a.client.AllowsScope)
	if acr := asked.IDToken["acr"]; acr.Essential {
		a.essentialACR = acr.texts() // OpenID Connect Core §5.5.1.1
	}
	for _, sub := range []claimRequest{asked.IDToken["sub"], asked.Userinfo["sub"]} {
		switch wanted := sub.texts(); {
		case len(wanted) == 0:
		case len(wanted) > 1 || a.hintSubject != "" && a.hintSubject != wanted[0]:
			return refuse(errInvalidRequest, "The claims parameter asks for more than one person.")
		default:
			a.hintSubject = wanted[0]
		}
	}
	if !asked.empty() {
		a.claims = asked
	}
	return nil
}

// agreed lists the scopes the person has to agree to: those asked for, and
// those of which single claims are asked for.
func (a *authorization) agreed() []string {
	out := slices.Clone(a.scopes)
	if a.claims != nil {
		for _, scope := range a.claims.scopes() {
			if !slices.Contains(out, scope) {
				out = append(out, scope)
			}
		}
	}
	return out
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
	if a.hintSubject != "" && a.hintSubject != id.Subject {
		return refuse(errInvalidRequest, "The id_token_hint and the claims parameter mean different people.")
	}
	a.hintSubject = id.Subject
	return nil
}

func (a *authorization) asks(prompt string) bool { return slices.Contains(a.prompt, prompt) }

// silent reports whether nothing may be shown (prompt=none).
func (a *authorization) silent() bool { return a.asks("none") }

// grantFor is what the account is about to allow the client.
func (a *authorization) grantFor(r *realm.Realm, id uuid.UUID, now time.Time) *grant {
	audiences := a.resources
	if len(audiences) == 0 {
		audiences = audiencesFor(r, a.client, a.scopes)
	}
	return &grant{
		ID: id, ClientID: a.client.ID, Scopes: a.scopes, Audiences: audiences, Claims: a.claims,
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
