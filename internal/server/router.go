package server

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/portico-id/portico/internal/admin"
	"github.com/portico-id/portico/internal/realm"
)

// router finds out whose a request is. The configured issuers decide; the Host
// header only selects among them, and what it does not select is nobody's.
type router struct {
	realms    *realm.Set
	pages     http.Handler // all realms, with the realm in the context and its path stripped
	outside   http.Handler // for addresses that belong to no realm
	adminHost string       // "": no admin API
	admin     http.Handler
}

// inserted are the metadata locations where the issuer's path comes last
// (RFC 8414 §3.1; §5 for OpenID Connect's own name).
var inserted = []string{"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"}

func (rt *router) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	path := req.URL.Path
	if rt.adminHost != "" && (path == admin.Path || strings.HasPrefix(path, admin.Path+"/")) &&
		strings.EqualFold(req.Host, rt.adminHost) {
		rt.admin.ServeHTTP(w, req)
		return
	}
	for _, location := range inserted {
		if issuerPath, ok := strings.CutPrefix(path, location+"/"); ok {
			if r, rest, ok := rt.realms.Resolve(req.Host, "/"+issuerPath); ok && rest == "/" && r.Path != "" {
				rt.serve(w, req, r, location)
				return
			}
		}
	}
	if r, rest, ok := rt.realms.Resolve(req.Host, path); ok {
		rt.serve(w, req, r, rest)
		return
	}
	rt.outside.ServeHTTP(w, req)
}

func (rt *router) serve(w http.ResponseWriter, req *http.Request, r *realm.Realm, rest string) {
	inner := req.WithContext(realm.WithRealm(req.Context(), r))
	u := *req.URL
	u.Path, u.RawPath = rest, ""
	inner.URL = &u
	rt.pages.ServeHTTP(w, inner)
}

func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Host
}
