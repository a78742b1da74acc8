package server_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/portico-id/portico/config"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/server"
)

// childConfig is the environment variable that makes the test binary a server
// with the configuration of that name.
const childConfig = "PORTICO_TEST_SERVE"

// childClock is how far ahead the child's clock is.
const childClock = "PORTICO_TEST_CLOCK"

func serveAsChild(path string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	cfg, err := config.Load(path, os.LookupEnv)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	log := &logBuffer{}
	srv, err := server.New(ctx, cfg, server.Options{Logger: log.logger()})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if ahead, err := time.ParseDuration(os.Getenv(childClock)); err == nil {
		dbtest.Advance(srv.DB(), ahead)
	}
	go func() {
		<-srv.Ready()
		fmt.Println("ready")
	}()
	if err := srv.Run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// child is a server in a process of its own, which can be killed.
type child struct {
	*world
	file  string
	cmd   *exec.Cmd
	later time.Duration
}

// newChild prepares one on a seeded database in a file. Nothing runs yet.
func newChild(t *testing.T) *child {
	t.Helper()
	c := &child{world: &world{settings: newSettings(seeded(t, "sqlite"), startMail(t), ""), log: &logBuffer{}, http: newClient()}}
	c.file = filepath.Join(t.TempDir(), "idp.yaml")
	if err := os.WriteFile(c.file, []byte(c.yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.kill)
	return c
}

// start runs the server and waits until it is ready.
func (c *child) start(t testing.TB) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c.cmd = exec.Command(self)
	c.cmd.Env = append(os.Environ(), childConfig+"="+c.file, childClock+"="+c.later.String())
	for name, value := range c.env {
		c.cmd.Env = append(c.cmd.Env, name+"="+value)
	}
	c.cmd.Stderr = os.Stderr
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || strings.TrimSpace(line) != "ready" {
		rest, _ := io.ReadAll(out)
		t.Fatalf("the server did not start: %v %s%s", err, line, rest)
	}
}

// kill ends the process without a warning: kill -9.
func (c *child) kill() {
	if c.cmd == nil {
		return
	}
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
	c.cmd = nil
	c.http.Transport.(*http.Transport).CloseIdleConnections()
}

// revive starts it again half a minute later, when the lease on a letter that
// a killed worker had in its hands has run out.
func (c *child) revive(t testing.TB) {
	t.Helper()
	c.later += 31 * time.Second
	c.start(t)
}
