package oauth

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/portico-id/portico/internal/oauth/token"
	"github.com/portico-id/portico/internal/realm"
)

// userinfo tells a client about the person (OpenID Connect Core §5.3). The
// token comes in the header or in a posted body, never in the query.
func (p *Provider) userinfo(c *gin.Context) error {
	ctx, r := c.Request.Context(), realm.From(c.Request.Context())
	raw, err := bearer(c)
	if err != nil {
		p.writeBearerError(c, err, realm.ScopeOpenID)
		return nil
	}
	a, g, who, err := p.readAccess(ctx, r, raw)
	switch {
	case errors.Is(err, ErrToken):
		err = &protocolError{Code: errInvalidToken, Description: "The access token is not valid.", Status: http.StatusUnauthorized, cause: err}
	case err != nil:
	case g == nil || !a.HasScope(realm.ScopeOpenID) || !a.Audience.Has(r.Issuer):
		err = &protocolError{Code: errInsufficientScope, Description: "The access token does not have the scope openid.", Status: http.StatusForbidden}
	}
	if err != nil {
		p.writeBearerError(c, err, realm.ScopeOpenID)
		return nil
	}
	noStore(c)
	claims := claimsAbout(a.Subject, a.Scopes(), g.Claims.forUserinfo(), who)
	if g.client.UserinfoAlg == "" {
		c.JSON(http.StatusOK, claims)
		return nil
	}
	// Signed for the client that the token belongs to (OpenID Connect Core §5.3.2).
	claims["iss"], claims["aud"] = r.Issuer, g.client.ID
	signed, err := p.sign(ctx, r, g.client.UserinfoAlg, token.TypeID, claims)
	if err != nil {
		p.writeBearerError(c, err, realm.ScopeOpenID)
		return nil
	}
	c.Data(http.StatusOK, "application/jwt", []byte(signed))
	return nil
}

// bearer finds the access token of a request (RFC 6750 §2.1, §2.2).
func bearer(c *gin.Context) (string, error) {
	none := &protocolError{Status: http.StatusUnauthorized}
	twice := refuse(errInvalidRequest, "The access token was sent in more than one way, or in the query.")
	if strings.Contains(c.Request.URL.RawQuery, "access_token=") {
		return "", twice
	}
	var found string
	headers := c.Request.Header.Values("Authorization")
	if len(headers) > 1 {
		return "", twice
	}
	if len(headers) == 1 {
		scheme, value, _ := strings.Cut(headers[0], " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return "", none
		}
		found = strings.TrimSpace(value)
	}
	if c.Request.Method == http.MethodPost && strings.HasPrefix(c.GetHeader("Content-Type"), contentTypeForm) {
		form, err := readBody(c)
		if err != nil {
			return "", err
		}
		inBody := form["access_token"]
		if len(inBody) > 1 || len(inBody) == 1 && found != "" {
			return "", twice
		}
		if len(inBody) == 1 {
			found = inBody[0]
		}
	}
	if found == "" {
		return "", none
	}
	return found, nil
}

// profileClaims are those of the scope profile that come from the account's
// profile as they are (OpenID Connect Core §5.1).
var profileClaims = []string{
	"middle_name", "nickname", "preferred_username", "profile", "picture", "website",
	"gender", "birthdate", "zoneinfo",
}

// claimsAbout lists what a token allows to know: the claims of its scopes, and
// those that were asked for one by one. Claims without a value are left out.
func claimsAbout(subject string, scopes []string, asked map[string]claimRequest, who *account) map[string]any {
	claims := map[string]any{}
	all := allClaims(who)
	for name, value := range all {
		if slices.Contains(scopes, scopeOfClaim[name]) {
			claims[name] = value
		} else if how, ok := asked[name]; ok && how.accepts(value) {
			claims[name] = value
		}
	}
	claims["sub"] = subject
	return claims
}

// identityClaims are the claims about the person in an ID token: those that
// were asked for there, and where no access token follows with which to ask
// userinfo, those of the scopes (OpenID Connect Core §5.4).
func identityClaims(s *signIn, scopes []string) map[string]any {
	asked := s.grant.Claims.forIDToken()
	if s.grant.Who == nil || !s.alone && len(asked) == 0 {
		return nil
	}
	if !s.alone {
		scopes = nil
	}
	claims := claimsAbout(s.subject, scopes, asked, s.grant.Who)
	delete(claims, "sub")
	return claims
}

// allClaims is everything that may be told about a person
// (OpenID Connect Core §5.1).
func allClaims(who *account) map[string]any {
	claims := map[string]any{}
	put := func(name, value string) {
		if value != "" {
			claims[name] = value
		}
	}
	var profile map[string]any
	_ = json.Unmarshal(who.Profile, &profile) // an empty profile has nothing to add
	take := func(names ...string) {
		for _, name := range names {
			if v, ok := profile[name]; ok && v != nil && v != "" {
				claims[name] = v
			}
		}
	}
	name := who.Name
	if name == "" {
		name = strings.TrimSpace(who.GivenName + " " + who.FamilyName)
	}
	put("name", name)
	put("given_name", who.GivenName)
	put("family_name", who.FamilyName)
	put("locale", who.Locale)
	take(profileClaims...)
	claims["updated_at"] = who.UpdatedAt.Unix()
	claims["email"], claims["email_verified"] = who.LoginEmail, who.EmailVerified
	take("phone_number", "address")
	if claims["phone_number"] != nil {
		verified, _ := profile["phone_number_verified"].(bool)
		claims["phone_number_verified"] = verified
	}
	return claims
}
