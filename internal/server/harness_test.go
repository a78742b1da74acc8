package server_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/portico-id/portico/config"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/demo"
	"github.com/portico-id/portico/internal/demo/seed"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/server"
)

// TestMain runs the tests, or, as a child of TestNothingIsLost and its like,
// a server that will be killed.
func TestMain(m *testing.M) {
	if path := os.Getenv(childConfig); path != "" {
		os.Exit(serveAsChild(path))
	}
	code := m.Run()
	forever.end()
	os.Exit(code)
}

// world is a provider that serves on ports of localhost, with its mail server.
type world struct {
	settings
	srv    *server.Server
	realms []*realm.Realm
	log    *logBuffer
	http   *http.Client // follows no redirects and keeps no cookies
	stop   func() error // ends Run and returns its error; may be called again
	seen   *secretsSeen // nil: nobody collects
}

// each runs fn on both engines, on a provider that the tests of this package
// share: take people of your own and leave the clock alone.
func each(t *testing.T, fn func(t *testing.T, w *world)) {
	t.Helper()
	t.Parallel()
	for _, engine := range engines {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			w, err := shared[engine]()
			var skip skipped
			if errors.As(err, &skip) {
				t.Skip(skip)
			}
			if err != nil {
				t.Fatal(err)
			}
			showErrors(t, w)
			fn(t, w)
		})
	}
}

// eachAlone is each on a provider that nobody else uses.
func eachAlone(t *testing.T, o options, fn func(t *testing.T, w *world)) {
	t.Helper()
	t.Parallel()
	for _, engine := range engines {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			fn(t, alone(t, engine, o))
		})
	}
}

func alone(t *testing.T, engine string, o options) *world {
	t.Helper()
	if o.dsn == "" {
		o.dsn = seeded(t, engine)
	}
	w, err := launch(t, o)
	if err != nil {
		t.Fatal(err)
	}
	showErrors(t, w)
	return w
}

var engines = []string{"sqlite", "postgres"}

var shared = map[string]func() (*world, error){
	"sqlite":   sync.OnceValues(func() (*world, error) { return lasting("sqlite") }),
	"postgres": sync.OnceValues(func() (*world, error) { return lasting("postgres") }),
}

func lasting(engine string) (w *world, err error) {
	err = forever.try(func(t testing.TB) error {
		w, err = launch(t, options{dsn: seeded(t, engine)})
		return err
	})
	return w, err
}

// options of a world that differ from what an operator would write.
type options struct {
	dsn  string
	yaml string // appended to the configuration
	log  *logBuffer
}

// launch starts a provider and ends it with the test.
func launch(t testing.TB, o options) (*world, error) {
	mail := startMail(t)
	var failed error
	for range 5 { // between choosing a port and taking it another process may be faster
		w := &world{settings: newSettings(o.dsn, mail, o.yaml), log: o.log}
		if w.log == nil {
			w.log = &logBuffer{}
		}
		if failed = w.start(); failed == nil {
			t.Cleanup(func() {
				if err := w.stop(); err != nil {
					t.Errorf("the server did not end in order: %v", err)
				}
				w.http.CloseIdleConnections()
			})
			return w, nil
		}
		if !errors.Is(failed, server.ErrPortTaken) {
			break
		}
	}
	return nil, failed
}

func (w *world) start() error {
	cfg, err := config.Parse("test.yaml", []byte(w.yaml), w.lookup)
	if err != nil {
		return err
	}
	w.realms = cfg.Realms()
	w.srv, err = server.New(context.Background(), cfg, server.Options{Logger: w.log.logger()})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.srv.Run(ctx) }()
	<-w.srv.Ready()
	w.stop = sync.OnceValue(func() error {
		cancel()
		select {
		case err := <-ended:
			return err
		case <-time.After(40 * time.Second):
			return errors.New("still running")
		}
	})
	w.http = newClient()
	return nil
}

// newClient is HTTP without what a library would do by itself. Every name
// that ends in localhost is this machine, whatever the resolver thinks.
func newClient() *http.Client {
	dial := &net.Dialer{Timeout: 10 * time.Second}
	return &http.Client{
		Timeout: 60 * time.Second,
		Transport: &http.Transport{
			MaxIdleConnsPerHost: 64,
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				host, port, err := net.SplitHostPort(address)
				if err == nil && strings.HasSuffix(host, "localhost") {
					address = net.JoinHostPort("localhost", port)
				}
				return dial.DialContext(ctx, network, address)
			},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// seeded makes a database with the demo's people and the realms' keys in it.
func seeded(t testing.TB, engine string) string {
	t.Helper()
	if engine == "sqlite" {
		content, err := seededSQLite()
		if err != nil {
			t.Fatalf("seed SQLite: %v", err)
		}
		dsn := dbtest.SQLiteURL(t)
		if err := os.WriteFile(strings.TrimPrefix(dsn, "sqlite:"), content, 0o600); err != nil {
			t.Fatal(err)
		}
		return dsn
	}
	template, err := seededPostgres()
	var skip skipped
	if errors.As(err, &skip) {
		t.Skip(skip)
	}
	if err != nil {
		t.Fatalf("seed PostgreSQL: %v", err)
	}
	dsn, drop, err := template.copy()
	if err != nil {
		t.Fatalf("copy the seeded database: %v", err)
	}
	t.Cleanup(drop)
	return dsn
}

var seededSQLite = sync.OnceValues(func() (content []byte, err error) {
	err = forever.try(func(t testing.TB) error {
		dsn := dbtest.SQLiteURL(t)
		if err := seedInto(t, dsn); err != nil {
			return err
		}
		content, err = os.ReadFile(strings.TrimPrefix(dsn, "sqlite:"))
		return err
	})
	return content, err
})

var seededPostgres = sync.OnceValues(func() (p *postgresTemplate, err error) {
	err = forever.try(func(t testing.TB) error {
		p = &postgresTemplate{dsn: dbtest.PostgresURL(t)}
		return seedInto(t, p.dsn)
	})
	return p, err
})

type postgresTemplate struct {
	dsn    string
	mu     sync.Mutex
	copies int
}

func (p *postgresTemplate) exec(query string) error {
	u, err := url.Parse(p.dsn)
	if err != nil {
		return err
	}
	u.Path = "/postgres"
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, u.String())
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, query)
	return err
}

func (p *postgresTemplate) copy() (dsn string, drop func(), err error) {
	u, err := url.Parse(p.dsn)
	if err != nil {
		return "", nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.copies++
	name := fmt.Sprintf("seeded_%d", p.copies)
	err = p.exec("CREATE DATABASE " + name + " TEMPLATE " + strings.TrimPrefix(u.Path, "/"))
	u.Path = "/" + name
	return u.String(), func() { _ = p.exec("DROP DATABASE IF EXISTS " + name + " WITH (FORCE)") }, err
}

// seedInto brings the people of the demo in, without those whose letter would
// be under way in every copy.
func seedInto(t testing.TB, dsn string) error {
	w := &world{settings: newSettings(dsn, startMail(t), "")}
	cfg, err := config.Parse("test.yaml", []byte(w.yaml), w.lookup)
	if err != nil {
		return err
	}
	ctx := context.Background()
	srv, err := server.New(ctx, cfg, server.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer srv.Close()
	data := seed.Demo()
	invited := map[string]bool{}
	var kept []seed.Account
	for _, a := range data.Accounts {
		if a.State == seed.Invited {
			invited[a.ID.String()] = true
			continue
		}
		kept = append(kept, a)
	}
	data.Accounts = kept
	var ties []seed.Association
	for _, a := range data.Associations {
		if !invited[a.AccountID.String()] {
			ties = append(ties, a)
		}
	}
	data.Associations = ties
	return seed.Apply(ctx, demo.NewTarget(srv.DB(), cfg.Realms(), srv.Accounts(), srv.Practices()), data)
}

// forever is a testing.TB for what outlives the test that needs it first.
var forever lifetime

type lifetime struct {
	testing.TB
	mu       sync.Mutex
	cleanups []func()
}

type skipped struct{ reason string }

func (s skipped) Error() string { return s.reason }

func (l *lifetime) try(fn func(testing.TB) error) (err error) {
	defer func() {
		switch why := recover().(type) {
		case nil:
		case error:
			err = why
		default:
			panic(why)
		}
	}()
	return fn(l)
}

func (l *lifetime) Helper() {}

func (l *lifetime) Cleanup(fn func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cleanups = append(l.cleanups, fn)
}

func (l *lifetime) Fatal(args ...any)            { panic(errors.New(fmt.Sprint(args...))) }
func (l *lifetime) Fatalf(f string, args ...any) { panic(fmt.Errorf(f, args...)) }
func (l *lifetime) Skip(args ...any)             { panic(skipped{fmt.Sprint(args...)}) }
func (l *lifetime) Errorf(f string, args ...any) { fmt.Fprintf(os.Stderr, f+"\n", args...) }

func (l *lifetime) end() {
	for len(l.cleanups) > 0 {
		last := l.cleanups[len(l.cleanups)-1]
		l.cleanups = l.cleanups[:len(l.cleanups)-1]
		last()
	}
}

// logBuffer keeps a server's log, at every level.
type logBuffer struct {
	mu  sync.Mutex
	out bytes.Buffer
}

func (l *logBuffer) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.Write(line)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.String()
}

func (l *logBuffer) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// errors are the lines in which the server says that something is wrong.
func (l *logBuffer) errors() (lines []string) {
	for line := range strings.Lines(l.String()) {
		if strings.Contains(line, "level=ERROR") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

func showErrors(t *testing.T, w *world) {
	t.Cleanup(func() {
		if t.Failed() {
			lines := w.log.errors()
			t.Logf("errors in the server's log:\n%s", strings.Join(lines[max(0, len(lines)-20):], "\n"))
		}
	})
}

func (w *world) db() *database.DB { return w.srv.DB() }

// count runs a query that gives one number.
func (w *world) count(t testing.TB, query string, args ...any) (n int64) {
	t.Helper()
	if err := w.db().QueryRow(context.Background(), query, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

// eventually waits until ok, for as long as a busy machine may need.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if ok() {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func randomText(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}
