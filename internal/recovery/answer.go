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
	"github.com/portico-id/portico/internal/password"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/secret"
)

// day is the time over which wrong answers are added up.
const day = 24 * time.Hour

// wrong is the error of an answer that did not match.
type wrong struct {
	left   int  // tries left, 0: the link is void
	locked bool // recovery of the account is locked
}

func (w *wrong) Error() string { return "the answer does not match" }

// answer verifies the answer to the security question and opens the last step.
// It returns *wrong, ErrTicket, errNoTries while others of the last tries are
// being verified, account.ErrAnswerEmpty, which costs no try, or
// password.ErrBusy, which costs none either.
func (s *Service) answer(ctx context.Context, r *realm.Realm, flow secret.Token, text string, ip string) error {
	w, err := s.walk(ctx, r, flow)
	if err != nil {
		return err
	}
	if account.EmptyAnswer(text) {
		return account.ErrAnswerEmpty
	}
	attempt, err := s.reserve(ctx, r, w)
	if err != nil {
		return err
	}
	ok, err := s.accounts.VerifyAnswer(ctx, w.ticket.AccountID, text)
	switch {
	case errors.Is(err, password.ErrBusy):
		return errors.Join(err, s.inAccount(ctx, r, w, func(ctx context.Context, _ account.Account) error { return s.giveBack(ctx, w, attempt) }))
	case err != nil:
		return err // the try stays counted: better one too many
	case ok:
		return s.right(ctx, r, w, attempt, ip)
	}
	return s.wrong(ctx, r, w, ip)
}

// inAccount runs fn in a transaction that has locked the account.
func (s *Service) inAccount(ctx context.Context, r *realm.Realm, w walk, fn func(ctx context.Context, a account.Account) error) error {
	return s.db.InTx(ctx, func(ctx context.Context) error {
		a, err := s.accounts.Lock(ctx, r.Name, w.ticket.AccountID)
		if err != nil {
			return err
		}
		return fn(ctx, a)
	})
}

// reserve counts a try before it is verified, in a transaction of its own: an
// attempt is a fact, whatever becomes of the request. The account's row is
// locked, so of any number of parallel tries exactly as many get through as
// there are left.
func (s *Service) reserve(ctx context.Context, r *realm.Realm, w walk) (uuid.UUID, error) {
	if s.db.InTransaction(ctx) {
		return uuid.Nil, errors.New("reserve try: not inside a transaction, which would undo it")
	}
	id := database.NewID()
	err := s.inAccount(ctx, r, w, func(ctx context.Context, _ account.Account) error {
		now := s.db.Now(ctx)
		counted, err := s.triesSince(ctx, w.ticket.AccountID, now.Add(-day))
		if err != nil {
			return err
		}
		if counted >= int64(r.Recovery.AnswerTriesPerDay) {
			return errNoTries
		}
		rows, err := s.db.Exec(ctx, `
			UPDATE recovery_tickets SET answer_attempts = answer_attempts + 1
			WHERE id = $1 AND answer_attempts < $3 AND used_at IS NULL AND voided_at IS NULL AND expires_at > $2`,
			w.ticket.ID, now, int64(r.Recovery.AnswerTriesPerLink))
		if err := database.ExactlyOne(rows, err, errNoTries); err != nil {
			return err
		}
		_, err = s.db.Exec(ctx, `
			INSERT INTO recovery_attempts (id, account_id, ticket_id, attempted_at) VALUES ($1, $2, $3, $4)`,
			id, w.ticket.AccountID, w.ticket.ID, now)
		return err
	})
	if err != nil {
		return uuid.Nil, fmt.Errorf("reserve try: %w", err)
	}
	return id, nil
}

func (s *Service) triesSince(ctx context.Context, accountID uuid.UUID, since time.Time) (n int64, err error) {
	err = s.db.QueryRow(ctx, `SELECT COUNT(*) FROM recovery_attempts WHERE account_id = $1 AND attempted_at > $2`,
		accountID, since).Scan(&n)
	return n, err
}

// giveBack undoes a reservation.
func (s *Service) giveBack(ctx context.Context, w walk, attempt uuid.UUID) error {
	if _, err := s.db.Exec(ctx, `DELETE FROM recovery_attempts WHERE id = $1`, attempt); err != nil {
		return err
	}
	_, err := s.db.Exec(ctx, `UPDATE recovery_tickets SET answer_attempts = answer_attempts - 1 WHERE id = $1`, w.ticket.ID)
	return err
}

// right opens the last step for this browser. The link has to work still: it
// may have been voided while the answer was verified.
func (s *Service) right(ctx context.Context, r *realm.Realm, w walk, attempt uuid.UUID, ip string) error {
	err := s.inAccount(ctx, r, w, func(ctx context.Context, _ account.Account) error {
		now := s.db.Now(ctx)
		rows, err := s.db.Exec(ctx, `
			UPDATE recovery_tickets SET answered_at = $2
			WHERE id = $1 AND used_at IS NULL AND voided_at IS NULL AND expires_at > $2`, w.ticket.ID, now)
		if err := database.ExactlyOne(rows, err, ErrTicket); err != nil {
			return err
		}
		rows, err = s.db.Exec(ctx, `
			UPDATE recovery_flows SET answered_at = $2 WHERE flow_hash = $1 AND expires_at > $2`, w.flow.Hash(), now)
		if err := database.ExactlyOne(rows, err, ErrTicket); err != nil {
			return err
		}
		if err := s.giveBack(ctx, w, attempt); err != nil {
			return err
		}
		return s.audit.Record(ctx, audit.Event{Realm: r.Name, Kind: "recovery.answered", Actor: "anonymous",
			Target: account.Actor(w.ticket.AccountID), IP: ip, Details: map[string]any{"ticket": w.ticket.ID.String()}})
	})
	if err != nil {
		return fmt.Errorf("accept answer: %w", err)
	}
	return nil
}

// wrong records a wrong answer, and ends the link or locks recovery when it
// was the last one allowed. It returns a *wrong when all went well.
func (s *Service) wrong(ctx context.Context, r *realm.Realm, w walk, ip string) error {
	result := &wrong{}
	err := s.inAccount(ctx, r, w, func(ctx context.Context, a account.Account) error {
		now := s.db.Now(ctx)
		var onLink int64
		err := s.db.QueryRow(ctx, `
			UPDATE recovery_tickets SET answered_wrong_at = $2 WHERE id = $1 RETURNING answer_attempts`,
			w.ticket.ID, now).Scan(&onLink)
		if err != nil {
			return err
		}
		inDay, err := s.triesSince(ctx, w.ticket.AccountID, now.Add(-day))
		if err != nil {
			return err
		}
		result.left = max(0, min(r.Recovery.AnswerTriesPerLink-int(onLink), r.Recovery.AnswerTriesPerDay-int(inDay)))
		event := audit.Event{Realm: r.Name, Kind: "recovery.answer_failed", Outcome: audit.Failure, Severity: audit.Warning,
			Actor: "anonymous", Target: account.Actor(w.ticket.AccountID), IP: ip,
			Details: map[string]any{"ticket": w.ticket.ID.String(), "tries_left": result.left}}
		if err := s.audit.Record(ctx, event); err != nil {
			return err
		}
		if inDay >= int64(r.Recovery.AnswerTriesPerDay) {
			result.locked = true
			if a.RecoveryLockedUntil != nil && a.RecoveryLockedUntil.After(now) {
				return nil // by a wrong answer that was verified at the same time
			}
			return s.lock(ctx, r, w, event)
		}
		if result.left == 0 {
			if err := s.void(ctx, w.ticket.ID, voidAnswers); err != nil && !errors.Is(err, ErrTicket) {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("count wrong answer: %w", err)
	}
	return result
}

// lock stops recovery of an account for a while and voids all its links.
func (s *Service) lock(ctx context.Context, r *realm.Realm, w walk, event audit.Event) error {
	until := s.db.Now(ctx).Add(r.Recovery.AnswerLock)
	if err := s.accounts.LockRecovery(ctx, w.ticket.AccountID, until); err != nil {
		return fmt.Errorf("lock recovery: %w", err)
	}
	if err := s.VoidAll(ctx, w.ticket.AccountID, voidLocked); err != nil {
		return fmt.Errorf("void links: %w", err)
	}
	event.Kind, event.Severity = "recovery.locked", audit.High
	event.Details = map[string]any{"ticket": w.ticket.ID.String(), "until": until.Format(time.RFC3339)}
	return s.audit.Record(ctx, event)
}
