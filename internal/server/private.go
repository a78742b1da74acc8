package server

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/realm"
)

// privateHandler answers the operator's questions. It is never public: metrics
// tell how many people sign in and when.
func privateHandler(db *database.DB, reg *prometheus.Registry) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		plain(w, http.StatusOK, "ok")
	})
	ready := &readiness{db: db}
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if why := ready.check(r.Context()); why != "" {
			plain(w, http.StatusServiceUnavailable, why)
			return
		}
		plain(w, http.StatusOK, "ready")
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{Registry: reg}))
	return mux
}

// localOnly answers only who asks by a name of this machine, when the listener
// is one that other machines do not reach: a page of another site can have its
// own name lead to 127.0.0.1 (DNS rebinding), and would read what is private.
func localOnly(at net.Addr, h http.Handler) http.Handler {
	if tcp, ok := at.(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil { // no port
			host = strings.Trim(r.Host, "[]")
		}
		if !realm.Loopback(strings.ToLower(host)) {
			plain(w, http.StatusMisdirectedRequest, "this listener is asked by the name localhost")
			return
		}
		h.ServeHTTP(w, r)
	})
}

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n"))
}

// readiness asks the database for a sign of life, and once for its schema: a
// schema that was complete stays so.
type readiness struct {
	db *database.DB

	mu       sync.Mutex
	complete bool
}

func (r *readiness) check(ctx context.Context) (why string) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if err := r.db.Ping(ctx); err != nil {
		return "the database does not answer"
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.complete {
		return ""
	}
	names, err := pending(ctx, r.db)
	switch {
	case err != nil:
		return "the schema cannot be read"
	case len(names) > 0:
		return "the schema is older than this version; run: idp migrate"
	}
	r.complete = true
	return ""
}
