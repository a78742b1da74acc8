package oauth

import (
	"time"

	"github.com/google/uuid"
	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/token/jwt"

	"github.com/portico-id/portico/internal/realm"
)

var _ openid.Session = (*signIn)(nil)

// grant is what an account allowed a client, as it was read or is about to be
// written. Nothing changes it after that.
type grant struct {
	ID, AccountID, SessionID uuid.UUID
	ClientID                 string
	Scopes, Audiences        []string
	AuthTime                 time.Time
	ACR                      string
	Claims                   *claimsRequest // single claims that were asked for; nil: none
	AMR                      []string
	Who                      *account // whose grant it is; nil until it is read
	ClientVersion            int64    // of the client's registration; 0: it is none that registered itself
	ExpiresAt                time.Time
	Live                     bool // see liveGrant in store.go

	client *realm.Client // who holds it; known to readAccess only
}

// signIn is what fosite's handlers call a session: the grant behind a request.
// Lifetimes are not kept here, although the interface offers it: they come
// from the grant and the database's clock at every issuance, so none can go
// stale or be missing.
type signIn struct {
	grant   *grant // nil for a client on its own
	subject string
	nonce   string
	claims  jwt.IDTokenClaims
	state   string // of the request: only for an ID token that comes with its answer
	alone   bool   // the ID token is all the client gets, so the claims of its scopes are in it
	headers jwt.Headers
}

func newSignIn(g *grant, subject, nonce string) *signIn {
	return &signIn{grant: g, subject: subject, nonce: nonce, claims: jwt.IDTokenClaims{Subject: subject}}
}

// IDTokenClaims is where fosite's handlers leave at_hash.
func (s *signIn) IDTokenClaims() *jwt.IDTokenClaims { return &s.claims }

// IDTokenHeaders is empty: all our algorithms hash with SHA-256.
func (s *signIn) IDTokenHeaders() *jwt.Headers { return &s.headers }

// SetExpiresAt keeps nothing, see signIn.
func (s *signIn) SetExpiresAt(fosite.TokenType, time.Time) {}

// GetExpiresAt is always unknown, see signIn.
func (s *signIn) GetExpiresAt(fosite.TokenType) time.Time { return time.Time{} }

// GetUsername is empty: tokens name people by their subject only.
func (s *signIn) GetUsername() string { return "" }

// GetSubject is how the client knows the account, see subject.
func (s *signIn) GetSubject() string { return s.subject }

// Clone copies what handlers change. The grant is shared: nothing writes to it.
func (s *signIn) Clone() fosite.Session {
	if s == nil {
		return nil
	}
	c := *s
	c.headers = jwt.Headers{}
	return &c
}
