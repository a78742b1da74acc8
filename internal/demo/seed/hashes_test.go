package seed

import (
	"testing"

	"github.com/portico-id/portico/internal/password"
)

func TestEveryPasswordHasItsHash(t *testing.T) {
	h := password.NewHasher(password.Floor(), []byte("a pepper that imported hashes do not use"), password.PoolOptions{})
	for _, a := range Demo().Accounts {
		if a.Password == "" {
			continue
		}
		if ok, rehash, err := h.Verify(t.Context(), password.Passwords, a.PasswordHash(), a.Password); !ok || !rehash || err != nil {
			t.Errorf("%s of the realm %s: %v, %v, %v; make the hash anew", a.Email, a.Realm, ok, rehash, err)
		}
	}
}
