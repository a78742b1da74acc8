package mailbox

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/smtp"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gosmtp "github.com/emersion/go-smtp"

	"github.com/portico-id/portico/internal/demo/look/looktest"
)

const letter = "From: =?utf-8?q?Portal_del_Paciente?= <no-reply@example.test>\r\n" +
	"To: ana@example.test\r\n" +
	"Subject: =?utf-8?q?Restablezca_su_contrase=C3=B1a?=\r\n" +
	"Date: Thu, 06 Mar 2025 09:12:03 -0500\r\n" +
	"Message-ID: <abc@example.test>\r\n" +
	"Auto-Submitted: auto-generated\r\n" +
	"MIME-Version: 1.0\r\n" +
	"Content-Type: multipart/alternative; boundary=b1\r\n\r\n" +
	"--b1\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" +
	"Ma=C3=B1ana: http://localhost:9000/patient/reset/abc_DEF-1.\r\nhasta <https://example.test/a?b=1&c=2>\r\n" +
	"--b1\r\nContent-Type: text/html; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" +
	"<html><head><title>x</title></head><body>Contrase=F1a <a href=3D\"http://localhost:9000/patient/reset/abc\">aqu=ED</a><script>alert(1)</script></body></html>\r\n" +
	"--b1--\r\n"

type world struct {
	box        *Mailbox
	smtp, http string
}

func open(t *testing.T, dir string) world {
	t.Helper()
	box, err := Open(Options{Dir: dir, Host: "localhost", Facts: map[string]string{"mailbox": "here"}})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- box.ServeSMTP(l) }()
	pages := httptest.NewServer(box)
	t.Cleanup(func() {
		pages.Close()
		if err := box.Shutdown(t.Context()); err != nil && !errors.Is(err, gosmtp.ErrServerClosed) && t.Context().Err() == nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return world{box, l.Addr().String(), pages.URL}
}

func (w world) send(t *testing.T, to, text string) {
	t.Helper()
	if err := smtp.SendMail(w.smtp, nil, "bounce@example.test", strings.Split(to, ","), []byte(text)); err != nil {
		t.Fatal(err)
	}
}

func (w world) messages(t *testing.T) []map[string]any {
	t.Helper()
	res, err := http.Get(w.http + "/api/messages")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var all []map[string]any
	if err := json.NewDecoder(res.Body).Decode(&all); err != nil || res.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("%v %v", err, res.Header)
	}
	return all
}

func TestAMailArrivesWholeNewestFirst(t *testing.T) {
	w := open(t, "")
	if all := w.messages(t); len(all) != 0 {
		t.Fatalf("%v", all)
	}
	w.send(t, "ana@example.test", letter)
	w.send(t, "ben@example.test,cy@example.test", "Subject: second\r\n\r\nplain\r\n")
	all := w.messages(t)
	if len(all) != 2 || all[0]["subject"] != "second" || all[0]["to"] != "ben@example.test, cy@example.test" || all[0]["from"] != "bounce@example.test" || all[0]["text"] != "plain\n" {
		t.Fatalf("%v", all)
	}
	m := all[1]
	for field, want := range map[string]any{
		"to": "ana@example.test", "from": "no-reply@example.test", "subject": "Restablezca su contraseña", "date": "2025-03-06T14:12:03Z",
		"text": "Mañana: http://localhost:9000/patient/reset/abc_DEF-1.\nhasta <https://example.test/a?b=1&c=2>",
	} {
		if m[field] != want {
			t.Errorf("%s: %q, want %q", field, m[field], want)
		}
	}
	if !strings.Contains(m["html"].(string), "Contraseña") || m["id"] == "" {
		t.Errorf("%v", m)
	}
	headers := m["headers"].(map[string]any)
	if headers["Message-ID"] != "<abc@example.test>" || headers["Auto-Submitted"] != "auto-generated" || headers["Subject"] != "Restablezca su contraseña" {
		t.Errorf("headers %v", headers)
	}
}

func TestWhatWasAcknowledgedSurvives(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "mail")
	w := open(t, dir)
	w.send(t, "ana@example.test", letter)
	// As a kill would leave it: a mail half written, never acknowledged.
	if err := os.WriteFile(filepath.Join(dir, "0195.part"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	before := w.messages(t)
	again := open(t, dir)
	after := again.messages(t)
	if len(after) != 1 || after[0]["id"] != before[0]["id"] || after[0]["to"] != "ana@example.test" || after[0]["text"] != before[0]["text"] {
		t.Fatalf("%v", after)
	}
	if _, envelope := after[0]["headers"].(map[string]any)["X-Mailbox-Envelope"]; envelope {
		t.Error("the envelope of the file shows as a header")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.part")); len(left) != 0 {
		t.Error("the half mail is still there")
	}
	again.send(t, "ben@example.test", "Subject: later\r\n\r\n")
	third := open(t, dir)
	if all := third.messages(t); len(all) != 2 || all[0]["subject"] != "later" {
		t.Errorf("%v", all)
	}
	req, _ := http.NewRequest(http.MethodDelete, third.http+"/api/messages", nil)
	res, err := http.DefaultClient.Do(req)
	if err != nil || res.StatusCode != http.StatusNoContent || len(third.messages(t)) != 0 {
		t.Fatalf("delete: %v %v", res, err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 0 {
		t.Errorf("left on disk: %v", left)
	}
}

func TestAMailThatCannotBeKeptIsNotAcknowledged(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "mail")
	w := open(t, dir)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	err := smtp.SendMail(w.smtp, nil, "a@example.test", []string{"b@example.test"}, []byte(letter))
	if err == nil || !strings.HasPrefix(err.Error(), "451") || len(w.messages(t)) != 0 {
		t.Errorf("%v, %d mails", err, len(w.messages(t)))
	}
}

func TestPagesShowTextHTMLAndHeaders(t *testing.T) {
	w := open(t, "")
	b := looktest.NewBrowser(t, "en")
	if p := b.Get(w.http + "/"); p.Title() != "Developer mailbox" || !p.Says("Development only. Nothing here was delivered.") || !p.Says("No mail yet") {
		t.Fatalf("%s", p.Body)
	}
	w.send(t, "ana@example.test", letter)
	b.Click("Check for mail")
	p := b.Click("Restablezca su contraseña")
	if p.Link("http://localhost:9000/patient/reset/abc_DEF-1") != "http://localhost:9000/patient/reset/abc_DEF-1" || p.Link("https://example.test/a?b=1&c=2") == "" {
		t.Errorf("links are not live: %s", p.Body)
	}
	if !p.Says("Message-ID") || !strings.Contains(p.Body, `sandbox="allow-popups allow-popups-to-escape-sandbox"`) || strings.Contains(p.Body, "alert(1)") {
		t.Errorf("%s", p.Body)
	}
	id := p.URL.Path
	res, err := http.Get(w.http + id + "/html")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	policy := res.Header.Get("Content-Security-Policy")
	if !strings.HasPrefix(policy, "sandbox allow-popups") || !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "allow-scripts") || !strings.Contains(policy, "frame-ancestors 'self'") {
		t.Errorf("policy of the mail's HTML: %q", policy)
	}
	if p := b.Get("/messages/none"); p.Status != 404 {
		t.Errorf("%d", p.Status)
	}
	b.Get("/")
	if p := b.Send("Empty the mailbox", nil); !p.Says("No mail yet") || len(w.messages(t)) != 0 {
		t.Errorf("%s", p.Body)
	}
}

func TestOtherSitesCannotEmptyTheMailbox(t *testing.T) {
	w := open(t, "")
	w.send(t, "ana@example.test", letter)
	for _, c := range [][2]string{{http.MethodPost, "/empty"}, {http.MethodDelete, "/api/messages"}} {
		req, _ := http.NewRequest(c[0], w.http+c[1], nil)
		req.Header.Set("Sec-Fetch-Site", "cross-site")
		res, err := http.DefaultClient.Do(req)
		if err != nil || res.StatusCode != http.StatusForbidden || len(w.messages(t)) != 1 {
			t.Errorf("%v: %v %v", c, res.Status, err)
		}
	}
}

func TestFactsAreServed(t *testing.T) {
	w := open(t, "")
	res, err := http.Get(w.http + "/demo.json")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var doc map[string]string
	if err := json.NewDecoder(res.Body).Decode(&doc); err != nil || doc["mailbox"] != "here" {
		t.Errorf("%v %v", doc, err)
	}
}

func TestStrangeMailsAreShownAllTheSame(t *testing.T) {
	at := time.Date(2025, 3, 6, 14, 12, 3, 0, time.UTC)
	e := envelope{From: "a@example.test", To: []string{"b@example.test"}, Received: at}
	for name, c := range map[string]struct{ raw, subject, text string }{
		"empty":           {"", "(no subject)", ""},
		"no header":       {"just text", "(not a readable mail)", "just text"},
		"unknown charset": {"Subject: x\r\nContent-Type: text/plain; charset=klingon\r\n\r\nhello", "x", "hello"},
		"attachment":      {"Subject: x\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename=a.pdf\r\n\r\nabc", "x", "\n(attachment \"a.pdf\", 3 bytes)\n"},
		"cut off":         {"Subject: x\r\nContent-Type: multipart/mixed; boundary=q\r\n\r\n--q\r\n\r\npart", "x", ""},
	} {
		m := parse("1", e, []byte(c.raw))
		if m.Subject != c.subject || c.text != "" && m.Text != c.text || m.To != "b@example.test" || !m.Date.Equal(at) {
			t.Errorf("%s: %+v", name, m)
		}
	}
}
