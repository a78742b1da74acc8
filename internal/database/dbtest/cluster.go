package dbtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"sort"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

var errNoPostgres = errors.New("no PostgreSQL server binaries found (initdb, postgres); `make test` installs them")

// cluster is a running PostgreSQL server.
type cluster struct {
	socketDir string
	stdin     io.Closer // the watchdog ends the server when this closes
	mu        sync.Mutex
	admin     *pgx.Conn
}

var theCluster = sync.OnceValues(startCluster)

// watchdog runs the server and ends it when standard input closes, which
// happens when the test process is gone, whatever ended it.
const watchdog = `
"$1/postgres" -D "$2/data" -k "$2" -c listen_addresses= -c fsync=off -c synchronous_commit=off \
  -c full_page_writes=off -c max_connections=300 -c shared_buffers=64MB -c autovacuum=off >"$2/log" 2>&1 &
server=$!
(cat >/dev/null; kill -INT $server) 2>/dev/null <&3 &
wait $server
rm -rf "$2"
`

func startCluster() (*cluster, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(memoryDir(), "portico-pg-")
	if err != nil {
		return nil, err
	}
	attr, err := ordinaryUser(dir)
	if err != nil {
		return nil, err
	}
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", filepath.Join(dir, "data"), "-U", "portico_test",
		"--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions")
	initdb.SysProcAttr, initdb.Dir = attr, dir
	if out, err := initdb.CombinedOutput(); err != nil {
		os.RemoveAll(dir)
		return nil, fmt.Errorf("initdb: %w: %s", err, bytes.TrimSpace(out))
	}
	alive, stdin, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	server := exec.Command("sh", "-c", watchdog, "sh", bin, dir)
	server.ExtraFiles = []*os.File{alive} // descriptor 3
	server.Dir = dir
	copied := *attr
	copied.Setpgid = true // Ctrl-C in the terminal reaches the test, not the server
	server.SysProcAttr = &copied
	if err := server.Start(); err != nil {
		return nil, err
	}
	alive.Close()
	go server.Wait() //nolint:errcheck // reaps the child; its end is the watchdog's business
	c := &cluster{socketDir: dir, stdin: stdin}
	return c, c.prepare()
}

// prepare waits for the server and makes the template that tests copy.
func (c *cluster) prepare() error {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, c.url("postgres"))
		if err == nil {
			c.admin = conn
			break
		}
		select {
		case <-ctx.Done():
			log, _ := os.ReadFile(filepath.Join(c.socketDir, "log"))
			return fmt.Errorf("PostgreSQL did not start: %w: %s", err, log)
		case <-time.After(20 * time.Millisecond):
		}
	}
	if err := c.exec(ctx, "CREATE DATABASE portico_template"); err != nil {
		return err
	}
	return migrate(c.url("portico_template"))
}

func (c *cluster) exec(ctx context.Context, query string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := c.admin.Exec(ctx, query)
	return err
}

// ordinaryUser gives dir to the user postgres when the tests run as root,
// because the server refuses root.
func ordinaryUser(dir string) (*syscall.SysProcAttr, error) {
	if os.Geteuid() != 0 {
		return &syscall.SysProcAttr{}, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("%w: running as root, and there is no user postgres", errNoPostgres)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	if err := os.Chown(dir, int(uid), int(gid)); err != nil {
		return nil, err
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
}

// binaries finds the folder with initdb and postgres: on the PATH, or where
// the distributions put them, the newest first.
func binaries() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			path = real
		}
		if _, err := os.Stat(filepath.Join(filepath.Dir(path), "postgres")); err == nil {
			return filepath.Dir(path), nil
		}
	}
	var found []string
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin", "/usr/local/opt/postgresql*/bin"} {
		dirs, _ := filepath.Glob(pattern)
		for _, dir := range dirs {
			if _, err := os.Stat(filepath.Join(dir, "initdb")); err == nil {
				found = append(found, dir)
			}
		}
	}
	if len(found) == 0 {
		return "", errNoPostgres
	}
	sort.Strings(found)
	return found[len(found)-1], nil
}
