package audit

import (
	"bytes"
	"context"
	"crypto/hmac"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/database"
)

// ErrTampered says that the log is not what was written.
var ErrTampered = errors.New("the audit log was tampered with")

// keepFor is how long an event must stay (45 CFR 164.316(b)(2)(i)).
const keepFor = 6 // years

// maxFindings bounds the error of a log that is broken everywhere.
const maxFindings = 20

// Verify walks the whole chain and compares it with the events. It returns nil
// or an error that is ErrTampered and names each event that was removed,
// altered, moved or added by hand. It may run beside everything else.
func (l *Log) Verify(ctx context.Context) error {
	v := verification{log: l, oldest: l.db.Now(ctx).AddDate(-keepFor, 0, 0)}
	if err := v.run(ctx); err != nil {
		return fmt.Errorf("verify audit log: %w", err)
	}
	return errors.Join(v.findings...)
}

type verification struct {
	log      *Log
	oldest   time.Time // events from before may have been removed
	findings []error
	seq      int64
	hash     []byte
	atHead   []byte // the hash of the link that the head names
}

func (v *verification) found(format string, args ...any) {
	if len(v.findings) < maxFindings {
		v.findings = append(v.findings, fmt.Errorf("%w: %s", ErrTampered, fmt.Sprintf(format, args...)))
	}
}

func (v *verification) run(ctx context.Context) error {
	// The head is read first: the chain may only grow after that.
	h, err := v.head(ctx)
	if err != nil {
		return err
	}
	for {
		links, err := v.page(ctx)
		if err != nil {
			return err
		}
		for _, c := range links {
			v.check(c)
			if c.link.seq == h.seq {
				v.atHead = c.link.hash
			}
		}
		if len(links) < pageSize {
			break
		}
	}
	if h.seq == 0 && v.seq > 0 {
		// Either the first links were made while we looked, or somebody put
		// the head back to its beginning.
		if h, err = v.head(ctx); err != nil {
			return err
		}
		v.atHead = h.hash
	}
	v.checkHead(h)
	return v.strays(ctx)
}

func (v *verification) head(ctx context.Context) (h head, err error) {
	err = v.log.db.QueryRow(ctx, `SELECT seq, hash, seal FROM audit_head WHERE id = 1`).Scan(&h.seq, &h.hash, &h.seal)
	if errors.Is(err, database.ErrNoRows) {
		return head{}, nil // checkHead misses it
	}
	return h, err
}

const pageSize = 500

type chainedEvent struct {
	link    link
	row     row
	present bool
}

func (v *verification) page(ctx context.Context) ([]chainedEvent, error) {
	rows, err := v.log.db.Query(ctx, `
		SELECT c.seq, c.event_id, c.digest, c.hash, e.id, `+nullable+`
		FROM audit_chain c LEFT JOIN audit_events e ON e.id = c.event_id
		WHERE c.seq > $1 ORDER BY c.seq LIMIT $2`, v.seq, int64(pageSize))
	return database.Collect(rows, err, func(r *database.Rows) (chainedEvent, error) {
		var c chainedEvent
		err := scanEvent(r, &c.row, &c.present, &c.link.seq, &c.link.event, &c.link.digest, &c.link.hash)
		return c, err
	})
}

func (v *verification) check(c chainedEvent) {
	if c.link.seq != v.seq+1 {
		v.found("links %d to %d of the chain are gone", v.seq+1, c.link.seq-1)
	}
	if !v.any(func(key []byte) bool { return hmac.Equal(chained(key, v.hash, c.link), c.link.hash) }) {
		v.found("link %d (event %s) does not follow the one before it", c.link.seq, c.link.event)
	}
	v.seq, v.hash = c.link.seq, c.link.hash
	switch {
	case c.present:
		if !v.any(func(key []byte) bool { return hmac.Equal(digest(key, c.row), c.link.digest) }) {
			v.found("event %s (%s) was altered", c.link.event, c.row.text[1])
		}
	case v.any(func(key []byte) bool { return hmac.Equal(missing(key, c.link.event), c.link.digest) }):
		v.found("event %s was removed before it was sealed", c.link.event)
	case !made(c.link.event).Before(v.oldest):
		v.found("event %s was removed", c.link.event)
	}
}

// any tries each key, since the chain may have been begun under an older one.
func (v *verification) any(fits func(key []byte) bool) bool {
	for _, key := range v.log.keys {
		if fits(key) {
			return true
		}
	}
	return false
}

func (v *verification) checkHead(h head) {
	switch {
	case h.seq == 0 && v.seq == 0:
		// Nothing was sealed yet.
	case !v.any(func(key []byte) bool { return hmac.Equal(sealHead(key, h), h.seal) }):
		v.found("the head of the chain was removed or altered")
	case v.seq < h.seq:
		v.found("links %d to %d at the end of the chain are gone", v.seq+1, h.seq)
	case !bytes.Equal(v.atHead, h.hash):
		v.found("the head does not fit to link %d", h.seq)
	}
}

// strays finds events that are neither sealed nor waiting to be, and entries
// of the queue whose event is gone. Each is one statement, hence one view of
// the tables.
func (v *verification) strays(ctx context.Context) error {
	for what, query := range map[string]string{
		"event %s is neither sealed nor waiting: added by hand, or its link was removed": `
			SELECT e.id FROM audit_events e
			WHERE NOT EXISTS (SELECT 1 FROM audit_chain c WHERE c.event_id = e.id)
			AND NOT EXISTS (SELECT 1 FROM audit_unchained u WHERE u.event_id = e.id) LIMIT $1`,
		"event %s was removed before it was sealed": `
			SELECT u.event_id FROM audit_unchained u
			WHERE NOT EXISTS (SELECT 1 FROM audit_events e WHERE e.id = u.event_id) LIMIT $1`,
	} {
		rows, err := v.log.db.Query(ctx, query, int64(maxFindings))
		ids, err := database.Collect(rows, err, func(r *database.Rows) (id uuid.UUID, err error) {
			err = r.Scan(&id)
			return id, err
		})
		if err != nil {
			return err
		}
		for _, id := range ids {
			v.found(what, id)
		}
	}
	return nil
}

// made is when an identifier was made (UUID version 7, RFC 9562 §5.7).
func made(id uuid.UUID) time.Time {
	sec, nsec := id.Time().UnixTime()
	return time.Unix(sec, nsec)
}
