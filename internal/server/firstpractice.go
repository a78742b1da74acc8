package server

import (
	"context"
	"fmt"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/practice"
	"github.com/portico-id/portico/internal/realm"
)

// AddPractice makes a practice and invites its first administrator, who invites
// everybody else. Both happen, with the letter and the record, or neither does.
// It returns the practice's id; account.ErrEmailTaken, account.ErrEmail and
// account.ErrName say what is wrong with the person, practice.ErrValue what is
// wrong with the practice.
func (o *Operator) AddPractice(ctx context.Context, r *realm.Realm, p practice.Practice, first account.New) (practice.Practice, error) {
	p.ID = database.NewID()
	first.State, first.Locale = account.Invited, r.DefaultLocale
	err := o.db.InTx(ctx, func(ctx context.Context) error {
		if err := o.rooms.practices.UpsertPractice(ctx, p); err != nil {
			return err
		}
		a, err := o.rooms.accounts.Create(ctx, r, first)
		if err != nil {
			return err
		}
		if err := o.rooms.practices.SetRoles(ctx, a.ID, p.ID, practice.Administrator); err != nil {
			return err
		}
		if err := o.rooms.accounts.Invite(ctx, r, a.ID, account.By{Actor: "system", Name: p.Name}); err != nil {
			return err
		}
		return o.rooms.audit.Record(ctx, audit.Event{Realm: r.Name, Kind: "practice.added", Severity: audit.High, Actor: "system",
			Target: a.Actor(), PracticeID: p.ID.String(), Details: map[string]any{"practice": p.Name}})
	})
	if err != nil {
		return practice.Practice{}, fmt.Errorf("add practice: %w", err)
	}
	return p, nil
}
