package oauth

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/handler/pkce"
	"github.com/ory/fosite/storage"

	"github.com/portico-id/portico/internal/oauth/token"
	"github.com/portico-id/portico/internal/realm"
)

// store is what fosite's handlers see of a unit. It keeps nothing itself.
type store struct{}

var (
	_ fosite.Storage                     = store{}
	_ oauth2.CoreStorage                 = store{}
	_ oauth2.TokenRevocationStorage      = store{}
	_ openid.OpenIDConnectRequestStorage = store{}
	_ pkce.PKCERequestStorage            = store{}
	_ storage.Transactional              = store{}
)

// A transaction is the batch of the unit; the endpoint writes it.

func (store) BeginTX(ctx context.Context) (context.Context, error) { return ctx, nil }
func (store) Commit(context.Context) error                         { return nil }
func (store) Rollback(context.Context) error                       { return nil }

// GetClient is only there for the interface: clients are found and
// authenticated by authenticateClient.
func (store) GetClient(ctx context.Context, id string) (fosite.Client, error) {
	u := unitFrom(ctx)
	c, err := u.p.findClient(ctx, u.realm, id)
	if errors.Is(err, errNoClient) {
		return nil, fosite.ErrNotFound
	}
	if err != nil {
		return nil, u.fail(err)
	}
	return client{c, u.realm.Issuer}, nil
}

// ClientAssertionJWTValid refuses: assertions are verified by byAssertion.
func (store) ClientAssertionJWTValid(context.Context, string) error { return fosite.ErrJTIKnown }

// SetClientAssertionJWT refuses, see ClientAssertionJWTValid.
func (store) SetClientAssertionJWT(context.Context, string, time.Time) error {
	return fosite.ErrJTIKnown
}

// CreateAuthorizeCodeSession queues the grant and its code.
func (store) CreateAuthorizeCodeSession(ctx context.Context, hash string, _ fosite.Requester) error {
	u := unitFrom(ctx)
	g, err := insertGrant(u.realm.Name, u.now, u.grant, u.authorize.client, u.consent, u.authorize.agreed())
	if err != nil {
		return err
	}
	expires := earlier(u.now.Add(min(u.realm.Lifetimes.Code, realm.MaxCode)), u.grant.ExpiresAt)
	c, err := insertCode(u.now, expires, []byte(hash), u.grant.ID, codeData{
		RedirectURI: u.authorize.redirectURI, Nonce: u.authorize.nonce, Challenge: u.authorize.challenge})
	if err != nil {
		return err
	}
	u.writes = append(u.writes, g, c)
	return nil
}

// GetAuthorizeCodeSession reads a code. A code of another client is as good as
// none: only its own client may burn it or end its grant by replaying it.
func (store) GetAuthorizeCodeSession(ctx context.Context, hash string, _ fosite.Session) (fosite.Requester, error) {
	u := unitFrom(ctx)
	if u.code == nil {
		if hash == "" {
			return nil, fosite.ErrNotFound
		}
		row, err := u.p.findCode(ctx, u.realm, u.now, []byte(hash))
		if err != nil {
			return nil, u.fail(err)
		}
		if row == nil || row.grant.ClientID != u.client.ID {
			return nil, fosite.ErrNotFound
		}
		if u.mayCache && row.grant.ClientVersion != u.client.Version {
			return nil, u.fail(errStaleClient)
		}
		if !row.grant.Live {
			return nil, fosite.ErrNotFound
		}
		u.code = row
		u.hydrate(row.grant, row.data.Nonce, map[string][]string{
			"redirect_uri":          {row.data.RedirectURI},
			"code_challenge":        {row.data.Challenge},
			"code_challenge_method": {"S256"},
		})
	}
	if u.code.usedAt != nil {
		return u.request, fosite.ErrInvalidatedAuthorizeCode
	}
	return u.request, nil
}

// InvalidateAuthorizeCodeSession queues the claim of the code.
func (store) InvalidateAuthorizeCodeSession(ctx context.Context, _ string) error {
	u := unitFrom(ctx)
	u.writes = append(u.writes, claimCode(u.now, u.code.hash, u.mark))
	return nil
}

// The code's row carries what PKCE and OpenID Connect need, so neither can be
// lost while the code lives: a failed attempt leaves no code without its
// challenge behind.

func (store) CreatePKCERequestSession(context.Context, string, fosite.Requester) error { return nil }
func (store) DeletePKCERequestSession(context.Context, string) error                   { return nil }

func (s store) GetPKCERequestSession(ctx context.Context, hash string, session fosite.Session) (fosite.Requester, error) {
	request, err := s.GetAuthorizeCodeSession(ctx, hash, session)
	if err != nil {
		return nil, err
	}
	if unitFrom(ctx).code.data.Challenge == "" {
		return nil, fosite.ErrNotFound
	}
	return request, nil
}

func (store) CreateOpenIDConnectSession(context.Context, string, fosite.Requester) error { return nil }
func (store) DeleteOpenIDConnectSession(context.Context, string) error                   { return nil }

func (store) GetOpenIDConnectSession(ctx context.Context, _ string, _ fosite.Requester) (fosite.Requester, error) {
	u := unitFrom(ctx)
	if u.code == nil || !u.request.GrantedScope.Has(realm.ScopeOpenID) {
		return nil, openid.ErrNoSessionFound
	}
	return u.request, nil
}

// CreateAccessTokenSession writes nothing: access tokens are signed, and
// revoked through their grant.
func (store) CreateAccessTokenSession(context.Context, string, fosite.Requester) error { return nil }
func (store) DeleteAccessTokenSession(context.Context, string) error                   { return nil }

// GetAccessTokenSession is asked by the revocation handler. The "signature" is
// the whole token.
func (store) GetAccessTokenSession(ctx context.Context, raw string, _ fosite.Session) (fosite.Requester, error) {
	u := unitFrom(ctx)
	a, err := token.ReadAccess(raw, u.p.publicKeys(ctx, u.realm))
	if err != nil || a.Issuer != u.realm.Issuer || a.ExpiresAt <= u.now.Unix() {
		return nil, fosite.ErrNotFound
	}
	id := a.GrantID
	if id == "" {
		id = aloneTokenRequest + a.ID
		u.accessExpires = time.Unix(a.ExpiresAt, 0).UTC()
	}
	of := &realm.Client{ID: a.ClientID, AuthMethod: realm.AuthBasic}
	return &fosite.Request{ID: id, Client: client{of, u.realm.Issuer}, Session: &signIn{subject: a.Subject}}, nil
}

// CreateRefreshTokenSession queues the new refresh token, built from the row
// that was claimed. A repeated refresh has its successor already.
func (store) CreateRefreshTokenSession(ctx context.Context, hash, _ string, _ fosite.Requester) error {
	u := unitFrom(ctx)
	expires := earlier(u.now.Add(u.realm.Lifetimes.RefreshIdle), u.request.Session.(*signIn).grant.ExpiresAt)
	switch {
	case u.code != nil:
		u.writes = append(u.writes, refreshFromCode(u.now, expires, u.code.hash, u.mark, []byte(hash), u.code.grant.Scopes))
	case !u.refresh.repeat:
		u.writes = append(u.writes, refreshFromRefresh(u.now, expires, u.refresh.hash, u.mark, []byte(hash)))
	}
	return nil
}

// GetRefreshTokenSession reads a refresh token. ErrInactiveToken, with the
// request, is what makes fosite end the family.
func (store) GetRefreshTokenSession(ctx context.Context, hash string, _ fosite.Session) (fosite.Requester, error) {
	u := unitFrom(ctx)
	if u.refresh == nil {
		if hash == "" {
			return nil, fosite.ErrNotFound
		}
		row, err := u.p.findRefresh(ctx, u.realm, u.now, []byte(hash), u.p.successor(u.realm, u.presented).Hash())
		if err != nil {
			return nil, u.fail(err)
		}
		if row == nil {
			return nil, fosite.ErrNotFound
		}
		if u.mayCache && row.grant.ClientID == u.client.ID && row.grant.ClientVersion != u.client.Version {
			return nil, u.fail(errStaleClient)
		}
		u.refresh = row
		u.hydrate(row.grant, "", nil)
	}
	row := u.refresh
	if u.purpose == forRevocation {
		return u.request, nil // the handler compares the client; used or not, the family ends
	}
	if row.grant.ClientID != u.client.ID || !row.grant.Live {
		return nil, fosite.ErrNotFound
	}
	if row.usedAt == nil {
		return u.request, nil
	}
	if row.repeat = u.mayRepeat(row); row.repeat {
		return u.request, nil
	}
	return u.request, fosite.ErrInactiveToken
}

// mayRepeat reports whether a spent token is shown again because an answer got
// lost: by a client that proved who it is, shortly after, and while its
// successor was not used (FAPI 2.0 §5.3.2.1). claimRepeat decides.
func (u *unit) mayRepeat(row *refreshRow) bool {
	return !u.client.Public() && row.successorKnown && row.successorUsedAt == nil &&
		row.usedAt.After(u.now.Add(-u.realm.OAuth.RefreshGrace))
}

// RotateRefreshToken queues the claim of the presented token.
func (store) RotateRefreshToken(ctx context.Context, _ string, _ string) error {
	u := unitFrom(ctx)
	if u.refresh.repeat {
		u.writes = append(u.writes, claimRepeat(u.now, u.now.Add(-u.realm.OAuth.RefreshGrace), u.refresh.hash, u.refresh.successor))
		return nil
	}
	u.writes = append(u.writes, claimRefresh(u.now, u.refresh.hash, u.mark))
	return nil
}

// DeleteRefreshTokenSession does nothing: the grant is what ends.
func (store) DeleteRefreshTokenSession(context.Context, string) error { return nil }

// RevokeRefreshToken ends the grant, and with it every token of the family.
func (store) RevokeRefreshToken(ctx context.Context, requestID string) error {
	if strings.HasPrefix(requestID, aloneTokenRequest) {
		return nil
	}
	id, err := uuid.Parse(requestID)
	if err != nil {
		return fosite.ErrNotFound
	}
	u := unitFrom(ctx)
	if len(u.protect) == 0 && u.reuse == nil { // fosite asks twice, for access and for refresh tokens
		u.revoke(id)
	}
	return nil
}

// RevokeAccessToken ends the grant, or the one token of a client on its own.
func (s store) RevokeAccessToken(ctx context.Context, requestID string) error {
	jti, alone := strings.CutPrefix(requestID, aloneTokenRequest)
	if !alone {
		return s.RevokeRefreshToken(ctx, requestID)
	}
	u := unitFrom(ctx)
	u.protect = append(u.protect, revokeAlone(u.realm.Name, jti, u.accessExpires))
	return nil
}
