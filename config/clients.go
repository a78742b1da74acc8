package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/portico-id/portico/internal/realm"
)

var clientIDPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._~-]{0,99}$`)

// minSecret is the shortest client secret: 256 bits in base64 have 43
// characters, in hexadecimal 64; less than 32 cannot be enough in either.
const minSecret = 32

func (c *Config) readClient(s *section, r realm.Realm) *realm.Client {
	id := s.need("id", "give the client an id, such as patient-portal")
	if id.set && !clientIDPattern.MatchString(id.v) {
		id.bad(fmt.Sprintf("%q cannot be a client id", id.v), "use letters, digits and . _ ~ -, at most 100")
	}
	if strings.HasPrefix(id.v, realm.RegisteredPrefix) {
		id.bad(fmt.Sprintf("%q begins like the ids of clients that register themselves", id.v), "choose an id without "+realm.RegisteredPrefix)
	}
	cl := &realm.Client{
		ID:               id.v,
		Name:             s.text("name", id.v).v,
		FirstParty:       s.flag("first_party", false).v,
		Introspect:       s.flag("introspect", false).v,
		IDTokenAlg:       s.choice("id_token_alg", r.OAuth.IDTokenAlg, realm.ES256, realm.RS256),
		InitiateLoginURI: s.webAddress("initiate_login_uri"),
		ClientURI:        s.webAddress("client_uri"),
	}
	readClientWords(s.sub("translations"), r.Locales, cl)
	readKeys(s, cl)
	readAuthentication(s, cl)
	readGrants(s, r, cl)
	readClientRequests(s, r, cl)
	cl.RedirectURIs = s.redirects("redirect_uris", cl.Public())
	readLogout(s, cl)
	readSubjects(s, cl)
	cl.PostLogoutRedirectURIs = s.redirects("post_logout_redirect_uris", cl.Public())
	if (cl.AllowsGrant(realm.GrantCode) || cl.AllowsGrant(realm.GrantImplicit)) && s.entries["redirect_uris"].node == nil {
		s.bad("the client signs people in, but has no redirect_uris", "list the exact addresses it is called back at")
	}
	c.readScopes(s, r, cl)
	return cl
}

// readClientWords reads what a client is called in the languages of its realm.
func readClientWords(s *section, locales []string, cl *realm.Client) {
	defer s.doneLanguages()
	cl.Names = map[string]string{}
	for _, lang := range locales {
		words := s.sub(lang)
		if name := words.text("name", "").v; name != "" {
			cl.Names[lang] = name
		}
		words.done()
	}
}

func readAuthentication(s *section, cl *realm.Client) {
	public := s.flag("public", false)
	stored := s.clientSecret("secret")
	method := s.text("auth_method", "")
	cl.AuthMethod = method.v
	switch {
	case public.v && stored.set:
		stored.bad("a public client has no secret", "remove the secret, or public: true")
	case public.v && method.set && method.v != realm.AuthNone:
		method.bad("a public client does not authenticate", "remove auth_method, or write none")
	case public.v:
		cl.AuthMethod = realm.AuthNone
	case method.v == realm.AuthKey && stored.set:
		stored.bad("a client that signs has no secret", "remove the secret, or auth_method")
	case method.v == realm.AuthKey && !cl.HasKeys():
		method.bad("the client's public keys are not known", "add jwks or jwks_uri")
	case method.v == realm.AuthKey:
	case !stored.set:
		if _, there := s.entries["secret"]; !there {
			s.bad("the client has neither a secret nor public: true",
				"write secret: env:NAME with the output of: openssl rand -hex 32; auth_method: private_key_jwt with its public keys; or public: true for apps that cannot keep either")
		}
	case !method.set:
		cl.AuthMethod = realm.AuthBasic
	case method.v != realm.AuthBasic && method.v != realm.AuthPost:
		method.bad(fmt.Sprintf("%q is not possible here", method.v), "write client_secret_basic, client_secret_post or private_key_jwt")
	}
	if stored.set && !public.v && cl.AuthMethod != realm.AuthKey {
		cl.SecretHash = stored.v
	}
}

// clientSecret reads env:NAME, whose value is hashed, or sha256:<hex>, the hash
// itself, which may stand in the file.
func (s *section) clientSecret(key string) field[[]byte] {
	e, ok := s.take(key)
	if !ok {
		return absent[[]byte](s, key, nil)
	}
	none := field[[]byte]{mark: e.mark}
	text, isText := e.node.(*ast.StringNode)
	if !isText || !strings.HasPrefix(text.Value, "env:") && !strings.HasPrefix(text.Value, "sha256:") {
		e.bad("a secret stands in the file", "put it into the environment and write env:NAME, or write sha256: and the secret's SHA-256 in hexadecimal")
		return none
	}
	value, _, ok := e.scalar()
	if !ok {
		return none
	}
	if digits, hashed := strings.CutPrefix(value, "sha256:"); hashed {
		hash, err := hex.DecodeString(digits)
		if err != nil || len(hash) != sha256.Size {
			e.bad("after sha256: 64 hexadecimal digits are expected", "make them with: printf %s \"$SECRET\" | sha256sum")
			return none
		}
		return field[[]byte]{e.mark, hash, true}
	}
	if len(value) < minSecret {
		e.bad(fmt.Sprintf("the secret has only %d characters", len(value)), "make a random one: openssl rand -hex 32")
		return none
	}
	return field[[]byte]{e.mark, realm.HashSecret(value), true}
}

func readGrants(s *section, r realm.Realm, cl *realm.Client) {
	cl.GrantTypes = s.someOf("grant_types", r.OAuth.GrantTypes, "the realm allows")
	e, there := s.entries["grant_types"]
	switch {
	case !there:
		for _, g := range []string{realm.GrantCode, realm.GrantRefresh} {
			if slices.Contains(r.OAuth.GrantTypes, g) {
				cl.GrantTypes = append(cl.GrantTypes, g)
			}
		}
	case cl.AllowsGrant(realm.GrantClientCredentials) && cl.Public():
		e.bad("a public client cannot use client_credentials", "give it a secret, or remove the grant")
	case cl.AllowsGrant(realm.GrantRefresh) && !cl.AllowsGrant(realm.GrantCode):
		e.bad("refresh_token without authorization_code gives nothing to refresh", "add authorization_code, or remove refresh_token")
	}
}

func (c *Config) readScopes(s *section, r realm.Realm, cl *realm.Client) {
	cl.Scopes = s.someOf("scopes", r.OAuth.Scopes, "the realm knows")
	if _, there := s.entries["scopes"]; !there && cl.AllowsGrant(realm.GrantCode) {
		cl.Scopes = []string{realm.ScopeOpenID, realm.ScopeProfile, realm.ScopeEmail}
	}
	for _, f := range s.texts("audiences") {
		if u, err := url.Parse(f.v); err != nil || u.Scheme == "" || u.Fragment != "" || strings.ContainsAny(f.v, " \t") {
			f.bad(fmt.Sprintf("%q is no audience", f.v), "write the API's URI, such as https://id.example.test/admin/v1")
			continue
		}
		cl.Audiences = append(cl.Audiences, f.v)
	}
	for _, scope := range cl.Scopes {
		if aud := r.OAuth.ScopeAudiences[scope]; aud != "" && !cl.AllowsAudience(aud) {
			s.bad(fmt.Sprintf("the scope %s is for %s, which the client may not call", scope, aud), "add that address to the client's audiences")
			break
		}
	}
}

// readLogout reads where a client hears that a session has ended.
func readLogout(s *section, cl *realm.Client) {
	back := s.text("backchannel_logout_uri", "")
	cl.BackchannelLogoutURI = back.v
	if u, err := url.Parse(back.v); back.set && (err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" ||
		u.User != nil || strings.Contains(back.v, "#")) {
		back.bad(fmt.Sprintf("%q is no address to send a logout token to", back.v), "write an https:// URL without user and fragment")
	} else if back.set && u.Scheme == "http" {
		back.warn("logout tokens are sent to https addresses only, unless the host is exempt", "use https")
	}
	cl.BackchannelSessionRequired = s.flag("backchannel_logout_session_required", false).v
	front := s.text("frontchannel_logout_uri", "")
	cl.FrontchannelLogoutURI = front.v
	// Front-Channel Logout §2: scheme, host and port are those of a redirect URI.
	if front.set && !slices.ContainsFunc(cl.RedirectURIs, func(uri string) bool { return sameOrigin(uri, front.v) }) {
		front.bad(fmt.Sprintf("%q is not on the site of a redirect address", front.v),
			"use the scheme, host and port of one of the client's redirect_uris")
	}
	cl.FrontchannelSessionRequired = s.flag("frontchannel_logout_session_required", false).v
}

func sameOrigin(one, other string) bool {
	a, err1 := url.Parse(one)
	b, err2 := url.Parse(other)
	return err1 == nil && err2 == nil && (a.Scheme == "https" || a.Scheme == "http") && a.Scheme == b.Scheme && a.Host == b.Host &&
		b.User == nil && !strings.Contains(other, "#")
}

// redirects reads addresses a browser is sent back to. They are compared byte
// for byte later, so what would never match, or match too much, is refused now.
func (s *section) redirects(key string, public bool) []string {
	var list []string
	for _, f := range s.texts(key) {
		if what, mend := badRedirect(f.v, public); what != "" {
			f.bad(fmt.Sprintf("%q: %s", f.v, what), mend)
			continue
		}
		if slices.Contains(list, f.v) {
			f.bad(fmt.Sprintf("%q stands here twice", f.v), "remove one of them")
			continue
		}
		list = append(list, f.v)
	}
	return list
}

func badRedirect(raw string, public bool) (what, mend string) {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Scheme == "" || strings.ContainsFunc(raw, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "this is no absolute address", "write it as the browser will see it, such as https://portal.example.test/callback"
	case strings.Contains(raw, "*"):
		return "patterns are not possible", "list each address"
	case strings.Contains(raw, "#"):
		return "a redirect address has no fragment (RFC 6749 §3.1.2)", "remove # and what follows"
	case u.User != nil:
		return "a user name stands before the host", "remove it"
	case slices.ContainsFunc(strings.Split(u.Path, "/"), func(p string) bool { return p == "." || p == ".." }):
		return "the path has . or .. in it", "write the path as it is after following them"
	case u.Scheme == "https" && u.Hostname() != "":
		return "", ""
	case u.Scheme == "http" && realm.Loopback(u.Hostname()):
		return "", ""
	case u.Scheme == "http":
		return "codes would cross the network unencrypted", "use https (http only for localhost and loopback addresses)"
	case strings.Contains(u.Scheme, ".") && public:
		return "", "" // a private-use scheme of a native app: RFC 8252 §7.1
	case strings.Contains(u.Scheme, "."):
		return "a scheme of its own is for public clients", "use https, or public: true for a native app"
	}
	return "this scheme is not possible", "use https, or for a native app a scheme such as test.example.app"
}
