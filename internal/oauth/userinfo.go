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
	c.JSON(http.StatusOK, claimsAbout(a, who))
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

// claimsAbout lists what the token's scopes allow to know. Claims without a
// value are left out.
func claimsAbout(a token.Access, who *account) map[string]any {
	claims := map[string]any{"sub": a.Subject}
	scopes := a.Scopes()
	has := func(scope string) bool { return slices.Contains(scopes, scope) }
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
	if has(realm.ScopeProfile) {
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
	}
	if has(realm.ScopeEmail) {
		claims["email"], claims["email_verified"] = who.LoginEmail, who.EmailVerified
	}
	if has(realm.ScopePhone) {
		take("phone_number")
		if claims["phone_number"] != nil {
			verified, _ := profile["phone_number_verified"].(bool)
			claims["phone_number_verified"] = verified
		}
	}
	if has(realm.ScopeAddress) {
		take("address")
	}
	return claims
}
