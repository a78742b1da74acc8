package server

import (
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

// A page of another site whose name leads to 127.0.0.1 reads no metrics.
func TestThePrivateListenerOfThisMachineKnowsItsNames(t *testing.T) {
	ok := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	ask := func(at, host string) int {
		addr, err := net.ResolveTCPAddr("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest("GET", "/metrics", nil)
		r.Host = host
		w := httptest.NewRecorder()
		localOnly(addr, ok).ServeHTTP(w, r)
		return w.Code
	}
	for host, want := range map[string]int{
		"localhost:9004": 200, "LOCALHOST": 200, "127.0.0.1:9004": 200, "[::1]:9004": 200, "[::1]": 200, "idp.localhost:9004": 200,
		"rebound.example.test:9004": 421, "rebound.example.test": 421, "127.0.0.1.example.test": 421, "localhost.example.test:9004": 421,
		"": 421, "192.0.2.1:9004": 421, "[2001:db8::1]:9004": 421,
	} {
		if got := ask("127.0.0.1:9004", host); got != want {
			t.Errorf("Host %q: %d, want %d", host, got, want)
		}
		// One that other machines reach is asked by names that we cannot know.
		if got := ask("0.0.0.0:9004", host); got != 200 {
			t.Errorf("Host %q on every address: %d", host, got)
		}
	}
}
