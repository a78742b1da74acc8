package account

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/mail"
	"github.com/portico-id/portico/internal/realm"
)

// Unfreeze opens a frozen account again, after the practice has found out who
// is who. What a thief may know or have set does not open it: the password goes,
// and so do a security answer and second factors that are not older than the
// notice whose link froze the account. The person chooses a new password with a
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
		since := *a.FrozenAt
		if a.FrozenNoticeAt != nil && a.FrozenNoticeAt.Before(since) {
			since = *a.FrozenNoticeAt
		}
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
				"since": since.Format(time.RFC3339), "removed": gone.names()})})
	})
	if err != nil {
		return fmt.Errorf("unfreeze account: %w", err)
	}
	return nil
}

// removal is what Unfreeze took away.
type removal struct {
	password, question, factors bool
}

func (g removal) names() []string {
	names := []string{}
	for _, each := range []struct {
		is   bool
		name string
	}{{g.password, "password"}, {g.question, "question"}, {g.factors, "second factors"}} {
		if each.is {
			names = append(names, each.name)
		}
	}
	return names
}

// takeAway removes what a thief may know, and what may be the thief's.
func (s *Service) takeAway(ctx context.Context, r *realm.Realm, a Account, since time.Time, by By) (g removal, err error) {

	rows, err := s.db.Exec(ctx, `DELETE FROM password_credentials WHERE account_id = $1`, a.ID)
	if err != nil {
		return g, fmt.Errorf("remove password: %w", err)
	}
	g.password = rows > 0
	if rows, err = s.db.Exec(ctx, `DELETE FROM security_answers WHERE account_id = $1 AND set_at >= $2`, a.ID, since); err != nil {
		return g, fmt.Errorf("remove answer: %w", err)
	}
	g.question = rows > 0
	if s.peers.Factors != nil {
		if g.factors, err = s.peers.Factors.RemoveSince(ctx, r, a.ID, since, by); err != nil {
			return g, fmt.Errorf("remove second factors: %w", err)
		}
	}
	return g, nil
}

// tellOfUnfreeze says what to do now. The addresses of before get no link: they
// are told, and have nothing to decide.
func (s *Service) tellOfUnfreeze(ctx context.Context, r *realm.Realm, a Account, g removal, by By) error {
	data := map[string]string{"practice": by.Practice}
	if g.password {
		data["password"] = "gone"
	}
	if g.factors {
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
// Recovery.RecentEmailChange, as the trail has them.
func (s *Service) emailsBefore(ctx context.Context, r *realm.Realm, a Account) ([]string, error) {
	after := s.db.Now(ctx).Add(-r.Recovery.RecentEmailChange)
	if a.EmailChangedAt == nil || a.EmailChangedAt.Before(after) {
		return nil, nil
	}
	changes, err := s.audit.History(ctx, r.Name, a.Actor(), []string{"email.changed"}, audit.Place{}, 10)
	if err != nil {
		return nil, err
	}
	var before []string
	for _, e := range changes {
		if from := e.Text("from"); !e.At.Before(after) && from != "" && from != a.LoginEmail && !slices.Contains(before, from) {
			before = append(before, from)
		}
	}
	return before, nil
}
