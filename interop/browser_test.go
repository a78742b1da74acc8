package interop

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/html"
)

// browser is a person with a browser without JavaScript.
type browser struct {
	t      *testing.T
	client *http.Client
}

// jar keeps cookies by host. Like browsers, and unlike net/http/cookiejar, it
// takes localhost for a secure origin.
type jar struct {
	mu   sync.Mutex
	kept map[string]map[string]*http.Cookie
}

func (j *jar) SetCookies(u *url.URL, cookies []*http.Cookie) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, c := range cookies {
		if j.kept[u.Hostname()] == nil {
			j.kept[u.Hostname()] = map[string]*http.Cookie{}
		}
		if c.MaxAge < 0 || c.Value == "" {
			delete(j.kept[u.Hostname()], c.Name)
			continue
		}
		j.kept[u.Hostname()][c.Name] = c
	}
}

func (j *jar) Cookies(u *url.URL) (out []*http.Cookie) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, c := range j.kept[u.Hostname()] {
		out = append(out, &http.Cookie{Name: c.Name, Value: c.Value})
	}
	return out
}

func newBrowser(t *testing.T) *browser {
	t.Helper()
	return &browser{t: t, client: &http.Client{
		Jar:           &jar{kept: map[string]map[string]*http.Cookie{}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// visit opens an address and follows where it leads, signing in and agreeing
// where a page of the provider asks for that. It stops before it opens an
// address that begins with until ("": never) and returns the last address, and
// what stands there.
func (b *browser) visit(address, until string) (last *url.URL, page string) {
	b.t.Helper()
	req := b.request(http.MethodGet, address, nil)
	for range 30 {
		res, err := b.client.Do(req)
		if err != nil {
			b.t.Fatal(err)
		}
		raw, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
		res.Body.Close()
		if err != nil {
			b.t.Fatal(err)
		}
		if location, err := res.Location(); err == nil {
			if until != "" && strings.HasPrefix(location.String(), until) {
				return location, ""
			}
			req = b.request(http.MethodGet, location.String(), nil)
			continue
		}
		if res.StatusCode >= 400 {
			b.t.Fatalf("%s: %s\n%s", res.Request.URL, res.Status, raw)
		}
		next := b.fillIn(res.Request.URL, string(raw))
		if next == nil {
			return res.Request.URL, string(raw)
		}
		req = next
	}
	b.t.Fatalf("%s leads round in circles", address)
	return nil, ""
}

func (b *browser) request(method, address string, form url.Values) *http.Request {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, address, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", req.URL.Scheme+"://"+req.URL.Host)
	}
	return req
}

// fillIn answers the forms of the provider; nil when there is none.
func (b *browser) fillIn(at *url.URL, page string) *http.Request {
	b.t.Helper()
	if !strings.HasPrefix(at.String(), idp.Issuer) {
		return nil
	}
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		b.t.Fatal(err)
	}
	form := find(doc, func(n *html.Node) bool { return n.Data == "form" && attr(n, "method") == "post" })
	if form == nil {
		return nil
	}
	values := url.Values{}
	each(form, func(n *html.Node) {
		switch name := attr(n, "name"); {
		case n.Data == "input" && name != "":
			values.Set(name, attr(n, "value"))
		case n.Data == "button" && name != "" && !values.Has(name):
			values.Set(name, attr(n, "value")) // the first button: sign in, allow
		}
	})
	if values.Has("password") {
		values.Set("email", idp.Email)
		values.Set("password", idp.Password)
	}
	target, err := at.Parse(attr(form, "action"))
	if err != nil {
		b.t.Fatal(err)
	}
	return b.request(http.MethodPost, target.String(), values)
}

func attr(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

func each(n *html.Node, visit func(*html.Node)) {
	if n.Type == html.ElementNode {
		visit(n)
	}
	for child := n.FirstChild; child != nil; child = child.NextSibling {
		each(child, visit)
	}
}

func find(n *html.Node, want func(*html.Node) bool) (found *html.Node) {
	each(n, func(one *html.Node) {
		if found == nil && want(one) {
			found = one
		}
	})
	return found
}

// signedOut insists that nobody is signed in to the provider in this browser.
func (b *browser) signedOut() {
	b.t.Helper()
	const challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
	at, _ := b.visit(idp.Issuer+"/oauth/authorize?"+url.Values{"client_id": {idp.Probe}, "redirect_uri": {idp.ProbeRedirect},
		"response_type": {"code"}, "scope": {"openid"}, "prompt": {"none"}, "code_challenge": {challenge},
		"code_challenge_method": {"S256"}}.Encode(), idp.ProbeRedirect)
	if at.Query().Get("error") != "login_required" {
		b.t.Errorf("still signed in: %s", at)
	}
}
