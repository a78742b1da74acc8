package uitest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// goodPage passes every check; %s is where the defects go.
const goodPage = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Sign in – Practice</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,"><link rel="stylesheet" href="/style.css"></head>
<body><a href="#main">Skip to main content</a>
<main id="main"><h1>Sign in</h1>
<form method="post" novalidate>
<p><label for="email">Email</label> <input id="email" name="email" type="email" autocomplete="username"></p>
<button>Sign in</button>
</form>
%s
</main></body></html>`

const goodStyle = `body{font:16px/24px sans-serif;color:#1b2530;background:#fff;margin:16px}
input,button{min-height:48px;font:inherit;border:1px solid #6b7a89;max-width:100%}
:focus-visible{outline:3px solid #1b2530}.grey{color:#bbb}.tiny{font-size:9px;line-height:10px;display:block}.wide{width:700px}.pale{border-color:#ddd}
.bare:focus-visible{outline:none}.faint:focus-visible{outline-color:#ddd}.thin:focus-visible{outline-width:1px}.sliver{display:inline-block;height:4px;width:4px;overflow:hidden}`

// trapScript keeps the focus where it is.
const trapScript = `document.getElementById("t").addEventListener("keydown", (event) => event.key === "Tab" && event.preventDefault());`

// localPages serves pages by path, under the policy that the provider uses.
func localPages(t *testing.T, pages map[string]string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'")
		if r.URL.Path == "/style.css" {
			w.Header().Set("Content-Type", "text/css")
			fmt.Fprint(w, goodStyle)
			return
		}
		if r.URL.Path == "/trap.js" {
			w.Header().Set("Content-Type", "text/javascript")
			fmt.Fprint(w, trapScript)
			return
		}
		content, ok := pages[r.URL.Path]
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			content = fmt.Sprintf(goodPage, "<p>Not here.</p>")
		}
		fmt.Fprint(w, content)
	}))
	t.Cleanup(server.Close)
	return strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
}

// TestTheChecksSeeSeededDefects shows that each kind of defect is reported,
// and that a page without one is not.
func TestTheChecksSeeSeededDefects(t *testing.T) {
	defects := []struct{ path, html, report string }{
		{"/good", ``, ""},
		{"/no-label", `<p><input name="who" type="text"></p>`, "axe: label at"},
		{"/grey-text", `<p class="grey">You can hardly read this sentence.</p>`, "axe: color-contrast at"},
		{"/tiny-link", `<a class="tiny" href="/good">a</a><a class="tiny" href="/good2">b</a>`, "axe: target-size at"},
		{"/two-mains", `<main><p>Again.</p></main>`, "2 main elements"},
		{"/two-h1", `<h1>Again</h1>`, "2 h1 elements"},
		{"/dangling", `<p><label for="a">A</label> <input id="a" aria-describedby="a-hint"></p>`, "aria-describedby names #a-hint"},
		{"/twice", `<p id="x">One</p><p id="x">Two</p>`, "id x is on the page twice"},
		{"/wide", `<p class="wide">Wide.</p>`, "scrolls sideways at 320 px"},
		{"/pale-border", `<p><label for="b">B</label> <input id="b" class="pale"></p>`, "has a border of 1."},
		{"/placeholder", `<p><label for="c">C</label> <input id="c" placeholder="c"></p>`, "has placeholder"},
		{"/inline-style", `<p style="color:red">Red.</p>`, "console: "},
		{"/inline-script", `<script>document.title = "Mine"</script>`, "console: "},
		{"/lost-password-form", `<form method="post" novalidate><label for="p">P</label> <input id="p" type="password"><button>Go</button></form>`, "console: [DOM]"},
		{"/unfilled", `<p>Works until {until}.</p>`, `the page says "{until}"`},
		{"/silent-error", `<p><label for="d">D</label> <input id="d" aria-invalid="true"></p>`, "is invalid and not described"},
		{"/no-focus", `<p><a class="bare" href="/good">Somewhere else</a></p>`, "by keyboard: the focus cannot be seen on a"},
		{"/thin-focus", `<p><a class="thin" href="/good">Somewhere else</a></p>`, "its outline is 1 px"},
		{"/faint-focus", `<p><a class="faint" href="/good">Somewhere else</a></p>`, "its outline has 1."},
		{"/order", `<p><a tabindex="1" href="/good">First of all</a></p>`, "axe: tabindex at"},
		{"/trap", `<p><button id="t">Stay</button> <a href="/good">Go on</a></p><script src="/trap.js" defer></script>`, "by keyboard: Tab leads to nothing"},
		{"/sliver", `<p><a class="sliver" href="/good">Somewhere else</a></p>`, "has the focus and is 4 by 4 px"},
		{"/broken-picture", `<img alt="A door" src="/missing.png">`, "console: Failed to load resource"},
	}
	pages := map[string]string{}
	for _, d := range defects {
		pages[d.path] = fmt.Sprintf(goodPage, d.html)
	}
	site := localPages(t, pages)
	p := open(t, "selftest", phoneLight)
	for _, d := range defects {
		p.visit(site + d.path)
		p.await(d.path, "Sign in", "")
		var found []string
		for _, look := range []func() ([]string, error){p.structure, p.axe, p.reflow, p.walk} {
			problems, err := look()
			if err != nil {
				t.Fatalf("%s: %v", d.path, err)
			}
			found = append(found, problems...)
		}
		found = append(found, p.console()...)
		all := strings.Join(found, "\n")
		switch {
		case d.report == "" && all != "":
			t.Errorf("%s: reported %s", d.path, all)
		case d.report != "" && !strings.Contains(all, d.report):
			t.Errorf("%s: want a report of %q, got %q", d.path, d.report, all)
		}
	}
}

// TestTheCoverageSeesWhatIsMissing shows that a text counts only where it
// belongs, in the language it was read in, and that a journey less is noticed.
func TestTheCoverageSeesWhatIsMissing(t *testing.T) {
	c := newCoverage()
	en, es := texts("en"), texts("es")
	missing := func(key, lang string) bool {
		return slices.ContainsFunc(c.unseen(nil), func(line string) bool {
			return strings.HasPrefix(line, key+" ("+lang+") was never shown")
		})
	}
	expect := func(when, key, lang string, want bool) {
		t.Helper()
		if got := missing(key, lang); got != want {
			t.Errorf("%s: %s (%s) is missing: %t, want %t", when, key, lang, got, want)
		}
	}
	expect("nothing was shown", "signin.title", "en", true)
	expect("nothing was shown", "mail.reset.subject", "en", false) // other tests'
	c.note("en", "a step", shownTexts{Heading: "My Account", Said: []string{en["signin.title"]}, All: []string{en["signin.title"], en["signin.error.no_match"]}})
	expect("a button has the words", "signin.title", "en", true)
	expect("not where errors are said", "signin.error.no_match", "en", true)
	expect("as heading", "account.title", "en", false)
	c.note("en", "a step", shownTexts{Heading: en["signin.title"], Said: []string{"Too many tries. Wait 7 minutes or reset your password."}})
	expect("as heading", "signin.title", "en", false)
	expect("as heading in English", "signin.title", "es", true)
	expect("filled, in the plural", "signin.error.slow_down.other", "en", false)
	expect("the other form of it", "signin.error.slow_down.one", "en", false)
	c.note("es", "a step", shownTexts{Heading: es["signin.title"]})
	expect("in Spanish", "signin.title", "es", false)
	for excuse, want := range map[string]string{"signin.title": "needs no excuse", "signin.nothing": "there is no such text"} {
		if found := strings.Join(c.unseen(map[string]string{excuse: "tired"}), "\n"); !strings.Contains(found, want) {
			t.Errorf("the excuse for %s stands: want %q", excuse, want)
		}
	}
}

// TestTheDriverActsLikeAPerson holds the driver itself to what the journeys
// count on: emulated language and colours, pressing by name, status of a page.
func TestTheDriverActsLikeAPerson(t *testing.T) {
	site := localPages(t, map[string]string{
		"/start": fmt.Sprintf(goodPage, `<p><a href="/next">Go on <span class="vh">to the next page</span></a></p>`),
		"/next":  strings.Replace(fmt.Sprintf(goodPage, ""), "<h1>Sign in", "<h1>Next", 1),
	})
	p := open(t, "selftest", desktopDark)
	p.lang = "en"
	p.visit(site + "/start")
	p.shown("start", "Sign in")
	state, err := value[string](p, `[navigator.language, matchMedia("(prefers-color-scheme: dark)").matches, innerWidth].join()`)
	if err != nil || state != "es-US,true,1280" {
		t.Errorf("the tab is %s (%v), want es-US,true,1280", state, err)
	}
	p.fill("email", "ana@example.test")
	p.fill("email", "Ána@example.test")
	p.follow("Go on")
	p.shown("next", "Next")
	p.visit(site + "/nowhere")
	p.refused("missing", "Sign in", http.StatusNotFound, "Not here.")
	p.tabTo("the button", `el.tagName === "BUTTON"`)
	if html, err := value[string](p, "document.documentElement.outerHTML"); err != nil || strings.Contains(html, "style=") {
		t.Errorf("the checks left styles on the page: %s (%v)", html, err)
	}
}

// TestChecksRunWithoutScripts shows that a tab that runs no page's script can
// still be driven and checked.
func TestChecksRunWithoutScripts(t *testing.T) {
	site := localPages(t, map[string]string{
		"/start": fmt.Sprintf(goodPage, `<noscript><p>No scripts here.</p></noscript><p class="grey">Hard to read.</p><p><a href="/start">Go on</a></p>`),
	})
	p := open(t, "selftest", phoneLight)
	p.withoutScripts()
	p.visit(site + "/start")
	p.await("start", "Sign in", "No scripts here.")
	p.fill("email", "ana@example.test")
	found, err := p.axe()
	if err != nil || !strings.Contains(strings.Join(found, " "), "color-contrast") {
		t.Errorf("axe found %q (%v)", found, err)
	}
	p.follow("Go on")
	p.await("again", "Sign in", "No scripts here.")
}
