package mail

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/portico-id/portico/internal/secret"
)

func testMessage() Message {
	return Message{ID: "1@id.example.test", FromName: "Patient Portal", From: "no-reply@id.example.test", To: "maria@example.test",
		Content: Content{Lang: "en", Subject: "Hello", Text: "Hello\n", HTML: "<p>Hello</p>"}}
}

func TestTLSIsVerified(t *testing.T) {
	good, trusted := certificate(t, "127.0.0.1", time.Now().Add(time.Hour))
	otherHost, trustsOther := certificate(t, "mx.elsewhere.test", time.Now().Add(time.Hour))
	old, trustsOld := certificate(t, "127.0.0.1", time.Now().Add(-time.Hour))
	for name, c := range map[string]struct {
		server serverKind
		cert   tls.Certificate
		mode   string
		roots  *x509.CertPool
		ok     bool
	}{
		"starttls":                   {startTLSServer, good, STARTTLS, trusted, true},
		"implicit":                   {implicitServer, good, Implicit, trusted, true},
		"starttls, unknown issuer":   {startTLSServer, good, STARTTLS, nil, false},
		"implicit, unknown issuer":   {implicitServer, good, Implicit, nil, false},
		"starttls, other host":       {startTLSServer, otherHost, STARTTLS, trustsOther, false},
		"implicit, other host":       {implicitServer, otherHost, Implicit, trustsOther, false},
		"starttls, expired":          {startTLSServer, old, STARTTLS, trustsOld, false},
		"implicit, expired":          {implicitServer, old, Implicit, trustsOld, false},
		"starttls stripped":          {plainServer, good, STARTTLS, trusted, false},
		"implicit to a plain server": {plainServer, good, Implicit, trusted, false},
	} {
		t.Run(name, func(t *testing.T) {
			server := startServer(t, c.server, c.cert, "", &mailServer{user: "portico", password: "smtp-canary"})
			s := smtpTo(t, server.addr)
			s.o.TLS, s.o.RootCAs, s.o.User, s.o.Password = c.mode, c.roots, "portico", secret.Text("smtp-canary")
			s.timeout = 2 * time.Second
			err := s.Send(context.Background(), testMessage())
			if (err == nil) != c.ok || errors.Is(err, ErrRefused) {
				t.Fatalf("sent: %v, expected %v; %v", err == nil, c.ok, err)
			}
			if err != nil && strings.Contains(err.Error(), "smtp-canary") {
				t.Error("the password is in the error")
			}
			if n := len(server.messages()); (n == 1) != c.ok {
				t.Errorf("%d letters arrived", n)
			}
			if (server.authed == 1) != c.ok {
				t.Errorf("the password was shown %d times", server.authed)
			}
		})
	}
}

func TestAWrongPasswordIsForTheOperatorToMend(t *testing.T) {
	cert, roots := certificate(t, "127.0.0.1", time.Now().Add(time.Hour))
	server := startServer(t, startTLSServer, cert, "", &mailServer{user: "portico", password: "right"})
	s := smtpTo(t, server.addr)
	s.o.TLS, s.o.RootCAs, s.o.User, s.o.Password = STARTTLS, roots, "portico", "wrong"
	if err := s.Send(context.Background(), testMessage()); err == nil || errors.Is(err, ErrRefused) {
		t.Error(err)
	}
}

func TestWithoutTLSOnlyThisMachineIsSpokenTo(t *testing.T) {
	for host, ok := range map[string]bool{"localhost": true, "127.0.0.1": true, "::1": true, "mx.example.test": false, "192.0.2.1": false, "": false} {
		if _, err := NewSMTP(SMTPOptions{Host: host, TLS: NoTLS}); (err == nil) != ok {
			t.Errorf("%q: %v", host, err)
		}
	}
	if _, err := NewSMTP(SMTPOptions{Host: "mx.example.test", TLS: "opportunistic"}); err == nil {
		t.Error("an unknown mode was accepted")
	}
	for mode, port := range map[string]int{STARTTLS: 587, Implicit: 465} {
		s, err := NewSMTP(SMTPOptions{Host: "mx.example.test", TLS: mode})
		if err != nil || s.o.Port != port {
			t.Error(mode, s, err)
		}
	}
}

func TestAServerThatHangsIsLeft(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	closed := make(chan struct{})
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = c.Read(make([]byte, 1)) // until the other side hangs up
		close(closed)
	}()
	port, _ := strconv.Atoi(l.Addr().String()[strings.LastIndex(l.Addr().String(), ":")+1:])
	s, err := NewSMTP(SMTPOptions{Host: "127.0.0.1", Port: port, TLS: NoTLS})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	began := time.Now()
	if err := s.Send(ctx, testMessage()); err == nil {
		t.Error("sent")
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it waited %s although the context had ended", took)
	}
	select {
	case <-closed:
	case <-time.After(5 * time.Second):
		t.Error("the connection stays open")
	}
}

func TestHeadersCannotBeInjected(t *testing.T) {
	server := startServer(t, plainServer, tls.Certificate{}, "", &mailServer{})
	s := smtpTo(t, server.addr)
	m := testMessage()
	m.FromName = "Portal\r\nX-Evil: 1"
	m.Content.Subject = "Hello\r\nX-Evil: 2"
	if err := s.Send(context.Background(), m); err == nil {
		for _, d := range server.messages() {
			if d.header.Get("X-Evil") != "" {
				t.Errorf("%s", d.raw)
			}
		}
	}
	m = testMessage()
	m.To = "maria@example.test\r\nBcc: all@example.test"
	if err := s.Send(context.Background(), m); !errors.Is(err, ErrRefused) {
		t.Error(err)
	}
}
