package config

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/portico-id/portico/internal/realm"
)

// readRequests reads what a realm says about authorization requests. The
// defaults are the safe ones; every relaxation is warned about.
func readRequests(s *section, d *realm.OAuthPolicy) {
	if types := s.responseTypes(realm.ResponseTypes, "there is"); types != nil {
		d.ResponseTypes = types
	}
	for _, t := range d.ResponseTypes {
		if slices.Contains(realm.NeedsGrants(t), realm.GrantImplicit) && !slices.Contains(d.GrantTypes, realm.GrantImplicit) {
			d.GrantTypes = append(slices.Clip(d.GrantTypes), realm.GrantImplicit)
			s.entries["response_types"].warn("tokens pass through the browser's address bar", "allow only code, unless a client cannot work with it")
		}
	}
	if s.choice("pkce", "required", "required", "optional") == "optional" {
		d.OptionalPKCE = true
		s.entries["pkce"].warn("clients with a secret may leave PKCE out", "write required, unless a client cannot do PKCE")
	}
	par := s.flag("require_pushed_authorization_requests", false)
	d.RequirePAR = par.v
	switch s.choice("request_objects", "signed", "signed", "unsigned", "refused") {
	case "unsigned":
		d.Objects = realm.ObjectsUnsigned
		s.entries["request_objects"].warn("unsigned request objects, and such without expiry, are accepted", "write signed, unless the realm is for a conformance run")
	case "refused":
		d.Objects = realm.ObjectsRefused
	}
	fetch := s.flag("request_uris", false)
	if d.RequestURIs = fetch.v; fetch.v {
		fetch.warn("authorization requests make this server fetch from addresses that clients registered", "leave request_uris out and let clients push their requests")
	}
	d.FetchesPerMinute = s.number("request_uri_fetches_per_client_per_minute", d.FetchesPerMinute, 1, 10000)
	if fetch.v && d.Objects == realm.ObjectsRefused {
		fetch.bad("request objects are refused, so there is nothing to fetch", "remove request_uris, or allow request_objects")
	}
}

// responseTypes reads a list of response types; nil when absent.
func (s *section) responseTypes(allowed []string, whose string) []string {
	var list []string
	for _, f := range s.texts("response_types") {
		t := realm.ResponseType(f.v)
		switch {
		case t == "" || !slices.Contains(allowed, t):
			f.bad(fmt.Sprintf("%q is not among the response types %s", f.v, whose), "choose from: "+strings.Join(allowed, ", "))
		case slices.Contains(list, t):
			f.bad(fmt.Sprintf("%q stands here twice", f.v), "remove one of them")
		default:
			list = append(list, t)
		}
	}
	return list
}

// readClientRequests reads how a client asks. Grant types have been read.
func readClientRequests(s *section, r realm.Realm, cl *realm.Client) {
	cl.ResponseTypes = s.responseTypes(r.OAuth.ResponseTypes, "the realm allows")
	_, listed := s.entries["grant_types"]
	for _, t := range cl.ResponseTypes {
		for _, grant := range realm.NeedsGrants(t) {
			switch {
			case cl.AllowsGrant(grant):
			case listed:
				s.entries["grant_types"].bad(fmt.Sprintf("the response type %q needs the grant %s", t, grant), "add "+grant+", or remove the response type")
			default:
				cl.GrantTypes = append(cl.GrantTypes, grant)
			}
		}
	}
	algs := []string{"RS256", "PS256", "ES256", "EdDSA"}
	if r.OAuth.Objects == realm.ObjectsUnsigned {
		algs = append(algs, "none")
	}
	cl.RequestObjectAlg = s.choice("request_object_signing_alg", "", algs...)
	cl.RequirePAR = s.flag("require_pushed_authorization_requests", false).v
	for _, f := range s.texts("request_uris") {
		u, err := url.Parse(f.v)
		switch {
		case err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil:
			f.bad(fmt.Sprintf("%q is no address to fetch a request object from", f.v), "write an https:// URL without user")
		case !r.OAuth.RequestURIs:
			f.bad("the realm fetches no request objects", "remove request_uris, or set request_uris: true in the realm's oauth section")
		default:
			cl.RequestURIs = append(cl.RequestURIs, f.v)
		}
	}
}
