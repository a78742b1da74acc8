package oauth

import (
	"context"
	"crypto"
	"log/slog"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/ory/fosite"

	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/keyring"
	"github.com/portico-id/portico/internal/oauth/clientkeys"
	"github.com/portico-id/portico/internal/oauth/token"
	"github.com/portico-id/portico/internal/outbound"
	"github.com/portico-id/portico/internal/ratelimit"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/secret"
	"github.com/portico-id/portico/internal/session"
	"github.com/portico-id/portico/internal/web"
)

// Paths below a realm.
const (
	pathDiscovery  = "/.well-known/openid-configuration"
	pathMetadata   = "/.well-known/oauth-authorization-server"
	pathJWKS       = "/oauth/jwks"
	pathPAR        = "/oauth/par"
	pathAuthorize  = "/oauth/authorize"
	pathToken      = "/oauth/token"
	pathUserinfo   = "/oauth/userinfo"
	pathIntrospect = "/oauth/introspect"
	pathRevoke     = "/oauth/revoke"
	pathLogout     = "/oauth/logout"
	pathConfirm    = "/oauth/logout/confirm"
	pathSignedOut  = "/oauth/signed-out"
	pathCheck      = "/oauth/session"
	pathConsent    = "/consent"
	pathSignIn     = "/signin"
)

// Deps is what a Provider works with. All of it is needed but ACRValues, the
// levels of sign-in that discovery announces (acr_values_supported), and
// Factors; without that nobody is asked for a second proof.
type Deps struct {
	ACRValues []string
	Factors   Factors

	DB       *database.DB
	Keys     *keyring.Keyring
	Sealer   *secret.Sealer
	Sessions *session.Manager
	Audit    *audit.Log
	Pages    *web.Pages
	Log      *slog.Logger

	// Realms finds a realm by its name, for work that belongs to no request; nil:
	// there is none to be found, and nothing is sent.
	Realms func(name string) (*realm.Realm, bool)

	// Outbound calls the addresses that clients registered; nil: one that
	// exempts nobody.
	Outbound *outbound.Client
}

// Provider is the OpenID Connect provider of all realms; which one a request
// belongs to stands in its context. It is safe for concurrent use.
type Provider struct {
	db       *database.DB
	keys     *keyring.Keyring
	sessions *session.Manager
	audit    *audit.Log
	pages    *web.Pages
	log      *slog.Logger
	acrs     []string
	factors  Factors
	limits   *ratelimit.Limiter
	outbound *outbound.Client
	keysOf   *clientkeys.Keys // of clients
	objects  objects

	realms     func(name string) (*realm.Realm, bool)
	logoutWake chan struct{}

	logoutMetrics logoutMetrics

	registered   *registrations
	sealer       *secret.Sealer
	successorKey []byte
	pairwise     pairwiseKeys
	fosite       *fosite.Fosite
	revocation   fosite.RevocationHandler
}

// New composes a Provider.
func New(d Deps) *Provider {
	p := &Provider{
		db: d.DB, keys: d.Keys, sessions: d.Sessions, audit: d.Audit, pages: d.Pages, log: d.Log,
		acrs:         d.ACRValues,
		factors:      d.Factors,
		limits:       ratelimit.New(d.DB),
		outbound:     d.Outbound,
		sealer:       d.Sealer,
		registered:   newRegistrations(d.DB),
		successorKey: d.Sealer.DeriveKey("refresh token successor", 32),
	}
	if p.log == nil {
		p.log = slog.Default()
	}
	if p.outbound == nil {
		p.outbound = outbound.New(outbound.Options{})
	}
	p.keysOf = clientkeys.New(documents{p.outbound})
	p.realms, p.logoutWake = d.Realms, make(chan struct{}, 1)
	p.logoutMetrics = newLogoutMetrics(nil) // counted for nobody until Measure
	if p.realms == nil {
		p.realms = func(string) (*realm.Realm, bool) { return nil, false }
	}
	p.sessions.OnEnd(p.sessionsEnded)
	p.compose()
	return p
}

// Mount adds the routes below a realm's path. The group's middleware has put
// the realm into the context and set the headers of every answer.
func (p *Provider) Mount(g gin.IRouter) {
	g.GET(pathDiscovery, p.anyOrigin, web.Handle(p.ServeMetadata))
	g.GET(pathMetadata, p.anyOrigin, web.Handle(p.ServeMetadata))
	g.GET(pathJWKS, p.anyOrigin, web.Handle(p.jwks))

	// Not for scripts of other origins: no CORS (RFC 9700 §2.6).
	g.GET(pathAuthorize, web.Handle(p.authorizeGET))
	g.POST(pathAuthorize, web.Handle(p.authorizePOST))
	g.GET(pathConsent, web.Handle(p.showConsent))
	g.POST(pathConsent, p.pages.Protect(), web.Handle(p.answerConsent))
	g.GET(pathLogout, web.Handle(p.logoutGET))
	g.POST(pathLogout, web.Handle(p.logoutPOST))
	g.POST(pathConfirm, p.pages.Protect(), web.Handle(p.confirmLogout))
	g.GET(pathSignedOut, web.Handle(p.signedOut))
	g.GET(pathCheck, web.Handle(p.checkSession))

	g.POST(pathPAR, p.anyOrigin, web.Handle(p.push))
	g.POST(pathToken, p.anyOrigin, web.Handle(p.token))
	g.GET(pathUserinfo, p.anyOrigin, web.Handle(p.userinfo))
	g.POST(pathUserinfo, p.anyOrigin, web.Handle(p.userinfo))
	g.POST(pathRevoke, p.anyOrigin, web.Handle(p.revoke))
	g.POST(pathIntrospect, web.Handle(p.introspect)) // servers only: no CORS
	p.mountRegistration(g)
	for _, path := range []string{pathDiscovery, pathMetadata, pathJWKS, pathPAR, pathToken, pathUserinfo, pathRevoke} {
		g.OPTIONS(path, p.anyOrigin, preflight)
	}
}

// anyOrigin lets scripts of single-page apps read the answer. No cookie counts
// at these endpoints, so any origin may ask: it could ask without a browser.
func (p *Provider) anyOrigin(c *gin.Context) {
	c.Header("Access-Control-Allow-Origin", "*")
	c.Header("Access-Control-Expose-Headers", "WWW-Authenticate, Retry-After")
	// The defaults keep other sites from embedding our pages; these are not pages.
	c.Header("Cross-Origin-Resource-Policy", "cross-origin")
}

func preflight(c *gin.Context) {
	c.Header("Access-Control-Allow-Methods", "GET, POST")
	c.Header("Access-Control-Allow-Headers", "Authorization, Content-Type")
	c.Header("Access-Control-Max-Age", "7200")
	c.Status(http.StatusNoContent)
}

// publicKeys finds the realm's keys for package token.
func (p *Provider) publicKeys(ctx context.Context, r *realm.Realm) token.KeyFunc {
	return func(kid string) (crypto.PublicKey, string, bool) { return p.keys.Public(ctx, r, kid) }
}
