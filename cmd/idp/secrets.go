package main

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"

	"github.com/spf13/cobra"
)

func newSecrets() *cobra.Command {
	return &cobra.Command{
		Use:   "secrets",
		Short: "make the secrets that a new installation needs",
		Long: `Prints freshly made secrets as NAME=value lines, for an environment file that
only the operator can read. They are made once: without the key-encryption key
the signing keys in the database are lost, and without the pepper nobody can
sign in.`,
		Example: "  (umask 077; idp secrets > .env)",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out := cmd.OutOrStdout()
			for _, name := range []string{"PORTICO_KEY_ENCRYPTION_KEY", "PORTICO_PEPPER"} {
				fmt.Fprintf(out, "%s=%s\n", name, base64.StdEncoding.EncodeToString(random(32)))
			}
			// Not every client encodes a plus sign in its secret on its way here.
			for _, name := range []string{"PATIENT_PORTAL_SECRET", "PRACTICE_PORTAL_SECRET", "RECORDS_SYNC_SECRET"} {
				fmt.Fprintf(out, "%s=%s\n", name, hex.EncodeToString(random(32)))
			}
			fmt.Fprintf(out, "PORTICO_DATABASE_PASSWORD=%s\n", hex.EncodeToString(random(24)))
			return nil
		},
	}
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the program instead
	return b
}
