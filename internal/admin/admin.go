package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"runtime/debug"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/mail"
	"github.com/portico-id/portico/internal/practice"
	"github.com/portico-id/portico/internal/ratelimit"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/secret"
	"github.com/portico-id/portico/internal/web"
)

// Accounts changes people's accounts. *account.Service is it; all methods join
// the caller's transaction.
type Accounts interface {
	Lock(ctx context.Context, realm string, id uuid.UUID) (account.Account, error)
	// ChangeEmail voids links and invitations, tells both addresses and has
	// the search keys rewritten.
	ChangeEmail(ctx context.Context, r *realm.Realm, id uuid.UUID, version int64, email string, by account.By) (account.Account, error)
	Invite(ctx context.Context, r *realm.Realm, id uuid.UUID, by account.By) error
	Invitations
	Helps
}

// Invitations are the parts of Accounts that bring new people in.
type Invitations interface {
	Create(ctx context.Context, r *realm.Realm, n account.New) (account.Account, error)
	FindByEmail(ctx context.Context, realm, email string) (account.Account, error)
	CancelInvitation(ctx context.Context, r *realm.Realm, id uuid.UUID, by account.By) error
	// LastInvited is when the invitation was sent that still works.
	LastInvited(ctx context.Context, id uuid.UUID) (time.Time, error)
	InvitedSince(ctx context.Context, id uuid.UUID, since time.Time) (int, error)
}

// Factors are people's second factors. factor has it.
type Factors interface {
	Of(ctx context.Context, accountID uuid.UUID) (account.FactorSummary, error)
	// RemoveAll takes them all away and tells the person, in the caller's
	// transaction.
	RemoveAll(ctx context.Context, r *realm.Realm, accountID uuid.UUID, by account.By) error
}

// Letters queues letters. *mail.Outbox is it.
type Letters interface {
	Queue(ctx context.Context, l mail.Letter) (uuid.UUID, error)
}

// Limits bound how often one person may ask.
type Limits struct {
	SearchesPerMinute int // and other looks at people
	ChangesPerHour    int // everything that changes something
	InvitationsPerDay int // of a practice, by all of its staff
	// EmailChangesPerDay bounds tries to change a login email, each of which
	// tells whether an address is taken.
	EmailChangesPerDay int
}

// Deps is what the API is made of.
type Deps struct {
	DB       *database.DB
	Patient  *realm.Realm // guardians' accounts
	Practice *realm.Realm // staff accounts; its tokens are accepted
	Audience string       // aud of the tokens
	BaseURL  string       // "https://id.example.test"; the API is at /admin/v1 below

	Tokens   Tokens
	Accounts Accounts
	People   *practice.Store
	Links    Links
	Timeline Timeline
	Waivers  Waivers
	Factors  Factors // nil: there are none
	Letters  Letters
	Audit    *audit.Log
	Limiter  *ratelimit.Limiter
	Sealer   *secret.Sealer
	Logger   *slog.Logger

	Limits Limits // zero values: those of the practice realm's policy
	Wake   func() // called after letters were queued and committed; may be nil
}

// API serves /admin/v1. Make it with New.
type API struct {
	d    Deps
	base string // absolute address of the API, without a slash at its end
	log  *slog.Logger
	mux  *gin.Engine
	huma huma.API
}

// Path is where the API is on its host.
const Path = "/admin/v1"

// New makes the API with all its routes; Mount puts them on a server.
func New(d Deps) (*API, error) {
	if d.DB == nil || d.Patient == nil || d.Practice == nil || d.Tokens == nil || d.Accounts == nil || d.People == nil ||
		d.Links == nil || d.Timeline == nil || d.Waivers == nil || d.Letters == nil || d.Audit == nil || d.Limiter == nil || d.Sealer == nil {
		return nil, errors.New("admin: a dependency is missing")
	}
	if d.Audience == "" || !strings.Contains(d.BaseURL, "://") {
		return nil, errors.New("admin: an audience and an absolute base address are needed")
	}
	if d.Logger == nil {
		d.Logger = slog.Default()
	}
	if d.Limits.SearchesPerMinute == 0 {
		d.Limits.SearchesPerMinute = d.Practice.Staff.LooksPerMinute
	}
	if d.Limits.ChangesPerHour == 0 {
		d.Limits.ChangesPerHour = d.Practice.Staff.ChangesPerHour
	}
	if d.Limits.InvitationsPerDay == 0 {
		d.Limits.InvitationsPerDay = d.Practice.Staff.InvitationsPerDay
	}
	if d.Limits.EmailChangesPerDay == 0 {
		d.Limits.EmailChangesPerDay = d.Practice.Staff.EmailChangesPerDay
	}
	base := strings.TrimSuffix(strings.TrimRight(d.BaseURL, "/"), Path) + Path
	a := &API{d: d, base: base, log: d.Logger}

	// The API has an engine of its own, so that unknown routes and methods
	// below its path are problem documents and not the realms' HTML pages.
	a.mux = gin.New()
	a.mux.RedirectTrailingSlash = false
	a.mux.HandleMethodNotAllowed = true
	_ = a.mux.SetTrustedProxies(nil)
	a.mux.Use(a.recoverPanic)
	a.mux.NoRoute(func(c *gin.Context) { a.write(c, newProblem("not_found", "There is no such address in this API.")) })
	a.mux.NoMethod(func(c *gin.Context) { a.write(c, newProblem("method", "")) })

	group := a.mux.Group(Path)
	a.huma = huma.NewAPI(a.config(), adapter{group})
	a.routes()
	description, err := a.description()
	if err != nil {
		return nil, fmt.Errorf("describe the admin API: %w", err)
	}
	group.GET("/openapi.json", func(c *gin.Context) {
		c.Header("Cache-Control", "public, max-age=300")
		c.Data(http.StatusOK, "application/json", description)
	})
	group.GET("/problems/:code", a.problemPage)
	return a, nil
}

// Mount puts the API under Path. The middleware of the router it is mounted on
// runs first: request id, trusted proxies, access log.
func (a *API) Mount(r gin.IRouter) {
	serve := func(c *gin.Context) {
		h := c.Writer.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		ctx := context.WithValue(c.Request.Context(), addressKey{}, web.ClientIP(c))
		a.mux.ServeHTTP(c.Writer, c.Request.WithContext(ctx))
		c.Abort()
	}
	r.Any(Path, serve)
	r.Any(Path+"/*path", serve)
}

// adapter lets huma register on a gin group; humagin's own constructor asks
// for an engine it does not need.
type adapter struct{ group *gin.RouterGroup }

func (a adapter) Handle(op *huma.Operation, handler func(huma.Context)) {
	path := strings.NewReplacer("{", ":", "}", "").Replace(op.Path)
	a.group.Handle(op.Method, path, func(c *gin.Context) { handler(humagin.NewContext(op, c)) })
}

func (a adapter) ServeHTTP(http.ResponseWriter, *http.Request) {
	panic("admin: requests come in through Mount")
}

func (a *API) recoverPanic(c *gin.Context) {
	defer func() {
		caught := recover()
		if caught == nil {
			return
		}
		if err, ok := caught.(error); ok && errors.Is(err, http.ErrAbortHandler) {
			panic(caught)
		}
		ctx := c.Request.Context()
		a.log.ErrorContext(ctx, "panic", "request_id", web.RequestIDFrom(ctx), "route", c.FullPath(),
			"panic", fmt.Sprint(caught), "stack", string(debug.Stack()))
		if !c.Writer.Written() {
			a.write(c, newProblem("internal", ""))
		}
	}()
	c.Next()
}

// routes is the whole API at a glance.
func (a *API) routes() {
	register(a, me, a.me)
	register(a, listPatients, a.listPatients)
	register(a, getPatient, a.getPatient)
	register(a, getAssociation, a.getAssociation)
	register(a, changeLoginEmail, a.changeLoginEmail)
	register(a, sendReset, a.sendReset)
	register(a, getReset, a.getReset)
	register(a, cancelReset, a.cancelReset)
	register(a, requestWaiver, a.requestWaiver)
	register(a, approveWaiver, a.approveWaiver)

	register(a, inviteGuardian, a.inviteGuardian)
	register(a, resendInvitation, a.resendInvitation)
	register(a, cancelInvitation, a.cancelInvitation)
	register(a, cancelEmailChange, a.cancelEmailChange)
	register(a, unfreeze, a.unfreeze)
	register(a, removeFactors, a.removeFactors)

	register(a, listStaff, a.listStaff)
	register(a, inviteStaff, a.inviteStaff)
	register(a, getStaff, a.getStaff)
	register(a, changeRoles, a.changeRoles)
	register(a, removeStaff, a.removeStaff)
	register(a, resendStaffInvitation, a.resendStaffInvitation)
	register(a, unfreezeStaff, a.unfreezeStaff)
}

// register puts an operation behind its checks: token and scope, rate limit,
// strict body, then huma's validation, then do.
func register[I, O any](a *API, o operation, do func(context.Context, caller, *I) (*O, error)) {
	op := a.operation(o)
	op.Middlewares = huma.Middlewares{a.authenticate(o.scope), a.limit(o)}
	if body, ok := bodyOf[I](); ok {
		op.Middlewares = append(op.Middlewares, a.strictBody(body))
	}
	huma.Register(a.huma, op, func(ctx context.Context, in *I) (*O, error) {
		who := ctx.Value(callerKey{}).(caller)
		out, err := do(ctx, who, in)
		if err == nil {
			return out, nil
		}
		p := a.problemOf(ctx, err)
		switch {
		case p.Status == http.StatusForbidden, p.Status == http.StatusConflict, p.Code == "sign_in_again":
			a.recordRefusal(ctx, who, o.id, p.asked, p)
		case p.Code == "too_many": // what the middleware lets past is a limit on guessing
			a.recordRefusal(ctx, who, o.id, "", p)
		case p.Status == http.StatusNotFound: // trying other practices' ids must leave a trace
			a.recordRefusal(ctx, who, o.id, askedFor(in), p)
		}
		return nil, a.finish(ctx, p)
	})
}

// askedFor is the identifier in the path of a request, if it is one.
func askedFor(in any) string {
	field := reflect.Indirect(reflect.ValueOf(in)).FieldByName("ID")
	if !field.IsValid() || field.Kind() != reflect.String {
		return ""
	}
	id, err := uuid.Parse(field.String())
	if err != nil {
		return ""
	}
	return id.String()
}

// limit counts what a person asks for, before it is looked at. The counters
// are shared by all replicas.
func (a *API) limit(o operation) func(huma.Context, func(huma.Context)) {
	name, limit, window := "admin.look", a.d.Limits.SearchesPerMinute, time.Minute
	if o.scope == realm.ScopeAdminManage {
		name, limit, window = "admin.change", a.d.Limits.ChangesPerHour, time.Hour
	}
	return func(ctx huma.Context, next func(huma.Context)) {
		who := ctx.Context().Value(callerKey{}).(caller)
		key := name + ":" + a.d.Practice.Name + ":" + who.AccountID.String()
		ok, after, err := a.d.Limiter.Allow(ctx.Context(), key, limit, window)
		switch {
		case err != nil:
			a.write(humagin.Unwrap(ctx), a.problemOf(ctx.Context(), err))
		case !ok:
			a.write(humagin.Unwrap(ctx), newProblem("too_many", "").with("Retry-After", seconds(after)))
		default:
			next(ctx)
		}
	}
}

func (a *API) wake() {
	if a.d.Wake != nil {
		a.d.Wake()
	}
}

// today is the date where the practices are, by the database's clock.
func (a *API) today(ctx context.Context) string {
	return a.d.DB.Now(ctx).In(a.d.Practice.TimeZone).Format(time.DateOnly)
}

// CleanUp deletes idempotency keys whose day is over, 1,000 at a time with a
// pause, and what practice keeps about invitations for a time.
func (a *API) CleanUp(ctx context.Context) error {
	err := a.d.DB.InSteps(ctx, `
		DELETE FROM idempotency_keys WHERE expires_at <= $1 AND (actor_id, key) IN (
			SELECT actor_id, key FROM idempotency_keys WHERE expires_at <= $1 ORDER BY expires_at LIMIT 1000)`, a.d.DB.Now(ctx))
	if err != nil {
		return fmt.Errorf("clean up idempotency keys: %w", err)
	}
	return a.d.People.CleanUp(ctx)
}
