package keyring

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/errgroup"

	"github.com/portico-id/portico/internal/realm"
)

// sealPurpose keeps sealed keys apart from everything else that is sealed.
const sealPurpose = "signing key"

// rsaBits is the size RS256 keys have (RFC 7518 §3.3 asks for 2048 at least).
const rsaBits = 2048

// sealedAs binds a sealed key to its row.
func sealedAs(realm, kid, alg string) string { return realm + "\n" + kid + "\n" + alg }

// newKey is a key to be stored. generation decides races.
type newKey struct {
	realm, alg string
	generation int64
	kid        string
	publicJWK  string
	sealed     []byte
}

// generate fills the keys in, in parallel.
func (k *Keyring) generate(keys []newKey) error {
	var group errgroup.Group
	for i := range keys {
		group.Go(func() error { return k.generateOne(&keys[i]) })
	}
	return group.Wait()
}

func (k *Keyring) generateOne(n *newKey) error {
	private, err := newPrivate(n.alg)
	if err != nil {
		return fmt.Errorf("make %s key: %w", n.alg, err)
	}
	jwk := jose.JSONWebKey{Key: private.Public()}
	thumbprint, err := jwk.Thumbprint(crypto.SHA256) // RFC 7638: distinct for distinct keys, everywhere
	if err != nil {
		return fmt.Errorf("name %s key: %w", n.alg, err)
	}
	n.kid = base64.RawURLEncoding.EncodeToString(thumbprint)
	public, err := json.Marshal(publicJWK(private.Public(), n.kid, n.alg))
	if err != nil {
		return fmt.Errorf("write %s key: %w", n.alg, err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return fmt.Errorf("write %s key: %w", n.alg, err)
	}
	n.publicJWK = string(public)
	n.sealed = k.sealer.Seal(sealPurpose, sealedAs(n.realm, n.kid, n.alg), der)
	return nil
}

func newPrivate(alg string) (crypto.Signer, error) {
	switch alg {
	case realm.ES256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case realm.RS256:
		return rsa.GenerateKey(rand.Reader, rsaBits)
	}
	return nil, fmt.Errorf("unknown algorithm %q", alg)
}

// parsePrivate reads a key and insists that it fits its algorithm.
func parsePrivate(der []byte, alg string) (crypto.Signer, error) {
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, err
	}
	switch key := key.(type) {
	case *ecdsa.PrivateKey:
		if alg == realm.ES256 && key.Curve == elliptic.P256() {
			return key, nil
		}
	case *rsa.PrivateKey:
		if alg == realm.RS256 && key.N.BitLen() >= rsaBits {
			return key, nil
		}
	}
	return nil, fmt.Errorf("%T is no key for %s", key, alg)
}

func publicJWK(public crypto.PublicKey, kid, alg string) jose.JSONWebKey {
	return jose.JSONWebKey{Key: public, KeyID: kid, Algorithm: alg, Use: "sig"}
}
