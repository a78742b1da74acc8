package account

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/mail"
	"github.com/portico-id/portico/internal/realm"
)

// Unfreeze opens a frozen account again, after the practice has found out who
// is who. What a thief may know or have set does not open it: the password goes,
// and so do a security answer and second factors that are not older than the
// oldest notice whose link worked when the account was frozen. That may also be
// the person's own, so UnfreezingRemoves tells before what it will be. The person chooses a new password with a
// link; whose answer is gone too is helped by the practice once more.
//
// The links of all notices so far end: whoever froze the account with one of
// them does not do so again. The person is told, and so is the address of before
// where the email was changed lately. It joins the caller's transaction. ErrState
// when the account is not frozen.
func (s *Service) Unfreeze(ctx context.Context, r *realm.Realm, accountID uuid.UUID, by By) error {
	err := s.db.InTx(ctx, func(ctx context.Context) error {
		a, err := s.Lock(ctx, r.Name, accountID)
		if err != nil {
			return err
		}
		if a.FrozenAt == nil {
			return ErrState
		}
		since := a.distrustedSince()
		gone, err := s.takeAway(ctx, r, a, since, by)
		if err != nil {
			return err
		}
		if err := s.setFrozen(ctx, a.ID, nil, nil); err != nil {
			return err
		}
		if _, err := s.db.Exec(ctx, `DELETE FROM freeze_links WHERE account_id = $1`, a.ID); err != nil {
			return fmt.Errorf("end freeze links: %w", err)
		}
		if err := s.tellOfUnfreeze(ctx, r, a, gone, by); err != nil {
			return err
		}
		return s.audit.Record(ctx, audit.Event{Realm: r.Name, Kind: "account.unfrozen", Severity: audit.High, Actor: by.Actor,
			Target: a.Actor(), PracticeID: by.PracticeID, ClientID: by.ClientID, IP: by.IP,
			Details: by.Details(map[string]any{"reason": by.Reason, "frozen_at": a.FrozenAt.Format(time.RFC3339),
				"since": since.Format(time.RFC3339), "removed": gone.Names()})})
	})
	if err != nil {
		return fmt.Errorf("unfreeze account: %w", err)
	}
	return nil
}

// Removal is what unfreezing takes away from an account.
type Removal struct {
	Password, Question, Factors bool
}

// Proof reports whether it is more than the password, which a reset link
// replaces: something that stood between such a link and the account.
func (g Removal) Proof() bool { return g.Question || g.Factors }

// Names are its parts for people and the trail.
func (g Removal) Names() []string {
	names := []string{}
	for _, each := range []struct {
		is   bool
		name string
	}{{g.Password, "password"}, {g.Question, "question"}, {g.Factors, "second factors"}} {
		if each.is {
			names = append(names, each.name)
		}
	}
	return names
}

// distrustedSince is from when on what was set on a frozen account is not
// trusted.
func (a Account) distrustedSince() time.Time {
	if a.FrozenNoticeAt != nil && a.FrozenNoticeAt.Before(*a.FrozenAt) {
		return *a.FrozenNoticeAt
	}
	return *a.FrozenAt
}

// UnfreezingRemoves tells what Unfreeze would take away: nothing from an account
// that is not frozen. In the transaction that has locked the account it holds
// until its end.
func (s *Service) UnfreezingRemoves(ctx context.Context, r *realm.Realm, accountID uuid.UUID) (g Removal, err error) {
	a, err := s.Find(ctx, r.Name, accountID)
	if err != nil || a.FrozenAt == nil {
		return g, err
	}
	since := a.distrustedSince()
	err = s.db.QueryRow(ctx, `
		SELECT EXISTS (SELECT 1 FROM password_credentials WHERE account_id = $1),
			EXISTS (SELECT 1 FROM security_answers WHERE account_id = $1 AND set_at >= $2)`, a.ID, since).Scan(&g.Password, &g.Question)
	if err != nil {
		return g, fmt.Errorf("find what unfreezing removes: %w", err)
	}
	if s.peers.Factors != nil {
		if g.Factors, err = s.peers.Factors.AddedSince(ctx, a.ID, since); err != nil {
			return g, fmt.Errorf("find second factors: %w", err)
		}
	}
	return g, nil
}

// takeAway removes what a thief may know, and what may be the thief's.
func (s *Service) takeAway(ctx context.Context, r *realm.Realm, a Account, since time.Time, by By) (g Removal, err error) {
	rows, err := s.db.Exec(ctx, `DELETE FROM password_credentials WHERE account_id = $1`, a.ID)
	if err != nil {
		return g, fmt.Errorf("remove password: %w", err)
	}
	g.Password = rows > 0
	if rows, err = s.db.Exec(ctx, `DELETE FROM security_answers WHERE account_id = $1 AND set_at >= $2`, a.ID, since); err != nil {
		return g, fmt.Errorf("remove answer: %w", err)
	}
	g.Question = rows > 0
	if s.peers.Factors != nil {
		if g.Factors, err = s.peers.Factors.RemoveSince(ctx, r, a.ID, since, by); err != nil {
			return g, fmt.Errorf("remove second factors: %w", err)
		}
	}
	return g, nil
}

// tellOfUnfreeze says what to do now. The addresses of before get no link: they
// are told, and have nothing to decide.
func (s *Service) tellOfUnfreeze(ctx context.Context, r *realm.Realm, a Account, g Removal, by By) error {
	data := map[string]string{"practice": by.Practice}
	if g.Password {
		data["password"] = "gone"
	}
	if g.Factors {
		data["factors"] = "gone"
	}
	if _, has, err := s.Question(ctx, a.ID); err != nil {
		return err
	} else if !has && a.State == Active {
		data["question"] = "none"
	}
	if err := s.Notify(ctx, r, a, mail.AccountUnfrozen, By{}, data); err != nil {
		return err
	}
	before, err := s.emailsBefore(ctx, r, a)
	if err != nil {
		return err
	}
	now := s.db.Now(ctx)
	for _, email := range before {
		_, err := s.outbox.Queue(ctx, mail.Letter{Realm: r, Kind: mail.AccountUnfrozenOld, To: email, Locale: s.localeOf(r, a), AccountID: a.ID,
			NotAfter: now.Add(noticeFor), Data: map[string]string{"when": now.Format(time.RFC3339), "practice": by.Practice}})
		if err != nil {
			return fmt.Errorf("queue letter: %w", err)
		}
	}
	return nil
}

// emailsBefore are the login emails that an account had within
// Recovery.RecentEmailChange, however many.
func (s *Service) emailsBefore(ctx context.Context, r *realm.Realm, a Account) ([]string, error) {
	rows, err := s.db.Query(ctx, `
		SELECT email FROM former_emails WHERE account_id = $1 AND replaced_at >= $2 AND email <> $3 ORDER BY replaced_at DESC, email`,
		a.ID, s.db.Now(ctx).Add(-r.Recovery.RecentEmailChange), a.LoginEmail)
	before, err := database.Collect(rows, err, func(r *database.Rows) (email string, err error) { return email, r.Scan(&email) })
	if err != nil {
		return nil, fmt.Errorf("find login emails of before: %w", err)
	}
	return before, nil
}
