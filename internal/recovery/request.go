package recovery

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/mail"
	"github.com/portico-id/portico/internal/realm"
)

// Ask is a filled-in forgot-password form.
type Ask struct {
	Email    string // normalized
	ClientID string // where the person came from, "" when unknown
	Locale   string // of the page
	Network  string // web.Network
}

// Request stores that somebody asked for a link, and nothing else: it takes
// the same time for every address. The worker does the rest. Requests of a
// network beyond its limit are recorded and dropped, and look the same.
func (s *Service) Request(ctx context.Context, r *realm.Realm, a Ask) error {
	ok, _, err := s.limits.Allow(ctx, "recovery/"+r.Name+"/"+a.Network, r.Recovery.RequestsPerNetworkPerHour, time.Hour)
	if err != nil {
		return fmt.Errorf("count recovery request: %w", err)
	}
	if !ok {
		// Whose address it is nobody looks up before the answer is out.
		return s.audit.Record(ctx, audit.Event{Realm: r.Name, Kind: "recovery.throttled", Outcome: audit.Failure,
			Severity: audit.Warning, Actor: "anonymous", ClientID: a.ClientID, IP: a.Network})
	}
	_, err = s.db.Exec(ctx, `
		INSERT INTO recovery_requests (id, realm, email, client_id, locale, network, created_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		database.NewID(), r.Name, a.Email, a.ClientID, a.Locale, a.Network, s.db.Now(ctx))
	if err != nil {
		return fmt.Errorf("store recovery request: %w", err)
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return nil
}

const (
	lookEvery   = time.Second // another replica may have taken the request in
	afterAnswer = 50 * time.Millisecond
	batchSize   = 50
	giveUp      = 24 * time.Hour // nobody waits for a link longer than that
)

// Worker handles requests until ctx ends. Any number of replicas may run it.
func (s *Service) Worker(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		if err := s.Process(ctx); err != nil && ctx.Err() == nil {
			s.log.ErrorContext(ctx, "recovery requests could not be handled, trying again", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
			// Not at once: the work differs for those who exist, and would be
			// heard in the answer that is on its way, or in the next one.
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(afterAnswer + rand.N(afterAnswer)):
			}
		case <-tick.C:
		}
	}
}

// request is a stored form.
type request struct {
	id        uuid.UUID
	realm     string
	email     string
	clientID  string
	locale    string
	network   string
	createdAt time.Time
}

// Process handles the requests that wait now. One that fails does not hold up
// the others; it is tried again.
func (s *Service) Process(ctx context.Context) error {
	after := uuid.Nil
	var failed error
	for {
		rows, err := s.db.Query(ctx, `
			SELECT id, realm, email, client_id, locale, network, created_at FROM recovery_requests
			WHERE processed_at IS NULL AND id > $1 ORDER BY id LIMIT $2`, after, int64(batchSize))
		waiting, err := database.Collect(rows, err, func(r *database.Rows) (q request, err error) {
			err = r.Scan(&q.id, &q.realm, &q.email, &q.clientID, &q.locale, &q.network, &q.createdAt)
			return q, err
		})
		if err != nil {
			return errors.Join(failed, fmt.Errorf("find recovery requests: %w", err))
		}
		for _, q := range waiting {
			if err := s.handle(ctx, q); err != nil && !errors.Is(err, errTaken) && !errors.Is(err, errBudget) {
				failed = errors.Join(failed, err)
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			after = q.id
		}
		if len(waiting) < batchSize {
			return failed
		}
	}
}

var (
	errTaken  = errors.New("another replica has the request")
	errBudget = errors.New("the realm's budget for this hour is spent")
)

// handle decides about one request. The ticket, the letter and the mark that
// the request is done are one transaction, so a crash neither loses nor
// doubles a link.
func (s *Service) handle(ctx context.Context, q request) error {
	r, known := s.realms(q.realm)
	err := s.db.InTx(ctx, func(ctx context.Context) error {
		now := s.db.Now(ctx)
		rows, err := s.db.Exec(ctx, `
			UPDATE recovery_requests SET processed_at = $2 WHERE id = $1 AND processed_at IS NULL`, q.id, now)
		if err := database.ExactlyOne(rows, err, errTaken); err != nil {
			return err
		}
		if !known {
			return nil // the realm was taken out of the configuration
		}
		result, target := "too_late", ""
		if now.Sub(q.createdAt) < giveUp {
			if result, target, err = s.decide(ctx, r, q); err != nil {
				return err
			}
		}
		return s.audit.Record(ctx, audit.Event{Realm: r.Name, Kind: "recovery.requested", Actor: "anonymous",
			Target: target, ClientID: q.clientID, IP: q.network, Details: map[string]any{"result": result}})
	})
	if err != nil {
		return fmt.Errorf("handle recovery request: %w", err)
	}
	return nil
}

// decide sends a link, a fresh invitation, or nothing, and says which.
func (s *Service) decide(ctx context.Context, r *realm.Realm, q request) (result, target string, err error) {
	found, err := s.accounts.FindByEmail(ctx, r.Name, q.email)
	if errors.Is(err, account.ErrNotFound) {
		return "no_account", "", nil
	}
	if err != nil {
		return "", "", err
	}
	a, err := s.accounts.Lock(ctx, r.Name, found.ID)
	if err != nil {
		return "", "", err
	}
	now := s.db.Now(ctx)
	switch {
	case a.LoginEmail != found.LoginEmail:
		return "no_account", "", nil
	case a.State == account.Disabled:
		return "disabled", a.Actor(), nil
	case a.FrozenAt != nil:
		return "frozen", a.Actor(), nil
	case a.State == account.Invited:
		result, err = s.inviteAgain(ctx, r, a, q)
		return result, a.Actor(), err
	case a.RecoveryLockedUntil != nil && a.RecoveryLockedUntil.After(now):
		return "locked", a.Actor(), nil
	}
	last, err := s.lastLive(ctx, facts(a))
	if err != nil {
		return "", "", err
	}
	if !last.IsZero() && now.Sub(last) < r.Recovery.AbsorbRepeats {
		return "absorbed", a.Actor(), nil
	}
	made, err := s.madeSince(ctx, a.ID, SelfService, now.Add(-day))
	if err != nil {
		return "", "", err
	}
	if made >= int64(r.Recovery.LinksPerDay) {
		return "enough_for_today", a.Actor(), nil
	}
	inRealm, err := s.madeInRealmSince(ctx, r.Name, now.Add(-time.Hour))
	if err != nil {
		return "", "", err
	}
	if inRealm >= int64(r.Recovery.RealmRequestsPerHour) {
		return "", "", errBudget
	}
	if _, err := s.issue(ctx, r, a, newTicket{origin: SelfService, clientID: q.clientID}, mail.Reset, nil, q.locale); err != nil {
		return "", "", err
	}
	return "link_queued", a.Actor(), nil
}

// inviteAgain sends a fresh invitation, within the limits of links.
func (s *Service) inviteAgain(ctx context.Context, r *realm.Realm, a account.Account, q request) (string, error) {
	if cancelled, err := s.accounts.InvitationCancelled(ctx, a.ID); err != nil || cancelled {
		return "invitation_cancelled", err
	}
	now := s.db.Now(ctx)
	last, err := s.accounts.LastInvited(ctx, a.ID)
	if err != nil {
		return "", err
	}
	if !last.IsZero() && now.Sub(last) < r.Recovery.AbsorbRepeats {
		return "absorbed", nil
	}
	n, err := s.accounts.InvitedSince(ctx, a.ID, now.Add(-day))
	if err != nil {
		return "", err
	}
	if n >= r.Recovery.InvitationsPerDay {
		return "enough_for_today", nil
	}
	if err := s.accounts.Invite(ctx, r, a.ID, account.By{Actor: "anonymous", ClientID: q.clientID, IP: q.network}); err != nil {
		return "", err
	}
	return "invited_again", nil
}
