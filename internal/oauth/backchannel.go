package oauth

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/oauth/token"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/session"
)

const (
	// logoutTokenLife is how long a logout token counts: it is made when it is
	// sent, so clocks that differ are all it has to bridge.
	logoutTokenLife = 2 * time.Minute
	// logoutGiveUp is how long a client is told again that a session has ended.
	// Its refresh tokens are dead anyway.
	logoutGiveUp = 2 * time.Hour

	logoutFirstRetry = 2 * time.Second
	logoutMostRetry  = 5 * time.Minute
	logoutLease      = 30 * time.Second // far above what an attempt may take
	logoutPoll       = time.Second
	logoutPollFirst  = 20 * time.Millisecond
	logoutParallel   = 8
	logoutKeep       = 7 * 24 * time.Hour
)

// errLostDelivery says that another worker has the delivery now.
var errLostDelivery = errors.New("the lease of the logout delivery is lost")

// logoutAnswer bounds what is read of a client's answer; nothing is made of it.
const logoutAnswer = 16 << 10

// delivery is a logout token that a client still has to get. attempt fences:
// what it did not claim last, a worker cannot record.
type delivery struct {
	id, session                 uuid.UUID
	realm, client, subject, alg string
	uri                         string
	attempt                     int64
	created, notAfter           time.Time
}

// sessionsEnded queues a logout token for every client that the sessions were
// used for (OpenID Connect Back-Channel Logout §2.3). It runs in the
// transaction that ends them, whoever does: sign-out, a new password, a
// disabled account, the list of devices.
func (p *Provider) sessionsEnded(ctx context.Context, ended []session.Ended, _ string) error {
	now := p.db.Now(ctx)
	for _, s := range ended {
		r, ok := p.realms(s.Realm)
		if !ok {
			continue // not configured any more: it has no clients either
		}
		clients, err := p.clientsOf(ctx, r, s.ID)
		if err != nil {
			return err
		}
		for _, c := range clients {
			if c.BackchannelLogoutURI == "" {
				continue
			}
			_, err := p.db.Exec(ctx, `
				INSERT INTO logout_deliveries (id, realm, client_id, session_id, subject, uri, alg, state,
					next_attempt_at, not_after, created_at)
				VALUES ($1, $2, $3, $4, $5, $6, $7, 'queued', $8, $9, $8)`,
				database.NewID(), r.Name, c.ID, s.ID, p.subject(r, c, s.AccountID), c.BackchannelLogoutURI,
				logoutAlg(r, c), now, now.Add(logoutGiveUp))
			if err != nil {
				return fmt.Errorf("queue logout token: %w", err)
			}
		}
	}
	p.wakeLogouts()
	return nil
}

// logoutAlg is the algorithm the client knows from its ID tokens.
func logoutAlg(r *realm.Realm, c *realm.Client) string {
	if c.IDTokenAlg == realm.ES256 || c.IDTokenAlg == realm.RS256 {
		return c.IDTokenAlg
	}
	return r.OAuth.IDTokenAlg
}

// clientsOf lists the clients that a session was used for, by id.
func (p *Provider) clientsOf(ctx context.Context, r *realm.Realm, sessionID uuid.UUID) ([]*realm.Client, error) {
	rows, err := p.db.Query(ctx, `
		SELECT DISTINCT client_id FROM grants WHERE session_id = $1 AND realm = $2 ORDER BY client_id`, sessionID, r.Name)
	ids, err := database.Collect(rows, err, func(rows *database.Rows) (id string, err error) {
		err = rows.Scan(&id)
		return id, err
	})
	if err != nil {
		return nil, fmt.Errorf("find the clients of a session: %w", err)
	}
	var clients []*realm.Client
	for _, id := range ids {
		c, err := p.findClient(ctx, r, id)
		switch {
		case errors.Is(err, errNoClient): // its registration is gone
		case err != nil:
			return nil, fmt.Errorf("find a client of a session: %w", err)
		default:
			clients = append(clients, c)
		}
	}
	return clients, nil
}

func (p *Provider) wakeLogouts() {
	select {
	case p.logoutWake <- struct{}{}:
	default:
	}
}

// LogoutWorker delivers logout tokens until ctx ends, then waits for those that
// are under way. Any number of replicas may run it.
func (p *Provider) LogoutWorker(ctx context.Context) error {
	var under sync.WaitGroup
	defer under.Wait()
	slots := make(chan struct{}, logoutParallel)
	poll := logoutPollFirst
	for {
		select {
		case <-ctx.Done():
			return nil
		case slots <- struct{}{}:
		}
		d, err := p.claimLogout(ctx)
		if err == nil {
			under.Go(func() {
				defer func() { <-slots; p.wakeLogouts() }()
				p.deliverLogout(ctx, d)
			})
			poll = logoutPollFirst
			continue
		}
		<-slots
		if !errors.Is(err, database.ErrNoRows) && ctx.Err() == nil {
			p.log.Error("the queue of logout tokens could not be read, trying again", "error", err)
			poll = logoutPoll
		}
		select {
		case <-ctx.Done():
			return nil
		case <-p.logoutWake:
			poll = logoutPollFirst
		case <-time.After(poll):
			poll = min(2*poll, logoutPoll)
		}
	}
}

// DeliverLogouts makes one attempt for everything that is due at this moment
// and returns how many those were.
func (p *Provider) DeliverLogouts(ctx context.Context) (int, error) {
	for n := 0; ; n++ {
		d, err := p.claimLogout(ctx)
		if errors.Is(err, database.ErrNoRows) {
			return n, nil
		}
		if err != nil {
			return n, fmt.Errorf("claim logout token: %w", err)
		}
		p.deliverLogout(ctx, d)
	}
}

const logoutDue = `state = 'queued' AND next_attempt_at <= $1 AND (lease_until IS NULL OR lease_until <= $1)`

// claimLogout takes the next delivery that is due, for the length of a lease,
// or returns ErrNoRows.
func (p *Provider) claimLogout(ctx context.Context) (d delivery, err error) {
	now := p.db.Now(ctx)
	// Looking first keeps an idle worker away from SQLite's single writer.
	var one int64
	if err := p.db.QueryRow(ctx, `SELECT 1 FROM logout_deliveries WHERE `+logoutDue+` LIMIT 1`, now).Scan(&one); err != nil {
		return delivery{}, err
	}
	err = p.db.QueryRow(ctx, `
		UPDATE logout_deliveries SET attempts = attempts + 1, lease_until = $2
		WHERE id = (SELECT id FROM logout_deliveries WHERE `+logoutDue+` ORDER BY next_attempt_at LIMIT 1`+p.db.SkipLocked()+`)
		RETURNING id, realm, client_id, session_id, subject, uri, alg, attempts, created_at, not_after`, now, now.Add(logoutLease)).
		Scan(&d.id, &d.realm, &d.client, &d.session, &d.subject, &d.uri, &d.alg, &d.attempt, &d.created, &d.notAfter)
	return d, err
}

// deliverLogout makes one attempt and records its outcome, even when the
// worker is being stopped.
func (p *Provider) deliverLogout(ctx context.Context, d delivery) {
	ctx = context.WithoutCancel(ctx)
	failure := p.sendLogout(ctx, d)
	log := p.log.With("delivery", d.id, "realm", d.realm, "client", d.client, "attempt", d.attempt)
	if err := p.recordLogout(ctx, d, failure); err != nil && !errors.Is(err, errLostDelivery) {
		log.Error("the outcome of a logout token could not be recorded", "error", err)
	}
	if failure != nil {
		log.Warn("logout token not delivered", "error", failure)
	}
}

// sendLogout makes a token and posts it (OpenID Connect Back-Channel Logout
// §2.5). The answer counts, not what stands in it.
func (p *Provider) sendLogout(ctx context.Context, d delivery) error {
	r, ok := p.realms(d.realm)
	if !ok {
		return fmt.Errorf("realm %s is not configured", d.realm)
	}
	now := p.db.Now(ctx)
	raw, err := p.sign(ctx, r, d.alg, token.TypeLogout, token.Logout{
		Issuer: r.Issuer, Subject: d.subject, Audience: token.Audience{d.client}, SessionID: d.session.String(),
		IssuedAt: now.Unix(), ExpiresAt: now.Add(logoutTokenLife).Unix(), ID: database.NewID().String(),
		Events: token.LogoutEvents(),
	})
	if err != nil {
		return fmt.Errorf("sign logout token: %w", err)
	}
	answer, err := p.outbound.PostForm(ctx, d.uri, url.Values{"logout_token": {raw}}, logoutAnswer)
	if err != nil {
		return err
	}
	if answer.Status != http.StatusOK && answer.Status != http.StatusNoContent {
		return fmt.Errorf("the client answered %d", answer.Status)
	}
	return nil
}

func (p *Provider) recordLogout(ctx context.Context, d delivery, failure error) error {
	now := p.db.Now(ctx)
	if failure == nil {
		return p.finishLogout(ctx, d, "delivered", "", now)
	}
	why := failure.Error()
	if len(why) > 300 {
		why = why[:300]
	}
	wait := logoutRetry(d.attempt)
	if now.Add(wait).Before(d.notAfter) {
		n, err := p.db.Exec(ctx, `
			UPDATE logout_deliveries SET lease_until = NULL, next_attempt_at = $3, last_error = $4
			WHERE id = $1 AND attempts = $2 AND state = 'queued'`, d.id, d.attempt, now.Add(wait), why)
		return database.ExactlyOne(n, err, errLostDelivery)
	}
	return p.db.InTx(ctx, func(ctx context.Context) error {
		if err := p.finishLogout(ctx, d, "expired", why, now); err != nil {
			return err
		}
		return p.audit.Record(ctx, audit.Event{
			Realm: d.realm, Kind: "logout.undelivered", Outcome: audit.Failure, Severity: audit.Warning, Actor: "system",
			Target: audit.Client(d.client), ClientID: d.client,
			Details: map[string]any{"session": d.session.String(), "attempts": d.attempt},
		})
	})
}

func (p *Provider) finishLogout(ctx context.Context, d delivery, state, why string, now time.Time) error {
	n, err := p.db.Exec(ctx, `
		UPDATE logout_deliveries SET state = $3, lease_until = NULL, last_error = $4, finished_at = $5
		WHERE id = $1 AND attempts = $2 AND state = 'queued'`, d.id, d.attempt, state, why, now)
	return database.ExactlyOne(n, err, errLostDelivery)
}

// logoutRetry grows with each attempt and is spread, so that clients that come
// back after an outage are not met by everything at once.
func logoutRetry(attempt int64) time.Duration {
	wait := logoutMostRetry
	if attempt < 9 {
		wait = min(logoutMostRetry, logoutFirstRetry<<max(0, attempt-1))
	}
	return time.Duration(float64(wait) * (0.8 + 0.4*rand.Float64()))
}

// cleanUpLogouts forgets deliveries that ended a week ago.
func (p *Provider) cleanUpLogouts(ctx context.Context) error {
	_, err := p.db.Exec(ctx, `DELETE FROM logout_deliveries WHERE id IN (
		SELECT id FROM logout_deliveries WHERE finished_at <= $1 ORDER BY finished_at LIMIT 1000)`,
		p.db.Now(ctx).Add(-logoutKeep))
	if err != nil {
		return fmt.Errorf("clean up logout tokens: %w", err)
	}
	return nil
}
