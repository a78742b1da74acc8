package oauth

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/portico-id/portico/internal/oauth/requestobject"
	"github.com/portico-id/portico/internal/realm"
)

// metadata is the discovery document (OpenID Connect Discovery §3, RFC 8414
// §2). It says what this build does and nothing else.
type metadata struct {
	Issuer              string   `json:"issuer"`
	Authorization       string   `json:"authorization_endpoint"`
	Token               string   `json:"token_endpoint"`
	Userinfo            string   `json:"userinfo_endpoint"`
	JWKS                string   `json:"jwks_uri"`
	Introspection       string   `json:"introspection_endpoint"`
	Revocation          string   `json:"revocation_endpoint"`
	EndSession          string   `json:"end_session_endpoint"`
	CheckSession        string   `json:"check_session_iframe,omitempty"`
	Backchannel         bool     `json:"backchannel_logout_supported"`
	BackchannelSession  bool     `json:"backchannel_logout_session_supported"`
	Frontchannel        bool     `json:"frontchannel_logout_supported"`
	FrontchannelSession bool     `json:"frontchannel_logout_session_supported"`
	Scopes              []string `json:"scopes_supported"`
	ResponseTypes       []string `json:"response_types_supported"`
	ResponseModes       []string `json:"response_modes_supported"`
	Grants              []string `json:"grant_types_supported"`
	SubjectTypes        []string `json:"subject_types_supported"`
	IDTokenAlgs         []string `json:"id_token_signing_alg_values_supported"`
	UserinfoAlgs        []string `json:"userinfo_signing_alg_values_supported"`
	TokenAuth           []string `json:"token_endpoint_auth_methods_supported"`
	TokenAuthAlgs       []string `json:"token_endpoint_auth_signing_alg_values_supported"`
	IntrospectionAuth   []string `json:"introspection_endpoint_auth_methods_supported"`
	IntrospectionAlgs   []string `json:"introspection_endpoint_auth_signing_alg_values_supported"`
	RevocationAuth      []string `json:"revocation_endpoint_auth_methods_supported"`
	RevocationAlgs      []string `json:"revocation_endpoint_auth_signing_alg_values_supported"`
	Registration        string   `json:"registration_endpoint,omitempty"`
	ChallengeMethods    []string `json:"code_challenge_methods_supported"`
	Prompts             []string `json:"prompt_values_supported"`
	Claims              []string `json:"claims_supported"`
	ACRs                []string `json:"acr_values_supported,omitempty"`
	ClaimTypes          []string `json:"claim_types_supported"`
	UILocales           []string `json:"ui_locales_supported"`
	ClaimsParameter     bool     `json:"claims_parameter_supported"`
	RequestParameter    bool     `json:"request_parameter_supported"`
	RequestURIParameter bool     `json:"request_uri_parameter_supported"`
	RequireRequestURIs  bool     `json:"require_request_uri_registration"`
	RequestObjectAlgs   []string `json:"request_object_signing_alg_values_supported,omitempty"`
	PAR                 string   `json:"pushed_authorization_request_endpoint"`
	RequirePAR          bool     `json:"require_pushed_authorization_requests"`
	Displays            []string `json:"display_values_supported"`
	IssuerInResponses   bool     `json:"authorization_response_iss_parameter_supported"`
	PrivacyPolicy       string   `json:"op_policy_uri,omitempty"`
}

func (p *Provider) metadata(r *realm.Realm) metadata {
	secrets := []string{realm.AuthBasic, realm.AuthPost, realm.AuthKey}
	assertions := names(assertionAlgorithms(r))
	all := append(slices.Clone(secrets), realm.AuthNone)
	return metadata{
		Issuer: r.Issuer, Authorization: r.URL(pathAuthorize), Token: r.URL(pathToken),
		Userinfo: r.URL(pathUserinfo), JWKS: r.URL(pathJWKS), Introspection: r.URL(pathIntrospect),
		Revocation: r.URL(pathRevoke), EndSession: r.URL(pathLogout),
		CheckSession: checkSessionURL(r),
		Backchannel:  true, BackchannelSession: true, Frontchannel: true, FrontchannelSession: true,
		Scopes: r.OAuth.Scopes, ResponseTypes: r.OAuth.ResponseTypes, ResponseModes: []string{modeQuery, modeFragment, modeFormPost},
		Grants: r.OAuth.GrantTypes, SubjectTypes: []string{realm.SubjectPublic, realm.SubjectPairwise}, IDTokenAlgs: idTokenAlgs(r),
		UserinfoAlgs: []string{realm.RS256, realm.ES256}, Registration: registrationURL(r),
		TokenAuthAlgs: assertions, IntrospectionAlgs: assertions, RevocationAlgs: assertions,
		TokenAuth: all, IntrospectionAuth: secrets, RevocationAuth: all,
		ChallengeMethods: []string{"S256"}, Prompts: []string{"none", "login", "consent", "select_account"},
		Claims: []string{
			"sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "azp", "sid", "at_hash", "c_hash", "s_hash",
			"name", "given_name", "family_name", "middle_name", "nickname", "preferred_username", "profile",
			"picture", "website", "gender", "birthdate", "zoneinfo", "locale", "updated_at",
			"email", "email_verified", "phone_number", "phone_number_verified", "address",
		},
		ClaimTypes: []string{"normal"}, UILocales: r.Locales, IssuerInResponses: true,
		PrivacyPolicy: r.Brand.PrivacyURL, ACRs: p.acrs,
		PAR: r.URL(pathPAR), RequirePAR: r.OAuth.RequirePAR, Displays: displaysOffered, ClaimsParameter: true,
		RequestParameter: r.OAuth.Objects != realm.ObjectsRefused, RequestObjectAlgs: objectAlgs(r),
		RequestURIParameter: byReference(r), RequireRequestURIs: byReference(r),
	}
}

// displaysOffered are the values of display that are of use. "popup" is
// accepted as well and not announced: our pages cut the tie to the window that
// opened them (Cross-Origin-Opener-Policy), so a sign-in in a popup cannot report
// back to it.
var displaysOffered = []string{"page", "touch"}

// idTokenAlgs lists the algorithms of ID tokens. "none" is for clients that
// register themselves, so both have to be allowed.
func idTokenAlgs(r *realm.Realm) []string {
	algs := []string{realm.RS256, realm.ES256}
	if r.OAuth.UnsignedIDTokens && r.OAuth.Registration.Enabled() {
		algs = append(algs, algNone)
	}
	return algs
}

func registrationURL(r *realm.Realm) string {
	if !r.OAuth.Registration.Enabled() {
		return ""
	}
	return r.URL(pathRegister)
}

// objectAlgs lists the algorithms of request objects that a realm reads.
func objectAlgs(r *realm.Realm) []string {
	if r.OAuth.Objects == realm.ObjectsRefused {
		return nil
	}
	return requestobject.Algorithms(r.OAuth.Objects == realm.ObjectsUnsigned)
}

// byReference reports whether a realm fetches request objects. The request_uri
// of a pushed request is another thing, and always possible.
func byReference(r *realm.Realm) bool {
	return r.OAuth.RequestURIs && r.OAuth.Objects != realm.ObjectsRefused
}

// checkSessionURL is the frame of realms with session management.
func checkSessionURL(r *realm.Realm) string {
	if !r.OAuth.SessionManagement {
		return ""
	}
	return r.URL(pathCheck)
}

// ServeMetadata answers both well-known names. For an issuer with a path, RFC
// 8414 §3.1 puts the path after the well-known part, at the root of the host:
// mount it there too, with the realm in the context.
func (p *Provider) ServeMetadata(c *gin.Context) error {
	body, err := json.Marshal(p.metadata(realm.From(c.Request.Context())))
	if err != nil {
		return fmt.Errorf("encode metadata: %w", err)
	}
	sum := sha256.Sum256(body)
	cached(c, body, `"`+base64.RawURLEncoding.EncodeToString(sum[:12])+`"`, contentTypeJSON)
	return nil
}

// jwks publishes the realm's public keys. It needs no database.
func (p *Provider) jwks(c *gin.Context) error {
	body, etag := p.keys.JWKS(realm.From(c.Request.Context()))
	cached(c, body, etag, contentTypeJSON)
	return nil
}

// cached answers with something that may be kept for a while (RFC 9110 §8.8.3).
func cached(c *gin.Context, body []byte, etag, kind string) {
	if !strings.HasPrefix(etag, `"`) {
		etag = `"` + etag + `"`
	}
	header := c.Writer.Header()
	header.Del("Pragma")
	header.Set("Cache-Control", "public, max-age=900")
	header.Set("ETag", etag)
	for _, tag := range strings.Split(c.GetHeader("If-None-Match"), ",") {
		if tag = strings.TrimSpace(tag); tag == "*" || strings.TrimPrefix(tag, "W/") == etag {
			c.Status(http.StatusNotModified)
			c.Writer.WriteHeaderNow()
			return
		}
	}
	c.Data(http.StatusOK, kind, body)
}
