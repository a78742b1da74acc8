package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/portico-id/portico/config"
	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/server"
)

func newAccount() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "account",
		Short: "look at an account, and unfreeze it",
		Long: `For the accounts that nobody else can help: most of all for a practice's only
administrator, whose account was frozen by the link “this wasn't me” of a notice.
Guardians are helped by their practice, staff by another administrator.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newAccountShow(), newAccountUnfreeze())
	return cmd
}

func newAccountShow() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show --realm NAME --email ADDRESS",
		Short: "say in which state an account is",
		Long: `Says whether an account is active and whether it is frozen, when its person last
signed in, and how many second factors it has. It knows no secrets. That somebody
looked is recorded.

Ends with 1 when the realm has no account with the address.`,
		Example: "  idp account show --config idp.yaml --realm practice --email dana@maple.example.test",
		Args:    noArgs,
	}
	of := accountFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return of.do(cmd.Context(), func(ctx context.Context, o *server.Operator, r *realm.Realm) error {
			a, factors, err := o.Account(ctx, r, of.email)
			if err != nil {
				return err
			}
			app := "none"
			if factors.TOTP {
				app = "set up"
			}
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			for _, line := range [][2]string{
				{"account", a.ID.String()}, {"realm", a.Realm}, {"login email", a.LoginEmail}, {"state", string(a.State)},
				{"frozen since", moment(a.FrozenAt)}, {"login email changed", moment(a.EmailChangedAt)}, {"last signed in", moment(a.LastSignedInAt)},
				{"authenticator app", app}, {"passkeys", fmt.Sprint(factors.Passkeys)}, {"recovery codes left", fmt.Sprint(factors.RecoveryCodes)},
			} {
				fmt.Fprintf(table, "%s\t%s\n", line[0], line[1])
			}
			return table.Flush()
		})
	}
	return cmd
}

func newAccountUnfreeze() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "unfreeze --realm NAME --email ADDRESS --reason TEXT",
		Short: "let the person of a frozen account in again",
		Long: `Opens a frozen account again. First make sure who you are talking to, by another
way than mail, and that the login email is theirs: whoever reads its mail gets in.

What a thief may know or have set goes: the password always, the security answer
and second factors where they are not older than the oldest notice whose link still
worked, which may be the person's own. The person chooses a new password with
“Forgot your password?” and is told by mail, as soon as a server runs. Every
earlier link “this wasn't me” ends. The reason stays in a high-severity event of
the audit trail; say in it how you checked.

Ends with 1 when the realm has no such account, or the account is not frozen.`,
		Example: `  idp account unfreeze --config idp.yaml --realm practice \
    --email dana@maple.example.test --reason "called back at the number of the contract"`,
		Args: noArgs,
	}
	of := accountFlags(cmd)
	cmd.Flags().StringVar(&reason, "reason", "", "why, and how the person's identity was checked (needed)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		reason = strings.TrimSpace(reason)
		if of.realm == "" || of.email == "" || reason == "" {
			return usageError{errors.New("name the account with --realm and --email, and say with --reason how you checked who asks")}
		}
		if utf8.RuneCountInString(reason) > 500 || !utf8.ValidString(reason) {
			return usageError{errors.New("say why with --reason, in at most 500 characters")}
		}
		return of.do(cmd.Context(), func(ctx context.Context, o *server.Operator, r *realm.Realm) error {
			if err := o.Unfreeze(ctx, r, of.email, reason); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "unfrozen: %s in the realm %s\n", of.email, r.Name)
			return nil
		})
	}
	return cmd
}

// accountOf names an account as operators do.
type accountOf struct {
	path         *string
	realm, email string
}

func accountFlags(cmd *cobra.Command) *accountOf {
	of := &accountOf{path: configFlag(cmd)}
	cmd.Flags().StringVarP(&of.realm, "realm", "r", "", "the account's realm (needed)")
	cmd.Flags().StringVar(&of.email, "email", "", "its login email (needed)")
	return of
}

func (of *accountOf) do(ctx context.Context, do func(context.Context, *server.Operator, *realm.Realm) error) error {
	if of.realm == "" || of.email == "" {
		return usageError{errors.New("name the account with --realm and --email")}
	}
	return withKeys(ctx, *of.path, of.realm, func(cfg *config.Config, db *database.DB, realms []*realm.Realm) error {
		o, err := server.NewOperator(cfg, db, newLogger(cfg))
		if err != nil {
			return err
		}
		err = do(ctx, o, realms[0])
		switch {
		case errors.Is(err, account.ErrNotFound):
			return fmt.Errorf("the realm %s has no account with the login email %s", of.realm, of.email)
		case errors.Is(err, account.ErrState):
			return fmt.Errorf("%s is not frozen", of.email)
		}
		return err
	})
}

func moment(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04 UTC")
}
