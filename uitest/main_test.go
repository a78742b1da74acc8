package uitest

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"
)

// browser is the context of the one Chromium that all tests share; each test
// has a browser context, with cookies of its own, in it.
var browser context.Context

// demoBinary builds the demo once and returns its path.
var demoBinary = sync.OnceValues(buildDemo)

// workDir holds the built demo and its data; it is removed at the end.
var workDir string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	bin, err := findChromium()
	if err != nil {
		if os.Getenv("CI") != "" {
			fmt.Fprintf(os.Stderr, "uitest: %v, and in CI skipping is failing\n", err)
			return 1
		}
		fmt.Printf("uitest: skipped: %v\n", err)
		return 0
	}
	if workDir, err = os.MkdirTemp("", "portico-uitest-"); err != nil {
		fmt.Fprintln(os.Stderr, "uitest:", err)
		return 1
	}
	defer os.RemoveAll(workDir)
	stale, _ := filepath.Glob(filepath.Join("screenshots", "FAILED.*"))
	for _, file := range stale {
		os.Remove(file)
	}
	stop, err := startBrowser(bin)
	if err != nil {
		fmt.Fprintln(os.Stderr, "uitest: start Chromium:", err)
		return 1
	}
	defer stop()
	// A journey waits more than it computes: for pages, mails, hashes.
	flag.Parse()
	if parallel := flag.Lookup("test.parallel"); parallel.Value.String() == parallel.DefValue {
		_ = flag.Set("test.parallel", "4") // a number is always right
	}
	code := m.Run()
	if code == 0 && wholeRun() {
		missing := covered.unseen(excused)
		for _, line := range missing {
			fmt.Println("uitest: in the browser,", line)
		}
		if len(missing) > 0 {
			return 1
		}
	}
	return code
}

// findChromium returns the path of a Chromium or Chrome.
func findChromium() (string, error) {
	names := []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "headless-shell"}
	if runtime.GOOS == "darwin" {
		names = append(names,
			"/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
			"/Applications/Chromium.app/Contents/MacOS/Chromium")
	}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("no Chromium found; `make test` installs it")
}

func startBrowser(bin string) (stop func(), err error) {
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(bin),
		chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("hide-scrollbars", true),
		// The mails' addresses are plain http on localhost; nothing else may be reached.
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1"),
	)
	if os.Geteuid() == 0 {
		opts = append(opts, chromedp.NoSandbox) // Chromium's sandbox refuses root
	}
	actx, cancelAllocator := chromedp.NewExecAllocator(context.Background(), opts...)
	ctx, cancel := chromedp.NewContext(actx)
	stop = func() { cancel(); cancelAllocator() }
	if err := chromedp.Do(ctx); err != nil {
		stop()
		return nil, err
	}
	browser = ctx
	return stop, nil
}

func buildDemo() (string, error) {
	out := filepath.Join(workDir, "demo")
	build := exec.Command("go", "build", "-o", out, "./cmd/demo")
	build.Dir = ".." // the server's module
	build.Env = append(os.Environ(), "GOWORK=off")
	if text, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the demo: %w\n%s", err, bytes.TrimSpace(text))
	}
	return out, nil
}
