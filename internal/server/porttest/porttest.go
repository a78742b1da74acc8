// Package porttest finds ports for servers that a test starts in a process of
// their own, and that therefore cannot keep the listener that found the port.
package porttest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
)

// The ports come from below those that systems hand out by themselves (Linux
// from 32768, most others from 49152). One of those, found free, can be the near
// end of some outgoing connection a moment later, and a browser opens many.
const lowest, highest = 16000, 32000

var (
	mu    sync.Mutex
	given = map[int]bool{}
)

// Free returns n ports of localhost on which nobody listens, none of which it
// has returned before in this process. It is safe for concurrent use.
func Free(n int) ([]int, error) {
	mu.Lock()
	defer mu.Unlock()
	var ports []int
	for range 100 + 10*n {
		if len(ports) == n {
			return ports, nil
		}
		port := lowest + rand.IntN(highest-lowest)
		if given[port] {
			continue
		}
		l, err := net.Listen("tcp", fmt.Sprintf("localhost:%d", port))
		if err != nil {
			continue // somebody's
		}
		l.Close()
		given[port] = true
		ports = append(ports, port)
	}
	return nil, errors.New("no free ports: hundreds in a row are in use")
}
