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
	Scopes              []string `json:"scopes_supported"`
	ResponseTypes       []string `json:"response_types_supported"`
	ResponseModes       []string `json:"response_modes_supported"`
	Grants              []string `json:"grant_types_supported"`
	SubjectTypes        []string `json:"subject_types_supported"`
	IDTokenAlgs         []string `json:"id_token_signing_alg_values_supported"`
	TokenAuth           []string `json:"token_endpoint_auth_methods_supported"`
	IntrospectionAuth   []string `json:"introspection_endpoint_auth_methods_supported"`
	RevocationAuth      []string `json:"revocation_endpoint_auth_methods_supported"`
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
	IssuerInResponses   bool     `json:"authorization_response_iss_parameter_supported"`
	PrivacyPolicy       string   `json:"op_policy_uri,omitempty"`
}

func (p *Provider) metadata(r *realm.Realm) metadata {
	secrets := []string{realm.AuthBasic, realm.AuthPost}
	all := append(slices.Clone(secrets), realm.AuthNone)
	return metadata{
		Issuer: r.Issuer, Authorization: r.URL(pathAuthorize), Token: r.URL(pathToken),
		Userinfo: r.URL(pathUserinfo), JWKS: r.URL(pathJWKS), Introspection: r.URL(pathIntrospect),
		Revocation: r.URL(pathRevoke), EndSession: r.URL(pathLogout),
		Scopes: r.OAuth.Scopes, ResponseTypes: []string{"code"}, ResponseModes: []string{"query", "fragment"},
		Grants: r.OAuth.GrantTypes, SubjectTypes: []string{"public"}, IDTokenAlgs: []string{realm.RS256, realm.ES256},
		TokenAuth: all, IntrospectionAuth: secrets, RevocationAuth: all,
		ChallengeMethods: []string{"S256"}, Prompts: []string{"none", "login", "consent", "select_account"},
		Claims: []string{
			"sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "azp", "sid", "at_hash",
			"name", "given_name", "family_name", "middle_name", "nickname", "preferred_username", "profile",
			"picture", "website", "gender", "birthdate", "zoneinfo", "locale", "updated_at",
			"email", "email_verified", "phone_number", "phone_number_verified", "address",
		},
		ClaimTypes: []string{"normal"}, UILocales: r.Locales, IssuerInResponses: true,
		PrivacyPolicy: r.Brand.PrivacyURL, ACRs: p.acrs,
	}
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
