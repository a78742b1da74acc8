package oauth

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4/json"

	"github.com/portico-id/portico/internal/oauth/clientkeys"
	"github.com/portico-id/portico/internal/password"
	"github.com/portico-id/portico/internal/realm"
)

// Error codes of RFC 7591 §3.2.2.
const (
	errClientMetadata = "invalid_client_metadata"
	errRedirectURI    = "invalid_redirect_uri"
)

// Bounds of what a client may register.
const (
	maxListed = 50
	maxURI    = 2048
	maxText   = 200 // characters
)

// clientMetadata is what a client registers (RFC 7591 §2, OpenID Connect
// Registration §2, and the logout specifications), as it is sent, stored and
// answered. Members that are not known are ignored. The decoder is the one of
// go-jose, which refuses a member that is there twice.
type clientMetadata struct {
	RedirectURIs     []string         `json:"redirect_uris,omitempty"`
	ResponseTypes    []string         `json:"response_types,omitempty"`
	GrantTypes       []string         `json:"grant_types,omitempty"`
	ApplicationType  string           `json:"application_type,omitempty"`
	Contacts         []string         `json:"contacts,omitempty"`
	Name             string           `json:"client_name,omitempty"`
	LogoURI          string           `json:"logo_uri,omitempty"`
	ClientURI        string           `json:"client_uri,omitempty"`
	PolicyURI        string           `json:"policy_uri,omitempty"`
	TermsURI         string           `json:"tos_uri,omitempty"`
	JWKSURI          string           `json:"jwks_uri,omitempty"`
	JWKS             *json.RawMessage `json:"jwks,omitempty"`
	SectorURI        string           `json:"sector_identifier_uri,omitempty"`
	SubjectType      string           `json:"subject_type,omitempty"`
	IDTokenAlg       string           `json:"id_token_signed_response_alg,omitempty"`
	UserinfoAlg      string           `json:"userinfo_signed_response_alg,omitempty"`
	RequestObjectAlg string           `json:"request_object_signing_alg,omitempty"`
	AuthMethod       string           `json:"token_endpoint_auth_method,omitempty"`
	AuthAlg          string           `json:"token_endpoint_auth_signing_alg,omitempty"`
	DefaultMaxAge    *int64           `json:"default_max_age,omitempty"`
	RequireAuthTime  bool             `json:"require_auth_time,omitempty"`
	DefaultACRs      []string         `json:"default_acr_values,omitempty"`
	InitiateLoginURI string           `json:"initiate_login_uri,omitempty"`
	RequestURIs      []string         `json:"request_uris,omitempty"`
	Scope            string           `json:"scope,omitempty"`
	SoftwareID       string           `json:"software_id,omitempty"`
	SoftwareVersion  string           `json:"software_version,omitempty"`
	RequirePAR       bool             `json:"require_pushed_authorization_requests,omitempty"`

	PostLogoutRedirectURIs []string `json:"post_logout_redirect_uris,omitempty"`
	BackchannelURI         string   `json:"backchannel_logout_uri,omitempty"`
	BackchannelSession     bool     `json:"backchannel_logout_session_required,omitempty"`
	FrontchannelURI        string   `json:"frontchannel_logout_uri,omitempty"`
	FrontchannelSession    bool     `json:"frontchannel_logout_session_required,omitempty"`
}

// notOffered are members that ask for something that would be missed: without
// it the client would believe to be safer than it is.
type notOffered struct {
	IDTokenEnc       string `json:"id_token_encrypted_response_alg"`
	UserinfoEnc      string `json:"userinfo_encrypted_response_alg"`
	RequestObjectEnc string `json:"request_object_encryption_alg"`
	AuthorizationAlg string `json:"authorization_signed_response_alg"`
	AuthorizationEnc string `json:"authorization_encrypted_response_alg"`
	IntrospectionAlg string `json:"introspection_signed_response_alg"`
	CertificateBound bool   `json:"tls_client_certificate_bound_access_tokens"`
	DPoPBound        bool   `json:"dpop_bound_access_tokens"`
	SignedRequests   bool   `json:"require_signed_request_object"`
}

func metadataError(format string, args ...any) error {
	return refuse(errClientMetadata, fmt.Sprintf(format, args...))
}

// parseMetadata reads and checks a registration document. The sector's list of
// redirect URIs is the one thing left to check: it has to be fetched.
func parseMetadata(r *realm.Realm, raw []byte, address func(string) error) (*clientMetadata, error) {
	var m clientMetadata
	var not notOffered
	for _, into := range []any{&m, &not} {
		if err := json.Unmarshal(raw, into); err != nil {
			e := refuse(errClientMetadata, "The document is no JSON object, or a member of it has the wrong type or is there twice.")
			e.cause = err
			return nil, e
		}
	}
	if not != (notOffered{}) {
		return nil, metadataError("Encryption, signed authorization and introspection responses and bound tokens are not offered, and require_signed_request_object is not either.")
	}
	m.defaults(r)
	for _, check := range []func() error{
		m.checkTexts,
		func() error { return m.checkName(r) },
		func() error { return m.checkGrants(r) },
		m.checkRedirects,
		func() error { return m.checkKeys(r, address) },
		func() error { return m.checkAlgorithms(r) },
		func() error { return m.checkAddresses(address) },
		func() error { return m.checkSubject(address) },
		func() error { return m.checkScope(r) },
	} {
		if err := check(); err != nil {
			return nil, err
		}
	}
	return &m, nil
}

// defaults fills what the standards say is meant when a member is left out.
func (m *clientMetadata) defaults(r *realm.Realm) {
	fill := func(s *string, value string) {
		if *s == "" {
			*s = value
		}
	}
	fill(&m.ApplicationType, "web")
	fill(&m.AuthMethod, realm.AuthBasic)
	fill(&m.IDTokenAlg, realm.RS256)
	fill(&m.SubjectType, realm.SubjectPublic)
	if len(m.GrantTypes) == 0 {
		m.GrantTypes = []string{realm.GrantCode}
		for _, t := range m.ResponseTypes {
			for _, g := range realm.NeedsGrants(t) {
				if !slices.Contains(m.GrantTypes, g) {
					m.GrantTypes = append(m.GrantTypes, g)
				}
			}
		}
	}
	if len(m.ResponseTypes) == 0 && slices.Contains(m.GrantTypes, realm.GrantCode) {
		m.ResponseTypes = []string{realm.ResponseCode}
	}
	if m.Scope == "" {
		m.Scope = strings.Join(registrationScopes(r), " ")
	}
}

// registrationScopes are those a client may give itself: the ones without an
// API behind them.
func registrationScopes(r *realm.Realm) []string {
	return slices.DeleteFunc(slices.Clone(r.OAuth.Scopes), func(scope string) bool {
		return r.OAuth.ScopeAudiences[scope] != "" || strings.HasPrefix(scope, "admin.")
	})
}

// unseen says whether a character is not shown, or breaks a line.
func unseen(r rune) bool {
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) || r == '\u3164' || r == '\u115f' || r == '\u1160' || r == '\uffa0'
}

// checkName keeps a client that registered itself from being called like the
// realm or like a client of the configuration.
func (m *clientMetadata) checkName(r *realm.Realm) error {
	own := []string{r.Brand.Name}
	for _, words := range r.Brand.Translations {
		own = append(own, words.Name)
	}
	for _, c := range r.Clients() {
		own = append(append(own, c.Name, c.ID), slices.Collect(maps.Values(c.Names))...)
	}
	name := password.NormalizeAnswer(m.Name) // case, accents, widths, spaces
	for _, taken := range own {
		if name != "" && name == password.NormalizeAnswer(taken) {
			return metadataError("client_name is the name of this service or of one of its own clients.")
		}
	}
	return nil
}

// checkTexts keeps out what is too long, and characters that make a name look
// like another one.
func (m *clientMetadata) checkTexts() error {
	texts := map[string]string{"client_name": m.Name, "software_id": m.SoftwareID, "software_version": m.SoftwareVersion}
	for _, contact := range m.Contacts {
		texts["contacts: "+contact] = contact
	}
	for _, acr := range m.DefaultACRs {
		texts["default_acr_values: "+acr] = acr
	}
	for name, text := range texts {
		if !utf8.ValidString(text) || utf8.RuneCountInString(text) > maxText ||
			text != "" && strings.TrimSpace(text) == "" || strings.ContainsFunc(text, unseen) {
			member, _, _ := strings.Cut(name, ":")
			return metadataError("%s is too long, or has characters that are not shown.", member)
		}
	}
	for name, list := range map[string][]string{"redirect_uris": m.RedirectURIs, "request_uris": m.RequestURIs, "contacts": m.Contacts,
		"post_logout_redirect_uris": m.PostLogoutRedirectURIs, "default_acr_values": m.DefaultACRs,
		"response_types": m.ResponseTypes, "grant_types": m.GrantTypes} {
		if len(list) > maxListed {
			return metadataError("%s has more than %d entries.", name, maxListed)
		}
	}
	return nil
}

// checkGrants compares response types and grant types with the realm's and
// with each other (OpenID Connect Registration §2).
func (m *clientMetadata) checkGrants(r *realm.Realm) error {
	for i, raw := range m.ResponseTypes {
		t := realm.ResponseType(raw)
		if t == "" || !slices.Contains(r.OAuth.ResponseTypes, t) {
			return metadataError("A response type is not offered here.")
		}
		m.ResponseTypes[i] = t
		for _, needed := range realm.NeedsGrants(t) {
			if !slices.Contains(m.GrantTypes, needed) {
				return metadataError("The response types need the grant type %s.", needed)
			}
		}
	}
	implicit := slices.ContainsFunc(r.OAuth.ResponseTypes, func(t string) bool {
		return slices.Contains(realm.NeedsGrants(t), realm.GrantImplicit)
	})
	for _, grant := range m.GrantTypes {
		switch {
		case grant == realm.GrantImplicit && implicit:
		case !slices.Contains(r.OAuth.GrantTypes, grant) || grant == realm.GrantImplicit:
			return metadataError("A grant type is not offered here.")
		case grant == realm.GrantClientCredentials && m.AuthMethod == realm.AuthNone:
			return metadataError("A public client cannot use client_credentials.")
		case grant == realm.GrantRefresh && !slices.Contains(m.GrantTypes, realm.GrantCode):
			return metadataError("The grant type refresh_token needs authorization_code.")
		}
	}
	return nil
}

func (m *clientMetadata) checkRedirects() error {
	if m.ApplicationType != "web" && m.ApplicationType != "native" {
		return metadataError("The application_type is web or native.")
	}
	needed := slices.Contains(m.GrantTypes, realm.GrantCode) || slices.Contains(m.GrantTypes, realm.GrantImplicit)
	if needed && len(m.RedirectURIs) == 0 {
		return refuse(errRedirectURI, "There are no redirect_uris.")
	}
	native, public := m.ApplicationType == "native", m.AuthMethod == realm.AuthNone
	for _, uri := range m.RedirectURIs {
		if err := checkRedirectURI(uri, native, public); err != nil {
			return refuse(errRedirectURI, "A redirect URI cannot be registered: "+err.Error()+".")
		}
	}
	for _, uri := range m.PostLogoutRedirectURIs {
		if err := checkRedirectURI(uri, native, public); err != nil {
			return metadataError("A post-logout redirect URI cannot be registered: %s.", err)
		}
	}
	return nil
}

var (
	errURIShape    = errors.New("it is no absolute URI of printable ASCII characters")
	errURIFragment = errors.New("it has a fragment")
	errURIUser     = errors.New("a user name stands before the host")
	errURIDots     = errors.New("its path has . or .. in it")
	errURIPattern  = errors.New("patterns are not possible")
	errURIScheme   = errors.New("web clients use https; native ones also http on loopback, or, when public, a scheme with a dot")
)

// checkRedirectURI says whether a browser may be sent to a URI once it is
// registered (RFC 6749 §3.1.2, RFC 8252 §7, RFC 9700 §4.1.3). Later URIs are
// compared byte for byte: what would never match, or mean something else to a
// browser than to us, is refused now.
func checkRedirectURI(raw string, native, public bool) error {
	if raw == "" || len(raw) > maxURI || strings.ContainsFunc(raw, func(r rune) bool { return r <= ' ' || r > '~' || r == '\\' }) {
		return errURIShape
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil || !u.IsAbs():
		return errURIShape
	case strings.Contains(raw, "#"):
		return errURIFragment
	case u.User != nil:
		return errURIUser
	case strings.Contains(raw, "*"):
		return errURIPattern
	case hasDots(u):
		return errURIDots
	}
	switch {
	case u.Scheme == "https" && u.Hostname() != "" && u.Opaque == "" && strings.HasPrefix(raw, "https://"):
		return nil
	case u.Scheme == "http" && native && u.Opaque == "" && strings.HasPrefix(raw, "http://") && realm.Loopback(u.Hostname()):
		return nil
	case native && public && strings.Contains(u.Scheme, "."):
		return nil
	}
	return errURIScheme
}

func hasDots(u *url.URL) bool {
	return slices.ContainsFunc(strings.Split(u.Path, "/"), func(p string) bool { return p == "." || p == ".." })
}

// webAddress says whether people may be shown a link to an address, or sent
// there: an https URL.
func webAddress(raw string) bool {
	u, err := url.Parse(raw)
	return err == nil && len(raw) <= maxURI && u.Scheme == "https" && u.Hostname() != "" && u.User == nil && u.Opaque == "" &&
		!strings.ContainsFunc(raw, func(r rune) bool {
			return r <= ' ' || r > '~' || r == '\\' || r == '"' || r == '\'' || r == '<' || r == '>'
		})
}

func (m *clientMetadata) checkKeys(r *realm.Realm, address func(string) error) error {
	if m.JWKS != nil && len(*m.JWKS) > 0 && string(*m.JWKS) == "null" {
		m.JWKS = nil
	}
	if m.JWKS != nil && m.JWKSURI != "" {
		return metadataError("jwks and jwks_uri exclude each other.")
	}
	if m.JWKS != nil {
		if _, err := clientkeys.ParseSet(*m.JWKS); err != nil {
			return metadataError("The jwks is no set of public keys for signatures.")
		}
	}
	if m.JWKSURI != "" && (len(m.JWKSURI) > maxURI || address(m.JWKSURI) != nil) {
		return metadataError("The jwks_uri is no public https address.")
	}
	switch m.AuthMethod {
	case realm.AuthNone, realm.AuthBasic, realm.AuthPost:
		if m.AuthAlg != "" {
			return metadataError("The token_endpoint_auth_signing_alg is for private_key_jwt.")
		}
	case realm.AuthKey:
		if m.JWKS == nil && m.JWKSURI == "" {
			return metadataError("private_key_jwt needs jwks or jwks_uri.")
		}
		if m.AuthAlg != "" && !slices.Contains(names(assertionAlgorithms(r)), m.AuthAlg) {
			return metadataError("The token_endpoint_auth_signing_alg is not offered here.")
		}
	default:
		return metadataError("The token_endpoint_auth_method is not offered here.")
	}
	return nil
}

func (m *clientMetadata) checkAlgorithms(r *realm.Realm) error {
	switch {
	case m.IDTokenAlg == algNone && r.OAuth.UnsignedIDTokens:
		for _, t := range m.ResponseTypes {
			if slices.Contains(strings.Fields(t), "id_token") { // OpenID Connect Registration §2
				return metadataError("An unsigned ID token may not come from the authorization endpoint.")
			}
		}
	case m.IDTokenAlg != realm.RS256 && m.IDTokenAlg != realm.ES256:
		return metadataError("The id_token_signed_response_alg is not offered here.")
	}
	if m.UserinfoAlg != "" && m.UserinfoAlg != realm.RS256 && m.UserinfoAlg != realm.ES256 {
		return metadataError("The userinfo_signed_response_alg is not offered here.")
	}
	unsigned := m.RequestObjectAlg == algNone && r.OAuth.Objects == realm.ObjectsUnsigned
	if m.RequestObjectAlg != "" && !unsigned &&
		(r.OAuth.Objects == realm.ObjectsRefused || !slices.Contains(names(clientkeys.Algorithms), m.RequestObjectAlg)) {
		return metadataError("The request_object_signing_alg is not offered here.")
	}
	if m.DefaultMaxAge != nil && (*m.DefaultMaxAge < 0 || *m.DefaultMaxAge > 1<<31-1) {
		return metadataError("The default_max_age is no number of seconds.")
	}
	return nil
}

const algNone = "none"

func (m *clientMetadata) checkAddresses(address func(string) error) error {
	for name, uri := range map[string]string{"client_uri": m.ClientURI, "logo_uri": m.LogoURI, "policy_uri": m.PolicyURI,
		"tos_uri": m.TermsURI, "initiate_login_uri": m.InitiateLoginURI, "frontchannel_logout_uri": m.FrontchannelURI} {
		if uri != "" && !webAddress(uri) {
			return metadataError("The %s is no https address.", name)
		}
	}
	// iss and sid, or iss and target, are added to these as a query.
	for name, uri := range map[string]string{"initiate_login_uri": m.InitiateLoginURI, "frontchannel_logout_uri": m.FrontchannelURI} {
		if strings.Contains(uri, "#") {
			return metadataError("The %s has a fragment.", name)
		}
	}
	for _, uri := range m.RequestURIs {
		// What is fetched is without the fragment, see fetchedParameters.
		if base, _, _ := strings.Cut(uri, "#"); !webAddress(uri) || address(base) != nil {
			return metadataError("A request URI is no public https address.")
		}
	}
	if m.BackchannelURI != "" && (len(m.BackchannelURI) > maxURI || address(m.BackchannelURI) != nil) {
		return metadataError("The backchannel_logout_uri is no public https address.")
	}
	// Front-Channel Logout §2: a page of the client, not of somebody else.
	if m.FrontchannelURI != "" && !slices.ContainsFunc(m.RedirectURIs, func(uri string) bool {
		return originOf(uri) == originOf(m.FrontchannelURI)
	}) {
		return metadataError("The frontchannel_logout_uri has another origin than the redirect URIs.")
	}
	return nil
}

func (m *clientMetadata) checkScope(r *realm.Realm) error {
	allowed := registrationScopes(r)
	for _, scope := range strings.Fields(m.Scope) {
		if !slices.Contains(allowed, scope) {
			return metadataError("A scope is unknown, or not for clients that register themselves.")
		}
	}
	return nil
}

// client is the registration as the rest of the package sees a client. What
// the realm no longer allows is not in it, whatever was registered before.
func (row *registration) client(r *realm.Realm) *realm.Client {
	m := row.metadata
	c := &realm.Client{
		ID: row.id, Name: m.Name, SecretHash: row.secretHash, AuthMethod: m.AuthMethod, AuthAlg: m.AuthAlg,
		RedirectURIs: m.RedirectURIs, PostLogoutRedirectURIs: m.PostLogoutRedirectURIs, GrantTypes: m.GrantTypes,
		IDTokenAlg: m.IDTokenAlg, UserinfoAlg: m.UserinfoAlg, JWKSURI: m.JWKSURI,
		InitiateLoginURI: m.InitiateLoginURI, ClientURI: m.ClientURI, LogoURI: m.LogoURI, PolicyURI: m.PolicyURI, TermsURI: m.TermsURI,
		SubjectType: m.SubjectType, Sector: row.sector,
		ResponseTypes: m.ResponseTypes, RequestObjectAlg: m.RequestObjectAlg, RequestURIs: m.RequestURIs, RequirePAR: m.RequirePAR,
		BackchannelLogoutURI: m.BackchannelURI, BackchannelSessionRequired: m.BackchannelSession,
		FrontchannelLogoutURI: m.FrontchannelURI, FrontchannelSessionRequired: m.FrontchannelSession,
		DefaultMaxAge: m.DefaultMaxAge, DefaultACRs: m.DefaultACRs, RequireAuthTime: m.RequireAuthTime,
		Registered: true, Version: row.version, Unused: row.unused,
	}
	if m.JWKS != nil {
		c.JWKS = *m.JWKS
	}
	if c.IDTokenAlg == algNone && !r.OAuth.UnsignedIDTokens {
		c.IDTokenAlg = realm.RS256
	}
	allowed := registrationScopes(r)
	for _, scope := range strings.Fields(m.Scope) {
		if slices.Contains(allowed, scope) {
			c.Scopes = append(c.Scopes, scope)
		}
	}
	return c
}

// registration is a row of registered_clients.
type registration struct {
	id         string
	metadata   *clientMetadata
	sector     string
	secretHash []byte
	accessHash []byte
	version    int64
	createdAt  time.Time
	unused     bool // it had no tokens yet
}
