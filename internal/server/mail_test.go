package server_test

import (
	"bytes"
	"io"
	"log"
	"net"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gomail "github.com/emersion/go-message/mail"
	"github.com/emersion/go-smtp"
)

// mailServer is a real SMTP server in this process.
type mailServer struct {
	port int

	mu      sync.Mutex
	got     []letter
	arrived chan struct{} // closed and made anew with each letter
}

// letter is what somebody finds in a mailbox.
type letter struct{ to, subject, text, id, raw string }

func startMail(t testing.TB) *mailServer {
	t.Helper()
	l, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &mailServer{port: l.Addr().(*net.TCPAddr).Port, arrived: make(chan struct{})}
	srv := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &delivery{server: m}, nil }))
	srv.Domain, srv.ErrorLog = "mx.example.test", log.New(io.Discard, "", 0)
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { srv.Close() })
	return m
}

type delivery struct {
	server *mailServer
	to     []string
}

func (d *delivery) Reset()                               { d.to = nil }
func (d *delivery) Logout() error                        { return nil }
func (d *delivery) Mail(string, *smtp.MailOptions) error { return nil }
func (d *delivery) Rcpt(to string, _ *smtp.RcptOptions) error {
	d.to = append(d.to, to)
	return nil
}

func (d *delivery) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	l := letter{to: strings.Join(d.to, ","), raw: string(raw)}
	message, err := gomail.CreateReader(bytes.NewReader(raw))
	if err != nil {
		return err
	}
	l.subject, _ = message.Header.Subject()
	l.id, _ = message.Header.MessageID()
	for {
		part, err := message.NextPart()
		if err != nil {
			break
		}
		if kind, _, _ := part.Header.(*gomail.InlineHeader).ContentType(); kind == "text/plain" {
			text, _ := io.ReadAll(part.Body)
			l.text = string(text)
		}
	}
	d.server.mu.Lock()
	defer d.server.mu.Unlock()
	d.server.got = append(d.server.got, l)
	close(d.server.arrived)
	d.server.arrived = make(chan struct{})
	return nil
}

// to lists the letters to an address that contain what, oldest first.
func (m *mailServer) to(address, what string) []letter {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.find(address, what)
}

func (m *mailServer) find(address, what string) []letter {
	var found []letter
	for _, l := range m.got {
		if l.to == address && (strings.Contains(l.text, what) || strings.Contains(l.subject, what)) {
			found = append(found, l)
		}
	}
	return found
}

// wait returns the n-th letter to an address that contains what. One that came
// twice counts once: the clock may have been moved while it was on its way.
func (m *mailServer) wait(t testing.TB, address, what string, n int) letter {
	t.Helper()
	timeout := time.After(30 * time.Second)
	for {
		m.mu.Lock()
		found, arrived := once(m.find(address, what)), m.arrived
		m.mu.Unlock()
		if len(found) >= n {
			return found[n-1]
		}
		select {
		case <-arrived:
		case <-timeout:
			t.Fatalf("letter %d with %q to %s did not arrive; there are %d", n, what, address, len(found))
		}
	}
}

// once leaves out what was delivered before.
func once(letters []letter) []letter {
	var different []letter
	for _, l := range letters {
		if !slices.ContainsFunc(different, func(d letter) bool { return d.id == l.id }) {
			different = append(different, l)
		}
	}
	return different
}

// What letters are told apart by.
const (
	resetLetter  = "/reset/"
	inviteLetter = "/activate/"
	noticeLetter = "password was changed"
)

var linkPattern = regexp.MustCompile(`https?://[^\s"<>]+/(?:reset|activate)/[A-Za-z0-9_-]+`)

// link is the address in a letter that the person is meant to open.
func (l letter) link(t testing.TB) string {
	t.Helper()
	link := linkPattern.FindString(l.text)
	if link == "" {
		t.Fatalf("no link in the letter:\n%s", l.text)
	}
	return link
}
