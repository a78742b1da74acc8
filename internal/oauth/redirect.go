package oauth

import (
	"net/netip"
	"net/url"
	"strings"

	"github.com/portico-id/portico/internal/realm"
)

// allowedRedirect reports whether a client may be answered at uri. Comparison
// is byte for byte (RFC 9700 §4.1.3), with one exception: a registered http
// URI on a loopback IP address matches with any port, because a native app
// takes the port it is given (RFC 8252 §7.3).
func allowedRedirect(client *realm.Client, uri string) bool {
	for _, registered := range client.RedirectURIs {
		if uri == registered || loopbackMatch(registered, uri) {
			return true
		}
	}
	return false
}

// loopbackMatch compares as text on purpose. Parsers disagree about user
// names, backslashes and ports; here whatever is not the registered text with
// another port in its place does not match.
func loopbackMatch(registered, requested string) bool {
	const scheme = "http://"
	rest, ok := strings.CutPrefix(registered, scheme)
	if !ok {
		return false
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	host, ok := loopbackHost(rest[:end])
	if !ok {
		return false
	}
	got, ok := strings.CutPrefix(requested, scheme+host)
	if !ok {
		return false
	}
	if port, found := strings.CutPrefix(got, ":"); found {
		digits := 0
		for digits < len(port) && port[digits] >= '0' && port[digits] <= '9' {
			digits++
		}
		if digits == 0 || digits > 5 {
			return false
		}
		got = port[digits:]
	}
	return got == rest[end:]
}

// loopbackHost cuts the port off an authority whose host is a loopback IP
// address. A name is none, not even "localhost": it may resolve elsewhere.
func loopbackHost(authority string) (string, bool) {
	host := authority
	if strings.HasPrefix(host, "[") {
		end := strings.Index(host, "]")
		if end < 0 {
			return "", false
		}
		host = host[:end+1]
	} else if colon := strings.IndexByte(host, ':'); colon >= 0 {
		host = host[:colon]
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host, err == nil && ip.IsLoopback()
}

// secureRedirect is the second look at a registered URI: web pages over https,
// loopback over http, and app schemes, which contain a dot (RFC 8252 §7.1).
// "javascript:" and "data:" are not among them, registered or not.
func secureRedirect(u *url.URL) bool {
	switch u.Scheme {
	case "https":
		return u.Host != ""
	case "http":
		return realm.Loopback(u.Hostname())
	}
	return strings.Contains(u.Scheme, ".")
}

// answersAt reports whether a client is answered at uri: it is registered for
// it, and of a scheme that a browser may be sent to.
func answersAt(client *realm.Client, uri string) bool {
	u, err := url.Parse(uri)
	return err == nil && allowedRedirect(client, uri) && secureRedirect(u)
}

// withParameters adds parameters to the query of a redirect URI and leaves the
// rest of it as it was registered, byte for byte.
func withParameters(uri string, parameters url.Values) string {
	encoded := parameters.Encode()
	switch {
	case encoded == "":
		return uri
	case strings.HasSuffix(uri, "?"), strings.HasSuffix(uri, "&"):
		return uri + encoded
	case strings.Contains(uri, "?"):
		return uri + "&" + encoded
	}
	return uri + "?" + encoded
}

// originOf is scheme and host of a redirect URI, for the page's form-action.
// For an app scheme it is the scheme alone.
func originOf(uri string) string {
	u, err := url.Parse(uri)
	if err != nil {
		return ""
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return u.Scheme + ":"
	}
	return u.Scheme + "://" + u.Host
}
