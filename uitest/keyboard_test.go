package uitest

import (
	_ "embed"
	"errors"
	"fmt"
	"strings"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

//go:embed testdata/walk.js
var walkSource string

// keys presses keys, as on a keyboard.
func (p *page) keys(text string) {
	p.t.Helper()
	p.must(chromedp.KeyEvent(text))
}

// enter presses Enter as a keyboard does: what the key does first, such as
// following a link, keeps it from doing a second thing where the focus is then.
func (p *page) enter() {
	p.t.Helper()
	key := input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeKeyDown, Key: "Enter", Code: "Enter", Text: "\r", WindowsVirtualKeyCode: 13, NativeVirtualKeyCode: 13}
	up := key
	up.Type, up.Text = input.DispatchKeyEventTypeKeyUp, ""
	p.must(call(input.DispatchKeyEvent.Method, key), call(input.DispatchKeyEvent.Method, up))
}

// tabTo presses Tab until what has the focus satisfies the condition, which
// is a script about el. It fails when the focus cannot be seen.
func (p *page) tabTo(what, condition string) {
	p.t.Helper()
	for range 90 {
		p.keys(kb.Tab)
		state, err := value[map[string]bool](p, `(el => {
			const s = getComputedStyle(el);
			return {there: !!(`+condition+`), seen: el === document.body || s.outlineStyle === "auto" || s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 2 || s.boxShadow !== "none"};
		})(document.activeElement)`)
		if err != nil {
			p.fatalf("tab to %s: %v", what, err)
		}
		if !state["seen"] {
			name, _ := value[string](p, "document.activeElement.outerHTML.slice(0, 120)")
			p.t.Errorf("the focus cannot be seen on %s (%s)", name, p.address())
		}
		if state["there"] {
			return
		}
	}
	p.fatalf("90 times Tab did not lead to %s", what)
}

func selectAll() chromedp.Action[chromedp.Void] {
	return chromedp.KeyEvent("a", chromedp.KeyModifiers(kb.ModifierCtrl))
}

// pressKeys presses what find.js has found the way somebody without a mouse
// does: Tab until it has the focus, then Enter on links and Space on the rest.
// Within a group of radio buttons the arrows lead.
func (p *page) pressKeys(name string) {
	p.t.Helper()
	kind, err := value[string](p, `uitestFound.type === "radio" ? "radio" : uitestFound.tagName === "A" ? "link" : "button"`)
	if err != nil {
		p.fatalf("find %q: %v", name, err)
	}
	switch kind {
	case "link":
		p.tabTo(name, "el === uitestFound")
		p.enter()
	case "button":
		p.tabTo(name, "el === uitestFound")
		p.keys(" ")
	case "radio":
		p.tabTo(name, `el.type === "radio" && el.name === uitestFound.name`)
		for range 10 {
			if there, err := value[bool](p, "uitestFound.checked && document.activeElement === uitestFound"); err == nil && there {
				return
			}
			p.keys(kb.ArrowDown)
		}
		p.fatalf("the arrows do not lead to %q", name)
	}
}

// chooseByKeys moves through a select's options with the arrows.
func (p *page) chooseByKeys(id, option string) {
	p.t.Helper()
	p.tabTo("the list "+id, "el.id === "+quoted(id))
	for range 12 {
		if p.valueOf(id) == option {
			return
		}
		p.keys(kb.ArrowDown)
	}
	p.fatalf("the arrows do not lead to %s in %s", option, id)
}

// walk tabs through the whole page: each thing to press or fill in gets the
// focus in its order, the focus can be seen on it, and there is a way on.
func (p *page) walk() ([]string, error) {
	if !p.scripts {
		// The walk listens. What the page did not run while it loaded, it does
		// not run now.
		if err := p.do(disableScripts(false)); err != nil {
			return nil, err
		}
		defer p.do(disableScripts(true)) //nolint:errcheck // the next page would show it
	}
	type plan struct {
		Stops  int  `json:"stops"`
		Parts  int  `json:"parts"`
		Frames bool `json:"frames"`
	}
	walk := "(() => {" + coloursSource + "globalThis.uitestWalker = (" + walkSource + ")})();"
	before, err := value[plan](p, walk+"uitestWalker.start()")
	if err != nil {
		return nil, fmt.Errorf("walk: %w", err)
	}
	stops := before.Stops + before.Parts + 1
	if before.Frames {
		stops += 20 // Tab goes through what is in them
	}
	walked := p.do(chromedp.KeyEvent(strings.Repeat(kb.Tab, stops)))
	found, err := value[[]string](p, "uitestWalker.done()")
	return prefixed("by keyboard: ", found), errors.Join(walked, err)
}
