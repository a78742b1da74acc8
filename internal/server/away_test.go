package server_test

import (
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// proxy stands between the server and PostgreSQL.
type proxy struct {
	target string
	mu     sync.Mutex
	state  proxyState
	open   map[net.Conn]bool
	wake   chan struct{} // closed when the state changes
}

type proxyState int

const (
	passing proxyState = iota
	cut                // connections are closed and refused
	stalled            // connections are taken, and nothing is answered
)

// newProxy returns one with the DSN that leads through it.
func newProxy(t *testing.T, dsn string) (*proxy, string) {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	const socket = ".s.PGSQL.5432"
	p := &proxy{target: filepath.Join(u.Query().Get("host"), socket), open: map[net.Conn]bool{}, wake: make(chan struct{})}
	dir, err := os.MkdirTemp("", "pg-") // a socket's path has to be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, socket))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(); p.set(cut) })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(client)
		}
	}()
	q := u.Query()
	q.Set("host", dir)
	u.RawQuery = q.Encode()
	return p, u.String()
}

func (p *proxy) serve(client net.Conn) {
	defer client.Close()
	p.mu.Lock()
	if p.state == cut {
		p.mu.Unlock()
		return
	}
	p.mu.Unlock()
	server, err := net.Dial("unix", p.target)
	if err != nil {
		return
	}
	defer server.Close()
	p.mu.Lock()
	p.open[client], p.open[server] = true, true
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.open, client)
		delete(p.open, server)
		p.mu.Unlock()
	}()
	done := make(chan struct{}, 2)
	relay := func(to, from net.Conn) {
		buffer := make([]byte, 32<<10)
		for {
			n, err := from.Read(buffer)
			if n > 0 && p.pass() {
				_, err = to.Write(buffer[:n])
			}
			if err != nil {
				break
			}
		}
		done <- struct{}{}
	}
	go relay(server, client)
	go relay(client, server)
	<-done
}

// pass waits while the database is stalled.
func (p *proxy) pass() bool {
	for {
		p.mu.Lock()
		state, wake := p.state, p.wake
		p.mu.Unlock()
		if state != stalled {
			return state == passing
		}
		<-wake
	}
}

func (p *proxy) set(state proxyState) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state = state
	close(p.wake)
	p.wake = make(chan struct{})
	if state == cut {
		for conn := range p.open {
			conn.Close()
		}
	}
}

// outage is what is true of a server whose database is away.
func outage(t *testing.T, w *world, signedIn *browser, p *party, had tokens, admin string) {
	t.Helper()
	busy := func(what string, got *page) {
		t.Helper()
		if got.status != http.StatusServiceUnavailable || got.h1() != "We are busy right now" || got.header.Get("Retry-After") == "" {
			t.Errorf("%s: %d %q %v", what, got.status, got.h1(), got.location)
		}
		for _, line := range got.header.Values("Set-Cookie") {
			if strings.HasPrefix(line, "__Host-portico-patient=") || strings.Contains(line, "Max-Age=0") {
				t.Errorf("%s clears a cookie: %s", what, line)
			}
		}
	}
	unavailable := func(what string, r reply) {
		t.Helper()
		if r.status != http.StatusServiceUnavailable || r.get("error") != "temporarily_unavailable" || r.header.Get("Retry-After") == "" {
			t.Errorf("%s: %d %s", what, r.status, r.body)
		}
	}
	var group sync.WaitGroup
	for _, look := range []func(){
		func() { busy("My Account", signedIn.tab().get(w.issuer("patient")+"/account")) },
		func() { busy("authorize with a session", signedIn.tab().get(p.begin().url)) },
		func() { busy("authorize without a session", w.browser(t).get(p.begin().url)) },
		func() {
			b := w.browser(t)
			form := b.get(w.issuer("patient")+"/signin").want(t, 200, "Sign in")
			busy("sign-in", b.submit(form, "email", "a@example.test", "password", "whatever it is"))
		},
		func() {
			b := w.browser(t)
			busy("forgot", b.submit(b.get(w.issuer("patient")+"/forgot").want(t, 200, "Forgot password"), "email", "a@example.test"))
		},
		func() { busy("a link", w.browser(t).get(w.issuer("patient")+"/reset/"+randomText(32))) },
		func() { unavailable("refresh", p.renew(t, had.refresh)) },
		func() { unavailable("code", p.redeem(t, p.begin(), randomText(32))) },
		func() { unavailable("introspection", p.form(t, p.more.Introspection, "token", had.access)) },
		func() { unavailable("revocation", p.form(t, p.more.Revocation, "token", had.refresh)) },
		func() { unavailable("userinfo", p.userinfo(t, had.access)) },
		func() {
			r := w.api(t, admin, "GET", "/me", nil)
			if r.status != 503 || r.get("code") != "unavailable" || r.header.Get("Retry-After") == "" {
				t.Errorf("admin API: %d %s", r.status, r.body)
			}
		},
		func() {
			if r := w.mustCall(t, "GET", "http://"+w.private+"/readyz", nil, ""); r.status != 503 {
				t.Errorf("/readyz: %d %s", r.status, r.body)
			}
		},
	} {
		group.Go(look)
	}
	group.Wait()
	for _, address := range []string{w.issuer("patient") + "/.well-known/openid-configuration", w.issuer("patient") + "/oauth/jwks",
		w.base + "/.well-known/oauth-authorization-server/practice", "http://" + w.private + "/healthz", "http://" + w.private + "/metrics",
		w.base + "/admin/v1/openapi.json"} {
		if r := w.mustCall(t, "GET", address, nil, ""); r.status != 200 || r.body == "" {
			t.Errorf("%s: %d", address, r.status)
		}
	}
}

func TestWithoutItsDatabaseTheServerSaysNotNow(t *testing.T) {
	t.Parallel()
	for name, how := range map[string]proxyState{"connections are cut": cut, "nothing is answered": stalled} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			line, dsn := newProxy(t, seeded(t, "postgres"))
			w := alone(t, "postgres", options{dsn: dsn})
			who, p := w.person(t, "patient"), w.party(t, "patient", "native")
			b := w.browser(t)
			had := p.signIn(b, who)
			admin := w.admin(t, seededPerson(t, "practice", "dana.whitfield@maple.example.test"))

			line.set(how)
			// Answers come before the server's write timeout would cut them off.
			w.http.Timeout = 20 * time.Second
			began := time.Now()
			outage(t, w, b, p, had, admin)
			t.Logf("answered within %s", time.Since(began).Round(time.Millisecond))

			line.set(passing)
			back := time.Now()
			eventually(t, "ready again", func() bool {
				return w.mustCall(t, "GET", "http://"+w.private+"/readyz", nil, "").status == 200
			})
			// Nobody was signed out, and nothing was taken for reuse.
			got := p.again(b)
			if got.identity.Subject != who.id.String() {
				t.Error("the session is another's")
			}
			r := p.renew(t, had.refresh)
			if r.status != http.StatusOK || !p.alive(t, r.get("access_token")) {
				t.Errorf("refresh after the outage: %d %s", r.status, r.body)
			}
			if r := w.api(t, admin, "GET", "/me", nil); r.status != 200 {
				t.Errorf("admin API after the outage: %d %s", r.status, r.body)
			}
			if since := time.Since(back); since > 10*time.Second {
				t.Errorf("back after %s", since)
			}
			// The workers are back too.
			choose(b, w.answered(t, b, w.forget(t, b, who, 1).link(t), who), who.other).want(t, 200, "Your password is changed")
			w.mail.wait(t, who.email, noticeLetter, 1)
			if n := w.count(t, `SELECT COUNT(*) FROM audit_events WHERE kind = 'token.reuse_detected'`); n != 0 {
				t.Errorf("%d alarms about reuse", n)
			}
			if strings.Contains(w.log.String(), "panic") {
				t.Error("something panicked")
			}
		})
	}
}

// An answer that was lost on its way from the database is no reason to take
// the client's second try for theft.
func TestARefreshWhoseAnswerGotLostCanBeRepeated(t *testing.T) {
	t.Parallel()
	line, dsn := newProxy(t, seeded(t, "postgres"))
	w := alone(t, "postgres", options{dsn: dsn})
	who, p := w.person(t, "patient"), w.party(t, "patient", "native")
	had := p.signIn(w.browser(t), who)
	for i := range 20 {
		answered := make(chan reply, 1)
		go func() { answered <- p.renew(t, had.refresh) }()
		time.Sleep(time.Duration(i) * 300 * time.Microsecond)
		line.set(cut)
		r := <-answered
		line.set(passing)
		if r.status != http.StatusOK && r.status != http.StatusServiceUnavailable {
			t.Fatalf("round %d: %d %s", i, r.status, r.body)
		}
		// As a client would: 503 means to try again.
		for deadline := time.Now().Add(10 * time.Second); r.status == http.StatusServiceUnavailable && time.Now().Before(deadline); {
			r = p.renew(t, had.refresh)
		}
		if r.status != http.StatusOK {
			t.Fatalf("round %d, repeated: %d %s", i, r.status, r.body)
		}
		had.refresh = r.get("refresh_token")
	}
}
