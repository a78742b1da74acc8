package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/session"
)

// queue queues logout tokens for a client, of sessions that nobody had.
func (w *world) queue(e *ear, client string, n int) {
	w.t.Helper()
	c := &realm.Client{ID: client, BackchannelLogoutURI: e.URL + "/logout?client=" + client}
	for range n {
		ended := session.Ended{ID: database.NewID(), AccountID: w.account, Realm: w.r.Name}
		if err := w.p.queueLogout(context.Background(), w.r, c, ended, w.db.Now(context.Background())); err != nil {
			w.t.Fatal(err)
		}
	}
}

// heardBy counts the tokens that a client got.
func (e *ear) heardBy(t testing.TB, client string) int {
	n := 0
	for _, raw := range e.tokens() {
		if claims(t, raw)["aud"] == client {
			n++
		}
	}
	return n
}

// work runs workers until something holds, or the patience is over, and then
// releases what hangs.
func (w *world) work(workers int, patience time.Duration, release chan struct{}, holds func() bool) bool {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for range workers {
		running.Go(func() {
			if err := w.p.LogoutWorker(ctx); err != nil {
				w.t.Error(err)
			}
		})
	}
	defer running.Wait()
	defer close(release)
	defer cancel()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if holds() {
			return true
		}
	}
	return false
}

func TestAClientWhoseEndpointHangsDelaysNobodyElse(t *testing.T) {
	eachWithLogout(t, func(t *testing.T, w *world, e *ear) {
		release := make(chan struct{})
		e.hang = func(client string) <-chan struct{} {
			if client == "portal" {
				return release
			}
			return nil
		}
		w.queue(e, "portal", 60)
		w.queue(e, "spa", 40)
		began := time.Now()
		if !w.work(2, 8*time.Second, release, func() bool { return e.heardBy(t, "spa") == 40 }) {
			t.Errorf("%d of 40 after %s", e.heardBy(t, "spa"), time.Since(began))
		}
		if n := e.most["portal"]; n < 1 || n > logoutPerClient {
			t.Errorf("%d calls at once to a client that hangs, over all workers", n)
		}
	})
}

func TestStrangersThatHangLeaveHalfOfTheTurnsToOthers(t *testing.T) {
	eachWithLogout(t, func(t *testing.T, w *world, e *ear) {
		release := make(chan struct{})
		e.hang = func(client string) <-chan struct{} {
			if strings.HasPrefix(client, realm.RegisteredPrefix) {
				return release
			}
			return nil
		}
		for i := range 30 {
			w.queue(e, fmt.Sprintf("%s%022d", realm.RegisteredPrefix, i), 2)
		}
		under := func() int { e.mu.Lock(); defer e.mu.Unlock(); return e.at[""] }
		queued := false
		if !w.work(1, 5*time.Second, release, func() bool {
			if !queued && under() == logoutDoubtful {
				w.queue(e, "portal", 20) // the strangers were there first
				queued = true
			}
			return e.heardBy(t, "portal") == 20
		}) {
			t.Errorf("%d of 20", e.heardBy(t, "portal"))
		}
		if most := e.most[""]; most > logoutDoubtful+logoutPerClient {
			t.Errorf("%d calls at once", most)
		}
	})
}

func TestAClientThatIsDownIsLeftAloneForLongerAndLonger(t *testing.T) {
	eachWithLogout(t, func(t *testing.T, w *world, e *ear) {
		e.answer(http.StatusServiceUnavailable)
		w.queue(e, "portal", 25)
		if n := w.deliver(); n != 1 {
			t.Fatalf("%d attempts at a client that is down", n)
		}
		var waits []time.Duration
		for range 6 {
			before := len(e.tokens())
			for wait := time.Duration(0); len(e.tokens()) == before; wait += time.Second {
				dbtest.Advance(w.db, time.Second)
				if n := w.deliver(); n > 1 {
					t.Fatalf("%d attempts after a pause", n)
				} else if n == 1 {
					waits = append(waits, wait+time.Second)
				}
				if wait > time.Hour {
					t.Fatal("never tried again")
				}
			}
		}
		if waits[5] < 8*waits[0] || !slices.IsSorted(waits) {
			t.Errorf("pauses %v", waits)
		}
		e.answer(http.StatusOK)
		dbtest.Advance(w.db, 10*time.Minute)
		w.deliver()
		if n := w.count(`SELECT count(*) FROM logout_deliveries WHERE state = 'delivered'`); n != 25 {
			t.Errorf("%d of 25 delivered once it is back", n)
		}
		if n := w.count(`SELECT failures FROM logout_clients WHERE client_id = 'portal'`); n != 0 {
			t.Errorf("%d failures remembered", n)
		}
	})
}

// 400 says that this token is not wanted, not that the client is down.
func TestATokenThatIsRefusedDelaysNoOther(t *testing.T) {
	eachWithLogout(t, func(t *testing.T, w *world, e *ear) {
		e.answer(http.StatusBadRequest)
		w.queue(e, "portal", 10)
		if n := w.deliver(); n != 10 {
			t.Errorf("%d attempts", n)
		}
		e.answer(http.StatusNoContent)
		dbtest.Advance(w.db, 5*time.Second)
		if n := w.deliver(); n != 10 {
			t.Errorf("%d attempts", n)
		}
	})
}

func TestClientsTakeTurnsTheOldestTokenFirst(t *testing.T) {
	eachWithLogout(t, func(t *testing.T, w *world, e *ear) {
		ctx := context.Background()
		w.queue(e, "portal", 4)
		dbtest.Advance(w.db, time.Second)
		w.queue(e, "spa", 3)
		dbtest.Advance(w.db, time.Second)
		var turns []string
		last := map[string]time.Time{}
		for {
			d, err := w.p.claimLogout(ctx, true)
			if errors.Is(err, database.ErrNoRows) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			turns = append(turns, d.client)
			if d.created.Before(last[d.client]) {
				t.Error("a younger token went first")
			}
			last[d.client] = d.created
			dbtest.Advance(w.db, time.Millisecond)
		}
		if got := strings.Join(turns, " "); got != "portal spa portal spa" {
			t.Errorf("turns: %s", got)
		}
		// A worker that died gives its turn back.
		dbtest.Advance(w.db, logoutLease+time.Second)
		if n := w.deliver(); n != 7 {
			t.Errorf("%d of 7 delivered", n)
		}
	})
}

func TestATokenThatNobodyGotIsGivenUpSeenAndCounted(t *testing.T) {
	eachWithLogout(t, func(t *testing.T, w *world, e *ear) {
		reg := prometheus.NewRegistry()
		w.p.Measure(reg)
		w.queue(e, "portal", 3)
		w.queue(e, "spa", 1)
		w.exec(`UPDATE logout_clients SET failures = 9, not_before = $1`, w.db.Now(context.Background()).Add(24*time.Hour))
		dbtest.Advance(w.db, time.Hour)
		if err := w.p.measureLogouts(context.Background()); err != nil {
			t.Fatal(err)
		}
		if n, age, down := figure(t, reg, "portico_logout_queue_tokens"), figure(t, reg, "portico_logout_queue_oldest_seconds"), figure(t, reg, "portico_logout_clients_down"); n != 4 || age < 3600 || age > 3700 || down != 2 {
			t.Errorf("%v waiting, the oldest for %v seconds, %v down", n, age, down)
		}
		dbtest.Advance(w.db, time.Hour)
		if n := w.deliver(); n != 0 || len(e.tokens()) != 0 {
			t.Errorf("%d told after the end", n)
		}
		if n := w.count(`SELECT count(*) FROM logout_deliveries WHERE state = 'expired'`); n != 4 {
			t.Errorf("%d expired", n)
		}
		for client, n := range map[string]string{"portal": `"deliveries":3`, "spa": `"deliveries":1`} {
			if got := w.count(`SELECT count(*) FROM audit_events WHERE kind = 'logout.undelivered' AND client_id = $1 AND details LIKE $2`, client, "%"+n+"%"); got != 1 {
				t.Errorf("%s: %d events", client, got)
			}
		}
		if n := figure(t, reg, "portico_logout_tokens_total", "expired"); n != 4 {
			t.Errorf("%v counted", n)
		}
		w.exec(`UPDATE logout_clients SET not_before = $1`, w.db.Now(context.Background()))
		w.queue(e, "spa", 1)
		w.deliver()
		if n := figure(t, reg, "portico_logout_tokens_total", "delivered"); n != 1 {
			t.Errorf("%v delivered", n)
		}
	})
}

// figure reads a metric, of one result if it is counted by results. No metric
// has another label: clients are not to be told apart.
func figure(t *testing.T, reg *prometheus.Registry, name string, result ...string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				if l.GetName() != "result" {
					t.Errorf("%s has the label %s", f.GetName(), l.GetName())
				}
				labels = append(labels, l.GetValue())
			}
			if f.GetName() == name && slices.Equal(labels, result) {
				return m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	t.Fatalf("no %s %v", name, result)
	return 0
}

func TestAClientIsForgottenWithItsTokensAndNoTokenIsLost(t *testing.T) {
	eachWithLogout(t, func(t *testing.T, w *world, e *ear) {
		ctx := context.Background()
		w.queue(e, "portal", 1)
		w.deliver()
		if err := w.p.CleanUp(ctx); err != nil || w.count(`SELECT count(*) FROM logout_clients`) != 1 {
			t.Error("forgotten at once", err)
		}
		dbtest.Advance(w.db, logoutKeep+time.Hour)
		if err := w.p.CleanUp(ctx); err != nil || w.count(`SELECT count(*) FROM logout_clients`) != 0 || w.count(`SELECT count(*) FROM logout_deliveries`) != 0 {
			t.Error("kept for ever", err)
		}
		// Queued in the instant in which its client was forgotten.
		w.queue(e, "spa", 1)
		w.exec(`DELETE FROM logout_clients`)
		if w.deliver() != 0 {
			t.Error("delivered without a turn")
		}
		if err := w.p.CleanUp(ctx); err != nil || w.deliver() != 1 {
			t.Error("lost", err)
		}
	})
}
