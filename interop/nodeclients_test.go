package interop

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// node runs a script of node/ and is its browser: a line "GO address" opens an
// address, the answer is where the browser ended; "OK" is the end.
func node(t *testing.T, script string, env ...string) {
	t.Helper()
	if _, err := exec.LookPath("node"); err != nil {
		t.Fatal("node is needed:", err)
	}
	if _, err := os.Stat("node/node_modules"); err != nil {
		t.Fatal("run `make interop`, or `npm ci` in interop/node:", err)
	}
	b := newBrowser(t)
	cmd := exec.CommandContext(t.Context(), "node", script)
	cmd.Dir, cmd.Stderr = "node", t.Output()
	cmd.Env = append(os.Environ(), "ISSUER="+idp.Issuer, "CLIENT_ID="+clientID, "CLIENT_SECRET="+idp.Secret,
		"REDIRECT_URI="+redirectURI, "SIGNED_OUT_URI="+signedOutURI, "EMAIL="+idp.Email)
	cmd.Env = append(cmd.Env, env...)
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
	finished := false
	for lines := bufio.NewScanner(out); lines.Scan(); {
		address, opens := strings.CutPrefix(lines.Text(), "GO ")
		switch {
		case opens:
			at, _ := b.visit(address, "http://"+listenAddress)
			if _, err := io.WriteString(in, at.String()+"\n"); err != nil {
				t.Fatal(err)
			}
		case lines.Text() == "OK":
			finished = true
		default:
			t.Log(lines.Text())
		}
	}
	if err := cmd.Wait(); err != nil || !finished {
		t.Fatal("the script did not get through", err)
	}
	b.signedOut()
}

func TestOpenIDClient(t *testing.T) { node(t, "openid-client.mjs") }

func TestOAuth4WebAPI(t *testing.T) { node(t, "oauth4webapi.mjs") }
