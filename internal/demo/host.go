package demo

import (
	"net"
	"net/http"
	"strings"

	"github.com/portico-id/portico/internal/realm"
)

// ownHost answers only who asks for this machine by one of its own names. A
// page of another site can have its name lead to 127.0.0.1 (DNS rebinding), and
// would then read the mails and the secrets of the demo as if they were its own.
func ownHost(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil { // no port
			host = strings.Trim(r.Host, "[]")
		}
		if !realm.Loopback(strings.ToLower(host)) {
			http.Error(w, "This address is not of this server. Use the one that the demo has printed.", http.StatusMisdirectedRequest)
			return
		}
		h.ServeHTTP(w, r)
	})
}
