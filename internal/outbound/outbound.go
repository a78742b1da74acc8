package outbound

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	// Timeout bounds a call from looking the name up to the last byte.
	Timeout = 3 * time.Second
)

// Budget says what a call is for. Each has turns of its own: addresses of one
// kind that hang keep no call of another kind waiting.
type Budget int

const (
	// Documents are those of clients that the configuration names: key sets.
	Documents Budget = iota
	// Strangers are documents of clients that registered themselves.
	Strangers
	// RequestObjects are fetched because a browser was sent here with their address.
	RequestObjects
	// Messages are what we post: logout tokens.
	Messages
)

// atOnce bounds the calls of this process; another one waits for its turn
// within its own deadline.
var atOnce = [...]int{Documents: 32, Strangers: 16, RequestObjects: 16, Messages: 32}

var (
	// ErrAddress says that a URL may not be called.
	ErrAddress = errors.New("this address is not called")
	// ErrTooLong says that an answer is longer than allowed.
	ErrTooLong = errors.New("the answer is too long")
)

// Client makes calls. It is safe for concurrent use and keeps no connections.
type Client struct {
	exempt []string // "host" or "host:port"
	strict *http.Client
	lax    *http.Client // for exempt hosts
	turns  [len(atOnce)]chan struct{}
}

// Options are all optional.
type Options struct {
	Exempt  []string    // hosts, with or without a port, that may be private and plain http
	RootCAs *tls.Config // nil: the system's certificates; only RootCAs of it is used
}

// New makes a Client.
func New(o Options) *Client {
	c := &Client{exempt: o.Exempt, strict: newHTTP(o.RootCAs, public), lax: newHTTP(o.RootCAs, nil)}
	for budget, n := range atOnce {
		c.turns[budget] = make(chan struct{}, n)
	}
	return c
}

func newHTTP(roots *tls.Config, control func(network, address string, c syscall.RawConn) error) *http.Client {
	dialer := &net.Dialer{Timeout: Timeout, Control: control}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if roots != nil {
		config.RootCAs = roots.RootCAs
	}
	return &http.Client{
		Timeout: Timeout,
		Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSClientConfig: config, ForceAttemptHTTP2: true,
			MaxResponseHeaderBytes: 32 << 10, DisableKeepAlives: true, DisableCompression: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// public refuses to connect to anything that is not on the internet. It sees
// the address that is connected to, after the name was resolved.
func public(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %s", ErrAddress, address)
	}
	if !Public(ap.Addr()) {
		return fmt.Errorf("%w: it is not public", ErrAddress)
	}
	return nil
}

// reserved are ranges that netip does not call private (RFC 6890 and its
// registries), and those through which IPv4 is reached from IPv6.
var reserved = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("192.88.99.0/24"), netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("100::/64"),
	netip.MustParsePrefix("2001::/23"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("2002::/16"),
	netip.MustParsePrefix("3fff::/20"), netip.MustParsePrefix("5f00::/16"),
	netip.MustParsePrefix("fec0::/10"), netip.MustParsePrefix("::/96"),
	netip.MustParsePrefix("::ffff:0:0:0/96"),  // IPv4-translated (RFC 2765)
	netip.MustParsePrefix("168.63.129.16/32"), // a cloud's host, by a public address
}

// Public reports whether an address belongs to the internet.
func Public(a netip.Addr) bool {
	a = a.Unmap()
	if !a.IsValid() || a.Zone() != "" || !a.IsGlobalUnicast() || a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() {
		return false
	}
	return !slices.ContainsFunc(reserved, func(p netip.Prefix) bool { return p.Contains(a) })
}

// Check reports whether a URL could be called, judged by its text alone.
// ErrAddress when not. Use it when an address is registered.
func (c *Client) Check(raw string) error {
	_, _, err := c.parse(raw)
	return err
}

func (c *Client) parse(raw string) (*url.URL, *http.Client, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" || u.Opaque != "" || u.User != nil || u.Fragment != "" || strings.Contains(raw, "#") {
		return nil, nil, fmt.Errorf("%w: it is no absolute URL without user and fragment", ErrAddress)
	}
	if slices.Contains(c.exempt, u.Host) || slices.Contains(c.exempt, u.Hostname()) {
		if u.Scheme == "https" || u.Scheme == "http" {
			return u, c.lax, nil
		}
	}
	if u.Scheme != "https" {
		return nil, nil, fmt.Errorf("%w: it is not https", ErrAddress)
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil && !Public(ip) {
		return nil, nil, fmt.Errorf("%w: it is not public", ErrAddress)
	}
	if host := strings.TrimSuffix(strings.ToLower(u.Hostname()), "."); host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return nil, nil, fmt.Errorf("%w: it is not public", ErrAddress)
	}
	return u, c.strict, nil
}

// Answer is what came back.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Get fetches a URL. ErrTooLong when the body has more than limit bytes;
// ErrAddress when it may not be called. Any status is an Answer.
func (c *Client) Get(ctx context.Context, b Budget, raw, accept string, limit int64) (Answer, error) {
	return c.call(ctx, b, http.MethodGet, raw, http.Header{"Accept": {accept}}, nil, limit)
}

// PostForm posts a form, one of the Messages, and reads at most limit bytes of the answer.
func (c *Client) PostForm(ctx context.Context, raw string, form url.Values, limit int64) (Answer, error) {
	return c.call(ctx, Messages, http.MethodPost, raw, http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
		strings.NewReader(form.Encode()), limit)
}

func (c *Client) call(ctx context.Context, b Budget, method, raw string, header http.Header, body io.Reader, limit int64) (Answer, error) {
	u, client, err := c.parse(raw)
	if err != nil {
		return Answer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	select {
	case c.turns[b] <- struct{}{}:
		defer func() { <-c.turns[b] }()
	case <-ctx.Done():
		return Answer{}, ctx.Err()
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return Answer{}, fmt.Errorf("%w: %w", ErrAddress, err)
	}
	req.Header = header
	req.Header.Set("User-Agent", "portico")
	res, err := client.Do(req)
	if err != nil {
		return Answer{}, err
	}
	defer res.Body.Close()
	read, err := io.ReadAll(io.LimitReader(res.Body, limit+1))
	if err != nil {
		return Answer{}, fmt.Errorf("read the answer: %w", err)
	}
	if int64(len(read)) > limit {
		return Answer{}, ErrTooLong
	}
	return Answer{Status: res.StatusCode, Header: res.Header, Body: read}, nil
}
