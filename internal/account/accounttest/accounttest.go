// Package accounttest is a small world for tests of accounts and of the
// journeys above them: real services on a real database, a postbox for what is
// mailed, a log that can be searched, and a few people.
package accounttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/locale"
	"github.com/portico-id/portico/internal/mail"
	"github.com/portico-id/portico/internal/password"
	"github.com/portico-id/portico/internal/ratelimit"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/secret"
	"github.com/portico-id/portico/internal/session"
	"github.com/portico-id/portico/internal/web"
	"github.com/portico-id/portico/internal/web/webtest"
	"github.com/portico-id/portico/templates"
)

// What the people of a world prove themselves with.
const (
	Password    = "copper lantern walking north"
	NewPassword = "seven quiet harbour stones"
	Question    = "first_pet"
	Answer      = "Señor Bigotes"
	Email       = "maria.gomez@example.test"
	Support     = "help@maple.example.test" // of the realm
	PortalID    = "portal"
	PortalStart = "https://portal.example.test/login"
)

// World is everything a test of people needs.
type World struct {
	T        *testing.T
	DB       *database.DB
	Realm    *realm.Realm // for patients, in English and Spanish, with the client PortalID
	Other    *realm.Realm // for staff, on the same host
	Sealer   *secret.Sealer
	Accounts *account.Service
	Throttle *account.Throttle
	Limits   *ratelimit.Limiter
	Sessions *session.Manager
	Outbox   *mail.Outbox
	Audit    *audit.Log
	Catalog  *locale.Catalog
	Pages    *web.Pages
	Typed    *account.Typed
	Grants   *Grants
	Tickets  *Tickets
	Post     *Post
	Log      *Log

	// Finished is called when a letter has gone; set it before the first one.
	Finished func(ctx context.Context, f mail.Finished) error
}

// New makes a world on a database. Its Tickets only remember; the tests of
// recovery connect the real ones.
func New(t *testing.T, db *database.DB) *World {
	t.Helper()
	w := &World{T: t, DB: db, Grants: &Grants{}, Tickets: &Tickets{}, Post: &Post{}, Log: &Log{}}
	w.Realm, w.Other = realms(t)
	log := logTo(w.Log)
	var err error
	must := func(what string) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	w.Sealer, err = sealer()
	must("sealer")
	var renderer *mail.Renderer
	var blocklist *password.Blocklist
	w.Catalog, renderer, blocklist, err = shared()
	must("read what is built in")
	w.Outbox, err = mail.New(mail.Options{DB: db, Sealer: w.Sealer, Realms: w.FindRealm, Renderer: renderer, Sender: w.Post,
		From: "no-reply@example.test", Logger: log, OnFinished: func(ctx context.Context, f mail.Finished) error {
			if w.Finished == nil {
				return nil
			}
			return w.Finished(ctx, f)
		}})
	must("outbox")
	w.Audit, err = audit.New(db, audit.Options{Keys: [][]byte{w.Sealer.DeriveKey(audit.KeyPurpose, 32)}, Logger: log})
	must("audit")
	w.Pages, err = pages()
	must("pages")
	pagesLog.follow(w.Log)
	w.Sessions = session.NewManager(db)
	w.Limits = ratelimit.New(db)
	w.Throttle = account.NewThrottle(w.Limits)
	w.Typed = account.NewTyped(w.Sealer)
	w.Accounts = account.NewService(account.Deps{DB: db, Hasher: hasher(), Blocklist: blocklist, Sessions: w.Sessions,
		Outbox: w.Outbox, Audit: w.Audit, Throttle: w.Throttle, Catalog: w.Catalog})
	w.Accounts.Connect(account.Peers{Grants: w.Grants, Tickets: w.Tickets})
	return w
}

// pages are shared: parsing them takes longer than most tests. What they log
// goes to the newest world.
var pages = sync.OnceValues(func() (*web.Pages, error) {
	sealer, err := sealer()
	if err != nil {
		return nil, err
	}
	built, err := builtIn()
	if err != nil {
		return nil, err
	}
	return web.NewPages(templates.FS, nil, built.catalog, web.Options{CSRFKey: sealer.DeriveKey("csrf", 32), Log: logTo(&pagesLog),
		Classify: func(err error) *web.Error {
			if errors.Is(err, password.ErrBusy) {
				return web.Busy(2*time.Second, err)
			}
			return nil
		}})
})

var pagesLog follower

// follower writes to the log of one world after the other.
type follower struct{ to atomic.Pointer[Log] }

func (f *follower) follow(l *Log) { f.to.Store(l) }

func (f *follower) Write(p []byte) (int, error) { return f.to.Load().Write(p) }

func logTo(out io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func sealer() (*secret.Sealer, error) {
	return secret.NewSealer(bytes.Repeat([]byte{3}, secret.KeyBytes))
}

// Hashed is how many passwords have been hashed so far, by all worlds together:
// call it in tests that do not run in parallel.
func Hashed() int64 { return hasher().Hashed(password.Passwords) }

// hasher is shared: its queue is long enough for the races of the tests.
var hasher = sync.OnceValue(func() *password.Hasher {
	return password.NewHasher(password.Floor(), []byte("a pepper for tests"), password.PoolOptions{Concurrency: 4, Queue: 1000, Wait: time.Minute})
})

// shared reads once what takes time to read and never changes.
func shared() (*locale.Catalog, *mail.Renderer, *password.Blocklist, error) {
	b, err := builtIn()
	return b.catalog, b.renderer, b.blocklist, err
}

type built struct {
	catalog   *locale.Catalog
	renderer  *mail.Renderer
	blocklist *password.Blocklist
}

var builtIn = sync.OnceValues(func() (b built, err error) {
	if b.catalog, err = locale.Load(templates.FS); err != nil {
		return b, err
	}
	if b.renderer, err = mail.NewRenderer(templates.FS, nil, b.catalog); err != nil {
		return b, err
	}
	b.blocklist, err = password.NewBlocklist()
	return b, err
})

func realms(t *testing.T) (patient, practice *realm.Realm) {
	t.Helper()
	make := func(name string, kind realm.Kind) *realm.Realm {
		r, err := realm.New(realm.Realm{Name: name, Kind: kind, Issuer: "http://localhost:9000/" + name,
			DefaultLocale: "en", Locales: []string{"en", "es"}, Home: "https://portal.example.test/home",
			Brand: realm.Brand{Name: "Maple Clinic", Color: "#0b5c8a", SupportPhone: "555-0100", SupportEmail: Support},
		}, []*realm.Client{{ID: PortalID, Name: "Maple Portal", AuthMethod: realm.AuthNone,
			RedirectURIs: []string{"https://portal.example.test/callback"}, InitiateLoginURI: PortalStart}})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	return make("patient", realm.Patient), make("practice", realm.Practice)
}

// FindRealm finds a realm of the world by name.
func (w *World) FindRealm(name string) (*realm.Realm, bool) {
	for _, r := range []*realm.Realm{w.Realm, w.Other} {
		if r.Name == name {
			return r, true
		}
	}
	return nil, false
}

// Person makes an active account with Password, Question and Answer.
func (w *World) Person(email string) account.Account {
	w.T.Helper()
	who := account.New{LoginEmail: email, State: account.Active, GivenName: "Maria", FamilyName: "Gomez"}
	hashes.Lock()
	defer hashes.Unlock()
	if hashes.password == "" {
		who.Password, who.Question, who.Answer = Password, Question, Answer
		a := w.Create(who)
		w.read(&hashes.password, `SELECT hash FROM password_credentials WHERE account_id = $1`, a.ID)
		w.read(&hashes.answer, `SELECT answer_hash FROM security_answers WHERE account_id = $1`, a.ID)
		return a
	}
	who.PasswordHash = brought
	a := w.Create(who)
	w.Exec(`UPDATE password_credentials SET hash = $2 WHERE account_id = $1`, a.ID, hashes.password)
	w.Exec(`INSERT INTO security_answers (account_id, question, answer_hash, set_at) VALUES ($1, $2, $3, $4)`,
		a.ID, Question, hashes.answer, w.DB.Now(context.Background()))
	return a
}

// hashes are those of the first Person, and everybody's after it: hashing is
// most of what these tests cost.
var hashes struct {
	sync.Mutex
	password, answer string
}

// brought stands in until the hash of Password is there; it is of nothing.
const brought = "$2a$10$abcdefghijklmnopqrstuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu"

func (w *World) read(into *string, query string, args ...any) {
	w.T.Helper()
	if err := w.DB.QueryRow(context.Background(), query, args...).Scan(into); err != nil {
		w.T.Fatalf("%s: %v", query, err)
	}
}

// Create makes an account in Realm.
func (w *World) Create(n account.New) account.Account {
	w.T.Helper()
	a, err := w.Accounts.Create(context.Background(), w.Realm, n)
	if err != nil {
		w.T.Fatalf("create %s: %v", n.LoginEmail, err)
	}
	return a
}

// Browser opens a browser on the routes that mount adds.
func (w *World) Browser(mount func(g *gin.Engine)) *webtest.Browser {
	w.T.Helper()
	return w.BrowserOf(w.Realm, mount)
}

// BrowserOf is Browser for a realm of the world.
func (w *World) BrowserOf(r *realm.Realm, mount func(g *gin.Engine)) *webtest.Browser {
	w.T.Helper()
	return webtest.New(w.T, r, w.Pages, func(g *gin.Engine) {
		// net/http gives redirects a line of HTML as a body, unless the type is
		// spoken for; it is no page, so it is not to be checked as one.
		g.Use(func(c *gin.Context) { c.Writer.Header()["Content-Type"] = nil })
		mount(g)
	})
}

// SignIn puts a session of an account into a browser and returns its id.
func (w *World) SignIn(b *webtest.Browser, a account.Account) uuid.UUID {
	w.T.Helper()
	s, token, err := w.Sessions.Start(context.Background(), w.Realm, a.ID,
		session.Device{UserAgent: "Mozilla/5.0 (iPhone) Safari/604.1", IP: "192.0.2.1"}, account.PasswordMethod)
	if err != nil {
		w.T.Fatal(err)
	}
	b.SetCookie("", token.Reveal())
	return s.ID
}

// CanSignIn reports whether email and password open Realm.
func (w *World) CanSignIn(email, plain string) bool {
	w.T.Helper()
	_, err := w.Accounts.Authenticate(context.Background(), w.Realm, email, plain)
	if err != nil && !errors.Is(err, account.ErrCredentials) {
		w.T.Fatal(err)
	}
	return err == nil
}

// Deliver sends what waits in the outbox.
func (w *World) Deliver() {
	w.T.Helper()
	if _, err := w.Outbox.DeliverDue(context.Background()); err != nil {
		w.T.Fatal(err)
	}
}

// Count runs a SELECT COUNT(*).
func (w *World) Count(query string, args ...any) int {
	w.T.Helper()
	var n int64
	if err := w.DB.QueryRow(context.Background(), query, args...).Scan(&n); err != nil {
		w.T.Fatalf("%s: %v", query, err)
	}
	return int(n)
}

// Events counts audit events of a kind.
func (w *World) Events(kind string) int {
	w.T.Helper()
	return w.Count(`SELECT COUNT(*) FROM audit_events WHERE kind = $1`, kind)
}

// Exec runs a statement.
func (w *World) Exec(query string, args ...any) {
	w.T.Helper()
	if _, err := w.DB.Exec(context.Background(), query, args...); err != nil {
		w.T.Fatalf("%s: %v", query, err)
	}
}

// Dump is all that the database holds about people, as text: what somebody
// finds who reads a backup.
func (w *World) Dump() string {
	w.T.Helper()
	var out strings.Builder
	for table, columns := range map[string][]string{
		"accounts": {"login_email", "name", "locale"}, "password_credentials": {"hash"},
		"security_answers": {"question", "answer_hash"}, "invitations": {"token_hash", "email", "client_id"},
		"email_changes": {"token_hash", "old_email", "new_email", "void_reason"}, "freeze_links": {"token_hash", "notice", "email"},
		"activation_flows": {"flow_hash", "password_hash", "folded_hash"}, "sessions": {"token_hash", "user_agent"},
		"recovery_requests": {"email", "network"}, "recovery_tickets": {"token_hash", "email", "reason", "void_reason"},
		"recovery_flows": {"flow_hash"}, "mail_outbox": {"sealed", "recipient", "message_id", "last_error"},
		"audit_events": {"kind", "actor", "target", "details"}, "rate_counters": {"counter_key"}, "rate_delays": {"counter_key"},
	} {
		for _, column := range columns {
			w.dumpColumn(&out, table, column)
		}
	}
	lines := strings.Split(out.String(), "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func (w *World) dumpColumn(out *strings.Builder, table, column string) {
	rows, err := w.DB.Query(context.Background(), `SELECT `+column+` FROM `+table)
	if err != nil {
		w.T.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var raw []byte
		if err := rows.Scan(&raw); err != nil {
			w.T.Fatalf("%s.%s: %v", table, column, err)
		}
		fmt.Fprintf(out, "%s.%s=%s %x\n", table, column, raw, raw)
	}
	if err := rows.Err(); err != nil {
		w.T.Fatal(err)
	}
}
