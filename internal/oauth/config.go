package oauth

import (
	"context"
	"crypto/sha256"
	"net/url"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/handler/pkce"

	"github.com/portico-id/portico/internal/realm"
)

// configurator answers fosite's questions for the realm of a request: one
// composed provider serves all realms. Every field of the embedded Config that
// is ever asked for is filled, because its getters fill empty ones lazily and
// would race; the key fetcher is not, since nothing of fosite's fetches keys.
type configurator struct {
	*fosite.Config
	token map[string]fosite.TokenEndpointHandlers // by grant type
}

var (
	_ fosite.Configurator                         = (*configurator)(nil)
	_ fosite.PushedAuthorizeRequestConfigProvider = (*configurator)(nil)
	_ fosite.EnforcePKCEProvider                  = (*configurator)(nil)
)

func (c *configurator) GetAccessTokenLifespan(ctx context.Context) time.Duration {
	return unitFrom(ctx).realm.Lifetimes.AccessToken
}

func (c *configurator) GetRefreshTokenLifespan(ctx context.Context) time.Duration {
	return unitFrom(ctx).realm.Lifetimes.RefreshIdle
}

func (c *configurator) GetAuthorizeCodeLifespan(ctx context.Context) time.Duration {
	return unitFrom(ctx).realm.Lifetimes.Code
}

func (c *configurator) GetIDTokenLifespan(ctx context.Context) time.Duration {
	return unitFrom(ctx).realm.Lifetimes.IDToken
}

func (c *configurator) GetIDTokenIssuer(ctx context.Context) string {
	return unitFrom(ctx).realm.Issuer
}

func (c *configurator) GetAccessTokenIssuer(ctx context.Context) string {
	return unitFrom(ctx).realm.Issuer
}

func (c *configurator) GetTokenURLs(ctx context.Context) []string {
	return []string{unitFrom(ctx).realm.URL(pathToken)}
}

// GetEnforcePKCE asks every client for a proof that the code is its own
// (RFC 9700 §2.1.1), unless the realm is relaxed; public clients always.
func (c *configurator) GetEnforcePKCE(ctx context.Context) bool {
	return !unitFrom(ctx).realm.OAuth.OptionalPKCE
}

// GetTokenEndpointHandlers dispatches by grant type. fosite would ask every
// handler in turn, and each that is not concerned answers with a stack trace.
func (c *configurator) GetTokenEndpointHandlers(ctx context.Context) fosite.TokenEndpointHandlers {
	request, ok := ctx.Value(fosite.AccessRequestContextKey).(fosite.AccessRequester)
	if !ok || len(request.GetGrantTypes()) != 1 {
		return nil
	}
	return c.token[request.GetGrantTypes()[0]]
}

// compose puts fosite's handlers together, one by one: what is not named here
// does not exist, the password grant among it. Tokens of the authorization
// endpoint and pushed requests are ours (response.go, par.go).
func (p *Provider) compose() {
	cfg := &configurator{Config: baseConfig()}
	s := strategy{p}
	idTokens := &openid.IDTokenHandleHelper{IDTokenStrategy: s}

	code := &oauth2.AuthorizeExplicitGrantHandler{
		AccessTokenStrategy: s, RefreshTokenStrategy: s, AuthorizeCodeStrategy: s,
		CoreStorage: store{}, TokenRevocationStorage: store{}, Config: cfg,
	}
	identity := &openid.OpenIDConnectExplicitHandler{
		OpenIDConnectRequestStorage: store{}, IDTokenHandleHelper: idTokens, Config: cfg,
		OpenIDConnectRequestValidator: openid.NewOpenIDConnectRequestValidator(nil, cfg), // hints are read before
	}
	challenges := &pkce.Handler{AuthorizeCodeStrategy: s, Storage: store{}, Config: cfg}
	refresh := &oauth2.RefreshTokenGrantHandler{
		AccessTokenStrategy: s, RefreshTokenStrategy: s, TokenRevocationStorage: store{}, Config: cfg,
	}
	identityAgain := &openid.OpenIDConnectRefreshHandler{IDTokenHandleHelper: idTokens, Config: cfg}
	alone := &oauth2.ClientCredentialsGrantHandler{
		HandleHelper: &oauth2.HandleHelper{AccessTokenStrategy: s, AccessTokenStorage: store{}, Config: cfg}, Config: cfg,
	}

	cfg.AuthorizeEndpointHandlers = fosite.AuthorizeEndpointHandlers{code, identity, challenges}
	cfg.token = map[string]fosite.TokenEndpointHandlers{
		realm.GrantCode:              {code, identity, challenges},
		realm.GrantRefresh:           {refresh, identityAgain},
		realm.GrantClientCredentials: {alone},
	}
	p.fosite = fosite.NewOAuth2Provider(store{}, cfg)
	p.revocation = &oauth2.TokenRevocationHandler{
		TokenRevocationStorage: store{}, RefreshTokenStrategy: s, AccessTokenStrategy: s,
	}
}

func baseConfig() *fosite.Config {
	return &fosite.Config{
		// See GetEnforcePKCE.
		EnforcePKCE: true, EnforcePKCEForPublicClients: true, EnablePKCEPlainChallengeMethod: false,

		ScopeStrategy:            fosite.ExactScopeStrategy,
		AudienceMatchingStrategy: fosite.ExactAudienceMatchingStrategy,
		RefreshTokenScopes:       []string{realm.ScopeOfflineAccess},
		AllowedPromptValues:      []string{"login", "none", "consent", "select_account"},
		RedirectSecureChecker:    func(_ context.Context, u *url.URL) bool { return secureRedirect(u) },
		OmitRedirectScopeParam:   true,
		// How long state and nonce are is the client's business; checked late,
		// a short nonce would burn the code.
		MinParameterEntropy: 1,

		ClientAuthenticationStrategy: clientStrategy,
		ClientSecretsHasher:          noHasher{},
		GlobalSecret:                 nil, // our tokens are not fosite's
		HMACHasher:                   sha256.New,
		TokenEntropy:                 32,
		HashCost:                     12,

		AccessTokenLifespan: time.Minute, RefreshTokenLifespan: time.Minute, AuthorizeCodeLifespan: time.Minute,
		IDTokenLifespan: time.Minute, VerifiableCredentialsNonceLifespan: time.Minute,
		GrantTypeJWTBearerMaxDuration: time.Minute, PushedAuthorizeContextLifespan: time.Minute,
		PushedAuthorizeRequestURIPrefix: "urn:ietf:params:oauth:request_uri:",
	}
}

// noHasher refuses: client secrets are compared by realm.Client.
type noHasher struct{}

func (noHasher) Compare(context.Context, []byte, []byte) error { return fosite.ErrMisconfiguration }

func (noHasher) Hash(context.Context, []byte) ([]byte, error) {
	return nil, fosite.ErrMisconfiguration
}
