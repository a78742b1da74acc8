package password

import (
	"context"
	"slices"
	"sync"
	"time"
)

// pace hides how a stored hash was made. An imported bcrypt hash takes longer
// to check than ours, an old PBKDF2 hash less, and an account that does not
// exist takes as long as ours: without it, time tells which accounts exist. As
// long as hashes of another cost are about, every failed verification lasts as
// long as the slowest kind does.
//
// It measures instead of calculating, so it is right on every machine and
// under load. What it cannot hide is the very first hash of a kind after a
// start.
type pace struct {
	mu    sync.Mutex
	kinds map[string]*timings // "" is ours, of today's parameters
}

const (
	// forgetKind is how long after the last hash of a kind everybody is slowed
	// down to it.
	forgetKind = 24 * time.Hour
	// maxKinds bounds what a motley import makes a pace remember.
	maxKinds = 32
)

// observe records how long a computation took and returns how long a failed
// verification has to last.
func (p *pace) observe(kind string, took time.Duration) time.Duration {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.kinds == nil {
		p.kinds = map[string]*timings{}
	}
	oldest := kind
	for name, t := range p.kinds {
		switch {
		case name == "":
		case now.Sub(t.at) > forgetKind:
			delete(p.kinds, name)
		case oldest == kind || t.at.Before(p.kinds[oldest].at):
			oldest = name
		}
	}
	if p.kinds[kind] == nil {
		if len(p.kinds) >= maxKinds {
			delete(p.kinds, oldest)
		}
		p.kinds[kind] = &timings{}
	}
	p.kinds[kind].add(took, now)
	if len(p.kinds) == 1 && kind == "" {
		return 0
	}
	var slowest time.Duration
	for _, t := range p.kinds {
		slowest = max(slowest, t.most())
	}
	return slowest
}

// timings are the last durations of one kind of hash.
type timings struct {
	last [32]time.Duration
	n    int
	at   time.Time // of the last one
}

func (t *timings) add(d time.Duration, at time.Time) {
	t.last[t.n%len(t.last)] = d
	t.n++
	t.at = at
}

// most is what nine of ten stay within: the odd pause of the machine does not
// count.
func (t *timings) most() time.Duration {
	last := t.last
	sorted := last[:min(t.n, len(last))]
	slices.Sort(sorted)
	return sorted[len(sorted)*9/10]
}

// timed runs a computation within the bounds of a pool. A failed one lasts as
// long as its pace says, without holding the slot meanwhile. kind is "" for a
// hash of today's parameters.
func (h *Hasher) timed(ctx context.Context, in Pool, kind string, compute func() (ok bool)) error {
	release, err := h.acquire(ctx, in)
	if err != nil {
		return err
	}
	start := time.Now()
	ok := func() bool {
		defer release()
		return compute()
	}()
	took := time.Since(start)
	if rest := h.paces[in].observe(kind, took) - took; rest > 0 && !ok {
		timer := time.NewTimer(rest)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done(): // nobody is there any more to measure it
		}
	}
	return nil
}
