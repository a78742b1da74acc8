package realm

import (
	"slices"
	"strings"
	"time"
)

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
	EmailLink        time.Duration // the link that confirms a new login email
	FreezeLink       time.Duration // "this wasn't me" in a notice
	KeptSession      time.Duration // idle and absolute limit of a browser that asked to be kept signed in; 0: that is not offered
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
	StaffLinksPerDay          int           // links that staff send to an account in 24 h, all of staff together
	InvitationsPerDay         int           // invitations of an account in 24 h that strangers ask for
	EmailChangesPerDay        int           // changes of the login email in 24 h that a person asks for, and staff for them; letters to one address
	FreezesPerNetworkPerHour  int           // accounts that one network freezes with the links of notices
	QuestionChangesPerHour    int           // tries of one account to choose another security question
	ChoicesPerHour            int           // passwords and questions of one account that are chosen behind a link; each costs hashes
	RecentEmailChange         time.Duration // a link sent so soon after a change of the address raises an alarm
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
	ConfirmTriesPerDay int // wrong passwords of an account in 24 h, typed to confirm something, over all its sessions; one ends at DisableAtFailures

	ForgetFailures      time.Duration // a time without a try after which a few failures are forgotten
	ForgetStreak        time.Duration // the same for ten failures in a row and more
	NewDevicesPerDay    int           // browsers that become known to an account in 24 h
	KnownDevice         time.Duration // how long a browser that is not used stays known
	TurnedAwayRecorded  int           // tries in an hour, at one account or from one network, that the trail keeps although nothing was verified
	InteractionsPerHour int           // authorization requests of one network that are kept until their person signs in
}

// StaffPolicy bounds what one member of staff asks of the admin API.
type StaffPolicy struct {
	LooksPerMinute int // searches, and single things looked at
	ChangesPerHour int

	InvitationsPerDay  int // of a practice in 24 h, by all of its staff
	EmailChangesPerDay int // tries of one person in 24 h to give guardians another login email
}

// Who has to have a second factor.
const (
	SecondFactorOptional = ""         // nobody; everybody may
	SecondFactorRoles    = "roles"    // staff with one of the named roles
	SecondFactorEveryone = "everyone" // every account of the realm
)

// StaffRoles are the roles that a realm's rules may name; package practice says
// what they allow.
var StaffRoles = []string{"administrator", "front_desk", "viewer", "provider"}

// SecondFactorPolicy says who has to prove more than a password at sign-in,
// and bounds the guessing of codes.
type SecondFactorPolicy struct {
	Required string        // SecondFactorOptional, SecondFactorRoles or SecondFactorEveryone
	Roles    []string      // staff roles, for SecondFactorRoles
	Grace    time.Duration // from the first sign-in that was told, until none gets past without one

	TriesPerSignIn    int // wrong codes that end a started sign-in
	TriesPerDay       int // wrong codes of an account in 24 h, over all sign-ins, and as many in known browsers; then only passkeys work there that day
	PasskeysPerPerson int
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

	Registration RegistrationPolicy
	// StrictAssertions holds client assertions to FAPI 2.0 §5.3.2.1: the audience
	// is the issuer alone, as a string, and RS256 is not accepted.
	StrictAssertions bool
	// UnsignedIDTokens lets clients that register themselves ask for ID tokens
	// with the algorithm none. A relaxation, for conformance runs only.
	UnsignedIDTokens bool

	// SessionManagement lets scripts of clients notice a sign-out (OpenID Connect
	// Session Management). A relaxation: its cookie can be read by scripts and
	// travels into frames of other sites.
	SessionManagement bool

	ResponseTypes []string       // canonical, see ResponseType; code alone unless a realm is made for more
	OptionalPKCE  bool           // a relaxation: clients with a secret or a key may go without PKCE
	RequirePAR    bool           // every request has to be pushed first (RFC 9126 §5)
	Objects       RequestObjects // which request objects are read (RFC 9101)
	RequestURIs   bool           // a relaxation: request objects are fetched from addresses a client registered
	// FetchesPerMinute is how often request objects of one client are fetched:
	// anybody can send browsers here with its addresses.
	FetchesPerMinute int
}

// RequestObjects says which request objects a realm reads.
type RequestObjects string

const (
	ObjectsSigned   RequestObjects = ""         // signed by a key that is registered for the client
	ObjectsUnsigned RequestObjects = "unsigned" // a relaxation: those of the algorithm "none" too, and without expiry
	ObjectsRefused  RequestObjects = "refused"
)

// Response types (OAuth 2.0 Multiple Response Type Encoding Practices §3, §5).
const (
	ResponseCode             = "code"
	ResponseIDToken          = "id_token"
	ResponseIDTokenToken     = "id_token token"
	ResponseCodeIDToken      = "code id_token"
	ResponseCodeToken        = "code token"
	ResponseCodeIDTokenToken = "code id_token token"
)

// ResponseTypes lists all response types there are here.
var ResponseTypes = []string{ResponseCode, ResponseIDToken, ResponseIDTokenToken, ResponseCodeIDToken,
	ResponseCodeToken, ResponseCodeIDTokenToken}

// ResponseType writes a response type in the order of ResponseTypes: the order
// of its words means nothing (RFC 6749 §3.1.1). It returns "" for one that
// does not exist here.
func ResponseType(raw string) string {
	words := strings.Fields(raw)
	slices.Sort(words)
	if t := strings.Join(words, " "); slices.Contains(ResponseTypes, t) {
		return t
	}
	return ""
}

// NeedsGrants lists the grant types a client needs for a response type
// (OpenID Connect Registration §2).
func NeedsGrants(responseType string) []string {
	words := strings.Fields(responseType)
	var grants []string
	if slices.Contains(words, "code") {
		grants = append(grants, GrantCode)
	}
	if slices.Contains(words, "id_token") || slices.Contains(words, "token") {
		grants = append(grants, GrantImplicit)
	}
	return grants
}

// Who may register clients over the network (RFC 7591).
const (
	RegistrationOff   = ""      // nobody; clients that registered before are not accepted either
	RegistrationToken = "token" // who has an initial access token
	RegistrationOpen  = "open"  // anybody
)

// RegistrationPolicy says who may register clients, and what they may get.
type RegistrationPolicy struct {
	Mode                 string
	TokenHashes          [][]byte // SHA-256 of the initial access tokens
	PerNetworkPerHour    int      // registrations of one IPv4 address or IPv6 /64
	PerRealmPerHour      int
	ChangesPerClientHour int // reads, updates and deletions of one registration
	// UnusedFor is how long a client stays that registered itself and gets no tokens.
	UnusedFor time.Duration
	// TrustRedirects sends errors straight to the addresses of clients that
	// anybody registered. A relaxation, for conformance runs: the realm becomes an
	// open redirector (RFC 9700 §4.11.2).
	TrustRedirects bool
}

// Enabled reports whether clients can register.
func (p RegistrationPolicy) Enabled() bool { return p.Mode != RegistrationOff }

// Policies is everything a realm may tune.
type Policies struct {
	Lifetimes Lifetimes
	Password  PasswordPolicy
	Recovery  RecoveryPolicy
	SignIn    SignInPolicy
	Factors   SecondFactorPolicy
	Staff     StaffPolicy
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
	GrantImplicit          = "implicit" // tokens from the authorization endpoint; only where a realm's response types have any
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
			EmailLink:        24 * time.Hour,
			FreezeLink:       7 * 24 * time.Hour,
		},
		Password: PasswordPolicy{MinLength: 15},
		Recovery: RecoveryPolicy{
			AnswerTriesPerLink:        5,
			AnswerTriesPerDay:         10,
			AnswerLock:                24 * time.Hour,
			AbsorbRepeats:             5 * time.Minute,
			LinksPerDay:               5,
			StaffLinksPerDay:          20,
			InvitationsPerDay:         5,
			EmailChangesPerDay:        5,
			FreezesPerNetworkPerHour:  20,
			QuestionChangesPerHour:    20,
			ChoicesPerHour:            60,
			RecentEmailChange:         7 * 24 * time.Hour,
			RequestsPerNetworkPerHour: 20,
			RealmRequestsPerHour:      2000,
		},
		SignIn: SignInPolicy{
			DelayFromFailure:   5,
			FirstDelay:         time.Second,
			MaxDelay:           15 * time.Minute,
			DisableAtFailures:  100,
			AttemptsPerNetwork: 1000,
			ConfirmTriesPerDay: 200,

			ForgetFailures:      24 * time.Hour,
			ForgetStreak:        180 * 24 * time.Hour,
			NewDevicesPerDay:    5,
			KnownDevice:         365 * 24 * time.Hour,
			TurnedAwayRecorded:  20,
			InteractionsPerHour: 2000,
		},
		Staff: StaffPolicy{LooksPerMinute: 240, ChangesPerHour: 120, InvitationsPerDay: 100, EmailChangesPerDay: 30},
		Factors: SecondFactorPolicy{
			Grace:             14 * 24 * time.Hour,
			TriesPerSignIn:    5,
			TriesPerDay:       20,
			PasskeysPerPerson: 10,
		},
		OAuth: OAuthPolicy{
			GrantTypes: []string{GrantCode, GrantRefresh, GrantClientCredentials},
			Scopes: []string{ScopeOpenID, ScopeProfile, ScopeEmail, ScopeAddress,
				ScopePhone, ScopeOfflineAccess},
			ScopeAudiences:   map[string]string{},
			AccessTokenAlg:   ES256,
			IDTokenAlg:       RS256,
			RefreshGrace:     10 * time.Second,
			ClockSkew:        10 * time.Second,
			Registration:     RegistrationPolicy{PerNetworkPerHour: 20, PerRealmPerHour: 500, ChangesPerClientHour: 200, UnusedFor: 30 * 24 * time.Hour},
			ResponseTypes:    []string{ResponseCode},
			FetchesPerMinute: 60,
		},
	}
	if kind == Patient {
		p.Lifetimes.GrantAbsolute = 24 * time.Hour
		p.Lifetimes.SessionIdle = 30 * time.Minute
		p.Lifetimes.SessionAbsolute = 24 * time.Hour
	}
	return p
}
