package uitest

import (
	"fmt"
	"maps"
	"strings"
	"time"
)

// willLoad notes that the next page counts only once another document came.
func (p *page) willLoad() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.want = p.loads + 1
}

// shown waits until a page with this heading is there, and checks it.
func (p *page) shown(step, heading string) {
	p.t.Helper()
	p.await(step, heading, "")
	if status := p.lastStatus(); status >= 400 {
		p.fatalf("%s: %q came with status %d", step, heading, status)
	}
	p.check(step)
}

// refused waits until a page with this heading and status is there, saying
// this sentence, and checks it.
func (p *page) refused(step, heading string, status int, sentence string) {
	p.t.Helper()
	p.await(step, heading, sentence)
	if got := p.lastStatus(); got != int64(status) {
		p.t.Errorf("%s (%s): status %d, want %d", step, p.address(), got, status)
	}
	p.check(step)
}

// view is what a page shows, read in one go.
type view struct {
	Ready   bool   `json:"ready"`
	Address string `json:"address"`
	Heading string `json:"heading"`
	Title   string `json:"title"`
	Text    string `json:"text"`
	Refresh bool   `json:"refresh"` // the page is about to lead on by itself
}

const viewScript = `({ready: document.readyState === "complete", address: location.href,
	heading: ((document.querySelector("h1") || {}).textContent || "").replace(/\s+/g, " ").trim(),
	title: document.title, text: document.body.innerText.replace(/\s+/g, " "),
	refresh: !!document.querySelector("meta[http-equiv=refresh i]")})`

// await waits for a loaded page with a heading and, if given, a sentence.
func (p *page) await(step, heading, sentence string) view {
	p.t.Helper()
	deadline := time.Now().Add(patience)
	var v view
	var err error
	for time.Now().Before(deadline) {
		// An error here is a page on its way out: look again.
		v, err = value[view](p, viewScript)
		p.mu.Lock()
		loaded := p.loads >= p.want
		p.mu.Unlock()
		if err == nil && loaded && v.Ready && v.Heading == heading && strings.Contains(v.Text, sentence) {
			return v
		}
		if err == nil && loaded && v.Ready && !v.Refresh && v.Heading != "" && p.settled(v) {
			break
		}
		time.Sleep(40 * time.Millisecond)
	}
	p.fatalf("%s: want the page %q saying %q, got %q (error %v)", step, heading, sentence, v.Heading, err)
	return v
}

// settled reports whether the wrong page is there to stay: waiting longer
// would only make a failure slow.
func (p *page) settled(v view) bool {
	time.Sleep(1500 * time.Millisecond)
	again, err := value[view](p, viewScript)
	return err == nil && again == v
}

// says fails unless the page says the sentence.
func (p *page) says(sentence string) {
	p.t.Helper()
	if v, err := value[view](p, viewScript); err != nil || !strings.Contains(v.Text, sentence) {
		p.fatalf("the page does not say %q (%v)", sentence, err)
	}
}

// keepsQuiet fails if the page says the sentence.
func (p *page) keepsQuiet(sentence string) {
	p.t.Helper()
	if v, err := value[view](p, viewScript); err != nil || strings.Contains(v.Text, sentence) {
		p.fatalf("the page says %q (%v)", sentence, err)
	}
}

// at fails unless the address starts with this.
func (p *page) at(prefix string) {
	p.t.Helper()
	if got := p.address(); !strings.HasPrefix(got, prefix) {
		p.fatalf("at %s, want %s…", got, prefix)
	}
}

// fieldSays fails unless the field's own error is this sentence, and the
// summary has a link to the field with the same sentence.
func (p *page) fieldSays(id, sentence string) {
	p.t.Helper()
	got, err := value[map[string]string](p, fmt.Sprintf(`(id => ({
		inline: ((document.getElementById(id + "-err") || {}).textContent || "").trim(),
		summary: ((document.querySelector('main [role=alert] a[href="#' + id + '"]') || {}).textContent || "").trim(),
		invalid: (document.getElementById(id) || document.body).getAttribute("aria-invalid") || "",
	}))(%q)`, id))
	want := map[string]string{"inline": sentence, "summary": sentence, "invalid": "true"}
	if err != nil || !maps.Equal(got, want) {
		p.t.Errorf("field %s at %s says %v, want %v (%v)", id, p.address(), got, want, err)
	}
}

// awaitAny waits for whatever page comes next and stays.
func (p *page) awaitAny(step string) view {
	p.t.Helper()
	deadline := time.Now().Add(patience)
	for time.Now().Before(deadline) {
		v, err := value[view](p, viewScript)
		p.mu.Lock()
		loaded := p.loads >= p.want
		p.mu.Unlock()
		if err == nil && loaded && v.Ready && v.Heading != "" && !v.Refresh {
			time.Sleep(150 * time.Millisecond)
			if again, err := value[view](p, viewScript); err == nil && again == v {
				return v
			}
		}
		time.Sleep(40 * time.Millisecond)
	}
	p.fatalf("%s: no page came", step)
	return view{}
}

// awaitMove waits until the tab is at another address and stays there.
func (p *page) awaitMove(step, from string) {
	p.t.Helper()
	deadline := time.Now().Add(patience)
	for time.Now().Before(deadline) {
		v, err := value[view](p, viewScript)
		if err == nil && v.Ready && v.Address != from {
			time.Sleep(300 * time.Millisecond)
			return
		}
		time.Sleep(40 * time.Millisecond)
	}
	p.fatalf("%s: still at %s", step, from)
}

// awaitLoad waits for a document of any shape.
func (p *page) awaitLoad(step string) {
	p.t.Helper()
	deadline := time.Now().Add(patience)
	for time.Now().Before(deadline) {
		p.mu.Lock()
		loaded := p.loads >= p.want
		p.mu.Unlock()
		if loaded {
			return
		}
		time.Sleep(40 * time.Millisecond)
	}
	p.fatalf("%s: nothing loaded", step)
}
