package mail

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	waiting, oldest prometheus.Gauge
	ended           *prometheus.CounterVec
	seconds         prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer) metrics {
	f := promauto.With(reg)
	return metrics{
		waiting: f.NewGauge(prometheus.GaugeOpts{
			Name: "portico_mail_queue_letters", Help: "Letters that wait to be delivered."}),
		oldest: f.NewGauge(prometheus.GaugeOpts{
			Name: "portico_mail_queue_oldest_seconds", Help: "How long the oldest waiting letter has waited."}),
		ended: f.NewCounterVec(prometheus.CounterOpts{
			Name: "portico_mail_letters_total", Help: "Letters by kind and result: sent, failed, expired, cancelled, or retried (one attempt of many).",
		}, []string{"kind", "result"}),
		seconds: f.NewHistogram(prometheus.HistogramOpts{
			Name: "portico_mail_attempt_seconds", Help: "Duration of delivery attempts.",
			Buckets: []float64{.01, .05, .1, .5, 1, 5, 10, 30, 60, 120}}),
	}
}
