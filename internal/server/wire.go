package server

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/portico-id/portico/config"
	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/admin"
	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/factor"
	"github.com/portico-id/portico/internal/mail"
	"github.com/portico-id/portico/internal/oauth"
	"github.com/portico-id/portico/internal/outbound"
	"github.com/portico-id/portico/internal/practice"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/recovery"
	"github.com/portico-id/portico/internal/secret"
	"github.com/portico-id/portico/internal/session"
	"github.com/portico-id/portico/internal/signin"
	"github.com/portico-id/portico/internal/web"
)

// busyFor is what Retry-After says when the database or the hashing queue
// cannot take more.
const busyFor = 5 * time.Second

// journeys makes the upper rooms and introduces them to each other.
func (r *rooms) journeys(cfg *config.Config, db *database.DB, sealer *secret.Sealer, log *slog.Logger) error {
	r.realms = cfg.Realms()
	calls, err := outboundCalls(cfg)
	if err != nil {
		return err
	}
	r.oauth = oauth.New(oauth.Deps{Outbound: calls, ACRValues: []string{session.Password, session.TwoFactors}, Factors: seconds{r}, DB: db, Keys: r.keys, Sealer: sealer, Sessions: r.sessions, Audit: r.audit, Pages: r.pages, Log: log, Realms: cfg.Set().ByName})
	r.recovery = recovery.NewService(recovery.Deps{DB: db, Accounts: r.accounts, Outbox: r.outbox, Audit: r.audit,
		Limits: r.limits, Realms: cfg.Set().ByName, Log: log})
	r.outbox.OnFinished = r.letterFinished

	patients, staff := realmNames(cfg)
	r.practices = practice.New(db, practice.Realms{Patient: patients, Practice: staff}, r.audit)
	r.factors = factor.NewService(factor.Deps{DB: db, Sealer: sealer, Limits: r.limits, Audit: r.audit, Accounts: r.accounts,
		Sessions: r.sessions, Grants: r.oauth, Duties: duties{r.practices}})
	r.accounts.Connect(account.Peers{Grants: r.oauth, Tickets: r.recovery, Directory: r.practices, Apps: apps{r.oauth}, Practices: r.practices, Factors: r.factors})

	typed := account.NewTyped(sealer)
	flows := authorizations{r.oauth}
	r.accountPages = account.NewHandler(r.pages, r.accounts)
	r.factorPages = factor.NewHandler(r.pages, r.factors, r.accountPages)
	r.recoveryPages = recovery.NewHandler(r.pages, r.recovery, r.sessions, flows, typed)
	r.signins = signin.NewService(signin.Deps{DB: db, Accounts: r.accounts, Factors: r.factors,
		Throttle: r.throttle, Limits: r.limits, Sessions: r.sessions, Grants: r.oauth, Audit: r.audit})
	r.signinPages = signin.NewHandler(r.pages, r.signins, flows, typed, sealer.DeriveKey(signin.DeviceKeyPurpose, 32))
	r.factorPages.OnProved(r.signinPages.Proved)
	if !cfg.AdminAPI.Enabled() {
		return nil
	}
	patientRealm, ok := cfg.Set().ByName(patients)
	if !ok {
		return fmt.Errorf("admin_api: no realm of the kind patient is configured (%s)", cfg.File)
	}
	staffRealm, _ := cfg.Set().ByName(staff)
	r.admin, err = admin.New(admin.Deps{DB: db, Patient: patientRealm, Practice: staffRealm,
		Audience: cfg.AdminAPI.Audience, BaseURL: cfg.AdminAPI.BaseURL, Tokens: bearer{r.oauth}, Accounts: r.accounts,
		People: r.practices, Links: resets{r.recovery}, Timeline: resets{r.recovery}, Waivers: resets{r.recovery}, Factors: r.factors, Letters: r.outbox, Audit: r.audit, Limiter: r.limits,
		Sealer: sealer, Logger: log, Wake: r.outbox.Wake})
	return err
}

// outboundCalls makes the client for addresses of relying parties.
func outboundCalls(cfg *config.Config) (*outbound.Client, error) {
	roots, err := certificates(cfg.Outbound.CAFile)
	if err != nil {
		return nil, err
	}
	o := outbound.Options{Exempt: cfg.Outbound.ExemptHosts}
	if roots != nil {
		o.RootCAs = &tls.Config{RootCAs: roots} //nolint:gosec // only its RootCAs are used
	}
	return outbound.New(o), nil
}

// letterFinished records how letters ended, in the transaction that knows it.
func (r *rooms) letterFinished(ctx context.Context, f mail.Finished) error {
	if f.Kind == mail.Reset || f.Kind == mail.ResetStaff {
		return r.recovery.LetterFinished(ctx, f)
	}
	e := audit.Event{Realm: f.Realm, Kind: "mail." + string(f.State), Actor: "system",
		Details: map[string]any{"letter": string(f.Kind), "attempts": f.Attempts}}
	if f.AccountID != uuid.Nil {
		e.Target = audit.Account(f.AccountID)
	}
	if f.State != mail.Sent {
		e.Outcome, e.Severity = audit.Failure, audit.High
		e.Details["error"] = f.Error
	}
	return r.audit.Record(ctx, e)
}

// realmNames finds the realm of guardians and the realm of staff.
func realmNames(cfg *config.Config) (patients, staff string) {
	staff = cfg.AdminAPI.Realm
	for _, r := range cfg.Realms() {
		switch {
		case r.Kind == realm.Patient && patients == "":
			patients = r.Name
		case r.Kind == realm.Practice && staff == "":
			staff = r.Name
		}
	}
	return patients, staff
}

// routes is everything that is served in public, at a glance.
func (r *rooms) routes(cfg *config.Config, reg prometheus.Registerer) http.Handler {
	observed := observe(reg)
	countHashes(reg, r.hasher)
	engine := newEngine(traceRequests(), observed, r.pages.Middleware(), admit(r.hasher))
	engine.NoRoute(r.pages.NotFound())
	engine.NoMethod(r.pages.MethodNotAllowed())
	r.pages.Mount(engine)
	r.oauth.Mount(engine)
	r.signinPages.Mount(engine)
	r.recoveryPages.Mount(engine)
	r.accountPages.Mount(engine)
	r.factorPages.Mount(engine)
	engine.GET("/", web.Handle(home))

	outside := newEngine(traceRequests(), observed, r.pages.Middleware())
	outside.NoRoute(r.pages.Misdirected())
	outside.NoMethod(r.pages.Misdirected())
	r.pages.Mount(outside)
	rt := &router{realms: cfg.Set(), pages: safeHeads(engine), outside: web.HeadAsGet(outside)}
	if r.admin != nil {
		api := newEngine(traceRequests(), observed, r.pages.Middleware())
		r.admin.Mount(api)
		rt.admin, rt.adminHost = api, hostOf(cfg.AdminAPI.BaseURL)
	}
	return rt
}

// safeHeads answers HEAD as GET, but for the two addresses where a GET changes
// something: what only looks at a link must neither sign in nor out.
func safeHeads(engine http.Handler) http.Handler {
	heads := web.HeadAsGet(engine)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/oauth/authorize" || r.URL.Path == "/oauth/logout" {
			engine.ServeHTTP(w, r)
			return
		}
		heads.ServeHTTP(w, r)
	})
}

// home is the issuer's own address, which people see in their address bar.
func home(c *gin.Context) error {
	c.Redirect(http.StatusSeeOther, realm.From(c.Request.Context()).URL("/account"))
	return nil
}

// gin's debug mode prints every route at start.
func init() { gin.SetMode(gin.ReleaseMode) }

// newEngine is gin without its surprises: no redirects (a redirected POST would
// repeat a password, RFC 9700 §4.12), no trusted proxies, no logger of its own,
// which would print queries.
func newEngine(middleware ...gin.HandlerFunc) *gin.Engine {
	e := gin.New()
	e.RedirectTrailingSlash, e.RedirectFixedPath = false, false
	e.HandleMethodNotAllowed = true
	_ = e.SetTrustedProxies(nil) // no error without proxies
	e.Use(middleware...)
	return e
}
