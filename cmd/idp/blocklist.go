package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/portico-id/portico/internal/password"
)

func newBlocklist() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "blocklist",
		Short: "work with lists of passwords that are refused",
		Long: `Portico refuses new passwords that are easy to guess: a list of more than
170,000 is built in. Larger ones are the operator's to add, under
passwords.blocklists in the configuration: text files with one password per
line, and filters that "idp blocklist build" made of a breach corpus.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newBlocklistBuild())
	return cmd
}

func newBlocklistBuild() *cobra.Command {
	var from, out, format string
	var o password.FilterOptions
	cmd := &cobra.Command{
		Use:   "build --from FILE --out FILE",
		Short: "make a compact filter from a file of breached passwords",
		Long: `Reads a file of breached passwords and writes a filter that Portico can hold in
memory, to refuse these passwords without asking anybody on the network.

The input is text, as it is or gzipped, of any length:

  - SHA-1 hashes as Have I Been Pwned publishes them, HASH:COUNT on each line.
    Its own downloader, HaveIBeenPwned/PwnedPasswordsDownloader on GitHub, writes
    that file; take SHA-1, not NTLM. --min-count leaves rare ones out.
  - Passwords, one per line, in UTF-8. They are found in any case, as in a text
    list; hashes can only be found as they were typed, or in lower case.

A filter never misses a password of the input, and takes a few others for one:
of the good passwords that people choose, one in --false-positives at most. The
exact rate is printed. At the default rate a filter takes about 2.5 bytes per
password, on disk and in the memory of each running copy (leave as much again
free for the garbage collector); ten times fewer mistakes cost half a byte more.

The input is read once and sorted on disk: --temp-dir needs room for 8 bytes per
password, or 16 for passwords that are not in lower case. The output is replaced
in one step when all is done, so a server that starts meanwhile reads the old
one. Then name it in the configuration and restart the server:

  passwords:
    blocklists:
      - /etc/portico/breached.filter`,
		Example: `  idp blocklist build --from pwnedpasswords.txt --out /etc/portico/breached.filter
  idp blocklist build --from pwnedpasswords.txt --min-count 10 --out frequent.filter
  zstdcat leaked.txt.zst | idp blocklist build --from - --format plain --out leaked.filter`,
		Args: noArgs,
	}
	flags := cmd.Flags()
	flags.StringVar(&from, "from", "", "the file with breached passwords; - for standard input")
	flags.StringVar(&out, "out", "", "the filter to write")
	flags.StringVar(&format, "format", string(password.BreachAuto), "what the lines are: sha1, plain, or auto to tell by the first one")
	flags.Uint64Var(&o.MinCount, "min-count", 1, "leave out what was seen less often; needs the counts of HASH:COUNT lines")
	flags.Uint64Var(&o.FalsePositives, "false-positives", password.DefaultFalsePositives,
		fmt.Sprintf("refuse at most one good password in so many; %d to %d", password.MinFalsePositives, password.MaxFalsePositives))
	flags.IntVar(&o.MemoryMiB, "memory", 128, "memory for sorting, in MiB; 16 to 65536")
	flags.StringVar(&o.TempDir, "temp-dir", "", "folder for sorting (default: the folder of --out)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		o.Format = password.BreachFormat(format)
		switch {
		case from == "" || out == "":
			return usageError{errors.New("say which file to read with --from, and which to write with --out")}
		case o.Format != password.BreachAuto && o.Format != password.BreachSHA1 && o.Format != password.BreachPlain:
			return usageError{errors.New("--format is auto, sha1 or plain")}
		case o.FalsePositives < password.MinFalsePositives || o.FalsePositives > password.MaxFalsePositives:
			return usageError{fmt.Errorf("--false-positives is %d to %d", password.MinFalsePositives, password.MaxFalsePositives)}
		case o.MemoryMiB < 16 || o.MemoryMiB > 65536:
			return usageError{errors.New("--memory is 16 to 65536 MiB")}
		}
		return buildBlocklist(cmd, from, out, o)
	}
	return cmd
}

func buildBlocklist(cmd *cobra.Command, from, out string, o password.FilterOptions) error {
	in, size, err := openBreachFile(cmd, from, out)
	if err != nil {
		return err
	}
	defer in.Close()
	read := &countingReader{r: in}
	o.Progress = buildProgress(cmd.ErrOrStderr(), 5*time.Second, read, size)
	start := time.Now()
	stats, err := password.BuildFilter(cmd.Context(), read, out, o)
	if err != nil {
		return fmt.Errorf("build %s: %w", out, err)
	}
	w := cmd.OutOrStdout()
	fmt.Fprintf(w, "%s: %d entries in %.1f MiB\n", out, stats.Keys, float64(stats.Bytes)/(1<<20))
	fmt.Fprintf(w, "false positives: one good password in %d, each looked up with its lower-case spelling\n", stats.OneIn)
	fmt.Fprintf(w, "read %d lines (%s) in %s", stats.Lines, stats.Format, time.Since(start).Round(time.Second))
	if stats.Rare > 0 {
		fmt.Fprintf(w, "; left out %d seen less than %d times", stats.Rare, o.MinCount)
	}
	if stats.Unusable > 0 {
		fmt.Fprintf(w, "; left out %d that nobody can choose (too short, too long, not UTF-8)", stats.Unusable)
	}
	fmt.Fprintln(w)
	return nil
}

// openBreachFile opens the input and tells its size, 0 when it has none.
func openBreachFile(cmd *cobra.Command, from, out string) (io.ReadCloser, int64, error) {
	if from == "-" {
		return io.NopCloser(cmd.InOrStdin()), 0, nil
	}
	f, err := os.Open(from)
	if err != nil {
		return nil, 0, usageError{fmt.Errorf("--from: %w", err)}
	}
	info, err := f.Stat()
	if err != nil || info.IsDir() {
		_ = f.Close()
		return nil, 0, usageError{fmt.Errorf("--from: %s is not a file", from)}
	}
	if there, err := os.Stat(out); err == nil && os.SameFile(info, there) {
		_ = f.Close()
		return nil, 0, usageError{errors.New("--out would overwrite the file of --from")}
	}
	if !info.Mode().IsRegular() {
		return f, 0, nil
	}
	return f, info.Size(), nil
}

// countingReader counts what is read.
type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// buildProgress says from time to time how far a build is.
func buildProgress(w io.Writer, every time.Duration, read *countingReader, size int64) func(password.FilterStats) {
	next := time.Now().Add(every)
	return func(s password.FilterStats) {
		if time.Now().Before(next) {
			return
		}
		next = time.Now().Add(every)
		switch {
		case s.Written > 0:
			fmt.Fprintf(w, "writing: %d%% of %d passwords\n", 100*s.Written/s.Keys, s.Keys)
		case s.Keys > 0:
			fmt.Fprintf(w, "merging: %d passwords so far\n", s.Keys)
		case size > 0:
			fmt.Fprintf(w, "reading: %d%%, %d lines\n", min(100, 100*read.n/size), s.Lines)
		default:
			fmt.Fprintf(w, "reading: %d MiB, %d lines\n", read.n>>20, s.Lines)
		}
	}
}
