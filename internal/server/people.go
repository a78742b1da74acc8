package server

import (
	"context"
	"errors"
	"fmt"

	"github.com/portico-id/portico/config"
	"github.com/portico-id/portico/internal/account"
)

// testPeople makes the accounts that a configuration for tests describes, once.
// A replica that starts at the same time may have been faster.
func (r *rooms) testPeople(ctx context.Context, cfg *config.Config) error {
	for _, p := range cfg.TestPeople {
		in, ok := cfg.Set().ByName(p.Realm)
		if !ok {
			return fmt.Errorf("no realm %s", p.Realm)
		}
		_, err := r.accounts.FindByEmail(ctx, p.Realm, p.Email)
		switch {
		case err == nil:
			continue
		case !errors.Is(err, account.ErrNotFound):
			return err
		}
		_, err = r.accounts.Create(ctx, in, account.New{LoginEmail: p.Email, EmailVerified: true, State: account.Active,
			GivenName: p.GivenName, FamilyName: p.FamilyName, Locale: p.Locale, Profile: p.Profile, Password: p.Password.Reveal()})
		if err != nil && !errors.Is(err, account.ErrEmailTaken) {
			return fmt.Errorf("%s: %w", p.Email, err)
		}
	}
	return nil
}
