package server_test

import (
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/html"

	"github.com/portico-id/portico/internal/web/webtest"
)

// browser keeps cookies and sends forms as browsers do, without scripts.
type browser struct {
	t    testing.TB
	w    *world
	jar  *jar
	more http.Header // sent with every request
}

func (w *world) browser(t testing.TB) *browser {
	return &browser{t: t, w: w, jar: &jar{cookies: map[string]map[string]string{}}, more: http.Header{}}
}

// tab is the same browser once more, with a jar of its own: answers to one tab
// do not reach the other in the middle of a race.
func (b *browser) tab() *browser {
	return &browser{t: b.t, w: b.w, jar: b.jar.clone(), more: b.more.Clone()}
}

// jar holds cookies by host name, without the port, and sends those that are
// Secure to http://localhost, as browsers do.
type jar struct {
	mu      sync.Mutex
	cookies map[string]map[string]string
}

func (j *jar) clone() *jar {
	j.mu.Lock()
	defer j.mu.Unlock()
	out := &jar{cookies: map[string]map[string]string{}}
	for host, set := range j.cookies {
		out.cookies[host] = maps.Clone(set)
	}
	return out
}

// take keeps what an answer sets and refuses what a browser would refuse.
func (j *jar) take(t testing.TB, u *url.URL, header http.Header) {
	j.mu.Lock()
	defer j.mu.Unlock()
	set := j.cookies[u.Hostname()]
	if set == nil {
		set = map[string]string{}
		j.cookies[u.Hostname()] = set
	}
	for _, line := range header.Values("Set-Cookie") {
		c, err := http.ParseSetCookie(line)
		if err != nil {
			t.Errorf("cookie %q: %v", line, err)
			continue
		}
		// The Secure, HttpOnly and SameSite of security requirement 17 hold for
		// every cookie of ours but the one that session management is for: a
		// script in a frame reads it.
		state := strings.HasSuffix(c.Name, "-state") && c.SameSite == http.SameSiteNoneMode && !c.HttpOnly
		if !strings.HasPrefix(c.Name, "__Host-portico-") || !c.Secure || c.Path != "/" || c.Domain != "" ||
			!state && (!c.HttpOnly || c.SameSite != http.SameSiteLaxMode) {
			t.Errorf("cookie %s of %s has the wrong attributes", c.Name, u.Path)
			continue
		}
		if c.MaxAge < 0 {
			delete(set, c.Name)
			continue
		}
		set[c.Name] = c.Value
	}
}

func (j *jar) send(req *http.Request) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for name, value := range j.cookies[req.URL.Hostname()] {
		req.AddCookie(&http.Cookie{Name: name, Value: value})
	}
}

// cookie is the value of a realm's cookie; kind "" is the session's.
func (b *browser) cookie(realm, kind string) string {
	name := "__Host-portico-" + realm
	if kind != "" {
		name += "-" + kind
	}
	host := "localhost"
	if realm == "door" {
		host = "door.localhost"
	}
	b.jar.mu.Lock()
	defer b.jar.mu.Unlock()
	return b.jar.cookies[host][name]
}

// plant puts a value into a realm's cookie.
func (b *browser) plant(realm, kind, value string) {
	name := "__Host-portico-" + realm
	if kind != "" {
		name += "-" + kind
	}
	b.jar.mu.Lock()
	defer b.jar.mu.Unlock()
	if b.jar.cookies["localhost"] == nil {
		b.jar.cookies["localhost"] = map[string]string{}
	}
	b.jar.cookies["localhost"][name] = value
}

// page is an answer.
type page struct {
	url      *url.URL
	status   int
	header   http.Header
	body     string
	doc      *html.Node // nil when it is no page
	location *url.URL   // nil when it is no redirect
}

// get asks for an address and follows nothing.
func (b *browser) get(address string) *page {
	b.t.Helper()
	return b.do(http.MethodGet, address, nil, "none")
}

// open asks for an address and follows redirects within the provider.
func (b *browser) open(address string) *page {
	b.t.Helper()
	return b.follow(b.get(address))
}

// follow goes where an answer leads, up to the provider's doors: a redirect to
// a client is returned.
func (b *browser) follow(p *page) *page {
	b.t.Helper()
	for range 12 {
		if p.location == nil || p.location.Port() != b.port() {
			return p
		}
		p = b.do(http.MethodGet, p.location.String(), nil, "same-origin")
	}
	b.t.Fatalf("redirected in circles, last to %s", p.location)
	return nil
}

func (b *browser) port() string {
	_, port, _ := strings.Cut(b.w.host, ":")
	return port
}

// submit fills the form in and sends it; pairs are names and values of fields
// that the form has to have. It follows nothing.
func (b *browser) submit(p *page, pairs ...string) *page {
	b.t.Helper()
	action, form := p.form(b.t, "", pairs...)
	return b.do(http.MethodPost, action, form, "same-origin")
}

// send is submit and follow.
func (b *browser) send(p *page, pairs ...string) *page {
	b.t.Helper()
	return b.follow(b.submit(p, pairs...))
}

// post sends a form that may have nothing to do with any page.
func (b *browser) post(address string, form url.Values) *page {
	b.t.Helper()
	return b.do(http.MethodPost, address, form, "same-origin")
}

func (b *browser) do(method, address string, form url.Values, site string) *page {
	b.t.Helper()
	p, err := b.try(method, address, form, site)
	if err != nil {
		b.t.Fatal(err)
	}
	return p
}

// try is do for a server that may not answer.
func (b *browser) try(method, address string, form url.Values, site string) (*page, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequest(method, address, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
	req.Header.Set("Accept-Language", "en-US")
	req.Header.Set("Sec-Fetch-Site", site)
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", u.Scheme+"://"+u.Host)
	}
	for name, values := range b.more {
		req.Header[name] = values
	}
	b.jar.send(req)
	answer, err := b.w.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	b.jar.take(b.t, u, answer.Header)
	b.w.seen.browser(form, answer.Header)
	p := &page{url: u, status: answer.StatusCode, header: answer.Header, body: string(text)}
	if to := answer.Header.Get("Location"); to != "" {
		if p.location, err = u.Parse(to); err != nil {
			return nil, err
		}
		// Anything else would send what was posted on (RFC 9700 §4.12).
		if p.status != http.StatusSeeOther && p.status != http.StatusFound {
			b.t.Errorf("%s %s answers %d with a Location", method, u.Path, p.status)
		}
	}
	if p.location == nil && strings.HasPrefix(answer.Header.Get("Content-Type"), "text/html") {
		if p.doc, err = html.Parse(strings.NewReader(p.body)); err != nil {
			return nil, err
		}
		for _, fault := range webtest.Faults(p.body) {
			b.t.Errorf("%s %s (%d): %s", method, u.Path, p.status, fault)
		}
	}
	return p, nil
}

// form reads the page's first form with method post whose action ends in
// suffix, and fills it in.
func (p *page) form(t testing.TB, suffix string, pairs ...string) (action string, fields url.Values) {
	t.Helper()
	form := find(p.doc, func(n *html.Node) bool {
		return n.Data == "form" && attr(n, "method") == "post" && strings.HasSuffix(attr(n, "action"), suffix)
	})
	if form == nil {
		t.Fatalf("no form on the page %q (%d) of %s", p.h1(), p.status, p.url.Path)
	}
	target, err := p.url.Parse(attr(form, "action"))
	if err != nil {
		t.Fatal(err)
	}
	fields = url.Values{}
	buttons := map[string]bool{}
	walk(form, func(n *html.Node) {
		name := attr(n, "name")
		switch {
		case name == "":
		case n.Data == "input":
			fields.Set(name, attr(n, "value"))
		case n.Data == "select":
			fields.Set(name, "")
		case n.Data == "button":
			buttons[name] = true
		}
	})
	for i := 0; i+1 < len(pairs); i += 2 {
		if !fields.Has(pairs[i]) && !buttons[pairs[i]] {
			t.Fatalf("the form of %q has no field %q", p.h1(), pairs[i])
		}
		fields.Set(pairs[i], pairs[i+1])
	}
	return target.String(), fields
}

// h1 is the page's heading, "" when it is no page.
func (p *page) h1() string {
	return text(find(p.doc, func(n *html.Node) bool { return n.Data == "h1" }))
}

// says is what stands on the page.
func (p *page) says() string {
	return text(find(p.doc, func(n *html.Node) bool { return n.Data == "main" }))
}

// problem is what the page says about a field.
func (p *page) problem(field string) string {
	return text(find(p.doc, func(n *html.Node) bool { return attr(n, "id") == field+"-err" }))
}

// value is what a field of the page holds.
func (p *page) value(field string) string {
	return attr(find(p.doc, func(n *html.Node) bool { return n.Data == "input" && attr(n, "name") == field }), "value")
}

// link is where the first link that says so leads.
func (p *page) link(t testing.TB, says string) string {
	t.Helper()
	a := find(p.doc, func(n *html.Node) bool { return n.Data == "a" && text(n) == says })
	if a == nil {
		t.Fatalf("no link %q on the page %q", says, p.h1())
	}
	u, err := p.url.Parse(attr(a, "href"))
	if err != nil {
		t.Fatal(err)
	}
	return u.String()
}

// elsewhere lists where the page leads outside of the provider.
func (p *page) elsewhere() (hosts []string) {
	walk(p.doc, func(n *html.Node) {
		for _, key := range []string{"href", "src", "action", "srcset"} {
			u, err := p.url.Parse(attr(n, key))
			if err != nil {
				hosts = append(hosts, attr(n, key))
			} else if u.Host != p.url.Host && u.Host != "" {
				hosts = append(hosts, u.Host)
			}
		}
	})
	return hosts
}

// want insists on a status and a heading.
func (p *page) want(t testing.TB, status int, h1 string) *page {
	t.Helper()
	if p.status != status || p.h1() != h1 {
		t.Fatalf("%s is %d %q, want %d %q (Location %v)\n%s", p.url.Path, p.status, p.h1(), status, h1, p.location, p.says())
	}
	return p
}

func walk(n *html.Node, visit func(*html.Node)) {
	if n == nil {
		return
	}
	if n.Type == html.ElementNode {
		visit(n)
	}
	for child := n.FirstChild; child != nil; child = child.NextSibling {
		walk(child, visit)
	}
}

func find(n *html.Node, is func(*html.Node) bool) (found *html.Node) {
	walk(n, func(each *html.Node) {
		if found == nil && is(each) {
			found = each
		}
	})
	return found
}

func attr(n *html.Node, key string) string {
	if n == nil {
		return ""
	}
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

func text(n *html.Node) string {
	var out strings.Builder
	var collect func(*html.Node)
	collect = func(n *html.Node) {
		if n == nil {
			return
		}
		if n.Type == html.TextNode {
			out.WriteString(n.Data)
		}
		for child := n.FirstChild; child != nil; child = child.NextSibling {
			collect(child)
		}
		if n.Type == html.ElementNode {
			out.WriteByte(' ')
		}
	}
	collect(n)
	return strings.Join(strings.Fields(out.String()), " ")
}
