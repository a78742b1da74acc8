// Command go signs a person in through the demo's patient realm, as a client
// that keeps no secret. It is the Go example of the README.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

func main() {
	provider, err := oidc.NewProvider(context.Background(), "http://localhost:9000/patient")
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0") // loopback redirects may use any port
	if err != nil {
		log.Fatal(err)
	}
	endpoint := provider.Endpoint()
	endpoint.AuthStyle = oauth2.AuthStyleInParams // a public client sends its id only
	client := oauth2.Config{ClientID: "spa", Endpoint: endpoint, Scopes: []string{"openid", "profile", "email"},
		RedirectURL: "http://" + listener.Addr().String() + "/callback"}
	state, pkce := oauth2.GenerateVerifier(), oauth2.GenerateVerifier()
	http.HandleFunc("/callback", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("state") != state {
			http.Error(w, "this answer is not for us", http.StatusBadRequest)
			return
		}
		tokens, err := client.Exchange(r.Context(), r.FormValue("code"), oauth2.VerifierOption(pkce))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		raw, _ := tokens.Extra("id_token").(string)
		id, err := provider.Verifier(&oidc.Config{ClientID: "spa"}).Verify(r.Context(), raw)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		fmt.Fprintf(w, "%s is signed in until the session ends", id.Subject)
	})
	fmt.Println("Open", client.AuthCodeURL(state, oauth2.S256ChallengeOption(pkce)))
	log.Fatal(http.Serve(listener, nil))
}
