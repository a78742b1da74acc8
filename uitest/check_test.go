package uitest

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

//go:embed testdata/axe.min.js
var axeSource string

//go:embed testdata/check.js
var checkSource string

//go:embed testdata/colours.js
var coloursSource string

// axeRun asks for every WCAG 2.2 AA rule and the best practices, and returns
// what is wrong in few words.
const axeRun = `axe.run(document, {
	runOnly: {type: "tag", values: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa", "best-practice"]},
	resultTypes: ["violations"], preload: false,
}).then(r => r.violations.flatMap(v => v.nodes.map(n =>
	v.id + " at " + n.target.join(" ") + ": " + (n.failureSummary || v.help).replace(/\s+/g, " "))))`

// axe returns the violations of the page that is shown.
func (p *page) axe() ([]string, error) { return p.runAxe(axeRun) }

func (p *page) runAxe(script string) ([]string, error) {
	if !p.scripts {
		// axe needs timers. What the page did not run while it loaded, it does
		// not run now.
		if err := p.do(disableScripts(false)); err != nil {
			return nil, err
		}
		defer p.do(disableScripts(true)) //nolint:errcheck // the next page would show it
	}
	if err := p.do(chromedp.Evaluate[chromedp.Void](axeSource)); err != nil {
		return nil, fmt.Errorf("load axe: %w", err)
	}
	found, err := value[[]string](p, script, chromedp.EvalAwaitPromise)
	if err != nil {
		return nil, fmt.Errorf("run axe: %w", err)
	}
	return prefixed("axe: ", found), nil
}

// structure returns what check.js finds.
func (p *page) structure() ([]string, error) {
	want, err := json.Marshal(map[string]any{"lang": p.langHere(), "keys": localeKeys()})
	if err != nil {
		return nil, err
	}
	return value[[]string](p, "(() => {"+coloursSource+"return ("+checkSource+")})()("+string(want)+")")
}

// sideways is true when something is wider than the window.
const sideways = `(() => {
	const root = document.scrollingElement;
	if (root.scrollWidth <= root.clientWidth) return "";
	const wide = [...document.querySelectorAll("body *")].filter(el => el.getBoundingClientRect().right > root.clientWidth + 0.5);
	const last = wide[wide.length - 1];
	return root.scrollWidth + " px of content in " + root.clientWidth + " px" +
		(last ? ", because of " + last.tagName.toLowerCase() + "." + last.className + " " + JSON.stringify(last.textContent.trim().slice(0, 60)) : "");
})()`

// bigText and spacedText are the text settings of WCAG 1.4.4 and 1.4.12, put
// on and taken off again through the object model, which our policy allows.
const (
	bigText    = `document.documentElement.style.fontSize = "200%"; ` + sideways
	spacedText = `document.documentElement.style.fontSize = ""; for (const el of document.querySelectorAll("body, body *")) {
		const s = el.style; s.lineHeight = "1.5"; s.letterSpacing = "0.12em"; s.wordSpacing = "0.16em"; if (el.tagName === "P") s.marginBottom = "2em";
	} ` + sideways
	// Reading the attribute first is what makes Chromium remove it wholly.
	plainText = `for (const el of document.querySelectorAll("html, body, body *")) { el.style.cssText = ""; el.getAttribute("style"); el.removeAttribute("style"); }`
)

// reflow returns where the page scrolls sideways: as it is, with text twice as
// big, with the spacing of WCAG 1.4.12, and 320 px wide.
func (p *page) reflow() ([]string, error) {
	var problems []string
	measure := func(when, script string) error {
		text, err := value[string](p, script)
		if err == nil && text != "" {
			problems = append(problems, "scrolls sideways "+when+": "+text)
		}
		return err
	}
	err := errors.Join(
		measure(fmt.Sprintf("at %d px", p.profile.width), sideways),
		measure(fmt.Sprintf("at %d px with text at 200%%", p.profile.width), bigText),
		measure(fmt.Sprintf("at %d px with wide text spacing", p.profile.width), spacedText),
		p.do(chromedp.Evaluate[chromedp.Void](plainText)),
	)
	narrow, narrowErr := p.narrow()
	return append(problems, narrow...), errors.Join(err, narrowErr)
}

// narrow returns where the page scrolls sideways when it is 320 px wide.
func (p *page) narrow() ([]string, error) {
	if err := p.resize(320, 568); err != nil {
		return nil, err
	}
	text, err := value[string](p, sideways)
	err = errors.Join(err, p.resize(p.profile.width, p.profile.height))
	if text == "" {
		return nil, err
	}
	return []string{"scrolls sideways at 320 px: " + text}, err
}

// check holds the page that is shown to the bar, and keeps pictures of it: as
// the person of the journey sees it, and in the full matrix in both colour
// schemes on a phone and at a desk. The languages come from the households.
func (p *page) check(step string) {
	p.t.Helper()
	var problems []string
	look := func(looks ...func() ([]string, error)) {
		p.t.Helper()
		for _, each := range looks {
			found, err := each()
			if err != nil {
				p.fatalf("%s: check: %v", step, err)
			}
			problems = append(problems, found...)
		}
	}
	if p.quick {
		look(p.structure)
	} else {
		p.screenshot(step)
		look(p.structure, p.axe, p.reflow)
		if err := p.noteTexts(step); err != nil {
			p.fatalf("%s: %v", step, err)
		}
		if fullMatrix {
			for _, other := range p.profile.others() {
				look(func() ([]string, error) { return p.seenBy(other, step) })
			}
		}
		if fullMatrix || p.walked {
			look(p.walk)
		}
	}
	problems = append(problems, p.console()...)
	for _, problem := range problems {
		p.t.Errorf("%s (%s): %s", step, p.address(), problem)
	}
}

// fullMatrix is the nightly run: every page in both schemes and at both sizes,
// walked through by keyboard, and one household that owns no mouse.
var fullMatrix = os.Getenv("UITEST_MATRIX") == "full"

// others are the devices that the person does not hold.
func (pr profile) others() []profile {
	var all []profile
	for _, each := range []profile{phoneLight, phoneDark, desktopLight, desktopDark} {
		if each.lang = pr.lang; each.width != pr.width || each.dark != pr.dark {
			all = append(all, each)
		}
	}
	return all
}

// seenBy looks at the page that is shown as on another device.
func (p *page) seenBy(other profile, step string) (problems []string, err error) {
	own := p.profile
	defer func() {
		p.profile = own
		err = errors.Join(err, p.becomes(own))
	}()
	p.profile = other
	if err := p.becomes(other); err != nil {
		return nil, err
	}
	p.screenshot(step)
	for _, look := range []func() ([]string, error){p.structure, p.axe, p.reflow} {
		found, err := look()
		if err != nil {
			return nil, err
		}
		problems = append(problems, found...)
	}
	return prefixed(other.size()+": ", problems), nil
}

// screenshot keeps a picture of the whole page.
func (p *page) screenshot(step string) {
	p.t.Helper()
	if p.quick {
		return
	}
	yes := true
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	picture, err := chromedp.Call(ctx, cdppage.CaptureScreenshot, cdppage.CaptureScreenshotParams{CaptureBeyondViewport: &yes, OptimizeForSpeed: &yes})
	if err != nil {
		p.fatalf("%s: screenshot: %v", step, err)
	}
	if err := os.MkdirAll("screenshots", 0o755); err != nil {
		p.t.Fatal(err)
	}
	file := fmt.Sprintf("%s.%s.%s.%s.png", p.journey, step, p.langHere(), p.profile.size())
	if err := os.WriteFile(filepath.Join("screenshots", file), picture.Data, 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// console returns what the browser logged since the last call. The line about
// a page's own status is none of its business: shown and refused judge that.
func (p *page) console() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var problems []string
	for _, line := range p.logged {
		address, _, _ := strings.Cut(line.url, "#")
		if strings.Contains(line.text, "the server responded with a status of") && p.documents[address] {
			continue
		}
		problems = append(problems, "console: "+line.text+" ("+line.url+")")
	}
	p.logged = nil
	return problems
}

// localeKeys are the keys of the provider's texts: none may be on a page.
var localeKeys = sync.OnceValue(func() []string {
	keys := make([]string, 0, 400)
	for key := range texts("en") {
		if strings.Contains(key, ".") {
			keys = append(keys, key)
		}
	}
	return keys
})

// texts are the provider's texts of a language.
func texts(lang string) map[string]string {
	words := map[string]string{}
	content, err := os.ReadFile(filepath.Join("..", "templates", "locales", lang+".json"))
	if err != nil {
		return words
	}
	_ = json.Unmarshal(content, &words) // the provider's own tests judge the file
	return words
}

func prefixed(prefix string, lines []string) []string {
	for i, line := range lines {
		lines[i] = prefix + line
	}
	return lines
}

// keepFailure keeps a picture of the page at which a test ended.
func (p *page) keepFailure(picture []byte) {
	if os.MkdirAll("screenshots", 0o755) != nil {
		return
	}
	name := strings.NewReplacer("/", "_", " ", "_").Replace(p.t.Name())
	_ = os.WriteFile(filepath.Join("screenshots", "FAILED."+name+".png"), picture, 0o644) // the failure itself is reported
}
