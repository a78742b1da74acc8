package oauth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/handler/openid"

	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/oauth/token"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/secret"
)

// strategy makes and checks tokens for fosite's handlers. What fosite calls a
// signature is the key under which storage finds a token: the SHA-256 of a
// code or refresh token, which live in tables of their own, so that neither
// passes for the other.
type strategy struct{ p *Provider }

var (
	_ oauth2.CoreStrategy               = strategy{}
	_ openid.OpenIDConnectTokenStrategy = strategy{}
)

// keyOf is the storage key of a token as it was sent; "" when it cannot be one.
func keyOf(sent string) string {
	t, err := secret.ParseToken(sent)
	if err != nil {
		return ""
	}
	return string(t.Hash())
}

func (strategy) AuthorizeCodeSignature(_ context.Context, code string) string { return keyOf(code) }

func (strategy) GenerateAuthorizeCode(context.Context, fosite.Requester) (code, key string, err error) {
	t := secret.NewToken()
	return t.Reveal(), string(t.Hash()), nil
}

// ValidateAuthorizeCode checks the lifetime by the database's clock; that the
// code exists was seen before.
func (strategy) ValidateAuthorizeCode(ctx context.Context, _ fosite.Requester, _ string) error {
	u := unitFrom(ctx)
	if u.code == nil || !u.code.expiresAt.After(u.now) {
		return fosite.ErrTokenExpired
	}
	return nil
}

func (strategy) RefreshTokenSignature(ctx context.Context, sent string) string {
	t, err := secret.ParseToken(sent)
	if err != nil {
		return ""
	}
	unitFrom(ctx).presented = t
	return string(t.Hash())
}

// GenerateRefreshToken makes the first token of a family at random, and every
// other one from its predecessor. So a repeated refresh finds the same
// successor again although only its hash is stored.
func (s strategy) GenerateRefreshToken(ctx context.Context, _ fosite.Requester) (sent, key string, err error) {
	u := unitFrom(ctx)
	t := secret.NewToken()
	if u.refresh != nil {
		t = s.p.successor(u.realm, u.presented)
	}
	return t.Reveal(), string(t.Hash()), nil
}

// successor derives the refresh token that follows another, under a key that
// is not in the database: who steals a token cannot compute the next.
func (p *Provider) successor(r *realm.Realm, of secret.Token) secret.Token {
	mac := hmac.New(sha256.New, p.successorKey)
	mac.Write([]byte(r.Name))
	mac.Write([]byte{0})
	mac.Write([]byte(of.Reveal()))
	t, err := secret.ParseToken(base64.RawURLEncoding.EncodeToString(mac.Sum(nil)))
	if err != nil {
		panic("oauth: " + err.Error()) // an HMAC of 32 zero bytes
	}
	return t
}

func (strategy) ValidateRefreshToken(ctx context.Context, _ fosite.Requester, _ string) error {
	u := unitFrom(ctx)
	if u.refresh == nil || !u.refresh.expiresAt.After(u.now) {
		return fosite.ErrTokenExpired
	}
	return nil
}

// AccessTokenSignature is the token itself: nothing about it is stored.
func (strategy) AccessTokenSignature(_ context.Context, sent string) string { return sent }

// GenerateAccessToken signs an access token (RFC 9068). It never outlives its
// grant.
func (s strategy) GenerateAccessToken(ctx context.Context, request fosite.Requester) (sent, key string, err error) {
	u := unitFrom(ctx)
	session := request.GetSession().(*signIn)
	expires := u.now.Add(min(u.realm.Lifetimes.AccessToken, realm.MaxAccessToken))
	claims := token.Access{
		Issuer: u.realm.Issuer, Subject: session.subject, Audience: token.Audience(audienceOf(u, request)),
		IssuedAt: u.now.Unix(), ID: database.NewID().String(), ClientID: request.GetClient().GetID(),
		Scope: strings.Join(request.GetGrantedScopes(), " "),
	}
	if g := session.grant; g != nil {
		expires = earlier(expires, g.ExpiresAt)
		claims.AuthTime, claims.ACR, claims.AMR = g.AuthTime.Unix(), g.ACR, g.AMR
		claims.GrantID, claims.SessionID = g.ID.String(), s.p.sid(u.realm, u.client, g.SessionID)
	}
	claims.ExpiresAt = expires.Unix()
	u.accessExpires = expires
	sent, err = s.p.sign(ctx, u.realm, u.realm.OAuth.AccessTokenAlg, token.TypeAccess, claims)
	return sent, claims.ID, err
}

// ValidateAccessToken refuses: access tokens are verified by readAccess.
func (strategy) ValidateAccessToken(context.Context, fosite.Requester, string) error {
	return fosite.ErrInactiveToken
}

// GenerateIDToken signs an ID token (OpenID Connect Core §2, §12.2). It says
// how somebody signed in, nothing about the person: that is for userinfo.
func (s strategy) GenerateIDToken(ctx context.Context, _ time.Duration, request fosite.Requester) (string, error) {
	u := unitFrom(ctx)
	session := request.GetSession().(*signIn)
	g := session.grant
	if g == nil {
		return "", fosite.ErrMisconfiguration
	}
	id := request.GetClient().GetID()
	claims := token.Identity{
		Issuer: u.realm.Issuer, Subject: session.subject, Audience: token.Audience{id}, AuthorizedParty: id,
		IssuedAt: u.now.Unix(), ExpiresAt: u.now.Add(u.realm.Lifetimes.IDToken).Unix(), ID: database.NewID().String(),
		AuthTime: g.AuthTime.Unix(), ACR: g.ACR, AMR: g.AMR, SessionID: s.p.sid(u.realm, u.client, g.SessionID),
		Nonce: session.nonce, AccessTokenHash: session.claims.AccessTokenHash, CodeHash: session.claims.CodeHash,
		About: identityClaims(session, request.GetGrantedScopes()),
	}
	if session.state != "" {
		claims.StateHash = token.HalfHash(session.state)
	}
	alg := u.realm.OAuth.IDTokenAlg
	if c, ok := request.GetClient().(client); ok && c.IDTokenAlg != "" {
		alg = c.IDTokenAlg
	}
	// Only for a client that asked for it where its realm allows that, and only
	// from the token endpoint, whose TLS stands for the signature (OpenID Connect
	// Core §2, §3.1.3.7).
	if c, ok := request.GetClient().(client); ok && alg == algNone {
		if !c.Registered || !u.realm.OAuth.UnsignedIDTokens || u.purpose != forToken {
			return "", fosite.ErrMisconfiguration
		}
		return token.Unsigned(claims)
	}
	return s.p.sign(ctx, u.realm, alg, token.TypeID, claims)
}

func (p *Provider) sign(ctx context.Context, r *realm.Realm, alg, typ string, claims any) (string, error) {
	key, err := p.keys.Signer(ctx, r, alg)
	if err != nil {
		return "", fmt.Errorf("find a key for %s: %w", alg, err)
	}
	return token.Sign(key.KID, key.Alg, key.Private, typ, claims)
}
