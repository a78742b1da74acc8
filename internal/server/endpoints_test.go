package server_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/portico-id/portico/config"
	"github.com/portico-id/portico/internal/server"
)

func TestHealthAndMetricsAreOnThePrivateListenerOnly(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.browser(t).open(w.issuer("patient") + "/reset/" + randomText(32))
		for path, want := range map[string]string{"/healthz": "ok\n", "/readyz": "ready\n"} {
			if r := w.mustCall(t, "GET", "http://"+w.private+path, nil, ""); r.status != 200 || r.body != want || r.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: %d %q", path, r.status, r.body)
			}
		}
		metrics := w.mustCall(t, "GET", "http://"+w.private+"/metrics", nil, "")
		for _, want := range []string{"portico_http_request_duration_seconds_bucket", `route="/reset/:token"`, `realm="patient"`, "go_goroutines"} {
			if metrics.status != 200 || !strings.Contains(metrics.body, want) {
				t.Errorf("/metrics has no %s (%d)", want, metrics.status)
			}
		}
		for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
			for _, base := range []string{w.base, w.issuer("patient"), w.issuer("door")} {
				if r := w.mustCall(t, "GET", base+path, nil, ""); r.status != 404 && r.status != 421 {
					t.Errorf("%s%s: %d", base, path, r.status)
				}
			}
			if r := w.mustCall(t, "POST", "http://"+w.private+path, nil, ""); r.status != 405 {
				t.Errorf("POST %s: %d", path, r.status)
			}
		}
		if r := w.mustCall(t, "GET", "http://"+w.private+"/patient/signin", nil, ""); r.status != 404 {
			t.Errorf("the private listener serves pages: %d", r.status)
		}
	})
}

func TestMetadataIsWhereClientsLookForIt(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for realm, addresses := range map[string][]string{
			"patient": {"/patient/.well-known/openid-configuration", "/patient/.well-known/oauth-authorization-server",
				"/.well-known/oauth-authorization-server/patient", "/.well-known/openid-configuration/patient"},
			"practice": {"/practice/.well-known/openid-configuration", "/.well-known/oauth-authorization-server/practice"},
			"door":     {"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"},
		} {
			base := w.base
			if realm == "door" {
				base = w.issuer("door")
			}
			body := ""
			for _, address := range addresses {
				r := w.mustCall(t, "GET", base+address, nil, "")
				if r.status != 200 || r.get("issuer") != w.issuer(realm) || r.get("token_endpoint") != w.issuer(realm)+"/oauth/token" ||
					body != "" && r.body != body {
					t.Errorf("%s: %d %.200s", address, r.status, r.body)
				}
				body = r.body
				again := w.mustCall(t, "GET", base+address, http.Header{"If-None-Match": {r.header.Get("ETag")}}, "")
				if again.status != http.StatusNotModified {
					t.Errorf("%s with its ETag: %d", address, again.status)
				}
			}
		}
		for _, address := range []string{"/.well-known/oauth-authorization-server", "/.well-known/oauth-authorization-server/",
			"/.well-known/oauth-authorization-server/nobody", "/.well-known/oauth-authorization-server/patient/x", "/.well-known/openid-configuration"} {
			if r := w.mustCall(t, "GET", w.base+address, nil, ""); r.status != 404 && r.status != 421 {
				t.Errorf("%s: %d %.200s", address, r.status, r.body)
			}
		}
	})
}

func TestAddressesOfNobodyShowNobodysPage(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		b := w.browser(t)
		_, port, _ := net.SplitHostPort(w.host)
		for _, address := range []string{"http://unknown.localhost:" + port + "/patient/signin", w.base + "/", w.base + "/nobody/signin",
			w.base + "/patients/signin", w.base + "/signin"} {
			p := b.get(address).want(t, http.StatusMisdirectedRequest, "There is no portal at this address")
			if strings.Contains(p.body, "Patient Portal") || len(p.header["Set-Cookie"]) > 0 {
				t.Errorf("%s shows a realm", address)
			}
		}
		// The Host header selects among the issuers and never makes an address.
		for _, host := range []string{"evil.example.test", "evil.example.test:" + port, w.host + ".evil.example.test", "localhost:1"} {
			r := w.mustCall(t, "GET", w.issuer("patient")+"/forgot", http.Header{"Host": {host}, "X-Forwarded-Host": {w.host}, "Forwarded": {"host=" + w.host}}, "")
			if r.status != http.StatusMisdirectedRequest || strings.Contains(r.body, host) {
				t.Errorf("Host %q: %d", host, r.status)
			}
			if r := w.mustCall(t, "GET", w.base+"/admin/v1/openapi.json", http.Header{"Host": {host}}, ""); r.status != http.StatusMisdirectedRequest {
				t.Errorf("admin API with Host %q: %d", host, r.status)
			}
		}
		b.get(w.issuer("patient")+"/nowhere").want(t, 404, "We cannot find that page")
		b.get(w.issuer("patient")+"/oauth").want(t, 404, "We cannot find that page")
		if r := w.mustCall(t, "PUT", w.issuer("patient")+"/signin", nil, ""); r.status != 405 {
			t.Errorf("PUT: %d", r.status)
		}
		if p := b.get(w.issuer("patient")); p.location == nil || p.location.Path != "/patient/account" {
			t.Errorf("the issuer's own address: %d %v", p.status, p.location)
		}
		api := w.mustCall(t, "GET", w.base+"/admin/v1/nowhere", nil, "")
		if api.status != 404 || api.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("nowhere in the API: %d %s", api.status, api.body)
		}
		if r := w.mustCall(t, "GET", w.base+"/admin/v1/openapi.json", nil, ""); r.status != 200 || !strings.HasPrefix(r.get("openapi"), "3.1") {
			t.Errorf("openapi.json: %d %q", r.status, r.get("openapi"))
		}
	})
}

// A redirected POST would post a password once more (RFC 9700 §4.12).
func TestASlashTooManyIsNotRedirected(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		who, b := w.person(t, "patient"), w.browser(t)
		form := url.Values{"csrf": {b.open(w.issuer("patient") + "/signin").value("csrf")}, "email": {who.email}, "password": {who.password}}
		for _, path := range []string{"/signin/", "//signin", "/SIGNIN", "/forgot/", "/account/password/", "/oauth/token/", "/./signin", "/x/../signin"} {
			p := b.post(w.issuer("patient")+path, form)
			if p.location != nil || p.status != 404 && p.status != 421 && p.status != 405 || b.cookie("patient", "") != "" {
				t.Errorf("POST %s: %d %v", path, p.status, p.location)
			}
		}
		for _, path := range []string{"/patient/", "/patient//", "/admin/v1/patients/"} {
			if r := w.mustCall(t, "POST", w.base+path, nil, ""); r.status < 400 {
				t.Errorf("POST %s: %d %s", path, r.status, r.header.Get("Location"))
			}
		}
	})
}

func TestForwardedAddressesOfStrangersAreIgnored(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		// The annex takes three requests an hour from a network.
		var people []*person
		for range 6 {
			people = append(people, w.person(t, "annex"))
		}
		var bodies []string
		for i, who := range people {
			b := w.browser(t)
			fake := []string{"203.0.113." + string(rune('1'+i))}
			b.more = http.Header{"X-Forwarded-For": fake, "X-Real-Ip": fake, "Forwarded": {"for=" + fake[0]}, "True-Client-Ip": fake}
			p := b.send(b.open(w.issuer("annex")+"/forgot"), "email", who.email).want(t, 200, "Check your email")
			bodies = append(bodies, strings.ReplaceAll(p.says(), who.email, "EMAIL"))
		}
		for _, body := range bodies {
			if body != bodies[0] { // who is beyond the limit is not told
				t.Errorf("%q is not %q", body, bodies[0])
			}
		}
		if n := w.count(t, `SELECT COUNT(*) FROM recovery_requests WHERE realm = 'annex'`); n != 3 {
			t.Errorf("%d requests were let through, the network may make 3", n)
		}
		who := w.person(t, "patient")
		b := w.browser(t)
		b.more = http.Header{"X-Forwarded-For": {"203.0.113.9"}}
		b.send(b.open(w.issuer("patient")+"/signin"), "email", who.email, "password", who.password)
		if n := w.count(t, `SELECT COUNT(*) FROM sessions WHERE account_id = $1 AND ip IN ('127.0.0.1', '::1')`, who.id); n != 1 {
			t.Error("the session is recorded as coming from elsewhere")
		}
		if n := w.count(t, `SELECT COUNT(*) FROM audit_events WHERE ip LIKE '203.0.113.%'`); n != 0 {
			t.Errorf("%d events are recorded as coming from elsewhere", n)
		}
	})
}

func TestEveryPageHasItsHeaders(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for _, path := range []string{"/patient/signin", "/patient/forgot", "/patient/reset/x", "/patient/nowhere", "/nobody", "/patient/oauth/authorize"} {
			r := w.mustCall(t, "GET", w.base+path, nil, "")
			h := r.header
			policy := h.Get("Content-Security-Policy")
			for _, want := range []string{"default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'", "form-action 'self'"} {
				if !strings.Contains(policy, want) {
					t.Errorf("%s: no %s in %q", path, want, policy)
				}
			}
			if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cache-Control") != "no-store" || h.Get("Cross-Origin-Opener-Policy") != "same-origin" ||
				h.Get("Referrer-Policy") == "" || h.Get("X-Request-Id") == "" || h.Get("Access-Control-Allow-Origin") != "" || h.Get("Server") != "" {
				t.Errorf("%s: %v", path, h)
			}
		}
	})
}

func TestATakenPortIsExplained(t *testing.T) {
	t.Parallel()
	for _, setting := range []string{"listen", "private_listen"} {
		s := newSettings(seeded(t, "sqlite"), startMail(t), "")
		address := s.host
		if setting == "private_listen" {
			address = s.private
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		cfg, err := config.Parse("idp.yaml", []byte(s.yaml), s.lookup)
		if err != nil {
			t.Fatal(err)
		}
		_, err = server.New(context.Background(), cfg, server.Options{Logger: (&logBuffer{}).logger()})
		if !errors.Is(err, server.ErrPortTaken) || !strings.Contains(err.Error(), address) || !strings.HasSuffix(err.Error(), "change "+setting) {
			t.Errorf("%s taken: %v", setting, err)
		}
	}
}

func TestRequestsUnderWayAreFinishedBeforeTheEnd(t *testing.T) {
	eachAlone(t, options{}, func(t *testing.T, w *world) {
		who := w.person(t, "patient")
		p := w.party(t, "patient", "native")
		form := url.Values{"grant_type": {"client_credentials"}}.Encode()
		conn, err := net.Dial("tcp", w.host)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		req, _ := http.NewRequest("POST", p.config.Endpoint.TokenURL, nil)
		req.SetBasicAuth(p.client, p.secret)
		head := "POST /patient/oauth/token HTTP/1.1\r\nHost: " + w.host + "\r\nAuthorization: " + req.Header.Get("Authorization") +
			"\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: " + strconv.Itoa(len(form)) + "\r\n\r\n"
		if _, err := conn.Write([]byte(head + form[:5])); err != nil {
			t.Fatal(err)
		}
		// A letter that was asked for before the end is not lost either.
		b := w.browser(t)
		b.submit(b.open(w.issuer("patient")+"/forgot"), "email", who.email)
		w.http.CloseIdleConnections()
		time.Sleep(50 * time.Millisecond) // the server has read the head
		ended := make(chan error, 1)
		go func() { ended <- w.stop() }()
		eventually(t, "the listener is closed", func() bool {
			late, err := net.DialTimeout("tcp", w.host, time.Second)
			if err == nil {
				late.Close()
			}
			return err != nil
		})
		select {
		case err := <-ended:
			t.Fatalf("ended with a request under way: %v", err)
		case <-time.After(100 * time.Millisecond):
		}
		if _, err := conn.Write([]byte(form[5:])); err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, 4096)
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		n, err := conn.Read(answer)
		if err != nil || !strings.HasPrefix(string(answer[:n]), "HTTP/1.1 200") || !strings.Contains(string(answer[:n]), "access_token") {
			t.Errorf("the request was cut off: %v %s", err, answer[:n])
		}
		conn.Close()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("not in order: %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("does not end")
		}
		if lines := w.log.errors(); len(lines) > 0 {
			t.Errorf("errors at the end: %s", strings.Join(lines, "\n"))
		}
		again, err := launch(t, options{dsn: w.dsn})
		if err != nil {
			t.Fatalf("the next start: %v", err)
		}
		eventually(t, "the letter", func() bool {
			return len(w.mail.to(who.email, resetLetter))+len(again.mail.to(who.email, resetLetter)) == 1
		})
	})
}
