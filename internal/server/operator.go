package server

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/portico-id/portico/config"
	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/realm"
)

// Operator does what an operator can do without a portal: for accounts, for the
// first practice, for a database from a backup.
type Operator struct {
	db    *database.DB
	rooms *rooms
}

// NewOperator makes an Operator. It starts nothing: letters are sent by the
// servers that run.
func NewOperator(cfg *config.Config, db *database.DB, log *slog.Logger) (*Operator, error) {
	r, err := build(cfg, db, prometheus.NewRegistry(), log)
	if err != nil {
		return nil, err
	}
	return &Operator{db, r}, nil
}

// Account finds an account by its login email, with how many second factors it
// has; account.ErrNotFound when there is none. Looking is recorded.
func (o *Operator) Account(ctx context.Context, r *realm.Realm, email string) (account.Account, account.FactorSummary, error) {
	a, err := o.rooms.accounts.FindByEmail(ctx, r.Name, email)
	if err != nil {
		return a, account.FactorSummary{}, err
	}
	factors, err := o.rooms.factors.Of(ctx, a.ID)
	if err != nil {
		return a, account.FactorSummary{}, err
	}
	err = o.rooms.audit.Record(ctx, audit.Event{Realm: r.Name, Kind: "account.viewed", Actor: "system", Target: a.Actor()})
	if err != nil {
		return a, account.FactorSummary{}, fmt.Errorf("record the look: %w", err)
	}
	return a, factors, nil
}

// Unfreeze opens a frozen account again; account.ErrState when it is not
// frozen.
func (o *Operator) Unfreeze(ctx context.Context, r *realm.Realm, email, reason string) error {
	a, err := o.rooms.accounts.FindByEmail(ctx, r.Name, email)
	if err != nil {
		return err
	}
	return o.rooms.accounts.Unfreeze(ctx, r, a.ID, account.By{Actor: "system", Reason: reason})
}
