package oauth

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/portico-id/portico/internal/oauth/token"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/secret"
	"github.com/portico-id/portico/internal/web"
)

// introspection is the answer about a token (RFC 7662 §2.2). Everything but
// Active is left out for a token that is not.
type introspection struct {
	Active    bool           `json:"active"`
	Scope     string         `json:"scope,omitempty"`
	ClientID  string         `json:"client_id,omitempty"`
	TokenType string         `json:"token_type,omitempty"`
	ExpiresAt int64          `json:"exp,omitempty"`
	IssuedAt  int64          `json:"iat,omitempty"`
	Subject   string         `json:"sub,omitempty"`
	Audience  token.Audience `json:"aud,omitempty"`
	Issuer    string         `json:"iss,omitempty"`
	ID        string         `json:"jti,omitempty"`
	AuthTime  int64          `json:"auth_time,omitempty"`
	ACR       string         `json:"acr,omitempty"`
}

// introspect answers a client that authenticated with its secret. A bearer
// token of whomever is no authentication here (RFC 7662 §2.1).
func (p *Provider) introspect(c *gin.Context) error {
	ctx, u := p.newUnit(c.Request.Context(), realm.From(c.Request.Context()), forRevocation)
	answer, err := func() (introspection, error) {
		form, err := readForm(c)
		if err != nil {
			return introspection{}, err
		}
		if u.client, err = p.authenticateClient(ctx, u, c.Request, form); err != nil {
			return introspection{}, err
		}
		answer, err := introspection{}, error(nil)
		switch {
		case u.client.Public():
			err = errClient
		case form.Get("token") == "":
			err = refuse(errInvalidRequest, "The token is missing.")
		default:
			answer, err = p.lookAt(ctx, u.realm, u.client, form.Get("token"))
		}
		return answer, u.finish(ctx, err)
	}()
	if err != nil {
		p.writeError(c, err)
		return nil
	}
	noStore(c)
	c.JSON(http.StatusOK, answer)
	return nil
}

// lookAt tells a client about a token that is its own, or for it. About every
// other one it learns no more than about one that does not exist.
func (p *Provider) lookAt(ctx context.Context, r *realm.Realm, asking *realm.Client, raw string) (introspection, error) {
	if !strings.Contains(raw, ".") {
		return p.lookAtRefresh(ctx, r, asking, raw)
	}
	a, _, _, err := p.readAccess(ctx, r, raw)
	if errors.Is(err, ErrToken) {
		return introspection{}, nil
	}
	if err != nil {
		return introspection{}, err
	}
	if a.ClientID != asking.ID && !isFor(asking, a.Audience) {
		return introspection{}, nil
	}
	return introspection{
		Active: true, Scope: a.Scope, ClientID: a.ClientID, TokenType: "Bearer", ExpiresAt: a.ExpiresAt,
		IssuedAt: a.IssuedAt, Subject: a.Subject, Audience: a.Audience, Issuer: a.Issuer, ID: a.ID,
		AuthTime: a.AuthTime, ACR: a.ACR,
	}, nil
}

// isFor reports whether a client stands for one of a token's audiences: it has
// the name, or is registered to introspect for an API it lists.
func isFor(asking *realm.Client, audience token.Audience) bool {
	return audience.Has(asking.ID) || asking.Introspect && slices.ContainsFunc(asking.Audiences, audience.Has)
}

// lookAtRefresh answers about a refresh token, to its own client only.
func (p *Provider) lookAtRefresh(ctx context.Context, r *realm.Realm, asking *realm.Client, raw string) (introspection, error) {
	t, err := secret.ParseToken(raw)
	if err != nil {
		return introspection{}, nil
	}
	now := p.db.Now(ctx)
	row, err := p.findRefresh(ctx, r, now, t.Hash(), nil)
	if err != nil {
		return introspection{}, err
	}
	if row == nil || row.grant.ClientID != asking.ID || !row.grant.Live || row.usedAt != nil || !row.expiresAt.After(now) {
		return introspection{}, nil
	}
	return introspection{
		Active: true, Scope: strings.Join(row.grant.Scopes, " "), ClientID: row.grant.ClientID,
		ExpiresAt: row.expiresAt.Unix(), Subject: p.subject(r, asking, row.grant.AccountID), Issuer: r.Issuer,
		AuthTime: row.grant.AuthTime.Unix(), ACR: row.grant.ACR,
	}, nil
}

// revoke ends a token and with it its grant (RFC 7009). A token that does not
// exist is as good as revoked; a database that does not answer is an error, so
// that the client tries again.
func (p *Provider) revoke(c *gin.Context) error {
	ctx, u := p.newUnit(c.Request.Context(), realm.From(c.Request.Context()), forRevocation)
	u.ip = web.ClientIP(c).String()
	err := func() error {
		form, err := readForm(c)
		if err != nil {
			return err
		}
		if u.client, err = p.authenticateClient(ctx, u, c.Request, form); err != nil {
			return err
		}
		if form.Get("token") == "" {
			return u.finish(ctx, refuse(errInvalidRequest, "The token is missing."))
		}
		return u.finish(ctx, p.revokeToken(ctx, u, form.Get("token"), form.Get("token_type_hint")))
	}()
	if err != nil {
		p.writeError(c, err)
		return nil
	}
	noStore(c)
	c.Status(http.StatusOK)
	return nil
}
