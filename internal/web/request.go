package web

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"net/netip"
	"net/url"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/portico-id/portico/internal/realm"
)

// state is what this package knows about one request.
type state struct {
	pages       *Pages // nil without Middleware
	realm       *realm.Realm
	id          string
	lang        string
	chosen      bool // somebody clicked on a language, now or a short while ago
	formActions []string
	images      []string
	frames      []string
	flow        flowCookie
	flowRead    bool
	ip          netip.Addr
}

const stateKey = "portico.web"

type requestIDKey struct{}

// stateOf returns the request's state and makes one where Middleware did not
// run, so that a handler can be tested by itself.
func stateOf(c *gin.Context) *state {
	if s, ok := c.Get(stateKey); ok {
		return s.(*state)
	}
	s := &state{id: newRequestID(), realm: realmOf(c.Request.Context()), lang: "en"}
	if s.realm != nil {
		s.lang = s.realm.DefaultLocale
	}
	c.Set(stateKey, s)
	return s
}

// realmOf is realm.From for requests that may belong to no realm.
func realmOf(ctx context.Context) (r *realm.Realm) {
	defer func() {
		if recover() != nil {
			r = nil
		}
	}()
	return realm.From(ctx)
}

// RequestID names the request in the response header X-Request-Id, in the log
// and on the error page. It is short enough to be read out on the phone.
func RequestID(c *gin.Context) string { return stateOf(c).id }

// RequestIDFrom is RequestID for code that has the context only; "" outside of
// a request.
func RequestIDFrom(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// No I, L, O or U: they are misread and misheard (Crockford's base 32).
var readable = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

func newRequestID() string {
	var b [10]byte
	rand.Read(b[:]) // never fails: crypto/rand aborts the process instead
	id := readable.EncodeToString(b[:])
	return id[:4] + "-" + id[4:8] + "-" + id[8:12] + "-" + id[12:]
}

// UserAgent is the browser's description of itself, cut to 256 bytes: enough
// to name the device to its owner, too little to fill a table with.
func UserAgent(c *gin.Context) string {
	ua := strings.ToValidUTF8(c.Request.UserAgent(), "")
	if len(ua) > 256 {
		ua = strings.ToValidUTF8(ua[:256], "")
	}
	return ua
}

// here is the address the browser asked for, path and query, safe to be used
// as a link on the same host.
func (s *state) here(c *gin.Context) *url.URL {
	prefix := ""
	if s.realm != nil {
		prefix = s.realm.Path
	}
	u, err := url.ParseRequestURI(c.Request.RequestURI)
	if err != nil {
		u = &url.URL{Path: prefix + c.Request.URL.Path, RawQuery: c.Request.URL.RawQuery}
	}
	here := &url.URL{Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery}
	// "//host/x" and "/\host" would lead the link to another site.
	if !strings.HasPrefix(here.Path, prefix+"/") || strings.HasPrefix(here.Path, "//") || strings.Contains(here.Path, `\`) {
		here.Path, here.RawPath = prefix+"/", ""
	}
	return here
}
