package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/portico-id/portico/config"
	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/password"
	"github.com/portico-id/portico/internal/practice"
)

// Options adjust New.
type Options struct {
	Logger    *slog.Logger // nil: slog.Default()
	NoMigrate bool         // refuse to start instead of updating the tables
	NewPepper bool         // start although the passwords were hashed with another pepper
}

// Server is a built provider. Run it once.
type Server struct {
	cfg     *config.Config
	log     *slog.Logger
	db      *database.DB
	reg     *prometheus.Registry
	rooms   *rooms
	handler http.Handler

	public, private net.Listener
	ready           chan struct{}
	stopTracing     func(context.Context) error
	close           sync.Once
}

// ErrSchema says that the database's tables are older than this version.
var ErrSchema = errors.New("the tables are older than this version; run: idp migrate")

// ErrPepper says that nobody's password would match.
var ErrPepper = errors.New("the passwords in the database were hashed with another pepper: put that one back; if it is lost for good, see idp serve --help (--new-pepper)")

// New builds a server from a configuration: it opens the database, updates its
// tables, makes missing signing keys, and takes its ports. Call Run, or Close
// when there is nothing to run after all.
func New(ctx context.Context, cfg *config.Config, o Options) (_ *Server, err error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	s := &Server{cfg: cfg, log: o.Logger, ready: make(chan struct{}), reg: newRegistry()}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	// The ports first: a second copy must not touch the database of the first.
	if err := s.listen(ctx); err != nil {
		return nil, err
	}
	if s.stopTracing, err = startTracing(ctx, cfg.Telemetry.Traces, cfg.Telemetry.Endpoint); err != nil {
		return nil, err
	}
	if s.db, err = OpenDatabase(ctx, cfg, s.log); err != nil {
		return nil, err
	}
	// Templates and the like before the tables are touched.
	if s.rooms, err = build(cfg, s.db, s.reg, s.log); err != nil {
		return nil, err
	}
	if err := s.schema(ctx, o.NoMigrate); err != nil {
		return nil, err
	}
	if err := s.pepper(ctx, o.NewPepper); err != nil {
		return nil, err
	}
	if err := s.rooms.keys.Ensure(ctx, cfg.Realms()...); err != nil {
		return nil, fmt.Errorf("signing keys: %w", err)
	}
	if err := s.rooms.testPeople(ctx, cfg); err != nil {
		return nil, fmt.Errorf("test people: %w", err)
	}
	s.handler = s.rooms.routes(cfg, s.reg)
	return s, nil
}

func (s *Server) listen(ctx context.Context) (err error) {
	if s.public, err = listen(ctx, s.cfg.Listen, "listen"); err != nil {
		return err
	}
	s.private, err = listen(ctx, s.cfg.PrivateListen, "private_listen")
	return err
}

func (s *Server) schema(ctx context.Context, refuse bool) error {
	if refuse {
		return CheckSchema(ctx, s.db)
	}
	applied, err := Migrate(ctx, s.db)
	if err != nil {
		return err
	}
	if len(applied) > 0 {
		s.log.Info("tables updated", "steps", len(applied), "last", applied[len(applied)-1].Name)
	}
	return nil
}

// pepper refuses another pepper than that of the stored passwords: nobody could
// sign in, and what is chosen meanwhile would be lost to the other copies.
func (s *Server) pepper(ctx context.Context, accept bool) error {
	err := s.rooms.accounts.CheckPepper(ctx)
	if errors.Is(err, password.ErrPepper) && accept {
		s.log.Warn("the passwords in the database were hashed with another pepper: people need new ones")
		return nil
	}
	if errors.Is(err, password.ErrPepper) {
		return ErrPepper
	}
	return err
}

// Ready is closed when the server answers requests.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Handler is everything that is served in public, for tests without a port.
func (s *Server) Handler() http.Handler { return s.handler }

// PublicAddr and PrivateAddr are where the server listens.
func (s *Server) PublicAddr() net.Addr { return s.public.Addr() }

// PrivateAddr is where health and metrics are.
func (s *Server) PrivateAddr() net.Addr { return s.private.Addr() }

// DB, Accounts and Practices let a command seed the server before it runs.
func (s *Server) DB() *database.DB { return s.db }

// Accounts is the room of people; see DB.
func (s *Server) Accounts() *account.Service { return s.rooms.accounts }

// Practices is the room of practices and patients; see DB.
func (s *Server) Practices() *practice.Store { return s.rooms.practices }

// Close gives ports and database back without having run.
func (s *Server) Close() {
	s.close.Do(func() {
		for _, l := range []net.Listener{s.public, s.private} {
			if l != nil {
				l.Close()
			}
		}
		if s.stopTracing != nil {
			limit, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			if err := s.stopTracing(limit); err != nil {
				s.log.Warn("some traces were not delivered", "error", err)
			}
		}
		if s.db != nil {
			s.db.Close()
		}
	})
}

// Run serves until ctx ends, then shuts down in order: the listener closes and
// requests end, the workers stop, the database closes. It returns nil after an
// orderly end.
func (s *Server) Run(ctx context.Context) error {
	defer s.Close()
	tlsConf, err := tlsConfig(s.cfg.TLS.Cert, s.cfg.TLS.Key)
	if err != nil {
		return err
	}
	public := newHTTP(s.handler, s.log, s.cfg.Limits)
	public.TLSConfig = tlsConf
	private := newHTTP(localOnly(s.private.Addr(), privateHandler(s.db, s.reg)), s.log, s.cfg.Limits)

	workers, stopWorkers := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWorkers()
	var working sync.WaitGroup
	for _, w := range s.rooms.workers(s.log) {
		working.Go(func() { keepRunning(workers, s.log, w) })
	}

	group, serving := errgroup.WithContext(ctx)
	group.Go(func() error { return serve(public, s.public) })
	group.Go(func() error { return serve(private, s.private) })
	group.Go(func() error {
		<-serving.Done()
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.Limits.Drain)
		defer cancel()
		err := public.Shutdown(limit)
		if err != nil {
			err = fmt.Errorf("requests were cut off after %s: %w", s.cfg.Limits.Drain, err)
			public.Close()
		}
		private.Close()
		return err
	})
	s.log.Info("serving", "public", s.public.Addr().String(), "private", s.private.Addr().String(), "database", string(s.db.Engine()))
	close(s.ready)
	err = group.Wait()
	stopWorkers()
	working.Wait()
	s.log.Info("stopped")
	return err
}

func serve(h *http.Server, l net.Listener) error {
	var err error
	if h.TLSConfig != nil {
		err = h.ServeTLS(l, "", "")
	} else {
		err = h.Serve(l)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
