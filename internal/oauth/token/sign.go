package token

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// The types of our tokens, in the header "typ".
const (
	TypeAccess = "at+jwt" // RFC 9068 §2.1
	TypeID     = "JWT"
)

var errKey = errors.New("key and algorithm do not fit")

// head is what decides the header of a token.
type head struct{ kid, alg, typ string }

// heads keeps encoded headers: there are as many as keys, times two types.
var heads sync.Map // head → string

// Sign encodes claims as JSON and signs them: kid, alg and private name the
// realm's key, typ the kind of token (RFC 7515 §3.1).
func Sign(kid, alg string, private crypto.Signer, typ string, claims any) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("encode claims: %w", err)
	}
	h, err := encodedHead(head{kid, alg, typ})
	if err != nil {
		return "", err
	}
	enc := base64.RawURLEncoding
	out := make([]byte, 0, len(h)+2+enc.EncodedLen(len(payload))+enc.EncodedLen(512))
	out = append(out, h...)
	out = append(out, '.')
	out = enc.AppendEncode(out, payload)
	sum := sha256.Sum256(out)
	signature, err := sign(alg, private, sum[:])
	if err != nil {
		return "", fmt.Errorf("sign with %s: %w", alg, err)
	}
	out = append(out, '.')
	out = enc.AppendEncode(out, signature)
	return string(out), nil
}

// Unsigned encodes claims as a token of the algorithm "none" (RFC 7518 §3.6).
// Nothing here ever reads one.
func Unsigned(claims any) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("encode claims: %w", err)
	}
	enc := base64.RawURLEncoding
	return enc.EncodeToString([]byte(`{"alg":"none"}`)) + "." + enc.EncodeToString(payload) + ".", nil
}

func encodedHead(h head) (string, error) {
	if s, ok := heads.Load(h); ok {
		return s.(string), nil
	}
	raw, err := json.Marshal(struct {
		Alg string `json:"alg"`
		KID string `json:"kid"`
		Typ string `json:"typ"`
	}{h.alg, h.kid, h.typ})
	if err != nil {
		return "", fmt.Errorf("encode header: %w", err)
	}
	s := base64.RawURLEncoding.EncodeToString(raw)
	heads.Store(h, s)
	return s, nil
}

// sign returns a JWS signature (RFC 7518 §3.3, §3.4). The crypto.Signer may
// live outside of this process, so nothing but its interface is used.
func sign(alg string, private crypto.Signer, sum []byte) ([]byte, error) {
	signature, err := private.Sign(rand.Reader, sum, crypto.SHA256)
	if err != nil {
		return nil, err
	}
	switch alg {
	case "RS256":
		return signature, nil
	case "ES256":
		return fixedSize(signature)
	}
	return nil, errKey
}

// fixedSize turns the ASN.1 of an ECDSA signature into r and s of 32 bytes each.
func fixedSize(der []byte) ([]byte, error) {
	var r, s []byte
	var inner cryptobyte.String
	input := cryptobyte.String(der)
	if !input.ReadASN1(&inner, asn1.SEQUENCE) || !input.Empty() ||
		!inner.ReadASN1Integer(&r) || !inner.ReadASN1Integer(&s) || !inner.Empty() ||
		len(r) > 32 || len(s) > 32 {
		return nil, errKey
	}
	out := make([]byte, 64)
	copy(out[32-len(r):32], r)
	copy(out[64-len(s):], s)
	return out, nil
}

// HalfHash is at_hash and c_hash: the left half of the SHA-256 of a token, for
// the algorithms we sign with (OpenID Connect Core §3.1.3.6).
func HalfHash(value string) string {
	sum := sha256.Sum256([]byte(value))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}
