package realm

import (
	"crypto/sha256"
	"crypto/subtle"
	"slices"
)

// Client authentication methods (OpenID Connect Core §9).
const (
	AuthBasic = "client_secret_basic"
	AuthPost  = "client_secret_post"
	AuthNone  = "none"
)

// Client is a relying party registered in a realm. Read it, never change it.
type Client struct {
	ID         string
	Name       string // shown on sign-in and consent pages
	SecretHash []byte // SHA-256 of the secret; nil: public client
	AuthMethod string // the one method it may use

	RedirectURIs           []string // compared byte for byte; loopback IPs with any port (RFC 8252 §7.3)
	PostLogoutRedirectURIs []string
	GrantTypes             []string
	Scopes                 []string // scopes it may ask for
	Audiences              []string // APIs its access tokens may be for
	IDTokenAlg             string

	FirstParty       bool // skips the consent page
	Introspect       bool // may ask the introspection endpoint (RFC 7662 §2.1)
	InitiateLoginURI string
	ClientURI        string // the portal's front page
}

// HashSecret is how a client's secret is stored: SHA-256. The secret has 256
// random bits, so a slow hash would only slow the token endpoint down.
func HashSecret(secret string) []byte {
	h := sha256.Sum256([]byte(secret))
	return h[:]
}

// Public reports whether the client has no secret.
func (c *Client) Public() bool { return c.AuthMethod == AuthNone }

// CheckSecret compares a presented secret in constant time. A public client
// has none, so nothing matches, the empty string least of all.
func (c *Client) CheckSecret(secret string) bool {
	if c.Public() || len(c.SecretHash) != sha256.Size || secret == "" {
		return false
	}
	return subtle.ConstantTimeCompare(HashSecret(secret), c.SecretHash) == 1
}

// AllowsGrant reports whether the client may use a grant type.
func (c *Client) AllowsGrant(grant string) bool { return slices.Contains(c.GrantTypes, grant) }

// AllowsScope reports whether the client may ask for a scope.
func (c *Client) AllowsScope(scope string) bool { return slices.Contains(c.Scopes, scope) }

// AllowsAudience reports whether the client's access tokens may be for an API.
func (c *Client) AllowsAudience(audience string) bool { return slices.Contains(c.Audiences, audience) }
