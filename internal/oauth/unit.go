package oauth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/ory/fosite"

	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/secret"
)

// maxRepeats bounds how often one refresh may be asked for again.
const maxRepeats = 10

// flushTimeout is how long writing may take, also when the client is gone.
const flushTimeout = 10 * time.Second

var (
	// errLost says that a code or token was spent between the read and the write.
	errLost = errors.New("spent by another request")
	// errRepeat says that a refresh may not be repeated any more.
	errRepeat = errors.New("repeated too often or too late")
	// errNotLive says that session, account or consent are not what they were.
	errNotLive = errors.New("the sign-in is over")
)

// Why a grant was revoked, in its column revoke_reason.
const (
	reasonCodeReplay  = "code_replayed"
	reasonReuse       = "refresh_token_reused"
	reasonClient      = "revoked_by_client"
	reasonSignOut     = "signed_out"
	aloneTokenRequest = "jti:" // prefix of the request id of a token without a grant
)

// purpose is the endpoint a unit works for.
type purpose int

const (
	forAuthorize purpose = iota
	forToken
	forRevocation
)

// unit is one request's work: what it read, and what it will write in one
// batch. fosite's handlers find it in the context. It belongs to one goroutine.
type unit struct {
	p       *Provider
	realm   *realm.Realm
	purpose purpose
	now     time.Time
	mark    uuid.UUID // on the rows this request claims
	ip      string

	client    *realm.Client  // who asks, once authenticated
	mayCache  bool           // the read of a code or token will tell whether a remembered client is out of date
	assertion *write         // spends the client's assertion, whatever becomes of the request
	authorize *authorization // for forAuthorize
	grant     *grant         // for forAuthorize: the one to be stored
	consent   consentRule

	code    *codeRow
	refresh *refreshRow
	request *fosite.Request // what code or refresh stand for: hydrated once, handed out unchanged

	presented secret.Token // the refresh token that was sent

	resources     []string      // the access token is for these alone (RFC 8707); none: for all of the grant
	accessExpires time.Time     // of the access token that was made
	reuse         *reuse        // a code or token that was spent before was presented
	writes        []write       // dropped when the request fails
	protect       []write       // written even then
	events        []audit.Event // with writes
	alarms        []audit.Event // with protect
	failed        error         // the first error of the database
}

// reuse is the end of a family: whoever brings it about raises the alarm, once.
type reuse struct {
	ends  write
	alarm audit.Event
}

type unitKey struct{}

func (p *Provider) newUnit(ctx context.Context, r *realm.Realm, why purpose) (context.Context, *unit) {
	u := &unit{p: p, realm: r, purpose: why, now: p.db.Now(ctx), mark: database.NewID()}
	return context.WithValue(ctx, unitKey{}, u), u
}

func unitFrom(ctx context.Context) *unit {
	u, ok := ctx.Value(unitKey{}).(*unit)
	if !ok {
		panic("oauth: no unit of work in the context")
	}
	return u
}

// flush writes everything in one round trip: what protects the person always,
// the rest when the request succeeded. It does not stop because the client
// went away; half a reaction to a theft would be worse than none.
func (u *unit) flush(ctx context.Context, ok bool) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
	defer cancel()
	if u.reuse == nil {
		return u.write(ctx, ok)
	}
	return u.p.db.InTx(ctx, func(ctx context.Context) error {
		ended, err := u.p.db.Exec(ctx, u.reuse.ends.query, u.reuse.ends.args...)
		if err != nil {
			return fmt.Errorf("end the family: %w", err)
		}
		if ended > 0 { // else somebody was faster, and has said so
			u.alarms = append(u.alarms, u.reuse.alarm)
		}
		return u.write(ctx, ok)
	})
}

func (u *unit) write(ctx context.Context, ok bool) error {
	var b database.Batch
	if u.assertion != nil {
		b.Queue(u.assertion.query, u.assertion.args...)
	}
	for _, w := range u.protect {
		b.Queue(w.query, w.args...)
	}
	for _, e := range u.alarms {
		u.p.audit.Queue(ctx, &b, e)
	}
	var writes []write
	first := b.Len()
	if ok {
		writes = u.writes
		for _, w := range writes {
			b.Queue(w.query, w.args...)
		}
		for _, e := range u.events {
			u.p.audit.Queue(ctx, &b, e)
		}
	}
	if b.Len() == 0 {
		return nil
	}
	counts, err := u.p.db.Batch(ctx, &b)
	if errors.Is(err, database.ErrForeignKey) && u.purpose == forAuthorize {
		return errNotLive // see insertCode
	}
	if errors.Is(err, database.ErrUnique) && u.assertion != nil {
		return errReplayed // and nothing of this batch was written
	}
	if err != nil {
		return fmt.Errorf("write: %w", err)
	}
	for i, w := range writes {
		if w.lost != nil && counts[first+i] == 0 {
			return w.lost
		}
	}
	return nil
}

// revoke ends a grant whatever becomes of the request.
func (u *unit) revoke(id uuid.UUID) {
	reason, event := reasonClient, audit.Event{Kind: "grant.revoked", Actor: u.actor()}
	switch {
	case u.purpose == forToken && u.code != nil:
		reason = reasonCodeReplay
		event = audit.Event{Kind: "token.reuse_detected", Outcome: audit.Failure, Severity: audit.High, Actor: u.actor()}
	case u.purpose == forToken:
		reason = reasonReuse
		event = audit.Event{Kind: "token.reuse_detected", Outcome: audit.Failure, Severity: audit.High, Actor: u.actor()}
	}
	event.Realm, event.ClientID, event.IP = u.realm.Name, u.client.ID, u.ip
	event.Details = map[string]any{"grant": id.String(), "reason": reason}
	if u.request != nil {
		if s, ok := u.request.Session.(*signIn); ok && s.grant != nil {
			event.Target = audit.Account(s.grant.AccountID)
		}
	}
	ends := revokeGrant(u.realm.Name, u.now, id, reason)
	if u.purpose == forToken {
		u.reuse = &reuse{ends, event}
		return
	}
	u.protect = append(u.protect, ends)
	u.alarms = append(u.alarms, event)
}

func (u *unit) actor() string {
	if u.client == nil {
		return "anonymous"
	}
	return audit.Client(u.client.ID)
}

// hydrate makes the request that a grant stands for, once.
func (u *unit) hydrate(g *grant, nonce string, form map[string][]string) *fosite.Request {
	of := u.client
	if of.ID != g.ClientID {
		of = &realm.Client{ID: g.ClientID, AuthMethod: realm.AuthBasic} // only its name is compared
	}
	u.request = &fosite.Request{
		ID: g.ID.String(), RequestedAt: u.now, Client: client{of, u.realm.Issuer}, Form: form, Session: newSignIn(g, u.p.subject(u.realm, of, g.AccountID), nonce),
		RequestedScope: g.Scopes, GrantedScope: g.Scopes,
		RequestedAudience: g.Audiences, GrantedAudience: g.Audiences,
	}
	return u.request
}

// fail keeps the first error of the database for the answer: what fosite makes
// of it may read like a refusal.
func (u *unit) fail(err error) error {
	if u.failed == nil {
		u.failed = err
	}
	return err
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
