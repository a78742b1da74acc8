package realm

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Realm is a front door. Build it with New; after that it never changes, so
// it may be shared by all goroutines. Read its slices and maps, never write.
type Realm struct {
	Name      string
	Kind      Kind
	Issuer    string   // exactly as configured: it is compared byte for byte by clients
	IssuerURL *url.URL // Issuer, parsed
	Path      string   // path of the issuer: "" or "/patient", never with a slash at its end

	Brand         Brand
	DefaultLocale string
	Locales       []string // BCP 47, the default among them
	TimeZone      *time.Location
	Home          string // where "Sign in" leads when no client is known: the portal

	Lifetimes Lifetimes
	Password  PasswordPolicy
	Recovery  RecoveryPolicy
	SignIn    SignInPolicy
	Factors   SecondFactorPolicy
	Staff     StaffPolicy
	OAuth     OAuthPolicy

	clients map[string]*Client
	sorted  []*Client
}

// Brand is how a realm looks and whom people call for help.
type Brand struct {
	Name         string
	Logo         string // name of a static file such as "logo.svg"; empty: the name alone
	LogoDark     string
	Color        string // #rrggbb
	SupportPhone string
	SupportEmail string
	SupportHours string
	PrivacyURL   string
	HelpURL      string

	Translations map[string]BrandWords // by language, for what differs in it
}

// BrandWords are the words of a brand in another language; empty ones are the
// same in all.
type BrandWords struct{ Name, SupportHours string }

// In is the brand in the words of a language.
func (b Brand) In(lang string) Brand {
	words := b.Translations[lang]
	b.Name, b.SupportHours = cmp.Or(words.Name, b.Name), cmp.Or(words.SupportHours, b.SupportHours)
	return b
}

// ErrRealm says that a realm cannot be built as described.
var ErrRealm = errors.New("realm")

var namePattern = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)

// CheckName returns an error that says what a realm may be called, or nil.
func CheckName(name string) error {
	if !namePattern.MatchString(name) {
		return fmt.Errorf("%w: a name has 1 to 32 characters of a-z, 0-9 and -, and starts with a letter", ErrRealm)
	}
	return nil
}

// CheckIssuer parses an issuer and returns an error that says what is wrong
// with it. An issuer is an https URL without query, fragment, user or slash at
// its end (RFC 8414 §2); http is accepted for loopback hosts only.
func CheckIssuer(issuer string) (*url.URL, error) {
	u, err := url.Parse(issuer)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "":
		return nil, fmt.Errorf("%w: an issuer is an absolute URL such as https://id.example.test/patient", ErrRealm)
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, fmt.Errorf("%w: an issuer starts with https://", ErrRealm)
	case u.Scheme == "http" && !Loopback(u.Hostname()):
		return nil, fmt.Errorf("%w: http is only for localhost and loopback addresses; use https", ErrRealm)
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Contains(issuer, "#"):
		return nil, fmt.Errorf("%w: an issuer has no user, query or fragment", ErrRealm)
	case strings.HasSuffix(u.Path, "/"):
		return nil, fmt.Errorf("%w: an issuer does not end with a slash", ErrRealm)
	case strings.ToLower(u.Host) != u.Host || defaultPort(u) == u.Port() && u.Port() != "":
		return nil, fmt.Errorf("%w: write the host in lower case and leave the scheme's own port out", ErrRealm)
	case u.EscapedPath() != u.Path || strings.Contains(u.Path, "//") || slices.ContainsFunc(strings.Split(u.Path, "/"), dots):
		return nil, fmt.Errorf("%w: the path has plain segments only: no %%, //, dot or two dots", ErrRealm)
	case u.String() != issuer:
		return nil, fmt.Errorf("%w: write the issuer as %s", ErrRealm, u.String())
	}
	return u, nil
}

func dots(segment string) bool { return segment == "." || segment == ".." }

// Loopback reports whether a host is this machine for certain.
func Loopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// New completes a realm: it parses the issuer, fills what was left empty with
// Defaults and what can be derived, and registers the clients. It returns
// ErrRealm for a name, issuer or client it cannot accept; the values of
// policies are the configuration's to judge.
func New(r Realm, clients []*Client) (*Realm, error) {
	if err := CheckName(r.Name); err != nil {
		return nil, fmt.Errorf("%q: %w", r.Name, err)
	}
	u, err := CheckIssuer(r.Issuer)
	if err != nil {
		return nil, fmt.Errorf("issuer %q: %w", r.Issuer, err)
	}
	r.IssuerURL, r.Path = u, u.Path
	r.fill()
	r.clients = make(map[string]*Client, len(clients))
	for _, c := range clients {
		if c.ID == "" || r.clients[c.ID] != nil {
			return nil, fmt.Errorf("%w %s: client id %q is empty or used twice", ErrRealm, r.Name, c.ID)
		}
		if (c.SecretHash == nil) != (c.AuthMethod == AuthNone || c.AuthMethod == AuthKey) {
			return nil, fmt.Errorf("%w %s: client %q has a secret if and only if it authenticates with one", ErrRealm, r.Name, c.ID)
		}
		if strings.HasPrefix(c.ID, RegisteredPrefix) {
			return nil, fmt.Errorf("%w %s: client id %q: identifiers that begin with %s are for clients that register themselves", ErrRealm, r.Name, c.ID, RegisteredPrefix)
		}
		if c.AuthMethod == AuthKey && !c.HasKeys() {
			return nil, fmt.Errorf("%w %s: client %q authenticates with a key, but none is registered", ErrRealm, r.Name, c.ID)
		}
		r.clients[c.ID] = c
		r.sorted = append(r.sorted, c)
	}
	slices.SortFunc(r.sorted, func(a, b *Client) int { return cmp.Compare(a.ID, b.ID) })
	return &r, nil
}

func (r *Realm) fill() {
	d := Defaults(r.Kind)
	if r.Lifetimes == (Lifetimes{}) {
		r.Lifetimes = d.Lifetimes
	}
	if r.Password == (PasswordPolicy{}) {
		r.Password = d.Password
	}
	if r.Recovery == (RecoveryPolicy{}) {
		r.Recovery = d.Recovery
	}
	if r.SignIn == (SignInPolicy{}) {
		r.SignIn = d.SignIn
	}
	if r.Staff == (StaffPolicy{}) {
		r.Staff = d.Staff
	}
	if r.Factors.TriesPerSignIn == 0 {
		r.Factors = d.Factors
	}
	if r.OAuth.GrantTypes == nil {
		r.OAuth = d.OAuth
	}
	if r.Kind == "" {
		r.Kind = Practice
	}
	if r.DefaultLocale == "" {
		r.DefaultLocale = "en"
	}
	if len(r.Locales) == 0 {
		r.Locales = []string{r.DefaultLocale}
	}
	if r.TimeZone == nil {
		r.TimeZone = time.UTC
	}
	if r.Brand.Name == "" {
		r.Brand.Name = r.Name
	}
}

// Client finds a configured client.
func (r *Realm) Client(id string) (*Client, bool) {
	c, ok := r.clients[id]
	return c, ok
}

// Clients lists the configured clients by id.
func (r *Realm) Clients() []*Client { return slices.Clone(r.sorted) }

// URL is the absolute address of a path of the realm ("/oauth/token"), made
// from the configured issuer. The Host header has no say in it: a poisoned one
// must never reach a mailed link.
func (r *Realm) URL(path string) string { return r.Issuer + path }

// Origin is scheme and host of the issuer, as browsers send it in Origin.
func (r *Realm) Origin() string { return r.IssuerURL.Scheme + "://" + r.IssuerURL.Host }

// CookieName names a cookie of the realm: "__Host-portico-patient" for the
// kind "", "__Host-portico-patient-flow" for "flow". Realms that share a host
// share its cookie jar, so the name keeps them apart; the prefix makes browsers
// insist on Secure, Path=/ and no Domain.
func (r *Realm) CookieName(kind string) string {
	name := "__Host-portico-" + r.Name
	if kind != "" {
		name += "-" + kind
	}
	return name
}

// String names the realm, for logs.
func (r *Realm) String() string { return r.Name }
