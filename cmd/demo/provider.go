package main

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/portico-id/portico/config"
	"github.com/portico-id/portico/internal/demo"
	"github.com/portico-id/portico/internal/demo/seed"
	"github.com/portico-id/portico/internal/server"
)

// startProvider builds the provider from the demo's configuration, exactly as
// idp serve would from a file, and seeds it.
func startProvider(ctx context.Context, yaml []byte, env func(string) (string, bool), data *seed.Data, log *slog.Logger) (demo.Provider, error) {
	cfg, err := config.Parse("the demo's configuration", yaml, env)
	if err != nil {
		return nil, fmt.Errorf("configure the provider: %w", err)
	}
	srv, err := server.New(ctx, cfg, server.Options{Logger: log})
	if err != nil {
		return nil, fmt.Errorf("build the provider: %w", err)
	}
	if err := seed.Apply(ctx, demo.NewTarget(srv.DB(), cfg.Realms(), srv.Accounts(), srv.Practices()), data); err != nil {
		return nil, fmt.Errorf("seed the provider: %w", err)
	}
	return srv, nil
}
