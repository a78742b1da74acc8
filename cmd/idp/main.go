// Command idp is Portico, an OpenID Connect provider for health-care portals.
//
//	idp secrets   makes the secrets that a new installation needs
//	idp check     reads a configuration and reports every problem with its line
//	idp migrate   brings the database to this version's schema
//	idp serve     runs the provider
//	idp blocklist makes a compact filter of breached passwords
//	idp mail      shows the letters that people get
//	idp keys      lists and rotates the signing keys
//	idp practice  adds a practice with its first administrator
//	idp account   looks at an account and unfreezes it
//	idp restored  ends what a backup brought back to life
//
// It ends with 0 when all went well, 1 when the work failed, and 2 when it was
// called wrongly or the configuration has problems.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // realms name time zones, and the image has no zone files

	"github.com/spf13/cobra"

	"github.com/portico-id/portico/config"
)

// Exit codes.
const (
	exitFailed = 1
	exitUsage  = 2
)

// usageError marks a mistake in the call, as opposed to work that failed.
type usageError struct{ error }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := newRoot().ExecuteContext(ctx)
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, "idp:", err)
	var usage usageError
	var problems config.Problems
	if errors.As(err, &usage) || errors.As(err, &problems) {
		os.Exit(exitUsage)
	}
	os.Exit(exitFailed)
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "idp",
		Short: "Portico, an OpenID Connect provider for health-care portals",
		Long: `Portico signs families and staff in to health-care portals, by OpenID Connect,
and lets people who forgot their password back in.

A new installation:

  idp secrets > portico.env          make the secrets, keep the file safe
  edit idp.yaml                      start from config/idp.example.yaml
  idp check --config idp.yaml        until it reports no problem
  idp migrate --config idp.yaml      create or update the tables
  idp practice add --config idp.yaml --help    invite the first administrator
  idp serve --config idp.yaml        run

Secrets are read from the environment, as the configuration names them
("env:NAME"); idp itself reads no other variables but those of OpenTelemetry.`,
		Args:          noArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; see: %s --help", err, cmd.CommandPath())}
	})
	root.AddCommand(newServe(), newMigrate(), newCheck(), newSecrets(), newKeys(), newBlocklist(), newMail(), newPractice(), newAccount(), newRestored())
	return root
}

// configFlag adds --config to a command.
func configFlag(cmd *cobra.Command) *string {
	return cmd.Flags().StringP("config", "c", "idp.yaml", "the configuration file (see config/idp.example.yaml)")
}

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if cmd.HasSubCommands() {
		return usageError{fmt.Errorf("%s has no command %q; see: %[1]s --help", cmd.CommandPath(), args[0])}
	}
	return usageError{fmt.Errorf("%s takes flags only, found %q; see: %[1]s --help", cmd.CommandPath(), args[0])}
}

func load(path string) (*config.Config, error) {
	cfg, err := config.Load(path, os.LookupEnv)
	if errors.Is(err, os.ErrNotExist) {
		return nil, usageError{fmt.Errorf("%w; name the file with --config", err)}
	}
	return cfg, err
}
