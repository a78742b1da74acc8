package mail

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-message"
	"github.com/emersion/go-sasl"
	gosmtp "github.com/emersion/go-smtp"
)

// mailServer is a real SMTP server in the test's process.
type mailServer struct {
	mu       sync.Mutex
	got      []delivered
	mail     func() error // answers MAIL FROM
	rcpt     func() error // answers RCPT TO
	data     func(text string) error
	user     string
	password string
	authed   int
	addr     string
	stop     func()
}

type delivered struct {
	from, to, raw string
	header        message.Header
	text, html    string
	order         []string // content types of the parts
}

func (s *mailServer) messages() []delivered {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]delivered(nil), s.got...)
}

type serverKind int

const (
	plainServer serverKind = iota
	startTLSServer
	implicitServer
)

// startServer listens on addr, or on any port.
func startServer(t *testing.T, kind serverKind, cert tls.Certificate, addr string, s *mailServer) *mailServer {
	t.Helper()
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	srv := gosmtp.NewServer(gosmtp.BackendFunc(func(*gosmtp.Conn) (gosmtp.Session, error) { return &smtpSession{server: s}, nil }))
	srv.Domain, srv.AllowInsecureAuth, srv.MaxMessageBytes = "mx.example.test", kind == plainServer, 1<<20
	srv.ErrorLog = log.New(io.Discard, "", 0)
	conf := &tls.Config{Certificates: []tls.Certificate{cert}}
	if kind == startTLSServer {
		srv.TLSConfig = conf
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	s.stop = func() { l.Close(); srv.Close() }
	if kind == implicitServer {
		l = tls.NewListener(l, conf)
	}
	go srv.Serve(l) //nolint:errcheck // it ends with Close
	t.Cleanup(s.stop)
	return s
}

type smtpSession struct {
	server   *mailServer
	from, to string
}

func (s *smtpSession) AuthMechanisms() []string { return []string{sasl.Plain} }
func (s *smtpSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != s.server.user || password != s.server.password {
			return errors.New("wrong password")
		}
		s.server.mu.Lock()
		s.server.authed++
		s.server.mu.Unlock()
		return nil
	}), nil
}
func (s *smtpSession) Reset()        {}
func (s *smtpSession) Logout() error { return nil }
func (s *smtpSession) Mail(from string, _ *gosmtp.MailOptions) error {
	s.from = from
	if s.server.mail != nil {
		return s.server.mail()
	}
	return nil
}
func (s *smtpSession) Rcpt(to string, _ *gosmtp.RcptOptions) error {
	s.to = to
	if s.server.rcpt != nil {
		return s.server.rcpt()
	}
	return nil
}

func (s *smtpSession) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	d := delivered{from: s.from, to: s.to, raw: string(raw)}
	e, err := message.Read(strings.NewReader(d.raw))
	if err != nil {
		return err
	}
	d.header = e.Header
	err = e.Walk(func(_ []int, part *message.Entity, err error) error {
		if err != nil {
			return err
		}
		kind, _, _ := part.Header.ContentType()
		d.order = append(d.order, kind)
		if strings.HasPrefix(kind, "text/") {
			body, err := io.ReadAll(part.Body)
			if err != nil {
				return err
			}
			if kind == "text/plain" {
				d.text = strings.ReplaceAll(string(body), "\r\n", "\n")
			} else {
				d.html = string(body)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if s.server.data != nil {
		if err := s.server.data(d.text); err != nil {
			return err
		}
	}
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	s.server.got = append(s.server.got, d)
	return nil
}

// certificate makes a certificate for a host, and the pool that trusts it.
func certificate(t *testing.T, host string, until time.Time) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: until, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if ip := net.ParseIP(host); ip != nil {
		c.IPAddresses = []net.IP{ip}
	} else {
		c.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}
