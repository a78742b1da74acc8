package demo

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/demo/seed"
	"github.com/portico-id/portico/internal/password"
	"github.com/portico-id/portico/internal/practice"
	"github.com/portico-id/portico/internal/realm"
)

// target seeds a provider through the same services its pages use, so the
// people of the demo are made like anybody else's.
type target struct {
	db       *database.DB
	realms   map[string]*realm.Realm
	accounts *account.Service
	people   *practice.Store

	names map[uuid.UUID]string // of practices, for invitations
}

// NewTarget returns the target that writes into a provider's own services.
func NewTarget(db *database.DB, realms []*realm.Realm, accounts *account.Service, people *practice.Store) seed.Target {
	t := &target{db: db, realms: map[string]*realm.Realm{}, accounts: accounts, people: people, names: map[uuid.UUID]string{}}
	for _, r := range realms {
		t.realms[r.Name] = r
	}
	return t
}

func (t *target) Practices(ctx context.Context, list []seed.Practice) error {
	return t.db.InTx(ctx, func(ctx context.Context) error {
		for _, p := range list {
			t.names[p.ID] = p.Name
			if err := t.people.UpsertPractice(ctx, practice.Practice{ID: p.ID, Name: p.Name, SupportPhone: p.Phone}); err != nil {
				return err
			}
		}
		return nil
	})
}

// Accounts hashes on all processors.
func (t *target) Accounts(ctx context.Context, list []seed.Account) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(4, runtime.NumCPU()))
	for _, a := range list {
		g.Go(func() error {
			err := patiently(ctx, func() error { return t.account(ctx, a) })
			if err != nil {
				return fmt.Errorf("%s of the realm %s: %w", a.Email, a.Realm, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// patiently tries again when a hash was turned away: people at a sign-in page
// are told to come back, a slow or busy machine just takes longer to be ready.
func patiently(ctx context.Context, do func() error) error {
	for {
		err := do()
		if !errors.Is(err, password.ErrBusy) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// account makes an account that is not there yet. Whatever became of one that
// is, stays.
func (t *target) account(ctx context.Context, a seed.Account) error {
	r, ok := t.realms[a.Realm]
	if !ok {
		return errors.New("no such realm in the configuration")
	}
	_, err := t.accounts.Find(ctx, a.Realm, a.ID)
	if err == nil || !errors.Is(err, account.ErrNotFound) {
		return err
	}
	n := account.New{
		ID: a.ID, LoginEmail: a.Email, EmailVerified: a.State != seed.Invited, State: account.State(a.State),
		GivenName: a.GivenName, FamilyName: a.FamilyName, Name: a.Name(), Locale: a.Locale,
		PasswordHash: a.PasswordHash(), Question: a.Question, Answer: a.Answer,
	}
	if a.State != seed.Invited {
		_, err := t.accounts.Create(ctx, r, n)
		return err
	}
	// The account and its invitation: both, or neither.
	return t.db.InTx(ctx, func(ctx context.Context) error {
		if _, err := t.accounts.Create(ctx, r, n); err != nil {
			return err
		}
		return t.accounts.Invite(ctx, r, a.ID, account.By{Actor: "system", Name: t.names[a.InvitedBy], PracticeID: a.InvitedBy.String()})
	})
}

func (t *target) StaffRoles(ctx context.Context, list []seed.StaffRole) error {
	type place struct{ person, practice uuid.UUID }
	roles := map[place][]practice.Role{}
	for _, each := range list {
		at := place{each.AccountID, each.PracticeID}
		roles[at] = append(roles[at], practice.Role(each.Role))
	}
	return t.db.InTx(ctx, func(ctx context.Context) error {
		for at, has := range roles {
			if err := t.people.SetRoles(ctx, at.person, at.practice, has...); err != nil {
				return err
			}
		}
		return nil
	})
}

func (t *target) Patients(ctx context.Context, list []seed.Patient) error {
	return t.db.InTx(ctx, func(ctx context.Context) error {
		for _, p := range list {
			_, err := t.people.UpsertPatient(ctx, practice.Patient{ID: p.ID, PracticeID: p.PracticeID, AccountNumber: p.AccountNumber,
				GivenName: p.GivenName, FamilyName: p.FamilyName, BirthDate: p.BirthDate})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func (t *target) Associations(ctx context.Context, list []seed.Association) error {
	return t.db.InTx(ctx, func(ctx context.Context) error {
		for _, a := range list {
			_, err := t.people.UpsertAssociation(ctx, practice.Association{ID: a.ID, PatientID: a.PatientID, AccountID: a.AccountID,
				Relationship: a.Relationship, Authority: a.Authority, PortalAccess: a.PortalAccess, StartsOn: a.StartsOn, EndsOn: a.EndsOn})
			if err != nil {
				return err
			}
		}
		return nil
	})
}
