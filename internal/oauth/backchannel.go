package oauth

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
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
	// Refresh tokens died with the session, and no access token lives so long:
	// after that a client learns of it by the next token it asks for.
	logoutGiveUp = 2 * time.Hour

	logoutFirstRetry = 2 * time.Second
	logoutMostRetry  = 5 * time.Minute
	logoutKeep       = 7 * 24 * time.Hour
)

var (
	// errLostDelivery says that another worker has the delivery now.
	errLostDelivery = errors.New("the lease of the logout delivery is lost")
	// errDown says that a client does not answer, whatever it is sent.
	errDown = errors.New("the client is not there")
)

// logoutAnswer bounds what is read of a client's answer; nothing is made of it.
const logoutAnswer = 16 << 10

// delivery is a logout token that a client still has to get. attempt fences:
// what it did not claim last, a worker cannot record.
type delivery struct {
	id, session                 uuid.UUID
	realm, client, subject, alg string
	sid                         string // the session as the client knows it
	uri                         string
	attempt                     int64
	created, notAfter           time.Time

	failures int64 // of the client, one after the other, when it was claimed
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
			if err := p.queueLogout(ctx, r, c, s, now); err != nil {
				return fmt.Errorf("queue logout token: %w", err)
			}
		}
	}
	p.wakeLogouts()
	return nil
}

func (p *Provider) queueLogout(ctx context.Context, r *realm.Realm, c *realm.Client, s session.Ended, now time.Time) error {
	var b database.Batch
	// Almost always it has its row, and then nothing is locked: many sign out at once.
	b.Queue(`
		INSERT INTO logout_clients (realm, client_id, not_before, served_at) VALUES ($1, $2, $3, $3)
		ON CONFLICT (realm, client_id) DO NOTHING`, r.Name, c.ID, now)
	b.Queue(`
		INSERT INTO logout_deliveries (id, realm, client_id, session_id, sid, subject, uri, alg, state,
			next_attempt_at, not_after, created_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'queued', $9, $10, $9)`,
		database.NewID(), r.Name, c.ID, s.ID, p.sid(r, c, s.ID), p.subject(r, c, s.AccountID), c.BackchannelLogoutURI,
		logoutAlg(r, c), now, now.Add(logoutGiveUp))
	_, err := p.db.Batch(ctx, &b)
	return err
}

// logoutAlg is the algorithm the client knows from its ID tokens.
func logoutAlg(r *realm.Realm, c *realm.Client) string {
	if c.IDTokenAlg == realm.ES256 || c.IDTokenAlg == realm.RS256 {
		return c.IDTokenAlg
	}
	return r.OAuth.IDTokenAlg
}

// clientsOf lists the clients that a session was used for, by id. Grants would
// not tell: a kept session outlives them.
func (p *Provider) clientsOf(ctx context.Context, r *realm.Realm, sessionID uuid.UUID) ([]*realm.Client, error) {
	rows, err := p.db.Query(ctx, `
		SELECT client_id FROM session_clients WHERE session_id = $1 AND realm = $2 ORDER BY client_id`, sessionID, r.Name)
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

// deliverLogout makes one attempt and records its outcome, even when the
// worker is being stopped.
func (p *Provider) deliverLogout(ctx context.Context, d delivery) {
	ctx = context.WithoutCancel(ctx)
	began := time.Now()
	failure := p.sendLogout(ctx, d)
	p.logoutMetrics.seconds.Observe(time.Since(began).Seconds())
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
		Issuer: r.Issuer, Subject: d.subject, Audience: token.Audience{d.client}, SessionID: d.sid,
		IssuedAt: now.Unix(), ExpiresAt: now.Add(logoutTokenLife).Unix(), ID: database.NewID().String(),
		Events: token.LogoutEvents(),
	})
	if err != nil {
		return fmt.Errorf("sign logout token: %w", err)
	}
	answer, err := p.outbound.PostForm(ctx, d.uri, url.Values{"logout_token": {raw}}, logoutAnswer)
	if err != nil {
		return fmt.Errorf("%w: %w", errDown, err)
	}
	if answer.Status >= http.StatusInternalServerError || answer.Status == http.StatusTooManyRequests {
		return fmt.Errorf("%w: the client answered %d", errDown, answer.Status)
	}
	if answer.Status != http.StatusOK && answer.Status != http.StatusNoContent {
		return fmt.Errorf("the client answered %d", answer.Status)
	}
	return nil
}

// recordLogout keeps the outcome of an attempt: of this delivery, and of the
// client. One that is down is left alone for a while with all it has to hear.
func (p *Provider) recordLogout(ctx context.Context, d delivery, failure error) error {
	now, wait, rest := p.db.Now(ctx), logoutRetry(d.attempt), logoutRetry(d.failures+1)
	if errors.Is(failure, errDown) {
		wait = max(wait, rest)
	}
	result := "retried"
	switch {
	case failure == nil:
		result = "delivered"
	case !now.Add(wait).Before(d.notAfter):
		result = "expired"
	}
	err := p.db.InTx(ctx, func(ctx context.Context) error {
		if err := p.recordHealth(ctx, d, failure, now, rest); err != nil {
			return err
		}
		switch result {
		case "delivered":
			return p.finishLogout(ctx, d, result, "", now)
		case "retried":
			n, err := p.db.Exec(ctx, `
				UPDATE logout_deliveries SET lease_until = NULL, next_attempt_at = $3, last_error = $4
				WHERE id = $1 AND attempts = $2 AND state = 'queued'`, d.id, d.attempt, now.Add(wait), shortened(failure))
			return database.ExactlyOne(n, err, errLostDelivery)
		}
		if err := p.finishLogout(ctx, d, result, shortened(failure), now); err != nil {
			return err
		}
		return p.audit.Record(ctx, undelivered(d.realm, d.client,
			map[string]any{"session": d.session.String(), "attempts": d.attempt, "deliveries": 1}))
	})
	if err == nil {
		p.logoutMetrics.ended.WithLabelValues(result).Inc()
	}
	return err
}

// recordHealth counts how often a client was down, one time after the other,
// and lets it rest.
func (p *Provider) recordHealth(ctx context.Context, d delivery, failure error, now time.Time, rest time.Duration) error {
	var err error
	if errors.Is(failure, errDown) {
		_, err = p.db.Exec(ctx, `
			UPDATE logout_clients SET failures = failures + 1, not_before = $3 WHERE realm = $1 AND client_id = $2`,
			d.realm, d.client, now.Add(rest))
	} else if d.failures > 0 {
		_, err = p.db.Exec(ctx, `
			UPDATE logout_clients SET failures = 0, not_before = $3 WHERE realm = $1 AND client_id = $2`, d.realm, d.client, now)
	}
	if err != nil {
		return fmt.Errorf("record how a client fares: %w", err)
	}
	return nil
}

func shortened(err error) string {
	why := err.Error()
	if len(why) > 300 {
		why = why[:300]
	}
	return strings.ToValidUTF8(why, "")
}

func undelivered(realmName, client string, details map[string]any) audit.Event {
	return audit.Event{
		Realm: realmName, Kind: "logout.undelivered", Outcome: audit.Failure, Severity: audit.Warning, Actor: "system",
		Target: audit.Client(client), ClientID: client, Details: details,
	}
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
