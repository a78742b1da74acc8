package outbound_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portico-id/portico/internal/outbound"
)

func TestOnlyThePublicInternetIsPublic(t *testing.T) {
	for _, raw := range []string{"8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"} {
		if !outbound.Public(netip.MustParseAddr(raw)) {
			t.Errorf("%s is public", raw)
		}
	}
	for _, raw := range []string{"127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1",
		"255.255.255.255", "224.0.0.1", "192.0.2.1", "::1", "::", "fe80::1", "fc00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
		"64:ff9b::7f00:1", "2002:7f00:1::", "::127.0.0.1", "fe80::1%eth0", "2001:db8::1", "198.18.0.1", "240.0.0.1"} {
		if outbound.Public(netip.MustParseAddr(raw)) {
			t.Errorf("%s is not public", raw)
		}
	}
}

// canary is a server on this machine that must not be reached.
func canary(t *testing.T, handler http.HandlerFunc) (*httptest.Server, *atomic.Int64, *tls.Config) {
	t.Helper()
	var calls atomic.Int64
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		handler(w, r)
	}))
	t.Cleanup(srv.Close)
	pool := x509.NewCertPool()
	pool.AddCert(srv.Certificate())
	return srv, &calls, &tls.Config{RootCAs: pool}
}

func TestAPrivateAddressIsNeverReached(t *testing.T) {
	srv, calls, roots := canary(t, func(http.ResponseWriter, *http.Request) {})
	port := strings.Split(srv.Listener.Addr().String(), ":")[1]
	c := outbound.New(outbound.Options{RootCAs: roots})
	for _, raw := range []string{
		"https://127.0.0.1:" + port, "https://localhost:" + port, "https://a.localhost:" + port, "https://[::ffff:127.0.0.1]:" + port,
		"https://2130706433:" + port, "https://0x7f.1:" + port, "https://127.1:" + port, "https://localhost.:" + port,
		"http://127.0.0.1:" + port, "http://example.test/", "ftp://example.test", "file:///etc/passwd", "https://user@example.test/",
		"https://example.test/#x", "https:///x", "//example.test/x", "",
		"https://ip6-localhost:" + port, // a name for this machine is found out when connecting
	} {
		if _, err := c.Get(t.Context(), outbound.Documents, raw, "*/*", 100); err == nil {
			t.Errorf("%s was called", raw)
		}
	}
	if calls.Load() != 0 {
		t.Errorf("%d calls arrived", calls.Load())
	}
}

func TestAnExemptHostIsReachedAndBounded(t *testing.T) {
	srv, calls, roots := canary(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/redirect":
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		case "/long":
			_, _ = w.Write(make([]byte, 101))
		case "/slow":
			select {
			case <-r.Context().Done():
			case <-time.After(10 * time.Second):
			}
		default:
			_ = r.ParseForm()
			_, _ = w.Write([]byte(r.PostForm.Get("a")))
		}
	})
	c := outbound.New(outbound.Options{RootCAs: roots, Exempt: []string{srv.Listener.Addr().String()}})
	answer, err := c.PostForm(t.Context(), srv.URL+"/x", url.Values{"a": {"b c"}}, 100)
	if err != nil || answer.Status != 200 || string(answer.Body) != "b c" {
		t.Fatalf("%+v %v", answer, err)
	}
	if answer, err = c.Get(t.Context(), outbound.Documents, srv.URL+"/redirect", "*/*", 100); err != nil || answer.Status != 302 || calls.Load() != 2 {
		t.Errorf("a redirect: %+v %v, %d calls", answer, err, calls.Load())
	}
	if _, err = c.Get(t.Context(), outbound.Documents, srv.URL+"/long", "*/*", 100); !errors.Is(err, outbound.ErrTooLong) {
		t.Errorf("a long answer: %v", err)
	}
	began := time.Now()
	if _, err = c.Get(t.Context(), outbound.Documents, srv.URL+"/slow", "*/*", 100); err == nil || time.Since(began) > outbound.Timeout+time.Second {
		t.Errorf("a slow answer: %v after %s", err, time.Since(began))
	}
	strict := outbound.New(outbound.Options{Exempt: []string{srv.Listener.Addr().String()}})
	if _, err = strict.Get(t.Context(), outbound.Documents, srv.URL, "*/*", 100); err == nil {
		t.Error("a certificate nobody knows is accepted")
	}
}

func TestHangingLogoutEndpointsKeepNoKeySetWaiting(t *testing.T) {
	release := make(chan struct{})
	srv, calls, roots := canary(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/jwks" {
			<-release
			return
		}
		_, _ = w.Write([]byte("{}"))
	})
	c := outbound.New(outbound.Options{RootCAs: roots, Exempt: []string{srv.Listener.Addr().String()}})
	var under sync.WaitGroup
	hang := func(call func()) {
		for range 100 { // more than all budgets together
			under.Go(call)
		}
	}
	hang(func() { _, _ = c.PostForm(t.Context(), srv.URL+"/logout", nil, 100) })
	hang(func() { _, _ = c.Get(t.Context(), outbound.Strangers, srv.URL+"/stranger", "*/*", 100) })
	hang(func() { _, _ = c.Get(t.Context(), outbound.RequestObjects, srv.URL+"/object", "*/*", 100) })
	for deadline := time.Now().Add(outbound.Timeout); calls.Load() < 32+16+16 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	began := time.Now()
	answer, err := c.Get(t.Context(), outbound.Documents, srv.URL+"/jwks", "*/*", 100)
	if err != nil || string(answer.Body) != "{}" || time.Since(began) > time.Second {
		t.Errorf("%v after %s", err, time.Since(began))
	}
	if n := calls.Load(); n != 32+16+16+1 {
		t.Errorf("%d calls at once", n)
	}
	close(release)
	under.Wait()
}
