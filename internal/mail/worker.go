package mail

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/secret"
)

const (
	leaseFor   = 30 * time.Second // how long a crashed worker keeps a letter from the others
	renewEvery = 8 * time.Second
	sendFor    = 3 * time.Minute  // longest an attempt may take
	drainFor   = 20 * time.Second // longest an attempt may take after the worker was told to stop

	firstRetry = 10 * time.Second
	mostRetry  = 10 * time.Minute

	pollEvery  = time.Second
	pollFirst  = 20 * time.Millisecond // after Wake, doubling up to pollEvery
	sweepEvery = 10 * time.Second
)

var tracer = otel.Tracer("github.com/portico-id/portico/internal/mail")

// Worker delivers letters until ctx ends, then waits for those that are under
// way, 20 seconds at most. Any number of replicas may run it.
func (o *Outbox) Worker(ctx context.Context) error {
	var under sync.WaitGroup
	defer under.Wait()
	under.Go(func() { o.sweeper(ctx) })
	slots := make(chan struct{}, o.Parallel)
	poll := pollFirst
	for {
		select {
		case <-ctx.Done():
			return nil
		case slots <- struct{}{}:
		}
		r, err := o.claim(ctx)
		if err == nil {
			under.Go(func() {
				defer func() { <-slots; o.Wake() }()
				o.deliver(ctx, r)
			})
			poll = pollFirst
			continue
		}
		<-slots
		if !errors.Is(err, database.ErrNoRows) && ctx.Err() == nil {
			o.Logger.Error("the outbox could not be read, trying again", "error", err)
			poll = pollEvery
		}
		select {
		case <-ctx.Done():
			return nil
		case <-o.wake:
			poll = pollFirst
		case <-time.After(poll):
			poll = min(2*poll, pollEvery)
		}
	}
}

// DeliverDue sends the letters that are due at this moment, one after the
// other, and gives up those that are too late. It returns how many it tried.
func (o *Outbox) DeliverDue(ctx context.Context) (int, error) {
	if err := o.sweep(ctx); err != nil {
		return 0, err
	}
	for n := 0; ; n++ {
		r, err := o.claim(ctx)
		if errors.Is(err, database.ErrNoRows) {
			return n, nil
		}
		if err != nil {
			return n, fmt.Errorf("claim letter: %w", err)
		}
		o.deliver(ctx, r)
	}
}

// deliver makes one attempt and records its outcome.
func (o *Outbox) deliver(ctx context.Context, r letterRow) {
	ctx, span := tracer.Start(ctx, "mail.deliver", trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(
		attribute.String("portico.realm", r.realm), attribute.String("portico.mail.kind", string(r.kind)),
		attribute.String("portico.mail.letter", r.id.String()), attribute.Int64("portico.mail.attempt", r.attempt)))
	defer span.End()
	began := time.Now()
	err := o.attempt(ctx, r)
	o.metrics.seconds.Observe(time.Since(began).Seconds())
	if err != nil {
		span.SetStatus(codes.Error, scrub(err))
	}
	// The outcome is recorded even when the worker is being stopped: a letter
	// that was sent and not recorded is sent again.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainFor)
	defer cancel()
	if err := o.record(ctx, r, err); err != nil {
		o.Logger.Error("the outcome of a letter could not be recorded", "letter", r.id, "attempt", r.attempt, "error", err)
	}
}

// attempt renders the letter and hands it over while it holds the lease.
func (o *Outbox) attempt(ctx context.Context, r letterRow) error {
	m, err := o.compose(r)
	if err != nil {
		return err
	}
	send, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendFor)
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(drainFor, cancel)
		context.AfterFunc(send, func() { timer.Stop() })
	})()
	var holding sync.WaitGroup
	defer holding.Wait()
	defer cancel()
	holding.Go(func() { o.hold(send, cancel, r) })
	return o.Sender.Send(send, m)
}

// hold renews the lease while a letter is being sent, and stops the sending
// before another worker may take the letter.
func (o *Outbox) hold(ctx context.Context, stop context.CancelFunc, r letterRow) {
	tick := time.NewTicker(o.renewal)
	defer tick.Stop()
	good := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		asked := time.Now()
		limit, cancel := context.WithTimeout(ctx, o.renewal/2)
		err := o.renew(limit, r)
		cancel()
		if err == nil {
			good = asked
		}
		if errors.Is(err, errLostLease) || time.Since(good) > leaseFor-o.renewal-o.renewal/2 {
			stop()
			return
		}
	}
}

// compose opens, renders and addresses a letter.
func (o *Outbox) compose(r letterRow) (Message, error) {
	realm, ok := o.Realms(r.realm)
	if !ok {
		return Message{}, fmt.Errorf("realm %s is not configured", r.realm)
	}
	plain, err := o.Sealer.Open(sealPurpose, aad(r.realm, r.id), r.sealed)
	if errors.Is(err, secret.ErrSealed) {
		return Message{}, fmt.Errorf("%w: open letter: %w", ErrRefused, err)
	}
	if err != nil {
		return Message{}, fmt.Errorf("open letter: %w", err)
	}
	var data map[string]string
	if err := json.Unmarshal(plain, &data); err != nil {
		return Message{}, fmt.Errorf("%w: decode letter: %w", ErrRefused, err)
	}
	content, err := o.Renderer.Render(Letter{Realm: realm, Kind: r.kind, To: r.recipient, Locale: r.locale, Data: data})
	if err != nil {
		return Message{}, err
	}
	replyTo := realm.Brand.SupportEmail
	if replyTo == "" {
		replyTo = o.ReplyTo
	}
	return Message{
		ID: r.messageID, FromName: realm.Brand.In(content.Lang).Name, From: o.From, To: r.recipient, ReplyTo: replyTo, Content: content,
	}, nil
}

// record writes down what became of an attempt.
func (o *Outbox) record(ctx context.Context, r letterRow, failure error) error {
	log := o.Logger.With("letter", r.id, "realm", r.realm, "kind", r.kind, "attempt", r.attempt)
	switch {
	case failure == nil:
		log.Info("letter sent")
		return o.end(ctx, r, Sent, "")
	case errors.Is(failure, ErrRefused):
		log.Error("letter refused", "error", scrub(failure))
		return o.end(ctx, r, Failed, scrub(failure))
	}
	wait := retryAfter(r.attempt)
	log.Warn("letter not sent, trying again", "wait", wait, "error", scrub(failure))
	o.metrics.ended.WithLabelValues(string(r.kind), "retried").Inc()
	return ignoreLost(o.postpone(ctx, r, wait, scrub(failure)))
}

// end finishes a letter and tells OnFinished in the same transaction. A letter
// that is out of the house stays recorded as sent even when telling fails:
// otherwise it would be sent again and again.
func (o *Outbox) end(ctx context.Context, r letterRow, state State, why string) error {
	tell := o.OnFinished
	var err error
	for try := range 6 {
		if try == 5 {
			if state != Sent {
				break
			}
			tell = nil
		}
		err = o.DB.InTx(ctx, func(ctx context.Context) error {
			if err := o.finish(ctx, r, state, why); err != nil || tell == nil {
				return err
			}
			return tell(ctx, Finished{
				LetterID: r.id, Realm: r.realm, Kind: r.kind, AccountID: value(r.accountID), TicketID: value(r.ticketID),
				State: state, Attempts: r.attempt, Error: why,
			})
		})
		if err == nil {
			o.metrics.ended.WithLabelValues(string(r.kind), string(state)).Inc()
			return nil
		}
		if errors.Is(err, errLostLease) || ctx.Err() != nil {
			break
		}
		time.Sleep(100 * time.Millisecond << try)
	}
	return ignoreLost(err)
}

func ignoreLost(err error) error {
	if errors.Is(err, errLostLease) {
		return nil // cancelled meanwhile, or somebody else's to record
	}
	return err
}

// sweeper gives up late letters and measures the queue.
func (o *Outbox) sweeper(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		if err := o.sweep(ctx); err != nil && ctx.Err() == nil {
			o.Logger.Error("late letters could not be given up, trying again", "error", err)
		}
		if letters, oldest, err := o.depth(ctx); err == nil {
			o.metrics.waiting.Set(float64(letters))
			o.metrics.oldest.Set(oldest.Seconds())
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// sweep gives up the letters that could not be delivered in time.
func (o *Outbox) sweep(ctx context.Context) error {
	late, err := o.overdue(ctx)
	if err != nil {
		return fmt.Errorf("find late letters: %w", err)
	}
	for _, r := range late {
		o.Logger.Error("letter given up: not delivered in time", "letter", r.id, "realm", r.realm, "kind", r.kind, "attempts", r.attempt)
		if err := o.end(ctx, r, Expired, "not delivered in time"); err != nil {
			return fmt.Errorf("give up letter: %w", err)
		}
	}
	return nil
}

// retryAfter grows with each attempt and is spread, so that the letters of an
// outage do not all come back in the same second.
func retryAfter(attempt int64) time.Duration {
	wait := mostRetry
	if attempt < 7 {
		wait = min(mostRetry, firstRetry<<max(0, attempt-1))
	}
	return time.Duration(float64(wait) * (0.8 + 0.4*rand.Float64()))
}

var (
	links  = regexp.MustCompile(`(?i)https?://[^\s"'<>]+`)
	tokens = regexp.MustCompile(`[A-Za-z0-9_-]{43,}`)
)

// scrub is an error as it may be stored and logged: mail servers that refuse a
// letter quote its links.
func scrub(err error) string {
	s := tokens.ReplaceAllString(links.ReplaceAllString(err.Error(), "[link]"), "[redacted]")
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
	if len(s) > 500 {
		cut := 500
		for !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut] + "…"
	}
	return s
}
