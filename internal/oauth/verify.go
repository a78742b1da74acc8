package oauth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/oauth/token"
	"github.com/portico-id/portico/internal/realm"
)

// ErrToken says that an access token is worth nothing here: malformed, forged,
// of another kind or realm, for somebody else, expired or revoked. Which of
// these it is, its bearer does not learn.
var ErrToken = errors.New("access token not valid")

// Claims is what a verified access token says. AccountID, SessionID and
// GrantID are uuid.Nil when a client got the token for itself.
type Claims struct {
	AccountID, SessionID, GrantID uuid.UUID
	ClientID                      string
	Scopes                        []string
	AuthTime                      time.Time // when the person signed in
	ACR                           string
	ID                            string // jti
	ExpiresAt                     time.Time
}

// HasScope reports whether the token carries a scope.
func (c Claims) HasScope(scope string) bool { return slices.Contains(c.Scopes, scope) }

// VerifyAccessToken checks an access token for an API of ours: signature, type
// at+jwt, issuer, audience, lifetime (RFC 9068 §4), and that its grant, account
// and session still stand, with one read. ErrToken; any other error means that
// nobody knows, and is no reason to send the caller away.
func (p *Provider) VerifyAccessToken(ctx context.Context, r *realm.Realm, raw, audience string) (Claims, error) {
	a, g, _, err := p.readAccess(ctx, r, raw)
	if err != nil {
		return Claims{}, err
	}
	if !a.Audience.Has(audience) {
		return Claims{}, fmt.Errorf("%w: for another audience", ErrToken)
	}
	c := Claims{
		ClientID: a.ClientID, Scopes: a.Scopes(), ACR: a.ACR, ID: a.ID,
		ExpiresAt: time.Unix(a.ExpiresAt, 0).UTC(),
	}
	if g != nil {
		c.AccountID, c.SessionID, c.GrantID = g.AccountID, g.SessionID, g.ID
		c.AuthTime = time.Unix(a.AuthTime, 0).UTC()
	}
	return c, nil
}

// readAccess verifies an access token of a realm, whomever it is for, and
// reads the grant behind it. Grant and account are nil for the token of a
// client on its own.
func (p *Provider) readAccess(ctx context.Context, r *realm.Realm, raw string) (token.Access, *grant, *account, error) {
	a, err := token.ReadAccess(raw, p.publicKeys(ctx, r))
	if err != nil {
		return a, nil, nil, fmt.Errorf("%w: %w", ErrToken, err)
	}
	if a.Issuer != r.Issuer || a.ExpiresAt <= p.db.Now(ctx).Unix() {
		return a, nil, nil, fmt.Errorf("%w: of another issuer, or expired", ErrToken)
	}
	holder, err := p.rememberedClient(ctx, r, a.ClientID, a.GrantID != "")
	switch {
	case errors.Is(err, errNoClient):
		return a, nil, nil, fmt.Errorf("%w: its client is gone", ErrToken)
	case err != nil:
		return a, nil, nil, err
	}
	if a.GrantID == "" {
		revoked, err := p.revokedAlone(ctx, r, a.ID)
		switch {
		case err != nil:
			return a, nil, nil, err
		case revoked:
			return a, nil, nil, fmt.Errorf("%w: revoked", ErrToken)
		}
		return a, nil, nil, nil
	}
	id, err := uuid.Parse(a.GrantID)
	if err != nil {
		return a, nil, nil, fmt.Errorf("%w: %w", ErrToken, err)
	}
	g, who, err := p.findGrant(ctx, r, id)
	if err == nil && g != nil && g.ClientID == holder.ID && g.ClientVersion != holder.Version {
		holder, err = p.findClient(ctx, r, a.ClientID) // it changed on another replica
		if errors.Is(err, errNoClient) {
			return a, nil, nil, fmt.Errorf("%w: its client is gone", ErrToken)
		}
	}
	switch {
	case err != nil:
		return a, nil, nil, err
	case g == nil || g.ClientID != a.ClientID || p.subject(r, holder, g.AccountID) != a.Subject:
		return a, nil, nil, fmt.Errorf("%w: its grant is over", ErrToken)
	}
	g.client = holder
	return a, g, who, nil
}
