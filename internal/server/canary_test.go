package server_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/portico-id/portico/internal/database"
)

// secretsSeen collects what must be written nowhere: what people typed, and
// what the provider handed out.
type secretsSeen struct {
	mu     sync.Mutex
	values map[string]string // to what it is
}

func (s *secretsSeen) add(what, value string) {
	if s == nil || len(value) < 12 { // "wrong" is everywhere
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.values[value] = what
}

func (s *secretsSeen) tokens(access, refresh, id string) {
	s.add("access token", access)
	s.add("refresh token", refresh)
	s.add("ID token", id)
	if _, signature, ok := cutLast(access, "."); ok {
		s.add("signature", signature)
	}
}

// browser looks at a form that is sent and at what comes back.
func (s *secretsSeen) browser(form url.Values, header http.Header) {
	if s == nil {
		return
	}
	for _, name := range []string{"password", "current-password", "new-password", "confirm-password", "answer", "csrf"} {
		for _, value := range form[name] {
			s.add(name, value)
		}
	}
	for _, line := range header.Values("Set-Cookie") {
		if c, err := http.ParseSetCookie(line); err == nil && !strings.HasSuffix(c.Name, "-lang") {
			s.add("cookie "+c.Name, c.Value)
			if id, _, ok := strings.Cut(c.Value, "."); ok {
				s.add("cookie "+c.Name, id)
			}
		}
	}
	if to, err := url.Parse(header.Get("Location")); err == nil {
		s.add("code", to.Query().Get("code"))
	}
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// forms is a secret as it might be written somewhere: also escaped, also raw.
func forms(value string) []string {
	all := []string{value}
	if escaped := url.QueryEscape(value); escaped != value {
		all = append(all, escaped)
	}
	for _, e := range []*base64.Encoding{base64.RawURLEncoding, base64.StdEncoding} {
		if raw, err := e.DecodeString(value); err == nil && len(raw) >= 16 {
			all = append(all, string(raw))
		}
	}
	return all
}

func TestNoSecretIsWrittenAnywhere(t *testing.T) {
	spans := tracetest.NewInMemoryExporter()
	provider := trace.NewTracerProvider(trace.WithSyncer(spans))
	otel.SetTracerProvider(provider)
	t.Cleanup(func() { _ = provider.Shutdown(context.Background()) })
	for _, engine := range engines {
		t.Run(engine, func(t *testing.T) {
			w := alone(t, engine, options{})
			w.seen = &secretsSeen{values: map[string]string{}}
			for name, value := range testSecrets {
				w.seen.add("the secret "+name, value)
			}
			for name, journey := range map[string]func(*testing.T, *world){
				"forgot password": forgotPassword, "change password": changePassword, "staff reset": staffReset,
				"sign in and out": signInAndOut, "invitation": invitation, "own account": ownAccount, "mistakes": mistakes} {
				t.Run(name, func(t *testing.T) { journey(t, w) })
			}
			w.mail.mu.Lock()
			for _, l := range w.mail.got {
				if link := linkPattern.FindString(l.text); link != "" {
					w.seen.add("link", link)
					_, token, _ := cutLast(link, "/")
					w.seen.add("token of a link", token)
				}
			}
			w.mail.mu.Unlock()
			if n := len(w.seen.values); n < 150 {
				t.Fatalf("only %d secrets were seen", n)
			}
			if n, lines := len(spans.GetSpans()), strings.Count(w.log.String(), "\n"); n < 500 || lines < 200 {
				t.Fatalf("only %d spans and %d lines of log to look at", n, lines)
			}
			metrics := w.mustCall(t, "GET", "http://"+w.private+"/metrics", nil, "").body
			places := map[string]string{"the log": w.log.String(), "/metrics": metrics, "the traces": spanText(spans.GetSpans())}
			for table, content := range dump(t, w.db()) {
				places["the table "+table] = content
			}
			if err := w.stop(); err != nil {
				t.Fatal(err)
			}
			if engine == "sqlite" {
				files, _ := filepath.Glob(strings.TrimPrefix(w.dsn, "sqlite:") + "*")
				for _, name := range files {
					content, err := os.ReadFile(name)
					if err != nil {
						t.Fatal(err)
					}
					places["the file "+filepath.Base(name)] = string(content)
				}
			}
			for place, content := range places {
				for value, what := range w.seen.values {
					for _, form := range forms(value) {
						if at := strings.Index(content, form); at >= 0 {
							t.Errorf("%s contains a secret: %s: %q", place, what, content[max(0, at-80):at])
						}
					}
				}
			}
			for _, line := range w.log.errors() {
				t.Errorf("an error was logged: %s", line)
			}
		})
	}
}

// mistakes are what people type into the wrong places, and what goes wrong.
func mistakes(t *testing.T, w *world) {
	who, b := w.person(t, "patient"), w.browser(t)
	// The password as the email, and the other way round.
	b.send(b.open(w.issuer("patient")+"/signin"), "email", who.password, "password", who.email+" "+who.email)
	b.send(b.open(w.issuer("patient")+"/signin"), "email", strings.ReplaceAll(who.password, " ", "-")+"@example.test", "password", who.password)
	w.seen.add("password as email", strings.ReplaceAll(who.password, " ", "-")+"@example.test")
	b.send(b.open(w.issuer("patient")+"/signin"), "email", who.email, "password", who.other)
	// Tokens where they do not belong.
	p := w.party(t, "patient", "native")
	got := p.signIn(w.browser(t), who)
	w.call("GET", w.issuer("patient")+"/oauth/userinfo?access_token="+got.access, nil, "")
	w.call("POST", p.config.Endpoint.TokenURL+"?refresh_token="+got.refresh, nil, "")
	w.call("GET", w.issuer("patient")+"/nowhere/"+got.refresh+"?code="+got.refresh, nil, "")
	w.call("GET", w.issuer("patient")+"/%zz"+got.refresh, nil, "")
	w.call("GET", "http://unknown."+w.host+"/reset/"+got.refresh, nil, "")
	w.call("BREW", w.issuer("patient")+"/reset/"+got.refresh, nil, "")
	w.call("POST", w.issuer("patient")+"/oauth/token", http.Header{"Content-Type": {"application/json"}}, `{"refresh_token":"`+got.refresh+`"}`)
	w.api(t, got.access, "GET", "/me?token="+got.refresh, nil)
	p.redeem(t, p.begin(), got.access)
	p.renew(t, got.access)
	p.form(t, p.more.Revocation, "token", got.id)
	p.form(t, p.more.Introspection, "token", got.id)
	// Reuse, which raises an alarm.
	fresh := p.renew(t, got.refresh)
	p.renew(t, fresh.get("refresh_token"))
	p.renew(t, got.refresh)
	// Wrong answers until the link is closed.
	link := w.forget(t, b, who, 1).link(t)
	question := b.send(b.open(link))
	for range 5 {
		question = b.send(question, "answer", "Wrong "+randomText(9))
		if question.status == http.StatusGone {
			break
		}
	}
	b.send(b.open(w.issuer("patient")+"/forgot"), "email", "x"+who.email)
}

// dump is everything that is in a database, by table.
func dump(t *testing.T, db *database.DB) map[string]string {
	t.Helper()
	ctx := context.Background()
	tables := `SELECT name FROM sqlite_master WHERE type = 'table'`
	if db.Engine() == database.Postgres {
		tables = `SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public'`
	}
	rows, err := db.Query(ctx, tables)
	names, err := database.Collect(rows, err, func(r *database.Rows) (s string, err error) { return s, r.Scan(&s) })
	if err != nil || len(names) < 15 {
		t.Fatalf("%d tables: %v", len(names), err)
	}
	slices.Sort(names)
	out := map[string]string{}
	for _, name := range names {
		columns := columnsOf(t, db, name)
		var all strings.Builder
		for _, column := range columns {
			cast := `CAST(` + column + ` AS TEXT)`
			if db.Engine() == database.Postgres {
				cast = column + `::text`
			}
			rows, err := db.Query(ctx, `SELECT COALESCE(`+cast+`, '') FROM `+name)
			values, err := database.Collect(rows, err, func(r *database.Rows) (s string, err error) { return s, r.Scan(&s) })
			if err != nil {
				t.Fatalf("%s.%s: %v", name, column, err)
			}
			for _, v := range values {
				all.WriteString(v)
				all.WriteByte('\n')
				// PostgreSQL writes bytes in hexadecimal digits.
				if raw, err := hex.DecodeString(strings.TrimPrefix(v, `\x`)); err == nil {
					all.Write(append(raw, '\n'))
				}
			}
		}
		out[name] = all.String()
	}
	return out
}

func columnsOf(t *testing.T, db *database.DB, table string) []string {
	t.Helper()
	query := `SELECT name FROM pragma_table_info($1)`
	if db.Engine() == database.Postgres {
		query = `SELECT column_name::text FROM information_schema.columns WHERE table_schema = 'public' AND table_name = $1`
	}
	rows, err := db.Query(context.Background(), query, table)
	columns, err := database.Collect(rows, err, func(r *database.Rows) (s string, err error) { return s, r.Scan(&s) })
	if err != nil || len(columns) == 0 {
		t.Fatalf("columns of %s: %v", table, err)
	}
	return columns
}

func spanText(spans tracetest.SpanStubs) string {
	var out strings.Builder
	log := slog.New(slog.NewTextHandler(&out, nil))
	for _, s := range spans {
		args := []any{"name", s.Name, "status", s.Status.Description}
		for _, a := range s.Attributes {
			args = append(args, string(a.Key), a.Value.String())
		}
		for _, e := range s.Events {
			for _, a := range e.Attributes {
				args = append(args, string(a.Key), a.Value.String())
			}
		}
		log.Info("span", args...)
	}
	return out.String()
}
