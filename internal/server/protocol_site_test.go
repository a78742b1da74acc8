package server_test

import (
	"crypto/tls"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// clientSite is what clients publish, and where they listen.
type clientSite struct {
	*httptest.Server
	mu      sync.Mutex
	pages   map[string]string
	answers map[string]func(n int, w http.ResponseWriter, r *http.Request)
	hits    map[string][]siteHit
}

type siteHit struct {
	method, kind, body string
	version            uint16
}

func newClientSite(t testing.TB) *clientSite {
	s := &clientSite{pages: map[string]string{}, hits: map[string][]siteHit{}, answers: map[string]func(int, http.ResponseWriter, *http.Request){}}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		s.mu.Lock()
		s.hits[r.URL.Path] = append(s.hits[r.URL.Path], siteHit{r.Method, r.Header.Get("Content-Type"), string(body), r.TLS.Version})
		page, answer, n := s.pages[r.URL.Path], s.answers[r.URL.Path], len(s.hits[r.URL.Path])
		s.mu.Unlock()
		if answer != nil {
			answer(n, w, r)
			return
		}
		_, _ = io.WriteString(w, page)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// answer is publish for what is no document; n counts the requests from 1 on.
func (s *clientSite) answer(with func(n int, w http.ResponseWriter, r *http.Request)) (address string) {
	address = s.publish("")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[strings.TrimPrefix(address, s.URL)] = with
	return address
}

// publish puts a document at an address that nobody else uses.
func (s *clientSite) publish(body string) (address string) {
	path := "/" + randomText(9)
	s.set(path, body)
	return s.URL + path
}

func (s *clientSite) set(path, body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pages[strings.TrimPrefix(path, s.URL)] = body
}

// asked lists the requests to an address.
func (s *clientSite) asked(address string) []siteHit {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.hits[strings.TrimPrefix(address, s.URL)])
}
