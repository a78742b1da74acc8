package oauth

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/oauth/token"
	"github.com/portico-id/portico/internal/outbound"
	"github.com/portico-id/portico/internal/realm"
)

// ear is a client's endpoint for logout tokens.
type ear struct {
	*httptest.Server
	mu     sync.Mutex
	heard  []string
	status int

	hang     func(client string) <-chan struct{} // until it is closed; nil: answers at once
	at, most map[string]int                      // calls under way, by the client in the address
}

func listen(t *testing.T) *ear {
	t.Helper()
	e := &ear{status: http.StatusOK, at: map[string]int{}, most: map[string]int{}}
	e.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		client := r.URL.Query().Get("client")
		e.count(client, 1)
		defer e.count(client, -1)
		if e.hang != nil {
			if until := e.hang(client); until != nil {
				select {
				case <-until:
				case <-r.Context().Done():
				}
			}
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" || r.TLS == nil || r.TLS.Version != tls.VersionTLS13 {
			t.Errorf("%s %s", r.Method, r.Header.Get("Content-Type"))
		}
		e.heard = append(e.heard, r.PostFormValue("logout_token"))
		if e.status == http.StatusFound {
			w.Header().Set("Location", "/elsewhere")
		}
		w.WriteHeader(e.status)
	}))
	t.Cleanup(e.Close)
	return e
}

// count counts the calls of a client, and of all ("").
func (e *ear) count(client string, n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, key := range []string{client, ""} {
		e.at[key] += n
		e.most[key] = max(e.most[key], e.at[key])
	}
}

func (e *ear) tokens() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.heard
}

func (e *ear) answer(status int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.status = status
}

// eachWithLogout runs a test in a realm whose clients are told about sign-outs:
// "portal" and "spa" by the back channel, "third" by a frame.
func eachWithLogout(t *testing.T, fn func(t *testing.T, w *world, e *ear)) {
	t.Helper()
	eachWithLogoutOf(t, func(*realm.Client) {}, fn)
}

// eachWithLogoutOf does so with clients that are changed.
func eachWithLogoutOf(t *testing.T, change func(*realm.Client), fn func(t *testing.T, w *world, e *ear)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		e := listen(t)
		clients := testClients()
		for _, c := range clients {
			switch c.ID {
			case "portal", "spa":
				c.BackchannelLogoutURI = e.URL + "/logout?client=" + c.ID
			case "third":
				c.FirstParty = true
				c.FrontchannelLogoutURI = "https://rp.example.test/frontchannel?a=b"
			}
			change(c)
		}
		base := *testRealm(t, "patient")
		r, err := realm.New(base, clients)
		if err != nil {
			t.Fatal(err)
		}
		w := newWorldIn(t, db, r)
		pool := x509.NewCertPool()
		pool.AddCert(e.Certificate())
		w.p.outbound = outbound.New(outbound.Options{Exempt: []string{e.Listener.Addr().String()}, RootCAs: &tls.Config{RootCAs: pool}})
		w.p.realms = func(name string) (*realm.Realm, bool) { return r, name == r.Name }
		w.account = w.newAccount("pat@example.test")
		fn(t, w, e)
	})
}

func (w *world) deliver() int {
	w.t.Helper()
	n, err := w.p.DeliverLogouts(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

func TestALogoutTokenSaysWhatTheSpecificationWants(t *testing.T) {
	eachWithLogout(t, func(t *testing.T, w *world, e *ear) {
		r := w.tokens("portal")
		id := claims(t, r.get("id_token"))
		w.Get(logoutRequestOf(r.get("id_token")))
		if w.deliver() != 1 || len(e.tokens()) != 1 {
			t.Fatalf("%d tokens", len(e.tokens()))
		}
		raw := e.tokens()[0]
		got := claims(t, raw)
		lives := got["exp"].(float64) - got["iat"].(float64)
		if got["iss"] != w.r.Issuer || got["aud"] != "portal" || got["sub"] != id["sub"] || got["sid"] != id["sid"] || got["jti"] == "" ||
			lives <= 0 || lives > 120 {
			t.Errorf("%v", got)
		}
		if _, ok := got["nonce"]; ok {
			t.Error("a logout token has a nonce")
		}
		events, _ := json.Marshal(got["events"])
		if string(events) != `{"http://schemas.openid.net/event/backchannel-logout":{}}` {
			t.Errorf("events %s", events)
		}
		header, _ := jwtHeader(raw)
		if header["typ"] != "logout+jwt" || header["alg"] != "ES256" {
			t.Errorf("header %v", header)
		}
		keys := w.p.publicKeys(t.Context(), w.r)
		if _, err := token.ReadIdentity(raw, keys); !errors.Is(err, token.ErrToken) {
			t.Error("it passes for an ID token")
		}
		if _, err := token.ReadAccess(raw, keys); !errors.Is(err, token.ErrToken) {
			t.Error("it passes for an access token")
		}
		if w.deliver() != 0 {
			t.Error("it is sent twice")
		}
	})
}

func jwtHeader(raw string) (h map[string]any, err error) {
	part, _, _ := strings.Cut(raw, ".")
	return h, unmarshalSegment(part, &h)
}

func TestHoweverASessionEndsItsClientsAreTold(t *testing.T) {
	eachWithLogout(t, func(t *testing.T, w *world, e *ear) {
		ctx := context.Background()
		for name, end := range map[string]func() error{
			"signed out by its owner": func() error { return w.p.sessions.EndOwn(ctx, w.account, w.session.ID, "signed_out_by_owner") },
			"password changed":        func() error { return w.p.sessions.EndAll(ctx, w.account, uuid.Nil, "password_changed") },
			"replaced":                func() error { return w.p.sessions.End(ctx, w.session.ID, "replaced") },
			"grants revoked before": func() error {
				if err := w.p.RevokeAll(ctx, w.account, "account_disabled"); err != nil {
					return err
				}
				return w.p.sessions.EndAll(ctx, w.account, uuid.Nil, "account_disabled")
			},
		} {
			w.session.ID = uuid.Nil
			w.tokens("portal")
			w.tokens("spa")
			w.tokens("poster") // has no address
			w.tokens("portal") // twice, told once
			sid, before := w.session.ID.String(), len(e.tokens())
			if w.deliver() != 0 {
				t.Fatalf("%s: told before the end", name)
			}
			if err := end(); err != nil {
				t.Fatal(err)
			}
			if n := w.deliver(); n != 2 {
				t.Errorf("%s: %d clients told", name, n)
			}
			for _, raw := range e.tokens()[before:] {
				if claims(t, raw)["sid"] != sid {
					t.Errorf("%s: another session", name)
				}
			}
			if err := end(); errors.Is(err, database.ErrUnavailable) || w.deliver() != 0 {
				t.Errorf("%s: told again", name)
			}
		}
	})
}

func TestWhatIsUndoneIsNotTold(t *testing.T) {
	eachWithLogout(t, func(t *testing.T, w *world, e *ear) {
		w.tokens("portal")
		stop := errors.New("stop")
		err := w.db.InTx(context.Background(), func(ctx context.Context) error {
			if err := w.p.sessions.End(ctx, w.session.ID, "x"); err != nil {
				t.Error(err)
			}
			return stop
		})
		if !errors.Is(err, stop) || w.deliver() != 0 || len(e.tokens()) != 0 {
			t.Error("told about a session that goes on", err)
		}
	})
}

func TestAClientThatIsDownIsToldLater(t *testing.T) {
	eachWithLogout(t, func(t *testing.T, w *world, e *ear) {
		r := w.tokens("portal")
		e.answer(http.StatusServiceUnavailable)
		w.Get(logoutRequestOf(r.get("id_token")))
		if w.deliver() != 1 || w.deliver() != 0 {
			t.Error("no pause after a failure")
		}
		dbtest.Advance(w.db, 10*time.Second)
		e.answer(http.StatusFound) // is not followed, and is no success
		w.deliver()
		dbtest.Advance(w.db, 10*time.Minute)
		e.answer(http.StatusOK)
		if w.deliver() != 1 || len(e.tokens()) != 3 {
			t.Fatalf("%d attempts", len(e.tokens()))
		}
		first, last := claims(t, e.tokens()[0]), claims(t, e.tokens()[2])
		if first["jti"] == last["jti"] || last["iat"].(float64)-first["iat"].(float64) < 600 {
			t.Error("an old token is sent again")
		}
		if n := w.count(`SELECT count(*) FROM logout_deliveries WHERE state = 'delivered' AND attempts = 3`); n != 1 {
			t.Errorf("%d delivered", n)
		}
		dbtest.Advance(w.db, 8*24*time.Hour)
		if err := w.p.CleanUp(context.Background()); err != nil || w.count(`SELECT count(*) FROM logout_deliveries`) != 0 {
			t.Error("kept for ever", err)
		}
	})
}

func TestAClientThatStaysAwayIsGivenUp(t *testing.T) {
	eachWithLogout(t, func(t *testing.T, w *world, e *ear) {
		r := w.tokens("portal")
		e.Close()
		w.Get(logoutRequestOf(r.get("id_token")))
		for range 200 {
			w.deliver()
			if w.count(`SELECT count(*) FROM logout_deliveries WHERE state = 'expired'`) == 1 {
				break
			}
			dbtest.Advance(w.db, time.Minute)
		}
		if n := w.count(`SELECT count(*) FROM audit_events WHERE kind = 'logout.undelivered'`); n != 1 {
			t.Errorf("%d events", n)
		}
		dbtest.Advance(w.db, time.Hour)
		if w.deliver() != 0 {
			t.Error("tried again")
		}
	})
}

func TestALogoutTokenNeverGoesToAPrivateAddress(t *testing.T) {
	eachWithLogout(t, func(t *testing.T, w *world, e *ear) {
		w.p.outbound = outbound.New(outbound.Options{})
		r := w.tokens("portal")
		w.Get(logoutRequestOf(r.get("id_token")))
		if w.deliver() != 1 || len(e.tokens()) != 0 {
			t.Error("the canary heard something")
		}
	})
}

func TestManyWorkersTellOnce(t *testing.T) {
	eachWithLogout(t, func(t *testing.T, w *world, e *ear) {
		for range 5 {
			w.session.ID = uuid.Nil
			r := w.tokens("portal")
			w.Get(logoutRequestOf(r.get("id_token")))
		}
		var wg sync.WaitGroup
		ctx, cancel := context.WithCancel(context.Background())
		for range 3 {
			wg.Go(func() {
				if err := w.p.LogoutWorker(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			if w.count(`SELECT count(*) FROM logout_deliveries WHERE state = 'delivered'`) == 5 {
				break
			}
		}
		cancel()
		wg.Wait()
		if len(e.tokens()) != 5 {
			t.Errorf("%d tokens for 5 sessions", len(e.tokens()))
		}
	})
}

func TestAFrameTellsAClientAndThePageGoesOn(t *testing.T) {
	eachWithLogout(t, func(t *testing.T, w *world, _ *ear) {
		r := w.tokens("portal")
		w.tokens("third")
		page := w.Get(logoutRequestOf(r.get("id_token")))
		want := `src="https://rp.example.test/frontchannel?a=b&amp;iss=http%3A%2F%2Flocalhost%3A9000%2Fpatient&amp;sid=` + w.session.ID.String() + `"`
		if page.Status != 200 || !strings.Contains(page.Body, want) {
			t.Fatalf("%d %s", page.Status, page.Body)
		}
		if page.Link("Continue") != "https://rp.example.test/bye?state=s" ||
			page.Header.Get("Refresh") != "5; url=https://rp.example.test/bye?state=s" {
			t.Errorf("goes on to %q, %q", page.Link("Continue"), page.Header.Get("Refresh"))
		}
		if csp := page.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "; frame-src https://rp.example.test;") {
			t.Errorf("policy %s", csp)
		}
		if w.signedIn() {
			t.Error("still signed in")
		}
		// Who was not signed in to a client with frames goes on at once.
		r = w.freshTokens("portal")
		if page := w.Get(logoutRequestOf(r.get("id_token"))); page.Status != 303 {
			t.Errorf("%d", page.Status)
		}
		if csp := w.Get("/oauth/signed-out").Header.Get("Content-Security-Policy"); strings.Contains(csp, "frame-src") {
			t.Errorf("policy %s", csp)
		}
	})
}

func (w *world) freshTokens(client string) reply {
	w.session.ID = uuid.Nil
	return w.tokens(client)
}

func unmarshalSegment(part string, into any) error {
	raw, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, into)
}
