package recovery

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/mail"
	"github.com/portico-id/portico/internal/ratelimit"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/secret"
)

// Deps is what a Service is made of. Realms finds a configured realm.
type Deps struct {
	DB       *database.DB
	Accounts *account.Service
	Outbox   *mail.Outbox
	Audit    *audit.Log
	Limits   *ratelimit.Limiter
	Realms   func(name string) (*realm.Realm, bool)
	Log      *slog.Logger
}

// Service knows the rules of recovery. It is safe for concurrent use.
type Service struct {
	db       *database.DB
	accounts *account.Service
	outbox   *mail.Outbox
	audit    *audit.Log
	limits   *ratelimit.Limiter
	realms   func(name string) (*realm.Realm, bool)
	log      *slog.Logger
	wake     chan struct{}
}

// NewService makes a service.
func NewService(d Deps) *Service {
	if d.Log == nil {
		d.Log = slog.Default()
	}
	return &Service{db: d.DB, accounts: d.Accounts, outbox: d.Outbox, audit: d.Audit, limits: d.Limits,
		realms: d.Realms, log: d.Log, wake: make(chan struct{}, 1)}
}

// StaffTicket is a link that a member of staff sends to somebody.
type StaffTicket struct {
	AccountID               uuid.UUID
	ConfirmedEmail          string    // as staff confirmed it; has to be the one on file
	By                      uuid.UUID // the staff member's account
	PracticeID              uuid.UUID
	AssociationID           uuid.UUID
	Practice, PracticePhone string // for the letter
	Reason                  string
	ClientID, IP            string // from which staff acted, for the audit trail
	// WhileLocked: also while too many wrong answers have locked recovery. The
	// link then works only once its question is waived.
	WhileLocked bool
}

// CreateStaffTicket makes a ticket, voids older ones and queues the letter, in
// the caller's transaction. The caller has decided that the staff member may.
// Each order is a new link, as staff have confirmed it; a day's worth of them
// is bounded over all staff, and then the last link stays valid. It returns
// account.ErrNotFound, account.ErrState when the account is not active,
// account.ErrFrozen, ErrConfirmation, ErrTooMany, or ErrLocked: the question is
// asked behind staff's links too.
func (s *Service) CreateStaffTicket(ctx context.Context, r *realm.Realm, st StaffTicket) (Ticket, error) {
	var id uuid.UUID
	err := s.db.InTx(ctx, func(ctx context.Context) error {
		a, err := s.accounts.Lock(ctx, r.Name, st.AccountID)
		if err != nil {
			return err
		}
		now := s.db.Now(ctx)
		switch {
		case a.FrozenAt != nil:
			return account.ErrFrozen
		case a.State != account.Active:
			return account.ErrState
		}
		if email, err := account.NormalizeEmail(st.ConfirmedEmail); err != nil || email != a.LoginEmail {
			return ErrConfirmation
		}
		if a.RecoveryLockedUntil != nil && a.RecoveryLockedUntil.After(now) && !st.WhileLocked {
			return ErrLocked
		}
		made, err := s.madeSince(ctx, a.ID, Staff, now.Add(-day))
		if err != nil {
			return err
		}
		if made >= int64(r.Recovery.StaffLinksPerDay) {
			return ErrTooMany
		}
		id, err = s.issue(ctx, r, a, newTicket{origin: Staff, requestedBy: st.By, practiceID: st.PracticeID,
			associationID: st.AssociationID, reason: st.Reason}, mail.ResetStaff,
			map[string]string{"practice": st.Practice, "practice_phone": st.PracticePhone}, "")
		if err != nil {
			return err
		}
		event := audit.Event{Realm: r.Name, Kind: "recovery.staff_requested", Severity: audit.Warning,
			Actor: account.Actor(st.By), Target: a.Actor(), PracticeID: st.PracticeID.String(), ClientID: st.ClientID, IP: st.IP,
			Details: map[string]any{"ticket": id.String(), "association": st.AssociationID.String(), "reason": st.Reason}}
		if a.EmailChangedAt != nil && now.Sub(*a.EmailChangedAt) < r.Recovery.RecentEmailChange { // who does both may be helping themselves
			event.Severity = audit.High
			event.Details["email_changed_at"] = a.EmailChangedAt.Format(time.RFC3339)
		}
		return s.audit.Record(ctx, event)
	})
	if err != nil {
		return Ticket{}, fmt.Errorf("create staff ticket: %w", err)
	}
	return s.Find(ctx, id)
}

// issue replaces an account's open links by a new one and queues its letter.
// The caller has locked the account.
func (s *Service) issue(ctx context.Context, r *realm.Realm, a account.Account, n newTicket, kind mail.Kind, data map[string]string, lang string) (uuid.UUID, error) {
	if err := s.VoidAll(ctx, a.ID, voidReplaced); err != nil {
		return uuid.Nil, fmt.Errorf("void older links: %w", err)
	}
	id, token := database.NewID(), secret.NewToken()
	until := s.db.Now(ctx).Add(min(r.Lifetimes.ResetLink, realm.MaxResetLink))
	if err := s.insertTicket(ctx, id, r, facts(a), token, n, until); err != nil {
		return uuid.Nil, fmt.Errorf("store ticket: %w", err)
	}
	if data == nil {
		data = map[string]string{}
	}
	data["link"] = r.URL("/reset/" + token.Reveal())
	data["until"] = until.Format(time.RFC3339)
	if a.Locale != "" {
		lang = a.Locale
	}
	_, err := s.outbox.Queue(ctx, mail.Letter{Realm: r, Kind: kind, To: a.LoginEmail, Locale: lang,
		AccountID: a.ID, TicketID: id, NotAfter: until, Data: data})
	if err != nil {
		return uuid.Nil, fmt.Errorf("queue letter: %w", err)
	}
	return id, nil
}

func facts(a account.Account) accountFacts {
	return accountFacts{id: a.ID, email: a.LoginEmail, credentialVersion: a.CredentialVersion}
}

// Cancel ends a link before its time, in the caller's transaction. ErrNotFound
// or ErrTicket when there is none or it is over already.
func (s *Service) Cancel(ctx context.Context, r *realm.Realm, id uuid.UUID, by account.By) error {
	err := s.db.InTx(ctx, func(ctx context.Context) error {
		t, err := s.Find(ctx, id)
		if err != nil {
			return err
		}
		if t.Realm != r.Name {
			return ErrNotFound
		}
		if _, err := s.accounts.Lock(ctx, r.Name, t.AccountID); err != nil {
			return err
		}
		if err := s.void(ctx, id, voidCancelled); err != nil {
			return err
		}
		return s.audit.Record(ctx, audit.Event{Realm: r.Name, Kind: "recovery.cancelled", Actor: by.Actor,
			Target: account.Actor(t.AccountID), PracticeID: by.PracticeID, ClientID: by.ClientID, IP: by.IP,
			Details: map[string]any{"ticket": id.String()}})
	})
	if err != nil {
		return fmt.Errorf("cancel ticket: %w", err)
	}
	return nil
}

// LetterFinished records how the letter of a ticket ended. The outbox calls it
// in the transaction that records the end.
func (s *Service) LetterFinished(ctx context.Context, f mail.Finished) error {
	if f.Kind != mail.Reset && f.Kind != mail.ResetStaff {
		return nil
	}
	e := audit.Event{Realm: f.Realm, Kind: "recovery.link_sent", Actor: "system", Target: account.Actor(f.AccountID),
		Details: map[string]any{"ticket": f.TicketID.String(), "state": string(f.State)}}
	if f.State != mail.Sent {
		e.Outcome, e.Severity = audit.Failure, audit.Warning
		e.Details["error"] = f.Error
	}
	return s.audit.Record(ctx, e)
}

// open starts a browser's walk through a link and returns the token of its
// flow cookie. The link goes on working, in this and other browsers.
func (s *Service) open(ctx context.Context, r *realm.Realm, token secret.Token, ip string) (secret.Token, error) {
	flow := secret.NewToken()
	err := s.db.InTx(ctx, func(ctx context.Context) error {
		l, err := s.byToken(ctx, r, token)
		if err != nil {
			return err
		}
		now := s.db.Now(ctx)
		if _, err := s.db.Exec(ctx, `UPDATE recovery_tickets SET opened_at = $2 WHERE id = $1 AND opened_at IS NULL`,
			l.ticket.ID, now); err != nil {
			return err
		}
		if _, err := s.db.Exec(ctx, `
			INSERT INTO recovery_flows (flow_hash, ticket_id, created_at, expires_at) VALUES ($1, $2, $3, $4)`,
			flow.Hash(), l.ticket.ID, now, now.Add(r.Lifetimes.Interaction)); err != nil {
			return err
		}
		return s.audit.Record(ctx, audit.Event{Realm: r.Name, Kind: "recovery.opened", Actor: "anonymous",
			Target: account.Actor(l.ticket.AccountID), IP: ip, Details: map[string]any{"ticket": l.ticket.ID.String()}})
	})
	if err != nil {
		return secret.Token{}, fmt.Errorf("open link: %w", err)
	}
	return flow, nil
}

// reset is the last step: the ticket is spent on a new password. Both change,
// or neither.
func (s *Service) reset(ctx context.Context, r *realm.Realm, flow secret.Token, plain string, by account.By) error {
	w, err := s.walk(ctx, r, flow)
	if err != nil {
		return err
	}
	if !w.answered {
		return errStep
	}
	a, err := s.accounts.Find(ctx, r.Name, w.ticket.AccountID)
	if err != nil {
		return fmt.Errorf("find account: %w", err)
	}
	if err := s.accounts.CountChoice(ctx, r, a.ID); err != nil {
		return err
	}
	// Argon2id is slow, so it runs before the transaction.
	hash, err := s.accounts.HashPassword(ctx, r, a, plain)
	if err != nil {
		return err
	}
	by.Actor, by.ClientID = a.Actor(), w.ticket.ClientID
	err = s.db.InTx(ctx, func(ctx context.Context) error {
		a, err := s.accounts.Lock(ctx, r.Name, a.ID)
		if err != nil {
			return err
		}
		if a.State != account.Active || a.FrozenAt != nil {
			return ErrTicket
		}
		if err := s.spend(ctx, w, facts(a)); err != nil {
			return err
		}
		if err := s.accounts.ReplacePassword(ctx, r, a.ID, hash, account.Reason{Why: account.Recovery, By: by}); err != nil {
			return err
		}
		// Whoever came through the link reads what is sent to the address.
		if err := s.accounts.ConfirmEmail(ctx, a.ID); err != nil {
			return fmt.Errorf("confirm email: %w", err)
		}
		return s.audit.Record(ctx, audit.Event{Realm: r.Name, Kind: "recovery.completed", Actor: by.Actor, Target: by.Actor,
			ClientID: by.ClientID, IP: by.IP, Details: map[string]any{"ticket": w.ticket.ID.String(), "origin": string(w.ticket.Origin), "waived": w.ticket.Waived()}})
	})
	if err != nil {
		return fmt.Errorf("reset password: %w", err)
	}
	return nil
}
