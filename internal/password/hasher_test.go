package password

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var pepper = []byte("a pepper for tests, 32 bytes long")

func hasher() *Hasher { return NewHasher(Floor(), pepper, PoolOptions{}) }

func TestAHashIsArgon2idAtTheFloorOrAbove(t *testing.T) {
	hash, err := hasher().Hash(t.Context(), Passwords, "purple monkey dishwasher")
	if err != nil {
		t.Fatal(err)
	}
	want := regexp.MustCompile(`^\$argon2id\$v=19\$m=19456,t=2,p=1,keyid=[A-Za-z0-9+/]{8}\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$`)
	if !want.MatchString(hash) {
		t.Error(hash)
	}
	for _, weak := range []Params{{}, {19455, 2, 1}, {19456, 1, 1}, {19456, 2, 0}, {1 << 20, 1, 4}} {
		if err := weak.Check(); !errors.Is(err, ErrParams) {
			t.Errorf("%+v: %v", weak, err)
		}
	}
}

func TestAPasswordMatchesItsHashAndNothingElse(t *testing.T) {
	ctx, h := t.Context(), hasher()
	const plain = "Contraseña de José 2"
	hash, err := h.Hash(ctx, Passwords, plain)
	if err != nil {
		t.Fatal(err)
	}
	for typed, want := range map[string]bool{
		plain:                          true,
		"Contrasen\u0303a de José 2":   true, // the same letters, typed as two code points
		"contraseña de José 2":         false,
		"Contrasena de Jose 2":         false,
		plain + " ":                    false,
		"":                             false,
		strings.Repeat("x", 1<<20):     false,
		"Contraseña de José 2\x00":     false,
		string([]byte{0xff, 0xfe, 32}): false,
	} {
		ok, rehash, err := h.Verify(ctx, Passwords, hash, typed)
		if ok != want || rehash || err != nil {
			t.Errorf("Verify(%.30q) = %v, %v, %v", typed, ok, rehash, err)
		}
	}
	again, _ := h.Hash(ctx, Passwords, plain)
	if again == hash {
		t.Error("two hashes of one password are equal: no salt")
	}
	const same = "both normalise this alike"
	asPassword, _ := h.Hash(ctx, Passwords, same)
	if ok, _, _ := h.Verify(ctx, Answers, asPassword, same); ok {
		t.Error("a password's hash passes as an answer's")
	}
	stronger := NewHasher(Params{MemoryKiB: 19456, Time: 3, Parallelism: 1}, pepper, PoolOptions{})
	if ok, rehash, err := stronger.Verify(ctx, Passwords, hash, plain); !ok || !rehash || err != nil {
		t.Errorf("with other parameters: %v, %v, %v, want a match that is hashed again", ok, rehash, err)
	}
	other := NewHasher(Floor(), []byte("another pepper"), PoolOptions{})
	if ok, rehash, err := other.Verify(ctx, Passwords, hash, plain); ok || rehash || err != nil {
		t.Errorf("with another pepper: %v, %v, %v, want no match", ok, rehash, err)
	}
	if err := other.CheckPepper(hash); !errors.Is(err, ErrPepper) {
		t.Errorf("another pepper is taken for the same: %v", err)
	}
	if err := h.CheckPepper(hash); err != nil {
		t.Errorf("the pepper is taken for another: %v", err)
	}
	if err := h.CheckPepper("$2a$10$abcdefghijklmnopqrstuv"); !errors.Is(err, ErrHash) {
		t.Errorf("an imported hash has a pepper: %v", err)
	}
}

func TestADamagedHashIsAnErrorNotAMismatch(t *testing.T) {
	ctx, h := t.Context(), hasher()
	hash, _ := h.Hash(ctx, Passwords, "purple monkey dishwasher")
	parts := strings.Split(hash, "$")
	for _, bad := range []string{
		"", "x", "$2a$10$abcdefghijklmnopqrstuv", hash + "$", hash[:len(hash)-1], "x" + hash,
		strings.Replace(hash, "argon2id", "argon2i", 1), strings.Replace(hash, "v=19", "v=16", 1),
		strings.Replace(hash, "m=19456", "m=99999999", 1), strings.Replace(hash, "t=2", "t=0", 1),
		strings.Replace(hash, "t=2", "t=02", 1), strings.Replace(hash, "p=1", "p=256", 1),
		strings.Replace(hash, ",keyid=", ",id=", 1), strings.Replace(hash, parts[5], "AAAA", 1),
		strings.Replace(hash, parts[4], "", 1),
	} {
		if _, _, err := h.Verify(ctx, Passwords, bad, "purple monkey dishwasher"); !errors.Is(err, ErrHash) {
			t.Errorf("%q: %v, want ErrHash", bad, err)
		}
	}
}

func TestAnswersForgiveCaseAccentsAndSpaces(t *testing.T) {
	ctx, h := t.Context(), hasher()
	hash, err := h.Hash(ctx, Answers, " José  María ")
	if err != nil {
		t.Fatal(err)
	}
	for typed, want := range map[string]bool{
		"jose maria": true, "JOSE\tMARIA": true, "José María": true, "ＪＯＳＥ　ＭＡＲＩＡ": true, "jose\u200b maria": true,
		"josemaria": false, "jose": false, "": false, "   ": false,
	} {
		if ok, _, err := h.Verify(ctx, Answers, hash, typed); ok != want || err != nil {
			t.Errorf("Verify(%q) = %v, %v", typed, ok, err)
		}
	}
	if NormalizeAnswer("STRASSE") != NormalizeAnswer("straße") {
		t.Error("ß is not folded")
	}
	for _, empty := range []string{"", " \t", "\u0301", "\u200b", strings.Repeat("x", 2000), "\xff"} {
		if _, err := h.Hash(ctx, Answers, empty); !errors.Is(err, ErrEmpty) {
			t.Errorf("Hash(%.20q) = %v, want ErrEmpty", empty, err)
		}
	}
}

func TestNothingCostsAsMuchAsSomething(t *testing.T) {
	ctx, h := t.Context(), hasher()
	hash, _ := h.Hash(ctx, Passwords, "purple monkey dishwasher")
	quickest := func(f func()) time.Duration {
		best := time.Hour
		for range 5 {
			start := time.Now()
			f()
			best = min(best, time.Since(start))
		}
		return best
	}
	wrong := quickest(func() { _, _, _ = h.Verify(ctx, Passwords, hash, "a wrong password") })
	nobody := quickest(func() { _ = h.VerifyNothing(ctx, Passwords, "a wrong password") })
	if nobody < wrong/3 || nobody > wrong*3 {
		t.Errorf("a wrong password takes %v, an unknown account %v", wrong, nobody)
	}
}

func TestAFloodOfGuessesIsTurnedAwayAndMemoryStaysFlat(t *testing.T) {
	if testing.Short() {
		t.Skip("computes about a hundred hashes")
	}
	h := NewHasher(Floor(), pepper, PoolOptions{Concurrency: 2, Wait: time.Second})
	var busy, done, peak atomic.Int64
	stop := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		var m runtime.MemStats
		for {
			runtime.ReadMemStats(&m)
			peak.Store(max(peak.Load(), int64(m.HeapAlloc)))
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	})
	var flood sync.WaitGroup
	for i := range 500 {
		flood.Go(func() {
			_, err := h.Hash(t.Context(), Passwords, fmt.Sprintf("password number %d", i))
			switch {
			case err == nil:
				done.Add(1)
			case errors.Is(err, ErrBusy):
				busy.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	// The other pool is not in the way of the flood.
	if _, err := h.Hash(t.Context(), Answers, "fido"); err != nil {
		t.Errorf("an answer during a flood of passwords: %v", err)
	}
	flood.Wait()
	close(stop)
	watch.Wait()
	if busy.Load() < 400 || done.Load() == 0 {
		t.Errorf("%d hashed, %d turned away", done.Load(), busy.Load())
	}
	if mib := peak.Load() >> 20; mib > 400 {
		t.Errorf("the heap grew to %d MiB", mib)
	}
}

func TestTheQueueIsBoundedInLengthAndTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(1, PoolOptions{})
		release, err := p.acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		var timedOut atomic.Int64
		var wg sync.WaitGroup
		for range defaultQueue {
			wg.Go(func() {
				if _, err := p.acquire(t.Context()); errors.Is(err, ErrBusy) {
					timedOut.Add(1)
				}
			})
		}
		synctest.Wait()
		if _, err := p.acquire(t.Context()); !errors.Is(err, ErrBusy) || time.Since(start) != 0 {
			t.Errorf("one more than the queue holds: %v after %v", err, time.Since(start))
		}
		wg.Wait()
		if timedOut.Load() != defaultQueue || time.Since(start) != defaultWait {
			t.Errorf("%d gave up, after %v", timedOut.Load(), time.Since(start))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := p.acquire(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("a gone client: %v", err)
		}
		release()
		if release, err = p.acquire(t.Context()); err != nil {
			t.Errorf("after the release: %v", err)
		}
		release()
	})
}

func TestWhoEntersHasAPlaceAndNobodyElse(t *testing.T) {
	h := NewHasher(Floor(), []byte("a pepper"), PoolOptions{Concurrency: 4, Queue: 5})
	var leave []func()
	for range 3 + 5 { // three run, five wait
		one, err := h.Enter(Passwords)
		if err != nil {
			t.Fatal(err)
		}
		leave = append(leave, one)
	}
	if _, err := h.Enter(Passwords); !errors.Is(err, ErrBusy) {
		t.Errorf("one more: %v", err)
	}
	if one, err := h.Enter(Answers); err != nil {
		t.Errorf("the other pool: %v", err)
	} else {
		one()
	}
	leave[0]()
	if _, err := h.Enter(Passwords); err != nil {
		t.Errorf("after somebody left: %v", err)
	}
	if _, err := h.Enter(Passwords); !errors.Is(err, ErrBusy) {
		t.Errorf("who was turned away took a place: %v", err)
	}
}

func TestHashesAtOnceNeverExceedTheCPUs(t *testing.T) {
	for n, want := range map[int][2]int{1: {1, 1}, 2: {1, 1}, 4: {3, 1}, 8: {6, 2}, 16: {12, 4}} {
		passwords, answers := PoolOptions{Concurrency: n}.sizes(Floor())
		if [2]int{passwords, answers} != want {
			t.Errorf("%d at once: %d passwords, %d answers", n, passwords, answers)
		}
	}
	huge := Params{MemoryKiB: 1 << 31, Time: 2, Parallelism: 1}
	if memoryBytes() > 0 {
		if passwords, answers := (PoolOptions{}).sizes(huge); passwords != 1 || answers != 1 {
			t.Errorf("hashes that fill the memory: %d and %d at once", passwords, answers)
		}
	}
}
