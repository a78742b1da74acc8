package main

import (
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/server"
)

// installed writes a configuration, makes its tables and returns its path.
func installed(t *testing.T) string {
	t.Helper()
	path := configured(t)
	if out, err := idp(t, "migrate", "--config", path); err != nil {
		t.Fatal(out, err)
	}
	return path
}

// configured is an installation whose tables nobody has made yet.
func configured(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "idp.yaml")
	t.Setenv("KEK", base64.StdEncoding.EncodeToString(random(32)))
	t.Setenv("PEPPER", base64.StdEncoding.EncodeToString(random(32)))
	text := `database: {url: "sqlite:` + filepath.Join(dir, "portico.db") + `"}
key_encryption_key: env:KEK
pepper: env:PEPPER
log: {level: error}
mail: {from: no-reply@example.test, smtp: {host: localhost, tls: none}}
realms:
  - {name: patient, issuer: "http://localhost:9000/patient"}
  - {name: practice, issuer: "http://localhost:9000/practice"}
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTheOperatorUnfreezesAnAccount(t *testing.T) {
	path := installed(t)
	cfg, err := load(path)
	if err != nil {
		t.Fatal(err)
	}
	db, err := server.OpenDatabase(t.Context(), cfg, newLogger(cfg))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	_, err = db.Exec(t.Context(), `
		INSERT INTO accounts (id, realm, login_email, state, given_name, created_at, updated_at, frozen_at)
		VALUES ($1, 'practice', 'dana@maple.example.test', 'active', 'Dana', $2, $2, $2)`, database.NewID(), db.Now(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	of := []string{"--config", path, "--realm", "practice", "--email", "Dana@maple.example.test"}
	show := func() string {
		t.Helper()
		out, err := idp(t, append([]string{"account", "show"}, of...)...)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(strings.Fields(out), " ")
	}
	if out := show(); !strings.Contains(out, "state active frozen since 2") || !strings.Contains(out, "passkeys 0") || !strings.Contains(out, "last signed in -") {
		t.Errorf("frozen: %s", out)
	}
	unfreeze := append([]string{"account", "unfreeze"}, of...)
	var usage usageError
	for _, args := range [][]string{unfreeze, append(unfreeze, "--reason", " "), append(unfreeze, "--reason", strings.Repeat("x", 501)),
		{"account", "show", "--config", path}, {"account", "show", "--config", path, "--realm", "other", "--email", "x@example.test"},
		append(unfreeze, "--reason", "x", "stray")} {
		if _, err := idp(t, args...); !errors.As(err, &usage) {
			t.Errorf("%v: %v", args, err)
		}
	}
	if out := show(); !strings.Contains(out, "frozen since 2") {
		t.Errorf("a wrong call did something: %s", out)
	}
	stranger := []string{"account", "unfreeze", "--config", path, "--realm", "patient", "--email", "dana@maple.example.test", "--reason", "x"}
	if _, err := idp(t, stranger...); err == nil || errors.As(err, &usage) || !strings.Contains(err.Error(), "no account") {
		t.Errorf("another realm: %v", err)
	}
	if out, err := idp(t, append(unfreeze, "--reason", "called back")...); err != nil || !strings.Contains(out, "unfrozen") {
		t.Fatal(out, err)
	}
	if out := show(); !strings.Contains(out, "frozen since -") {
		t.Errorf("unfrozen: %s", out)
	}
	if _, err := idp(t, append(unfreeze, "--reason", "again")...); err == nil || errors.As(err, &usage) || errors.Is(err, account.ErrNotFound) {
		t.Errorf("twice: %v", err)
	}
	var events, letters int64
	if err := db.QueryRow(t.Context(), `
		SELECT (SELECT COUNT(*) FROM audit_events WHERE kind = 'account.unfrozen' AND severity = 'high' AND actor = 'system' AND details LIKE '%called back%'),
			(SELECT COUNT(*) FROM mail_outbox WHERE kind = 'account_unfrozen' AND recipient = 'dana@maple.example.test')`).Scan(&events, &letters); err != nil {
		t.Fatal(err)
	}
	if events != 1 || letters != 1 {
		t.Errorf("%d events and %d letters", events, letters)
	}
	help, err := idp(t, "account", "unfreeze", "--help")
	if err != nil || !strings.Contains(help, "make sure who you are talking to") || !strings.Contains(help, "--reason") {
		t.Errorf("help: %s", help)
	}
}
