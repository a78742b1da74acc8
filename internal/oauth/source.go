package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"

	"github.com/go-jose/go-jose/v4"

	"github.com/portico-id/portico/internal/oauth/clientkeys"
	"github.com/portico-id/portico/internal/oauth/requestobject"
	"github.com/portico-id/portico/internal/realm"
)

// readAuthorization reads a request as it came from a browser: its parameters
// stand in it, or in a request object, or were pushed before; never in several
// of these at once (RFC 9101 §6.3, RFC 9126 §4). As long as it is not certain
// where the answer may go there is no authorization, and the error belongs on
// a page here; after that both are returned, and the error goes to the client
// (RFC 6749 §4.1.2.1).
func (p *Provider) readAuthorization(ctx context.Context, r *realm.Realm, outer url.Values) (*authorization, error) {
	if len(outer["client_id"]) > 1 || len(outer["redirect_uri"]) > 1 {
		return nil, errGarbled
	}
	found, err := p.findClient(ctx, r, outer.Get("client_id"))
	if err != nil {
		return nil, err
	}
	form, pushed, err := p.parametersOf(ctx, r, found, outer)
	if err != nil {
		return answerable(found, outer), err
	}
	a, err := p.readParameters(ctx, r, found, form)
	if a != nil {
		a.pushed = pushed
	}
	return a, err
}

// answerable is a request whose source is no good, as far as an error can be
// told to its client: what is outside of it names the way back.
func answerable(found *realm.Client, outer url.Values) *authorization {
	uri := outer.Get("redirect_uri")
	if uri == "" || !answersAt(found, uri) {
		return nil
	}
	return &authorization{
		client: found, redirectURI: uri, mode: responseMode(outer), maxAge: noMaxAge,
		state: outer.Get("state"), hasState: hasState(outer),
	}
}

// parametersOf finds the parameters of a request. pushed is the hash of the
// pushed request they came from, or nil.
func (p *Provider) parametersOf(ctx context.Context, r *realm.Realm, c *realm.Client, outer url.Values) (form url.Values, pushed []byte, err error) {
	uri := outer.Get("request_uri")
	switch {
	case len(outer["request"]) > 1 || len(outer["request_uri"]) > 1 || outer.Has("request") && outer.Has("request_uri"):
		return nil, nil, refuse(errInvalidRequest, "A request object was sent more than once.")
	case isPushed(uri):
		return p.pushedParameters(ctx, r, c, uri)
	case r.OAuth.RequirePAR || c.RequirePAR:
		return nil, nil, refuse(errInvalidRequest, "The request has to be pushed first (RFC 9126).")
	case outer.Has("request_uri"):
		form, err = p.fetchedParameters(ctx, r, c, uri)
		return form, nil, err
	case outer.Has("request"):
		form, err = p.objectParameters(ctx, r, c, outer.Get("request"), r.OAuth.RequestURIs)
		return form, nil, err
	}
	return outer, nil, nil
}

// fetchedParameters reads a request object from an address of the client. Only
// an address that is registered for it is ever asked, in a realm that allows
// this; nobody else decides where this server sends requests (RFC 9101 §10.4).
func (p *Provider) fetchedParameters(ctx context.Context, r *realm.Realm, c *realm.Client, uri string) (url.Values, error) {
	switch {
	case !byReference(r):
		return nil, refuse(errRequestURI, "Request URIs are not supported.")
	case !slices.Contains(c.RequestURIs, uri):
		return nil, refuse(errInvalidRequestURI, "The request_uri is not registered for this client.")
	}
	raw, err := p.fetchObject(ctx, r, c, uri)
	if err != nil {
		return nil, err
	}
	return p.objectParameters(ctx, r, c, raw, true)
}

// objectParameters reads a request object. Nothing but what it says is used.
// ask says whether keys may be fetched for it: anybody can send a browser here
// with an object, so that alone makes this server call nobody.
func (p *Provider) objectParameters(ctx context.Context, r *realm.Realm, c *realm.Client, raw string, ask bool) (url.Values, error) {
	if r.OAuth.Objects == realm.ObjectsRefused {
		return nil, refuse(errRequestUnsupported, "Request objects are not supported.")
	}
	object, err := requestobject.Read(raw, requestobject.Rules{
		Issuer: r.Issuer, ClientID: c.ID, Alg: c.RequestObjectAlg, Relaxed: r.OAuth.Objects == realm.ObjectsUnsigned,
		Now: p.db.Now(ctx), Skew: r.OAuth.ClockSkew,
		Keys: func(kid string) ([]jose.JSONWebKey, error) { return p.keysOf.Set(ctx, c, kid, ask) },
	})
	var form url.Values
	if err == nil {
		form, err = object.Parameters(parameters)
	}
	if err == nil {
		return form, nil
	}
	e := refuse(errInvalidObject, "The request object is not signed by a registered key of this client, or not for this issuer, this client and this time.")
	if errors.Is(err, clientkeys.ErrKeys) {
		e = refuse(errRequestUnsupported, "No keys are known for the request objects of this client.")
	}
	e.cause = fmt.Errorf("read request object: %v", err)
	return nil, e
}
