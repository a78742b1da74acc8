package recovery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/realm"
)

// What callers test with errors.Is.
var (
	// ErrWaiver says that a waiver was asked for already, or was not.
	ErrWaiver = errors.New("the waiver is not in the right state")
	// ErrSecondPerson says that the one who asked cannot be the one who agrees.
	ErrSecondPerson = errors.New("a second person has to agree")
	// ErrEmailChanged says that the login email is too new to do without the
	// question.
	ErrEmailChanged = errors.New("the login email was changed a short while ago")
)

// Waiver lets one link's walk past the security question, for a person who
// cannot remember the answer and whom the practice knows. Two members of staff
// are needed: one asks, another one agrees. It dies with its link.
//
// The zero value: nobody has asked.
type Waiver struct {
	RequestedBy   *uuid.UUID
	RequestedAt   *time.Time
	IdentityCheck string // how they made sure of the person
	ApprovedBy    *uuid.UUID
	ApprovedAt    *time.Time
}

// Waived reports whether the question behind the link is not asked.
func (t Ticket) Waived() bool { return t.Waiver.ApprovedAt != nil }

// StaffWaiver is one person's part in a waiver: a request or, with another By,
// its approval. The caller has decided that the person may.
type StaffWaiver struct {
	ResetID       uuid.UUID // of the ticket
	By            uuid.UUID // the staff member's account
	PracticeID    uuid.UUID // that sent the link
	IdentityCheck string    // of a request
	ClientID, IP  string
}

// RequestWaiver asks for a link's question not to be asked, in the caller's
// transaction. ErrTicket when the link is over, is none of staff, or was sent
// by another practice; account.ErrFrozen; ErrEmailChanged; ErrWaiver when
// somebody has asked already.
func (s *Service) RequestWaiver(ctx context.Context, r *realm.Realm, sw StaffWaiver) (Ticket, error) {
	return s.waive(ctx, r, sw, "waiver.requested", map[string]any{"identity_check": sw.IdentityCheck}, func(ctx context.Context, t Ticket) error {
		rows, err := s.db.Exec(ctx, `
			INSERT INTO answer_waivers (ticket_id, practice_id, requested_by, requested_at, identity_check)
			VALUES ($1, $2, $3, $4, $5) ON CONFLICT (ticket_id) DO NOTHING`,
			t.ID, sw.PracticeID, sw.By, s.db.Now(ctx), sw.IdentityCheck)
		return database.ExactlyOne(rows, err, ErrWaiver)
	})
}

// ApproveWaiver agrees to what somebody else has asked for, in the caller's
// transaction: from then on the link leads past the question. It tests again
// what RequestWaiver did. ErrWaiver when nobody has asked, or somebody has
// agreed already; ErrSecondPerson when it is the one who asked.
func (s *Service) ApproveWaiver(ctx context.Context, r *realm.Realm, sw StaffWaiver) (Ticket, error) {
	return s.waive(ctx, r, sw, "waiver.approved", map[string]any{}, func(ctx context.Context, t Ticket) error {
		if t.Waiver.RequestedBy == nil || t.Waiver.ApprovedAt != nil {
			return ErrWaiver
		}
		if *t.Waiver.RequestedBy == sw.By {
			return ErrSecondPerson
		}
		rows, err := s.db.Exec(ctx, `
			UPDATE answer_waivers SET approved_by = $2, approved_at = $3
			WHERE ticket_id = $1 AND approved_at IS NULL AND requested_by <> $2`, t.ID, sw.By, s.db.Now(ctx))
		return database.ExactlyOne(rows, err, ErrWaiver)
	})
}

func (s *Service) waive(ctx context.Context, r *realm.Realm, sw StaffWaiver, kind string, details map[string]any,
	do func(context.Context, Ticket) error) (Ticket, error) {
	err := s.db.InTx(ctx, func(ctx context.Context) error {
		t, err := s.Find(ctx, sw.ResetID)
		if err != nil {
			return err
		}
		if t.Realm != r.Name {
			return ErrNotFound
		}
		a, err := s.accounts.Lock(ctx, r.Name, t.AccountID)
		if err != nil {
			return err
		}
		// With the account's row nothing about its links changes any more.
		if t, err = s.Find(ctx, sw.ResetID); err != nil {
			return err
		}
		now := s.db.Now(ctx)
		switch {
		case a.FrozenAt != nil:
			return account.ErrFrozen
		case a.State != account.Active:
			return account.ErrState
		case t.Origin != Staff || t.PracticeID == nil || *t.PracticeID != sw.PracticeID:
			return ErrTicket
		case !t.Live() || a.LoginEmail != t.Email:
			return ErrTicket
		case a.EmailChangedAt != nil && now.Sub(*a.EmailChangedAt) < r.Recovery.RecentEmailChange:
			return ErrEmailChanged
		}
		if err := do(ctx, t); err != nil {
			return err
		}
		details["ticket"] = t.ID.String()
		if t.Waiver.RequestedBy != nil {
			details["requested_by"] = account.Actor(*t.Waiver.RequestedBy)
		}
		return s.audit.Record(ctx, audit.Event{Realm: r.Name, Kind: kind, Severity: audit.High, Actor: account.Actor(sw.By),
			Target: a.Actor(), PracticeID: sw.PracticeID.String(), ClientID: sw.ClientID, IP: sw.IP, Details: details})
	})
	if err != nil {
		return Ticket{}, fmt.Errorf("%s: %w", kind, err)
	}
	return s.Find(ctx, sw.ResetID)
}
