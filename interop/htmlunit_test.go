package interop

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// htmlUnit is the browser of the official conformance suite: Java's, without a
// window, with a JavaScript engine of its own. htmlunit/Browser.java drives it.
type htmlUnit struct {
	t   *testing.T
	in  io.Writer
	out *bufio.Reader
}

// view is what it shows after a command.
type view struct {
	url    *url.URL
	status string
	text   string
	ids    []string
}

func newHTMLUnit(t *testing.T, libraries string, javaScript bool) *htmlUnit {
	t.Helper()
	cmd := exec.Command("java", "-cp", filepath.Join(libraries, "*"), "htmlunit/Browser.java", fmt.Sprint(javaScript))
	cmd.Stderr = t.Output()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close() // which ends it
		_ = cmd.Wait()
	})
	return &htmlUnit{t, in, bufio.NewReader(out)}
}

func (h *htmlUnit) does(pairs ...string) view {
	h.t.Helper()
	command := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		command.Set(pairs[i], pairs[i+1])
	}
	if _, err := io.WriteString(h.in, command.Encode()+"\n"); err != nil {
		h.t.Fatal(err)
	}
	line, err := h.out.ReadString('\n')
	if err != nil {
		h.t.Fatal(err)
	}
	answer, err := url.ParseQuery(strings.TrimSpace(line))
	if err != nil {
		h.t.Fatal(err)
	}
	if failed := answer.Get("failed"); failed != "" {
		h.t.Fatalf("%v: %s", pairs, failed)
	}
	if wrong := answer.Get("errors"); wrong != "" {
		h.t.Errorf("%v: script errors:\n%s", pairs, wrong)
	}
	at, err := url.Parse(answer.Get("url"))
	if err != nil {
		h.t.Fatal(err)
	}
	return view{at, answer.Get("status"), answer.Get("text"), strings.Fields(answer.Get("ids"))}
}

// signIn types and presses what the conformance example tells the suite to.
func (h *htmlUnit) signIn() view {
	h.t.Helper()
	h.does("do", "text", "id", "email", "value", idp.Email)
	h.does("do", "text", "id", "password", "value", idp.Password)
	return h.does("do", "click", "id", "signin-submit")
}

func (v view) has(t *testing.T, id string) {
	t.Helper()
	if !slices.Contains(v.ids, id) {
		t.Fatalf("no #%s at %s (%s):\n%s", id, v.url, v.status, v.text)
	}
}

// landing is a client that writes down how people arrive at it.
type landing struct {
	*httptest.Server
	mu       sync.Mutex
	arrivals []arrival
}

type arrival struct {
	method, path string
	form         url.Values
}

func (l *landing) take(t *testing.T, path string) arrival {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, a := range l.arrivals {
		if strings.HasSuffix(a.path, path) {
			l.arrivals = slices.Delete(l.arrivals, i, i+1)
			return a
		}
	}
	t.Fatalf("nobody came to %s: %v", path, l.arrivals)
	return arrival{}
}

func newLanding(t *testing.T, certificate tls.Certificate) *landing {
	t.Helper()
	l := &landing{}
	l.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		l.mu.Lock()
		l.arrivals = append(l.arrivals, arrival{r.Method, r.URL.Path, r.Form})
		l.mu.Unlock()
		_, _ = io.WriteString(w, "<!doctype html><title>client</title><p id=landed>at the client</p>")
	}))
	listener, err := net.Listen("tcp", listenAddress)
	if err != nil {
		t.Fatal(err)
	}
	l.Listener.Close()
	l.Listener = listener
	l.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	l.StartTLS()
	t.Cleanup(l.Close)
	return l
}

// conformance starts cmd/idp with the example of a conformance realm, as it
// stands in the repository but for hosts and ports, behind TLS of its own.
func conformance(t *testing.T) *landing {
	t.Helper()
	binary, dir := filepath.Join(idp.dir, "idp-conformance"), t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-C", "..", "-o", binary, "./cmd/idp").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	example, err := os.ReadFile("../config/conformance.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	cert, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	certificate := selfSigned(t, cert, key)
	ports, err := freePorts(2)
	if err != nil {
		t.Fatal(err)
	}
	base := fmt.Sprintf("https://localhost:%d", ports[0])
	config := strings.NewReplacer(`listen: ":9000"`, fmt.Sprintf("listen: localhost:%d\ntls: {cert: %q, key: %q}", ports[0], cert, key),
		"private_listen: localhost:9090", fmt.Sprintf("private_listen: localhost:%d", ports[1]),
		"https://op.example.test", base, "https://localhost.emobix.co.uk:8443", "https://"+listenAddress,
		`exempt_hosts: ["localhost.emobix.co.uk:8443"]`, fmt.Sprintf("exempt_hosts: [%q]\n  ca_file: %q", listenAddress, cert),
	).Replace(string(example))
	file := filepath.Join(dir, "conformance.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	random := func() string {
		b := make([]byte, 32)
		_, _ = rand.Read(b)
		return base64.StdEncoding.EncodeToString(b)
	}
	const password = "meadow-lantern-copper-58"
	cmd := exec.Command(binary, "serve", "--config", file)
	cmd.Env = append(os.Environ(), "PORTICO_DATABASE_URL=sqlite:"+filepath.Join(dir, "portico.db"), "PORTICO_KEY_ENCRYPTION_KEY="+random(),
		"PORTICO_PEPPER="+random(), "CONFORMANCE_PASSWORD="+password, "CONFORMANCE_SECRET_1="+random(), "CONFORMANCE_SECRET_2="+random(),
		"CONFORMANCE_SECRET_POST="+random())
	cmd.Stdout, cmd.Stderr = io.Discard, io.Discard // it warns of all that the example relaxes
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	before := idp
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		idp = before
	})
	idp.Issuer, idp.Email, idp.Password = base+"/conformance", "robin.avery@example.test", password
	trusting := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots(t, certificate)}}}
	if err := poll(time.Minute, func() error {
		res, err := trusting.Get(idp.Issuer + "/.well-known/openid-configuration")
		if err == nil {
			res.Body.Close()
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return newLanding(t, certificate)
}

func selfSigned(t *testing.T, certFile, keyFile string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "interop"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

func roots(t *testing.T, certificate tls.Certificate) *x509.CertPool {
	t.Helper()
	parsed, err := x509.ParseCertificate(certificate.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return pool
}

func TestHTMLUnit(t *testing.T) {
	for _, program := range []string{"java", "javac", "mvn"} {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatal("default-jdk-headless and maven are needed")
			}
			t.Skip("install default-jdk-headless and maven")
		}
	}
	libraries := filepath.Join(idp.dir, "htmlunit")
	if out, err := exec.CommandContext(t.Context(), "mvn", "-B", "-q", "-f", "htmlunit", "dependency:copy-dependencies", "-DoutputDirectory="+libraries).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	client := conformance(t)
	callback := "https://" + listenAddress + "/test/a/portico/callback"
	request := func(pairs ...string) string {
		q := url.Values{"client_id": {"conformance-1"}, "redirect_uri": {callback}, "scope": {"openid profile email"},
			"response_type": {"code"}, "state": {"s & more"}, "nonce": {"n"}}
		for i := 0; i+1 < len(pairs); i += 2 {
			q.Set(pairs[i], pairs[i+1])
		}
		return q.Encode()
	}
	for name, javaScript := range map[string]bool{"with JavaScript": true, "without JavaScript": false} {
		t.Run(name, func(t *testing.T) {
			h := newHTMLUnit(t, libraries, javaScript)
			authorize := idp.Issuer + "/oauth/authorize?"

			// A wrong password, the right one, consent.
			h.does("do", "open", "url", authorize+request("prompt", "login consent")).has(t, "signin-submit")
			h.does("do", "text", "id", "email", "value", idp.Email)
			h.does("do", "text", "id", "password", "value", "not the right lantern 31")
			h.does("do", "click", "id", "signin-submit").has(t, "signin-submit")
			h.signIn().has(t, "consent-deny")
			h.does("do", "click", "id", "consent-allow").has(t, "landed")
			if a := client.take(t, "/callback"); a.method != http.MethodGet || a.form.Get("code") == "" || a.form.Get("state") != "s & more" || a.form.Get("iss") != idp.Issuer {
				t.Errorf("the answer: %v", a)
			}

			// Saying no.
			h.does("do", "open", "url", authorize+request("prompt", "consent")).has(t, "consent-deny")
			h.does("do", "click", "id", "consent-deny").has(t, "landed")
			if a := client.take(t, "/callback"); a.form.Get("error") != "access_denied" {
				t.Errorf("the answer to no: %v", a)
			}

			// A request that is posted, and an answer in the fragment.
			at := h.does("do", "post", "url", idp.Issuer+"/oauth/authorize", "body", request("response_type", "code id_token token"))
			at.has(t, "landed")
			client.take(t, "/callback")
			if q, err := url.ParseQuery(at.url.Fragment); err != nil || q.Get("code") == "" || q.Get("id_token") == "" || q.Get("access_token") == "" {
				t.Errorf("the answer in the fragment: %s", at.url)
			}

			// An answer that is posted: by itself, or by its button.
			for what, pairs := range map[string][]string{"": nil, "login_required": {"prompt", "none", "max_age", "0"}} {
				at = h.does("do", "open", "url", authorize+request(append(pairs, "response_mode", "form_post", "response_type", "code id_token")...))
				if !javaScript {
					at.has(t, "form-post-continue")
					at = h.does("do", "click", "id", "form-post-continue")
				}
				at.has(t, "landed")
				if a := client.take(t, "/callback"); a.method != http.MethodPost || a.form.Get("error") != what || (a.form.Get("id_token") == "") != (what != "") || a.form.Get("state") != "s & more" {
					t.Errorf("the answer by form_post: %v", a)
				}
			}

			// Leaving: our page asks, clients' frames hear of it, and back to the client.
			h.does("do", "open", "url", idp.Issuer+"/oauth/logout").has(t, "logout-submit")
			at = h.does("do", "click", "id", "logout-submit")
			if slices.Contains(at.ids, "onward") {
				at = h.does("do", "click", "id", "onward")
			}
			if !strings.HasSuffix(at.url.Path, "/oauth/signed-out") || at.status != "200" {
				t.Errorf("signed out to %s (%s)\n%s", at.url, at.status, at.text)
			}
			if a := client.take(t, "/frontchannel_logout"); a.form.Get("iss") != idp.Issuer || a.form.Get("sid") == "" {
				t.Errorf("the frame: %v", a)
			}
			h.does("do", "open", "url", authorize+request("prompt", "none")).has(t, "landed")
			if a := client.take(t, "/callback"); a.form.Get("error") != "login_required" {
				t.Errorf("still signed in: %v", a)
			}

			// Pages that people judge.
			if at = h.does("do", "open", "url", authorize+request("redirect_uri", callback+"?added=1")); at.status != "400" || at.text == "" {
				t.Errorf("an address that is not registered: %s at %s", at.status, at.url)
			}
		})
	}
}
