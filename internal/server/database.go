package server

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/portico-id/portico/config"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/migrations"
)

// OpenDatabase connects to the configured database.
func OpenDatabase(ctx context.Context, cfg *config.Config, log *slog.Logger) (*database.DB, error) {
	db, err := database.Open(ctx, cfg.Database.URL.Reveal(), database.Options{Logger: log, MaxConns: cfg.Database.MaxConns})
	if err != nil {
		return nil, fmt.Errorf("%w (database.url in %s)", err, cfg.File)
	}
	return db, nil
}

// Migrate brings the tables to this version's schema and returns the steps it
// applied.
func Migrate(ctx context.Context, db *database.DB) ([]database.Migration, error) {
	return db.Migrate(ctx, migrations.FS)
}

// Migrations lists the steps of the schema and when each was applied.
func Migrations(ctx context.Context, db *database.DB) ([]database.Migration, error) {
	return db.Migrations(ctx, migrations.FS)
}

// CheckSchema returns ErrSchema when the database lacks steps.
func CheckSchema(ctx context.Context, db *database.DB) error {
	names, err := pending(ctx, db)
	if err == nil && len(names) > 0 {
		err = fmt.Errorf("%w (missing: %s)", ErrSchema, strings.Join(names, ", "))
	}
	return err
}

// pending names the steps that the database still lacks.
func pending(ctx context.Context, db *database.DB) ([]string, error) {
	all, err := Migrations(ctx, db)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, m := range all {
		if m.AppliedAt.IsZero() {
			names = append(names, m.Name)
		}
	}
	return names, nil
}
