package account

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/mail"
	"github.com/portico-id/portico/internal/realm"
)

// ChangeEmail gives an account another login email, in the caller's
// transaction. version is the Version that the caller has read: ErrVersion
// when the account has changed since. All sessions, grants, reset links and
// invitations of the account end; the old and the new address are told.
// ErrEmail and ErrEmailTaken are about the new address; after ErrEmailTaken
// the transaction may be unusable, so let it fail. A frozen account's email can
// be changed too: putting it right is how the practice helps.
func (s *Service) ChangeEmail(ctx context.Context, r *realm.Realm, accountID uuid.UUID, version int64, newEmail string, by By) (Account, error) {
	email, err := NormalizeEmail(newEmail)
	if err != nil {
		return Account{}, err
	}
	var a Account
	err = s.db.InTx(ctx, func(ctx context.Context) error {
		old, err := s.Lock(ctx, r.Name, accountID)
		if err != nil {
			return err
		}
		if old.Version != version {
			return ErrVersion
		}
		if old.LoginEmail == email {
			a = old
			return nil
		}
		a, err = s.replaceEmail(ctx, r, old, newAddress{email: email}, by)
		return err
	})
	if err != nil {
		return Account{}, fmt.Errorf("change email: %w", err)
	}
	return a, nil
}

// newAddress is a login email to be. verified: the person has read a letter
// there.
type newAddress struct {
	email    string
	verified bool
}

// replaceEmail is the one way in which a login email changes. The caller has
// locked the account, as old, in its transaction.
func (s *Service) replaceEmail(ctx context.Context, r *realm.Realm, old Account, to newAddress, by By) (Account, error) {
	if err := s.storeEmail(ctx, r, old, to); err != nil {
		return Account{}, err
	}
	if err := s.endEverything(ctx, old.ID, "email_changed"); err != nil {
		return Account{}, err
	}
	if s.peers.Directory != nil {
		if err := s.peers.Directory.Reindex(ctx, old.ID); err != nil {
			return Account{}, fmt.Errorf("reindex: %w", err)
		}
		if err := s.lapse(ctx, r, old, by); err != nil {
			return Account{}, fmt.Errorf("lapse: %w", err)
		}
	}
	if err := s.tellOfNewEmail(ctx, r, old, to.email, by); err != nil {
		return Account{}, fmt.Errorf("queue letters: %w", err)
	}
	err := s.audit.Record(ctx, audit.Event{Realm: r.Name, Kind: "email.changed", Severity: audit.High,
		Actor: by.Actor, Target: old.Actor(), PracticeID: by.PracticeID, ClientID: by.ClientID, IP: by.IP,
		Details: by.Details(map[string]any{"from": old.LoginEmail, "to": to.email, "verified": to.verified, "reason": by.Reason})})
	if err != nil {
		return Account{}, err
	}
	return s.Find(ctx, r.Name, old.ID)
}

// lapse ends what practices gave to the old address: it is not for the reader of
// the new one. What the practice gave that changes it stays.
func (s *Service) lapse(ctx context.Context, r *realm.Realm, old Account, by By) error {
	practice, details := uuid.Nil, map[string]any{}
	if id := idIn(by.PracticeID); id != nil {
		practice, details["by_practice"] = *id, by.PracticeID
	}
	return s.peers.Directory.Lapse(ctx, old.ID, practice, audit.Event{Realm: r.Name, Kind: "association.lapsed", Severity: audit.High,
		Actor: by.Actor, Target: old.Actor(), ClientID: by.ClientID, Details: details})
}

// storeEmail keeps the old address among those of before.
func (s *Service) storeEmail(ctx context.Context, r *realm.Realm, old Account, to newAddress) error {
	// Asking first keeps PostgreSQL's transaction alive in the ordinary case.
	taken, err := s.taken(ctx, r, to.email)
	if err != nil {
		return err
	}
	if taken != nil {
		return ErrEmailTaken
	}
	now := s.db.Now(ctx)
	_, err = s.db.Exec(ctx, `
		UPDATE accounts SET login_email = $2, email_verified = $3, email_changed_at = $4,
			credential_version = credential_version + 1, version = version + 1, updated_at = $4
		WHERE id = $1`, old.ID, to.email, to.verified, now)
	if errors.Is(err, database.ErrUnique) {
		return ErrEmailTaken
	}
	if err != nil {
		return err
	}
	_, err = s.db.Exec(ctx, `
		INSERT INTO former_emails (account_id, email, replaced_at) VALUES ($1, $2, $3)
		ON CONFLICT (account_id, email) DO UPDATE SET replaced_at = excluded.replaced_at`, old.ID, old.LoginEmail, now)
	return err
}

// taken is the account that has an address, or nil.
func (s *Service) taken(ctx context.Context, r *realm.Realm, email string) (*Account, error) {
	a, err := s.FindByEmail(ctx, r.Name, email)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find who has the address: %w", err)
	}
	return &a, nil
}

// tellOfNewEmail writes to both addresses. Only the old one gets the means to
// freeze the account: the new one may be a thief's.
func (s *Service) tellOfNewEmail(ctx context.Context, r *realm.Realm, old Account, email string, by By) error {
	if err := s.Notify(ctx, r, old, mail.EmailChanged, by, map[string]string{"new_masked": MaskEmail(email),
		"practice": by.Practice, "practice_phone": by.Phone}); err != nil {
		return err
	}
	_, err := s.outbox.Queue(ctx, mail.Letter{Realm: r, Kind: mail.EmailChangedNew, To: email, Locale: s.localeOf(r, old),
		AccountID: old.ID, NotAfter: s.db.Now(ctx).Add(noticeFor), Data: map[string]string{"practice": by.Practice}})
	return err
}
