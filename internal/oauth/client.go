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

// presented reads the credentials of a request and tells the method used.
func presented(req *http.Request, form url.Values) (id, secret, method string, err error) {
	_, inHeader := req.Header["Authorization"]
	_, inBody := form["client_secret"]
	id = form.Get("client_id")
	switch {
	case inHeader && inBody:
		return "", "", "", refuse(errInvalidRequest, "The client authenticated in two ways.")
	case inBody:
		return id, form.Get("client_secret"), realm.AuthPost, nil
	case !inHeader:
		return id, "", realm.AuthNone, nil
	}
	// Both halves are urlencoded before they are joined (RFC 6749 §2.3.1).
	user, password, ok := req.BasicAuth()
	if !ok {
		return "", "", "", errClient
	}
	basicID, err1 := url.QueryUnescape(user)
	basicSecret, err2 := url.QueryUnescape(password)
	if err1 != nil || err2 != nil {
		return "", "", "", errClient
	}
	if id != "" && id != basicID {
		return "", "", "", refuse(errInvalidRequest, "The client named itself in two ways.")
	}
	return basicID, basicSecret, realm.AuthBasic, nil
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
