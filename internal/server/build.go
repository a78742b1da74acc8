package server

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/portico-id/portico/config"
	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/admin"
	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/factor"
	"github.com/portico-id/portico/internal/keyring"
	"github.com/portico-id/portico/internal/locale"
	"github.com/portico-id/portico/internal/mail"
	"github.com/portico-id/portico/internal/oauth"
	"github.com/portico-id/portico/internal/password"
	"github.com/portico-id/portico/internal/practice"
	"github.com/portico-id/portico/internal/ratelimit"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/recovery"
	"github.com/portico-id/portico/internal/secret"
	"github.com/portico-id/portico/internal/session"
	"github.com/portico-id/portico/internal/signin"
	"github.com/portico-id/portico/internal/web"
	"github.com/portico-id/portico/templates"
)

// rooms is every room, built once, from the ground up.
type rooms struct {
	catalog   *locale.Catalog
	pages     *web.Pages
	keys      *keyring.Keyring
	audit     *audit.Log
	limits    *ratelimit.Limiter
	outbox    *mail.Outbox
	sessions  *session.Manager
	hasher    *password.Hasher
	throttle  *account.Throttle
	accounts  *account.Service
	practices *practice.Store
	factors   *factor.Service
	recovery  *recovery.Service
	oauth     *oauth.Provider
	realms    []*realm.Realm
	admin     *admin.API // nil when the configuration has none

	accountPages  *account.Handler
	factorPages   *factor.Handler
	recoveryPages *recovery.Handler
	signinPages   *signin.Handler
	signins       *signin.Service
}

// look finds the operator's replacements (nil: none) and reads the sentences.
func look(cfg *config.Config) (override fs.FS, catalog *locale.Catalog, err error) {
	if cfg.TemplatesDir != "" {
		override = os.DirFS(cfg.TemplatesDir)
	}
	catalog, err = locale.Load(web.Overlay(templates.FS, override))
	if err != nil {
		return nil, nil, fmt.Errorf("read locales: %w", err)
	}
	return override, catalog, nil
}

func newPages(cfg *config.Config, catalog *locale.Catalog, override fs.FS, csrfKey []byte, log *slog.Logger) (*web.Pages, error) {
	pages, err := web.NewPages(templates.FS, override, catalog, web.Options{
		CSRFKey: csrfKey, TrustedProxies: cfg.TrustedProxies, Log: log, Classify: classify, MaxBody: cfg.Limits.BodyBytes})
	if err != nil {
		return nil, fmt.Errorf("read templates: %w", err)
	}
	if err := pages.Check(cfg.Realms()); err != nil {
		return nil, fmt.Errorf("check templates: %w", err)
	}
	return pages, nil
}

// Check finds what a configuration can be wrong in beyond its text: templates,
// sentences, certificate, blocklists. It starts and writes nothing.
func Check(_ context.Context, cfg *config.Config) error {
	override, catalog, err := look(cfg)
	if err != nil {
		return err
	}
	if _, err := newPages(cfg, catalog, override, make([]byte, 32), slog.New(slog.DiscardHandler)); err != nil {
		return err
	}
	if _, err := tlsConfig(cfg.TLS.Cert, cfg.TLS.Key); err != nil {
		return err
	}
	_, err = blocklist(cfg)
	return err
}

// classify gives pages to errors of rooms that know no pages.
func classify(err error) *web.Error {
	for _, passing := range []error{password.ErrBusy, database.ErrUnavailable, database.ErrRetry, database.ErrReadOnly} {
		if errors.Is(err, passing) {
			return web.Busy(busyFor, err)
		}
	}
	return nil
}

func blocklist(cfg *config.Config) (*password.Blocklist, error) {
	var extra []io.Reader
	for _, name := range cfg.Blocklists {
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("blocklist: %w", err)
		}
		defer f.Close()
		extra = append(extra, f)
	}
	list, err := password.NewBlocklist(extra...)
	if err != nil {
		return nil, fmt.Errorf("blocklist: %w", err)
	}
	return list, nil
}

// build makes the rooms. The order is that of the map, from the ground up.
func build(cfg *config.Config, db *database.DB, reg prometheus.Registerer, log *slog.Logger) (*rooms, error) {
	sealer, err := secret.NewSealer([]byte(cfg.KeyEncryptionKey.Reveal()))
	if err != nil {
		return nil, err
	}
	override, catalog, err := look(cfg)
	if err != nil {
		return nil, err
	}
	tellGaps(cfg, catalog, log)
	r := &rooms{catalog: catalog, limits: ratelimit.New(db), sessions: session.NewManager(db)}
	if r.pages, err = newPages(cfg, catalog, override, sealer.DeriveKey("csrf", 32), log); err != nil {
		return nil, err
	}
	r.keys = keyring.New(db, sealer, log)
	if r.audit, err = audit.New(db, audit.Options{
		Keys: [][]byte{sealer.DeriveKey(audit.KeyPurpose, 32)}, Logger: log, Metrics: reg}); err != nil {
		return nil, err
	}
	r.keys.OnMade(func(ctx context.Context, k keyring.Made) error {
		return r.audit.Record(ctx, audit.Event{Realm: k.Realm, Kind: "key.made", Actor: "system",
			Details: map[string]any{"alg": k.Alg, "kid": k.KID}})
	})
	if r.outbox, err = newOutbox(cfg, db, sealer, override, catalog, reg, log); err != nil {
		return nil, err
	}
	list, err := blocklist(cfg)
	if err != nil {
		return nil, err
	}
	r.throttle = account.NewThrottle(r.limits)
	r.hasher = password.NewHasher(cfg.Argon2.Params, []byte(cfg.Pepper.Reveal()), password.PoolOptions{Concurrency: cfg.Argon2.Concurrency})
	r.accounts = account.NewService(account.Deps{
		DB: db, Hasher: r.hasher,
		Blocklist: list, Sessions: r.sessions, Outbox: r.outbox, Audit: r.audit, Throttle: r.throttle, Catalog: catalog})
	if err := r.journeys(cfg, db, sealer, log); err != nil {
		return nil, err
	}
	r.oauth.Measure(reg)
	return r, nil
}

func newOutbox(cfg *config.Config, db *database.DB, sealer *secret.Sealer, override fs.FS, catalog *locale.Catalog,
	reg prometheus.Registerer, log *slog.Logger) (*mail.Outbox, error) {
	renderer, err := mail.NewRenderer(templates.FS, override, catalog)
	if err != nil {
		return nil, fmt.Errorf("read letters: %w", err)
	}
	smtp := cfg.Mail.SMTP
	roots, err := certificates(smtp.CAFile)
	if err != nil {
		return nil, err
	}
	sender, err := mail.NewSMTP(mail.SMTPOptions{Host: smtp.Host, Port: smtp.Port, User: smtp.Username,
		Password: smtp.Password, TLS: smtp.TLS, RootCAs: roots})
	if err != nil {
		return nil, err
	}
	return mail.New(mail.Options{DB: db, Sealer: sealer, Realms: cfg.Set().ByName, Renderer: renderer, Sender: sender,
		From: cfg.Mail.From, ReplyTo: cfg.Mail.ReplyTo, Logger: log, Metrics: reg})
}

// certificates are the system's and those of file; nil: the system's alone.
func certificates(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("certificates: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("certificates: %s holds none", file)
	}
	return pool, nil
}
