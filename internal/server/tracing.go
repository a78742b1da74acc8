package server

import (
	"github.com/gin-gonic/gin"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/portico-id/portico/internal/realm"
)

// traceRequests makes one span per request. The ready-made middlewares record
// the path and the client's address; ours may carry a reset link's token in its
// path, so only the template is recorded.
func traceRequests() gin.HandlerFunc {
	tracer := otel.Tracer("github.com/portico-id/portico/internal/server")
	return func(c *gin.Context) {
		ctx := c.Request.Context() // strangers' trace ids and sampling wishes are not followed
		route := c.FullPath()
		if route == "" {
			route = "unmatched"
		}
		ctx, span := tracer.Start(ctx, method(c.Request.Method)+" "+route, trace.WithSpanKind(trace.SpanKindServer),
			trace.WithAttributes(attribute.String("http.request.method", method(c.Request.Method)), attribute.String("http.route", route)))
		defer span.End()
		if r, ok := realm.Lookup(ctx); ok {
			span.SetAttributes(attribute.String("portico.realm", r.Name))
		}
		c.Request = c.Request.WithContext(ctx)
		c.Next()
		status := c.Writer.Status()
		span.SetAttributes(attribute.Int("http.response.status_code", status))
		if status >= 500 {
			span.SetStatus(codes.Error, "")
		}
	}
}
