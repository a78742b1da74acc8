package server

import (
	"context"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/factor"
	"github.com/portico-id/portico/internal/practice"
)

// duties tells which staff roles an account has, in any practice.
type duties struct{ practices *practice.Store }

func (d duties) Roles(ctx context.Context, accountID uuid.UUID) ([]string, error) {
	memberships, err := d.practices.Memberships(ctx, accountID)
	if err != nil {
		return nil, err
	}
	var roles []string
	for _, m := range memberships {
		for _, role := range m.Roles {
			roles = append(roles, string(role))
		}
	}
	return roles, nil
}

// seconds tells oauth who could prove more than a password. The room it asks is
// made after oauth.
type seconds struct{ rooms *rooms }

func (s seconds) HasSecond(ctx context.Context, accountID uuid.UUID) (bool, error) {
	has, err := s.rooms.factors.Of(ctx, accountID)
	return has.Any(), err
}

var _ factor.Duties = duties{}
