package server_test

import (
	"errors"
	"testing"

	"github.com/portico-id/portico/config"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/server"
)

// start builds a provider and reports how that went.
func start(t *testing.T, s settings, o server.Options) error {
	t.Helper()
	cfg, err := config.Parse("idp.yaml", []byte(s.yaml), s.lookup)
	if err != nil {
		t.Fatal(err)
	}
	o.Logger = (&logBuffer{}).logger()
	srv, err := server.New(t.Context(), cfg, o)
	if err == nil {
		srv.Close()
	}
	return err
}

func TestAnotherPepperIsNoticedAtTheStart(t *testing.T) {
	t.Parallel()
	for _, engine := range engines {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			right := newSettings(seeded(t, engine), startMail(t), "")
			if err := start(t, right, server.Options{}); err != nil {
				t.Fatalf("the pepper it was seeded with: %v", err)
			}
			wrong := newSettings(right.dsn, startMail(t), "")
			wrong.env["PEPPER"] = randomKey()
			if err := start(t, wrong, server.Options{}); !errors.Is(err, server.ErrPepper) {
				t.Errorf("another pepper: %v", err)
			}
			if err := start(t, wrong, server.Options{NewPepper: true}); err != nil {
				t.Errorf("another pepper, on purpose: %v", err)
			}
		})
	}
}

func TestADatabaseWithoutPeopleTakesAnyPepper(t *testing.T) {
	t.Parallel()
	for engine, url := range map[string]func(testing.TB) string{"sqlite": dbtest.SQLiteURL, "postgres": dbtest.PostgresURL} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			s := newSettings(url(t), startMail(t), "")
			s.env["PEPPER"] = randomKey()
			if err := start(t, s, server.Options{}); err != nil {
				t.Errorf("nobody has a password yet: %v", err)
			}
			if err := start(t, s, server.Options{NoMigrate: true}); err != nil {
				t.Errorf("tables of this version: %v", err)
			}
		})
	}
}
