package uitest

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// relaxed is a provider with the realm of config/conformance.example.yaml, which
// has session management: the demo does not.
type relaxed struct {
	issuer, password string
	client           *httptest.Server // the pages of client conformance-1
}

// startRelaxed runs cmd/idp for the length of a test. The edits are pairs of
// what stands in the configuration and what is to stand there.
func startRelaxed(t *testing.T, edits ...string) *relaxed {
	t.Helper()
	return startRelaxedFor(t, "localhost", edits...)
}

// startRelaxedFor is startRelaxed with the client's pages on another host. The
// provider is on localhost.
func startRelaxedFor(t *testing.T, clientHost string, edits ...string) *relaxed {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "idp")
	build := exec.Command("go", "build", "-o", binary, "./cmd/idp")
	build.Dir = ".." // the server's module
	build.Env = append(os.Environ(), "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build idp: %v\n%s", err, out)
	}
	text, err := os.ReadFile("../config/conformance.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	ports, dir := freePorts(t, 2), t.TempDir()
	r := &relaxed{issuer: fmt.Sprintf("http://localhost:%d/conformance", ports[0]), password: "meadow-lantern-copper-58"}
	r.client = r.servePages(t, clientHost)
	edited := strings.NewReplacer(`listen: ":9000"`, fmt.Sprintf("listen: localhost:%d", ports[0]), "private_listen: localhost:9090", fmt.Sprintf("private_listen: localhost:%d", ports[1]),
		"https://op.example.test/conformance", r.issuer, "https://localhost.emobix.co.uk:8443/test/a/portico", r.client.URL,
		`"localhost.emobix.co.uk:8443"`, `"`+strings.TrimPrefix(r.client.URL, "http://")+`"`).Replace(strings.NewReplacer(edits...).Replace(string(text)))
	file := filepath.Join(dir, "idp.yaml")
	if err := os.WriteFile(file, []byte(edited), 0o600); err != nil {
		t.Fatal(err)
	}
	process := exec.Command(binary, "serve", "--config", file)
	process.Env = append(os.Environ(), "PORTICO_DATABASE_URL=sqlite:"+filepath.Join(dir, "idp.db"), "CONFORMANCE_PASSWORD="+r.password)
	for _, name := range []string{"PORTICO_KEY_ENCRYPTION_KEY", "PORTICO_PEPPER", "CONFORMANCE_SECRET_1", "CONFORMANCE_SECRET_2", "CONFORMANCE_SECRET_POST"} {
		raw := make([]byte, 32)
		_, _ = rand.Read(raw)
		process.Env = append(process.Env, name+"="+base64.StdEncoding.EncodeToString(raw))
	}
	var output lockedBuffer
	process.Stdout, process.Stderr = &output, &output
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- process.Wait() }()
	t.Cleanup(func() {
		_ = process.Process.Signal(os.Interrupt)
		<-ended
		if t.Failed() {
			t.Log(output.tail())
		}
	})
	for started := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		var discovery struct{ Issuer string }
		err := getJSON(r.issuer+"/.well-known/openid-configuration", &discovery)
		if err == nil {
			return r
		}
		select {
		case early := <-ended:
			ended <- early
			t.Fatalf("the provider ended at once: %v\n%s", early, output.String())
		default:
		}
		if time.Since(started) > 60*time.Second {
			t.Fatalf("the provider is not ready after a minute: %v\n%s", err, output.String())
		}
	}
}

// callback is a page as OpenID Connect Session Management §3.1 has it: it asks
// the provider's frame and keeps what it hears.
var callback = template.Must(template.New("").Parse(`<!doctype html><html lang="en"><head><meta charset="utf-8"><title>client</title><link rel="icon" href="data:,"></head><body>
<iframe id="op" src="{{.}}/oauth/session"></iframe>
<script>
const frame = document.getElementById("op"), heard = [];
let ready = false;
frame.onload = () => { ready = true; };
addEventListener("message", (e) => { if (e.source === frame.contentWindow && e.origin === new URL({{.}}).origin) heard.push(e.data); });
const ask = (message) => frame.contentWindow.postMessage(message, new URL({{.}}).origin);
const state = new URLSearchParams(location.search || location.hash.slice(1)).get("session_state");
</script></body></html>`))

func (r *relaxed) servePages(t *testing.T, host string) *httptest.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("/callback", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if err := callback.Execute(w, r.issuer); err != nil {
			t.Error(err)
		}
	})
	mux.HandleFunc("/frontchannel_logout", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = fmt.Fprint(w, `<!doctype html><html lang="en"><title>client</title><link rel="icon" href="data:,"><p>Signed out.</p>`)
	})
	s := httptest.NewUnstartedServer(mux)
	s.Start()
	t.Cleanup(s.Close)
	s.URL = strings.Replace(s.URL, "127.0.0.1", host, 1)
	return s
}

func (r *relaxed) request(pairs ...string) string {
	q := url.Values{"client_id": {"conformance-1"}, "redirect_uri": {r.client.URL + "/callback"}, "response_type": {"code"}, "scope": {"openid"}}
	for i := 0; i+1 < len(pairs); i += 2 {
		q.Set(pairs[i], pairs[i+1])
	}
	return r.issuer + "/oauth/authorize?" + q.Encode()
}

// tab is a page of which only scripts are asked.
type tab struct {
	t   *testing.T
	ctx context.Context
}

func (b *tab) run(script string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if _, err := chromedp.Run(ctx, chromedp.Evaluate[chromedp.Void](script)); err != nil {
		b.t.Fatalf("%s: %v", script, err)
	}
}

func (b *tab) until(condition string) {
	b.t.Helper()
	var last error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(30 * time.Millisecond) {
		ok, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](condition)) // between two pages there is nobody to ask
		if err == nil && ok {
			return
		}
		if last = err; err == nil {
			last = errors.New("never true")
		}
	}
	page, _ := chromedp.Run(b.ctx, chromedp.Evaluate[string](`location.href + "\n" + document.body.innerText`))
	b.t.Fatalf("%s: %v\n%s", condition, last, page)
}

func (b *tab) open(address string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if _, err := chromedp.Run(ctx, chromedp.Navigate(address)); err != nil {
		b.t.Fatalf("open %s: %v", address, err)
	}
}

// signIn goes the way of a person who has agreed before, or agrees now.
func (b *tab) signIn(r *relaxed, pairs ...string) {
	b.t.Helper()
	b.open(r.request(pairs...))
	b.until(`document.getElementById("signin-submit") !== null`)
	b.run(fmt.Sprintf(`document.getElementById("email").value = "robin.avery@example.test"; document.getElementById("password").value = %q; document.getElementById("signin-submit").click()`, r.password))
	b.until(`document.getElementById("consent-allow") !== null || document.title === "client"`)
	b.run(`document.getElementById("consent-allow")?.click()`)
	b.arrived()
}

func (b *tab) arrived() {
	b.t.Helper()
	b.until(`document.title === "client" && typeof ready !== "undefined" && ready && state !== null`)
}

// hears asks the frame and insists on its answer. message is a script.
func (b *tab) hears(what, message, want string) {
	b.t.Helper()
	b.run(`heard.length = 0; ask(` + message + `)`)
	b.until(`heard.length > 0`)
	got, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`heard.join(" ")`))
	if err != nil || got != want {
		b.t.Errorf("%s: the frame says %q, want %q (%v)", what, got, want, err)
	}
}

// TestTheFrameTellsAClientWhetherTheSessionChanged walks OpenID Connect Session
// Management §3 in a browser.
func TestTheFrameTellsAClientWhetherTheSessionChanged(t *testing.T) {
	t.Parallel()
	r := startRelaxed(t)
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	second, cancelSecond := chromedp.NewContext(ctx)
	t.Cleanup(cancelSecond)
	if err := chromedp.Do(second); err != nil {
		t.Fatal(err)
	}
	app, other := &tab{t, ctx}, &tab{t, second}
	const own = `"conformance-1 " + state`

	app.signIn(r)
	app.hears("after signing in", own, "unchanged")
	app.hears("asked again", own, "unchanged")
	for what, message := range map[string]string{"one word": `"rubbish"`, "nothing": `""`, "a state without salt": `"conformance-1 " + state.split(".")[0]`,
		"an empty salt": `"conformance-1 " + state.split(".")[0] + "."`, "no client": `" " + state`} {
		app.hears(what, message, "error")
	}
	app.hears("the state of another client", `"conformance-2 " + state`, "changed")
	app.hears("a state that somebody made up", `"conformance-1 abc.def"`, "changed")
	app.hears("after all that", own, "unchanged")

	// Another tab of the same person changes nothing.
	other.open(r.request("prompt", "none"))
	other.arrived()
	other.hears("a second tab", own, "unchanged")
	app.hears("with a second tab", own, "unchanged")

	// Signing out there is heard here, and by everybody.
	other.open(r.issuer + "/oauth/logout")
	other.until(`document.getElementById("logout-submit") !== null`)
	app.hears("before the button", own, "unchanged")
	other.run(`document.getElementById("logout-submit").click()`)
	// The frames of clients that this session was used for load first.
	other.until(`location.pathname.endsWith("/oauth/signed-out") || document.getElementById("onward") !== null`)
	app.hears("after signing out", own, "changed")
	app.open(r.request("prompt", "none"))
	app.until(`new URLSearchParams(location.search).get("error") === "login_required"`)
	// The error says the state of nobody, so that a sign-in is heard of.
	app.arrived()
	app.hears("nobody", own, "unchanged")

	// Signed in again it is another session: what was told before stays changed.
	app.signIn(r)
	before, err := chromedp.Run(ctx, chromedp.Evaluate[string](`state`))
	if err != nil {
		t.Fatal(err)
	}
	app.hears("signed in again", own, "unchanged")
	other.signIn(r, "prompt", "login")
	other.hears("a fresh sign-in in another tab", own, "unchanged")
	app.hears("the state of before that", `"conformance-1 `+before+`"`, "changed")
}

// TestTheFrameOnAnotherSiteHearsNothingWhereCookiesAreKeptBack has the client on
// a host that is another site, in a browser that keeps the cookies of other
// sites back: docs/protocol.md says what comes of it.
func TestTheFrameOnAnotherSiteHearsNothingWhereCookiesAreKeptBack(t *testing.T) {
	t.Parallel()
	r := startRelaxedFor(t, "127.0.0.1")
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	app := &tab{t, ctx}
	const own = `"conformance-1 " + state`
	app.signIn(r)
	app.hears("after signing in", own, "changed")
	// In the window itself the client finds out that nothing has changed; in a
	// frame it would take the person for signed out.
	app.open(r.request("prompt", "none"))
	app.arrived()
	app.run(fmt.Sprintf(`window.silent = document.createElement("iframe"); silent.src = %q; document.body.append(silent)`, r.request("prompt", "none")))
	app.until(`(() => { try { return new URLSearchParams(silent.contentWindow.location.search).get("error") === "login_required" } catch { return false } })()`)
	// Signed out, it hears of no sign-in.
	app.open(r.issuer + "/oauth/logout")
	app.until(`document.getElementById("logout-submit") !== null`)
	app.run(`document.getElementById("logout-submit").click()`)
	app.until(`location.pathname.endsWith("/oauth/signed-out")`)
	app.open(r.request("prompt", "none"))
	app.arrived()
	app.hears("with the state of nobody", own, "unchanged")
}
