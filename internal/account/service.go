package account

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/locale"
	"github.com/portico-id/portico/internal/mail"
	"github.com/portico-id/portico/internal/password"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/session"
)

// Grants ends what an account has allowed clients. oauth has it.
type Grants interface {
	RevokeAll(ctx context.Context, accountID uuid.UUID, reason string) error
	RevokeSession(ctx context.Context, sessionID uuid.UUID, reason string) error
}

// Tickets ends an account's reset links. recovery has it.
type Tickets interface {
	VoidAll(ctx context.Context, accountID uuid.UUID, reason string) error
}

// Directory finds people by name and login email, and knows what practices gave
// to an address. practice has it.
type Directory interface {
	Reindex(ctx context.Context, accountID uuid.UUID) error
	// Lapse takes back what practices other than one gave to an address whose
	// owner has not signed in since: the account has another one now. It records
	// e in the name of each.
	Lapse(ctx context.Context, accountID, practice uuid.UUID, e audit.Event) error
}

// FactorSummary is what an account can prove itself by besides its password.
type FactorSummary struct {
	TOTP                    bool
	Passkeys, RecoveryCodes int
	Since                   time.Time // of the oldest second factor; zero: there is none
}

// Any reports whether there is a second factor at all. Recovery codes alone
// are none.
func (f FactorSummary) Any() bool { return f.TOTP || f.Passkeys > 0 }

// Factors counts an account's second factors, and takes away those that somebody
// else may have added. factor has it.
type Factors interface {
	Of(ctx context.Context, accountID uuid.UUID) (FactorSummary, error)
	// AddedSince reports whether there is anything that RemoveSince would remove.
	AddedSince(ctx context.Context, accountID uuid.UUID, since time.Time) (bool, error)
	// RemoveSince joins the caller's transaction, in which the account is
	// locked. It reports whether there was anything, and tells nobody.
	RemoveSince(ctx context.Context, r *realm.Realm, accountID uuid.UUID, since time.Time, by By) (removed bool, err error)
}

// Peers are the rooms that have to hear when an account changes. All are
// called in the transaction of the change.
type Peers struct {
	Grants    Grants
	Tickets   Tickets
	Directory Directory
	Factors   Factors   // nil: none are offered
	Apps      Apps      // nil: none are connected
	Practices Practices // nil: practices are not named
}

// Deps is what a Service is made of.
type Deps struct {
	DB        *database.DB
	Hasher    *password.Hasher
	Blocklist *password.Blocklist
	Sessions  *session.Manager
	Outbox    *mail.Outbox
	Audit     *audit.Log
	Throttle  *Throttle
	Catalog   *locale.Catalog // to know the sentences that are no answers
}

// Service knows the rules about accounts. It is safe for concurrent use.
type Service struct {
	db        *database.DB
	hasher    *password.Hasher
	blocklist *password.Blocklist
	sessions  *session.Manager
	outbox    *mail.Outbox
	audit     *audit.Log
	throttle  *Throttle
	catalog   *locale.Catalog
	peers     Peers
}

// NewService makes a service. Connect it to its peers before it is used.
func NewService(d Deps) *Service {
	return &Service{db: d.DB, hasher: d.Hasher, blocklist: d.Blocklist, sessions: d.Sessions,
		outbox: d.Outbox, audit: d.Audit, throttle: d.Throttle, catalog: d.Catalog}
}

// Connect names the rooms beside and above, which are made after this one.
func (s *Service) Connect(p Peers) { s.peers = p }

// Create adds an account to a realm: invited, to be followed by Invite, or
// active with a password, as imports do. It returns ErrEmail, ErrEmailTaken,
// ErrName, a *password.Problem, or what CheckQuestion says.
func (s *Service) Create(ctx context.Context, r *realm.Realm, n New) (Account, error) {
	email, err := NormalizeEmail(n.LoginEmail)
	if err != nil {
		return Account{}, err
	}
	if err := normalizeNames(&n.GivenName, &n.FamilyName, &n.Name); err != nil {
		return Account{}, fmt.Errorf("create account: %w", err)
	}
	if n.ID == uuid.Nil {
		n.ID = database.NewID()
	}
	a := Account{ID: n.ID, Realm: r.Name, LoginEmail: email, EmailVerified: n.EmailVerified, State: n.State,
		GivenName: n.GivenName, FamilyName: n.FamilyName, Name: n.Name, Locale: n.Locale, Profile: n.Profile}
	if has := n.Password != "" || n.PasswordHash != ""; n.State == Invited && has || n.State == Active && !has {
		return Account{}, fmt.Errorf("%w: an active account has a password and an invited one has none", ErrState)
	}
	hash, answerHash, err := s.hashNew(ctx, r, a, n)
	if err != nil {
		return Account{}, err
	}
	err = s.db.InTx(ctx, func(ctx context.Context) error {
		if err := s.insert(ctx, a); err != nil {
			return err
		}
		if hash != "" {
			if err := s.storePassword(ctx, a.ID, hash); err != nil {
				return fmt.Errorf("store password: %w", err)
			}
		}
		if answerHash != "" {
			if err := s.storeAnswer(ctx, a.ID, n.Question, answerHash); err != nil {
				return fmt.Errorf("store answer: %w", err)
			}
		}
		if a, err = s.Find(ctx, r.Name, a.ID); err != nil {
			return err
		}
		return s.audit.Record(ctx, audit.Event{Realm: r.Name, Kind: "account.created", Actor: "system",
			Target: a.Actor(), Details: map[string]any{"state": string(a.State)}})
	})
	if err != nil {
		return Account{}, fmt.Errorf("create account: %w", err)
	}
	return a, nil
}

// hashNew hashes what a new account is to prove itself by. The answer is
// compared with the password here, where both are known in the clear; an
// imported password is not, and is taken for different.
func (s *Service) hashNew(ctx context.Context, r *realm.Realm, a Account, n New) (hash, answerHash string, err error) {
	switch {
	case n.Password != "" && n.PasswordHash != "":
		return "", "", fmt.Errorf("%w: a password and the hash of another one", ErrState)
	case n.Password != "":
		if hash, err = s.HashPassword(ctx, r, a, n.Password); err != nil {
			return "", "", err
		}
		if n.Question != "" && foldAnswer(n.Answer) == foldAnswer(n.Password) {
			return "", "", ErrAnswerObvious
		}
	case n.PasswordHash != "":
		if err = password.CheckImported(n.PasswordHash); err != nil {
			return "", "", err
		}
		hash = n.PasswordHash
	}
	if n.Question != "" {
		answerHash, err = s.hashAnswer(ctx, a, n.Question, n.Answer)
	}
	return hash, answerHash, err
}

// Disable closes an account: nobody signs in, all sessions, grants and reset
// links end. ErrState when it is closed already.
func (s *Service) Disable(ctx context.Context, r *realm.Realm, accountID uuid.UUID, by By) error {
	return s.switchState(ctx, r, accountID, []State{Active, Invited}, "account.disabled", by, func(ctx context.Context, _ Account) (State, error) {
		return Disabled, s.endEverything(ctx, accountID, "account_disabled")
	})
}

// Enable opens a closed account again: active when it ever was, invited
// otherwise. ErrState when it is not closed.
func (s *Service) Enable(ctx context.Context, r *realm.Realm, accountID uuid.UUID, by By) error {
	return s.switchState(ctx, r, accountID, []State{Disabled}, "account.enabled", by, func(ctx context.Context, a Account) (State, error) {
		// Unfreezing leaves an active account without a password, perhaps
		// without an answer: an invitation would lead around the question.
		hash, _, err := s.passwordHash(ctx, accountID)
		if err != nil || hash != "" || a.LastSignedInAt != nil {
			return Active, err
		}
		if _, answer, err := s.findAnswer(ctx, accountID); err != nil || answer != "" {
			return Active, err
		}
		return Invited, nil
	})
}

func (s *Service) switchState(ctx context.Context, r *realm.Realm, accountID uuid.UUID, from []State, kind string, by By,
	do func(context.Context, Account) (State, error)) error {
	err := s.db.InTx(ctx, func(ctx context.Context) error {
		a, err := s.Lock(ctx, r.Name, accountID)
		if err != nil {
			return err
		}
		if !slices.Contains(from, a.State) {
			return ErrState
		}
		to, err := do(ctx, a)
		if err != nil {
			return err
		}
		if err := s.setState(ctx, accountID, from, to); err != nil {
			return err
		}
		return s.audit.Record(ctx, audit.Event{Realm: r.Name, Kind: kind, Severity: audit.Warning, Actor: by.Actor,
			Target: a.Actor(), PracticeID: by.PracticeID, ClientID: by.ClientID, IP: by.IP,
			Details: map[string]any{"reason": by.Reason}})
	})
	if err != nil {
		return fmt.Errorf("%s: %w", kind, err)
	}
	return nil
}

// endEverything ends all that an account has open. The order is the same
// everywhere: account (locked by the caller), tickets, invitations, changes of
// the email, sessions, grants.
func (s *Service) endEverything(ctx context.Context, accountID uuid.UUID, reason string) error {
	if err := s.peers.Tickets.VoidAll(ctx, accountID, reason); err != nil {
		return fmt.Errorf("void reset links: %w", err)
	}
	if err := s.voidInvitations(ctx, accountID); err != nil {
		return fmt.Errorf("void invitations: %w", err)
	}
	if err := s.voidEmailChanges(ctx, accountID, "", reason); err != nil {
		return fmt.Errorf("void email changes: %w", err)
	}
	if err := s.sessions.EndAll(ctx, accountID, uuid.Nil, reason); err != nil {
		return err
	}
	if err := s.peers.Grants.RevokeAll(ctx, accountID, reason); err != nil {
		return fmt.Errorf("revoke grants: %w", err)
	}
	return nil
}

// localeOf is the language in which an account is written to.
func (s *Service) localeOf(r *realm.Realm, a Account) string {
	if slices.Contains(r.Locales, a.Locale) {
		return a.Locale
	}
	return r.DefaultLocale
}
