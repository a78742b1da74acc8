package relyingparty

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"net/url"
	"sync"
	"time"

	"golang.org/x/oauth2"
)

const (
	// pendingFor is how long a person may take at the provider; a reset mail
	// may have to be waited for in between.
	pendingFor = 30 * time.Minute
	// maxPending bounds the tabs in which one browser may be signing in.
	maxPending = 8
	// maxSessions bounds memory against visitors that never finish.
	maxSessions = 20_000
)

// User is the person an ID token spoke of.
type User struct {
	Subject       string
	Name          string
	GivenName     string
	Email         string
	EmailVerified bool
	Locale        string
	AuthTime      time.Time // zero when the provider did not say
}

// Session is one browser at this portal. Its methods may be used by several
// requests at once.
type Session struct {
	id      string
	created time.Time

	mu       sync.Mutex
	lastSeen time.Time
	ended    bool
	csrf     string
	user     *User // nil until signed in; never changed once set
	token    *oauth2.Token
	idToken  string
	pending  map[string]pending // by state
	forms    map[string]url.Values
	flash    []string

	renewing sync.Mutex // one renewal at a time
}

// pending is a sign-in that was begun and not yet finished.
type pending struct {
	nonce, verifier string
	returnTo        string
	form            url.Values
	subject         string // who was signed in when it began
	maxAge          time.Duration
	hasMaxAge       bool
	begun           time.Time
}

// User returns who is signed in, or nil.
func (s *Session) User() *User {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.user
}

// CSRF returns the token that forms of this session carry.
func (s *Session) CSRF() string {
	if s == nil {
		return ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.csrf
}

// CheckCSRF says whether the form was written by a page of this session.
func (s *Session) CheckCSRF(r *http.Request) bool {
	want := s.CSRF()
	return want != "" && subtle.ConstantTimeCompare([]byte(want), []byte(r.PostFormValue("csrf"))) == 1
}

// SetFlash keeps sentences for the next page of this session.
func (s *Session) SetFlash(lines ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flash = lines
}

// TakeFlash returns what SetFlash kept, once.
func (s *Session) TakeFlash() []string {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	lines := s.flash
	s.flash = nil
	return lines
}

// TakeForm returns, once, what had been typed into the form at path when a
// sign-in interrupted it; nil when nothing was.
func (s *Session) TakeForm(path string) url.Values {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	form := s.forms[path]
	delete(s.forms, path)
	return form
}

func (s *Session) addPending(state string, p pending, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var oldest string
	for key, other := range s.pending {
		if now.Sub(other.begun) > pendingFor {
			delete(s.pending, key)
		} else if oldest == "" || other.begun.Before(s.pending[oldest].begun) {
			oldest = key
		}
	}
	if len(s.pending) >= maxPending {
		delete(s.pending, oldest)
	}
	s.pending[state] = p
}

// takePending hands a begun sign-in out once: a second arrival of the same
// answer finds nothing.
func (s *Session) takePending(state string, now time.Time) (pending, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.pending[state]
	delete(s.pending, state)
	return p, ok && now.Sub(p.begun) <= pendingFor
}

// store keeps the sessions of one portal.
type store struct {
	idle, absolute time.Duration

	mu   sync.Mutex
	byID map[string]*Session
}

func (st *store) create(now time.Time) *Session {
	s := &Session{
		id: random(), created: now, lastSeen: now, csrf: random(),
		pending: map[string]pending{}, forms: map[string]url.Values{},
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if len(st.byID) >= maxSessions {
		st.makeRoom(now)
	}
	st.byID[s.id] = s
	return s
}

// makeRoom drops expired sessions and, when that is not enough, those of
// people who never finished signing in. The caller holds the lock.
func (st *store) makeRoom(now time.Time) {
	for id, s := range st.byID {
		if st.expired(s, now) {
			delete(st.byID, id)
		}
	}
	for id, s := range st.byID {
		if len(st.byID) < maxSessions {
			return
		}
		if s.User() == nil {
			delete(st.byID, id)
		}
	}
}

func (st *store) expired(s *Session, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return now.Sub(s.lastSeen) > st.idle || now.Sub(s.created) > st.absolute
}

// find returns a live session and marks it as used now.
func (st *store) find(id string, now time.Time) *Session {
	st.mu.Lock()
	s := st.byID[id]
	st.mu.Unlock()
	if s == nil {
		return nil
	}
	if st.expired(s, now) {
		st.remove(s)
		return nil
	}
	s.mu.Lock()
	s.lastSeen = now
	s.mu.Unlock()
	return s
}

func (st *store) remove(s *Session) {
	st.mu.Lock()
	delete(st.byID, s.id)
	st.mu.Unlock()
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
}

// random returns 256 bits from the system's generator, fit for a cookie or URL.
func random() string {
	var b [32]byte
	rand.Read(b[:]) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(b[:])
}
