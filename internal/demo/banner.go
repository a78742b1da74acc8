package demo

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/portico-id/portico/internal/demo/seed"
)

// banner says where to go, who can sign in and how to stop.
func (o Options) banner(w io.Writer, d *seed.Data, f folder, took time.Duration) {
	fmt.Fprintf(w, "\nPortico's demo is ready, after %.1f s.\n\n", took.Seconds())
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "  Patient Portal\t%s\n", o.patientURL())
	fmt.Fprintf(t, "  Practice Portal\t%s\n", o.practiceURL())
	fmt.Fprintf(t, "  Mailbox\t%s\tevery mail lands here\n", o.mailboxURL())
	fmt.Fprintf(t, "  Facts for scripts\t%s/demo.json\tpeople, clients and their secrets\n", o.mailboxURL())
	fmt.Fprintf(t, "  Issuers\t%s\n\t%s\n", o.issuer(seed.PatientRealm), o.issuer(seed.PracticeRealm))
	fmt.Fprintf(t, "  Admin API\t%s/openapi.json\n", o.adminAPI())
	fmt.Fprintf(t, "  Health, metrics\t%s/readyz, /metrics\n", o.url(o.PrivatePort))
	t.Flush()
	for _, portal := range []struct{ realm, name string }{{seed.PatientRealm, "Patient Portal"}, {seed.PracticeRealm, "Practice Portal"}} {
		fmt.Fprintf(w, "\nSome of the people of the %s (all are invented):\n\n", portal.name)
		t = tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintf(t, "  EMAIL\tPASSWORD\tSECURITY ANSWER\tWHO\n")
		for _, a := range d.Accounts {
			if a.Realm == portal.realm && a.Featured {
				fmt.Fprintf(t, "  %s\t%s\t%s\t%s, %s\n", a.Email, orDash(a.Password), orDash(a.Answer), a.Name(), a.About)
			}
		}
		t.Flush()
	}
	fmt.Fprintln(w)
	switch {
	case f.kept:
		fmt.Fprintf(w, "Everything is kept in %s.\n", f.root)
	case o.DSN != "":
		fmt.Fprintf(w, "The database is yours; its secrets are kept in %s.\nMails are gone when you stop; -data FOLDER keeps them.\n", f.secrets)
	default:
		fmt.Fprintln(w, "Nothing is kept when you stop; -data FOLDER keeps it. -help lists more.")
	}
	fmt.Fprintln(w, "Press Ctrl-C to stop.")
}

func orDash(s string) string {
	if s == "" {
		return "–"
	}
	return s
}
