package token_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/portico-id/portico/internal/oauth/token"
)

type ring map[string]struct {
	key crypto.Signer
	alg string
}

func (r ring) find(kid string) (crypto.PublicKey, string, bool) {
	k, ok := r[kid]
	if !ok {
		return nil, "", false
	}
	return k.key.Public(), k.alg, true
}

func newRing(t *testing.T) ring {
	t.Helper()
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	r := ring{}
	r["e"] = struct {
		key crypto.Signer
		alg string
	}{ec, "ES256"}
	r["r"] = struct {
		key crypto.Signer
		alg string
	}{rs, "RS256"}
	return r
}

var access = token.Access{ExpiresAt: 1, Issuer: "i", Subject: "s", Audience: token.Audience{"a"}, ID: "j", ClientID: "c", Scope: "openid email"}

func TestASignedTokenIsReadBack(t *testing.T) {
	r := newRing(t)
	for kid, k := range r {
		for range 50 { // ASN.1 drops leading zeros of r and s, a JWS must not
			raw, err := token.Sign(kid, k.alg, k.key, token.TypeAccess, access)
			if err != nil {
				t.Fatal(err)
			}
			got, err := token.ReadAccess(raw, r.find)
			if err != nil || got.Subject != "s" || !got.Audience.Has("a") || !got.HasScope("email") || got.HasScope("mail") {
				t.Fatalf("%s: %+v, %v", k.alg, got, err)
			}
		}
	}
}

func TestTheTypesAreToldApart(t *testing.T) {
	r := newRing(t)
	both := struct {
		token.Access
		Azp string `json:"azp"`
	}{access, "c"}
	for typ, isAccess := range map[string]bool{
		"at+jwt": true, "application/at+jwt": true, "AT+JWT": true, "JWT": false, "logout+jwt": false, "dpop+jwt": false,
	} {
		raw, err := token.Sign("e", "ES256", r["e"].key, typ, both)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := token.ReadAccess(raw, r.find); (err == nil) != isAccess {
			t.Errorf("%s as access token: %v", typ, err)
		}
		if _, err := token.ReadIdentity(raw, r.find); (err == nil) != (typ == "JWT") {
			t.Errorf("%s as ID token: %v", typ, err)
		}
	}
}

func TestForgeriesAreNoTokens(t *testing.T) {
	r := newRing(t)
	good, err := token.Sign("e", "ES256", r["e"].key, token.TypeAccess, access)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(good, ".")
	head := func(h map[string]any) string {
		raw, err := json.Marshal(h)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(raw)
	}
	evil, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signedBy := func(alg jose.SignatureAlgorithm, key any, o *jose.SignerOptions) string {
		s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, o.WithType(token.TypeAccess))
		if err != nil {
			t.Fatal(err)
		}
		payload, _ := json.Marshal(access)
		jws, err := s.Sign(payload)
		if err != nil {
			t.Fatal(err)
		}
		out, err := jws.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	public, _ := json.Marshal(r["r"].key.Public())
	for name, raw := range map[string]string{
		"alg none":               head(map[string]any{"alg": "none", "typ": "at+jwt"}) + "." + parts[1] + ".",
		"alg none with kid":      head(map[string]any{"alg": "none", "kid": "e", "typ": "at+jwt"}) + "." + parts[1] + "." + parts[2],
		"no signature":           parts[0] + "." + parts[1] + ".",
		"changed payload":        parts[0] + "." + head(map[string]any{"sub": "x", "client_id": "c", "jti": "j"}) + "." + parts[2],
		"unknown kid":            signedBy(jose.ES256, jose.JSONWebKey{Key: evil, KeyID: "x"}, &jose.SignerOptions{}),
		"our kid, another key":   signedBy(jose.ES256, jose.JSONWebKey{Key: evil, KeyID: "e"}, &jose.SignerOptions{}),
		"brings its own key":     signedBy(jose.ES256, evil, &jose.SignerOptions{EmbedJWK: true}),
		"HMAC of the public key": signedBy(jose.HS256, jose.JSONWebKey{Key: append(public, make([]byte, 32)...), KeyID: "r"}, &jose.SignerOptions{}),
		"another algorithm":      signedBy(jose.PS256, jose.JSONWebKey{Key: r["r"].key, KeyID: "r"}, &jose.SignerOptions{}),
		"unknown critical": signedBy(jose.ES256, jose.JSONWebKey{Key: r["e"].key, KeyID: "e"}, (&jose.SignerOptions{}).
			WithCritical("http://example.test/x").WithHeader("http://example.test/x", true)),
		"JSON form": `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`,
		"too long":  good + strings.Repeat("A", 9000), "empty": "", "dots": "..", "with space": " " + good + "x",
	} {
		if _, err := token.ReadAccess(raw, r.find); !errors.Is(err, token.ErrToken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := token.ReadAccess(good, r.find); err != nil {
		t.Errorf("the real one: %v", err)
	}
}
