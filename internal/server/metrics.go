package server

import (
	"strconv"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/portico-id/portico/internal/password"
	"github.com/portico-id/portico/internal/realm"
)

// newRegistry makes the metrics registry of one server, with the process's and
// the Go runtime's own figures in it.
func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// observe measures every request by realm, path template and status. The
// template, not the path: a reset link's token must not become a label, and
// neither must anything else that a stranger can choose.
func observe(reg prometheus.Registerer) gin.HandlerFunc {
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "portico_http_request_duration_seconds",
		Help:    "Time to answer a request, by realm, method, path template and status.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
	}, []string{"realm", "method", "route", "status"})
	reg.MustRegister(seconds)
	return func(c *gin.Context) {
		began := time.Now()
		c.Next()
		route := c.FullPath()
		if route == "" {
			route = "unmatched"
		}
		name := ""
		if r, ok := realm.Lookup(c.Request.Context()); ok {
			name = r.Name
		}
		seconds.WithLabelValues(name, method(c.Request.Method), route, strconv.Itoa(c.Writer.Status())).
			Observe(time.Since(began).Seconds())
	}
}

// countHashes tells how much of a server's work is passwords and answers.
func countHashes(reg prometheus.Registerer, h *password.Hasher) {
	for _, pool := range []password.Pool{password.Passwords, password.Answers} {
		reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name:        "portico_password_hashes_total",
			Help:        "Hashes of passwords and of answers that were begun.",
			ConstLabels: prometheus.Labels{"pool": pool.String()},
		}, func() float64 { return float64(h.Hashed(pool)) }))
	}
}

// method keeps the label's values few: a client may send any word as a method.
func method(m string) string {
	switch m {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS":
		return m
	}
	return "other"
}
