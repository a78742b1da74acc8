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
	if !c.Pairwise() {
		return account.String()
	}
	// A key per realm: the same host in two realms says nothing either.
	mac := hmac.New(sha256.New, p.sealer.DeriveKey("pairwise subjects of "+r.Name, 32))
	mac.Write([]byte(c.Sector))
	mac.Write([]byte{0})
	mac.Write(account[:])
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
