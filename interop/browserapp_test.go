package interop

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// TestOIDCClientTS runs a single-page app in Chromium: sign-in, userinfo by a
// script, renewal by refresh token and by a frame, session monitoring with
// check_session_iframe, logout.
func TestOIDCClientTS(t *testing.T) {
	const library = "node/node_modules/oidc-client-ts/dist/browser/oidc-client-ts.min.js"
	if _, err := os.Stat(library); err != nil {
		t.Fatal("run `make interop`, or `npm ci` in interop/node:", err)
	}
	strict(t)
	mux := http.NewServeMux()
	mux.HandleFunc("/oidc-client-ts.min.js", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, library) })
	mux.HandleFunc("/settings.json", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]string{"authority": idp.Issuer})
	})
	mux.Handle("/", http.FileServer(http.Dir("browserapp")))
	serve(t, mux)

	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox)
	alloc, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	defer cancel()
	first, cancel := chromedp.NewContext(alloc)
	defer cancel()
	app := &tab{t, first}
	signIn := func() {
		t.Helper()
		app.open("http://" + listenAddress + "/")
		app.until(`document.title === "ready"`)
		app.do(`void app.signIn()`)
		app.until(`document.getElementById("password") !== null`)
		app.do(fmt.Sprintf(`document.getElementById("email").value = %q; document.getElementById("password").value = %q;
			document.querySelector("main form").requestSubmit()`, idp.Email, idp.Password))
		app.until(`document.title === ` + fmt.Sprintf("%q", "signed in as "+idp.Email))
	}
	signIn()
	app.do(`app.startRenewing()`)
	app.until(`document.title === "renewed"`)
	app.do(`void app.signOut()`)
	app.until(`document.title === "signed out"`)

	// Signing out in another tab is noticed here, by the frame.
	signIn()
	time.Sleep(3 * time.Second)
	app.until(`document.title.startsWith("signed in as")`)
	second, cancel := chromedp.NewContext(first)
	defer cancel()
	other := &tab{t, second}
	other.open(idp.Issuer + "/oauth/logout")
	other.until(`document.querySelector("main form") !== null`)
	other.do(`document.querySelector("main form").requestSubmit()`)
	other.until(`location.pathname.endsWith("/oauth/signed-out")`)
	app.until(`document.title === "signed out elsewhere"`)
}

// tab is a page in Chromium.
type tab struct {
	t   *testing.T
	ctx context.Context
}

func (b *tab) open(address string) {
	b.t.Helper()
	if _, err := chromedp.Run(b.ctx, chromedp.Navigate(address)); err != nil {
		b.t.Fatal(err)
	}
}

func (b *tab) do(script string) {
	b.t.Helper()
	if _, err := chromedp.Run(b.ctx, chromedp.Evaluate[chromedp.Void](script)); err != nil {
		b.t.Fatalf("%s: %v", script, err)
	}
}

// until waits for a condition, through any number of pages.
func (b *tab) until(condition string) {
	b.t.Helper()
	err := poll(30*time.Second, func() error {
		ok, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](condition))
		if err == nil && !ok {
			err = fmt.Errorf("%s never became true", condition)
		}
		return err
	})
	if err != nil {
		page, _ := chromedp.Run(b.ctx, chromedp.Evaluate[string](`location.href + "\n" + document.title + "\n" + document.body.innerText`))
		b.t.Fatalf("%v\n%s", err, page)
	}
}
