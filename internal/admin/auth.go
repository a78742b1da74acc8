package admin

import (
	"context"
	"errors"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/web"
)

// Claims is what a verified access token says.
type Claims struct {
	AccountID uuid.UUID // uuid.Nil: no person stands behind the token
	ClientID  string
	Scopes    []string
	AuthTime  time.Time // when the person last proved who they are
	SessionID uuid.UUID
	GrantID   uuid.UUID
}

// Tokens verifies access tokens (RFC 9068 §4): signature, type at+jwt, issuer,
// audience, expiry, grant not revoked, account active. Any error means the
// token is not accepted, unless it is one of the database's.
type Tokens interface {
	VerifyAccessToken(ctx context.Context, r *realm.Realm, raw, audience string) (Claims, error)
}

// caller is the person a request is made for.
type caller struct {
	Claims
	ip netip.Addr
}

func (c caller) has(scope string) bool { return slices.Contains(c.Scopes, scope) }

func (c caller) address() string {
	if !c.ip.IsValid() {
		return ""
	}
	return c.ip.String()
}

type callerKey struct{}

type addressKey struct{}

// authenticate lets a request through that carries a person's access token
// with the scope.
func (a *API) authenticate(scope string) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		c := humagin.Unwrap(ctx)
		who, p := a.identify(ctx.Context(), c.Request.Header.Values("Authorization"))
		if p == nil && !who.has(scope) {
			p = newProblem("scope", "").with("WWW-Authenticate",
				challenge("error", "insufficient_scope", "error_description", "The token lacks a scope", "scope", scope))
			a.recordRefusal(ctx.Context(), who, ctx.Operation().OperationID, "", p)
		}
		if p != nil {
			a.write(c, p)
			return
		}
		if p := oneOfEach(c.Request.URL); p != nil {
			a.write(c, p)
			return
		}
		next(huma.WithValue(ctx, callerKey{}, who))
	}
}

func (a *API) identify(ctx context.Context, headers []string) (caller, *Problem) {
	if len(headers) == 0 {
		return caller{}, newProblem("token_missing", "").with("WWW-Authenticate", challenge())
	}
	refused := func(why string) (caller, *Problem) {
		return caller{}, newProblem("token_invalid", "").with("WWW-Authenticate",
			challenge("error", "invalid_token", "error_description", why))
	}
	scheme, raw, _ := strings.Cut(headers[0], " ")
	if len(headers) > 1 || !strings.EqualFold(scheme, "Bearer") || raw == "" || len(raw) > 8<<10 {
		return refused("One bearer token is expected")
	}
	claims, err := a.d.Tokens.VerifyAccessToken(ctx, a.d.Practice, strings.TrimLeft(raw, " "), a.d.Audience)
	switch {
	case errors.Is(err, database.ErrUnavailable), errors.Is(err, database.ErrRetry),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return caller{}, a.problemOf(ctx, err)
	case err != nil:
		a.log.InfoContext(ctx, "access token refused", "request_id", web.RequestIDFrom(ctx), "reason", err)
		return refused("The token has expired, was revoked or is not for this API")
	case claims.AccountID == uuid.Nil:
		return refused("The token stands for no person")
	}
	ip, _ := ctx.Value(addressKey{}).(netip.Addr)
	return caller{Claims: claims, ip: ip}, nil
}

// oneOfEach refuses a query in which a parameter occurs twice, or which is
// malformed: programs disagree about which one counts.
func oneOfEach(u *url.URL) *Problem {
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return newProblem("bad_request", "The query cannot be read.")
	}
	for name, values := range q {
		if len(values) > 1 {
			p := newProblem("bad_request", "")
			p.Errors = []Invalid{{"query." + name, "is given more than once"}}
			return p
		}
	}
	return nil
}

// freshEnough refuses what needs a recent sign-in (RFC 9470 §3).
func (a *API) freshEnough(ctx context.Context, who caller) error {
	limit := a.d.Practice.Lifetimes.StaffAction
	if age := a.d.DB.Now(ctx).Sub(who.AuthTime); !who.AuthTime.IsZero() && age <= limit {
		return nil
	}
	return newProblem("sign_in_again", "").with("WWW-Authenticate", challenge(
		"error", "insufficient_user_authentication", "error_description", "A more recent sign-in is needed", "max_age", seconds(limit)))
}

// recordRefusal notes that somebody was refused. The refusal stands whether or
// not it can be noted.
func (a *API) recordRefusal(ctx context.Context, who caller, operation, asked string, p *Problem) {
	e := a.event(who, "admin.refused")
	e.Outcome, e.Severity, e.Target, e.PracticeID = audit.Failure, audit.Warning, p.target, p.site
	e.Details = map[string]any{"operation": operation, "problem": p.Code}
	if asked != "" {
		e.Details["asked"] = asked
	}
	if err := a.d.Audit.Record(ctx, e); err != nil {
		a.log.ErrorContext(ctx, "refusal could not be recorded", "request_id", web.RequestIDFrom(ctx), "error", err)
	}
}

// event starts an audit event about something the caller did.
func (a *API) event(who caller, kind string) audit.Event {
	return audit.Event{Realm: a.d.Practice.Name, Kind: kind, Actor: audit.Account(who.AccountID),
		ClientID: who.ClientID, IP: who.address()}
}
