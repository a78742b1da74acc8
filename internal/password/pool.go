package password

import (
	"bufio"
	"bytes"
	"context"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
)

// PoolOptions bound how much hashing happens at once. The zero value is right:
// as many hashes as there are CPUs, or as fit into a quarter of the memory.
type PoolOptions struct {
	Concurrency int           // hashes at once, both pools together, at least one each; 0: see above
	Queue       int           // how many may wait in a pool; 0: 64
	Wait        time.Duration // how long they wait; 0: 2 s
}

const (
	defaultQueue = 64
	defaultWait  = 2 * time.Second
)

// sizes shares the concurrency out. Answers get a quarter: they are rare, and
// guessing them must not stop sign-in.
func (o PoolOptions) sizes(p Params) (passwords, answers int) {
	n := o.Concurrency
	if n <= 0 {
		n = runtime.GOMAXPROCS(0)
		if memory := memoryBytes(); memory > 0 {
			n = min(n, int(memory/4/(int64(p.MemoryKiB)*1024)))
		}
	}
	answers = max(1, n/4)
	return max(1, n-answers), answers
}

// patience is how many may wait, and how long.
func (o PoolOptions) patience() (queue int64, wait time.Duration) {
	queue, wait = int64(o.Queue), o.Wait
	if queue <= 0 {
		queue = defaultQueue
	}
	if wait <= 0 {
		wait = defaultWait
	}
	return queue, wait
}

// pool lets a number of hashes run, a number wait, and turns the rest away.
type pool struct {
	slots   chan struct{}
	waiting atomic.Int64
	inside  atomic.Int64 // who has entered
	queue   int64
	wait    time.Duration
}

func newPool(size int, o PoolOptions) *pool {
	queue, wait := o.patience()
	return &pool{slots: make(chan struct{}, size), queue: queue, wait: wait}
}

// acquire waits for a slot and returns what gives it back, or ErrBusy when the
// queue is full or the wait too long.
func (p *pool) acquire(ctx context.Context) (release func(), err error) {
	release = func() { <-p.slots }
	select {
	case p.slots <- struct{}{}:
		return release, nil
	default:
	}
	if p.waiting.Add(1) > p.queue {
		p.waiting.Add(-1)
		return nil, ErrBusy
	}
	defer p.waiting.Add(-1)
	timer := time.NewTimer(p.wait)
	defer timer.Stop()
	select {
	case p.slots <- struct{}{}:
		return release, nil
	case <-timer.C:
		return nil, ErrBusy
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// enter takes a place for somebody who is going to acquire a slot: there are
// as many as can run and wait.
func (p *pool) enter() (leave func(), err error) {
	if p.inside.Add(1) > p.queue+int64(cap(p.slots)) {
		p.inside.Add(-1)
		return nil, ErrBusy
	}
	return func() { p.inside.Add(-1) }, nil
}

// budget bounds the memory of computations that need more than a slot of a
// pool stands for. Waiting for it is bounded as in a pool.
type budget struct {
	bytes   *semaphore.Weighted
	waiting atomic.Int64
	queue   int64
	wait    time.Duration
}

// newBudget makes a budget that has room for the largest imported hash at
// least.
func newBudget(bytes int64, o PoolOptions) *budget {
	queue, wait := o.patience()
	return &budget{bytes: semaphore.NewWeighted(max(bytes, maxImportedArgonKiB<<10, maxScryptMemory)), queue: queue, wait: wait}
}

// acquire waits for n bytes and returns what gives them back, or ErrBusy.
func (b *budget) acquire(ctx context.Context, n int64) (release func(), err error) {
	release = func() { b.bytes.Release(n) }
	if b.bytes.TryAcquire(n) {
		return release, nil
	}
	if b.waiting.Add(1) > b.queue {
		b.waiting.Add(-1)
		return nil, ErrBusy
	}
	defer b.waiting.Add(-1)
	waiting, cancel := context.WithTimeout(ctx, b.wait)
	defer cancel()
	if b.bytes.Acquire(waiting, n) == nil {
		return release, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return nil, ErrBusy
}

// memoryBytes is the memory this process may use: the limit of its control
// group or the machine's, on Linux; 0 where it cannot be told.
func memoryBytes() int64 {
	machine := int64(0)
	if f, err := os.Open("/proc/meminfo"); err == nil {
		defer f.Close()
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			fields := bytes.Fields(lines.Bytes())
			if len(fields) > 1 && string(fields[0]) == "MemTotal:" {
				kib, _ := strconv.ParseInt(string(fields[1]), 10, 64)
				machine = kib * 1024
				break
			}
		}
	}
	for _, file := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		content, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		limit, err := strconv.ParseInt(string(bytes.TrimSpace(content)), 10, 64)
		if err == nil && limit > 0 && (machine == 0 || limit < machine) {
			return limit
		}
	}
	return machine
}
