package relyingparty

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"golang.org/x/oauth2"
)

// renewBefore is how long before its end an access token is renewed, so that it
// does not expire on the way.
const renewBefore = 20 * time.Second

// AccessToken returns a token that is good for now, renewed when needed.
// It returns ErrSignInAgain when the provider will not renew it, and
// ErrProvider when the provider cannot be asked; the session then stays.
func (p *Party) AccessToken(ctx context.Context, s *Session) (string, error) {
	token, err := s.current()
	if err != nil {
		return "", err
	}
	if token.Expiry.IsZero() || p.now().Add(renewBefore).Before(token.Expiry) {
		return token.AccessToken, nil
	}
	return p.Renew(ctx, s, token.AccessToken)
}

// Renew returns a token other than refused, which an API turned down although
// it looked good. When another request has renewed it meanwhile, that one.
func (p *Party) Renew(ctx context.Context, s *Session, refused string) (string, error) {
	s.renewing.Lock()
	defer s.renewing.Unlock()
	token, err := s.current()
	if err != nil {
		return "", err
	}
	if token.AccessToken != refused {
		return token.AccessToken, nil
	}
	if token.RefreshToken == "" {
		return "", p.forget(s)
	}
	provider, err := p.discover(ctx)
	if err != nil {
		return "", err
	}
	// The provider rotates refresh tokens. A visitor who leaves in the middle
	// must not cost us the new one, so their leaving does not stop the renewal.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	fresh, err := provider.oauth.TokenSource(p.context(ctx), &oauth2.Token{RefreshToken: token.RefreshToken}).Token()
	if err != nil {
		var refusal *oauth2.RetrieveError
		if errors.As(err, &refusal) && refusal.ErrorCode == "invalid_grant" {
			return "", p.forget(s)
		}
		return "", fmt.Errorf("%w: renew the access token: %w", ErrProvider, err)
	}
	if err := p.checkRenewed(ctx, provider, s, fresh); err != nil {
		return "", fmt.Errorf("%w: %w", p.forget(s), err)
	}
	p.stamp(fresh)
	s.mu.Lock()
	s.token = fresh
	s.mu.Unlock()
	return fresh.AccessToken, nil
}

// stamp sets a token's end by this party's clock.
func (p *Party) stamp(token *oauth2.Token) {
	if seconds, ok := token.Extra("expires_in").(float64); ok && seconds > 0 {
		token.Expiry = p.now().Add(time.Duration(seconds) * time.Second)
	}
}

// checkRenewed checks an ID token that came with a renewal: it must be for the
// same person (OpenID Connect Core 1.0 §12.2).
func (p *Party) checkRenewed(ctx context.Context, provider *provider, s *Session, fresh *oauth2.Token) error {
	raw, _ := fresh.Extra("id_token").(string)
	if raw == "" {
		return nil
	}
	idToken, err := provider.verifier.Verify(p.context(ctx), raw)
	if err != nil {
		return fmt.Errorf("verify the renewed ID token: %w", err)
	}
	if user := s.User(); user == nil || idToken.Subject != user.Subject {
		return errors.New("the renewed ID token is for somebody else")
	}
	s.mu.Lock()
	s.idToken = raw
	s.mu.Unlock()
	return nil
}

// UserInfo asks the provider who the person is now (OpenID Connect Core 1.0
// §5.3), so that a changed name shows at once and a grant that was ended, by a
// new password for instance, ends the visit here too: ErrSignInAgain.
func (p *Party) UserInfo(ctx context.Context, s *Session) (*User, error) {
	provider, err := p.discover(ctx)
	if err != nil {
		return nil, err
	}
	token, err := p.AccessToken(ctx, s)
	if err != nil {
		return nil, err
	}
	user, status, err := p.userInfo(ctx, provider, token)
	if status == http.StatusUnauthorized {
		if token, err = p.Renew(ctx, s, token); err != nil {
			return nil, err
		}
		if user, status, err = p.userInfo(ctx, provider, token); status == http.StatusUnauthorized {
			return nil, p.forget(s)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%w: userinfo: %w", ErrProvider, err)
	}
	signedIn := s.User()
	// A token swapped for another person's must not change who is shown (§5.3.2).
	if signedIn == nil || signedIn.Subject != user.Subject {
		return nil, fmt.Errorf("%w: userinfo is for somebody else", ErrProvider)
	}
	user.AuthTime = signedIn.AuthTime
	return user, nil
}

func (p *Party) userInfo(ctx context.Context, provider *provider, token string) (*User, int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, provider.userInfo, nil)
	if err != nil {
		return nil, 0, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := p.http.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, res.StatusCode, fmt.Errorf("status %s", res.Status)
	}
	var claims claims
	if err := json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&claims); err != nil {
		return nil, res.StatusCode, err
	}
	return claims.user(claims.Subject), res.StatusCode, nil
}

// JustSignedIn says that the sign-in is seconds old. A portal that is refused
// right after it should show a page rather than send the browser in circles.
func (p *Party) JustSignedIn(s *Session) bool {
	return s.User() != nil && p.now().Sub(s.created) < 10*time.Second
}

func (s *Session) current() (*oauth2.Token, error) {
	if s == nil {
		return nil, ErrSignInAgain
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || s.token == nil {
		return nil, ErrSignInAgain
	}
	return s.token, nil
}

// forget drops tokens that are no longer good. The session stays, so that what
// the person had typed can be kept while they sign in again.
func (p *Party) forget(s *Session) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token = nil
	return ErrSignInAgain
}
