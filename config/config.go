package config

import (
	"net/netip"
	"time"

	"github.com/portico-id/portico/internal/password"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/secret"
)

// Config is a complete, checked configuration.
type Config struct {
	File string // where it came from, for messages

	Database       Database
	Listen         string // host:port of the public listener
	PrivateListen  string // host:port of /healthz, /readyz and /metrics
	TLS            TLS
	TrustedProxies []netip.Prefix // whose X-Forwarded-For is believed

	KeyEncryptionKey secret.Text // 32 raw bytes
	Pepper           secret.Text // 32 raw bytes or more

	Mail         Mail
	Telemetry    Telemetry
	Log          Log
	AdminAPI     AdminAPI
	Argon2       Argon2
	Blocklists   []string // files with passwords to refuse, beside the built-in list
	Limits       Limits
	Outbound     Outbound
	TemplatesDir string // files here replace built-in templates of the same name

	TestPeople []TestPerson

	// Warnings are things that work and are probably not meant.
	Warnings Problems

	realms *realm.Set
}

// Realms lists the realms in the order of the file.
func (c *Config) Realms() []*realm.Realm { return c.realms.All() }

// Set is the realms as the router needs them.
func (c *Config) Set() *realm.Set { return c.realms }

// Database says where the data is.
type Database struct {
	URL      secret.Text // "sqlite:/path/file.db" or "postgres://…"; may hold a password
	MaxConns int         // 0: the database package's choice
}

// TLS is the certificate of the public listener; empty behind a proxy.
type TLS struct{ Cert, Key string }

// Enabled reports whether the server speaks TLS itself.
func (t TLS) Enabled() bool { return t.Cert != "" }

// Mail is how letters leave.
type Mail struct {
	SMTP    SMTP
	From    string // "Name <address>" or an address
	ReplyTo string
}

// SMTP is the server that takes letters.
type SMTP struct {
	Host     string
	Port     int
	Username string
	Password secret.Text
	TLS      string // starttls, implicit, none
	CAFile   string // certificates to trust beside the system's
}

// Telemetry says where traces go.
type Telemetry struct {
	Traces   string // none, stdout, otlp
	Endpoint string // OTLP over HTTP
}

// Log says what is logged, and how.
type Log struct {
	Level  string // debug, info, warn, error
	Format string // json, text
}

// AdminAPI is the API for staff; the zero value means there is none.
type AdminAPI struct {
	Realm    string // the realm whose accounts are staff
	Audience string // what access tokens for it are for
	BaseURL  string // scheme, host and port under which /admin/v1 is found
}

// Enabled reports whether the admin API is served.
func (a AdminAPI) Enabled() bool { return a.Realm != "" }

// Argon2 is the cost of hashing passwords.
type Argon2 struct {
	Params      password.Params
	Concurrency int // 0: as many as CPUs, or as fit a quarter of the memory
}

// Limits bound what one request may cost.
type Limits struct {
	BodyBytes    int64
	HeaderBytes  int
	ReadTimeout  time.Duration
	WriteTimeout time.Duration
	IdleTimeout  time.Duration
	Drain        time.Duration // how long running requests may take after SIGTERM
}
