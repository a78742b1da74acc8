package token

import (
	"encoding/json"
	"slices"
	"strings"
)

// Audience is one recipient or several; alone it is written as a string
// (RFC 7519 §4.1.3).
type Audience []string

// MarshalJSON writes one recipient as a string, several as an array.
func (a Audience) MarshalJSON() ([]byte, error) {
	if len(a) == 1 {
		return json.Marshal(a[0])
	}
	return json.Marshal([]string(a))
}

// UnmarshalJSON reads both forms.
func (a *Audience) UnmarshalJSON(raw []byte) error {
	if len(raw) > 0 && raw[0] == '"' {
		var one string
		if err := json.Unmarshal(raw, &one); err != nil {
			return err
		}
		*a = Audience{one}
		return nil
	}
	return json.Unmarshal(raw, (*[]string)(a))
}

// Has reports whether the token is for a recipient.
func (a Audience) Has(recipient string) bool { return slices.Contains(a, recipient) }

// Access is what an access token says (RFC 9068 §2.2). Times are seconds since
// 1970. GrantID and SessionID are empty in a token that a client got for
// itself.
type Access struct {
	Issuer    string   `json:"iss"`
	Subject   string   `json:"sub"`
	Audience  Audience `json:"aud"`
	ExpiresAt int64    `json:"exp"`
	IssuedAt  int64    `json:"iat"`
	ID        string   `json:"jti"`
	ClientID  string   `json:"client_id"`
	Scope     string   `json:"scope,omitempty"`
	AuthTime  int64    `json:"auth_time,omitempty"`
	ACR       string   `json:"acr,omitempty"`
	AMR       []string `json:"amr,omitempty"`
	GrantID   string   `json:"gid,omitempty"`
	SessionID string   `json:"sid,omitempty"`
}

// Scopes is Scope as a list.
func (a *Access) Scopes() []string { return strings.Fields(a.Scope) }

// HasScope reports whether the token carries a scope.
func (a *Access) HasScope(scope string) bool { return slices.Contains(a.Scopes(), scope) }

// Identity is what an ID token says (OpenID Connect Core §2): the sign-in, and
// about the person only what the client asked to find in it.
type Identity struct {
	Issuer          string   `json:"iss"`
	Subject         string   `json:"sub"`
	Audience        Audience `json:"aud"`
	ExpiresAt       int64    `json:"exp"`
	IssuedAt        int64    `json:"iat"`
	ID              string   `json:"jti"`
	AuthTime        int64    `json:"auth_time"`
	Nonce           string   `json:"nonce,omitempty"`
	ACR             string   `json:"acr,omitempty"`
	AMR             []string `json:"amr,omitempty"`
	AuthorizedParty string   `json:"azp"`
	AccessTokenHash string   `json:"at_hash,omitempty"`
	CodeHash        string   `json:"c_hash,omitempty"`
	StateHash       string   `json:"s_hash,omitempty"` // FAPI 1.0 Advanced §5.2.2.1
	SessionID       string   `json:"sid,omitempty"`

	// About are claims about the person (OpenID Connect Core §5.4, §5.5). They
	// never take the place of one above.
	About map[string]any `json:"-"`
}

// MarshalJSON writes the claims, those of About beside the others.
func (id Identity) MarshalJSON() ([]byte, error) {
	type plain Identity
	raw, err := json.Marshal(plain(id))
	if err != nil || len(id.About) == 0 {
		return raw, err
	}
	all := map[string]any{}
	for name, value := range id.About {
		all[name] = value
	}
	own := map[string]json.RawMessage{}
	if err := json.Unmarshal(raw, &own); err != nil {
		return nil, err
	}
	for name, value := range own {
		all[name] = value
	}
	return json.Marshal(all)
}
