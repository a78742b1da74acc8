package oauth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/realm"
)

// The queue of logout tokens is served fairly: clients take turns, and within
// one the oldest goes first. A client has few calls at once, one that was down
// a single one, and only after a pause that doubles. Those that may well hang,
// because they were down or nobody here knows them, together get half of the
// slots, so that the rest is free for the others.
const (
	logoutParallel  = 16
	logoutDoubtful  = logoutParallel / 2
	logoutPerClient = 2
	logoutLease     = 30 * time.Second // far above what an attempt may take
	logoutPoll      = time.Second
	logoutPollFirst = 20 * time.Millisecond
	logoutTend      = 15 * time.Second // how often the queue is measured and cleared
)

// doubtful reports whether an endpoint may well hang.
func (d delivery) doubtful() bool {
	return d.failures > 0 || strings.HasPrefix(d.client, realm.RegisteredPrefix)
}

const sureClient = ` AND c.failures = 0 AND substr(c.client_id, 1, 4) <> '` + realm.RegisteredPrefix + `'`

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
	under.Go(func() { p.tendLogouts(ctx) })
	slots := make(chan struct{}, logoutParallel)
	var doubtful atomic.Int64
	poll := logoutPollFirst
	for {
		select {
		case <-ctx.Done():
			return nil
		case slots <- struct{}{}:
		}
		d, err := p.claimLogout(ctx, doubtful.Load() < logoutDoubtful)
		if err == nil {
			one := int64(0)
			if d.doubtful() {
				one = 1
			}
			doubtful.Add(one)
			under.Go(func() {
				defer func() { doubtful.Add(-one); <-slots; p.wakeLogouts() }()
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
	if err := p.expireLogouts(ctx); err != nil {
		return 0, err
	}
	for n := 0; ; n++ {
		d, err := p.claimLogout(ctx, true)
		if errors.Is(err, database.ErrNoRows) {
			return n, nil
		}
		if err != nil {
			return n, fmt.Errorf("claim logout token: %w", err)
		}
		p.deliverLogout(ctx, d)
	}
}

// A delivery d of client c that is due, and those that are under way. $1 is the
// time.
const (
	logoutOf    = `d.realm = c.realm AND d.client_id = c.client_id AND d.state = 'queued'`
	logoutDue   = logoutOf + ` AND d.next_attempt_at <= $1 AND d.not_after > $1 AND (d.lease_until IS NULL OR d.lease_until <= $1)`
	logoutUnder = `(SELECT COUNT(*) FROM logout_deliveries d WHERE ` + logoutOf + ` AND d.lease_until > $1)`
)

// claimLogout takes the next delivery for the length of a lease, or returns
// ErrNoRows. Without all, clients that may well hang are passed over.
func (p *Provider) claimLogout(ctx context.Context, all bool) (d delivery, err error) {
	now := p.db.Now(ctx)
	turn := `SELECT c.realm, c.client_id FROM logout_clients c WHERE c.not_before <= $1
		AND EXISTS (SELECT 1 FROM logout_deliveries d WHERE ` + logoutDue + `)
		AND ` + logoutUnder + ` < CASE WHEN c.failures > 0 THEN 1 ELSE $2 END`
	if !all {
		turn += sureClient
	}
	turn += ` ORDER BY c.served_at, c.realm, c.client_id LIMIT 1`
	most := int64(logoutPerClient)
	for range 3 {
		// Looking first keeps an idle worker away from SQLite's single writer.
		var realmName, client string
		if err := p.db.QueryRow(ctx, turn, now, most).Scan(&realmName, &client); err != nil {
			return delivery{}, err
		}
		err = p.db.InTx(ctx, func(ctx context.Context) error {
			// Whoever holds the client's row decides about its turn. What is under
			// way for it is counted again, after that.
			err := p.db.QueryRow(ctx, `
				UPDATE logout_clients SET served_at = $1 WHERE (realm, client_id) = (`+turn+p.db.SkipLocked()+`)
				RETURNING realm, client_id, failures`, now, most).Scan(&d.realm, &d.client, &d.failures)
			if err != nil {
				return err
			}
			if d.failures > 0 {
				most = 1
			}
			return p.db.QueryRow(ctx, `
				UPDATE logout_deliveries SET attempts = attempts + 1, lease_until = $3
				WHERE id = (SELECT d.id FROM logout_clients c JOIN logout_deliveries d ON `+logoutDue+`
					WHERE c.realm = $4 AND c.client_id = $5 AND `+logoutUnder+` < $2
					ORDER BY d.next_attempt_at, d.id LIMIT 1)
				RETURNING id, session_id, sid, subject, uri, alg, attempts, created_at, not_after`,
				now, most, now.Add(logoutLease), d.realm, d.client).
				Scan(&d.id, &d.session, &d.sid, &d.subject, &d.uri, &d.alg, &d.attempt, &d.created, &d.notAfter)
		})
		if !errors.Is(err, database.ErrNoRows) {
			break // else another replica took its turn meanwhile
		}
	}
	if d.sid == "" {
		d.sid = d.session.String() // queued when sid had no column
	}
	return d, err
}

// tendLogouts measures the queue, and ends what is no longer worth telling.
func (p *Provider) tendLogouts(ctx context.Context) {
	tick := time.NewTicker(logoutTend)
	defer tick.Stop()
	for {
		if err := errors.Join(p.expireLogouts(ctx), p.measureLogouts(ctx)); err != nil && ctx.Err() == nil {
			p.log.Warn("the queue of logout tokens could not be tended, trying again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// expireLogouts gives up what waited in vain, with one event for each client.
func (p *Provider) expireLogouts(ctx context.Context) error {
	for {
		over := 0
		err := p.db.InTx(ctx, func(ctx context.Context) error {
			rows, err := p.db.Query(ctx, `
				UPDATE logout_deliveries SET state = 'expired', lease_until = NULL, finished_at = $1
				WHERE id IN (SELECT id FROM logout_deliveries
					WHERE state = 'queued' AND not_after <= $1 AND (lease_until IS NULL OR lease_until <= $1)
					ORDER BY not_after LIMIT 1000`+p.db.SkipLocked()+`)
				RETURNING realm, client_id`, p.db.Now(ctx))
			ended, err := database.Collect(rows, err, func(rows *database.Rows) (who [2]string, err error) {
				err = rows.Scan(&who[0], &who[1])
				return who, err
			})
			if err != nil {
				return fmt.Errorf("give logout tokens up: %w", err)
			}
			over = len(ended)
			count := map[[2]string]int{}
			for _, who := range ended {
				count[who]++
			}
			for who, n := range count {
				if err := p.audit.Record(ctx, undelivered(who[0], who[1], map[string]any{"deliveries": n})); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		p.logoutMetrics.ended.WithLabelValues("expired").Add(float64(over))
		if over < database.StepRows {
			return nil
		}
	}
}

// cleanUpLogouts forgets deliveries that ended a week ago, and clients that had
// none since.
func (p *Provider) cleanUpLogouts(ctx context.Context) error {
	before := p.db.Now(ctx).Add(-logoutKeep)
	err := p.expireLogouts(ctx)
	if err == nil {
		err = p.db.InSteps(ctx, `DELETE FROM logout_deliveries WHERE id IN (
			SELECT id FROM logout_deliveries WHERE finished_at <= $1 ORDER BY finished_at LIMIT 1000)`, before)
	}
	if err == nil {
		_, err = p.db.Exec(ctx, `DELETE FROM logout_clients WHERE served_at <= $1 AND NOT EXISTS (
			SELECT 1 FROM logout_deliveries d WHERE d.realm = logout_clients.realm AND d.client_id = logout_clients.client_id)`, before)
	}
	if err == nil {
		// Should one have been queued while its client was forgotten.
		_, err = p.db.Exec(ctx, `
			INSERT INTO logout_clients (realm, client_id, not_before, served_at)
			SELECT d.realm, d.client_id, MIN(d.created_at), MIN(d.created_at) FROM logout_deliveries d
			WHERE d.state = 'queued' AND NOT EXISTS (
				SELECT 1 FROM logout_clients c WHERE c.realm = d.realm AND c.client_id = d.client_id)
			GROUP BY d.realm, d.client_id
			ON CONFLICT (realm, client_id) DO NOTHING`)
	}
	if err != nil {
		return fmt.Errorf("clean up logout tokens: %w", err)
	}
	return nil
}

type logoutMetrics struct {
	waiting, oldest prometheus.Gauge
	down            prometheus.Gauge
	ended           *prometheus.CounterVec
	seconds         prometheus.Histogram
}

// Measure adds the figures of logout tokens to a registry. Call it once, before
// the Provider is used. No label names a client: strangers can make clients.
func (p *Provider) Measure(reg prometheus.Registerer) { p.logoutMetrics = newLogoutMetrics(reg) }

func newLogoutMetrics(reg prometheus.Registerer) logoutMetrics {
	f := promauto.With(reg)
	return logoutMetrics{
		waiting: f.NewGauge(prometheus.GaugeOpts{
			Name: "portico_logout_queue_tokens", Help: "Logout tokens that clients still have to get."}),
		oldest: f.NewGauge(prometheus.GaugeOpts{
			Name: "portico_logout_queue_oldest_seconds", Help: "How long the oldest waiting logout token has waited."}),
		down: f.NewGauge(prometheus.GaugeOpts{
			Name: "portico_logout_clients_down", Help: "Clients with waiting logout tokens whose last attempt found nobody."}),
		ended: f.NewCounterVec(prometheus.CounterOpts{
			Name: "portico_logout_tokens_total", Help: "Logout tokens by result: delivered, expired, or retried (one attempt of many).",
		}, []string{"result"}),
		seconds: f.NewHistogram(prometheus.HistogramOpts{
			Name: "portico_logout_attempt_seconds", Help: "Duration of attempts to deliver a logout token.",
			Buckets: []float64{.01, .05, .1, .25, .5, 1, 2, 3, 5}}),
	}
}

func (p *Provider) measureLogouts(ctx context.Context) error {
	var waiting, down int64
	var oldest *time.Time
	err := p.db.QueryRow(ctx, `
		SELECT COUNT(*), MIN(created_at), (SELECT COUNT(*) FROM logout_clients c WHERE c.failures > 0 AND EXISTS (
			SELECT 1 FROM logout_deliveries d WHERE `+logoutOf+`))
		FROM logout_deliveries WHERE state = 'queued'`).Scan(&waiting, &oldest, &down)
	if err != nil {
		return fmt.Errorf("measure logout tokens: %w", err)
	}
	age := 0.0
	if oldest != nil {
		age = p.db.Now(ctx).Sub(*oldest).Seconds()
	}
	p.logoutMetrics.waiting.Set(float64(waiting))
	p.logoutMetrics.oldest.Set(age)
	p.logoutMetrics.down.Set(float64(down))
	return nil
}
