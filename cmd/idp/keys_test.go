package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// idp runs a command as the shell would.
func idp(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(&out)
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

func TestKeysAreListedAndRotated(t *testing.T) {
	path := installed(t)
	out, err := idp(t, "keys", "rotate", "--config", path, "--realm", "patient")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(out, "published, signs from") != 2 || strings.Count(out, "signs until") != 2 || strings.Contains(out, "practice") {
		t.Errorf("a rotation:\n%s", out)
	}
	again, err := idp(t, "keys", "rotate", "--config", path, "--realm", "patient")
	if err != nil || again != out {
		t.Errorf("rotating while a rotation is under way: %v\n%s", err, again)
	}
	soon, err := idp(t, "keys", "rotate", "--config", path, "--realm", "patient", "--now")
	if err != nil || strings.Count(soon, "published, signs from") != 2 || soon == out {
		t.Errorf("--now: %v\n%s", err, soon)
	}
	all, err := idp(t, "keys", "list", "--config", path)
	if err != nil || all != soon {
		t.Errorf("list: %v\n%s", err, all)
	}
	for _, args := range [][]string{{"keys", "rotate", "--config", path}, {"keys", "rotate", "--config", path, "--realm", "other"}} {
		var usage usageError
		if _, err := idp(t, args...); !errors.As(err, &usage) {
			t.Errorf("%v: %v", args, err)
		}
	}
}
