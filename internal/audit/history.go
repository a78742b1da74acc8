package audit

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/database"
)

// Entry is an event as it was recorded. Who may see what of it is for the
// caller to decide: it names staff and their addresses.
type Entry struct {
	ID      uuid.UUID
	At      time.Time
	Details map[string]any

	Kind, Outcome, Actor, Target, PracticeID, ClientID, IP string
}

// Text is a detail that is a text, "" when there is none.
func (e Entry) Text(detail string) string {
	s, _ := e.Details[detail].(string)
	return s
}

// Place is where a page of events begins.
func (e Entry) Place() Place { return Place{e.At, e.ID} }

// Place is a place in the order of events: after it come those that are older.
// The zero Place is the newest end.
type Place struct {
	At time.Time
	ID uuid.UUID
}

// String is the place for an address. It holds no secret, and none is needed:
// whose events are read does not hang on it.
func (p Place) String() string {
	var b [24]byte
	binary.BigEndian.PutUint64(b[:8], uint64(p.At.UnixMicro()))
	copy(b[8:], p.ID[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// ErrPlace says that a text is no place.
var ErrPlace = errors.New("not a place in the history")

// farFuture is after every event, and what both engines can still compare.
var farFuture = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// ParsePlace reads what String wrote; "" is the newest end.
func ParsePlace(s string) (Place, error) {
	if s == "" {
		return Place{}, nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != 24 {
		return Place{}, ErrPlace
	}
	p := Place{At: time.UnixMicro(int64(binary.BigEndian.Uint64(b[:8]))).UTC()}
	copy(p.ID[:], b[8:])
	if p.At.Before(time.Unix(0, 0)) || p.At.After(farFuture) {
		return Place{}, ErrPlace
	}
	return p, nil
}

// consentGiven is the one event about an account that has another target. The
// partial index of migration 0017 needs it as a literal.
const consentGiven = `'consent.given'`

// History lists a realm's events of some kinds that are about target, newest
// first, limit at most, from a place on. Consent that target gave to a client is
// among them. An index leads to each row: what it costs does not grow with what
// others do, nor with events of other kinds, which strangers may add.
func (l *Log) History(ctx context.Context, realm, target string, kinds []string, from Place, limit int) ([]Entry, error) {
	if len(kinds) == 0 || limit <= 0 {
		return nil, nil
	}
	query, args := historyQuery(realm, target, kinds, from, limit)
	rows, err := l.db.Query(ctx, query, args...)
	found, err := database.Collect(rows, err, scanEntry)
	if err != nil {
		return nil, fmt.Errorf("read history: %w", err)
	}
	return found, nil
}

// historyQuery asks for a page of each kind and merges them, so that each part is
// read from its place in the index.
func historyQuery(realm, target string, kinds []string, from Place, limit int) (string, []any) {
	if from == (Place{}) {
		from = Place{At: farFuture}
	}
	args := []any{realm, target, from.At, from.ID, int64(limit)}
	var parts []string
	part := func(column, kind string) {
		parts = append(parts, `SELECT * FROM (
			SELECT id, recorded_at, kind, outcome, actor, target, practice_id, client_id, ip, details
			FROM audit_events
			WHERE realm = $1 AND `+column+` = $2 AND (recorded_at, id) < ($3, $4) AND kind = `+kind+`
			ORDER BY recorded_at DESC, id DESC LIMIT $5) AS part`+strconv.Itoa(len(parts)))
	}
	for _, kind := range slices.Compact(slices.Sorted(slices.Values(kinds))) {
		args = append(args, kind)
		part("target", "$"+strconv.Itoa(len(args)))
		if kind == strings.Trim(consentGiven, "'") {
			part("actor", consentGiven)
		}
	}
	return `SELECT * FROM (` + strings.Join(parts, " UNION ALL ") + `) AS events ORDER BY recorded_at DESC, id DESC LIMIT $5`, args
}

func scanEntry(r *database.Rows) (Entry, error) {
	var e Entry
	var details string
	err := r.Scan(&e.ID, &e.At, &e.Kind, &e.Outcome, &e.Actor, &e.Target, &e.PracticeID, &e.ClientID, &e.IP, &details)
	if err != nil {
		return Entry{}, err
	}
	if err := json.Unmarshal([]byte(details), &e.Details); err != nil {
		return Entry{}, fmt.Errorf("decode details of event %s: %w", e.ID, err)
	}
	return e, nil
}
