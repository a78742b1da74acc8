package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/secret"
)

var testKey = bytes.Repeat([]byte{7}, 32)

func newLog(t *testing.T, db *database.DB, keys ...[]byte) *Log {
	t.Helper()
	if len(keys) == 0 {
		keys = [][]byte{testKey}
	}
	l, err := New(db, Options{Keys: keys, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func record(t *testing.T, l *Log, n int) {
	t.Helper()
	for i := range n {
		err := l.Record(context.Background(), Event{
			Realm: "patient", Kind: "signin.succeeded", Actor: "account:a", Target: fmt.Sprintf("account:%d", i),
			IP: "192.0.2.1", Details: map[string]any{"device": "Firefox", "n": i},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func chainAll(t *testing.T, l *Log) (n int) {
	t.Helper()
	for {
		m, err := l.Chain(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if n += m; m == 0 {
			return n
		}
	}
}

func count(t *testing.T, db *database.DB, query string, args ...any) (n int64) {
	t.Helper()
	if err := db.QueryRow(context.Background(), query, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// tamper runs statements with the triggers out of the way, as somebody does
// who owns the database.
func tamper(t *testing.T, db *database.DB, statements ...string) {
	t.Helper()
	ctx := context.Background()
	triggers := map[string]string{
		"audit_events_append_only": "audit_events", "audit_chain_append_only": "audit_chain", "audit_head_stays": "audit_head",
	}
	off := func(name, table string) string { return "ALTER TABLE " + table + " DISABLE TRIGGER " + name }
	on := func(name, table string) string { return "ALTER TABLE " + table + " ENABLE TRIGGER " + name }
	if db.Engine() == database.SQLite {
		sources, err := queryTriggers(ctx, db)
		if err != nil || len(sources) == 0 {
			t.Fatal("no triggers", err)
		}
		triggers = map[string]string{}
		for _, s := range sources {
			triggers[s[0]] = s[1]
		}
		off = func(name, _ string) string { return "DROP TRIGGER " + name }
		on = func(_, source string) string { return source }
	}
	run := func(sql string) {
		if _, err := db.Exec(ctx, sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	for name, table := range triggers {
		run(off(name, table))
	}
	for _, s := range statements {
		run(s)
	}
	for name, table := range triggers {
		run(on(name, table))
	}
}

func queryTriggers(ctx context.Context, db *database.DB) ([][2]string, error) {
	rows, err := db.Query(ctx, `SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'audit_%'`)
	return database.Collect(rows, err, func(r *database.Rows) (s [2]string, err error) {
		err = r.Scan(&s[0], &s[1])
		return s, err
	})
}

func TestAnEventIsKeptAsItWasRecorded(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		l := newLog(t, db)
		account := uuid.MustParse("01890a5d-ac96-774b-bcce-b302099a8057")
		err := l.Record(context.Background(), Event{
			Realm: "practice", Kind: "email.changed", Outcome: Failure, Severity: High, Actor: Account(account), Target: Client("spa"),
			PracticeID: "p", ClientID: "c", IP: "2001:db8::", Details: map[string]any{"reason": "<typo>", "a": []int{1}},
		})
		if err != nil {
			t.Fatal(err)
		}
		var got [11]string
		var at time.Time
		err = db.QueryRow(context.Background(), `
			SELECT recorded_at, realm, kind, outcome, severity, actor, target, practice_id, client_id, ip, details FROM audit_events`).
			Scan(&at, &got[0], &got[1], &got[2], &got[3], &got[4], &got[5], &got[6], &got[7], &got[8], &got[9])
		if err != nil {
			t.Fatal(err)
		}
		want := [11]string{"practice", "email.changed", "failure", "high", "account:" + account.String(), "client:spa", "p", "c", "2001:db8::",
			`{"a":[1],"reason":"\u003ctypo\u003e"}`}
		if got != want || time.Since(at) > time.Minute {
			t.Errorf("%v %q", at, got)
		}
	})
}

func TestEventsBelongToTheTransaction(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		l, stop := newLog(t, db), errors.New("stop")
		err := db.InTx(context.Background(), func(ctx context.Context) error {
			if err := l.Record(ctx, Event{Kind: "password.changed"}); err != nil {
				t.Error(err)
			}
			return stop
		})
		if !errors.Is(err, stop) || count(t, db, `SELECT COUNT(*) FROM audit_events`) != 0 || count(t, db, `SELECT COUNT(*) FROM audit_unchained`) != 0 {
			t.Error("an undone action left an event", err)
		}
		var b database.Batch
		l.Queue(context.Background(), &b, Event{Kind: "token.reuse_detected"})
		if _, err := db.Batch(context.Background(), &b); err != nil {
			t.Fatal(err)
		}
		if chainAll(t, l) != 1 {
			t.Error("a queued event is not sealed")
		}
		if err := l.Verify(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

func TestWithoutTheLogNothingHappens(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		l := newLog(t, db)
		if _, err := db.Exec(context.Background(), `DROP TABLE audit_unchained`); err != nil {
			t.Fatal(err)
		}
		err := db.InTx(context.Background(), func(ctx context.Context) error {
			_, err := db.Exec(ctx, `INSERT INTO rate_counters (counter_key, window_at, hits, expires_at) VALUES ('k', $1, 1, $1)`, db.Now(ctx))
			if err != nil {
				return err
			}
			return l.Record(ctx, Event{Kind: "password.changed"})
		})
		if err == nil || count(t, db, `SELECT COUNT(*) FROM rate_counters`) != 0 || count(t, db, `SELECT COUNT(*) FROM audit_events`) != 0 {
			t.Error("the action happened without its event", err)
		}
	})
}

func TestEventsCannotBeChangedOrRemoved(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		l, ctx := newLog(t, db), context.Background()
		record(t, l, 3)
		chainAll(t, l)
		statements := []string{
			`UPDATE audit_events SET actor = 'nobody'`, `DELETE FROM audit_events`,
			`UPDATE audit_chain SET seq = seq + 10`, `DELETE FROM audit_chain`, `DELETE FROM audit_head`,
		}
		if db.Engine() == database.Postgres {
			statements = append(statements, `TRUNCATE audit_events`, `TRUNCATE audit_chain`)
		}
		for _, s := range statements {
			if _, err := db.Exec(ctx, s); err == nil {
				t.Errorf("%s was allowed", s)
			}
		}
		if err := l.Verify(ctx); err != nil {
			t.Error(err)
		}
		// After six years an event may go, and the chain still holds.
		ms := time.Now().AddDate(-6, 0, -1)
		var b database.Batch
		r := newRow(idAt(ms), ms, Event{Kind: "signin.succeeded"})
		b.Queue(`INSERT INTO audit_events (id, recorded_at, realm, kind, outcome, severity, details) VALUES ($1, $2, '', $3, $4, $5, '{}')`,
			r.id, r.at.UTC().Truncate(time.Microsecond), r.text[1], r.text[2], r.text[3])
		b.Queue(`INSERT INTO audit_unchained (event_id) VALUES ($1)`, r.id)
		if _, err := db.Batch(ctx, &b); err != nil {
			t.Fatal(err)
		}
		chainAll(t, l)
		if n, err := db.Exec(ctx, `DELETE FROM audit_events WHERE id = $1`, r.id); n != 1 || err != nil {
			t.Errorf("an event older than six years cannot be removed: %v", err)
		}
		if err := l.Verify(ctx); err != nil {
			t.Error(err)
		}
	})
}

func idAt(at time.Time) uuid.UUID {
	id := uuid.Must(uuid.NewV7())
	ms := uint64(at.UnixMilli())
	for i := range 6 {
		id[i] = byte(ms >> (8 * (5 - i)))
	}
	return id
}

func TestVerifyFindsTampering(t *testing.T) {
	for name, c := range map[string]struct {
		do   []string
		says string
	}{
		"altered":            {[]string{`UPDATE audit_events SET actor = 'account:b' WHERE target = 'account:3'`}, "was altered"},
		"altered time":       {[]string{`UPDATE audit_events SET recorded_at = (SELECT MAX(recorded_at) FROM audit_events) WHERE target = 'account:3'`}, "was altered"},
		"shifted columns":    {[]string{`UPDATE audit_events SET actor = 'account:', target = 'a' || target WHERE target = 'account:3'`}, "was altered"},
		"removed":            {[]string{`DELETE FROM audit_events WHERE target = 'account:3'`}, "was removed"},
		"removed with link":  {[]string{`DELETE FROM audit_chain WHERE seq = 4`, `DELETE FROM audit_events WHERE target = 'account:3'`}, "links 4 to 4 of the chain are gone"},
		"renumbered":         {[]string{`DELETE FROM audit_chain WHERE seq = 4`, `DELETE FROM audit_events WHERE target = 'account:3'`, `UPDATE audit_chain SET seq = 4 WHERE seq = 5`, `UPDATE audit_chain SET seq = 5 WHERE seq = 6`}, "does not follow"},
		"reordered":          {[]string{`UPDATE audit_chain SET seq = 100 WHERE seq = 3`, `UPDATE audit_chain SET seq = 3 WHERE seq = 4`, `UPDATE audit_chain SET seq = 4 WHERE seq = 100`}, "does not follow"},
		"link removed":       {[]string{`DELETE FROM audit_chain WHERE seq = 4`}, "neither sealed nor waiting"},
		"end cut off":        {[]string{`DELETE FROM audit_chain WHERE seq > 4`, `DELETE FROM audit_events WHERE target IN ('account:4', 'account:5')`}, "links 5 to 6 at the end"},
		"end and head":       {[]string{`DELETE FROM audit_chain WHERE seq > 4`, `DELETE FROM audit_events WHERE target IN ('account:4', 'account:5')`, `UPDATE audit_head SET seq = 4, hash = (SELECT hash FROM audit_chain WHERE seq = 4)`}, "head of the chain was"},
		"head put back":      {[]string{`DELETE FROM audit_chain WHERE seq > 4`, `DELETE FROM audit_events WHERE target IN ('account:4', 'account:5')`, `UPDATE audit_head SET seq = 0, hash = $EMPTY, seal = $EMPTY`}, "head of the chain was"},
		"head removed":       {[]string{`DELETE FROM audit_head`}, "head of the chain was"},
		"added by hand":      {[]string{`INSERT INTO audit_events SELECT event_id, (SELECT MAX(recorded_at) FROM audit_events), 'patient', 'signin.succeeded', 'success', 'info', '', '', '', '', '', '{}' FROM (SELECT $ID AS event_id) AS one`}, "neither sealed nor waiting"},
		"removed in between": {[]string{`DELETE FROM audit_events WHERE target = 'account:6'`}, "removed before it was sealed"},
	} {
		t.Run(name, func(t *testing.T) {
			dbtest.Each(t, func(t *testing.T, db *database.DB) {
				l, ctx := newLog(t, db), context.Background()
				record(t, l, 6)
				chainAll(t, l)
				if name == "removed in between" {
					record(t, l, 7)
				}
				if err := l.Verify(ctx); err != nil {
					t.Fatal(err)
				}
				fresh := idAt(time.Now())
				engine := strings.NewReplacer("$ID", `'`+fresh.String()+`'::uuid`, "$EMPTY", `''`)
				if db.Engine() == database.SQLite {
					engine = strings.NewReplacer("$ID", fmt.Sprintf(`x'%x'`, fresh[:]), "$EMPTY", `x''`)
				}
				do := make([]string, len(c.do))
				for i, s := range c.do {
					do[i] = engine.Replace(s)
				}
				tamper(t, db, do...)
				err := l.Verify(ctx)
				if !errors.Is(err, ErrTampered) || !strings.Contains(err.Error(), c.says) {
					t.Errorf("found %v, expected %q", err, c.says)
				}
				chainAll(t, l) // what comes after does not heal it
				if err := l.Verify(ctx); !errors.Is(err, ErrTampered) {
					t.Errorf("later: %v", err)
				}
			})
		})
	}
}

func TestAStrangersChainDoesNotVerify(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		ctx := context.Background()
		forger := newLog(t, db, bytes.Repeat([]byte{8}, 32))
		record(t, forger, 2)
		chainAll(t, forger)
		if err := newLog(t, db).Verify(ctx); !errors.Is(err, ErrTampered) {
			t.Error(err)
		}
		// After a change of the key both parts verify under both keys.
		next := newLog(t, db, testKey, bytes.Repeat([]byte{8}, 32))
		record(t, next, 2)
		chainAll(t, next)
		if err := next.Verify(ctx); err != nil {
			t.Error(err)
		}
	})
}

func TestManyWritersAndReplicasMakeOneChain(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		ctx, cancel := context.WithCancel(context.Background())
		var workers, writers sync.WaitGroup
		for range 4 {
			l := newLog(t, db)
			workers.Go(func() {
				for ctx.Err() == nil {
					if _, err := l.Chain(ctx); err != nil && ctx.Err() == nil {
						t.Error(err)
					}
				}
			})
		}
		for range 5 {
			writers.Go(func() { record(t, newLog(t, db), 40) })
		}
		writers.Wait()
		l := newLog(t, db)
		for deadline := time.Now().Add(20 * time.Second); count(t, db, `SELECT COUNT(*) FROM audit_unchained`) > 0 && time.Now().Before(deadline); {
			time.Sleep(10 * time.Millisecond)
		}
		if err := l.Verify(context.Background()); err != nil {
			t.Error("while the workers run:", err)
		}
		cancel()
		workers.Wait()
		if n := count(t, db, `SELECT COUNT(*) FROM audit_chain`); n != 200 {
			t.Errorf("%d links of 200", n)
		}
		if n := count(t, db, `SELECT MAX(seq) FROM audit_chain`); n != 200 {
			t.Errorf("the last link is %d", n)
		}
		if err := l.Verify(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

func TestVerifyReadsLongChains(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		l := newLog(t, db)
		var b database.Batch
		for range 2*pageSize + 17 {
			l.Queue(context.Background(), &b, Event{Kind: "signin.failed", Outcome: Failure})
		}
		if _, err := db.Batch(context.Background(), &b); err != nil {
			t.Fatal(err)
		}
		if n := chainAll(t, l); n != 2*pageSize+17 {
			t.Fatal(n)
		}
		if err := l.Verify(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

func TestTheWorkerSealsUntilItIsStopped(t *testing.T) {
	db := dbtest.SQLite(t)
	l := newLog(t, db)
	record(t, l, 3)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.ChainWorker(ctx) }()
	for deadline := time.Now().Add(10 * time.Second); count(t, db, `SELECT COUNT(*) FROM audit_chain`) < 3; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not sealed")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestNoSecretIsInTheDetails(t *testing.T) {
	tok := secret.NewToken()
	jwt := "eyJhbGciOiJFUzI1NiJ9." + strings.Repeat("QUJD", 20) + ".sig"
	in := map[string]any{
		"token_value": tok, "smtp": secret.Text("hunter2-canary"), "Password": "canary-password", "new_password": "canary-password",
		"answer": "canary-answer", "client-secret": "canary-secret", "link": "https://id.example.test/reset/canary-link",
		"url": "https://id.example.test/patient/reset/" + tok.Reveal(), "header": "Bearer " + jwt,
		"nested": map[string]any{"list": []any{tok.Reveal(), map[string]any{"code": "canary-code"}}},
		"kept":   "2 of 5", "count": 3, "kid": strings.Repeat("k", 43),
	}
	out := details(in)
	for _, canary := range []string{tok.Reveal(), "canary", jwt, "QUJDQUJD"} {
		if strings.Contains(out, canary) {
			t.Errorf("%q is in %s", canary, out)
		}
	}
	for _, kept := range []string{`"kept":"2 of 5"`, `"count":3`, `"kid":"` + strings.Repeat("k", 43)} {
		if !strings.Contains(out, kept) {
			t.Errorf("%s is not in %s", kept, out)
		}
	}
	if got := details(map[string]any{"f": func() {}}); !strings.Contains(got, "cannot be encoded") {
		t.Error(got)
	}
	if got := details(map[string]any{"long": strings.Repeat("é", 4000)}); len(got) > 600 {
		t.Error(len(got))
	}
}

func TestWhatAttackersTypeCanBeStored(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		l := newLog(t, db)
		nasty := "a\x00b\xff\xfe" + strings.Repeat("é", 600)
		err := l.Record(context.Background(), Event{Kind: "signin.failed", Outcome: Failure, Target: nasty, IP: nasty,
			Details: map[string]any{"email": nasty, nasty: 1}})
		if err != nil {
			t.Fatal(err)
		}
		chainAll(t, l)
		if err := l.Verify(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

func TestAChainNeedsAKey(t *testing.T) {
	if _, err := New(nil, Options{}); err == nil {
		t.Error("no key was accepted")
	}
	if _, err := New(nil, Options{Keys: [][]byte{make([]byte, 5)}}); err == nil {
		t.Error("a short key was accepted")
	}
}
