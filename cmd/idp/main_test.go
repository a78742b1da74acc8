package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/portico-id/portico/internal/server"
)

func TestCommandsSayWhatIsMissing(t *testing.T) {
	path := configured(t)
	for _, args := range [][]string{
		{"keys", "list"}, {"keys", "rotate", "--realm", "patient"}, {"restored"},
		{"account", "show", "--realm", "practice", "--email", "dana@maple.example.test"},
	} {
		if _, err := idp(t, append(args, "--config", path)...); !errors.Is(err, server.ErrSchema) || !strings.Contains(err.Error(), "idp migrate") {
			t.Errorf("%v before the tables exist: %v", args, err)
		}
	}
}

func TestAWrongCallIsToldWhereHelpIs(t *testing.T) {
	for call, want := range map[string]string{
		"check idp.yaml":     `idp check takes flags only, found "idp.yaml"; see: idp check --help`,
		"keys revoke":        `idp keys has no command "revoke"; see: idp keys --help`,
		"start":              `idp has no command "start"; see: idp --help`,
		"serve --port 80":    `unknown flag: --port; see: idp serve --help`,
		"account unfreeze":   `name the account with --realm and --email, and say with --reason`,
		"account show -r a":  `name the account with --realm and --email`,
		"keys rotate":        `name the realm with --realm`,
		"practice add --foo": `see: idp practice add --help`,
	} {
		var usage usageError
		if _, err := idp(t, strings.Fields(call)...); !errors.As(err, &usage) || !strings.Contains(err.Error(), want) {
			t.Errorf("idp %s: %v, want %s", call, err, want)
		}
	}
}
