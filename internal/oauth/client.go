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

// nobody is compared with when a client is unknown, so that unknown and wrong
// cost the same.
var nobody = &realm.Client{SecretHash: make([]byte, 32), AuthMethod: realm.AuthBasic}

// authenticateClient finds out which client sent a request and lets it prove
// that (RFC 6749 §2.3). The registered method is the only one accepted; sending
// credentials in two ways is an error of its own. Client records are part of
// the configuration, so no database is asked.
func authenticateClient(r *realm.Realm, req *http.Request, form url.Values) (*realm.Client, error) {
	id, secret, method, err := presented(req, form)
	if err != nil {
		return nil, err
	}
	found, known := r.Client(id)
	if !known {
		found = nobody
	}
	if method == realm.AuthNone {
		if known && found.Public() {
			return found, nil
		}
		return nil, errClient
	}
	fits := found.CheckSecret(secret)
	if !known || !fits || found.AuthMethod != method {
		return nil, errClient
	}
	return found, nil
}

// presented reads the credentials of a request and tells the method used.
func presented(req *http.Request, form url.Values) (id, secret, method string, err error) {
	_, inHeader := req.Header["Authorization"]
	_, inBody := form["client_secret"]
	id = form.Get("client_id")
	switch {
	case form.Get("client_assertion") != "" || form.Get("client_assertion_type") != "":
		return "", "", "", errClient
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
	c, err := authenticateClient(u.realm, req, form)
	if err != nil {
		return nil, err
	}
	u.client = c
	return client{c, u.realm.Issuer}, nil
}
