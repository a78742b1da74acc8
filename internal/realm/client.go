package realm

import (
	"cmp"
	"crypto/sha256"
	"crypto/subtle"
	"slices"
)

// Client authentication methods (OpenID Connect Core §9).
const (
	AuthBasic = "client_secret_basic"
	AuthPost  = "client_secret_post"
	AuthNone  = "none"
	AuthKey   = "private_key_jwt"
)

// Subject types (OpenID Connect Core §8).
const (
	SubjectPublic   = "public"
	SubjectPairwise = "pairwise"
)

// RegisteredPrefix begins the identifiers of clients that registered
// themselves; no configured client has it.
const RegisteredPrefix = "dyn-"

// Client is a relying party registered in a realm. Read it, never change it.
type Client struct {
	ID         string
	Name       string            // shown on sign-in and consent pages
	Names      map[string]string // by language, where another one is shown
	SecretHash []byte            // SHA-256 of the secret; nil: public client
	AuthMethod string            // the one method it may use

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

	// Keys of the client, for private_key_jwt and for what else it signs: a JSON
	// Web Key Set written out, or the address of one. At most one of the two.
	JWKS    []byte
	JWKSURI string
	AuthAlg string // the one algorithm of its assertions; "": any that is accepted here

	SubjectType string // SubjectPublic (or ""), SubjectPairwise
	Sector      string // host whose clients see a person under one pairwise subject
	UserinfoAlg string // signs userinfo; "": plain JSON

	// Where the client hears that a session has ended (OpenID Connect
	// Back-Channel Logout §2.2, Front-Channel Logout §2); "" where it does not.
	// Both messages always say which session, so the flags are only repeated.
	BackchannelLogoutURI        string
	BackchannelSessionRequired  bool
	FrontchannelLogoutURI       string
	FrontchannelSessionRequired bool

	LogoURI, PolicyURI, TermsURI string // shown on the sign-in page

	ResponseTypes    []string // canonical, see ResponseType; empty: code
	RequestObjectAlg string   // the one algorithm of its request objects, "none" included; "": any the realm reads
	RequestURIs      []string // where its request objects may be fetched, byte for byte (OpenID Connect Registration §2)
	RequirePAR       bool     // its requests have to be pushed (RFC 9126 §6)

	// What counts where a request says nothing about it (OpenID Connect
	// Registration §2). RequireAuthTime is only repeated: every ID token has one.
	DefaultMaxAge   *int64 // seconds; nil: none
	DefaultACRs     []string
	RequireAuthTime bool

	// Registered is set for clients that registered themselves; Version counts
	// the changes of their registration, from 1.
	Registered bool
	Version    int64
	Unused     bool // it registered itself and had no tokens yet
}

// HashSecret is how a client's secret is stored: SHA-256. The secret has 256
// random bits, so a slow hash would only slow the token endpoint down.
func HashSecret(secret string) []byte {
	h := sha256.Sum256([]byte(secret))
	return h[:]
}

// NameIn is what people who read a language are told that the client is called:
// its identifier when it has no name.
func (c *Client) NameIn(lang string) string { return cmp.Or(c.Names[lang], c.Name, c.ID) }

// Pairwise reports whether the client sees people under subjects of its own.
func (c *Client) Pairwise() bool { return c.SubjectType == SubjectPairwise }

// HasKeys reports whether the client has registered keys to sign with.
func (c *Client) HasKeys() bool { return len(c.JWKS) > 0 || c.JWKSURI != "" }

// Public reports whether the client does not authenticate.
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

// AllowsResponse reports whether the client may use a response type, written
// as ResponseType writes it.
func (c *Client) AllowsResponse(responseType string) bool {
	if len(c.ResponseTypes) == 0 {
		return responseType == ResponseCode
	}
	return slices.Contains(c.ResponseTypes, responseType)
}

// AllowsScope reports whether the client may ask for a scope.
func (c *Client) AllowsScope(scope string) bool { return slices.Contains(c.Scopes, scope) }

// AllowsAudience reports whether the client's access tokens may be for an API.
func (c *Client) AllowsAudience(audience string) bool { return slices.Contains(c.Audiences, audience) }
