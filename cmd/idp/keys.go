package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/portico-id/portico/config"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/keyring"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/server"
)

func newKeys() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "list and rotate the signing keys",
		Long: `Signing keys rotate by themselves, every 90 days. A new key is published a day
before it signs, and an old one stays published until all it signed has expired,
so a rotation goes unnoticed. These commands show the keys and rotate earlier.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newKeysList(), newKeysRotate())
	return cmd
}

func newKeysList() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "list the signing keys of all realms, or of one",
		Example: "  idp keys list --config idp.yaml\n  idp keys list --config idp.yaml --realm patient",
		Args:    noArgs,
	}
	path := configFlag(cmd)
	name := cmd.Flags().StringP("realm", "r", "", "only this realm")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return withKeys(cmd.Context(), *path, *name, func(cfg *config.Config, db *database.DB, realms []*realm.Realm) error {
			return printKeys(cmd.Context(), cmd.OutOrStdout(), cfg, db, realms)
		})
	}
	return cmd
}

func newKeysRotate() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "make the next signing keys of a realm",
		Long: `Makes the next signing keys of a realm and publishes them. They sign a day
later; nothing that was signed before becomes invalid. While a rotation is under
way it does nothing.

With --now they sign after two minutes, which is when every running copy has
read them: for a key that somebody else may have. Clients that do not look for
a key they do not know will refuse tokens until they read the key set again.`,
		Example: "  idp keys rotate --config idp.yaml --realm patient",
		Args:    noArgs,
	}
	path := configFlag(cmd)
	name := cmd.Flags().StringP("realm", "r", "", "the realm (needed)")
	now := cmd.Flags().Bool("now", false, "sign with them after two minutes instead of a day")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *name == "" {
			return usageError{fmt.Errorf("name the realm with --realm")}
		}
		return withKeys(cmd.Context(), *path, *name, func(cfg *config.Config, db *database.DB, realms []*realm.Realm) error {
			for _, r := range realms {
				if err := server.RotateKeys(cmd.Context(), cfg, db, r, *now, newLogger(cfg)); err != nil {
					return err
				}
			}
			return printKeys(cmd.Context(), cmd.OutOrStdout(), cfg, db, realms)
		})
	}
	return cmd
}

// withKeys opens what a configuration names, and finds the realm called name,
// or all.
func withKeys(ctx context.Context, path, name string, do func(*config.Config, *database.DB, []*realm.Realm) error) error {
	cfg, err := load(path)
	if err != nil {
		return err
	}
	realms := cfg.Realms()
	if name != "" {
		r, ok := cfg.Set().ByName(name)
		if !ok {
			return usageError{fmt.Errorf("%s has no realm %q", cfg.File, name)}
		}
		realms = []*realm.Realm{r}
	}
	db, err := server.OpenDatabase(ctx, cfg, newLogger(cfg))
	if err != nil {
		return err
	}
	defer db.Close()
	if err := server.CheckSchema(ctx, db); err != nil {
		return err
	}
	return do(cfg, db, realms)
}

func printKeys(ctx context.Context, out io.Writer, cfg *config.Config, db *database.DB, realms []*realm.Realm) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "REALM\tALG\tKEY ID\tSTATE")
	for _, r := range realms {
		keys, err := server.Keys(ctx, cfg, db, r, newLogger(cfg))
		if err != nil {
			return err
		}
		now := db.Now(ctx)
		for _, key := range keys {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", r.Name, key.Alg, key.KID, keyState(key, now))
		}
	}
	return table.Flush()
}

func keyState(key keyring.Info, now time.Time) string {
	const format = "2006-01-02 15:04 UTC"
	switch {
	case key.SignsFrom.After(now):
		return "published, signs from " + key.SignsFrom.UTC().Format(format)
	case key.Retired.IsZero():
		return "signs since " + key.SignsFrom.UTC().Format(format)
	case key.Retired.After(now):
		return "signs until " + key.Retired.UTC().Format(format)
	}
	return "published until " + key.Until.UTC().Format(format)
}
