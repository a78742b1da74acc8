package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"
)

// Error is an error with a page of its own: {Key}.title, {Key}.text and, where
// there is one, the link {Key}.action are its sentences.
type Error struct {
	Status     int           // HTTP status
	Key        string        // "error.forbidden"
	Args       []any         // pairs for the placeholders of the text
	Action     string        // where the link leads; empty: no link
	RetryAfter time.Duration // more than 0: the Retry-After header
	Err        error         // the cause, for the log only
}

func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s (%d): %v", e.Key, e.Status, e.Err)
	}
	return fmt.Sprintf("%s (%d)", e.Key, e.Status)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// NotFound is the page that says there is nothing at this address.
func NotFound() *Error { return &Error{Status: http.StatusNotFound, Key: "error.not_found"} }

// Forbidden is the page that says that this account may not do this.
func Forbidden(cause error) *Error {
	return &Error{Status: http.StatusForbidden, Key: "error.forbidden", Err: cause}
}

// Busy is the page that says to come back after a while.
func Busy(after time.Duration, cause error) *Error {
	return &Error{Status: http.StatusServiceUnavailable, Key: "error.busy", RetryAfter: after, Err: cause}
}

// BadRequest is the page for what no form of ours sends.
func BadRequest(cause error) *Error {
	return &Error{Status: http.StatusBadRequest, Key: "error.bad_request", Err: cause}
}

// Handle makes a gin handler of one that returns an error.
func Handle(fn func(*gin.Context) error) gin.HandlerFunc {
	return func(c *gin.Context) {
		if err := fn(c); err != nil {
			fail(c, err)
		}
	}
}

// fail logs err once and answers with its page.
func fail(c *gin.Context, err error) {
	s := stateOf(c)
	c.Abort()
	ctx := c.Request.Context()
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return // the browser is gone: nobody reads the answer
	}
	page := asError(s, err)
	log := slog.Default()
	if s.pages != nil {
		log = s.pages.log
	}
	level := slog.LevelInfo
	switch {
	case page.Status >= http.StatusInternalServerError:
		level = slog.LevelError
	case page.Err == nil:
		level = slog.LevelDebug // the request log has said it all
	}
	log.LogAttrs(ctx, level, "request failed", slog.String("request_id", s.id), slog.String("route", route(c)),
		slog.Int("status", page.Status), slog.String("error", err.Error()))
	if c.Writer.Written() {
		return
	}
	if page.RetryAfter > 0 {
		c.Header("Retry-After", strconv.Itoa(int(math.Ceil(page.RetryAfter.Seconds()))))
	}
	if s.pages == nil {
		c.String(page.Status, "%s\n%s\n", http.StatusText(page.Status), s.id)
		return
	}
	s.pages.renderError(c, page)
}

// asError finds the page of an error. What nothing recognises is our mistake.
func asError(s *state, err error) *Error {
	var page *Error
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &page):
		return page
	case errors.As(err, &tooLarge):
		return &Error{Status: http.StatusRequestEntityTooLarge, Key: "error.too_large", Err: err}
	}
	if s.pages != nil && s.pages.classify != nil {
		if page := s.pages.classify(err); page != nil {
			return page
		}
	}
	return &Error{Status: http.StatusInternalServerError, Key: "error.internal", Err: err}
}

type errorView struct{ Title, Text, Reference, Href, Action string }

func (p *Pages) renderError(c *gin.Context, e *Error) {
	s := stateOf(c)
	view := errorView{
		Title: p.catalog.T(s.lang, e.Key+".title", e.Args...),
		Text:  p.catalog.T(s.lang, e.Key+".text", e.Args...),
	}
	if e.Status != http.StatusNotFound {
		view.Reference = s.id
	}
	if e.Action != "" && p.catalog.Has(e.Key+".action") {
		view.Href, view.Action = e.Action, p.catalog.T(s.lang, e.Key+".action")
	}
	if err := p.Render(c, e.Status, "web/error.html", view); err != nil {
		p.log.ErrorContext(c.Request.Context(), "error page failed", "request_id", s.id, "error", err)
		c.String(http.StatusInternalServerError, "%s\n", s.id)
	}
}

// NotFound answers an address that leads nowhere (for gin's NoRoute).
func (p *Pages) NotFound() gin.HandlerFunc {
	return Handle(func(*gin.Context) error { return NotFound() })
}

// MethodNotAllowed answers a method that a route does not have (for NoMethod).
func (p *Pages) MethodNotAllowed() gin.HandlerFunc {
	return Handle(func(*gin.Context) error {
		return &Error{Status: http.StatusMethodNotAllowed, Key: "error.method"}
	})
}

// Misdirected answers a host and path that belong to no realm: 421, RFC 9110
// §15.5.20. No realm's name, look or cookie shows on it.
func (p *Pages) Misdirected() gin.HandlerFunc {
	return Handle(func(*gin.Context) error {
		return &Error{Status: http.StatusMisdirectedRequest, Key: "error.misdirected"}
	})
}
