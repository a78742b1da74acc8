package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"
	_ "time/tzdata" // machines without a time zone database show the practices' times too

	"github.com/portico-id/portico/internal/demo/mailbox"
	"github.com/portico-id/portico/internal/demo/patientportal"
	"github.com/portico-id/portico/internal/demo/practiceportal"
	"github.com/portico-id/portico/internal/demo/seed"
	"github.com/portico-id/portico/internal/locale"
	"github.com/portico-id/portico/templates"
)

// Provider is a provider that has been built and seeded.
type Provider interface {
	Run(ctx context.Context) error // serves until ctx ends, then drains
	Ready() <-chan struct{}        // closed when it serves
}

// Start builds the provider from a configuration text, whose env: values env
// looks up, and seeds it.
type Start func(ctx context.Context, yaml []byte, env func(string) (string, bool), data *seed.Data, log *slog.Logger) (Provider, error)

// drain is how long requests under way may take when the demo stops.
const drain = 5 * time.Second

// Run runs the demo until ctx ends. It prints what people need to know to out
// and logs to errOut.
func Run(ctx context.Context, o Options, start Start, out, errOut io.Writer) error {
	began := time.Now()
	if err := o.check(); err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(errOut, &slog.HandlerOptions{Level: o.LogLevel}))
	listeners, err := o.listen(ctx)
	if err != nil {
		return err
	}
	defer listeners.close()
	f, err := openFolder(o)
	if err != nil {
		return err
	}
	defer f.close()
	d := &demo{Options: o, folder: f, data: seed.Demo(), log: log, failed: make(chan error, 8)}
	if err := d.build(); err != nil {
		return err
	}
	if err := d.serve(ctx, listeners, start, func() { o.banner(out, d.data, f, time.Since(began)) }); err != nil {
		return err
	}
	fmt.Fprintln(out, "\nStopped.")
	return nil
}

// demo is one run.
type demo struct {
	Options
	folder  folder
	secrets *secrets
	data    *seed.Data
	log     *slog.Logger

	mailbox           *mailbox.Mailbox
	patient, practice http.Handler

	failed chan error // the first of what went wrong ends the run
}

func (d *demo) build() error {
	var err error
	if d.secrets, err = loadSecrets(d.folder.secrets, d.confidential()); err != nil {
		return err
	}
	zone, err := time.LoadLocation(zoneName)
	if err != nil {
		return fmt.Errorf("find the practices' time zone: %w", err)
	}
	words, err := locale.Load(templates.FS)
	if err != nil {
		return fmt.Errorf("read the security questions: %w", err)
	}
	question := func(key string) string { return words.T("en", "question."+key) }
	d.mailbox, err = mailbox.Open(mailbox.Options{Dir: d.folder.mail(), Host: d.Host, Zone: zone, Log: d.log,
		Facts: d.facts(d.data, d.secrets, question)})
	if err != nil {
		return fmt.Errorf("open the mailbox: %w", err)
	}
	d.patient, err = patientportal.New(patientportal.Config{
		BaseURL: d.patientURL(), Issuer: d.issuer(seed.PatientRealm), ClientID: patientClient,
		ClientSecret: d.secrets.Clients[seed.PatientRealm+"/"+patientClient], Zone: zone, Log: d.log,
	})
	if err != nil {
		return fmt.Errorf("build the Patient Portal: %w", err)
	}
	d.practice, err = practiceportal.New(practiceportal.Config{
		BaseURL: d.practiceURL(), Issuer: d.issuer(seed.PracticeRealm), ClientID: practiceClient,
		ClientSecret: d.secrets.Clients[seed.PracticeRealm+"/"+practiceClient], AdminAPI: d.adminAPI(), Zone: zone, Log: d.log,
	})
	if err != nil {
		return fmt.Errorf("build the Practice Portal: %w", err)
	}
	return nil
}

// serve starts everything, calls ready, waits, and stops everything: the
// portals first, the mailbox last, so that mails on their way still arrive.
func (d *demo) serve(ctx context.Context, l *listeners, start Start, ready func()) error {
	go func() { d.fail(d.mailbox.ServeSMTP(l.smtp)) }()
	open := make(chan struct{})
	pages := d.http(l.mailbox, gate(open, d.mailbox))
	portals := []*http.Server{d.http(l.patient, gate(open, d.patient)), d.http(l.practice, gate(open, d.practice))}
	defer func() {
		for _, s := range portals {
			stop(s.Shutdown)
		}
		stop(d.mailbox.Shutdown)
		stop(pages.Shutdown)
	}()

	yaml, err := d.configure()
	if err != nil {
		return err
	}
	l.releaseProvider()
	provider, err := start(ctx, yaml, d.environment(d.secrets, d.folder.database(d.Options)), d.data, d.log)
	if err != nil {
		return d.explain(err)
	}
	ended := make(chan error, 1)
	running, cancel := context.WithCancel(ctx)
	go func() { ended <- provider.Run(running) }()
	defer cancel()
	finish := func() error {
		for _, s := range portals {
			stop(s.Shutdown)
		}
		cancel()
		err := <-ended
		if errors.Is(err, context.Canceled) {
			return nil
		}
		return err
	}
	for up := provider.Ready(); ; {
		select {
		case <-up:
			close(open)
			ready()
			up = nil
		case err := <-ended:
			if ctx.Err() != nil && errors.Is(err, context.Canceled) {
				return nil
			}
			if err == nil && ctx.Err() == nil {
				err = errors.New("the provider stopped by itself")
			}
			return d.explain(err)
		case err := <-d.failed:
			return errors.Join(err, finish())
		case <-ctx.Done():
			return finish()
		}
	}
}

// explain adds the flag to an error about a port that somebody else took after
// it had been looked at.
func (d *demo) explain(err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%w; choose others with -port and -private-port", err)
	}
	return err
}

// gate lets requests wait until everything is there, so that a script that has
// read the facts can use them at once.
func gate(open <-chan struct{}, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-open:
			h.ServeHTTP(w, r)
		case <-r.Context().Done():
		}
	})
}

func (d *demo) http(l net.Listener, h http.Handler) *http.Server {
	s := &http.Server{
		Handler: ownHost(h), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second,
		WriteTimeout: 60 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(d.log.Handler(), slog.LevelDebug),
	}
	go func() {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			d.fail(err)
		}
	}()
	return s
}

func (d *demo) fail(err error) {
	if err != nil {
		select {
		case d.failed <- err:
		default:
		}
	}
}

func stop(shutdown func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	_ = shutdown(ctx) // what is still open after that is cut off with the process
}

// listeners are the demo's open ports.
type listeners struct {
	patient, practice, mailbox, smtp net.Listener
	provider                         []net.Listener // only held to find out early that they are taken
}

// listen opens every port, or says which is taken and how to change it.
func (o Options) listen(ctx context.Context) (*listeners, error) {
	l := &listeners{}
	for _, s := range o.services() {
		var lc net.ListenConfig
		opened, err := lc.Listen(ctx, "tcp", o.address(s.port))
		if err != nil {
			l.close()
			if errors.Is(err, syscall.EADDRINUSE) {
				return nil, fmt.Errorf("port %d, for %s, is in use by another program: stop that program, or choose another port with -%s", s.port, s.name, s.flag)
			}
			return nil, fmt.Errorf("port %d, for %s, cannot be opened: %w; -%s and -host change it", s.port, s.name, err, s.flag)
		}
		switch s.flag {
		case "patient-port":
			l.patient = opened
		case "practice-port":
			l.practice = opened
		case "mailbox-port":
			l.mailbox = opened
		case "smtp-port":
			l.smtp = opened
		default:
			l.provider = append(l.provider, opened)
		}
	}
	return l, nil
}

// releaseProvider gives the provider's ports free for the provider itself.
func (l *listeners) releaseProvider() {
	for _, each := range l.provider {
		each.Close()
	}
	l.provider = nil
}

func (l *listeners) close() {
	l.releaseProvider()
	for _, each := range []net.Listener{l.patient, l.practice, l.mailbox, l.smtp} {
		if each != nil {
			each.Close()
		}
	}
}
