package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/portico-id/portico/config"
	"github.com/portico-id/portico/internal/server"
)

func newServe() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "run the provider",
		Long: `Runs the provider until SIGTERM or Ctrl-C; then it stops accepting
connections, lets running requests end, and goes.

Tables are created or updated first, unless --no-migrate is given; several
copies may start at the same time on PostgreSQL.

It refuses to start with another pepper than the one the stored passwords were
hashed with. Where that one is lost for good, --new-pepper starts all the same:
nobody's password and no security answer matches any more, and people get in
again with a new link and without the question, which two members of staff allow.`,
		Example: "  idp serve --config /etc/portico/idp.yaml",
		Args:    noArgs,
	}
	path := configFlag(cmd)
	noMigrate := cmd.Flags().Bool("no-migrate", false, "refuse to start instead of updating the tables")
	newPepper := cmd.Flags().Bool("new-pepper", false, "start although the passwords were hashed with another pepper")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := load(*path)
		if err != nil {
			return err
		}
		log := newLogger(cfg)
		for _, w := range cfg.Warnings {
			log.Warn("configuration", "warning", w.String())
		}
		srv, err := server.New(cmd.Context(), cfg, server.Options{Logger: log, NoMigrate: *noMigrate, NewPepper: *newPepper})
		if err != nil {
			return err
		}
		return srv.Run(cmd.Context())
	}
	return cmd
}

func newLogger(cfg *config.Config) *slog.Logger {
	level := slog.LevelInfo
	_ = level.UnmarshalText([]byte(cfg.Log.Level)) // the configuration has been checked
	options := &slog.HandlerOptions{Level: level}
	if cfg.Log.Format == "text" {
		return slog.New(slog.NewTextHandler(os.Stderr, options))
	}
	return slog.New(slog.NewJSONHandler(os.Stderr, options))
}

func newCheck() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "read a configuration and report every problem with its line",
		Long: `Reads the configuration and reports all of its problems at once, each with
file, line and what to do about it. Nothing is started and nothing is written.
Ends with 0 when the configuration can be served, with 2 when it cannot.`,
		Example: "  idp check --config idp.yaml",
		Args:    noArgs,
	}
	path := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := load(*path)
		if err != nil {
			return err
		}
		out := cmd.OutOrStdout()
		for _, w := range cfg.Warnings {
			fmt.Fprintln(out, "warning:", w.String())
		}
		if err := server.Check(cmd.Context(), cfg); err != nil {
			return err
		}
		more, err := server.Warnings(cfg)
		if err != nil {
			return err
		}
		for _, w := range more {
			fmt.Fprintln(out, "warning:", w)
		}
		for _, r := range cfg.Realms() {
			fmt.Fprintf(out, "realm %s: %s, %d clients\n", r.Name, r.Issuer, len(r.Clients()))
		}
		fmt.Fprintf(out, "%s is good\n", *path)
		return nil
	}
	return cmd
}

func newMigrate() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "bring the database to this version's schema",
		Long: `Applies what is missing, in order, and says what it did. On PostgreSQL an
advisory lock lets only one copy work at a time. Migrations go forward only.`,
		Example: "  idp migrate --config idp.yaml\n  idp migrate --config idp.yaml --status",
		Args:    noArgs,
	}
	path := configFlag(cmd)
	status := cmd.Flags().Bool("status", false, "only list the steps and when they were applied")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := load(*path)
		if err != nil {
			return err
		}
		return runMigrate(cmd.Context(), cmd, cfg, *status)
	}
	return cmd
}

func runMigrate(ctx context.Context, cmd *cobra.Command, cfg *config.Config, status bool) error {
	db, err := server.OpenDatabase(ctx, cfg, newLogger(cfg))
	if err != nil {
		return err
	}
	defer db.Close()
	out := cmd.OutOrStdout()
	if status {
		all, err := server.Migrations(ctx, db)
		if err != nil {
			return err
		}
		for _, m := range all {
			when := "to be applied"
			if !m.AppliedAt.IsZero() {
				when = "applied " + m.AppliedAt.Format("2006-01-02 15:04:05 UTC")
			}
			fmt.Fprintf(out, "%-28s %s\n", m.Name, when)
		}
		return nil
	}
	applied, err := server.Migrate(ctx, db)
	for _, m := range applied {
		fmt.Fprintln(out, "applied", m.Name)
	}
	if err == nil && len(applied) == 0 {
		fmt.Fprintln(out, "nothing to do")
	}
	return err
}
