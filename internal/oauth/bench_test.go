package oauth

import (
	"context"
	"net/http"
	"net/url"
	"testing"

	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/database/dbtest"
)

// The benchmarks go through the HTTP handler, with real signatures (ES256) and
// a real database; trips/op are the database round trips of one operation.

func benchEach(b *testing.B, fn func(b *testing.B, w *world)) {
	for name, open := range map[string]func(testing.TB) *database.DB{"sqlite": dbtest.SQLite, "postgres": dbtest.Postgres} {
		b.Run(name, func(b *testing.B) {
			w := newWorld(b, open(b))
			w.signIn(w.account)
			b.ReportAllocs()
			fn(b, w)
		})
	}
}

// measure posts n forms and reports the round trips of each.
func (w *world) measure(b *testing.B, client string, form func(i int, last reply) url.Values) {
	ctx, trips := dbtest.CountTrips(context.Background())
	header := http.Header{"Authorization": {basic(client, testSecret)}}
	var last reply
	n := 0
	for b.Loop() {
		last = w.do(ctx, http.MethodPost, pathToken, header, form(n, last).Encode())
		if last.Status != http.StatusOK {
			b.Fatalf("%d %s", last.Status, last.Body)
		}
		n++
	}
	b.ReportMetric(float64(trips.Trips())/float64(n), "trips/op")
}

func BenchmarkExchange(b *testing.B) {
	benchEach(b, func(b *testing.B, w *world) {
		w.measure(b, "portal", func(int, reply) url.Values {
			b.StopTimer()
			code := w.code("portal")
			b.StartTimer()
			return exchange("portal", code)
		})
	})
}

func BenchmarkRefresh(b *testing.B) {
	benchEach(b, func(b *testing.B, w *world) {
		first := w.tokens("portal")
		w.measure(b, "portal", func(i int, last reply) url.Values {
			if i == 0 {
				last = first
			}
			return url.Values{"grant_type": {"refresh_token"}, "refresh_token": {last.get("refresh_token")}}
		})
	})
}

func BenchmarkClientCredentials(b *testing.B) {
	benchEach(b, func(b *testing.B, w *world) {
		w.measure(b, "service", func(int, reply) url.Values { return url.Values{"grant_type": {"client_credentials"}} })
	})
}

func BenchmarkAuthorize(b *testing.B) {
	benchEach(b, func(b *testing.B, w *world) {
		form := request("portal")
		path := pathAuthorize + "?" + form.Encode()
		header := http.Header{"Cookie": {w.r.CookieName("") + "=" + w.Cookie("")}}
		for b.Loop() {
			if r := w.do(context.Background(), http.MethodGet, path, header, ""); r.Status != http.StatusSeeOther {
				b.Fatalf("%d %s", r.Status, r.Body)
			}
		}
	})
}
