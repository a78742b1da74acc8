package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"
)

// worker is background work that lives as long as the server. Every worker is
// safe with any number of replicas beside it.
type worker struct {
	name string
	run  func(ctx context.Context) error
}

// every turns a task into a worker that repeats it. A failure is logged and
// the task tried again at the next turn: the database may be away for a while.
func every(period time.Duration, name string, log *slog.Logger, task func(ctx context.Context) error) worker {
	return worker{name, func(ctx context.Context) error {
		tick := time.NewTicker(period)
		defer tick.Stop()
		for {
			if err := task(ctx); err != nil && ctx.Err() == nil {
				log.Warn("background task failed, will try again", "task", name, "error", err)
			}
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
		}
	}}
}

// keepRunning runs w until ctx ends; a worker that fails or panics is started
// again after a pause, because letters must go out while anything else works.
func keepRunning(ctx context.Context, log *slog.Logger, w worker) {
	pause := time.Second
	for ctx.Err() == nil {
		began := time.Now()
		err := runOnce(ctx, w)
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, context.Canceled) {
			err = errors.New("it stopped by itself")
		}
		if time.Since(began) > time.Minute {
			pause = time.Second
		}
		log.Error("worker stopped, starting it again", "worker", w.name, "pause", pause, "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, time.Minute)
	}
}

func runOnce(ctx context.Context, w worker) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return w.run(ctx)
}

// workers lists all background work.
func (r *rooms) workers(log *slog.Logger) []worker {
	all := []worker{
		{"outbox", r.outbox.Worker},
		{"recovery requests", r.recovery.Worker},
		{"audit chain", r.audit.ChainWorker},
		{"signing keys", r.keys.Worker},
		{"logout tokens", r.oauth.LogoutWorker},
		every(5*time.Minute, "keys of clients", log, func(ctx context.Context) error { return r.oauth.LearnClientKeys(ctx, r.realms) }),
		every(10*time.Minute, "clean up grants", log, r.oauth.CleanUp),
		every(10*time.Minute, "clean up recovery", log, r.recovery.CleanUp),
		every(10*time.Minute, "clean up accounts", log, r.accounts.CleanUp),
		every(10*time.Minute, "clean up sessions", log, r.sessions.CleanUp),
		every(10*time.Minute, "clean up second factors", log, r.factors.CleanUp),
		every(10*time.Minute, "clean up sign-ins", log, r.signins.CleanUp),
		every(10*time.Minute, "clean up counters", log, r.limits.CleanUp),
		every(10*time.Minute, "clean up letters", log, r.outbox.CleanUp),
	}
	if r.admin != nil {
		all = append(all, every(10*time.Minute, "clean up idempotency keys", log, r.admin.CleanUp))
	}
	return all
}
