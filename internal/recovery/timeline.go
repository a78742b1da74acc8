package recovery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/database"
)

// LatestOf reads the newest ticket that a practice made for an account, or
// returns ErrNotFound. Links of other practices, and those a person asked for
// themselves, are none of this practice's business.
func (s *Service) LatestOf(ctx context.Context, accountID, practiceID uuid.UUID) (Ticket, error) {
	t, err := scanWithMail(s.db.QueryRow(ctx, withMail+`
		WHERE t.account_id = $1 AND t.practice_id = $2 ORDER BY t.created_at DESC, t.id DESC LIMIT 1`,
		accountID, practiceID), s.db.Now(ctx))
	if errors.Is(err, database.ErrNoRows) {
		return Ticket{}, ErrNotFound
	}
	if err != nil {
		return Ticket{}, fmt.Errorf("find latest ticket: %w", err)
	}
	return t, nil
}

// Step is one thing that happened to a ticket.
type Step struct {
	State State
	At    time.Time
}

// Steps is what has happened to a ticket so far, oldest first: the timeline
// that staff see. An expiry that has not come yet is no step.
func (t Ticket) Steps() []Step {
	steps := []Step{{Requested, t.RequestedAt}}
	for _, s := range []struct {
		state State
		at    *time.Time
	}{{Queued, t.QueuedAt}, {Sent, t.SentAt}, {Failed, t.FailedAt}, {Opened, t.OpenedAt},
		{AnsweredWrong, t.AnsweredWrongAt}, {Used, t.UsedAt}} {
		if s.at != nil {
			steps = append(steps, Step{s.state, *s.at})
		}
	}
	switch {
	case t.UsedAt != nil:
	case t.VoidedAt != nil && t.State != AnsweredWrong:
		steps = append(steps, Step{t.State, *t.VoidedAt})
	case t.State == Expired:
		steps = append(steps, Step{Expired, t.ExpiresAt})
	}
	slices.SortStableFunc(steps, func(a, b Step) int { return a.At.Compare(b.At) })
	return steps
}
