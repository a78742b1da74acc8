package relyingparty_test

import (
	"errors"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portico-id/portico/internal/demo/relyingparty"
	"github.com/portico-id/portico/internal/demo/relyingparty/optest"
)

// site is the smallest portal: it signs in, and says who and with which token.
type site struct {
	party  *relyingparty.Party
	op     *optest.OP
	base   string
	client *http.Client

	mu  sync.Mutex
	now time.Time
	err error // of the last request
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{op: optest.New(t), now: time.Now()}
	server := httptest.NewUnstartedServer(nil)
	s.op.Now = s.clock
	s.base = "http://" + server.Listener.Addr().String()
	s.op.Redirect = s.base + "/callback"
	s.party = relyingparty.New(relyingparty.Config{Name: "site", BaseURL: s.base, Issuer: s.op.Issuer,
		ClientID: optest.ClientID, ClientSecret: optest.ClientSecret, Scopes: []string{"openid", "offline_access"},
		Idle: 15 * time.Minute, Absolute: time.Hour, Now: s.clock})
	mux := http.NewServeMux()
	mux.HandleFunc("/signin", func(w http.ResponseWriter, r *http.Request) {
		begin := relyingparty.Begin{ReturnTo: r.URL.Query().Get("return_to")}
		if age, err := time.ParseDuration(r.URL.Query().Get("age")); err == nil {
			begin.MaxAge = &age
		}
		s.note(w, s.party.Begin(w, r, begin))
	})
	mux.HandleFunc("/callback", func(w http.ResponseWriter, r *http.Request) {
		returnTo, err := s.party.Finish(w, r)
		if s.note(w, err); err == nil {
			http.Redirect(w, r, returnTo, http.StatusSeeOther)
		}
	})
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		token, err := s.party.AccessToken(r.Context(), s.party.Session(r))
		if s.note(w, err); err == nil {
			_, _ = w.Write([]byte(token))
		}
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if user := s.party.Session(r).User(); user != nil {
			_, _ = w.Write([]byte(user.Subject))
		}
	})
	server.Config.Handler = mux
	server.Start()
	t.Cleanup(server.Close)
	jar, _ := cookiejar.New(nil)
	s.client = &http.Client{Jar: jar}
	return s
}

func (s *site) clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *site) wait(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
}

func (s *site) note(w http.ResponseWriter, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err = err; err != nil {
		w.WriteHeader(http.StatusTeapot)
	}
}

func (s *site) get(t *testing.T, path string) string {
	t.Helper()
	res, err := s.client.Get(s.base + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body := make([]byte, 4096)
	n, _ := res.Body.Read(body)
	return string(body[:n])
}

func (s *site) lastError() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *site) cookie() *http.Cookie {
	req, _ := http.NewRequest("GET", s.base, nil)
	if all := s.client.Jar.Cookies(req.URL); len(all) > 0 {
		return all[0]
	}
	return &http.Cookie{}
}

func TestASignInChangesTheIdentifier(t *testing.T) {
	s := newSite(t)
	// Somebody plants a session of theirs in the browser.
	s.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	s.get(t, "/signin")
	planted := s.cookie().Value
	s.client.CheckRedirect = nil
	s.get(t, "/signin")
	if s.cookie().Value == planted || planted == "" {
		t.Error("the identifier is the one from before the sign-in")
	}
	first := s.cookie().Value
	s.get(t, "/signin?age=10m") // a step-up
	for what, identifier := range map[string]string{"the planted one": planted, "the one from before the step-up": first} {
		req, _ := http.NewRequest("GET", s.base+"/", nil)
		req.AddCookie(&http.Cookie{Name: "site_session", Value: identifier})
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.ContentLength > 0 {
			t.Errorf("%s is signed in", what)
		}
	}
}

func TestSessionsEndWhenIdleAndInAnyCase(t *testing.T) {
	s := newSite(t)
	s.get(t, "/signin")
	for range 3 {
		s.wait(14 * time.Minute)
		if s.get(t, "/") == "" {
			t.Fatal("ended while in use")
		}
	}
	s.wait(16 * time.Minute)
	if s.get(t, "/") != "" {
		t.Error("lives after 16 idle minutes of 15")
	}
	s.get(t, "/signin")
	for range 6 {
		s.wait(11 * time.Minute)
		s.get(t, "/")
	}
	if s.get(t, "/") != "" {
		t.Error("lives after 66 minutes of 60")
	}
}

func TestParallelRequestsRenewOnce(t *testing.T) {
	s := newSite(t)
	s.get(t, "/signin")
	s.wait(4*time.Minute + 50*time.Second) // 10 s before the end
	var group sync.WaitGroup
	tokens := make([]string, 24)
	for i := range tokens {
		group.Go(func() { tokens[i] = s.get(t, "/token") })
	}
	group.Wait()
	for _, token := range tokens {
		if !s.op.Good(token) || token != tokens[0] {
			t.Fatalf("tokens %q", tokens)
		}
	}
	if s.op.Refreshed != 1 {
		t.Errorf("%d renewals", s.op.Refreshed)
	}
}

func TestARefusedRenewalAsksForSignInAndAnOutageDoesNot(t *testing.T) {
	s := newSite(t)
	s.get(t, "/signin")
	s.wait(5 * time.Minute)
	s.op.Lock()
	s.op.Broken = 503
	s.op.Unlock()
	if s.get(t, "/token"); !errors.Is(s.lastError(), relyingparty.ErrProvider) {
		t.Fatalf("outage: %v", s.lastError())
	}
	s.op.Lock()
	s.op.Broken = 0
	s.op.Unlock()
	if token := s.get(t, "/token"); !s.op.Good(token) {
		t.Fatalf("after the outage: %q %v", token, s.lastError())
	}
	s.op.Lock()
	s.op.Revoked = true
	s.op.Unlock()
	s.wait(5 * time.Minute)
	if s.get(t, "/token"); !errors.Is(s.lastError(), relyingparty.ErrSignInAgain) {
		t.Errorf("refusal: %v", s.lastError())
	}
}

func TestAnAnswerWorksOnceAndForHalfAnHour(t *testing.T) {
	s := newSite(t)
	var callback string
	s.client.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if r.URL.Path == "/callback" && callback == "" {
			callback = r.URL.String()
		}
		return nil
	}
	s.get(t, "/signin")
	if s.get(t, strings.TrimPrefix(callback, s.base)); !errors.Is(s.lastError(), relyingparty.ErrState) {
		t.Errorf("second arrival: %v", s.lastError())
	}
	callback = ""
	s.client.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if r.URL.Path == "/callback" {
			callback = r.URL.String()
			return http.ErrUseLastResponse
		}
		return nil
	}
	for range 3 { // keep the session itself alive
		s.get(t, "/")
		s.wait(5 * time.Minute)
	}
	s.get(t, "/signin")
	for range 4 {
		s.wait(8 * time.Minute)
		s.get(t, "/")
	}
	if s.get(t, strings.TrimPrefix(callback, s.base)); !errors.Is(s.lastError(), relyingparty.ErrState) {
		t.Errorf("after 32 minutes: %v", s.lastError())
	}
}

func TestAnOldSignInDoesNotPassForAFreshOne(t *testing.T) {
	s := newSite(t)
	s.op.AuthAge, s.op.IgnoreAge = time.Hour, true
	if s.get(t, "/signin?age=10m"); !errors.Is(s.lastError(), relyingparty.ErrProvider) {
		t.Errorf("an hour for ten minutes: %v", s.lastError())
	}
	s.op.IgnoreAge = false
	if s.get(t, "/signin?age=10m"); s.lastError() != nil {
		t.Errorf("fresh: %v", s.lastError())
	}
}

func TestReturnAddressesStayHere(t *testing.T) {
	for in, want := range map[string]string{
		"/patients?q=a": "/patients?q=a", "": "/", "https://evil.example.test/": "/", "//evil.example.test": "/", "/\\evil.example.test": "/",
		"javascript:alert(1)": "/", "/signin": "/", "/callback?code=1": "/", "/\tx": "/", "patients": "/",
	} {
		if got := relyingparty.LocalPath(in); got != want {
			t.Errorf("%q → %q, want %q", in, got, want)
		}
	}
}

func TestCookiesOfPortalsDiffer(t *testing.T) {
	s := newSite(t)
	s.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res, err := s.client.Get(s.base + "/signin")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	header := res.Header.Get("Set-Cookie")
	if !strings.HasPrefix(header, "site_session=") || !strings.Contains(header, "HttpOnly") || !strings.Contains(header, "SameSite=Lax") {
		t.Errorf("cookie %q", header)
	}
}

// An answer that does not say whose it is may be another provider's (RFC 9207
// §2.4), errors included. A provider that never says it is taken at its word.
func TestAnAnswerThatNamesNoProviderIsRefused(t *testing.T) {
	for _, c := range []struct {
		name          string
		unnamed, none bool
		deny          string
		want          error
	}{
		{"advertised and missing", false, true, "", relyingparty.ErrState},
		{"advertised and missing, an error", false, true, "access_denied", relyingparty.ErrState},
		{"advertised and right", false, false, "", nil},
		{"an error that says whose it is", false, false, "access_denied", relyingparty.ErrDenied},
		{"never said", true, true, "", nil},
		{"not advertised and right", true, false, "", nil},
	} {
		s := newSite(t)
		s.op.Unnamed, s.op.NoIssuer, s.op.Deny = c.unnamed, c.none, c.deny
		if s.get(t, "/signin"); !errors.Is(s.lastError(), c.want) {
			t.Errorf("%s: %v, want %v", c.name, s.lastError(), c.want)
		}
		if in := s.get(t, "/") != ""; in != (c.want == nil) {
			t.Errorf("%s: signed in %v", c.name, in)
		}
	}
	s := newSite(t)
	s.op.Unnamed, s.op.WrongIssuer = true, true
	if s.get(t, "/signin"); !errors.Is(s.lastError(), relyingparty.ErrState) {
		t.Errorf("another issuer's, not advertised: %v", s.lastError())
	}
}

func TestASignInThatOthersStartLeadsToThisPortalOnly(t *testing.T) {
	p := relyingparty.New(relyingparty.Config{Name: "site", BaseURL: "https://portal.example.test:8443", Issuer: "https://id.example.test/a"})
	for target, want := range map[string]string{
		"https://portal.example.test:8443/patients/1?tab=a%20b#x": "/patients/1?tab=a%20b", "https://portal.example.test:8443": "/", "https://portal.example.test:8443/": "/",
		"": "/", "/patients": "/", "http://portal.example.test:8443/patients": "/", "https://portal.example.test/patients": "/",
		"https://portal.example.test:8443@evil.example.test/": "/", "https://me@portal.example.test:8443/patients": "/", "https://evil.example.test/patients": "/",
		"https://portal.example.test:8443.evil.example.test/": "/", "//portal.example.test:8443/patients": "/", "javascript:alert(1)": "/",
		"https://portal.example.test:8443//evil.example.test": "/", "https://portal.example.test:8443/\\evil": "/%5Cevil", "https:portal.example.test:8443/x": "/",
		"https://portal.example.test:8443/signin": "/", "https://portal.example.test:8443/callback?code=1": "/", "https://portal.example.test:8443/signed-out": "/",
	} {
		i, ok := p.Initiated(url.Values{"iss": {"https://id.example.test/a"}, "target_link_uri": {target}, "login_hint": {"ana@example.test"}, "return_to": {"/elsewhere"}})
		if !ok || i.ReturnTo != want || i.LoginHint != "ana@example.test" {
			t.Errorf("%q: %+v %v, want %q", target, i, ok, want)
		}
	}
	for _, iss := range []string{"https://id.example.test/b", "https://id.example.test/a/", "", "https://evil.example.test"} {
		if _, ok := p.Initiated(url.Values{"iss": {iss}}); ok {
			t.Errorf("the issuer %q sends people here", iss)
		}
	}
	if i, ok := p.Initiated(url.Values{"return_to": {"/settings"}, "login_hint": {strings.Repeat("x", 300)}}); !ok || i.ReturnTo != "/settings" || i.LoginHint != "" {
		t.Errorf("from here: %+v %v", i, ok)
	}
}
