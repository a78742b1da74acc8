package accounttest

import (
	"bytes"
	"context"
	"net/url"
	"regexp"
	"strings"
	"sync"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/mail"
)

// Grants remembers what was revoked.
type Grants struct {
	mu       sync.Mutex
	Accounts []uuid.UUID
	Sessions []uuid.UUID
}

// RevokeAll remembers the account.
func (g *Grants) RevokeAll(_ context.Context, accountID uuid.UUID, _ string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.Accounts = append(g.Accounts, accountID)
	return nil
}

// RevokeSession remembers the session.
func (g *Grants) RevokeSession(_ context.Context, sessionID uuid.UUID, _ string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.Sessions = append(g.Sessions, sessionID)
	return nil
}

// Tickets remembers whose links were voided, and why.
type Tickets struct {
	mu      sync.Mutex
	Reasons []string
}

// VoidAll remembers the reason.
func (k *Tickets) VoidAll(_ context.Context, _ uuid.UUID, reason string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.Reasons = append(k.Reasons, reason)
	return nil
}

// Post takes letters in the place of a mail server.
type Post struct {
	mu      sync.Mutex
	letters []mail.Message
	Refuse  bool // answer as a server that never will
}

// Send takes a letter.
func (p *Post) Send(_ context.Context, m mail.Message) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.Refuse {
		return mail.ErrRefused
	}
	p.letters = append(p.letters, m)
	return nil
}

// All is every letter so far, oldest first.
func (p *Post) All() []mail.Message {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]mail.Message(nil), p.letters...)
}

// To counts the letters to an address.
func (p *Post) To(email string) int {
	n := 0
	for _, m := range p.All() {
		if m.To == email {
			n++
		}
	}
	return n
}

var linkPattern = regexp.MustCompile(`http://localhost:9000\S+/(?:reset|activate|email|freeze)/[A-Za-z0-9_-]+`)

// LastLink is the realm-relative path of the link in the newest letter to an
// address that has one for its reader to go on with.
func (w *World) LastLink(email string) string {
	w.T.Helper()
	return w.lastLink(email, func(link string) bool { return !strings.Contains(link, "/freeze/") })
}

// LastFreezeLink is that of the newest "this wasn't me".
func (w *World) LastFreezeLink(email string) string {
	w.T.Helper()
	return w.lastLink(email, func(link string) bool { return strings.Contains(link, "/freeze/") })
}

func (w *World) lastLink(email string, wanted func(link string) bool) string {
	w.T.Helper()
	w.Deliver()
	all := w.Post.All()
	for i := len(all) - 1; i >= 0; i-- {
		link := ""
		for _, found := range linkPattern.FindAllString(all[i].Content.Text, -1) {
			if link == "" && wanted(found) {
				link = found
			}
		}
		if all[i].To != email || link == "" {
			continue
		}
		u, err := url.Parse(link)
		if err != nil {
			w.T.Fatal(err)
		}
		return strings.TrimPrefix(u.Path, w.Realm.Path)
	}
	w.T.Fatalf("no letter with a link to %s", email)
	return ""
}

// Log keeps what was logged.
type Log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write adds to the log.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// String is all that was logged.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
