package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/portico-id/portico/internal/server"
)

func TestTheFirstAdministratorIsInvited(t *testing.T) {
	path := installed(t)
	add := func(more ...string) (string, error) {
		return idp(t, append([]string{"practice", "add", "--config", path, "--name", "Maple Street Clinic",
			"--admin-given-name", "Dana", "--admin-family-name", "Whitfield"}, more...)...)
	}
	var usage usageError
	for what, flags := range map[string][]string{
		"no address":             {"--realm", "practice"},
		"a realm of guardians":   {"--realm", "patient", "--admin-email", "dana@maple.example.test"},
		"an address that is not": {"--realm", "practice", "--admin-email", "dana"},
	} {
		if out, err := add(flags...); !errors.As(err, &usage) {
			t.Errorf("%s: %q %v", what, out, err)
		}
	}
	out, err := add("--realm", "practice", "--admin-email", "Dana@maple.example.test")
	if err != nil || !strings.Contains(out, "added: Maple Street Clinic (") {
		t.Fatal(out, err)
	}
	if _, err := add("--realm", "practice", "--admin-email", "dana@maple.example.test"); err == nil || errors.As(err, &usage) {
		t.Errorf("a second time: %v", err)
	}
	cfg, err := load(path)
	if err != nil {
		t.Fatal(err)
	}
	db, err := server.OpenDatabase(t.Context(), cfg, newLogger(cfg))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for query, want := range map[string]int64{
		`SELECT COUNT(*) FROM practices`:                                                        1,
		`SELECT COUNT(*) FROM staff_roles WHERE role = 'administrator'`:                         1,
		`SELECT COUNT(*) FROM accounts WHERE state = 'invited'`:                                 1,
		`SELECT COUNT(*) FROM mail_outbox WHERE kind = 'invite' AND state = 'queued'`:           1,
		`SELECT COUNT(*) FROM audit_events WHERE kind = 'practice.added' AND severity = 'high'`: 1,
	} {
		var n int64
		if err := db.QueryRow(t.Context(), query).Scan(&n); err != nil || n != want {
			t.Errorf("%s: %d %v", query, n, err)
		}
	}
}
