package account

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/mail"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/secret"
)

// ErrFreezeLink says that a "this wasn't me" link is unknown, expired, or was
// ended when the practice helped.
var ErrFreezeLink = errors.New("the link of the notice does not work any more")

// Freeze closes an account until the practice has helped: all sessions, grants,
// reset links, invitations and changes of the email that were asked for end,
// and nobody signs in. The practice is told by mail where the realm has a
// support address, and so is the person. A frozen account stays as it is, and
// nobody is told twice. It joins the caller's transaction, if there is one.
func (s *Service) Freeze(ctx context.Context, r *realm.Realm, accountID uuid.UUID, by By) error {
	return s.freeze(ctx, r, accountID, by, map[string]any{})
}

// freeze remembers since when nothing that was set is to be trusted: since the
// oldest notice whose link still works, whichever of them the person clicked. A
// thief who sets several things one after another keeps none of them.
func (s *Service) freeze(ctx context.Context, r *realm.Realm, accountID uuid.UUID, by By, details map[string]any) error {
	err := s.db.InTx(ctx, func(ctx context.Context) error {
		a, err := s.Lock(ctx, r.Name, accountID)
		if err != nil || a.FrozenAt != nil {
			return err
		}
		now := s.db.Now(ctx)
		since, err := s.oldestNotice(ctx, a.ID)
		if err != nil {
			return err
		}
		if since == nil {
			since = &now
		}
		if err := s.setFrozen(ctx, a.ID, &now, since); err != nil {
			return err
		}
		if err := s.endEverything(ctx, a.ID, "account_frozen"); err != nil {
			return err
		}
		if err := s.tellOfFreeze(ctx, r, a); err != nil {
			return err
		}
		if by.Reason != "" {
			details["reason"] = by.Reason
		}
		return s.audit.Record(ctx, audit.Event{Realm: r.Name, Kind: "account.frozen", Severity: audit.High, Actor: by.Actor,
			Target: a.Actor(), PracticeID: by.PracticeID, ClientID: by.ClientID, IP: by.IP, Details: by.Details(details)})
	})
	if err != nil {
		return fmt.Errorf("freeze account: %w", err)
	}
	return nil
}

// oldestNotice is when the oldest notice was sent whose link still works, or nil.
func (s *Service) oldestNotice(ctx context.Context, accountID uuid.UUID) (*time.Time, error) {
	var at *time.Time
	err := s.db.QueryRow(ctx, `SELECT MIN(created_at) FROM freeze_links WHERE account_id = $1 AND expires_at > $2`, accountID, s.db.Now(ctx)).Scan(&at)
	if err != nil {
		return nil, fmt.Errorf("find oldest notice: %w", err)
	}
	return at, nil
}

// setFrozen raises the credential version as well, which voids whatever was
// begun before: sign-ins that wait for a second factor, links, known devices.
func (s *Service) setFrozen(ctx context.Context, accountID uuid.UUID, at, since *time.Time) error {
	rows, err := s.db.Exec(ctx, `
		UPDATE accounts SET frozen_at = $2, frozen_notice_at = $3,
			credential_version = credential_version + 1, version = version + 1, updated_at = $4
		WHERE id = $1`, accountID, at, since, s.db.Now(ctx))
	return database.ExactlyOne(rows, err, ErrNotFound)
}

// tellOfFreeze writes to the practice, which names no patient and shows the
// address masked, and to the person, who may not be the one who froze it.
func (s *Service) tellOfFreeze(ctx context.Context, r *realm.Realm, a Account) error {
	now := s.db.Now(ctx)
	letters := []mail.Letter{{Kind: mail.FrozenNotice, To: a.LoginEmail, Locale: s.localeOf(r, a)}}
	if to := r.Brand.SupportEmail; to != "" {
		letters = append(letters, mail.Letter{Kind: mail.AccountFrozen, To: to, Locale: r.DefaultLocale})
	}
	for _, l := range letters {
		l.Realm, l.AccountID, l.NotAfter = r, a.ID, now.Add(noticeFor)
		l.Data = map[string]string{"when": now.Format(time.RFC3339), "masked": MaskEmail(a.LoginEmail)}
		if _, err := s.outbox.Queue(ctx, l); err != nil {
			return fmt.Errorf("queue letter: %w", err)
		}
	}
	return nil
}

// freezeLink is a link of a notice, as the database has it.
type freezeLink struct {
	account   Account
	notice    string
	email     string // to which the notice went
	createdAt time.Time
}

// idle reports whether a link has nothing left to do.
func (l freezeLink) idle() bool { return l.account.FrozenAt != nil }

// freezeLinkByToken looks a link up and changes nothing.
func (s *Service) freezeLinkByToken(ctx context.Context, r *realm.Realm, token secret.Token) (freezeLink, error) {
	return s.findFreezeLink(ctx, r, `f.token_hash = $3`, token)
}

// freezeLinkByFlow is the link that a browser has come from.
func (s *Service) freezeLinkByFlow(ctx context.Context, r *realm.Realm, flow secret.Token) (freezeLink, error) {
	return s.findFreezeLink(ctx, r, `f.token_hash = (SELECT w.link_hash FROM freeze_flows w WHERE w.flow_hash = $3 AND w.expires_at > $2)`, flow)
}

func (s *Service) findFreezeLink(ctx context.Context, r *realm.Realm, where string, token secret.Token) (freezeLink, error) {
	var l freezeLink
	err := s.db.QueryRow(ctx, `
		SELECT f.notice, f.email, f.created_at, `+prefixed+` FROM freeze_links f JOIN accounts a ON a.id = f.account_id
		WHERE f.realm = $1 AND f.expires_at > $2 AND a.realm = f.realm AND `+where,
		r.Name, s.db.Now(ctx), token.Hash()).Scan(append([]any{&l.notice, &l.email, &l.createdAt}, l.account.targets()...)...)
	if errors.Is(err, database.ErrNoRows) {
		return freezeLink{}, ErrFreezeLink
	}
	if err != nil {
		return freezeLink{}, fmt.Errorf("find freeze link: %w", err)
	}
	return l, nil
}

// freezeByLink freezes the account of a notice, for a browser that has come from
// its link. Whoever has the letter may: the link gives nothing but the way to
// the practice.
func (s *Service) freezeByLink(ctx context.Context, r *realm.Realm, flow secret.Token, network string, by By) error {
	l, err := s.freezeLinkByFlow(ctx, r, flow)
	if err != nil || l.idle() {
		return err
	}
	ok, wait, err := s.throttle.limits.Allow(ctx, "freeze/"+r.Name+"/"+network, r.Recovery.FreezesPerNetworkPerHour, time.Hour)
	if err != nil {
		return fmt.Errorf("count freeze: %w", err)
	}
	if !ok {
		return &Throttled{wait}
	}
	return s.db.InTx(ctx, func(ctx context.Context) error {
		// Between the look and here the practice may have helped, which ends
		// the link. Its row is read again once the account's is locked.
		if _, err := s.Lock(ctx, r.Name, l.account.ID); err != nil {
			return err
		}
		l, err := s.freezeLinkByFlow(ctx, r, flow)
		if err != nil || l.idle() {
			return err
		}
		return s.freeze(ctx, r, l.account.ID, by, l.details())
	})
}

// details are what an event says about the link that was used.
func (l freezeLink) details() map[string]any {
	return map[string]any{"notice": l.notice, "notice_at": l.createdAt.Format(time.RFC3339), "same_email": l.email == l.account.LoginEmail}
}
