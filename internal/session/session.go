package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/secret"
)

// slideEvery is how often the use of a session is written down.
const slideEvery = time.Minute

// ErrNotFound says that there is no open session with this identifier, or that
// it is somebody else's.
var ErrNotFound = errors.New("no such session")

// Session is a browser signed in to a realm. ID is the OpenID Connect sid.
// ExpiresAt is the absolute limit; the idle limit may come earlier.
type Session struct {
	ID, AccountID                              uuid.UUID
	Realm                                      string
	AuthTime, CreatedAt, LastSeenAt, ExpiresAt time.Time
	ConfirmedAt                                time.Time // when the password or a passkey was last proved
	ACR                                        string
	AMR                                        []string
	Kept                                       bool // the person asked to stay signed in on this device
	Overdue                                    bool // only of Find: the realm wants a second factor here by now
	UserAgent, IP                              string
}

// Device is where a sign-in came from, for the list of devices.
type Device struct{ UserAgent, IP string }

// Method is how the person proved who they are (OpenID Connect Core §2: acr,
// amr; values of amr from RFC 8176).
type Method struct {
	ACR string
	AMR []string

	// Keep: the person asked to stay signed in on this device. It counts where
	// the realm offers that (Lifetimes.KeptSession).
	Keep bool
	// Confirms: what Strengthen was given stands for a password too, as a passkey
	// does and a code does not.
	Confirms bool
}

// Ended is a session that was open until this moment.
type Ended struct {
	ID, AccountID uuid.UUID
	Realm         string
}

// Manager starts, finds and ends sessions. It is safe for concurrent use.
type Manager struct {
	db    *database.DB
	ended func(ctx context.Context, sessions []Ended, reason string) error
}

// NewManager keeps its sessions in db.
func NewManager(db *database.DB) *Manager { return &Manager{db: db} }

// OnEnd names what else happens when sessions end, whoever ends them: it runs
// in the transaction that ends them, and its error undoes that. Sessions that
// run into a limit end without it. Call it once, before the Manager is used.
func (m *Manager) OnEnd(fn func(ctx context.Context, sessions []Ended, reason string) error) {
	m.ended = fn
}

// Start signs an account in and returns the token for the cookie, which is
// kept nowhere else. It joins the caller's transaction. It always makes a new
// session: the caller ends the one that the browser had before, or renews it.
func (m *Manager) Start(ctx context.Context, r *realm.Realm, accountID uuid.UUID, d Device, how Method) (Session, secret.Token, error) {
	s, tok := m.begin(ctx, r, accountID, d, how)
	if err := m.insert(ctx, s, tok.Hash()); err != nil {
		return Session{}, secret.Token{}, fmt.Errorf("start session: %w", err)
	}
	return s, tok, nil
}

// begin is a session that begins now, and its token.
func (m *Manager) begin(ctx context.Context, r *realm.Realm, accountID uuid.UUID, d Device, how Method) (Session, secret.Token) {
	now := m.db.Now(ctx)
	s := Session{
		ID: database.NewID(), AccountID: accountID, Realm: r.Name,
		AuthTime: now, CreatedAt: now, LastSeenAt: now, ConfirmedAt: now,
		ACR: how.ACR, AMR: how.AMR, Kept: how.Keep && r.Lifetimes.KeptSession > 0,
		UserAgent: clean(d.UserAgent, 255), IP: clean(d.IP, 64),
	}
	s.ExpiresAt = now.Add(absolute(r, s.Kept))
	return s, secret.NewToken()
}

// Succeed starts a session in the place of one that the caller has just ended:
// the same person at the same browser, who has proved the password again this
// moment. It is a session of its own, with another sid, but no other sign-in:
// level, methods, AuthTime and limits stay, so that a second factor that was
// proved once counts no longer for it, and is not told to clients as a new one.
// It joins the caller's transaction.
func (m *Manager) Succeed(ctx context.Context, before Session, d Device) (Session, secret.Token, error) {
	s, tok, now := before, secret.NewToken(), m.db.Now(ctx)
	s.ID, s.LastSeenAt, s.ConfirmedAt = database.NewID(), now, now
	s.UserAgent, s.IP = clean(d.UserAgent, 255), clean(d.IP, 64)
	if !slices.Contains(s.AMR, "pwd") {
		s.AMR = append([]string{"pwd"}, s.AMR...)
	}
	if err := m.insert(ctx, s, tok.Hash()); err != nil {
		return Session{}, secret.Token{}, fmt.Errorf("succeed session: %w", err)
	}
	return s, tok, nil
}

// Strengthen notes, in an open session, a proof beyond those it began with. The
// row and its sid stay; the token is a new one and the old one dead, because a
// token that was stolen before must not gain by it. ErrNotFound when the session
// is over. It joins the caller's transaction; how.Keep means nothing here.
func (m *Manager) Strengthen(ctx context.Context, r *realm.Realm, id uuid.UUID, how Method) (secret.Token, error) {
	tok := secret.NewToken()
	if err := m.strengthen(ctx, r, id, tok.Hash(), how); err != nil {
		return secret.Token{}, fmt.Errorf("strengthen session: %w", err)
	}
	return tok, nil
}

// Confirm notes that the person of an open session has proved the password or
// a passkey again. As with Strengthen, the token is a new one.
func (m *Manager) Confirm(ctx context.Context, id uuid.UUID) (secret.Token, error) {
	tok := secret.NewToken()
	if err := m.confirm(ctx, id, tok.Hash()); err != nil {
		return secret.Token{}, fmt.Errorf("confirm session: %w", err)
	}
	return tok, nil
}

// Find returns the open session that a token names in a realm, or nil. It
// writes down, at most once a minute, that the session is in use.
func (m *Manager) Find(ctx context.Context, r *realm.Realm, tok secret.Token) (*Session, error) {
	s, err := m.find(ctx, r, tok.Hash())
	if errors.Is(err, database.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find session: %w", err)
	}
	s.bound(r)
	if now := m.db.Now(ctx); now.Sub(s.LastSeenAt) >= slideEvery {
		if err := m.slide(ctx, s.ID, now); err != nil {
			return nil, fmt.Errorf("slide session: %w", err)
		}
		s.LastSeenAt = now
	}
	return &s, nil
}

// End ends one session; ending one that is over changes nothing. It joins the
// caller's transaction.
func (m *Manager) End(ctx context.Context, id uuid.UUID, reason string) error {
	if _, err := m.finish(ctx, reason, `id = $3`, id); err != nil {
		return fmt.Errorf("end session: %w", err)
	}
	return nil
}

// EndOwn ends one session of an account: for identifiers that came from a
// form. ErrNotFound when the session is over or belongs to somebody else.
func (m *Manager) EndOwn(ctx context.Context, accountID, id uuid.UUID, reason string) error {
	n, err := m.finish(ctx, reason, `id = $3 AND account_id = $4`, id, accountID)
	if err := database.ExactlyOne(n, err, ErrNotFound); err != nil {
		return fmt.Errorf("end own session: %w", err)
	}
	return nil
}

// EndAll ends every session of an account except one; uuid.Nil spares none.
// It joins the caller's transaction, so that a new password and the end of the
// old sessions happen together.
func (m *Manager) EndAll(ctx context.Context, accountID, except uuid.UUID, reason string) error {
	if _, err := m.finish(ctx, reason, `account_id = $3 AND id <> $4`, accountID, except); err != nil {
		return fmt.Errorf("end sessions of the account: %w", err)
	}
	return nil
}

// finish ends the sessions that a condition names and tells OnEnd about those
// that were open.
func (m *Manager) finish(ctx context.Context, reason, which string, args ...any) (n int64, err error) {
	err = m.db.InTx(ctx, func(ctx context.Context) error {
		over, err := m.end(ctx, reason, which, args...)
		if n = int64(len(over)); err != nil || n == 0 || m.ended == nil {
			return err
		}
		return m.ended(ctx, over, reason)
	})
	return n, err
}

// List returns the open sessions of an account, the most recently used first.
func (m *Manager) List(ctx context.Context, r *realm.Realm, accountID uuid.UUID) ([]Session, error) {
	all, err := m.list(ctx, r, accountID)
	if err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	for i := range all {
		all[i].bound(r)
	}
	return all, nil
}

// absolute is how long a session may last. Kept ones are ordinary again in a
// realm that does not offer that any more.
func absolute(r *realm.Realm, kept bool) time.Duration {
	if kept && r.Lifetimes.KeptSession > 0 {
		return r.Lifetimes.KeptSession
	}
	return r.Lifetimes.SessionAbsolute
}

func idle(r *realm.Realm, kept bool) time.Duration {
	if kept && r.Lifetimes.KeptSession > 0 {
		return r.Lifetimes.KeptSession
	}
	return r.Lifetimes.SessionIdle
}

// bound lowers ExpiresAt to what the realm says today.
func (s *Session) bound(r *realm.Realm) {
	if limit := s.CreatedAt.Add(absolute(r, s.Kept)); limit.Before(s.ExpiresAt) {
		s.ExpiresAt = limit
	}
}

// clean bounds a value that a browser sent before it is stored and shown.
func clean(s string, limit int) string {
	s = strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f || c == utf8.RuneError {
			return -1
		}
		return c
	}, s)
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}
