package audit

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/database/dbtest"
)

func TestHistoryIsReadPageByPage(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		ctx, l := context.Background(), newLog(t, db)
		me, other := Account(uuid.New()), Account(uuid.New())
		now := db.Now(ctx)
		// Several events share an instant, as those of one transaction do.
		at := now.Add(-time.Hour)
		dbtest.SetNow(db, func() time.Time { return at })
		for i := range 25 {
			if i%3 == 0 {
				at = at.Add(time.Second)
			}
			for _, e := range []Event{
				{Realm: "patient", Kind: "signin.succeeded", Actor: me, Target: me, IP: "192.0.2.1", Details: map[string]any{"n": fmt.Sprint(i)}},
				{Realm: "patient", Kind: "signin.succeeded", Actor: other, Target: other},
				{Realm: "practice", Kind: "signin.succeeded", Actor: me, Target: me},
				{Realm: "patient", Kind: "mail.sent", Actor: "system", Target: me},
				{Realm: "patient", Kind: "grant.created", Actor: me, Target: Client("spa")},
			} {
				if err := l.Record(ctx, e); err != nil {
					t.Fatal(err)
				}
			}
		}
		at = at.Add(-5 * time.Second) // somewhere in the middle
		if err := l.Record(ctx, Event{Realm: "patient", Kind: "consent.given", Actor: me, Target: Client("spa"), ClientID: "spa"}); err != nil {
			t.Fatal(err)
		}
		kinds := []string{"signin.succeeded", "consent.given"}
		var all []Entry
		place := Place{}
		for range 10 {
			page, err := l.History(ctx, "patient", me, kinds, place, 10)
			if err != nil {
				t.Fatal(err)
			}
			if len(page) == 0 {
				break
			}
			all = append(all, page...)
			if place, err = ParsePlace(page[len(page)-1].Place().String()); err != nil {
				t.Fatal(err)
			}
		}
		seen := map[uuid.UUID]bool{}
		consents := 0
		for i, e := range all {
			if seen[e.ID] || i > 0 && e.At.After(all[i-1].At) || e.Actor != me {
				t.Errorf("%d: %+v", i, e)
			}
			seen[e.ID] = true
			if e.Kind == "consent.given" && e.ClientID == "spa" {
				consents++
			}
		}
		if len(all) != 26 || consents != 1 || all[0].Text("n") == "" || all[0].IP != "192.0.2.1" {
			t.Errorf("%d events, %d consents, first %+v", len(all), consents, all[0])
		}
		if none, err := l.History(ctx, "patient", me, nil, Place{}, 10); len(none) != 0 || err != nil {
			t.Errorf("without kinds: %v %v", none, err)
		}
	})
}

func TestAPlaceIsReadStrictly(t *testing.T) {
	for _, s := range []string{"x", "AAAA", strings.Repeat("_", 32), strings.Repeat("A", 31) + "=", strings.Repeat("A", 64)} {
		if _, err := ParsePlace(s); !errors.Is(err, ErrPlace) {
			t.Errorf("%q: %v", s, err)
		}
	}
}

// Reading a history walks an index on both engines, however many events others
// have, and sorts no more than a page.
func TestHistoryNeverScansTheTable(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		ctx := context.Background()
		id, now := `gen_random_uuid()`, `now() - n * interval '1 second'`
		rows := `generate_series(1, 20000) AS s(n)`
		explain := "EXPLAIN "
		if db.Engine() == database.SQLite {
			id, now, explain = `randomblob(16)`, `unixepoch() * 1000000 - n * 1000000`, "EXPLAIN QUERY PLAN "
			rows = `(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 20000) SELECT n FROM s)`
		}
		person := `CAST(n % 100 AS TEXT)`
		for _, e := range [][3]string{{"signin.succeeded", person, person}, {"consent.given", person, "'client:spa'"}} {
			if _, err := db.Exec(ctx, `INSERT INTO audit_events (id, recorded_at, realm, kind, outcome, severity, actor, target)
				SELECT `+id+`, `+now+`, 'patient', '`+e[0]+`', 'success', 'info', `+e[1]+`, `+e[2]+` FROM `+rows); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := db.Exec(ctx, "ANALYZE audit_events"); err != nil {
			t.Fatal(err)
		}
		query, args := historyQuery("patient", "7", []string{"signin.succeeded", "consent.given", "password.changed"}, Place{}, 21)
		plan, err := explained(ctx, db, explain+query, args)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Join(plan, "\n")
		for _, bad := range []string{"Seq Scan", "Bitmap", "SCAN audit_events", "Recheck"} {
			if strings.Contains(text, bad) {
				t.Errorf("%s in the plan:\n%s", bad, text)
			}
		}
		for _, index := range []string{"audit_events_kind", "audit_events_consent"} {
			if !strings.Contains(text, index) {
				t.Errorf("%s is not used:\n%s", index, text)
			}
		}
	})
}

// A stranger who fails to sign in thousands of times makes nothing slower that is
// read about the account, some of it while others wait.
func TestFailedSignInsStandInTheWayOfNothingElse(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		ctx, l := context.Background(), newLog(t, db)
		id, now := `gen_random_uuid()`, `now() - n * interval '1 second'`
		rows := `generate_series(1, 20000) AS s(n)`
		explain := "EXPLAIN "
		if db.Engine() == database.SQLite {
			id, now, explain = `randomblob(16)`, `unixepoch() * 1000000 - n * 1000000`, "EXPLAIN QUERY PLAN "
			rows = `(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 20000) SELECT n FROM s)`
		}
		if _, err := db.Exec(ctx, `INSERT INTO audit_events (id, recorded_at, realm, kind, outcome, severity, actor, target)
			SELECT `+id+`, `+now+`, 'patient', 'signin.failed', 'failure', 'info', 'anonymous', 'me' FROM `+rows); err != nil {
			t.Fatal(err)
		}
		if err := l.Record(ctx, Event{Realm: "patient", Kind: "email.changed", Actor: "me", Target: "me"}); err != nil {
			t.Fatal(err)
		}
		for _, statistics := range []string{"", "ANALYZE audit_events"} {
			if statistics != "" {
				if _, err := db.Exec(ctx, statistics); err != nil {
					t.Fatal(err)
				}
			}
			query, args := historyQuery("patient", "me", []string{"email.changed", "password.changed"}, Place{}, 100)
			plan, err := explained(ctx, db, explain+query, args)
			if err != nil {
				t.Fatal(err)
			}
			found := 0
			for _, line := range plan {
				if !strings.Contains(line, "audit_events") || strings.Contains(line, "Sort Key") {
					continue
				}
				if found++; strings.Contains(line, "Seq Scan") || !strings.Contains(line, "audit_events_kind") ||
					db.Engine() == database.SQLite && !strings.Contains(line, "target=? AND kind=?") {
					t.Errorf("%q: %s", statistics, line)
				}
			}
			text := strings.Join(plan, "\n")
			if found < 2 || db.Engine() == database.Postgres && (!strings.Contains(text, "(kind = ") || strings.Contains(text, "Filter: (kind")) {
				t.Errorf("%q: the kind does not lead to the rows:\n%s", statistics, text)
			}
		}
		if found, err := l.History(ctx, "patient", "me", []string{"email.changed"}, Place{}, 10); err != nil || len(found) != 1 {
			t.Errorf("%v %v", found, err)
		}
	})
}

func explained(ctx context.Context, db *database.DB, query string, args []any) ([]string, error) {
	rows, err := db.Query(ctx, query, args...)
	return database.Collect(rows, err, func(r *database.Rows) (line string, err error) {
		if db.Engine() == database.SQLite {
			var a, b, c int64
			err = r.Scan(&a, &b, &c, &line)
			return line, err
		}
		err = r.Scan(&line)
		return line, err
	})
}
