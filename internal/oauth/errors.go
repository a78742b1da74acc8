package oauth

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/ory/fosite"

	"github.com/portico-id/portico/internal/database"
)

// Error codes of RFC 6749, RFC 6750, RFC 7009 and OpenID Connect Core.
const (
	errInvalidRequest       = "invalid_request"
	errInvalidClient        = "invalid_client"
	errInvalidGrant         = "invalid_grant"
	errUnauthorizedClient   = "unauthorized_client"
	errUnsupportedGrant     = "unsupported_grant_type"
	errUnsupportedResponse  = "unsupported_response_type"
	errInvalidScope         = "invalid_scope"
	errInvalidToken         = "invalid_token"
	errInsufficientScope    = "insufficient_scope"
	errAccessDenied         = "access_denied"
	errServer               = "server_error"
	errUnavailable          = "temporarily_unavailable"
	errLoginRequired        = "login_required"
	errConsentRequired      = "consent_required"
	errRequestUnsupported   = "request_not_supported"
	errRequestURI           = "request_uri_not_supported"
	errRegistration         = "registration_not_supported"
	errInvalidObject        = "invalid_request_object"            // RFC 9101 §7
	errInvalidRequestURI    = "invalid_request_uri"               // RFC 9101 §7
	errUnmet                = "unmet_authentication_requirements" // OpenID Connect Core Error Code Unmet Authentication Requirements §2
	retryAfterSeconds       = "5"
	contentTypeJSON         = "application/json"
	contentTypeForm         = "application/x-www-form-urlencoded"
	descriptionUnavailable  = "The service is not available for a moment. Try again."
	descriptionServer       = "Something went wrong on our side."
	descriptionInvalidGrant = "The code or refresh token is unknown, expired, used, revoked, or belongs to another client or redirect URI, or the code_verifier does not fit."
)

// protocolError is an answer in the words of the protocol. The description is
// ours: what a library or a database says never reaches a client.
type protocolError struct {
	Code, Description string
	Status            int
	cause             error
}

func (e *protocolError) Error() string {
	var lib *fosite.RFC6749Error
	switch {
	case errors.As(e.cause, &lib):
		return e.Code + ": " + lib.HintField + " " + lib.DebugField
	case e.cause != nil:
		return e.Code + ": " + e.cause.Error()
	}
	return e.Code + ": " + e.Description
}

func (e *protocolError) Unwrap() error { return e.cause }

func refuse(code, description string) *protocolError {
	status := http.StatusBadRequest
	if code == errInvalidClient {
		status = http.StatusUnauthorized
	}
	return &protocolError{Code: code, Description: description, Status: status}
}

// unavailable reports whether an error says "not now" rather than "no".
func unavailable(err error) bool {
	return errors.Is(err, database.ErrUnavailable) || errors.Is(err, database.ErrReadOnly) ||
		errors.Is(err, database.ErrRetry) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// asProtocol finds the answer to any error of this package. A database that
// does not answer comes before everything else: fosite wraps it into errors
// that would send the client away for good.
func asProtocol(err error) *protocolError {
	var own *protocolError
	var lib *fosite.RFC6749Error
	switch {
	case err == nil:
		return nil
	case unavailable(err):
		return &protocolError{Code: errUnavailable, Description: descriptionUnavailable, Status: http.StatusServiceUnavailable, cause: err}
	case errors.As(err, &own):
		return own
	case errors.As(err, &lib):
		return fromFosite(lib)
	}
	return &protocolError{Code: errServer, Description: descriptionServer, Status: http.StatusInternalServerError, cause: err}
}

// fromFosite keeps the code and writes the description anew: fosite's hints
// quote what was sent, and its codes are not all of the standard.
func fromFosite(e *fosite.RFC6749Error) *protocolError {
	p := &protocolError{Code: e.ErrorField, Status: http.StatusBadRequest, cause: e}
	switch e.ErrorField {
	case errInvalidGrant:
		p.Description = descriptionInvalidGrant
	case errInvalidClient:
		p.Description, p.Status = descriptionClient, http.StatusUnauthorized
	case errUnauthorizedClient:
		p.Description = "The client may not use this grant or token."
	case errInvalidScope, "scope_not_granted":
		p.Code, p.Description = errInvalidScope, "A scope is unknown, or was not granted to this client."
	case errInvalidRequest, "invalid_state", "insufficient_entropy":
		p.Code, p.Description = errInvalidRequest, "A parameter is missing or has a value that cannot be used."
	case errUnsupportedResponse, errUnsupportedGrant:
		p.Description = "This is not supported here."
	case errUnavailable:
		p.Description, p.Status = descriptionUnavailable, http.StatusServiceUnavailable
	case errLoginRequired, errConsentRequired, errAccessDenied:
		p.Description = "The person has to be asked."
	default:
		p.Code, p.Description, p.Status = errServer, descriptionServer, http.StatusInternalServerError
	}
	return p
}

// writeError answers an endpoint that machines call (RFC 6749 §5.2).
func (p *Provider) writeError(c *gin.Context, err error) {
	e := asProtocol(err)
	p.logFailure(c, e)
	noStore(c)
	sayWhen(c, err)
	switch e.Status {
	case http.StatusUnauthorized:
		c.Header("WWW-Authenticate", challenge("Basic", "", ""))
	case http.StatusServiceUnavailable:
		c.Header("Retry-After", retryAfterSeconds)
	}
	c.JSON(e.Status, errorBody{e.Code, e.Description})
	c.Abort()
}

type errorBody struct {
	Error       string `json:"error"`
	Description string `json:"error_description,omitempty"`
}

// writeBearerError answers a protected resource (RFC 6750 §3). A request
// without a token is told what to bring and nothing else.
func (p *Provider) writeBearerError(c *gin.Context, err error, scope string) {
	e := asProtocol(err)
	p.logFailure(c, e)
	noStore(c)
	switch e.Status {
	case http.StatusServiceUnavailable:
		c.Header("Retry-After", retryAfterSeconds)
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden:
		c.Header("WWW-Authenticate", challenge("Bearer", e.Code, scope))
	}
	if e.Code == "" {
		c.Status(e.Status)
		c.Writer.WriteHeaderNow()
	} else {
		c.JSON(e.Status, errorBody{e.Code, e.Description})
	}
	c.Abort()
}

func challenge(scheme, code, scope string) string {
	parts := []string{`realm="portico"`}
	if code != "" {
		parts = append(parts, `error="`+code+`"`)
	}
	if code == errInsufficientScope {
		parts = append(parts, `scope="`+scope+`"`)
	}
	return scheme + " " + strings.Join(parts, ", ")
}

func noStore(c *gin.Context) {
	c.Header("Cache-Control", "no-store")
	c.Header("Pragma", "no-cache")
}

// logFailure keeps our own mistakes and outages apart from what clients do.
func (p *Provider) logFailure(c *gin.Context, e *protocolError) {
	if e.Status >= http.StatusInternalServerError {
		p.log.ErrorContext(c.Request.Context(), "protocol request failed", "route", c.FullPath(), "error", e.Error())
		return
	}
	p.log.DebugContext(c.Request.Context(), "protocol request refused", "route", c.FullPath(), "error", e.Error())
}
