package oauth

import (
	"context"
	"net/url"
	"slices"

	"github.com/ory/fosite"

	"github.com/portico-id/portico/internal/realm"
)

// errInvalidTarget is the code of RFC 8707 §2.
const errInvalidTarget = "invalid_target"

// checkResource reads the resource indicators of an authorization request (RFC
// 8707 §2.1): the grant will be for these APIs and for no other.
func (a *authorization) checkResource(_ context.Context, r *realm.Realm, form url.Values) error {
	for _, resource := range form["resource"] {
		if err := checkTarget(resource); err != nil {
			return err
		}
		if resource != r.Issuer && !a.client.AllowsAudience(resource) {
			return refuse(errInvalidTarget, "The resource is unknown, or not for this client.")
		}
		if !slices.Contains(a.resources, resource) {
			a.resources = append(a.resources, resource)
		}
	}
	return nil
}

// checkTarget wants an absolute URI without fragment (RFC 8707 §2).
func checkTarget(resource string) error {
	u, err := url.Parse(resource)
	if err != nil || !u.IsAbs() || len(resource) > maxURI || u.Fragment != "" || slices.Contains([]byte(resource), '#') {
		return refuse(errInvalidTarget, "The resource is no absolute URI without fragment.")
	}
	return nil
}

// resourcesOf narrows an access token to some of the APIs that were granted
// (RFC 8707 §2.2), as far as its scopes were not narrowed past them; the grant
// and its refresh token keep all of them. granted is what code or refresh token
// stand for; nil for a client on its own.
func resourcesOf(granted *fosite.Request, request *fosite.AccessRequest) ([]string, error) {
	allowed := request.GrantedAudience
	if granted != nil && len(allowed) == 0 { // a code: fosite grants it later
		allowed = granted.GrantedAudience
	}
	var out []string
	for _, resource := range request.Form["resource"] {
		if err := checkTarget(resource); err != nil {
			return nil, err
		}
		if !allowed.Has(resource) {
			return nil, refuse(errInvalidTarget, "The resource was not granted to this client.")
		}
		if !slices.Contains(out, resource) {
			out = append(out, resource)
		}
	}
	return out, nil
}

// audienceOf is whom an access token is for.
func audienceOf(u *unit, request fosite.Requester) []string {
	if len(u.resources) > 0 {
		return u.resources
	}
	return request.GetGrantedAudience()
}
