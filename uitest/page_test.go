package uitest

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// patience is how long a page may take to appear. Password hashing and two
// cores shared with Chromium make this a matter of seconds at worst.
const patience = 20 * time.Second

//go:embed testdata/find.js
var findSource string

// profile is a person's device: its window, its colours and its language.
type profile struct {
	name          string
	width, height int64
	dark          bool
	lang          string
	phone         bool
}

var (
	phoneLight   = profile{name: "phone", width: 390, height: 844, lang: "en", phone: true}
	phoneDark    = profile{name: "phone-dark-es", width: 390, height: 844, lang: "es", phone: true, dark: true}
	desktopLight = profile{name: "desktop", width: 1280, height: 800, lang: "en"}
	desktopDark  = profile{name: "desktop-dark-es", width: 1280, height: 800, lang: "es", dark: true}
)

func (pr profile) size() string {
	size := fmt.Sprintf("%dx%d", pr.width, pr.height)
	if pr.dark {
		size += "-dark"
	}
	return size
}

type logLine struct{ text, url string }

// page is one tab in a browser context of its own.
type page struct {
	t             *testing.T
	ctx           context.Context
	journey       string
	profile       profile
	lang          string                   // the language the pages must have
	scripts       bool                     // whether pages may run scripts
	quick         bool                     // look at each page's structure only
	walked        bool                     // tab through each page, in the full matrix all are
	hands         bool                     // whether there is a mouse or a thumb; else all is done by keyboard
	authenticator webauthn.AuthenticatorID // of the device, see withAuthenticator
	issuers       []string                 // addresses below them are the provider's
	english       string                   // addresses below it are in English whatever the person reads

	mu        sync.Mutex
	logged    []logLine
	documents map[string]bool // addresses that answered as a page, not as a part of one
	loads     int             // documents loaded
	status    int64           // of the last document
	want      int             // loads there must be before a page counts as shown
}

// open opens a tab for a journey. The tab is closed when the test ends.
func open(t *testing.T, journey string, pr profile) *page {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	p := &page{t: t, ctx: ctx, journey: journey, profile: pr, lang: pr.lang, scripts: true, hands: true, documents: map[string]bool{}}
	// The first call opens the tab and must have no time limit: the tab lives as long as it.
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("open a tab: %v", err)
	}
	if err := chromedp.Listen(ctx, p.listen); err != nil {
		t.Fatalf("listen to the tab: %v", err)
	}
	agent, err := value[string](p, "navigator.userAgent")
	if err != nil {
		t.Fatalf("read the user agent: %v", err)
	}
	agent = strings.Replace(agent, "HeadlessChrome", "Chrome", 1)
	languages := map[string]string{"en": "en-US,en", "es": "es-US,es"}[pr.lang]
	if err := p.do(
		call(emulation.SetUserAgentOverride.Method, emulation.SetUserAgentOverrideParams{UserAgent: agent, AcceptLanguage: languages}),
	); err != nil {
		t.Fatalf("prepare the tab: %v", err)
	}
	if err := p.becomes(pr); err != nil {
		t.Fatalf("prepare the tab: %v", err)
	}
	return p
}

// becomes makes the tab one of this device.
func (p *page) becomes(pr profile) error {
	scheme := "light"
	if pr.dark {
		scheme = "dark"
	}
	return errors.Join(p.do(call(emulation.SetEmulatedMedia.Method, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}})),
		p.resize(pr.width, pr.height))
}

// open opens a tab for a journey through the demo. Both engines show the same
// pages, so one of them is enough for pictures, axe and reflow.
func (d *demo) open(t *testing.T, journey string, pr profile) *page {
	t.Helper()
	p := open(t, journey, pr)
	p.quick = d.engine != sqlite
	p.hands = !fullMatrix || pr.phone
	p.english = d.Realms["practice"].Portal
	for _, realm := range d.Realms {
		p.issuers = append(p.issuers, realm.Issuer)
	}
	return p
}

// withoutScripts makes the tab one that runs no page's script.
func (p *page) withoutScripts() {
	p.t.Helper()
	p.scripts = false
	p.must(disableScripts(true))
}

func disableScripts(disabled bool) chromedp.Action[chromedp.Void] {
	return call(emulation.SetScriptExecutionDisabled.Method, emulation.SetScriptExecutionDisabledParams{Value: disabled})
}

func (p *page) resize(width, height int64) error {
	var opts []chromedp.EmulateViewportOption
	if p.profile.phone {
		opts = append(opts, chromedp.EmulateMobile, chromedp.EmulateTouch, chromedp.EmulatePortrait)
	}
	return p.do(chromedp.EmulateViewport(width, height, opts...))
}

// listen runs in the loop that reads the browser's messages: it only notes.
func (p *page) listen(ev any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch ev := ev.(type) {
	case *cdplog.EventEntryAdded:
		e := ev.Entry
		if e.Level == cdplog.EntryLevelError || e.Level == cdplog.EntryLevelWarning || strings.Contains(e.Text, "[DOM]") {
			p.logged = append(p.logged, logLine{e.Text, e.URL})
		}
	case *runtime.EventExceptionThrown:
		d := ev.ExceptionDetails
		text := "exception: " + d.Text
		if d.Exception != nil {
			text += " " + d.Exception.Description
		}
		p.logged = append(p.logged, logLine{text, d.URL})
	case *runtime.EventConsoleAPICalled:
		if ev.Type == runtime.ConsoleAPICalledTypeError || ev.Type == runtime.ConsoleAPICalledTypeWarning || ev.Type == runtime.ConsoleAPICalledTypeAssert {
			p.logged = append(p.logged, logLine{fmt.Sprintf("console.%s %v", ev.Type, ev.Args), ""})
		}
	case *network.EventResponseReceived:
		if ev.Type == network.ResourceTypeDocument {
			p.status = ev.Response.Status
			address, _, _ := strings.Cut(ev.Response.URL, "#")
			p.documents[address] = true
		}
	case *cdppage.EventLoadEventFired:
		p.loads++
	}
}

// do runs steps with the tab's patience.
func (p *page) do(steps ...chromedp.Action[chromedp.Void]) error {
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	return chromedp.Do(ctx, steps...)
}

func (p *page) must(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := p.do(steps...); err != nil {
		p.fatalf("%v", err)
	}
}

func runIn[T any](p *page, action chromedp.Action[T]) (T, error) {
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	return chromedp.Run(ctx, action)
}

// value evaluates a script in the tab.
func value[T any](p *page, script string, opts ...chromedp.EvaluateOption) (T, error) {
	return runIn(p, chromedp.Evaluate[T](script, opts...))
}

func call(method string, params any) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		return t.Call(ctx, method, params, nil)
	})
}

// fatalf ends the test with a picture and the text of the page.
func (p *page) fatalf(format string, args ...any) {
	p.t.Helper()
	if picture, err := runIn(p, chromedp.FullScreenshot(100)); err == nil {
		p.keepFailure(picture)
	}
	text, _ := value[string](p, "document.body.innerText")
	p.t.Fatalf("%s\n  at %s, status %d, console %q, showing:\n%s", fmt.Sprintf(format, args...),
		p.address(), p.lastStatus(), p.console(), indent(text))
}

func (p *page) address() string {
	at, _ := value[string](p, "location.href")
	return at
}

func (p *page) lastStatus() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.status
}

// visit opens an address, as from a bookmark or a mail program.
func (p *page) visit(address string) {
	p.t.Helper()
	p.willLoad()
	if err := p.do(call(cdppage.Navigate.Method, cdppage.NavigateParams{URL: address})); err != nil {
		p.fatalf("visit %s: %v", address, err)
	}
}

// spot is where to press.
type spot struct {
	X       float64 `json:"x"`
	Y       float64 `json:"y"`
	Problem string  `json:"problem"`
}

// press presses what is called name: a link, a button or a label.
func (p *page) press(name string) {
	p.t.Helper()
	arg, err := json.Marshal(name)
	if err != nil {
		p.t.Fatal(err)
	}
	at, err := value[spot](p, findSource+"("+string(arg)+")")
	if err != nil {
		p.fatalf("find %q: %v", name, err)
	}
	if at.Problem != "" {
		p.fatalf("%s", at.Problem)
	}
	if !p.hands {
		p.pressKeys(name)
		return
	}
	p.must(chromedp.MouseClickXY(at.X, at.Y))
}

// follow presses what is called name and expects another page.
func (p *page) follow(name string) {
	p.t.Helper()
	p.willLoad()
	p.press(name)
}

// fill types into the field with this id, in place of what it holds.
func (p *page) fill(id, text string) {
	p.t.Helper()
	at, err := value[spot](p, `(id => {
		const el = document.getElementById(id) || document.getElementsByName(id)[0];
		if (!el) return {problem: "no field " + id + "; there are: " + [...document.querySelectorAll("input:not([type=hidden]), select, textarea")].map(el => el.id || el.name).join(", ")};
		el.scrollIntoView({block: "center", behavior: "instant"});
		const box = el.getBoundingClientRect(), x = box.left + Math.min(box.width / 2, 60), y = box.top + box.height / 2;
		if (document.elementFromPoint(x, y) !== el) return {problem: "the field " + id + " is covered"};
		el.select();
		return {x, y};
	})(`+quoted(id)+`)`)
	if err != nil {
		p.fatalf("find the field %s: %v", id, err)
	}
	if at.Problem != "" {
		p.fatalf("%s", at.Problem)
	}
	if p.hands {
		p.must(chromedp.MouseClickXY(at.X, at.Y),
			chromedp.Evaluate[chromedp.Void]("document.activeElement.select()"))
	} else {
		p.tabTo("the field "+id, "el.id === "+quoted(id)+" || el.name === "+quoted(id))
		p.must(selectAll())
	}
	if text == "" {
		p.must(chromedp.KeyEvent(kb.Delete))
	} else {
		p.must(call(input.InsertText.Method, input.InsertTextParams{Text: text}))
	}
	if got := p.valueOf(id); got != text {
		p.fatalf("typed %q into %s, and it holds %q", text, id, got)
	}
}

// choose selects an option of a <select> by its value.
func (p *page) choose(id, option string) {
	p.t.Helper()
	if !p.hands {
		p.chooseByKeys(id, option)
		return
	}
	ok, err := value[bool](p, fmt.Sprintf(`(() => { const el = document.getElementById(%q); if (!el) return false; el.value = %q; return el.value === %q })()`, id, option, option))
	if err != nil || !ok {
		p.fatalf("choose %s in %s: %v", option, id, err)
	}
}

// valueOf is what a field holds.
func (p *page) valueOf(id string) string {
	p.t.Helper()
	text, err := value[string](p, fmt.Sprintf(`(document.getElementById(%q) || document.getElementsByName(%q)[0] || {value: "no such field"}).value`, id, id))
	if err != nil {
		p.fatalf("read %s: %v", id, err)
	}
	return text
}

func indent(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n    ")
}

// say returns one of the provider's texts in the page's language, with its
// placeholders filled: say("layout.steps", "step", "1", "of", "3").
func (p *page) say(key string, pairs ...string) string {
	p.t.Helper()
	text, ok := texts(p.lang)[key]
	if !ok {
		p.t.Fatalf("templates/locales/%s.json has no %s", p.lang, key)
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		text = strings.ReplaceAll(text, "{"+pairs[i]+"}", pairs[i+1])
	}
	return text
}

// langHere is the language of the page that is shown: the Practice Portal's
// own pages know English only.
func (p *page) langHere() string {
	if p.english != "" && strings.HasPrefix(p.address(), p.english) {
		return "en"
	}
	return p.lang
}

// or returns the English or the Spanish words.
func (p *page) or(en, es string) string {
	if p.lang == "es" {
		return es
	}
	return en
}

// in does something on pages that are in another language.
func (p *page) in(lang string, do func()) {
	before := p.lang
	p.lang = lang
	defer func() { p.lang = before }()
	do()
}

// as names the pictures that follow after another journey.
func (p *page) as(journey string) *page {
	p.journey = journey
	return p
}

// has reports whether something to press is called name.
func (p *page) has(name string) bool {
	p.t.Helper()
	at, err := value[spot](p, findSource+"("+quoted(name)+")")
	return err == nil && at.Problem == ""
}

// goBack presses the browser's Back button, and goForward the other one. They
// are not chromedp's, which wait for a load that a kept page never fires.
func (p *page) goBack()    { p.t.Helper(); p.goHistory(-1) }
func (p *page) goForward() { p.t.Helper(); p.goHistory(1) }

func (p *page) goHistory(by int64) {
	p.t.Helper()
	history, err := runIn(p, chromedp.NavigationEntries())
	if err != nil {
		p.fatalf("read the history: %v", err)
	}
	to := history.CurrentIndex + by
	if to < 0 || to >= int64(len(history.Entries)) {
		p.fatalf("the history has no page %d of %d", to, len(history.Entries))
	}
	p.must(call(cdppage.NavigateToHistoryEntry.Method, cdppage.NavigateToHistoryEntryParams{EntryID: history.Entries[to].ID}))
}

func quoted(text string) string {
	q, _ := json.Marshal(text) // a string always has a JSON form
	return string(q)
}
