package token

import (
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// maxLength bounds what is parsed; our own tokens have about 1 KiB.
const maxLength = 8 << 10

// ErrToken says that a string is not a token of this kind that this realm
// signed. It says nothing about whether a token has expired.
var ErrToken = errors.New("not a token of this realm")

// algorithms are those the keyring signs with. The allowlist decides before
// anything else of the token is looked at.
var algorithms = []jose.SignatureAlgorithm{jose.ES256, jose.RS256}

// KeyFunc finds a public key of the realm and its algorithm by the key's id.
type KeyFunc func(kid string) (key crypto.PublicKey, alg string, ok bool)

// ReadAccess verifies the signature and the type of an access token. Expiry,
// issuer, audience and revocation are the caller's to check.
func ReadAccess(raw string, keys KeyFunc) (Access, error) {
	var a Access
	typ, err := read(raw, keys, &a)
	if err != nil {
		return Access{}, err
	}
	if t := strings.TrimPrefix(strings.ToLower(typ), "application/"); t != TypeAccess {
		return Access{}, fmt.Errorf("%w: type %q is no access token", ErrToken, typ)
	}
	if a.ClientID == "" || a.ID == "" || a.Subject == "" {
		return Access{}, fmt.Errorf("%w: a claim is missing", ErrToken)
	}
	return a, nil
}

// ReadIdentity verifies the signature and the type of an ID token that comes
// back as a hint. It may have expired long ago.
func ReadIdentity(raw string, keys KeyFunc) (Identity, error) {
	var id Identity
	typ, err := read(raw, keys, &id)
	if err != nil {
		return Identity{}, err
	}
	if typ != "" && !strings.EqualFold(typ, TypeID) {
		return Identity{}, fmt.Errorf("%w: type %q is no ID token", ErrToken, typ)
	}
	// A signed answer of userinfo looks alike, but never expires.
	if id.Subject == "" || len(id.Audience) == 0 || id.ExpiresAt == 0 {
		return Identity{}, fmt.Errorf("%w: a claim is missing", ErrToken)
	}
	return id, nil
}

func read(raw string, keys KeyFunc, into any) (typ string, err error) {
	if len(raw) > maxLength {
		return "", fmt.Errorf("%w: too long", ErrToken)
	}
	jws, err := jose.ParseSignedCompact(raw, algorithms)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrToken, err)
	}
	if len(jws.Signatures) != 1 {
		return "", fmt.Errorf("%w: one signature expected", ErrToken)
	}
	h := jws.Signatures[0].Protected
	key, alg, ok := keys(h.KeyID)
	if !ok || alg != h.Algorithm {
		return "", fmt.Errorf("%w: unknown key", ErrToken)
	}
	payload, err := jws.Verify(key)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrToken, err)
	}
	if err := json.Unmarshal(payload, into); err != nil {
		return "", fmt.Errorf("%w: %w", ErrToken, err)
	}
	typ, _ = h.ExtraHeaders[jose.HeaderType].(string)
	return typ, nil
}
