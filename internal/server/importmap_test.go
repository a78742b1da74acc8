package server_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/portico-id/portico/"

// floors is the map of docs/architecture.md from the ground up. A package may
// import what stands on a lower floor; what is beside or above it, it names by
// an interface of its own.
var floors = [][]string{
	{"migrations", "templates"},
	{"internal/secret", "internal/password", "internal/password/blocklist", "internal/database", "internal/locale", "internal/realm", "internal/outbound"},
	{"config", "internal/database/dbtest"},
	{"internal/audit", "internal/ratelimit", "internal/keyring", "internal/web", "internal/mail"},
	{"internal/session"},
	{"internal/account", "internal/practice"},
	{"internal/factor"},
	{"internal/oauth", "internal/signin", "internal/recovery", "internal/admin"},
	{"internal/server"},
	{"internal/demo"},
	{"cmd", "docs/examples/go"},
}

// besides are the few imports on one floor that the map allows, each with its
// reason.
var besides = map[string]string{
	"config -> internal/realm": "the configuration builds realms",
}

// apart must not know the provider at all: a customer could have written it.
var apart = []string{"internal/demo/patientportal", "internal/demo/practiceportal", "internal/demo/relyingparty", "internal/demo/mailbox", "internal/demo/look"}

func floorOf(pkg string) int {
	best, length := -1, -1
	for n, rooms := range floors {
		for _, room := range rooms {
			if (pkg == room || strings.HasPrefix(pkg, room+"/")) && len(room) > length {
				best, length = n, len(room)
			}
		}
	}
	return best
}

func within(pkg, room string) bool { return pkg == room || strings.HasPrefix(pkg, room+"/") }

func roomOf(pkg string) string {
	best := ""
	for _, rooms := range floors {
		for _, room := range rooms {
			if within(pkg, room) && len(room) > len(best) {
				best = room
			}
		}
	}
	return best
}

func TestImportsPointDownTheMap(t *testing.T) {
	list := exec.Command("go", "list", "-json=ImportPath,Imports,Doc", module+"...")
	list.Dir = "../.."
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	decode := json.NewDecoder(strings.NewReader(string(out)))
	seen := 0
	for {
		var p struct {
			ImportPath, Doc string
			Imports         []string
		}
		if err := decode.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		seen++
		pkg := strings.TrimPrefix(p.ImportPath, module)
		if p.Doc == "" {
			t.Errorf("%s has no package comment", pkg)
		}
		floor := floorOf(pkg)
		if floor < 0 {
			t.Errorf("%s stands nowhere on the map: add it to docs/architecture.md and here", pkg)
			continue
		}
		for _, path := range p.Imports {
			imported, ours := strings.CutPrefix(path, module)
			if !ours {
				if strings.HasPrefix(path, "github.com/ory/fosite") && !within(pkg, "internal/oauth") {
					t.Errorf("%s imports %s: fosite stays inside internal/oauth", pkg, path)
				}
				continue
			}
			for _, room := range apart {
				if within(pkg, room) && !within(imported, "internal/demo") {
					t.Errorf("%s imports %s, but it must stand on its own", pkg, imported)
				}
			}
			if roomOf(pkg) == roomOf(imported) || besides[pkg+" -> "+imported] != "" {
				continue
			}
			if floorOf(imported) >= floor {
				t.Errorf("%s imports %s, which is beside or above it", pkg, imported)
			}
		}
	}
	if seen < 10 {
		t.Fatalf("only %d packages found", seen)
	}
}
