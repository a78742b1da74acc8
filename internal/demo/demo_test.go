package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/smtp"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portico-id/portico/config"
	"github.com/portico-id/portico/internal/demo/seed"
	"github.com/portico-id/portico/internal/server/porttest"
)

// free finds ports that nobody uses, and gives them to the flags.
func free(t *testing.T) []string {
	t.Helper()
	flags := []string{"port", "patient-port", "practice-port", "mailbox-port", "smtp-port", "private-port"}
	ports, err := porttest.Free(len(flags))
	if err != nil {
		t.Fatal(err)
	}
	var args []string
	for i, name := range flags {
		args = append(args, fmt.Sprintf("-%s=%d", name, ports[i]))
	}
	return args
}

func parse(t *testing.T, args ...string) Options {
	t.Helper()
	o, err := ParseOptions("demo", args, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestTheAddressesAreFixed(t *testing.T) {
	o := parse(t)
	for got, want := range map[string]string{
		o.issuer("patient"): "http://localhost:9000/patient", o.issuer("practice"): "http://localhost:9000/practice",
		o.patientURL(): "http://localhost:9001", o.practiceURL(): "http://localhost:9002", o.mailboxURL(): "http://localhost:9003",
		o.adminAPI(): "http://localhost:9000/admin/v1", o.address(o.SMTPPort): "localhost:9025",
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestMistakesOnTheCommandLineAreExplained(t *testing.T) {
	for args, want := range map[string]string{
		"-port 0":                          "between 1 and 65535",
		"-port 9001":                       "-port and -patient-port are both 9001",
		"-host id.example.test":            "only be reached on this machine",
		"-dsn mysql://x":                   "postgres://",
		"start":                            `"start" is not a flag`,
		"-smtp-port 25 -private-port 9003": "-mailbox-port and -private-port",
	} {
		_, err := ParseOptions("demo", strings.Fields(args), io.Discard)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", args, err)
		}
	}
	var help bytes.Buffer
	if _, err := ParseOptions("demo", []string{"--help"}, &help); !errors.Is(err, ErrHelp) {
		t.Fatal(err)
	}
	for _, word := range []string{"-data ./portico-data", "-dsn postgres://", "-smtp-port", "9025", "Ctrl-C"} {
		if !strings.Contains(help.String(), word) {
			t.Errorf("help does not mention %q:\n%s", word, help.String())
		}
	}
}

func TestTheConfigurationIsOneTheProviderTakes(t *testing.T) {
	for _, args := range [][]string{nil, {"-host", "127.0.0.1", "-dsn", "postgres://u:p@localhost/x"}, {"-host", "demo.localhost", "-port", "19000"}} {
		o := parse(t, args...)
		s, err := loadSecrets(t.TempDir(), o.confidential())
		if err != nil {
			t.Fatal(err)
		}
		text, err := o.configure()
		if err != nil {
			t.Fatal(err)
		}
		cfg, err := config.Parse("demo.yaml", text, o.environment(s, folder{root: t.TempDir()}.database(o)))
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if len(cfg.Warnings) > 0 {
			t.Errorf("warnings: %v", cfg.Warnings)
		}
		for _, r := range cfg.Realms() {
			if r.Issuer != o.issuer(r.Name) || len(r.Clients()) != 5 {
				t.Errorf("realm %s: issuer %s, %d clients", r.Name, r.Issuer, len(r.Clients()))
			}
			portal, ok := r.Client(r.Name + "-portal")
			if !ok || portal.NameIn("es") != r.Brand.In("es").Name || portal.NameIn("en") != r.Brand.In("en").Name || portal.NameIn("es") == portal.NameIn("en") {
				t.Errorf("realm %s: its portal has other names than it", r.Name)
			}
			for _, c := range r.Clients() {
				if secret := s.Clients[r.Name+"/"+c.ID]; c.Public() != (secret == "") || !c.Public() && !c.CheckSecret(secret) {
					t.Errorf("%s of %s does not take the secret that demo.json names", c.ID, r.Name)
				}
			}
		}
		for _, secret := range append([]string{s.KeyEncryptionKey, s.Pepper}, s.Clients["patient/service"]) {
			if bytes.Contains(text, []byte(secret)) {
				t.Error("a secret stands in the configuration")
			}
		}
	}
}

func TestSecretsAreMadeOnceAndKeptToTheirOwner(t *testing.T) {
	dir := t.TempDir()
	one, err := loadSecrets(dir, []string{"patient/a"})
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "secrets.json")
	if err := os.Chmod(name, 0o644); err != nil {
		t.Fatal(err)
	}
	two, err := loadSecrets(dir, []string{"patient/a", "patient/b"})
	if err != nil {
		t.Fatal(err)
	}
	if two.KeyEncryptionKey != one.KeyEncryptionKey || two.Pepper != one.Pepper || two.Clients["patient/a"] != one.Clients["patient/a"] || two.Clients["patient/b"] == "" {
		t.Errorf("%v, then %v", one, two)
	}
	if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v %v", info.Mode(), err)
	}
	if other, _ := loadSecrets(t.TempDir(), nil); other.Pepper == one.Pepper {
		t.Error("two folders have one secret")
	}
	if err := os.WriteFile(name, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := loadSecrets(dir, nil); err == nil || !strings.Contains(err.Error(), name) {
		t.Errorf("damaged: %v", err)
	}
}

func TestADatabaseOfItsOwnKeepsItsSecrets(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	o := parse(t, "-dsn", "postgres://localhost/x")
	one, err := openFolder(o)
	if err != nil {
		t.Fatal(err)
	}
	two, err := openFolder(o)
	if err != nil {
		t.Fatal(err)
	}
	if one.secrets != two.secrets || one.root == two.root || one.secrets == one.root {
		t.Errorf("%+v, %+v", one, two)
	}
	one.close()
	two.close()
	if _, err := os.Stat(one.root); !errors.Is(err, os.ErrNotExist) {
		t.Error("the temporary folder is still there")
	}
	if _, err := os.Stat(one.secrets); err != nil {
		t.Error("the secrets are gone")
	}
}

// standIn is a provider that does nothing but serve until told to stop.
type standIn struct {
	ready chan struct{}
	ended error
	early chan struct{}
}

func (s *standIn) Ready() <-chan struct{} { return s.ready }
func (s *standIn) Run(ctx context.Context) error {
	close(s.ready)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-s.early:
		return s.ended
	}
}

// output is what Run prints; a test waits for words in it.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func (o *output) wait(t *testing.T, words string) {
	t.Helper()
	for range 500 {
		if strings.Contains(o.String(), words) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%q was never printed:\n%s", words, o.String())
}

func TestTheDemoStartsServesAndLeavesNothingBehind(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	o := parse(t, free(t)...)
	var got struct {
		yaml []byte
		db   string
	}
	start := func(_ context.Context, yaml []byte, env func(string) (string, bool), data *seed.Data, _ *slog.Logger) (Provider, error) {
		got.yaml = yaml
		got.db, _ = env("PORTICO_DATABASE_URL")
		if len(data.Accounts) == 0 {
			return nil, errors.New("nobody to seed")
		}
		return &standIn{ready: make(chan struct{})}, nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	var out output
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, o, start, &out, io.Discard) }()
	out.wait(t, "Press Ctrl-C to stop.")
	for _, words := range []string{o.patientURL(), o.practiceURL(), o.mailboxURL() + "/demo.json", o.issuer("patient"), "ana.rivera@example.test", "violet-kettle-orbit-41", "Calle Laurel", "Nothing is kept"} {
		if !strings.Contains(out.String(), words) {
			t.Errorf("the banner lacks %q:\n%s", words, out.String())
		}
	}
	if !strings.HasPrefix(got.db, "sqlite:"+tmp) || !bytes.Contains(got.yaml, []byte("realms:")) {
		t.Errorf("database %q", got.db)
	}
	if err := smtp.SendMail(o.address(o.SMTPPort), nil, "a@example.test", []string{"b@example.test"}, []byte("Subject: hello\r\n\r\nx")); err != nil {
		t.Error(err)
	}
	var facts struct {
		Realms map[string]struct {
			Clients []struct {
				ID     string `json:"client_id"`
				Secret string `json:"client_secret"`
			}
			People []struct {
				Email    string
				Question string `json:"security_question"`
			}
		}
	}
	fetch(t, o.mailboxURL()+"/demo.json", &facts)
	if clients := facts.Realms["patient"].Clients; len(clients) != 5 || clients[0].ID != "patient-portal" || len(clients[0].Secret) < 43 || clients[1].Secret != "" {
		t.Errorf("clients %v", clients)
	}
	if p := facts.Realms["patient"].People[0]; p.Email != "ana.rivera@example.test" || !strings.HasSuffix(p.Question, "?") {
		t.Errorf("people %v", p)
	}
	var mails []struct{ Subject string }
	fetch(t, o.mailboxURL()+"/api/messages", &mails)
	if len(mails) != 1 || mails[0].Subject != "hello" {
		t.Errorf("mails %v", mails)
	}
	for _, portal := range []string{o.patientURL(), o.practiceURL()} {
		res, err := http.Get(portal)
		if err != nil || res.StatusCode != 200 {
			t.Errorf("%s: %v %v", portal, res, err)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatalf("stopping: %v", err)
	}
	if left, _ := os.ReadDir(tmp); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func fetch(t *testing.T, url string, into any) {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(into); err != nil {
		t.Fatal(err)
	}
}

func TestAFolderKeepsMailsAndSecrets(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	o := parse(t, append(free(t), "-data", dir)...)
	secrets := map[string]bool{}
	for range 2 {
		start := func(_ context.Context, _ []byte, env func(string) (string, bool), _ *seed.Data, _ *slog.Logger) (Provider, error) {
			kek, _ := env("PORTICO_KEY_ENCRYPTION_KEY")
			secrets[kek] = true
			return &standIn{ready: make(chan struct{})}, nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		var out output
		ended := make(chan error, 1)
		go func() { ended <- Run(ctx, o, start, &out, io.Discard) }()
		out.wait(t, "Everything is kept in "+dir)
		if err := smtp.SendMail(o.address(o.SMTPPort), nil, "a@example.test", []string{"b@example.test"}, []byte("Subject: hello\r\n\r\nx")); err != nil {
			t.Error(err)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	}
	if mails, _ := filepath.Glob(filepath.Join(dir, "mail", "*.eml")); len(mails) != 2 || len(secrets) != 1 {
		t.Errorf("%d mails, %d keys", len(mails), len(secrets))
	}
}

func TestATakenPortIsNamedWithItsFlag(t *testing.T) {
	args := free(t)
	never := func(context.Context, []byte, func(string) (string, bool), *seed.Data, *slog.Logger) (Provider, error) {
		t.Error("started all the same")
		return nil, errors.New("no")
	}
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	for _, s := range parse(t, args...).services() {
		o := parse(t, args...)
		l, err := net.Listen("tcp", o.address(s.port))
		if err != nil {
			t.Fatal(err)
		}
		err = Run(t.Context(), o, never, io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), fmt.Sprint(s.port)) || !strings.Contains(err.Error(), "-"+s.flag) {
			t.Errorf("%s: %v", s.name, err)
		}
		l.Close()
	}
	if left, _ := os.ReadDir(tmp); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestAProviderThatEndsEndsTheDemo(t *testing.T) {
	for want, ended := range map[string]error{"the disk is full": errors.New("the disk is full"), "stopped by itself": nil} {
		p := &standIn{ready: make(chan struct{}), early: make(chan struct{}), ended: ended}
		close(p.early)
		start := func(context.Context, []byte, func(string) (string, bool), *seed.Data, *slog.Logger) (Provider, error) {
			return p, nil
		}
		err := Run(t.Context(), parse(t, free(t)...), start, io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v", err)
		}
	}
}
