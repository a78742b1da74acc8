package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/portico-id/portico/internal/database"
)

// Outcomes and severities. An empty Outcome is Success, an empty Severity Info.
const (
	Success = "success"
	Failure = "failure"

	Info    = "info"
	Warning = "warning"
	High    = "high"
)

// Event is one thing that happened. Kind is "noun.verb", such as
// "password.changed". Actor and Target are "account:<uuid>", "client:<id>",
// "system" or "anonymous". Details holds what else an investigator needs:
// small values of JSON, never a secret, never a patient's name.
type Event struct {
	Realm, Kind, Outcome, Severity, Actor, Target, PracticeID, ClientID, IP string
	Details                                                                 map[string]any
}

// Account is the Actor or Target of an account.
func Account(id uuid.UUID) string { return "account:" + id.String() }

// Client is the Actor or Target of a client.
func Client(id string) string { return "client:" + id }

// Log records events. It is safe for concurrent use.
type Log struct {
	db     *database.DB
	keys   [][]byte
	log    *slog.Logger
	length prometheus.Gauge
	broken prometheus.Counter

	announced time.Time // when ChainWorker last logged the head
}

// Options of New. Keys are the chain's HMAC keys of 32 bytes, from outside the
// database: the first one seals, all of them verify. Metrics may be nil.
type Options struct {
	Keys    [][]byte
	Logger  *slog.Logger
	Metrics prometheus.Registerer
}

// New records events in db. The keys come from secret.Sealer.DeriveKey with
// KeyPurpose.
func New(db *database.DB, o Options) (*Log, error) {
	if len(o.Keys) == 0 {
		return nil, errors.New("the audit chain needs a key")
	}
	for _, k := range o.Keys {
		if len(k) != 32 {
			return nil, errors.New("a key of the audit chain has 32 bytes")
		}
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	metrics := promauto.With(o.Metrics)
	return &Log{
		db: db, keys: o.Keys, log: o.Logger,
		length: metrics.NewGauge(prometheus.GaugeOpts{
			Name: "portico_audit_chain_length", Help: "Events sealed into the audit chain."}),
		broken: metrics.NewCounter(prometheus.CounterOpts{
			Name: "portico_audit_missing_events_total", Help: "Events that disappeared before they were sealed."}),
	}, nil
}

// KeyPurpose is the purpose for secret.Sealer.DeriveKey.
const KeyPurpose = "audit chain"

// Record writes an event in the caller's transaction; without one it is
// written at once. When it fails, let the transaction fail.
func (l *Log) Record(ctx context.Context, e Event) error {
	var b database.Batch
	l.Queue(ctx, &b, e)
	if _, err := l.db.Batch(ctx, &b); err != nil {
		return fmt.Errorf("record %s: %w", e.Kind, err)
	}
	return nil
}

// Queue adds the same rows to a batch, for callers that write everything in
// one round trip.
func (l *Log) Queue(ctx context.Context, b *database.Batch, e Event) {
	id := database.NewID()
	r := newRow(id, l.db.Now(ctx), e)
	b.Queue(`
		INSERT INTO audit_events (id, recorded_at, realm, kind, outcome, severity,
			actor, target, practice_id, client_id, ip, details)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
		r.id, r.at, r.text[0], r.text[1], r.text[2], r.text[3], r.text[4], r.text[5], r.text[6], r.text[7], r.text[8], r.text[9])
	b.Queue(`INSERT INTO audit_unchained (event_id) VALUES ($1)`, r.id)
}

// row is an event as it is stored. The texts are in the order of the columns.
type row struct {
	id   uuid.UUID
	at   time.Time
	text [10]string
}

func newRow(id uuid.UUID, at time.Time, e Event) row {
	if e.Outcome == "" {
		e.Outcome = Success
	}
	if e.Severity == "" {
		e.Severity = Info
	}
	r := row{id: id, at: at, text: [10]string{
		e.Realm, e.Kind, e.Outcome, e.Severity, e.Actor, e.Target, e.PracticeID, e.ClientID, e.IP}}
	for i, s := range r.text {
		r.text[i] = clean(s)
	}
	r.text[9] = details(e.Details)
	return r
}

// maxText bounds each value: what attackers type ends up here too.
const maxText = 500

func clean(s string) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
	if len(s) <= maxText {
		return s
	}
	cut := maxText
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

const redacted = "[redacted]"

// secretNames are the keys under which nothing may be kept, compared without
// case, "_" and "-".
var secretNames = []string{"password", "newpassword", "currentpassword", "answer", "token", "accesstoken",
	"refreshtoken", "idtoken", "code", "secret", "clientsecret", "link", "cookie", "authorization", "assertion"}

// tokenLike finds our tokens (43 characters of base64url) and JSON Web Tokens,
// also inside of a URL.
var tokenLike = regexp.MustCompile(`[A-Za-z0-9_-]{43,}`)

// plainNames are keys whose values may be as long as a token and are none: the
// name of a public key, and the normalised addresses of a changed login email,
// which somebody could otherwise make long enough to vanish from the trail.
var plainNames = []string{"kid", "from", "to"}

// details is the stored form: JSON with sorted keys, scrubbed of secrets.
func details(d map[string]any) string {
	if len(d) == 0 {
		return "{}"
	}
	// Encoding first lets the values redact themselves.
	raw, err := json.Marshal(d)
	if err != nil {
		return `{"error":"details cannot be encoded"}`
	}
	var plain map[string]any
	dec := json.NewDecoder(strings.NewReader(string(raw)))
	dec.UseNumber()
	if err := dec.Decode(&plain); err != nil {
		return `{"error":"details cannot be encoded"}`
	}
	out, err := json.Marshal(scrub("", plain))
	if err != nil {
		return `{"error":"details cannot be encoded"}`
	}
	if len(out) > 8<<10 {
		return `{"error":"details are too long"}`
	}
	return string(out)
}

func scrub(name string, v any) any {
	key := strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(name))
	if slices.Contains(secretNames, key) {
		return redacted
	}
	switch v := v.(type) {
	case map[string]any:
		for k, inner := range v {
			v[k] = scrub(k, inner)
		}
	case []any:
		for i, inner := range v {
			v[i] = scrub("", inner)
		}
	case string:
		if slices.Contains(plainNames, name) {
			return clean(v)
		}
		return clean(tokenLike.ReplaceAllString(v, redacted))
	}
	return v
}
