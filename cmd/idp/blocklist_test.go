package main

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // what breach corpora are published in
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/portico-id/portico/internal/password"
)

// runCommand calls a command as the shell would.
func runCommand(t *testing.T, cmd *cobra.Command, stdin string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	root := &cobra.Command{Use: "idp", SilenceUsage: true, SilenceErrors: true}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(cmd)
	var out, errOut bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&errOut)
	root.SetIn(strings.NewReader(stdin))
	root.SetArgs(append([]string{cmd.Name()}, args...))
	err = root.ExecuteContext(t.Context())
	return out.String(), errOut.String(), err
}

func TestABlocklistIsBuiltAndRefusesWhatIsInIt(t *testing.T) {
	dir := t.TempDir()
	from, out := filepath.Join(dir, "pwned.txt"), filepath.Join(dir, "breached.filter")
	var lines strings.Builder
	for i, p := range []string{"harbour fog and thirteen gulls", "zebra lamp violin teapot"} {
		fmt.Fprintf(&lines, "%X:%d\r\n", sha1.Sum([]byte(p)), 1+9*i) //nolint:gosec // see above
	}
	if err := os.WriteFile(from, []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	check := func(typed string, want error) {
		t.Helper()
		f, err := os.Open(out)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		list, err := password.NewBlocklist(f)
		if err != nil {
			t.Fatal(err)
		}
		if err := list.Check(password.Policy{MinLength: 15}, typed, nil); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", typed, err, want)
		}
	}

	stdout, _, err := runCommand(t, newBlocklist(), "", "build", "--from", from, "--out", out)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{out + ": 2 entries", "one good password in 131072", "read 2 lines (sha1)"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is missing in %s", want, stdout)
		}
	}
	check("harbour fog and thirteen gulls", password.ErrCommon)

	stdout, _, err = runCommand(t, newBlocklist(), "", "build", "--from", from, "--out", out, "--min-count", "10", "--false-positives", "1000", "--memory", "16", "--temp-dir", t.TempDir())
	if err != nil || !strings.Contains(stdout, "left out 1 seen less than 10 times") || !strings.Contains(stdout, "one good password in 1024") {
		t.Errorf("%v: %s", err, stdout)
	}
	check("harbour fog and thirteen gulls", nil)
	check("zebra lamp violin teapot", password.ErrCommon)

	stdout, _, err = runCommand(t, newBlocklist(), "Blue heron under the bridge\nabc\n", "build", "--from", "-", "--out", out, "--format", "plain")
	if err != nil || !strings.Contains(stdout, "left out 1 that nobody can choose") {
		t.Errorf("%v: %s", err, stdout)
	}
	check("BLUE heron under the bridge", password.ErrCommon)
}

func TestBuildingABlocklistSaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	from, out := filepath.Join(dir, "list.txt"), filepath.Join(dir, "out")
	if err := os.WriteFile(from, []byte("harbour fog\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		usage bool
		args  []string
	}{
		"no files":             {true, nil},
		"no output":            {true, []string{"--from", from}},
		"an unknown flag":      {true, []string{"--from", from, "--out", out, "--fast"}},
		"a stray argument":     {true, []string{"--from", from, "--out", out, "more"}},
		"no such file":         {true, []string{"--from", from + "x", "--out", out}},
		"a folder":             {true, []string{"--from", dir, "--out", out}},
		"itself":               {true, []string{"--from", from, "--out", from}},
		"an unknown format":    {true, []string{"--from", from, "--out", out, "--format", "md5"}},
		"a rate too high":      {true, []string{"--from", from, "--out", out, "--false-positives", "2"}},
		"no memory":            {true, []string{"--from", from, "--out", out, "--memory", "1"}},
		"no hashes":            {false, []string{"--from", from, "--out", out, "--format", "sha1"}},
		"an output in nowhere": {false, []string{"--from", from, "--out", filepath.Join(dir, "none", "out")}},
	} {
		_, _, err := runCommand(t, newBlocklist(), "", append([]string{"build"}, c.args...)...)
		var usage usageError
		if err == nil || errors.As(err, &usage) != c.usage {
			t.Errorf("%s: %v", name, err)
		}
	}
	if content, _ := os.ReadFile(from); string(content) != "harbour fog\n" {
		t.Errorf("the input is now %q", content)
	}
	if _, err := os.Stat(out); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an output was left: %v", err)
	}
}

func TestProgressTellsTheStage(t *testing.T) {
	var w bytes.Buffer
	read := &countingReader{n: 5 << 20}
	for _, size := range []int64{10 << 20, 0} {
		tell := buildProgress(&w, 0, read, size)
		tell(password.FilterStats{Lines: 7})
		tell(password.FilterStats{Lines: 9, Keys: 4})
		tell(password.FilterStats{Lines: 9, Keys: 8, Written: 2})
	}
	const want = "reading: 50%, 7 lines\nmerging: 4 passwords so far\nwriting: 25% of 8 passwords\nreading: 5 MiB, 7 lines\nmerging: 4 passwords so far\nwriting: 25% of 8 passwords\n"
	if w.String() != want {
		t.Error(w.String())
	}
}
