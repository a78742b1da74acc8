package token

// TypeLogout marks a logout token (OpenID Connect Back-Channel Logout §2.4),
// which no reader of this package accepts for anything.
const TypeLogout = "logout+jwt"

// backchannelEvent is the one event of a logout token.
const backchannelEvent = "http://schemas.openid.net/event/backchannel-logout"

// Logout is what a logout token says (OpenID Connect Back-Channel Logout §2.4).
// It never has a nonce: a client must be able to tell it from an ID token.
type Logout struct {
	Issuer    string              `json:"iss"`
	Subject   string              `json:"sub"`
	Audience  Audience            `json:"aud"`
	IssuedAt  int64               `json:"iat"`
	ExpiresAt int64               `json:"exp"`
	ID        string              `json:"jti"`
	SessionID string              `json:"sid"`
	Events    map[string]struct{} `json:"events"`
}

// LogoutEvents is Events of every logout token.
func LogoutEvents() map[string]struct{} { return map[string]struct{}{backchannelEvent: {}} }
