package oauth

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"sort"
	"strings"

	"github.com/gin-gonic/gin"
)

// maxBody bounds a body of an endpoint, whatever stands in front of it.
const maxBody = 64 << 10

// readForm reads the parameters of an endpoint that clients POST to. They come
// in the body, urlencoded, each at most once (RFC 6749 §3.2); a secret or a
// token in the query would end in logs, so a query is refused as a whole.
func readForm(c *gin.Context) (url.Values, error) {
	if c.Request.URL.RawQuery != "" {
		return nil, refuse(errInvalidRequest, "Parameters belong in the body, not in the query.")
	}
	form, err := readBody(c)
	if err != nil {
		return nil, err
	}
	if name := duplicate(form); name != "" {
		return nil, refuse(errInvalidRequest, "A parameter was sent more than once.")
	}
	return form, nil
}

// readBody reads an urlencoded body and puts it where fosite looks for it.
func readBody(c *gin.Context) (url.Values, error) {
	kind, _, err := mime.ParseMediaType(c.GetHeader("Content-Type"))
	if err != nil || kind != contentTypeForm {
		return nil, refuse(errInvalidRequest, "The body has to be "+contentTypeForm+".")
	}
	raw, err := io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		e := refuse(errInvalidRequest, "The body is too large.")
		e.Status = http.StatusRequestEntityTooLarge
		return nil, e
	case err != nil:
		e := refuse(errInvalidRequest, "The body could not be read.")
		e.cause = err
		return nil, e
	}
	form, err := parseForm(string(raw))
	if err != nil {
		e := refuse(errInvalidRequest, "The body is not correctly encoded.")
		e.cause = fmt.Errorf("parse body: %w", err)
		return nil, e
	}
	c.Request.PostForm, c.Request.Form = form, form
	return form, nil
}

// parseForm reads urlencoded parameters, of a query or a body. A semicolon is a
// character like any other (RFC 6749 Appendix B, WHATWG URL §5.1); the standard
// library takes it for a separator of old and drops what it stands in.
func parseForm(raw string) (url.Values, error) {
	return url.ParseQuery(strings.ReplaceAll(raw, ";", "%3B"))
}

// duplicate returns the name of a parameter that was sent more than once
// (RFC 6749 §3.1), or "". A resource may be sent several times (RFC 8707 §2).
func duplicate(form url.Values) string {
	var names []string
	for name, values := range form {
		if len(values) > 1 && name != "resource" {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	sort.Strings(names)
	return names[0]
}
