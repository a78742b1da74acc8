package interop

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/zitadel/oidc/v3/pkg/client/rp"
	httphelper "github.com/zitadel/oidc/v3/pkg/http"
	zitadel "github.com/zitadel/oidc/v3/pkg/oidc"
	"golang.org/x/oauth2"
)

var scopes = []string{"openid", "profile", "email", "offline_access"}

func TestGoOIDC(t *testing.T) {
	ctx, b := t.Context(), newBrowser(t)
	provider, err := oidc.NewProvider(ctx, idp.Issuer)
	if err != nil {
		t.Fatal(err)
	}
	conf := oauth2.Config{ClientID: clientID, ClientSecret: idp.Secret, Endpoint: provider.Endpoint(), RedirectURL: redirectURI, Scopes: scopes}
	verifier := oauth2.GenerateVerifier()
	back, _ := b.visit(conf.AuthCodeURL("a state", oidc.Nonce("a nonce"), oauth2.S256ChallengeOption(verifier)), redirectURI)
	if back.Query().Get("state") != "a state" {
		t.Fatalf("%s", back)
	}
	tokens, err := conf.Exchange(ctx, back.Query().Get("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := tokens.Extra("id_token").(string)
	id, err := provider.Verifier(&oidc.Config{ClientID: clientID}).Verify(ctx, raw)
	if err != nil || id.Nonce != "a nonce" {
		t.Fatalf("%+v %v", id, err)
	}
	if err := id.VerifyAccessToken(tokens.AccessToken); err != nil && id.AccessTokenHash != "" {
		t.Error(err)
	}
	info, err := provider.UserInfo(ctx, oauth2.StaticTokenSource(tokens))
	if err != nil || info.Email != idp.Email || !info.EmailVerified || info.Subject != id.Subject {
		t.Fatalf("%+v %v", info, err)
	}
	expired := *tokens
	expired.Expiry = time.Now().Add(-time.Hour)
	renewed, err := conf.TokenSource(ctx, &expired).Token()
	if err != nil || renewed.AccessToken == tokens.AccessToken || renewed.RefreshToken == tokens.RefreshToken {
		t.Fatal("refresh", err)
	}
	if _, err := provider.UserInfo(ctx, oauth2.StaticTokenSource(renewed)); err != nil {
		t.Error(err)
	}
	var more struct {
		EndSession string `json:"end_session_endpoint"`
	}
	if err := provider.Claims(&more); err != nil {
		t.Fatal(err)
	}
	bye, _ := b.visit(more.EndSession+"?"+url.Values{"id_token_hint": {raw}, "post_logout_redirect_uri": {signedOutURI}, "state": {"x"}}.Encode(), signedOutURI)
	if bye.String() != signedOutURI+"?state=x" {
		t.Errorf("signed out to %s", bye)
	}
	b.signedOut()
	if _, err := provider.UserInfo(ctx, oauth2.StaticTokenSource(renewed)); err == nil {
		t.Error("the access token outlives the session")
	}
}

// serve runs a relying party at the registered address.
func serve(t *testing.T, h http.Handler) {
	t.Helper()
	l, err := net.Listen("tcp", listenAddress)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Shutdown(context.Background()) })
}

func TestZitadelOIDC(t *testing.T) {
	ctx, b := t.Context(), newBrowser(t)
	cookies := httphelper.NewCookieHandler([]byte("0123456789abcdef"), []byte("0123456789abcdef"), httphelper.WithUnsecure())
	// It refreshes with client_secret_post, whatever it signs in with.
	party, err := rp.NewRelyingPartyOIDC(ctx, idp.Issuer, postClientID, idp.PostSecret, redirectURI, scopes,
		rp.WithCookieHandler(cookies), rp.WithPKCE(cookies), rp.WithAuthStyle(oauth2.AuthStyleInParams))
	if err != nil {
		t.Fatal(err)
	}
	var tokens *zitadel.Tokens[*zitadel.IDTokenClaims]
	var info *zitadel.UserInfo
	mux := http.NewServeMux()
	mux.Handle("/login", rp.AuthURLHandler(func() string { return "a state" }, party))
	mux.Handle("/callback", rp.CodeExchangeHandler(rp.UserinfoCallback(
		func(w http.ResponseWriter, _ *http.Request, got *zitadel.Tokens[*zitadel.IDTokenClaims], _ string, _ rp.RelyingParty, who *zitadel.UserInfo) {
			tokens, info = got, who
			_, _ = w.Write([]byte("signed in"))
		}), party))
	serve(t, mux)
	if _, page := b.visit("http://"+listenAddress+"/login", ""); page != "signed in" {
		t.Fatal(page)
	}
	if info.Email != idp.Email || info.Subject != tokens.IDTokenClaims.Subject {
		t.Errorf("%+v", info)
	}
	renewed, err := rp.RefreshTokens[*zitadel.IDTokenClaims](ctx, party, tokens.RefreshToken, "", "")
	if err != nil || renewed.AccessToken == tokens.AccessToken {
		t.Fatal("refresh", err)
	}
	if _, err := rp.Userinfo[*zitadel.UserInfo](ctx, renewed.AccessToken, "Bearer", tokens.IDTokenClaims.Subject, party); err != nil {
		t.Error(err)
	}
	to, err := rp.EndSession(ctx, party, tokens.IDToken, signedOutURI, "x", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if bye, _ := b.visit(to.String(), signedOutURI); bye.String() != signedOutURI+"?state=x" {
		t.Errorf("signed out to %s", bye)
	}
	b.signedOut()
}
