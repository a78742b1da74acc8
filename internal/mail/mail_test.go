package mail

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	gosmtp "github.com/emersion/go-smtp"

	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/locale"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/secret"
	"github.com/portico-id/portico/templates"
)

func patientRealm(t testing.TB) *realm.Realm {
	t.Helper()
	zone, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	r, err := realm.New(realm.Realm{
		Name: "patient", Kind: realm.Patient, Issuer: "https://id.example.test/patient", TimeZone: zone,
		DefaultLocale: "en", Locales: []string{"en", "es"}, Home: "https://portal.example.test/",
		Brand: realm.Brand{Name: "Patient Portal", Color: "#0b5c8a", SupportPhone: "555-0100",
			SupportEmail: "help@example.test", SupportHours: "Mon–Fri 8–17"},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func renderer(t testing.TB) *Renderer {
	t.Helper()
	cat, err := locale.Load(templates.FS)
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewRenderer(templates.FS, nil, cat)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// house is an outbox with its realm, and everything it logged.
type house struct {
	*Outbox
	r    *realm.Realm
	logs *lockedBuffer
	ends *[]Finished
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func smtpTo(t testing.TB, addr string) *SMTP {
	t.Helper()
	host, port, _ := net.SplitHostPort(addr)
	n, _ := strconv.Atoi(port)
	s, err := NewSMTP(SMTPOptions{Host: host, Port: n, TLS: NoTLS})
	if err != nil {
		t.Fatal(err)
	}
	s.timeout = 5 * time.Second
	return s
}

func newHouse(t testing.TB, db *database.DB, sender Sender) house {
	t.Helper()
	sealer, err := secret.NewSealer(bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	r, logs, ends := patientRealm(t), &lockedBuffer{}, &[]Finished{}
	var mu sync.Mutex
	o, err := New(Options{
		DB: db, Sealer: sealer, Renderer: renderer(t), Sender: sender, From: "no-reply@id.example.test",
		Realms: func(name string) (*realm.Realm, bool) { return r, name == r.Name },
		OnFinished: func(_ context.Context, f Finished) error {
			mu.Lock()
			defer mu.Unlock()
			*ends = append(*ends, f)
			return nil
		},
		Logger:  slog.New(slog.NewTextHandler(logs, nil)),
		Metrics: prometheus.NewRegistry(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return house{o, r, logs, ends}
}

func (h house) resetLetter(link string) Letter {
	until := h.DB.Now(context.Background()).Add(48 * time.Hour)
	return Letter{Realm: h.r, Kind: Reset, To: "maria@example.test", Locale: "en", AccountID: uuid.New(), TicketID: uuid.New(),
		NotAfter: until, Data: map[string]string{"link": link, "until": until.Format(time.RFC3339)}}
}

func (h house) queue(t testing.TB, l Letter) uuid.UUID {
	t.Helper()
	id, err := h.Queue(context.Background(), l)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (h house) deliver(t testing.TB) int {
	t.Helper()
	n, err := h.DeliverDue(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

type stored struct {
	state     State
	attempts  int64
	sealed    []byte
	lastError string
	sent      *time.Time
}

func (h house) stored(t testing.TB, id uuid.UUID) stored {
	t.Helper()
	var s stored
	var state string
	err := h.DB.QueryRow(context.Background(), `SELECT state, attempts, sealed, last_error, sent_at FROM mail_outbox WHERE id = $1`, id).
		Scan(&state, &s.attempts, &s.sealed, &s.lastError, &s.sent)
	if err != nil {
		t.Fatal(err)
	}
	s.state = State(state)
	return s
}

const testLink = "https://id.example.test/patient/reset/Q2FuYXJ5Q2FuYXJ5Q2FuYXJ5Q2FuYXJ5Q2FuYXJ5Q2E"

func TestALetterIsDelivered(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		server := startServer(t, plainServer, tls.Certificate{}, "", &mailServer{})
		h := newHouse(t, db, smtpTo(t, server.addr))
		l := h.resetLetter(testLink)
		id := h.queue(t, l)
		if s := h.stored(t, id); s.state != Queued || len(s.sealed) == 0 {
			t.Errorf("%+v", s)
		}
		if n := h.deliver(t); n != 1 {
			t.Fatalf("%d attempts", n)
		}
		if n := h.deliver(t); n != 0 {
			t.Fatalf("%d attempts afterwards", n)
		}
		got := server.messages()
		if len(got) != 1 {
			t.Fatalf("%d letters arrived", len(got))
		}
		m := got[0]
		if m.from != "no-reply@id.example.test" || m.to != "maria@example.test" {
			t.Error(m.from, m.to)
		}
		for name, want := range map[string]string{
			"Subject": "Reset your Patient Portal password", "From": `"Patient Portal" <no-reply@id.example.test>`,
			"To": "<maria@example.test>", "Reply-To": "<help@example.test>", "Message-Id": "<" + id.String() + "@id.example.test>",
			"Auto-Submitted": "auto-generated", "X-Auto-Response-Suppress": "OOF, AutoReply", "Content-Language": "en",
			"List-Unsubscribe": "", "X-Mailer": "", "User-Agent": "",
		} {
			if have, _ := m.header.Text(name); have != want {
				t.Errorf("%s: %q, expected %q", name, have, want)
			}
		}
		if m.header.Get("Date") == "" || strings.Join(m.order, " ") != "multipart/alternative text/plain text/html" {
			t.Error(m.header.Get("Date"), m.order)
		}
		if !strings.Contains(m.text, "\n"+testLink+"\n") || strings.Count(m.html, `href="`+testLink+`"`) != 2 || strings.Count(m.html, testLink) != 3 {
			t.Errorf("the link is not a button and a full URL:\n%s\n%s", m.text, m.html)
		}
		s := h.stored(t, id)
		if s.state != Sent || len(s.sealed) != 0 || s.sent == nil || s.attempts != 1 {
			t.Errorf("%+v", s)
		}
		if len(*h.ends) != 1 || (*h.ends)[0].State != Sent || (*h.ends)[0].TicketID != l.TicketID || (*h.ends)[0].AccountID != l.AccountID {
			t.Errorf("%+v", *h.ends)
		}
		d, err := h.OfTicket(context.Background(), l.TicketID)
		if err != nil || d.State != Sent || d.LetterID != id || d.SentAt == nil {
			t.Error(d, err)
		}
		if _, err := h.OfTicket(context.Background(), uuid.New()); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
		families, err := h.Metrics.(*prometheus.Registry).Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == "portico_mail_letters_total" && f.GetMetric()[0].GetCounter().GetValue() != 1 {
				t.Error("counted", f)
			}
		}
	})
}

func TestAnUndoneTransactionSendsNothing(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		server := startServer(t, plainServer, tls.Certificate{}, "", &mailServer{})
		h := newHouse(t, db, smtpTo(t, server.addr))
		stop := errors.New("stop")
		err := db.InTx(context.Background(), func(ctx context.Context) error {
			if _, err := h.Queue(ctx, h.resetLetter(testLink)); err != nil {
				t.Error(err)
			}
			return stop
		})
		if !errors.Is(err, stop) || h.deliver(t) != 0 || len(server.messages()) != 0 {
			t.Error("sent", err)
		}
	})
}

func TestNothingThatIsKeptHoldsALink(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		// A server that quotes the letter in its refusal is the worst case.
		server := startServer(t, plainServer, tls.Certificate{}, "", &mailServer{data: func(text string) error {
			return &gosmtp.SMTPError{Code: 451, Message: "blocked " + testLink + " and " + testLink[len(testLink)-43:]}
		}})
		h := newHouse(t, db, smtpTo(t, server.addr))
		id := h.queue(t, h.resetLetter(testLink))
		secretPart := testLink[len(testLink)-43:]
		check := func(when string) {
			t.Helper()
			for _, text := range []string{dump(t, db), h.logs.String()} {
				if strings.Contains(text, secretPart) || strings.Contains(text, "/reset/") {
					t.Errorf("%s, a link is kept: %s", when, text)
				}
			}
		}
		check("queued")
		h.deliver(t)
		if s := h.stored(t, id); s.state != Queued || s.attempts != 1 || !strings.Contains(s.lastError, "blocked [link]") {
			t.Fatalf("%+v", s)
		}
		check("after a failure")
		server.data = nil
		dbtest.Advance(db, time.Minute)
		h.deliver(t)
		if s := h.stored(t, id); s.state != Sent {
			t.Fatalf("%+v", s)
		}
		check("sent")
		if len(server.messages()) != 1 || strings.Contains(h.logs.String(), "maria@") {
			t.Error("not delivered, or the address is in the log")
		}
	})
}

// dump is everything the database holds of the letters; for SQLite the very
// bytes of its files.
func dump(t *testing.T, db *database.DB) string {
	t.Helper()
	rows, err := db.Query(context.Background(), `
		SELECT kind, recipient, locale, sealed, message_id, state, last_error FROM mail_outbox`)
	all, err := database.Collect(rows, err, func(r *database.Rows) (string, error) {
		var s [6]string
		var sealed []byte
		err := r.Scan(&s[0], &s[1], &s[2], &sealed, &s[3], &s[4], &s[5])
		return fmt.Sprint(s, string(sealed)), err
	})
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(all, "\n")
	if db.Engine() == database.SQLite {
		var path string
		if err := db.QueryRow(context.Background(), `SELECT file FROM pragma_database_list WHERE name = 'main'`).Scan(&path); err != nil {
			t.Fatal(err)
		}
		for _, file := range []string{path, path + "-wal"} {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			text += string(b)
		}
		if !strings.Contains(text, "mail_outbox") {
			t.Fatal("that is not the database")
		}
	}
	return text
}

func TestACrashAfterSendingRepeatsTheLetterOnceWithTheSameID(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		server := startServer(t, plainServer, tls.Certificate{}, "", &mailServer{})
		h := newHouse(t, db, smtpTo(t, server.addr))
		id := h.queue(t, h.resetLetter(testLink))
		// The first worker gets as far as the server's 250.
		r, err := h.claim(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if err := h.attempt(context.Background(), r); err != nil {
			t.Fatal(err)
		}
		if n := h.deliver(t); n != 0 {
			t.Fatal("taken while the lease runs")
		}
		dbtest.Advance(db, leaseFor+time.Second)
		if n := h.deliver(t); n != 1 {
			t.Fatal("not taken after the lease", n)
		}
		dbtest.Advance(db, time.Hour)
		h.deliver(t)
		got := server.messages()
		if len(got) != 2 || got[0].header.Get("Message-Id") != got[1].header.Get("Message-Id") || got[0].header.Get("Message-Id") == "" {
			t.Errorf("%d letters", len(got))
		}
		// What the first one might still record is fenced off.
		if err := h.finish(context.Background(), r, Failed, "late"); !errors.Is(err, errLostLease) {
			t.Error(err)
		}
		if s := h.stored(t, id); s.state != Sent || s.attempts != 2 {
			t.Errorf("%+v", s)
		}
	})
}

func TestACancelledLetterIsNotSent(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		ctx := context.Background()
		sending, goOn := make(chan struct{}), make(chan struct{})
		server := startServer(t, plainServer, tls.Certificate{}, "", &mailServer{})
		h := newHouse(t, db, smtpTo(t, server.addr))
		l := h.resetLetter(testLink)
		id, other := h.queue(t, l), h.queue(t, h.resetLetter(testLink))
		if err := h.CancelTicket(ctx, l.TicketID); err != nil {
			t.Fatal(err)
		}
		h.deliver(t)
		if s := h.stored(t, id); s.state != Cancelled || len(s.sealed) != 0 {
			t.Errorf("%+v", s)
		}
		if s := h.stored(t, other); s.state != Sent || len(server.messages()) != 1 {
			t.Errorf("%+v", s)
		}
		// Called off while the server is taking it: it stays cancelled.
		server.data = func(string) error { close(sending); <-goOn; return nil }
		l = h.resetLetter(testLink)
		id = h.queue(t, l)
		done := make(chan struct{})
		go func() { h.deliver(t); close(done) }()
		<-sending
		if err := h.CancelTicket(ctx, l.TicketID); err != nil {
			t.Fatal(err)
		}
		close(goOn)
		<-done
		if s := h.stored(t, id); s.state != Cancelled {
			t.Errorf("%+v", s)
		}
		if err := h.CancelTicket(ctx, l.TicketID); err != nil {
			t.Error(err)
		}
	})
}

func TestALetterMovedToAnotherRowDoesNotOpen(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		server := startServer(t, plainServer, tls.Certificate{}, "", &mailServer{})
		h := newHouse(t, db, smtpTo(t, server.addr))
		victim := h.queue(t, h.resetLetter(testLink))
		l := h.resetLetter("https://id.example.test/patient/reset/other")
		l.To = "mallory@example.test"
		thief := h.queue(t, l)
		if _, err := db.Exec(context.Background(), `
			UPDATE mail_outbox SET sealed = (SELECT sealed FROM mail_outbox WHERE id = $1) WHERE id = $2`, victim, thief); err != nil {
			t.Fatal(err)
		}
		h.deliver(t)
		if s := h.stored(t, thief); s.state != Failed {
			t.Errorf("%+v", s)
		}
		if got := server.messages(); len(got) != 1 || got[0].to != "maria@example.test" {
			t.Errorf("%d letters", len(got))
		}
	})
}

func TestSentStaysSentWhenTellingFails(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		server := startServer(t, plainServer, tls.Certificate{}, "", &mailServer{})
		h := newHouse(t, db, smtpTo(t, server.addr))
		h.OnFinished = func(context.Context, Finished) error { return errors.New("the audit log is full") }
		id := h.queue(t, h.resetLetter(testLink))
		h.deliver(t)
		if s := h.stored(t, id); s.state != Sent || len(server.messages()) != 1 {
			t.Errorf("%+v", s)
		}
	})
}

func TestLettersThatLackSomethingAreRefused(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		h := newHouse(t, db, nil)
		for name, change := range map[string]func(*Letter){
			"no kind":    func(l *Letter) { l.Kind = "spam" },
			"no realm":   func(l *Letter) { l.Realm = nil },
			"no address": func(l *Letter) { l.To = "maria" },
			"injection":  func(l *Letter) { l.To = "maria@example.test\r\nBcc: all@example.test" },
			"no link":    func(l *Letter) { delete(l.Data, "link") },
			"odd time":   func(l *Letter) { l.Data["until"] = "tomorrow" },
		} {
			l := h.resetLetter(testLink)
			change(&l)
			if _, err := h.Queue(context.Background(), l); !errors.Is(err, ErrLetter) {
				t.Errorf("%s: %v", name, err)
			}
		}
		l := h.resetLetter(testLink)
		l.Data["patient"] = "Sofia Example"
		id := h.queue(t, l)
		r, err := h.claim(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		plain, err := h.Sealer.Open(sealPurpose, aad("patient", id), r.sealed)
		if err != nil || strings.Contains(string(plain), "Sofia") {
			t.Errorf("a value without a place was kept: %s, %v", plain, err)
		}
	})
}

func TestCleanUpKeepsRecentAndWaitingLetters(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		server := startServer(t, plainServer, tls.Certificate{}, "", &mailServer{})
		h := newHouse(t, db, smtpTo(t, server.addr))
		old := h.queue(t, h.resetLetter(testLink))
		h.deliver(t)
		dbtest.Advance(db, keepFor+time.Hour)
		recent := h.queue(t, h.resetLetter(testLink))
		h.deliver(t)
		waiting := h.queue(t, h.resetLetter(testLink))
		if err := h.CleanUp(context.Background()); err != nil {
			t.Fatal(err)
		}
		h.stored(t, recent)
		h.stored(t, waiting)
		var n int64
		if err := db.QueryRow(context.Background(), `SELECT COUNT(*) FROM mail_outbox WHERE id = $1`, old).Scan(&n); err != nil || n != 0 {
			t.Error(n, err)
		}
	})
}

func TestRetriesGrowAndAreBounded(t *testing.T) {
	for attempt := int64(1); attempt < 100; attempt++ {
		wait := retryAfter(attempt)
		if wait < 8*time.Second || wait > mostRetry*12/10 || attempt > 6 && wait < mostRetry*8/10 {
			t.Errorf("attempt %d waits %s", attempt, wait)
		}
	}
}
