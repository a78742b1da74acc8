package server

import (
	"context"
	"fmt"
	"net/url"
	"os"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.40.0"
)

// startTracing installs the tracer provider of the process: exporter "none",
// "stdout" or "otlp" (OTLP over HTTP to endpoint). The returned function
// flushes what is still in memory.
//
// Spans carry statement texts and path templates, never arguments, query
// strings or headers, so no secret can be in them.
func startTracing(ctx context.Context, exporter, endpoint string) (stop func(context.Context) error, err error) {
	var export trace.SpanExporter
	switch exporter {
	case "", "none":
		return func(context.Context) error { return nil }, nil
	case "stdout":
		export, err = stdouttrace.New(stdouttrace.WithWriter(os.Stdout))
	case "otlp":
		var options []otlptracehttp.Option
		if endpoint != "" {
			if _, err := url.Parse(endpoint); err != nil {
				return nil, fmt.Errorf("telemetry endpoint: %w", err)
			}
			options = append(options, otlptracehttp.WithEndpointURL(endpoint))
		}
		export, err = otlptracehttp.New(ctx, options...)
	default:
		return nil, fmt.Errorf("unknown trace exporter %q", exporter)
	}
	if err != nil {
		return nil, fmt.Errorf("trace exporter %s: %w", exporter, err)
	}
	about, err := resource.Merge(resource.Default(), resource.NewSchemaless(semconv.ServiceName("portico")))
	if err != nil {
		return nil, err
	}
	provider := trace.NewTracerProvider(trace.WithBatcher(export), trace.WithResource(about))
	otel.SetTracerProvider(provider)
	return provider.Shutdown, nil
}
