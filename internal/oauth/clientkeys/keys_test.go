package clientkeys

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/portico-id/portico/internal/realm"
)

// address is a place that answers, or not.
type address struct {
	mu    sync.Mutex
	body  []byte
	calls int
}

func (a *address) Document(context.Context, string, bool) ([]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls++
	time.Sleep(time.Millisecond)
	if a.body == nil {
		return nil, errors.New("silent")
	}
	return a.body, nil
}

func set(t testing.TB, kids ...string) []byte {
	t.Helper()
	var s jose.JSONWebKeySet
	for _, kid := range kids {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		s.Keys = append(s.Keys, jose.JSONWebKey{Key: key.Public(), KeyID: kid})
	}
	raw, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestManyAtOnceFetchOnceAndNobodyIsAskedWithoutLeave(t *testing.T) {
	a := &address{body: set(t, "one")}
	k, c := New(a), &realm.Client{JWKSURI: "https://rp.example.test/jwks"}
	if _, err := k.Set(t.Context(), c, "one", false); !errors.Is(err, ErrKeys) || a.calls != 0 {
		t.Errorf("%v, %d calls", err, a.calls)
	}
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, err := k.Set(t.Context(), c, "one", true); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if a.calls != 1 {
		t.Errorf("%d calls", a.calls)
	}
	if keys, err := k.Set(t.Context(), c, "two", false); err != nil || len(keys) != 1 || a.calls != 1 {
		t.Errorf("%v %v, %d calls", keys, err, a.calls)
	}
}

func TestKeysOutliveASilentAddressForADayOnly(t *testing.T) {
	a := &address{body: set(t, "one")}
	k, c := New(a), &realm.Client{JWKSURI: "https://rp.example.test/jwks"}
	now := time.Now()
	k.now = func() time.Time { return now }
	if _, err := k.Set(t.Context(), c, "one", true); err != nil {
		t.Fatal(err)
	}
	a.body = nil
	now = now.Add(time.Hour)
	if _, err := k.Set(t.Context(), c, "one", true); err != nil {
		t.Errorf("after an hour: %v", err)
	}
	now = now.Add(24 * time.Hour)
	if _, err := k.Set(t.Context(), c, "one", true); !errors.Is(err, ErrKeys) {
		t.Errorf("after a day: %v", err)
	}
}

func TestOnlyPublicSigningKeysAreKeys(t *testing.T) {
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	weak, _ := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: short.Public(), KeyID: "x"}}})
	for name, raw := range map[string]string{
		"nothing": "", "list": "[]", "empty": `{"keys":[]}`, "no type": `{"keys":[{}]}`, "symmetric": `{"keys":[{"kty":"oct","k":"AAAA"}]}`,
		"private": `{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA","d":"AA"}]}`, "off the curve": `{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]}`,
		"unknown": `{"keys":[{"kty":"XX"}]}`, "1024 bits": string(weak),
	} {
		if keys, err := ParseSet([]byte(raw)); !errors.Is(err, ErrKeys) {
			t.Errorf("%s: %v %v", name, keys, err)
		}
	}
	// Kinds that are not used here do not spoil the rest (RFC 7517 §5).
	var mixed struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(set(t, "one"), &mixed); err != nil {
		t.Fatal(err)
	}
	mixed.Keys = append(mixed.Keys, json.RawMessage(`{"kty":"AKP","alg":"ML-DSA-44","pub":"x"}`))
	raw, _ := json.Marshal(mixed)
	if keys, err := ParseSet(raw); err != nil || len(keys) != 1 {
		t.Errorf("mixed: %v %v", keys, err)
	}
}
