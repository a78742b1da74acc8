package interop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// Where the demo's clients native-test and native-test-post are called back.
const (
	listenAddress = "localhost:9099"
	redirectURI   = "http://localhost:9099/callback"
	signedOutURI  = "http://localhost:9099/signed-out"
	clientID      = "native-test"
	// The same, registered for client_secret_post: for clients that do not know
	// another method.
	postClientID = "native-test-post"
)

// idp is the provider under test: issuer, credentials of the client, a person.
var idp struct {
	Issuer, Secret, PostSecret, Email, Password string

	// A client that may ask without pushing, and where it is called back.
	Probe, ProbeRedirect string

	dir string // for what tests build
}

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "interop:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "portico-interop")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	idp.dir = dir
	binary := filepath.Join(dir, "demo")
	build := exec.Command("go", "build", "-C", "..", "-o", binary, "./cmd/demo")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		return 0, fmt.Errorf("build the demo: %w", err)
	}
	// A machine that is busy with other tests may be too slow for the demo's
	// own limits, or somebody may take a port meanwhile.
	for try := range 3 {
		stop, err := startDemo(binary, filepath.Join(dir, strconv.Itoa(try)))
		if err == nil {
			defer stop()
			return m.Run(), nil
		}
		fmt.Fprintln(os.Stderr, "interop:", err)
	}
	return 0, errors.New("the demo does not start")
}

// startDemo runs the demo on free ports and reads what can be done with it.
func startDemo(binary, data string) (stop func(), err error) {
	ports, err := freePorts(6)
	if err != nil {
		return nil, err
	}
	args := []string{"-data", data, "-log", "warn"}
	for i, flag := range []string{"port", "patient-port", "practice-port", "mailbox-port", "smtp-port", "private-port"} {
		args = append(args, "-"+flag, strconv.Itoa(ports[i]))
	}
	demo := exec.Command(binary, args...)
	demo.Stderr = os.Stderr
	if err := demo.Start(); err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	go func() { _ = demo.Wait(); close(ended) }()
	stop = func() {
		_ = demo.Process.Signal(os.Interrupt)
		<-ended
	}
	if err := readFacts(fmt.Sprintf("http://localhost:%d", ports[3]), ended); err != nil {
		stop()
		return nil, err
	}
	return stop, nil
}

// freePorts finds ports below those that systems hand out to outgoing
// connections, which a browser could be given before the server listens.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range 1000 {
		if len(ports) == n {
			return ports, nil
		}
		port := 16000 + mathrand.IntN(16000)
		if l, err := net.Listen("tcp", fmt.Sprintf("localhost:%d", port)); err == nil {
			defer l.Close()
			ports = append(ports, port)
		}
	}
	return nil, errors.New("no free ports")
}

// readFacts waits for the demo and reads who may sign in where.
func readFacts(mailbox string, ended <-chan struct{}) error {
	var facts struct {
		Realms map[string]struct {
			Issuer  string
			Clients []struct {
				ID     string `json:"client_id"`
				Secret string `json:"client_secret"`
			}
			People []struct{ Email, Password, State string }
		}
	}
	get := func(address string, into any) error {
		return poll(2*time.Minute, func() error {
			select {
			case <-ended:
				return errEnded
			default:
				return getJSON(address, into)
			}
		})
	}
	if err := get(mailbox+"/demo.json", &facts); err != nil {
		return err
	}
	idp.Probe, idp.ProbeRedirect = clientID, redirectURI
	r := facts.Realms["patient"]
	idp.Issuer = r.Issuer
	for _, c := range r.Clients {
		switch c.ID {
		case clientID:
			idp.Secret = c.Secret
		case postClientID:
			idp.PostSecret = c.Secret
		}
	}
	for _, p := range r.People {
		if p.State == "active" {
			idp.Email, idp.Password = p.Email, p.Password
			break
		}
	}
	if idp.Secret == "" || idp.Email == "" {
		return errors.New("demo.json names no client native-test, or nobody who can sign in")
	}
	var discovery map[string]any
	return get(idp.Issuer+"/.well-known/openid-configuration", &discovery)
}

var errEnded = errors.New("the demo ended by itself")

func poll(limit time.Duration, try func() error) error {
	for end := time.Now().Add(limit); ; time.Sleep(100 * time.Millisecond) {
		err := try()
		if err == nil || errors.Is(err, errEnded) || time.Now().After(end) {
			return err
		}
	}
}

func getJSON(address string, into any) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", address, res.Status)
	}
	return json.NewDecoder(res.Body).Decode(into)
}
