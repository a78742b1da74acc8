package oauth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/realm"
)

// subject is how a client knows an account (OpenID Connect Core §8): by its
// identifier, or for a pairwise client by a pseudonym that clients of other
// sectors cannot connect with theirs. Inside, the account's identifier is used
// everywhere; every sub that leaves is made here.
func (p *Provider) subject(r *realm.Realm, c *realm.Client, account uuid.UUID) string {
	return p.pseudonym("pairwise subjects of ", r, c, account)
}

// sid is how a client knows a session (OpenID Connect Front-Channel Logout §3).
// A pairwise client gets a pseudonym of its sector: with the identifier itself
// two sectors would find out that a browser is signed in to both, and that
// their two subjects are one person. Every sid that leaves is made here, and
// one that comes back is compared with what is made here.
func (p *Provider) sid(r *realm.Realm, c *realm.Client, session uuid.UUID) string {
	return p.pseudonym("pairwise sessions of ", r, c, session)
}

func (p *Provider) pseudonym(purpose string, r *realm.Realm, c *realm.Client, id uuid.UUID) string {
	if !c.Pairwise() {
		return id.String()
	}
	// A key per realm: the same host in two realms says nothing either.
	mac := hmac.New(sha256.New, p.sealer.DeriveKey(purpose+r.Name, 32))
	mac.Write([]byte(c.Sector))
	mac.Write([]byte{0})
	mac.Write(id[:])
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
