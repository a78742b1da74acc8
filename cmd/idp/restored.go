package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/portico-id/portico/config"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/server"
)

func newRestored() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "restored",
		Short: "end what a backup brought back to life",
		Long: `Run it once after a backup was put back, before a server runs on the database.

A backup knows links, sessions and tokens as they were when it was made: one that
was used or ended since would work again. So all of them end: everybody signs in
again, portals included, and who waits for a link to reset a password, to set up
an account or to confirm an email asks for another one. Waiting letters with such
links are not sent. It is recorded in the audit trail of each realm.

What a backup cannot know stays as it was then, so do these again:

  - accounts that were closed since are open, and staff roles and a guardian's
    access that were taken away since are back;
  - apps that people removed are let in again, and clients that registered
    themselves and were deleted exist again;
  - passwords, security answers and login emails that were changed since are the
    old ones, second factors that were removed are back, and so are recovery
    codes that were used: tell the people who changed theirs for a reason;
  - an account that was frozen since is not; the link in its notice works again.

It works in steps of a thousand, and can be repeated when it was interrupted.`,
		Example: "  idp restored --config idp.yaml",
		Args:    noArgs,
	}
	path := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx := cmd.Context()
		return withKeys(ctx, *path, "", func(cfg *config.Config, db *database.DB, realms []*realm.Realm) error {
			o, err := server.NewOperator(cfg, db, newLogger(cfg))
			if err != nil {
				return err
			}
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(table, "REALM\tSESSIONS ENDED\tGRANTS REVOKED\tLINKS VOIDED")
			for _, r := range realms {
				n, err := o.Restored(ctx, r)
				if err != nil {
					return err
				}
				fmt.Fprintf(table, "%s\t%d\t%d\t%d\n", r.Name, n.Sessions, n.Grants, n.Links)
			}
			return table.Flush()
		})
	}
	return cmd
}
