package uitest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/server/porttest"
)

// engine is where a demo keeps its data.
type engine string

const (
	sqlite   engine = "sqlite"
	postgres engine = "postgres"
)

// demo is a running demo: a process of its own, on ports of its own.
type demo struct {
	facts
	engine  engine
	mailbox string // base address
	data    string // folder of the database, "" on PostgreSQL

	mu        sync.Mutex
	passwords map[string]string // realm and email to the password of now
}

// facts is what the tests read of /demo.json.
type facts struct {
	Realms       map[string]realmFacts `json:"realms"`
	Associations []association         `json:"associations"`
}

type realmFacts struct {
	Issuer  string   `json:"issuer"`
	Portal  string   `json:"portal"`
	Clients []client `json:"clients"`
	People  []person `json:"people"`
}

type client struct {
	ID           string   `json:"client_id"`
	RedirectURIs []string `json:"redirect_uris"`
}

type person struct {
	Name     string `json:"name"`
	Email    string `json:"email"`
	Password string `json:"password"`
	Question string `json:"security_question"`
	Key      string `json:"security_question_key"`
	Answer   string `json:"security_answer"`
	State    string `json:"state"`
}

type association struct {
	ID            string `json:"id"`
	PatientID     string `json:"patient_id"`
	Patient       string `json:"patient"`
	Guardian      string `json:"guardian"`
	GuardianEmail string `json:"guardian_email"`
}

// message is a mail in the mailbox.
type message struct {
	ID      string `json:"id"`
	To      string `json:"to"`
	Subject string `json:"subject"`
	Text    string `json:"text"`
	HTML    string `json:"html"`
}

// starting is held by the demo that is seeding its people: several at once
// hash more passwords than a busy machine takes.
var starting sync.Mutex

// startDemo runs a demo for the length of a test.
func startDemo(t *testing.T, e engine, more ...string) *demo {
	t.Helper()
	t.Cleanup(func() {
		if t.Skipped() {
			someSkipped.Store(true)
		}
	})
	bin, err := demoBinary()
	if err != nil {
		t.Fatal(err)
	}
	ports := freePorts(t, 6)
	args := append([]string{"-host", "localhost"}, more...)
	for i, name := range []string{"port", "patient-port", "practice-port", "mailbox-port", "smtp-port", "private-port"} {
		args = append(args, "-"+name, strconv.Itoa(ports[i]))
	}
	var data string
	if e == postgres {
		args = append(args, "-dsn", dbtest.PostgresURL(t))
	} else {
		data = t.TempDir()
		args = append(args, "-data", data)
	}
	d := &demo{engine: e, data: data, mailbox: fmt.Sprintf("http://localhost:%d", ports[3]), passwords: map[string]string{}}
	starting.Lock()
	defer starting.Unlock()
	var output lockedBuffer
	process := exec.Command(bin, args...)
	process.Stdout, process.Stderr = &output, &output
	started := time.Now()
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- process.Wait() }()
	t.Cleanup(func() { stopDemo(t, process, ended, &output) })
	for {
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("the demo ended at once: %v\n%s", err, output.String())
		case <-time.After(50 * time.Millisecond):
		}
		if err := d.answers(); err == nil {
			break
		} else if time.Since(started) > 60*time.Second {
			t.Fatalf("the demo is not ready after a minute: %v\n%s", err, output.String())
		}
	}
	t.Logf("demo on %s ready after %s", e, time.Since(started).Round(10*time.Millisecond))
	return d
}

// answers is nil when the facts can be read and both realms answer: the mailbox
// is up before the provider has its people.
func (d *demo) answers() error {
	if err := getJSON(d.mailbox+"/demo.json", &d.facts); err != nil {
		return err
	}
	for _, realm := range d.Realms {
		var discovery struct{ Issuer string }
		if err := getJSON(realm.Issuer+"/.well-known/openid-configuration", &discovery); err != nil {
			return err
		}
	}
	return nil
}

// stopDemo ends the demo as Ctrl-C does and expects a clean end, quickly.
func stopDemo(t *testing.T, process *exec.Cmd, ended chan error, output *lockedBuffer) {
	if err := process.Process.Signal(os.Interrupt); err != nil {
		return // it ended before, and that was reported
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("the demo ended with %v\n%s", err, output.tail())
		}
	case <-time.After(20 * time.Second):
		_ = process.Process.Kill()
		t.Errorf("the demo did not end within 20 s of an interrupt\n%s", output.tail())
	}
	if t.Failed() {
		file := filepath.Join("screenshots", "FAILED."+strings.ReplaceAll(t.Name(), "/", "_")+".demo.log")
		_ = os.WriteFile(file, []byte(output.String()), 0o644) // the failure itself is reported
	}
}

// freePorts returns ports for a server that the test starts.
func freePorts(t *testing.T, n int) []int {
	t.Helper()
	ports, err := porttest.Free(n)
	if err != nil {
		t.Fatal(err)
	}
	return ports
}

func getJSON(address string, into any) error {
	answer, err := http.Get(address)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", address, answer.Status)
	}
	return json.NewDecoder(answer.Body).Decode(into)
}

// person returns the person with this email in a realm, with the password as
// it is now.
func (d *demo) person(t *testing.T, realm, email string) person {
	t.Helper()
	for _, who := range d.Realms[realm].People {
		if who.Email == email {
			d.mu.Lock()
			defer d.mu.Unlock()
			if now, ok := d.passwords[realm+" "+email]; ok {
				who.Password = now
			}
			return who
		}
	}
	t.Fatalf("nobody in %s has the email %s", realm, email)
	return person{}
}

// exec changes something in the demo's database that would take days, or a
// second member of staff, to change by itself.
func (d *demo) exec(t *testing.T, query string, args ...any) {
	t.Helper()
	if n := d.run(t, query, args...); n == 0 {
		t.Fatalf("%s: no rows", query)
	}
}

// run is exec for what need not find anything.
func (d *demo) run(t *testing.T, query string, args ...any) int64 {
	t.Helper()
	db := d.database(t)
	defer db.Close()
	n, err := db.Exec(t.Context(), query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

func (d *demo) database(t *testing.T) *database.DB {
	t.Helper()
	db, err := database.Open(t.Context(), "sqlite:"+filepath.Join(d.data, "portico.db"), database.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// changed notes a person's new password.
func (d *demo) changed(realm, email, password string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.passwords[realm+" "+email] = password
}

func (d *demo) association(t *testing.T, patient, guardianEmail string) association {
	t.Helper()
	for _, a := range d.Associations {
		if a.Patient == patient && a.GuardianEmail == guardianEmail {
			return a
		}
	}
	t.Fatalf("%s is not associated with %s", guardianEmail, patient)
	return association{}
}

// mails returns the mails to an address whose subject holds these words, newest
// first.
func (d *demo) mails(t *testing.T, to, about string) []message {
	t.Helper()
	var all []message
	if err := getJSON(d.mailbox+"/api/messages", &all); err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(m message) bool {
		return m.To != to || !strings.Contains(m.Subject, about)
	})
}

// mail waits for the one mail to an address about something.
func (d *demo) mail(t *testing.T, to, about string) message {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		got := d.mails(t, to, about)
		if len(got) == 1 {
			return got[0]
		}
		if len(got) > 1 || time.Now().After(deadline) {
			t.Fatalf("%d mails about %q came to %s, want one", len(got), about, to)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

var address = regexp.MustCompile(`https?://[^\s<>"]+`)

// link returns the one address of a mail's text that leads to path.
func (m message) link(t *testing.T, path string) string {
	t.Helper()
	var found []string
	for _, link := range address.FindAllString(m.Text, -1) {
		if u, err := url.Parse(link); err == nil && strings.Contains(u.Path, path) && !slices.Contains(found, link) {
			found = append(found, link)
		}
	}
	if len(found) != 1 {
		t.Fatalf("the mail %q has %d links to %s:\n%s", m.Subject, len(found), path, m.Text)
	}
	return found[0]
}

// newest waits for a mail to an address about something and returns the newest.
func (d *demo) newest(t *testing.T, to, about string) message {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		if got := d.mails(t, to, about); len(got) > 0 {
			return got[0]
		}
		if time.Now().After(deadline) {
			t.Fatalf("no mail about %q came to %s", about, to)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// after waits until more mails have come than there were, and returns the newest.
func (d *demo) after(t *testing.T, before int, to, about string) message {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if got := d.mails(t, to, about); len(got) > before {
			return got[0]
		}
	}
	t.Fatalf("no further mail about %q came to %s", about, to)
	return message{}
}

// scan does what mail scanners do to a link: three requests that must change
// nothing.
func scan(t *testing.T, link string) {
	t.Helper()
	for _, method := range []string{http.MethodHead, http.MethodGet, http.MethodGet} {
		request, err := http.NewRequest(method, link, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, answer.Body) // read as a scanner would; its content is not the point
		answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			t.Errorf("%s of the link: %s", method, answer.Status)
		}
	}
}

// lockedBuffer keeps what the demo writes.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *lockedBuffer) tail() string {
	text := l.String()
	return text[max(0, len(text)-3000):]
}
