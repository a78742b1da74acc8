package oauth

import (
	"context"
	"net/http"
	"net/url"

	"github.com/ory/fosite"

	"github.com/portico-id/portico/internal/realm"
)

const descriptionClient = "The client is unknown, did not authenticate, or used another method than the one it is registered with."

var errClient = refuse(errInvalidClient, descriptionClient)

// client shows a realm's client to fosite.
type client struct {
	*realm.Client
	issuer string
}

func (c client) GetID() string                      { return c.ID }
func (c client) GetHashedSecret() []byte            { return nil } // authentication is ours
func (c client) GetRedirectURIs() []string          { return c.RedirectURIs }
func (c client) GetGrantTypes() fosite.Arguments    { return c.GrantTypes }
func (c client) GetResponseTypes() fosite.Arguments { return fosite.Arguments{"code"} }
func (c client) GetScopes() fosite.Arguments        { return c.Scopes }
func (c client) IsPublic() bool                     { return c.Public() }

// GetAudience lists the APIs the client may get tokens for. The issuer's own
// userinfo needs no registration.
func (c client) GetAudience() fosite.Arguments {
	return append(fosite.Arguments{c.issuer}, c.Audiences...)
}

// credentials are what a request proves its client with.
type credentials struct {
	id, secret, method string
	raw                string // the secret as it stands in an Authorization header; "": in no other spelling
}

// provenBy compares both spellings of the secret, always: which of them fits,
// if any, and whether there is such a client at all, takes no other time.
func (c credentials) provenBy(of *realm.Client) bool {
	decoded, raw := of.CheckSecret(c.secret), of.CheckSecret(c.raw)
	return decoded || raw
}

// presented reads the credentials of a request and tells the method used.
func presented(req *http.Request, form url.Values) (credentials, error) {
	_, inHeader := req.Header["Authorization"]
	_, inBody := form["client_secret"]
	id := form.Get("client_id")
	switch {
	case inHeader && inBody:
		return credentials{}, refuse(errInvalidRequest, "The client authenticated in two ways.")
	case inBody:
		return credentials{id: id, secret: form.Get("client_secret"), method: realm.AuthPost}, nil
	case !inHeader:
		return credentials{id: id, method: realm.AuthNone}, nil
	}
	user, password, ok := req.BasicAuth()
	if !ok {
		return credentials{}, errClient
	}
	// Both halves are urlencoded before they are joined (RFC 6749 §2.3.1). Many
	// clients do not do that, and a plus or a percent sign in their secret would
	// be taken for something else: so it counts as it stands, too. The names of
	// our clients have neither.
	c := credentials{id: user, method: realm.AuthBasic, raw: password}
	if decoded, err := url.QueryUnescape(user); err == nil {
		c.id = decoded
	}
	if decoded, err := url.QueryUnescape(password); err == nil {
		c.secret = decoded
	}
	if id != "" && id != c.id {
		return credentials{}, refuse(errInvalidRequest, "The client named itself in two ways.")
	}
	return c, nil
}

// clientStrategy is authenticateClient as fosite calls it.
func clientStrategy(ctx context.Context, req *http.Request, form url.Values) (fosite.Client, error) {
	u := unitFrom(ctx)
	c, err := u.p.authenticateClient(ctx, u, req, form)
	if err != nil {
		return nil, err
	}
	u.client = c
	return client{c, u.realm.Issuer}, nil
}
