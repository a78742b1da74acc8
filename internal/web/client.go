package web

import (
	"net/netip"
	"strings"

	"github.com/gin-gonic/gin"
)

// ClientIP is the address of the browser. X-Forwarded-For is believed from
// right to left for as long as trusted proxies wrote it; what stands left of
// the first other address was typed by whoever asks. The zero Addr when even
// the connection has none.
func ClientIP(c *gin.Context) netip.Addr {
	s := stateOf(c)
	if s.ip.IsValid() {
		return s.ip
	}
	peer, err := netip.ParseAddrPort(c.Request.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	var trusted []netip.Prefix
	if s.pages != nil {
		trusted = s.pages.trusted
	}
	s.ip = clientIP(peer.Addr(), c.Request.Header.Values("X-Forwarded-For"), trusted)
	return s.ip
}

func clientIP(peer netip.Addr, forwarded []string, trusted []netip.Prefix) netip.Addr {
	ip := peer.Unmap().WithZone("")
	hops := strings.Split(strings.Join(forwarded, ","), ",")
	for i := len(hops) - 1; i >= 0 && isTrusted(ip, trusted); i-- {
		hop := strings.TrimSpace(hops[i])
		next, err := netip.ParseAddr(hop)
		if err != nil {
			withPort, err := netip.ParseAddrPort(hop)
			if err != nil {
				break
			}
			next = withPort.Addr()
		}
		ip = next.Unmap().WithZone("")
	}
	return ip
}

func isTrusted(ip netip.Addr, trusted []netip.Prefix) bool {
	for _, prefix := range trusted {
		if prefix.Contains(ip) {
			return true
		}
	}
	return false
}

// Network is what limits count by: the IPv4 address, or the /64 of an IPv6
// address, since one household owns a whole /64.
func Network(c *gin.Context) string { return NetworkOf(ClientIP(c)) }

// NetworkOf is Network for an address; "unknown" for the zero Addr.
func NetworkOf(ip netip.Addr) string {
	switch {
	case !ip.IsValid():
		return "unknown"
	case ip.Is4():
		return ip.String()
	}
	prefix, _ := ip.Prefix(64)
	return prefix.String()
}
