package account

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/portico-id/portico/internal/mail"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/secret"
)

// noticeFor is how long a notice is worth delivering.
const noticeFor = 72 * time.Hour

// Notify tells the person by mail that something that proves them was changed:
// mail.PasswordChanged, EmailChanged, QuestionChanged, or FactorChanged with
// "what" in data. The letter goes to a.LoginEmail (after a change of the email
// hand over the account as it was) and says when and on which device it
// happened. Every one carries a link of its own for "this wasn't me", which
// freezes the account. It joins the caller's transaction.
func (s *Service) Notify(ctx context.Context, r *realm.Realm, a Account, kind mail.Kind, by By, data map[string]string) error {
	now := s.db.Now(ctx)
	token, err := s.newFreezeLink(ctx, r, a, string(kind), now)
	if err != nil {
		return err
	}
	said := map[string]string{}
	maps.Copy(said, data)
	said["when"], said["device"] = now.Format(time.RFC3339), by.Device
	said["freeze"] = r.URL("/freeze/" + token.Reveal())
	_, err = s.outbox.Queue(ctx, mail.Letter{Realm: r, Kind: kind, To: a.LoginEmail, Locale: s.localeOf(r, a),
		AccountID: a.ID, NotAfter: now.Add(min(noticeFor, r.Lifetimes.FreezeLink)), Data: said})
	if err != nil {
		return fmt.Errorf("queue notice: %w", err)
	}
	return nil
}

// newFreezeLink makes the link of a notice about what happened at a time, in the
// caller's transaction.
func (s *Service) newFreezeLink(ctx context.Context, r *realm.Realm, a Account, notice string, at time.Time) (secret.Token, error) {
	token, now := secret.NewToken(), s.db.Now(ctx)
	_, err := s.db.Exec(ctx, `
		INSERT INTO freeze_links (token_hash, realm, account_id, notice, email, created_at, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		token.Hash(), r.Name, a.ID, notice, a.LoginEmail, at, now.Add(r.Lifetimes.FreezeLink))
	if err != nil {
		return secret.Token{}, fmt.Errorf("store freeze link: %w", err)
	}
	return token, nil
}
