package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
)

// MaxBody is the largest request body in bytes, unless Options say otherwise.
const MaxBody = 64 << 10

// Middleware goes around every route of a realm. It expects the realm in the
// request's context; without one the pages are nobody's (Misdirected).
func (p *Pages) Middleware() gin.HandlerFunc {
	return func(c *gin.Context) {
		start := time.Now()
		s := &state{pages: p, id: newRequestID(), realm: realmOf(c.Request.Context())}
		c.Set(stateKey, s)
		c.Request = c.Request.WithContext(context.WithValue(c.Request.Context(), requestIDKey{}, s.id))
		c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, p.maxBody)
		s.lang, s.chosen = p.language(c, s)
		p.headers(c, s)
		defer p.logRequest(c, s, start)
		defer p.recoverPanic(c)
		c.Next()
	}
}

func (p *Pages) recoverPanic(c *gin.Context) {
	caught := recover()
	if caught == nil {
		return
	}
	if err, ok := caught.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(caught)
	}
	p.log.ErrorContext(c.Request.Context(), "panic", "request_id", RequestID(c), "route", route(c),
		"panic", fmt.Sprint(caught), "stack", string(debug.Stack()))
	fail(c, fmt.Errorf("panic: %v", caught))
}

// logRequest writes one line per request. The route stands for the path: links
// carry tokens in the path, and queries carry codes and emails.
func (p *Pages) logRequest(c *gin.Context, s *state, start time.Time) {
	name := ""
	if s.realm != nil {
		name = s.realm.Name
	}
	p.log.LogAttrs(c.Request.Context(), slog.LevelInfo, "request",
		slog.String("request_id", s.id), slog.String("realm", name), slog.String("method", c.Request.Method),
		slog.String("route", route(c)), slog.Int("status", c.Writer.Status()),
		slog.Int("bytes", max(c.Writer.Size(), 0)), slog.Duration("took", time.Since(start)),
		slog.String("network", Network(c)))
}

func route(c *gin.Context) string {
	if path := c.FullPath(); path != "" {
		return path
	}
	return "unmatched"
}

func (p *Pages) headers(c *gin.Context, s *state) {
	h := c.Writer.Header()
	h.Set("X-Request-Id", s.id)
	h.Set("X-Content-Type-Options", "nosniff")
	// Not no-referrer: that makes browsers send "Origin: null" with our own
	// forms. Not same-origin: that repeats the token of a link to our logs.
	h.Set("Referrer-Policy", "strict-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	if s.realm != nil && s.realm.IssuerURL.Scheme == "https" {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
	setPolicy(c, s)
}

func setPolicy(c *gin.Context, s *state) {
	images := "'self'"
	if s.realm != nil {
		images = strings.Join(append([]string{images}, logoOrigins(s.realm)...), " ")
	}
	if len(s.images) > 0 {
		images += " " + strings.Join(s.images, " ")
	}
	actions := strings.Join(append([]string{"'self'"}, s.formActions...), " ")
	frames := ""
	if len(s.frames) > 0 {
		frames = "; frame-src " + strings.Join(s.frames, " ")
	}
	c.Header("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; img-src "+images+frames+
		"; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action "+actions)
}

var (
	schemePattern = regexp.MustCompile(`^[a-z][a-z0-9+.-]*$`)
	hostPattern   = regexp.MustCompile(`^[A-Za-z0-9._-]+(:[0-9]{1,5})?$`)
)

// FormAction lets the forms of this page lead, after our answer, to a redirect
// URI: Chromium holds every redirect after a POST against form-action. Pass
// the registered redirect URI of a validated request, or its origin; what
// cannot be written as a source of a policy is left out.
func FormAction(c *gin.Context, origin string) {
	source := policySource(origin)
	s := stateOf(c)
	if source == "" {
		return
	}
	s.formActions = append(s.formActions, source)
	setPolicy(c, s)
}

// Frame lets this page show a page of another origin in a frame; it reports
// whether the address can be written as a source of a policy. Pass addresses
// that are registered only.
func Frame(c *gin.Context, uri string) bool {
	source := policySource(uri)
	if !strings.HasPrefix(source, "http") {
		return false
	}
	s := stateOf(c)
	if !slices.Contains(s.frames, source) {
		s.frames = append(s.frames, source)
	}
	setPolicy(c, s)
	return true
}

// imagePattern is an address that can stand in a policy as it is: quotes,
// semicolons, commas and spaces would end it.
var imagePattern = regexp.MustCompile(`^https://[A-Za-z0-9._-]+(:[0-9]{1,5})?/[A-Za-z0-9._~!$&()*+=:@%/-]*$`)

// Image lets this page show one picture of another site: the logo a client
// registered, and nothing else from there. It reports whether the address can
// be written into a policy; when it cannot, do not show the picture.
func Image(c *gin.Context, uri string) bool {
	source, _, _ := strings.Cut(uri, "?") // a policy knows no queries
	if !imagePattern.MatchString(source) || strings.Contains(uri, "#") {
		return false
	}
	s := stateOf(c)
	s.images = append(s.images, source)
	setPolicy(c, s)
	return true
}

func policySource(uri string) string {
	u, err := url.Parse(uri)
	if err != nil || !schemePattern.MatchString(u.Scheme) {
		return ""
	}
	switch u.Scheme {
	case "javascript", "data", "blob", "filesystem", "about":
		return ""
	case "http", "https":
		if hostPattern.MatchString(u.Host) {
			return u.Scheme + "://" + u.Host
		}
		if strings.HasPrefix(u.Host, "[") {
			return u.Scheme + ":" // a policy cannot name an IPv6 address
		}
		return ""
	default:
		return u.Scheme + ":" // an app's own scheme, RFC 8252 §7.1
	}
}

// HeadAsGet answers HEAD as GET without the body, which net/http drops. Mail
// scanners ask for links that way.
func HeadAsGet(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			get := r.Clone(r.Context())
			get.Method = http.MethodGet
			r = get
		}
		next.ServeHTTP(w, r)
	})
}
