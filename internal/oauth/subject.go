package oauth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"sync"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/secret"
)

// Purposes of the keys that pseudonyms are made with.
const (
	pairwiseSubjects = "pairwise subjects of "
	pairwiseSessions = "pairwise sessions of "
)

// pairwiseKeys remembers the keys of pseudonyms, two for each realm: deriving
// one costs several times what it is used for.
type pairwiseKeys struct {
	mu   sync.RWMutex
	keys map[pairwiseKey][]byte
}

type pairwiseKey struct{ purpose, realm string }

func (k *pairwiseKeys) key(sealer *secret.Sealer, purpose, realmName string) []byte {
	of := pairwiseKey{purpose, realmName}
	k.mu.RLock()
	known := k.keys[of]
	k.mu.RUnlock()
	if known != nil {
		return known
	}
	made := sealer.DeriveKey(purpose+realmName, 32)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.keys == nil {
		k.keys = map[pairwiseKey][]byte{}
	}
	k.keys[of] = made
	return made
}

// subject is how a client knows an account (OpenID Connect Core §8): by its
// identifier, or for a pairwise client by a pseudonym that clients of other
// sectors cannot connect with theirs. Inside, the account's identifier is used
// everywhere; every sub that leaves is made here.
func (p *Provider) subject(r *realm.Realm, c *realm.Client, account uuid.UUID) string {
	return p.pseudonym(pairwiseSubjects, r, c, account)
}

// sid is how a client knows a session (OpenID Connect Front-Channel Logout §3).
// A pairwise client gets a pseudonym of its sector: with the identifier itself
// two sectors would find out that a browser is signed in to both, and that
// their two subjects are one person. Every sid that leaves is made here, and
// one that comes back is compared with what is made here.
func (p *Provider) sid(r *realm.Realm, c *realm.Client, session uuid.UUID) string {
	return p.pseudonym(pairwiseSessions, r, c, session)
}

func (p *Provider) pseudonym(purpose string, r *realm.Realm, c *realm.Client, id uuid.UUID) string {
	if !c.Pairwise() {
		return id.String()
	}
	// A key per realm: the same host in two realms says nothing either.
	mac := hmac.New(sha256.New, p.pairwise.key(p.sealer, purpose, r.Name))
	mac.Write([]byte(c.Sector))
	mac.Write([]byte{0})
	mac.Write(id[:])
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
