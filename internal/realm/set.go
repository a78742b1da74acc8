package realm

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Set is all realms of a configuration.
type Set struct {
	all    []*Realm
	byName map[string]*Realm
	byHost map[string][]*Realm // longest path first
}

// NewSet indexes realms. ErrRealm: two have one name or one issuer, or a
// cookie name of one could be taken for a cookie of another.
func NewSet(realms []*Realm) (*Set, error) {
	s := &Set{byName: map[string]*Realm{}, byHost: map[string][]*Realm{}}
	for _, r := range realms {
		for _, other := range s.all {
			switch {
			case other.Name == r.Name:
				return nil, fmt.Errorf("%w: two are called %s", ErrRealm, r.Name)
			case other.Issuer == r.Issuer:
				return nil, fmt.Errorf("%w: %s and %s have one issuer", ErrRealm, other.Name, r.Name)
			case strings.HasPrefix(other.Name, r.Name+"-") || strings.HasPrefix(r.Name, other.Name+"-"):
				// "a" with the cookie kind "flow" and the realm "a-flow" would meet.
				return nil, fmt.Errorf("%w: one name continues the other with a hyphen: %s, %s", ErrRealm, other.Name, r.Name)
			}
		}
		s.all = append(s.all, r)
		s.byName[r.Name] = r
		key := hostKey(r.IssuerURL.Scheme, r.IssuerURL.Host)
		s.byHost[key] = append(s.byHost[key], r)
	}
	for _, list := range s.byHost {
		slices.SortFunc(list, func(a, b *Realm) int { return cmp.Compare(len(b.Path), len(a.Path)) })
	}
	return s, nil
}

// Resolve finds the realm of a request by its Host header and path, and the
// rest of the path within the realm ("/signin"; "/" for the realm itself).
// Hosts are compared without case and without a default port.
func (s *Set) Resolve(host, path string) (r *Realm, rest string, ok bool) {
	host = strings.ToLower(host)
	for _, scheme := range []string{"https", "http"} {
		for _, r := range s.byHost[hostKey(scheme, host)] {
			rest, ok := strings.CutPrefix(path, r.Path)
			if !ok || rest != "" && rest[0] != '/' {
				continue // "/patients" is not in "/patient"
			}
			if rest == "" {
				rest = "/"
			}
			return r, rest, true
		}
	}
	return nil, "", false
}

// ByName finds a realm by its name.
func (s *Set) ByName(name string) (*Realm, bool) {
	r, ok := s.byName[name]
	return r, ok
}

// All lists the realms in the order of the configuration.
func (s *Set) All() []*Realm { return slices.Clone(s.all) }

// hostKey is scheme and host without the scheme's default port, so that
// "id.example.test:443" and "id.example.test" are one door.
func hostKey(scheme, host string) string {
	u := url.URL{Scheme: scheme, Host: host}
	if p := u.Port(); p != "" && p == defaultPort(&u) {
		host = strings.TrimSuffix(host, ":"+p)
	}
	return scheme + "://" + host
}

func defaultPort(u *url.URL) string {
	if u.Scheme == "https" {
		return "443"
	}
	return "80"
}

type contextKey struct{}

// WithRealm puts the realm of a request into its context.
func WithRealm(ctx context.Context, r *Realm) context.Context {
	return context.WithValue(ctx, contextKey{}, r)
}

// From takes the realm out of the context. It panics when there is none: a
// handler of a realm that was mounted outside of one is a mistake in the wiring,
// and going on without a realm would look accounts up in none or any.
func From(ctx context.Context) *Realm {
	r, ok := ctx.Value(contextKey{}).(*Realm)
	if !ok {
		panic("realm: no realm in the context")
	}
	return r
}

// Lookup is From for those who also see requests outside any realm: the
// metrics, the request log.
func Lookup(ctx context.Context) (*Realm, bool) {
	r, ok := ctx.Value(contextKey{}).(*Realm)
	return r, ok
}
