package server_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"
)

// What sends slowly, endlessly or too much is cut off, and others do not wait.
func TestSlowAndLargeRequestsAreCutOff(t *testing.T) {
	eachAlone(t, options{yaml: "limits: {read_timeout: 2s, write_timeout: 10s}"}, func(t *testing.T, w *world) {
		dial := func() net.Conn {
			conn, err := net.Dial("tcp", w.host)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
			return conn
		}
		head := "POST /patient/signin HTTP/1.1\r\nHost: " + w.host + "\r\nContent-Type: application/x-www-form-urlencoded\r\n"
		slow := map[string]net.Conn{"no head": dial(), "half a head": dial(), "half a body": dial()}
		fmt.Fprint(slow["half a head"], head)
		fmt.Fprint(slow["half a body"], head+"Content-Length: 1000\r\n\r\nemail=")
		for range 100 {
			fmt.Fprint(dial(), head) // held open until the end
		}
		w.browser(t).open(w.issuer("patient")+"/signin").want(t, 200, "Sign in")
		for name, conn := range slow {
			_ = conn.SetReadDeadline(time.Now().Add(15 * time.Second))
			if _, err := io.ReadAll(conn); err != nil {
				t.Errorf("%s is not cut off: %v", name, err)
			}
		}
		large := dial()
		go fmt.Fprint(large, "GET /patient/signin HTTP/1.1\r\nHost: "+w.host+"\r\nX-Large: "+strings.Repeat("a", 64<<10)+"\r\n\r\n")
		answer, err := http.ReadResponse(bufio.NewReader(large), nil)
		if err != nil || answer.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("64 KiB of headers: %v %v", answer, err)
		}
		body := dial()
		go fmt.Fprint(body, head+"Content-Length: 10000000\r\n\r\n"+strings.Repeat("a", 1<<20))
		if answer, err := http.ReadResponse(bufio.NewReader(body), nil); err == nil && answer.StatusCode < 400 {
			t.Errorf("a body of 10 MB: %d", answer.StatusCode)
		}
	})
}

// Letters lead to the configured address, whatever a request says of itself.
func TestLinksComeFromTheConfigurationWhateverARequestSays(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		who, b := w.person(t, "patient"), w.browser(t)
		evil := http.Header{"X-Forwarded-Host": {"evil.example.test"}, "X-Forwarded-Proto": {"http"}, "X-Original-Host": {"evil.example.test"},
			"Forwarded": {"host=evil.example.test;proto=http"}, "X-Host": {"evil.example.test"}, "X-Forwarded-Server": {"evil.example.test"},
			"X-Forwarded-Prefix": {"/evil"}, "X-Rewrite-Url": {"/evil"}}
		b.more = evil
		form := b.open(w.issuer("patient") + "/forgot")
		b.send(form, "email", strings.ToUpper(who.email)).want(t, 200, "Check your email")
		l := w.mail.wait(t, who.email, resetLetter, 1)
		if !strings.HasPrefix(l.link(t), w.issuer("patient")+"/reset/") || strings.Contains(l.raw, "evil") {
			t.Errorf("the letter:\n%s", l.raw)
		}
		if l.to != who.email {
			t.Errorf("the letter went to %q, not to the address on file", l.to)
		}
		r := w.mustCall(t, "POST", w.issuer("patient")+"/forgot", http.Header{"Host": {"evil.example.test"}}, "email="+who.email)
		if r.status != http.StatusMisdirectedRequest {
			t.Errorf("under another host: %d", r.status)
		}
	})
}

// Every page has the headers, also those of somebody who is signed in.
func TestEveryPageOfAPersonHasItsHeaders(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		who, b := w.person(t, "patient"), w.browser(t)
		w.party(t, "patient", "portal").signIn(b, who)
		link := w.forget(t, b, who, 1).link(t)
		for _, address := range []string{"/account", "/account/password", "/account/email", "/account/question", "/account/profile",
			"/account/history", "/account/apps", "/account/language", "/account/second-step", "/oauth/logout", "/forgot/sent", link} {
			if !strings.HasPrefix(address, "http") {
				address = w.issuer("patient") + address
			}
			h := b.get(address).header
			if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cache-Control") != "no-store" || h.Get("Cross-Origin-Opener-Policy") != "same-origin" ||
				h.Get("Referrer-Policy") != "strict-origin" || h.Get("Access-Control-Allow-Origin") != "" ||
				!strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'") || !strings.Contains(h.Get("Content-Security-Policy"), "frame-ancestors 'none'") {
				t.Errorf("%s: %v", address, h)
			}
		}
	})
}

// Anybody can make an authorization request wait for a person; each is a row,
// so a network gets so many and is then told when to come back.
func TestInteractionsOfANetworkAreBounded(t *testing.T) {
	eachAlone(t, options{}, func(t *testing.T, w *world) {
		const most = 60 // in the annex
		p := w.party(t, "annex", "portal", "openid")
		seen := map[int]int{}
		for range most + 5 {
			got := w.browser(t).get(p.begin().url)
			seen[got.status]++
			if got.status == http.StatusServiceUnavailable && got.header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
		}
		if seen[http.StatusSeeOther] != most || seen[http.StatusServiceUnavailable] != 5 {
			t.Errorf("answers %v, want %d that go on", seen, most)
		}
		if n := w.count(t, `SELECT COUNT(*) FROM interactions WHERE realm = 'annex'`); n != most {
			t.Errorf("%d rows", n)
		}
		// Another realm counts apart.
		w.browser(t).open(w.party(t, "patient", "portal").begin().url).want(t, 200, "Sign in")
	})
}

func TestStateAndNonceHaveALimit(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.party(t, "patient", "portal")
		for name, most := range map[string]int{"state": 4 << 10, "nonce": 1 << 10} {
			for length, ok := range map[int]bool{most: true, most + 1: false} {
				a := p.begin(oauth2.SetAuthURLParam(name, strings.Repeat("s", length)))
				got := w.browser(t).get(a.url)
				refused := got.location != nil && got.location.Query().Get("error") == "invalid_request"
				if refused == ok {
					t.Errorf("%s of %d characters: %d %.200v", name, length, got.status, got.location)
				}
			}
		}
	})
}

// What changes on one replica has changed on the other, at once.
func TestReplicasShareWhatTheyKnow(t *testing.T) {
	t.Parallel()
	for _, engine := range engines {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			w := alone(t, engine, options{})
			// The second copy answers at its own address, under the same issuers.
			other, err := launch(t, options{dsn: w.dsn})
			if err != nil {
				t.Fatal(err)
			}
			who, p := w.person(t, "patient"), w.party(t, "patient", "native")
			here := w.browser(t)
			had := p.signIn(here, who)
			session := here.cookie("patient", "")
			there := other.browser(t)
			there.plant("patient", "", session)
			there.open(other.issuer("patient")+"/account").want(t, 200, "My Account")

			mail := w.browser(t)
			mail.send(mail.open(w.issuer("patient")+"/forgot"), "email", who.email).want(t, 200, "Check your email")
			var letters []letter // either replica may send it
			eventually(t, "the letter", func() bool {
				letters = append(w.mail.to(who.email, resetLetter), other.mail.to(who.email, resetLetter)...)
				return len(letters) > 0
			})
			link := strings.Replace(letters[0].link(t), other.base, w.base, 1)
			choose(mail, w.answered(t, mail, link, who), who.other).want(t, 200, "Your password is changed")
			if got := there.open(other.issuer("patient") + "/account").h1(); got != "Sign in" {
				t.Errorf("the old cookie opens %q on the other replica", got)
			}
			// An access token names its issuer, so ask the grant itself.
			if n := other.count(t, `SELECT COUNT(*) FROM grants WHERE account_id = $1 AND revoked_at IS NULL`, who.id); n != 0 {
				t.Errorf("%d grants are left", n)
			}
			refusedGrant(t, other.party(t, "patient", "native").renew(t, had.refresh))

			// Guesses are counted together.
			w.stopClock()
			other.stopClock()
			victim := w.person(t, "patient")
			slowed := 0
			for i := range 8 {
				at := []*world{w, other}[i%2]
				b := at.browser(t)
				got := b.submit(b.open(at.issuer("patient")+"/signin"), "email", victim.email, "password", "not the walnut of anybody")
				if got.header.Get("Retry-After") != "" {
					slowed++
				}
			}
			if slowed != 3 {
				t.Errorf("%d of 8 guesses at two replicas were slowed down, want those after the fifth", slowed)
			}
		})
	}
}
