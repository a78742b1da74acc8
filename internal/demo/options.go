package demo

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"

	"github.com/portico-id/portico/internal/realm"
)

// Options are what the command line says.
type Options struct {
	Data string // folder that keeps everything; "" for a temporary one
	DSN  string // database; "" for SQLite in the folder
	Host string // in every address, and what is listened on

	Port, PatientPort, PracticePort, MailboxPort, SMTPPort, PrivatePort int

	SecondStep bool // staff have to set up a second step

	LogLevel slog.Level
}

const help = `Portico's demo: the identity provider, two portals, a mailbox and invented people.

Usage: %s [flags]

  Without flags it runs on SQLite in a temporary folder and forgets everything
  when you stop it with Ctrl-C. It needs no other set-up.

  Keep everything between runs:   -data ./portico-data
  Run on PostgreSQL:              -dsn postgres://user:password@localhost:5432/portico
  A port is taken:                the flag that ends in -port for that service

Flags:
`

// flags declares the command line. The names of the port flags are also what a
// message about a taken port names.
func flags(name string, o *Options, out io.Writer) *flag.FlagSet {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.SetOutput(out)
	f.StringVar(&o.Data, "data", "", "`folder` that keeps the database, the mails and the secrets (default: a temporary one)")
	f.StringVar(&o.DSN, "dsn", "", "`url` of the database, postgres://… or sqlite:FILE (default: SQLite in the folder)")
	f.StringVar(&o.Host, "host", "localhost", "host `name` in every address; a loopback name, because the demo speaks plain http")
	f.IntVar(&o.Port, "port", 9000, "`port` of the provider: both issuers and the admin API")
	f.IntVar(&o.PatientPort, "patient-port", 9001, "`port` of the Patient Portal")
	f.IntVar(&o.PracticePort, "practice-port", 9002, "`port` of the Practice Portal")
	f.IntVar(&o.MailboxPort, "mailbox-port", 9003, "`port` of the mailbox's pages and of demo.json")
	f.IntVar(&o.SMTPPort, "smtp-port", 9025, "`port` on which the mailbox takes mail")
	f.IntVar(&o.PrivatePort, "private-port", 9004, "`port` of /healthz, /readyz and /metrics")
	f.BoolVar(&o.SecondStep, "second-step", false, "staff have to set up a second step at sign-in; without it everybody may")
	f.TextVar(&o.LogLevel, "log", slog.LevelWarn, "`level` of the log on the standard error: debug, info, warn or error")
	f.Usage = func() {
		fmt.Fprintf(out, help, name)
		f.PrintDefaults()
	}
	return f
}

// ErrHelp means that help was asked for and has been printed.
var ErrHelp = flag.ErrHelp

// ParseOptions reads the command line; help and mistakes are written to out.
func ParseOptions(name string, args []string, out io.Writer) (Options, error) {
	var o Options
	f := flags(name, &o, out)
	if err := f.Parse(args); err != nil {
		return Options{}, err
	}
	if f.NArg() > 0 {
		return Options{}, fmt.Errorf("%q is not a flag; -help lists them", f.Arg(0))
	}
	return o, o.check()
}

func (o Options) check() error {
	if !realm.Loopback(o.Host) {
		return fmt.Errorf("-host %s: the demo speaks plain http, so it may only be reached on this machine; use localhost or a name that ends in .localhost", o.Host)
	}
	if o.DSN != "" && !strings.HasPrefix(o.DSN, "sqlite:") && !strings.HasPrefix(o.DSN, "postgres://") && !strings.HasPrefix(o.DSN, "postgresql://") {
		return errors.New("-dsn: write postgres://user:password@host:5432/database, or sqlite:FILE")
	}
	taken := map[int]string{}
	for _, s := range o.services() {
		if s.port < 1 || s.port > 65535 {
			return fmt.Errorf("-%s %d: a port is between 1 and 65535", s.flag, s.port)
		}
		if other, twice := taken[s.port]; twice {
			return fmt.Errorf("-%s and -%s are both %d; give each a port of its own", other, s.flag, s.port)
		}
		taken[s.port] = s.flag
	}
	return nil
}

// service is something that listens.
type service struct {
	name, flag string
	port       int
}

func (o Options) services() []service {
	return []service{
		{"the provider", "port", o.Port},
		{"the Patient Portal", "patient-port", o.PatientPort},
		{"the Practice Portal", "practice-port", o.PracticePort},
		{"the mailbox", "mailbox-port", o.MailboxPort},
		{"the mailbox's SMTP server", "smtp-port", o.SMTPPort},
		{"the provider's private listener", "private-port", o.PrivatePort},
	}
}

// address is host:port, as net.Listen takes it.
func (o Options) address(port int) string {
	host := o.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return host + ":" + strconv.Itoa(port)
}

func (o Options) url(port int) string { return "http://" + o.address(port) }

// Addresses of the demo, each without a slash at the end.
func (o Options) providerURL() string { return o.url(o.Port) }
func (o Options) patientURL() string  { return o.url(o.PatientPort) }
func (o Options) practiceURL() string { return o.url(o.PracticePort) }
func (o Options) mailboxURL() string  { return o.url(o.MailboxPort) }
func (o Options) adminAPI() string    { return o.providerURL() + "/admin/v1" }

func (o Options) issuer(realm string) string { return o.providerURL() + "/" + realm }
