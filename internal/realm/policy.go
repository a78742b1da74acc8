package realm

import "time"

// Kind says whom a realm is for, which decides its default lifetimes.
type Kind string

const (
	// Patient is a realm for patients, parents and guardians.
	Patient Kind = "patient"
	// Practice is a realm for staff, who see the records of many people:
	// its sessions are shorter.
	Practice Kind = "practice"
)

// Lifetimes says how long things live. All are enforced by the server, by the
// database's clock.
type Lifetimes struct {
	Code             time.Duration // authorization code (RFC 6749 §4.1.2)
	AccessToken      time.Duration // RFC 9068 access token
	IDToken          time.Duration
	RefreshIdle      time.Duration // a refresh token not used for so long is dead
	GrantAbsolute    time.Duration // no refresh extends a grant beyond this
	SessionIdle      time.Duration // a browser not seen for so long signs in again
	SessionAbsolute  time.Duration
	ResetLink        time.Duration
	Invitation       time.Duration
	Interaction      time.Duration // an authorization request waiting for its person; a started recovery or activation
	Reauthentication time.Duration // changing a password, email or question asks for the password after this
	StaffAction      time.Duration // staff resets and email changes need a sign-in this fresh (RFC 9470 §3)
}

// PasswordPolicy judges new passwords. There are no composition rules.
type PasswordPolicy struct {
	MinLength int // code points
}

// RecoveryPolicy bounds the way back in.
type RecoveryPolicy struct {
	AnswerTriesPerLink        int           // wrong answers that end a link
	AnswerTriesPerDay         int           // wrong answers of an account in 24 h that lock recovery
	AnswerLock                time.Duration // how long recovery stays locked
	AbsorbRepeats             time.Duration // a request this soon after another sends nothing new
	LinksPerDay               int           // after so many in 24 h the last link stays valid
	RequestsPerNetworkPerHour int           // requests of one IPv4 address or IPv6 /64 that lead to mail
	RealmRequestsPerHour      int           // requests of the whole realm that lead to mail
}

// SignInPolicy slows guessing down.
type SignInPolicy struct {
	DelayFromFailure   int           // the first failure (of account and network) that is followed by a delay
	FirstDelay         time.Duration // doubles with each further failure
	MaxDelay           time.Duration
	DisableAtFailures  int // consecutive failures after which only recovery helps
	AttemptsPerNetwork int // sign-in attempts of one network in an hour, over all accounts
}

// OAuthPolicy says what a realm's protocol endpoints allow.
type OAuthPolicy struct {
	GrantTypes     []string          // grants any client of the realm may be given
	Scopes         []string          // scopes the realm knows
	ScopeAudiences map[string]string // scope → audience it adds to access tokens, if the client lists that audience
	AccessTokenAlg string            // signs RFC 9068 access tokens
	IDTokenAlg     string            // signs ID tokens of clients that name no algorithm (OpenID Connect Registration §2: RS256)
	RefreshGrace   time.Duration     // a confidential client may repeat the immediately preceding refresh this long
	ClockSkew      time.Duration     // difference tolerated in client assertions and hints
}

// Policies is everything a realm may tune.
type Policies struct {
	Lifetimes Lifetimes
	Password  PasswordPolicy
	Recovery  RecoveryPolicy
	SignIn    SignInPolicy
	OAuth     OAuthPolicy
}

// Scopes that every realm knows, and those of the admin API.
const (
	ScopeOpenID        = "openid"
	ScopeProfile       = "profile"
	ScopeEmail         = "email"
	ScopeAddress       = "address"
	ScopePhone         = "phone"
	ScopeOfflineAccess = "offline_access"
	ScopeAdminRead     = "admin.read"   // search patients, look at associations and links
	ScopeAdminManage   = "admin.manage" // change a login email, send and cancel resets
)

// Grant types (RFC 6749).
const (
	GrantCode              = "authorization_code"
	GrantRefresh           = "refresh_token"
	GrantClientCredentials = "client_credentials"
)

// Signature algorithms the keyring makes keys for.
const (
	ES256 = "ES256"
	RS256 = "RS256"
)

// MaxResetLink is the longest a reset link may live; configuration only lowers it.
const MaxResetLink = 48 * time.Hour

// MaxCode and MaxAccessToken bound what configuration may set
// (RFC 6749 §4.1.2, RFC 9700 §4.10).
const (
	MaxCode        = 60 * time.Second
	MaxAccessToken = 10 * time.Minute
)

// Defaults is the one place where defaults of lifetimes and policies are
// written. An unknown kind gets the stricter ones, those of a practice.
func Defaults(kind Kind) Policies {
	p := Policies{
		Lifetimes: Lifetimes{
			Code:             MaxCode,
			AccessToken:      5 * time.Minute,
			IDToken:          5 * time.Minute,
			RefreshIdle:      2 * time.Hour,
			GrantAbsolute:    12 * time.Hour,
			SessionIdle:      15 * time.Minute,
			SessionAbsolute:  12 * time.Hour,
			ResetLink:        MaxResetLink,
			Invitation:       7 * 24 * time.Hour,
			Interaction:      30 * time.Minute,
			Reauthentication: 5 * time.Minute,
			StaffAction:      10 * time.Minute,
		},
		Password: PasswordPolicy{MinLength: 15},
		Recovery: RecoveryPolicy{
			AnswerTriesPerLink:        5,
			AnswerTriesPerDay:         10,
			AnswerLock:                24 * time.Hour,
			AbsorbRepeats:             5 * time.Minute,
			LinksPerDay:               5,
			RequestsPerNetworkPerHour: 20,
			RealmRequestsPerHour:      2000,
		},
		SignIn: SignInPolicy{
			DelayFromFailure:   5,
			FirstDelay:         time.Second,
			MaxDelay:           15 * time.Minute,
			DisableAtFailures:  100,
			AttemptsPerNetwork: 1000,
		},
		OAuth: OAuthPolicy{
			GrantTypes: []string{GrantCode, GrantRefresh, GrantClientCredentials},
			Scopes: []string{ScopeOpenID, ScopeProfile, ScopeEmail, ScopeAddress,
				ScopePhone, ScopeOfflineAccess},
			ScopeAudiences: map[string]string{},
			AccessTokenAlg: ES256,
			IDTokenAlg:     RS256,
			RefreshGrace:   10 * time.Second,
			ClockSkew:      10 * time.Second,
		},
	}
	if kind == Patient {
		p.Lifetimes.GrantAbsolute = 24 * time.Hour
		p.Lifetimes.SessionIdle = 30 * time.Minute
		p.Lifetimes.SessionAbsolute = 24 * time.Hour
	}
	return p
}
