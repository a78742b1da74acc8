package clientkeys

import (
	"errors"
	"strings"
	"testing"

	"github.com/portico-id/portico/internal/realm"
)

func TestASetThatWasWrittenOutIsParsedOnceAndFollowsAChange(t *testing.T) {
	k := New(&address{})
	c := &realm.Client{ID: "one", Version: 1, JWKS: set(t, "a")}
	first, err := k.Set(t.Context(), c, "", true)
	if err != nil || len(first) != 1 || first[0].KeyID != "a" {
		t.Fatalf("%v, %v", first, err)
	}
	again, err := k.Set(t.Context(), &realm.Client{ID: "one", JWKS: append([]byte{}, c.JWKS...)}, "", false)
	if err != nil || &again[0] != &first[0] {
		t.Errorf("parsed again: %v", err)
	}
	// The same client with other keys, also under the same version.
	c = &realm.Client{ID: "one", Version: 1, JWKS: set(t, "b")}
	if other, err := k.Set(t.Context(), c, "", true); err != nil || other[0].KeyID != "b" {
		t.Errorf("%v, %v", other, err)
	}
	for range 2 {
		if _, err := k.Set(t.Context(), &realm.Client{JWKS: []byte(`{"keys":[]}`)}, "", true); !errors.Is(err, ErrKeys) {
			t.Errorf("an empty set: %v", err)
		}
	}
	if allocs := testing.AllocsPerRun(100, func() { _, _ = k.Set(t.Context(), c, "", true) }); allocs > 0 {
		t.Errorf("%v allocations for a set that is known", allocs)
	}
}

func TestSetsThatWereWrittenOutAreBounded(t *testing.T) {
	k := New(&address{})
	raw := string(set(t, "a"))
	for i := range maxWritten + 10 {
		c := &realm.Client{JWKS: []byte(raw + strings.Repeat(" ", i))}
		if _, err := k.Set(t.Context(), c, "", true); err != nil {
			t.Fatal(err)
		}
	}
	if len(k.written) > maxWritten {
		t.Errorf("%d sets are remembered", len(k.written))
	}
}

func BenchmarkSetWrittenOut(b *testing.B) {
	k, c := New(&address{}), &realm.Client{JWKS: set(b, "a", "b")}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.Set(b.Context(), c, "a", false); err != nil {
			b.Fatal(err)
		}
	}
}
