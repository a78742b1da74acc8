package demo

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/portico-id/portico/internal/demo/seed"
)

// A page of another site whose name leads to 127.0.0.1 reads no mail and no
// secret.
func TestTheDemoKnowsItsNames(t *testing.T) {
	o := parse(t, free(t)...)
	start := func(context.Context, []byte, func(string) (string, bool), *seed.Data, *slog.Logger) (Provider, error) {
		return &standIn{ready: make(chan struct{})}, nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	var out output
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, o, start, &out, io.Discard) }()
	out.wait(t, "Press Ctrl-C to stop.")
	for _, at := range []string{o.mailboxURL() + "/demo.json", o.mailboxURL() + "/api/messages", o.patientURL() + "/", o.practiceURL() + "/"} {
		u, err := url.Parse(at)
		if err != nil {
			t.Fatal(err)
		}
		for host, want := range map[string]int{
			u.Host: 200, "127.0.0.1:9003": 200, "[::1]": 200, "demo.localhost": 200, "LocalHost:1": 200,
			"rebound.example.test": 421, "rebound.example.test:9003": 421, "localhost.example.test": 421, "192.0.2.7": 421, "127.0.0.1.example.test": 421,
		} {
			req, err := http.NewRequest(http.MethodGet, at, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Host = host
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(res.Body)
			res.Body.Close()
			if res.StatusCode != want || want == 421 && (strings.Contains(string(body), "secret") || len(body) > 200) {
				t.Errorf("%s as %q: %d, want %d", at, host, res.StatusCode, want)
			}
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
