package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/portico-id/portico/config"
	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/practice"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/server"
)

func newPractice() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "practice",
		Short: "add a practice with its first administrator",
		Long: `A new installation has nobody in it. The first administrator of a practice is
invited from here, and invites everybody else in the Practice Portal.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newPracticeAdd())
	return cmd
}

func newPracticeAdd() *cobra.Command {
	var p practice.Practice
	var first account.New
	cmd := &cobra.Command{
		Use:   "add --realm NAME --name TEXT --admin-email ADDRESS --admin-given-name TEXT --admin-family-name TEXT",
		Short: "add a practice and invite its first administrator",
		Long: `Makes a practice and mails its first administrator an invitation, which is sent
as soon as a server runs. With its link the person chooses a password and a
security question. It is recorded in the audit trail.

Ends with 1 when the realm has an account with the address already.`,
		Example: `  idp practice add --config idp.yaml --realm practice --name "Maple Street Clinic" \
    --phone "(555) 010-0111" --admin-email dana@maple.example.test \
    --admin-given-name Dana --admin-family-name Whitfield`,
		Args: noArgs,
	}
	path := configFlag(cmd)
	name := cmd.Flags().StringP("realm", "r", "", "the realm of the staff (needed)")
	cmd.Flags().StringVar(&p.Name, "name", "", "the practice's name, as letters show it (needed)")
	cmd.Flags().StringVar(&p.SupportPhone, "phone", "", "whom guardians call")
	cmd.Flags().StringVar(&first.LoginEmail, "admin-email", "", "the administrator's login email (needed)")
	cmd.Flags().StringVar(&first.GivenName, "admin-given-name", "", "the administrator's first name (needed)")
	cmd.Flags().StringVar(&first.FamilyName, "admin-family-name", "", "and last name (needed)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *name == "" || p.Name == "" || first.LoginEmail == "" || first.GivenName == "" || first.FamilyName == "" {
			return usageError{errors.New("say --realm, --name, --admin-email, --admin-given-name and --admin-family-name")}
		}
		return withKeys(cmd.Context(), *path, *name, func(cfg *config.Config, db *database.DB, realms []*realm.Realm) error {
			r := realms[0]
			if r.Kind != realm.Practice {
				return usageError{fmt.Errorf("the realm %s is not one for staff", r.Name)}
			}
			o, err := server.NewOperator(cfg, db, newLogger(cfg))
			if err != nil {
				return err
			}
			added, err := o.AddPractice(cmd.Context(), r, p, first)
			switch {
			case errors.Is(err, account.ErrEmailTaken):
				return fmt.Errorf("the realm %s has an account with the login email %s already", r.Name, first.LoginEmail)
			case errors.Is(err, account.ErrEmail), errors.Is(err, account.ErrName), errors.Is(err, practice.ErrValue):
				return usageError{err}
			case err != nil:
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "added: %s (%s); invited: %s\n", added.Name, added.ID, first.LoginEmail)
			return nil
		})
	}
	return cmd
}
