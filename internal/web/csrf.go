package web

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/gin-gonic/gin"
)

// csrfField is the name of the hidden input.
const csrfField = "csrf"

var errForged = errors.New("form not sent by this browser from this realm")

// flowCookie knows a browser for the length of a journey. The id names the
// browser and stays; the nonce changes with each step. A changed HttpOnly
// cookie keeps browsers from showing the page with the typed password again
// when somebody goes back.
type flowCookie struct{ id, nonce string }

func (f flowCookie) String() string { return f.id + "." + f.nonce }

func randomText(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails: crypto/rand aborts the process instead
	return base64.RawURLEncoding.EncodeToString(b)
}

// readFlow returns the browser's cookie, if it brought one we could have made.
func readFlow(c *gin.Context) (flowCookie, bool) {
	s := stateOf(c)
	if s.flowRead {
		return s.flow, s.flow.id != ""
	}
	s.flowRead = true
	if s.realm == nil {
		return flowCookie{}, false
	}
	cookie, err := c.Request.Cookie(s.realm.CookieName("flow"))
	if err != nil {
		return flowCookie{}, false
	}
	id, nonce, ok := strings.Cut(cookie.Value, ".")
	raw, err := base64.RawURLEncoding.DecodeString(id)
	if !ok || err != nil || len(raw) != 32 || len(nonce) > 64 {
		return flowCookie{}, false
	}
	s.flow = flowCookie{id, nonce}
	return s.flow, true
}

// Browser is the hash that stands for this browser in stored flows: a link to
// a flow that was sent to somebody else is worth nothing in their browser. It
// sets the flow cookie when there is none, so call it before the answer is
// written. It survives RotateBrowser.
func Browser(c *gin.Context) []byte {
	flow := ensureFlow(c)
	sum := sha256.Sum256([]byte(flow.id))
	return sum[:]
}

func ensureFlow(c *gin.Context) flowCookie {
	flow, ok := readFlow(c)
	if !ok {
		flow = flowCookie{id: randomText(32), nonce: randomText(9)}
		writeFlow(c, flow)
	}
	return flow
}

func writeFlow(c *gin.Context, flow flowCookie) {
	s := stateOf(c)
	s.flow, s.flowRead = flow, true
	if s.realm == nil {
		return
	}
	name := s.realm.CookieName("flow")
	// One Set-Cookie per name: of two, which one wins is the browser's mood.
	header := c.Writer.Header()
	kept := header.Values("Set-Cookie")
	header.Del("Set-Cookie")
	for _, line := range kept {
		if !strings.HasPrefix(line, name+"=") {
			header.Add("Set-Cookie", line)
		}
	}
	setCookie(c, name, flow.String(), 0)
}

// RotateBrowser gives the flow cookie a new value without losing the flows and
// forms of other tabs: Browser stays the same. Protect does it on every POST
// it lets through; call it where a step ends without one.
func RotateBrowser(c *gin.Context) {
	flow := ensureFlow(c)
	flow.nonce = randomText(9)
	writeFlow(c, flow)
}

// NewBrowser forgets the browser: flows and forms that were open die. For
// sign-out on a shared computer.
func NewBrowser(c *gin.Context) {
	writeFlow(c, flowCookie{id: randomText(32), nonce: randomText(9)})
}

func (p *Pages) csrfSum(s *state, id string) []byte {
	mac := hmac.New(sha256.New, p.csrfKey)
	fmt.Fprintf(mac, "csrf\x00%s\x00%s", s.realm.Name, id)
	return mac.Sum(nil)
}

// CSRF is the value of the hidden input for this browser. It differs from page
// to page, so that the length of a compressed page gives nothing away (BREACH).
func (p *Pages) CSRF(c *gin.Context) string {
	s := stateOf(c)
	if s.realm == nil {
		return ""
	}
	sum := p.csrfSum(s, ensureFlow(c).id)
	out := make([]byte, 2*len(sum))
	rand.Read(out[:len(sum)])
	subtle.XORBytes(out[len(sum):], out[:len(sum)], sum)
	return base64.RawURLEncoding.EncodeToString(out)
}

// Protect lets a POST through only when this browser's own page sent it: the
// hidden input belongs to the flow cookie, and the browser names the realm's
// origin as where it comes from. Everything else gets "This page timed out".
// It also rotates the flow cookie.
func (p *Pages) Protect() gin.HandlerFunc {
	return func(c *gin.Context) {
		switch c.Request.Method {
		case http.MethodGet, http.MethodHead, http.MethodOptions:
			c.Next()
			return
		}
		if err := p.CheckForm(c); err != nil {
			fail(c, err)
			return
		}
		RotateBrowser(c)
		c.Next()
	}
}

// CheckForm is the check of Protect, for a route that other parties post to as
// well. It returns an *Error with its page, or nil.
func (p *Pages) CheckForm(c *gin.Context) error {
	s := stateOf(c)
	if s.realm == nil {
		return &Error{Status: http.StatusMisdirectedRequest, Key: "error.misdirected"}
	}
	kind, _, err := mime.ParseMediaType(c.GetHeader("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return BadRequest(fmt.Errorf("content type %q", kind))
	}
	if err := ReadForm(c); err != nil {
		return err
	}
	if err := checkOrigin(c, s.realm.Origin()); err != nil {
		return timedOut(c, err)
	}
	flow, ok := readFlow(c)
	if !ok {
		return timedOut(c, fmt.Errorf("%w: no flow cookie", errForged))
	}
	token, err := base64.RawURLEncoding.DecodeString(c.Request.PostForm.Get(csrfField))
	if err != nil || len(token) != 2*sha256.Size {
		return timedOut(c, fmt.Errorf("%w: no token", errForged))
	}
	sum := make([]byte, sha256.Size)
	subtle.XORBytes(sum, token[:sha256.Size], token[sha256.Size:])
	if !hmac.Equal(sum, p.csrfSum(s, flow.id)) {
		return timedOut(c, fmt.Errorf("%w: token of another browser", errForged))
	}
	return nil
}

// checkOrigin believes what browsers say about where a request comes from.
// Scripts cannot change these headers, and every browser of the last years
// sends at least one with a POST. A client that sends neither is no browser
// that could be tricked; the token still has to be right.
func checkOrigin(c *gin.Context, own string) error {
	switch site := c.GetHeader("Sec-Fetch-Site"); site {
	case "", "same-origin", "none":
	default:
		return fmt.Errorf("%w: Sec-Fetch-Site %s", errForged, site)
	}
	if values := c.Request.Header.Values("Origin"); len(values) > 1 || len(values) == 1 && values[0] != own {
		return fmt.Errorf("%w: another Origin", errForged)
	}
	return nil
}

// Again is the query parameter of a "Start again" link: a click and no
// redirect, so a page may send the browser on to the client without any danger
// of going in circles.
const Again = "again"

// timedOut is the page with "Start again". The link keeps the flow, and with
// it the client somebody came from.
func timedOut(c *gin.Context, cause error) *Error {
	again := stateOf(c).here(c)
	query := again.Query()
	if flow := c.Request.PostForm.Get("flow"); flow != "" && query.Get("flow") == "" {
		query.Set("flow", flow)
	}
	query.Set(Again, "1")
	link := &url.URL{Path: again.Path, RawPath: again.RawPath, RawQuery: query.Encode()}
	return &Error{Status: http.StatusForbidden, Key: "error.timed_out", Action: link.String(), Err: cause}
}

// ReadForm reads a posted form, for whoever needs it before the page does. Its
// error is for Handle: a body that is too large, or one that is no form.
func ReadForm(c *gin.Context) error {
	err := c.Request.ParseForm()
	var tooLarge *http.MaxBytesError
	if err == nil || errors.As(err, &tooLarge) {
		return err
	}
	return BadRequest(fmt.Errorf("parse form: %w", err))
}
