package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/portico-id/portico/config"
)

// ErrPortTaken says that another program listens where this one wants to.
var ErrPortTaken = errors.New("the address is in use by another program")

// listen opens a TCP listener; what names the setting to change when the port
// is taken.
func listen(ctx context.Context, address, what string) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s: %w: stop that program, or change %s", address, ErrPortTaken, what)
	case err != nil:
		return nil, fmt.Errorf("listen on %s (%s): %w", address, what, err)
	}
	return l, nil
}

// tlsConfig prefers TLS 1.3 and allows 1.2 only with the forward-secret GCM
// suites (BCP 195, RFC 9325 §4.2). Without files it returns nil:
// a proxy in front terminates TLS.
func tlsConfig(certFile, keyFile string) (*tls.Config, error) {
	if certFile == "" && keyFile == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{pair},
		MinVersion:   tls.VersionTLS12,
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
		},
		NextProtos: []string{"h2", "http/1.1"},
	}, nil
}

// newHTTP bounds what a slow or large client can hold.
func newHTTP(h http.Handler, log *slog.Logger, limits config.Limits) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: min(limits.ReadTimeout, 5*time.Second),
		ReadTimeout:       limits.ReadTimeout,
		WriteTimeout:      limits.WriteTimeout,
		IdleTimeout:       limits.IdleTimeout,
		MaxHeaderBytes:    limits.HeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}
