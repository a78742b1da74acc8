package mail

import (
	"context"
	"crypto/tls"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	gosmtp "github.com/emersion/go-smtp"
	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/database/dbtest"
)

// onlyOnce fails the test when two sends of one letter overlap.
type onlyOnce struct {
	Sender
	t      *testing.T
	mu     sync.Mutex
	active map[string]bool
	total  atomic.Int64
}

func (s *onlyOnce) Send(ctx context.Context, m Message) error {
	s.mu.Lock()
	if s.active[m.ID] {
		s.t.Errorf("letter %s is being sent twice", m.ID)
	}
	s.active[m.ID] = true
	s.mu.Unlock()
	s.total.Add(1)
	err := s.Sender.Send(ctx, m)
	s.mu.Lock()
	delete(s.active, m.ID)
	s.mu.Unlock()
	return err
}

func TestManyWorkersSendEachLetterOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		server := startServer(t, plainServer, tls.Certificate{}, "", &mailServer{data: func(string) error { time.Sleep(5 * time.Millisecond); return nil }})
		watch := &onlyOnce{Sender: smtpTo(t, server.addr), t: t, active: map[string]bool{}}
		ctx, cancel := context.WithCancel(context.Background())
		var workers sync.WaitGroup
		var h house
		for range 3 {
			h = newHouse(t, db, watch)
			workers.Go(func() {
				if err := h.Worker(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		for range 60 {
			h.queue(t, h.resetLetter(testLink))
		}
		waitFor(t, func() bool {
			n, _, err := h.depth(context.Background())
			return err == nil && n == 0
		})
		cancel()
		workers.Wait()
		if n := len(server.messages()); n != 60 || watch.total.Load() != 60 {
			t.Errorf("%d letters arrived, %d were sent, 60 were queued", n, watch.total.Load())
		}
	})
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited too long")
		}
	}
}

func TestALetterLeavesAtOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		server := startServer(t, plainServer, tls.Certificate{}, "", &mailServer{})
		h := newHouse(t, db, smtpTo(t, server.addr))
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error)
		go func() { done <- h.Worker(ctx) }()
		time.Sleep(1500 * time.Millisecond) // idle: it polls once a second now
		began := time.Now()
		err := db.InTx(context.Background(), func(ctx context.Context) error {
			if _, err := h.Queue(ctx, h.resetLetter(testLink)); err != nil {
				return err
			}
			time.Sleep(60 * time.Millisecond) // the transaction goes on after the letter
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		waitFor(t, func() bool { return len(server.messages()) == 1 })
		if took := time.Since(began); took > 500*time.Millisecond {
			t.Errorf("it left after %s", took)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestStoppingFinishesWhatIsUnderWay(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		sending, goOn := make(chan struct{}), make(chan struct{})
		server := startServer(t, plainServer, tls.Certificate{}, "", &mailServer{data: func(string) error { close(sending); <-goOn; return nil }})
		h := newHouse(t, db, smtpTo(t, server.addr))
		ctx, cancel := context.WithCancel(context.Background())
		id := h.queue(t, h.resetLetter(testLink))
		done := make(chan error)
		go func() { done <- h.Worker(ctx) }()
		<-sending
		cancel()
		close(goOn)
		if err := <-done; err != nil {
			t.Error(err)
		}
		if s := h.stored(t, id); s.state != Sent || len(server.messages()) != 1 {
			t.Errorf("%+v", s)
		}
	})
}

func TestWhoLosesTheLeaseStopsSending(t *testing.T) {
	db := dbtest.SQLite(t)
	stopped := make(chan struct{})
	h := newHouse(t, db, senderFunc(func(ctx context.Context, _ Message) error {
		<-ctx.Done()
		close(stopped)
		return ctx.Err()
	}))
	h.renewal = 50 * time.Millisecond
	id := h.queue(t, h.resetLetter(testLink))
	go h.DeliverDue(context.Background()) //nolint:errcheck // it waits for the sender
	waitFor(t, func() bool { return h.stored(t, id).attempts == 1 })
	// Another worker's claim, as after a pause of this one's machine.
	if _, err := db.Exec(context.Background(), `UPDATE mail_outbox SET attempts = 2 WHERE id = $1`, id); err != nil {
		t.Fatal(err)
	}
	select {
	case <-stopped:
	case <-time.After(10 * time.Second):
		t.Fatal("it went on sending")
	}
}

type senderFunc func(ctx context.Context, m Message) error

func (f senderFunc) Send(ctx context.Context, m Message) error { return f(ctx, m) }

func TestAnOutageDelaysAndLosesNothing(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		server := startServer(t, plainServer, tls.Certificate{}, "", &mailServer{})
		addr := server.addr
		server.stop()
		h := newHouse(t, db, smtpTo(t, addr))
		var ids []uuid.UUID
		for range 5 {
			ids = append(ids, h.queue(t, h.resetLetter(testLink)))
		}
		tries := 0
		for range 24 { // two hours
			tries += h.deliver(t)
			dbtest.Advance(db, 5*time.Minute)
		}
		if tries < 5*8 || tries > 5*24 {
			t.Errorf("%d tries", tries)
		}
		up := startServer(t, plainServer, tls.Certificate{}, addr, &mailServer{})
		dbtest.Advance(db, mostRetry*3/2)
		h.deliver(t)
		if n := len(up.messages()); n != 5 {
			t.Errorf("%d of 5 arrived after the outage", n)
		}
		for _, id := range ids {
			if s := h.stored(t, id); s.state != Sent || s.lastError != "" {
				t.Errorf("%+v", s)
			}
		}
	})
}

func TestADeadLinkIsNeverSent(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		server := startServer(t, plainServer, tls.Certificate{}, "", &mailServer{})
		addr := server.addr
		server.stop()
		h := newHouse(t, db, smtpTo(t, addr))
		id := h.queue(t, h.resetLetter(testLink))
		// A NotAfter that is later than the link lives changes nothing.
		l := h.resetLetter(testLink)
		l.NotAfter = l.NotAfter.Add(1000 * time.Hour)
		id2 := h.queue(t, l)
		h.deliver(t)
		up := startServer(t, plainServer, tls.Certificate{}, addr, &mailServer{})
		dbtest.Advance(db, 48*time.Hour)
		if n := h.deliver(t); n != 0 || len(up.messages()) != 0 {
			t.Error("a dead link was sent")
		}
		for _, id := range []uuid.UUID{id, id2} {
			if s := h.stored(t, id); s.state != Expired || len(s.sealed) != 0 || s.sent != nil {
				t.Errorf("%+v", s)
			}
		}
		if len(*h.ends) != 2 || (*h.ends)[0].State != Expired || !strings.Contains(h.logs.String(), "level=ERROR") {
			t.Errorf("nobody was told: %+v", *h.ends)
		}
	})
}

func TestARefusalForGoodEndsTheLetter(t *testing.T) {
	for name, c := range map[string]struct {
		code  int
		state State
	}{"no such user": {550, Failed}, "mailbox full": {452, Queued}, "authenticate first": {530, Queued}} {
		t.Run(name, func(t *testing.T) {
			dbtest.Each(t, func(t *testing.T, db *database.DB) {
				refuse := func() error { return &gosmtp.SMTPError{Code: c.code, Message: name} }
				server := startServer(t, plainServer, tls.Certificate{}, "", &mailServer{rcpt: refuse})
				if c.code == 530 {
					server.rcpt, server.mail = nil, refuse
				}
				h := newHouse(t, db, smtpTo(t, server.addr))
				id := h.queue(t, h.resetLetter(testLink))
				h.deliver(t)
				s := h.stored(t, id)
				if s.state != c.state || !strings.Contains(s.lastError, name) || (len(s.sealed) == 0) != (c.state == Failed) {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}
