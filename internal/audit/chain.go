package audit

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/database"
)

const (
	chainEvery    = time.Second
	chainAtMost   = 250
	announceEvery = time.Hour
)

// head is the end of the chain: its last link, and a seal over the two, which
// says that it was us who wrote them.
type head struct {
	seq  int64
	hash []byte
	seal []byte
}

// link is a row of audit_chain. Digest stands for the event, so that the chain
// still holds together when the event is removed after six years.
type link struct {
	seq          int64
	event        uuid.UUID
	digest, hash []byte
}

// digest is the HMAC over an event. Every value carries its length, so that
// nothing can be moved from one column to the next.
func digest(key []byte, r row) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte("event\x00"))
	m.Write(r.id[:])
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(r.at.UnixMicro()))
	m.Write(n[:])
	for _, s := range r.text {
		binary.BigEndian.PutUint64(n[:], uint64(len(s)))
		m.Write(n[:])
		m.Write([]byte(s))
	}
	return m.Sum(nil)
}

// missing is the digest of an event that had disappeared before it was sealed.
func missing(key []byte, id uuid.UUID) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte("missing\x00"))
	m.Write(id[:])
	return m.Sum(nil)
}

// chained is the hash of a link.
func chained(key, before []byte, l link) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte("link\x00"))
	m.Write(before)
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(l.seq))
	m.Write(n[:])
	m.Write(l.event[:])
	m.Write(l.digest)
	return m.Sum(nil)
}

func sealHead(key []byte, h head) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte("head\x00"))
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(h.seq))
	m.Write(n[:])
	m.Write(h.hash)
	return m.Sum(nil)
}

// ChainWorker seals events until ctx ends. Any number of replicas may run it.
func (l *Log) ChainWorker(ctx context.Context) error {
	tick := time.NewTicker(chainEvery)
	defer tick.Stop()
	for {
		n, err := l.Chain(ctx)
		if err != nil && ctx.Err() == nil {
			l.log.Error("audit events could not be sealed, trying again", "error", err)
		}
		if err == nil && n == chainAtMost {
			continue // more are waiting
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Chain seals the events that wait, 250 at most, and returns how many it
// sealed: none also when another replica is at it.
func (l *Log) Chain(ctx context.Context) (int, error) {
	// Asking outside of a transaction first keeps an idle replica from taking
	// SQLite's single writer once a second.
	var one int64
	err := l.db.QueryRow(ctx, `SELECT 1 FROM audit_unchained LIMIT 1`).Scan(&one)
	if errors.Is(err, database.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("look for unsealed events: %w", err)
	}
	var n int
	var end head
	err = l.db.InTx(ctx, func(ctx context.Context) error {
		n, end, err = l.chain(ctx)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("seal events: %w", err)
	}
	if n > 0 {
		l.announce(end)
	}
	return n, nil
}

func (l *Log) chain(ctx context.Context) (int, head, error) {
	var h head
	err := l.db.QueryRow(ctx, `SELECT seq, hash, seal FROM audit_head WHERE id = 1`+l.db.SkipLocked()).
		Scan(&h.seq, &h.hash, &h.seal)
	if errors.Is(err, database.ErrNoRows) {
		return 0, h, nil // another replica leads
	}
	if err != nil {
		return 0, h, err
	}
	waiting, err := l.waiting(ctx)
	if err != nil || len(waiting) == 0 {
		return 0, h, err
	}
	key := l.keys[0]
	var b database.Batch
	for _, w := range waiting {
		next := link{seq: h.seq + 1, event: w.row.id}
		if w.present {
			next.digest = digest(key, w.row)
		} else {
			next.digest = missing(key, w.row.id)
			l.broken.Inc()
			l.log.Error("an audit event disappeared before it was sealed", "event", w.row.id)
		}
		next.hash = chained(key, h.hash, next)
		b.Queue(`INSERT INTO audit_chain (seq, event_id, digest, hash) VALUES ($1, $2, $3, $4)`,
			next.seq, next.event, next.digest, next.hash)
		b.Queue(`DELETE FROM audit_unchained WHERE event_id = $1`, next.event)
		h.seq, h.hash = next.seq, next.hash
	}
	h.seal = sealHead(key, h)
	b.Queue(`UPDATE audit_head SET seq = $1, hash = $2, seal = $3 WHERE id = 1`, h.seq, h.hash, h.seal)
	_, err = l.db.Batch(ctx, &b)
	return len(waiting), h, err
}

type waitingEvent struct {
	row     row
	present bool
}

func (l *Log) waiting(ctx context.Context) ([]waitingEvent, error) {
	rows, err := l.db.Query(ctx, `
		SELECT u.event_id, e.id, `+nullable+`
		FROM audit_unchained u LEFT JOIN audit_events e ON e.id = u.event_id
		ORDER BY u.event_id LIMIT $1`, int64(chainAtMost))
	return database.Collect(rows, err, func(r *database.Rows) (waitingEvent, error) {
		var w waitingEvent
		err := scanEvent(r, &w.row, &w.present, &w.row.id)
		return w, err
	})
}

// nullable are the event's columns on the far side of a LEFT JOIN.
const nullable = `e.recorded_at, COALESCE(e.realm, ''), COALESCE(e.kind, ''), COALESCE(e.outcome, ''),
	COALESCE(e.severity, ''), COALESCE(e.actor, ''), COALESCE(e.target, ''), COALESCE(e.practice_id, ''),
	COALESCE(e.client_id, ''), COALESCE(e.ip, ''), COALESCE(e.details, '')`

// scanEvent reads the given targets, e.id and the nullable columns.
func scanEvent(r *database.Rows, to *row, present *bool, first ...any) error {
	var id *uuid.UUID
	var at *time.Time
	targets := append(first, &id, &at)
	for i := range to.text {
		targets = append(targets, &to.text[i])
	}
	if err := r.Scan(targets...); err != nil {
		return err
	}
	if *present = id != nil; *present {
		to.id, to.at = *id, *at
	}
	return nil
}

// announce leaves a copy of the chain's end outside of the database.
func (l *Log) announce(h head) {
	l.length.Set(float64(h.seq))
	if now := time.Now(); now.Sub(l.announced) >= announceEvery {
		l.announced = now
		l.log.Info("audit chain", "length", h.seq, "head", hex.EncodeToString(h.hash))
	}
}
