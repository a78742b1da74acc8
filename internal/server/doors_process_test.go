package server_test

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// idpBinary builds cmd/idp as it is shipped.
var idpBinary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "idp-")
	if err != nil {
		return "", err
	}
	forever.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "idp")
	build := exec.Command("go", "build", "-o", path, "./cmd/idp")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build idp: %w\n%s", err, out)
	}
	return path, nil
})

// process is the shipped program, running.
type process struct {
	*world
	pid int
	out *bytes.Buffer // what it printed, when it has ended
}

// serve starts the shipped program on a seeded database. change edits its
// configuration.
func serve(t testing.TB, dsn string, mail *mailServer, change func(yaml string) string) *process {
	t.Helper()
	binary, err := idpBinary()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{world: &world{settings: newSettings(dsn, mail, ""), http: newClient(), log: &logBuffer{}}, out: &bytes.Buffer{}}
	// As an operator would run it.
	p.yaml = strings.Replace(p.yaml, "argon2: {concurrency: 32}", "", 1)
	p.yaml = strings.Replace(p.yaml, "log: {level: debug, format: text}", "log: {level: info, format: json}", 1)
	if change != nil {
		p.yaml = change(p.yaml)
	}
	file := filepath.Join(t.TempDir(), "idp.yaml")
	if err := os.WriteFile(file, []byte(p.yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "serve", "--config", file)
	cmd.Env = os.Environ()
	for name, value := range p.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.Stdout, cmd.Stderr = p.out, p.out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.pid = cmd.Process.Pid
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		p.http.CloseIdleConnections()
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(40 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
			t.Error("the server did not end within 40 seconds")
		}
		if t.Failed() {
			t.Logf("the server said:\n%s", p.out.String()[max(0, p.out.Len()-4000):])
		}
	})
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		r, err := p.call("GET", "http://"+p.private+"/readyz", nil, "")
		if err == nil && r.status == http.StatusOK {
			return p
		}
		if time.Now().After(deadline) {
			t.Fatalf("the server is not ready: %v", err)
		}
	}
}

// memory reads a line of /proc/<pid>/status, in MiB.
func (p *process) memory(t testing.TB, line string) float64 {
	t.Helper()
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid))
	if err != nil {
		t.Fatal(err)
	}
	for each := range strings.Lines(string(content)) {
		if fields := strings.Fields(each); len(fields) > 1 && fields[0] == line+":" {
			kib, err := strconv.ParseFloat(fields[1], 64)
			if err != nil {
				t.Fatal(err)
			}
			return kib / 1024
		}
	}
	t.Fatalf("no %s in /proc/%d/status", line, p.pid)
	return 0
}

// slowLine is a line to PostgreSQL on which each question takes longer. It
// returns the DSN that leads through it.
func slowLine(t testing.TB, dsn string, delay time.Duration) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	const socket = ".s.PGSQL.5432"
	target := filepath.Join(u.Query().Get("host"), socket)
	dir, err := os.MkdirTemp("", "pg-") // a socket's path has to be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, socket))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	relay := func(to, from net.Conn, wait time.Duration) {
		defer to.Close()
		defer from.Close()
		buffer := make([]byte, 64<<10)
		for {
			n, err := from.Read(buffer)
			if err != nil {
				return
			}
			time.Sleep(wait)
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
	}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("unix", target)
			if err != nil {
				client.Close()
				continue
			}
			go relay(server, client, delay)
			go relay(client, server, 0)
		}
	}()
	q := u.Query()
	q.Set("host", dir)
	u.RawQuery = q.Encode()
	return u.String()
}

// silentMail is a mail server that takes connections and never says a word.
func silentMail(t testing.TB) *mailServer {
	t.Helper()
	l, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var held []net.Conn
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		defer mu.Unlock()
		for _, conn := range held {
			conn.Close()
		}
	})
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			held = append(held, conn)
			mu.Unlock()
		}
	}()
	return &mailServer{port: l.Addr().(*net.TCPAddr).Port, arrived: make(chan struct{})}
}

// formHeader is what a browser sends along with a form of ours, for tests in
// which the browser must not cost anything.
func (b *browser) formHeader(action string) http.Header {
	req, err := http.NewRequest(http.MethodPost, action, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	b.jar.send(req)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", req.URL.Scheme+"://"+req.URL.Host)
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	return req.Header
}
