package password

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// A vector was made by another implementation: testdata/imported.json says by
// which.
type vector struct{ Source, Password, Hash string }

func vectors(t testing.TB) []vector {
	t.Helper()
	raw, err := os.ReadFile("testdata/imported.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []vector
	if err := json.Unmarshal(raw, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestHashesOfOtherSystemsAreVerified(t *testing.T) {
	seen := map[string]int{}
	for i, v := range vectors(t) {
		if testing.Short() && i%4 != 0 {
			continue
		}
		if err := CheckImported(v.Hash); err != nil {
			t.Errorf("%s: %s: %v", v.Source, v.Hash, err)
			continue
		}
		h := hasher() // of its own: one that knows slow hashes takes its time with all of them
		parsed, _ := parseImported(v.Hash)
		seen[strings.FieldsFunc(parsed.kind, func(r rune) bool { return r == ' ' })[0]]++
		if ok, rehash, err := h.Verify(t.Context(), Passwords, v.Hash, v.Password); !ok || !rehash || err != nil {
			t.Errorf("%s: %s: %v, %v, %v, want a match that is hashed again", v.Source, v.Hash, ok, rehash, err)
		}
		// Changed at the start, because bcrypt does not see the end.
		if ok, rehash, err := h.Verify(t.Context(), Passwords, v.Hash, "x"+v.Password); ok || rehash || err != nil {
			t.Errorf("%s: %s, another password: %v, %v, %v", v.Source, v.Hash, ok, rehash, err)
		}
	}
	for _, kind := range []string{"$2a$05", "$2b$05", "$2y$05", "pbkdf2", "scrypt", "argon2i", "argon2id"} {
		if seen[kind] == 0 {
			t.Errorf("no vector of %s: %v", kind, seen)
		}
	}
}

const (
	salt22 = "MDEyMzQ1Njc4OWFiY2RlZg"
	tag43  = "eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHg"
	end    = "$" + salt22 + "$" + tag43
)

// What an import file may not make the server do, and what is not supported.
func TestAHostileOrUnknownHashIsRefusedBeforeItCosts(t *testing.T) {
	a53 := strings.Repeat("a", 53)
	h := hasher()
	own, err := h.Hash(t.Context(), Passwords, "purple monkey dishwasher")
	if err != nil {
		t.Fatal(err)
	}
	for _, keyed := range []string{own, "$argon2id$v=19$m=64,t=1,p=1,keyid=abcd" + end} {
		if err := CheckImported(keyed); !errors.Is(err, ErrHash) {
			t.Errorf("a hash with a pepper in it: %v", err)
		}
	}
	for _, bad := range []string{
		"", "$", "$$", "plain text", "5f4dcc3b5aa765d61d8327deb882cf99", "{SSHA}abc", "$1$salt$hash", "$6$salt$hash", "$5$rounds=5000$salt$hash",
		"$2b$15$" + a53, "$2b$31$" + a53, "$2b$03$" + a53, "$2b$1$" + a53, "$2b$10$" + a53[1:], "$2b$10$" + a53 + "a", "$2b$10$" + a53[1:] + "-", "$2b$10$" + a53 + "\n",
		"$2x$10$" + a53, "$2$10$" + a53, "$2z$10$" + a53, "2b$10$" + a53,
		"$pbkdf2-sha256$2000001" + end, "$pbkdf2-sha256$4294967296" + end, "$pbkdf2-sha256$0" + end, "$pbkdf2-sha256$-1" + end, "$pbkdf2-sha256$+1" + end,
		"$pbkdf2-sha256$01" + end, "$pbkdf2-sha256$1e3" + end, "$pbkdf2-sha256$i=1000,l=31" + end, "$pbkdf2-sha256$l=32,i=1000" + end, "$pbkdf2-sha256$i=2000001,l=32" + end,
		"$pbkdf2-sha256$i=1000,l=32,x=1" + end, "$pbkdf2-md5$1000" + end, "$pbkdf2-sha384$1000" + end, "$pbkdf2-sha256$1000$" + salt22, "$pbkdf2-sha256$1000" + end + "$",
		"$pbkdf2-sha1$1000001" + end,                                                        // 32 bytes are two blocks of SHA-1
		"$pbkdf2-sha256$1000$$" + tag43, "$pbkdf2-sha256$1000$" + salt22 + "$" + tag43[:20], // a tag of 15 bytes
		"$pbkdf2-sha256$1000$" + salt22 + "$" + strings.Repeat("x", 88),                               // 66 bytes
		"$pbkdf2-sha256$1000$" + salt22 + "$" + tag43 + "\n", "$pbkdf2-sha256$1000$" + salt22 + "$!!", // not base64
		"$pbkdf2-sha256$1000$" + strings.Repeat("x", 400) + "$" + tag43, "$pbkdf2-sha256$1000$" + strings.Repeat("x", 200) + "$" + tag43,
		"pbkdf2_sha256$2000001$salt$" + tag43, "pbkdf2_sha256$1000$$" + tag43, "pbkdf2_sha256$1000$salt", "pbkdf2_md5$1000$salt$" + tag43, "pbkdf2_$1000$salt$" + tag43,
		"pbkdf2_sha256$x$salt$" + tag43, "pbkdf2_sha256$1000$salt$!", "$pbkdf2_sha256$1000$salt$" + tag43,
		"$scrypt$ln=22,r=1,p=1" + end, "$scrypt$ln=64,r=1,p=1" + end, "$scrypt$ln=18,r=8,p=2" + end, "$scrypt$ln=20,r=8,p=1" + end, "$scrypt$ln=0,r=8,p=1" + end,
		"$scrypt$ln=1,r=4294967295,p=4294967295" + end, "$scrypt$ln=1,r=2097152,p=1" + end, "$scrypt$ln=14,r=0,p=1" + end, "$scrypt$r=8,ln=14,p=1" + end, "$scrypt$ln=14,r=8" + end, "$scrypt$ln=14,r=8,p=1$" + salt22,
		"$scrypt$ln=21,r=1,p=1" + end, // N·r·p is right, but p adds to the memory
		"$argon2id$v=19$m=262145,t=1,p=1" + end, "$argon2id$v=19$m=262144,t=5,p=1" + end, "$argon2id$v=19$m=4294967295,t=4294967295,p=1" + end,
		"$argon2id$v=19$m=65536,t=17,p=1" + end, "$argon2id$v=19$m=8,t=131073,p=1" + end, "$argon2id$v=19$m=65536,t=0,p=1" + end, "$argon2id$v=19$m=65536,t=1,p=0" + end,
		"$argon2id$v=19$m=65536,t=1,p=17" + end, "$argon2id$v=19$m=15,t=1,p=2" + end, "$argon2id$v=18$m=64,t=1,p=1" + end, "$argon2id$v=16$m=64,t=1,p=1" + end, "$argon2i$m=64,t=1,p=1" + end,
		"$argon2id$v=19$m=64,t=1,p=1,data=abcd" + end, "$argon2i$v=19$m=64,t=1,p=1,keyid=abcd" + end, "$argon2d$v=19$m=64,t=1,p=1" + end,
		"$argon2id$v=19$m=64,t=1,p=1", "$argon2id$v=19", "$argon2id", "$scrypt", "$pbkdf2-sha256",
	} {
		if err := CheckImported(bad); !errors.Is(err, ErrHash) {
			t.Errorf("%q: %v, want ErrHash", bad, err)
		} else if len(bad) > 20 && strings.Contains(err.Error(), bad[len(bad)-20:]) {
			t.Errorf("the error quotes the hash: %v", err)
		}
		start := time.Now()
		if ok, rehash, err := h.Verify(t.Context(), Passwords, bad, "purple monkey dishwasher"); ok || rehash || !errors.Is(err, ErrHash) {
			t.Errorf("Verify %q: %v, %v, %v, want ErrHash", bad, ok, rehash, err)
		}
		if took := time.Since(start); took > 100*time.Millisecond {
			t.Errorf("%q: refused after %v", bad, took)
		}
	}
	for _, good := range []string{ // at the limits
		"$2b$14$" + a53, "$pbkdf2-sha256$2000000" + end, "$pbkdf2-sha1$1000000" + end, "$scrypt$ln=17,r=8,p=2" + end, "$scrypt$ln=20,r=1,p=2" + end,
		"$argon2id$v=19$m=262144,t=4,p=16" + end, "$argon2i$v=19$m=8,t=131072,p=1" + end, "$pbkdf2-sha256$i=1000,l=32" + end, "$pbkdf2-sha256$1000" + end + "=",
	} {
		if err := CheckImported(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	if err := CheckImported("$argon2d$v=19$m=64,t=1,p=1" + end); err == nil || !strings.Contains(err.Error(), "Argon2d is not supported") {
		t.Errorf("Argon2d: %v", err)
	}
}

func TestAnImportedPasswordIsTakenAsTypedAndOnlyWhereItBelongs(t *testing.T) {
	ctx, h := t.Context(), hasher()
	const decomposed, composed = "Contrasen\u0303a", "Contrase\u00f1a"
	hash := bcryptHash(t, decomposed)
	for typed, want := range map[string]bool{decomposed: true, composed: false, "": false, decomposed + "\x00": false, strings.Repeat("x", 1<<20): false, "\xff\xfe": false} {
		if ok, rehash, err := h.Verify(ctx, Passwords, hash, typed); ok != want || rehash != want || err != nil {
			t.Errorf("%.30q: %v, %v, %v", typed, ok, rehash, err)
		}
	}
	if _, _, err := h.Verify(ctx, Answers, hash, decomposed); !errors.Is(err, ErrHash) {
		t.Errorf("an imported hash as an answer: %v", err)
	}
	if ok, _, err := h.Verify(ctx, Passwords, bcryptHash(t, ""), ""); ok || err != nil {
		t.Errorf("an empty password: %v, %v", ok, err)
	}
}

// bcrypt sees 72 bytes. The old system let the person in with them, so do we,
// once; from then on every character counts.
func TestTheUpgradeOfABcryptHashCoversTheWholePassword(t *testing.T) {
	ctx, h := t.Context(), hasher()
	first72 := "seventy-two bytes of a long password that bcrypt looks at, and not more."
	if len(first72) != 72 {
		t.Fatal(len(first72))
	}
	plain := first72 + " But this is a part of it, too."
	old := bcryptHash(t, first72)
	ok, rehash, err := h.Verify(ctx, Passwords, old, plain)
	if !ok || !rehash || err != nil {
		t.Fatal(ok, rehash, err)
	}
	if ok, _, _ := h.Verify(ctx, Passwords, old, first72[:71]); ok {
		t.Error("71 bytes are enough")
	}
	fresh, err := h.Hash(ctx, Passwords, plain)
	if err != nil {
		t.Fatal(err)
	}
	for typed, want := range map[string]bool{plain: true, first72: false, first72 + " Something else": false} {
		if ok, rehash, err := h.Verify(ctx, Passwords, fresh, typed); ok != want || rehash || err != nil {
			t.Errorf("after the upgrade, %q: %v, %v, %v", typed, ok, rehash, err)
		}
	}
}

func TestImportedHashesWaitForTheirTurn(t *testing.T) {
	// A pool that is full turns them away, like all others.
	h := NewHasher(Floor(), pepper, PoolOptions{Concurrency: 1, Queue: 1, Wait: time.Millisecond})
	release, err := h.acquire(t.Context(), Passwords)
	if err != nil {
		t.Fatal(err)
	}
	for _, hash := range []string{bcryptHash(t, "x"), "$argon2id$v=19$m=65536,t=1,p=1" + end} {
		if _, _, err := h.Verify(t.Context(), Passwords, hash, "x"); !errors.Is(err, ErrBusy) {
			t.Errorf("%s: %v, want ErrBusy", hash, err)
		}
	}
	release()
	// And so does a memory that is full, but only the large ones.
	all, err := h.large.acquire(t.Context(), max(memoryBytes()/8, maxScryptMemory))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := h.Verify(t.Context(), Passwords, "$argon2id$v=19$m=65536,t=1,p=1"+end, "x"); !errors.Is(err, ErrBusy) {
		t.Errorf("64 MiB without memory: %v", err)
	}
	if _, _, err := h.Verify(t.Context(), Passwords, bcryptHash(t, "x"), "x"); err != nil {
		t.Errorf("bcrypt without memory: %v", err)
	}
	all()
	if _, _, err := h.Verify(t.Context(), Passwords, "$argon2id$v=19$m=65536,t=1,p=1"+end, "x"); err != nil {
		t.Errorf("64 MiB with memory again: %v", err)
	}
}

func TestLargeHashesShareABoundedMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(0, PoolOptions{Queue: 8})
		var used, most, busy atomic.Int64
		var wg sync.WaitGroup
		for range 40 {
			wg.Go(func() {
				const n = 64 << 20
				release, err := b.acquire(t.Context(), n)
				if err != nil {
					if !errors.Is(err, ErrBusy) {
						t.Error(err)
					}
					busy.Add(1)
					return
				}
				most.Store(max(most.Load(), used.Add(n)))
				time.Sleep(500 * time.Millisecond)
				used.Add(-n)
				release()
			})
		}
		wg.Wait()
		if most.Load() != maxScryptMemory || busy.Load() != 28 {
			t.Errorf("%d MiB at once, %d turned away", most.Load()>>20, busy.Load())
		}
	})
}

// Time must not tell whose hash was imported, nor who has an account at all.
func TestAnImportedHashTakesAsLongAsNobody(t *testing.T) {
	if testing.Short() {
		t.Skip("measures")
	}
	ctx := t.Context()
	for name, hash := range map[string]string{
		"slower than ours": "$pbkdf2-sha256$200000" + end,
		"quicker":          "$pbkdf2-sha256$1000" + end,
	} {
		t.Run(name, func(t *testing.T) {
			h := hasher()
			own, err := h.Hash(ctx, Passwords, "purple monkey dishwasher")
			if err != nil {
				t.Fatal(err)
			}
			var took [3][]time.Duration
			for i := range 12 {
				for who, try := range []func(){
					func() { _, _, _ = h.Verify(ctx, Passwords, hash, "a wrong password") },
					func() { _, _, _ = h.Verify(ctx, Passwords, own, "a wrong password") },
					func() { _ = h.VerifyNothing(ctx, Passwords, "a wrong password") },
				} {
					start := time.Now()
					try()
					if i >= 3 {
						took[who] = append(took[who], time.Since(start))
					}
				}
			}
			median := func(d []time.Duration) float64 {
				slices.Sort(d)
				return float64(d[len(d)/2])
			}
			imported, ours, nobody := median(took[0]), median(took[1]), median(took[2])
			t.Logf("medians: imported %v, ours %v, nobody %v", time.Duration(imported), time.Duration(ours), time.Duration(nobody))
			for _, other := range []float64{ours, nobody} {
				if imported/other > 1.25 || other/imported > 1.25 {
					t.Error("time tells them apart")
				}
			}
		})
	}
}

func TestThePaceIsThatOfTheSlowestKindAndIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p pace
		for range 40 {
			if rest := p.observe("", 30*time.Millisecond); rest != 0 {
				t.Fatalf("without others everybody waits %v", rest)
			}
		}
		if got := p.observe("quick", time.Millisecond); got != 30*time.Millisecond {
			t.Errorf("a quick kind lasts %v", got)
		}
		for range 20 {
			p.observe("slow", 200*time.Millisecond)
		}
		p.observe("slow", 5*time.Second) // the machine paused
		if got := p.observe("", 30*time.Millisecond); got != 200*time.Millisecond {
			t.Errorf("ours lasts %v", got)
		}
		// Another kind does not water it down.
		for range 100 {
			p.observe("quick", time.Millisecond)
		}
		if got := p.observe("", 30*time.Millisecond); got != 200*time.Millisecond {
			t.Errorf("ours lasts %v", got)
		}
		for i := range 10 * maxKinds {
			time.Sleep(time.Second)
			p.observe(fmt.Sprint(i), time.Millisecond)
			if len(p.kinds) > maxKinds {
				t.Fatalf("%d kinds", len(p.kinds))
			}
		}
		if p.kinds[""] == nil {
			t.Error("our own kind was forgotten")
		}
		time.Sleep(forgetKind + time.Second)
		if rest := p.observe("", 30*time.Millisecond); rest != 0 {
			t.Errorf("a day later everybody waits %v", rest)
		}
	})
}

func TestSomebodyWhoHasGoneIsNotWaitedFor(t *testing.T) {
	h := hasher()
	h.paces[Passwords].observe("slow", time.Hour)
	start := time.Now()
	own, _ := h.Hash(t.Context(), Passwords, "purple monkey dishwasher")
	if ok, _, err := h.Verify(t.Context(), Passwords, own, "purple monkey dishwasher"); !ok || err != nil {
		t.Error(ok, err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		_ = h.VerifyNothing(ctx, Passwords, "x")
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Error("still waiting")
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Error(took)
	}
}

func bcryptHash(t *testing.T, plain string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(plain), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(hash)
}

func FuzzCheckImported(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(v.Hash)
	}
	f.Fuzz(func(t *testing.T, s string) {
		err := CheckImported(s)
		if err != nil && !errors.Is(err, ErrHash) {
			t.Errorf("%q: %v", s, err)
		}
		if h, err := parseImported(s); err == nil && (h.memory > maxScryptMemory || h.kind == "" || h.matches == nil) {
			t.Errorf("%q: %+v", s, h)
		}
	})
}
