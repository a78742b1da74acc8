package requestobject

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

type pair struct {
	alg jose.SignatureAlgorithm
	key crypto.Signer
}

var pairs = sync.OnceValue(func() map[string]pair {
	ec, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	rs, _ := rsa.GenerateKey(rand.Reader, 2048)
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	return map[string]pair{"ec": {jose.ES256, ec}, "rs": {jose.RS256, rs}, "ps": {jose.PS256, rs}, "ed": {jose.EdDSA, ed}}
})

func set(strangers ...jose.JSONWebKey) []jose.JSONWebKey {
	all := strangers
	for kid, p := range pairs() {
		all = append(all, jose.JSONWebKey{Key: p.key.Public(), KeyID: kid, Use: "sig", Algorithm: string(p.alg)})
	}
	return all
}

func rules() Rules {
	return Rules{Issuer: "https://id.example.test", ClientID: "portal", Now: now, Skew: 10 * time.Second,
		Keys: func(string) ([]jose.JSONWebKey, error) { return set(), nil }}
}

type members map[string]any

func good(changes members) members {
	m := members{"iss": "portal", "aud": "https://id.example.test", "client_id": "portal", "exp": now.Add(time.Minute).Unix(),
		"nbf": now.Unix(), "response_type": "code", "scope": "openid"}
	for name, value := range changes {
		if m[name] = value; value == nil {
			delete(m, name)
		}
	}
	return m
}

func signWith(t testing.TB, alg jose.SignatureAlgorithm, key any, payload []byte, o *jose.SignerOptions) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, o)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	out, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func object(t testing.TB, kid string, m members) string {
	t.Helper()
	payload, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	p := pairs()[kid]
	return signWith(t, p.alg, jose.JSONWebKey{Key: p.key, KeyID: kid}, payload, &jose.SignerOptions{})
}

func unsigned(header, payload string) string {
	enc := base64.RawURLEncoding.EncodeToString
	return enc([]byte(header)) + "." + enc([]byte(payload)) + "."
}

func TestASignedObjectOfEachAlgorithmIsRead(t *testing.T) {
	for kid := range pairs() {
		o, err := Read(object(t, kid, good(members{"max_age": 3600, "claims": members{"userinfo": members{"name": nil}}, "aud": []string{"x", "https://id.example.test"}})), rules())
		if err != nil {
			t.Fatalf("%s: %v", kid, err)
		}
		form, err := o.Parameters([]string{"client_id", "scope", "max_age", "claims", "state"})
		// Numbers and objects arrive as they were written.
		if err != nil || form.Get("max_age") != "3600" || form.Get("claims") != `{"userinfo":{"name":null}}` ||
			form.Get("scope") != "openid" || form.Has("state") || form.Has("aud") {
			t.Errorf("%s: %v, %v", kid, form, err)
		}
	}
}

func TestWhatAnObjectSaysIsHeldToTheRules(t *testing.T) {
	for name, changes := range map[string]members{
		"another issuer":           {"aud": "https://other.example.test"},
		"no audience":              {"aud": nil},
		"audience by prefix":       {"aud": "https://id.example.test/"},
		"audience that is no text": {"aud": 5},
		"made by another client":   {"iss": "other"},
		"made by nobody":           {"iss": nil},
		"for another client":       {"client_id": "other"},
		"for no client":            {"client_id": nil},
		"client_id is a list":      {"client_id": []string{"portal"}},
		"expired":                  {"exp": now.Add(-11 * time.Second).Unix()},
		"no expiry":                {"exp": nil},
		"expiry is text":           {"exp": "4102444800"},
		"fifty years":              {"exp": now.AddDate(50, 0, 0).Unix()},
		"beyond all time":          {"exp": 1e300},
		"not yet valid":            {"nbf": now.Add(time.Minute).Unix()},
		"made tomorrow":            {"iat": now.Add(24 * time.Hour).Unix()},
		"made yesterday":           {"nbf": now.Add(-24 * time.Hour).Unix()},
		"a client assertion":       {"sub": "portal"},
		"an object in the object":  {"request": "x"},
		"a reference in it":        {"request_uri": "https://rp.example.test/x"},
	} {
		if _, err := Read(object(t, "ec", good(changes)), rules()); !errors.Is(err, ErrObject) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, changes := range map[string]members{
		"a clock 8 s ahead": {"nbf": now.Add(8 * time.Second).Unix(), "iat": now.Add(8 * time.Second).Unix()},
		"a clock 8 s late":  {"exp": now.Add(-8 * time.Second).Unix()},
		"an hour":           {"exp": now.Add(time.Hour).Unix()},
	} {
		if _, err := Read(object(t, "ec", good(changes)), rules()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestForgedObjectsAreNoObjects(t *testing.T) {
	payload, _ := json.Marshal(good(nil))
	evil, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	small, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	parts := strings.Split(object(t, "ec", good(nil)), ".")
	rs := pairs()["rs"].key
	public, _ := json.Marshal(rs.Public())
	for name, raw := range map[string]string{
		"none":                    unsigned(`{"alg":"none"}`, string(payload)),
		"none with a signature":   unsigned(`{"alg":"none"}`, string(payload)) + parts[2],
		"None":                    unsigned(`{"alg":"None"}`, string(payload)),
		"no algorithm":            unsigned(`{}`, string(payload)),
		"two algorithms":          unsigned(`{"alg":"ES256","alg":"none"}`, string(payload)),
		"signature cut off":       parts[0] + "." + parts[1] + ".",
		"another payload":         parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"portal"}`)) + "." + parts[2],
		"another key, known kid":  signWith(t, jose.ES256, jose.JSONWebKey{Key: evil, KeyID: "ec"}, payload, &jose.SignerOptions{}),
		"unknown kid":             signWith(t, jose.ES256, jose.JSONWebKey{Key: pairs()["ec"].key, KeyID: "x"}, payload, &jose.SignerOptions{}),
		"brings its own key":      signWith(t, jose.ES256, evil, payload, &jose.SignerOptions{EmbedJWK: true}),
		"key and algorithm apart": signWith(t, jose.RS256, jose.JSONWebKey{Key: rs, KeyID: "ps"}, payload, &jose.SignerOptions{}),
		"HMAC of the public key":  signWith(t, jose.HS256, jose.JSONWebKey{Key: append(public, make([]byte, 32)...), KeyID: "rs"}, payload, &jose.SignerOptions{}),
		"not on the allowlist":    signWith(t, jose.ES384, jose.JSONWebKey{Key: small, KeyID: "p384"}, payload, &jose.SignerOptions{}),
		"an access token":         signWith(t, jose.ES256, jose.JSONWebKey{Key: pairs()["ec"].key, KeyID: "ec"}, payload, (&jose.SignerOptions{}).WithType("at+jwt")),
		"unknown critical header": signWith(t, jose.ES256, jose.JSONWebKey{Key: pairs()["ec"].key, KeyID: "ec"}, payload, (&jose.SignerOptions{}).WithCritical("x").WithHeader("x", true)),
		"a claim twice":           signWith(t, jose.ES256, jose.JSONWebKey{Key: pairs()["ec"].key, KeyID: "ec"}, []byte(strings.Replace(string(payload), "{", `{"scope":"x",`, 1)), &jose.SignerOptions{}),
		"no object":               signWith(t, jose.ES256, jose.JSONWebKey{Key: pairs()["ec"].key, KeyID: "ec"}, []byte(`[]`), &jose.SignerOptions{}),
		"something after it":      signWith(t, jose.ES256, jose.JSONWebKey{Key: pairs()["ec"].key, KeyID: "ec"}, append(payload, []byte("{}")...), &jose.SignerOptions{}),
		"encrypted":               "a.b.c.d.e", "empty": "", "dots": "..", "too long": parts[0] + "." + strings.Repeat("A", MaxLength) + ".x",
		"JSON form": `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`,
	} {
		r := rules()
		r.Keys = func(string) ([]jose.JSONWebKey, error) {
			return set(jose.JSONWebKey{Key: small.Public(), KeyID: "p384"}), nil
		}
		if _, err := Read(raw, r); !errors.Is(err, ErrObject) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheRegisteredAlgorithmIsTheOnlyOne(t *testing.T) {
	r := rules()
	r.Alg = "PS256"
	if _, err := Read(object(t, "ps", good(nil)), r); err != nil {
		t.Error(err)
	}
	if _, err := Read(object(t, "rs", good(nil)), r); !errors.Is(err, ErrObject) {
		t.Errorf("RS256: %v", err)
	}
	r.Relaxed = true
	if _, err := Read(unsigned(`{"alg":"none"}`, `{"client_id":"portal"}`), r); !errors.Is(err, ErrObject) {
		t.Errorf("none: %v", err)
	}
	r.Alg = "none"
	if _, err := Read(object(t, "ps", good(nil)), r); !errors.Is(err, ErrObject) {
		t.Errorf("PS256 for a client of none: %v", err)
	}
}

func TestARelaxedRealmReadsUnsignedObjectsThatDoNotContradict(t *testing.T) {
	r := rules()
	r.Relaxed = true
	for payload, ok := range map[string]bool{
		`{"client_id":"portal","scope":"openid"}`:                                 true,
		`{"client_id":"portal","iss":"portal","aud":["https://id.example.test"]}`: true,
		`{"client_id":"portal","iss":"other"}`:                                    false,
		`{"client_id":"portal","aud":"https://other.example.test"}`:               false,
		`{"client_id":"portal","aud":[]}`:                                         false,
		`{"client_id":"portal","exp":1}`:                                          false,
		`{"client_id":"other"}`:                                                   false,
		`{}`:                                                                      false,
	} {
		if _, err := Read(unsigned(`{"alg":"none","typ":"JWT"}`, payload), r); (err == nil) != ok || err != nil && !errors.Is(err, ErrObject) {
			t.Errorf("%s: %v", payload, err)
		}
	}
	if _, err := Read(object(t, "rs", good(members{"exp": nil})), r); err != nil {
		t.Errorf("signed without expiry: %v", err)
	}
	if _, err := Read(object(t, "rs", good(members{"aud": nil})), r); !errors.Is(err, ErrObject) {
		t.Errorf("signed without audience: %v", err)
	}
}

func TestKeysThatCannotBeHadAreNoVerdict(t *testing.T) {
	away := errors.New("away")
	r := rules()
	r.Keys = func(string) ([]jose.JSONWebKey, error) { return nil, away }
	if _, err := Read(object(t, "ec", good(nil)), r); !errors.Is(err, away) || errors.Is(err, ErrObject) {
		t.Error(err)
	}
}

func TestParametersHaveTheFormOfAQuery(t *testing.T) {
	for payload, want := range map[string]string{
		`{"p":"a b"}`: "p=a+b", `{"p":5}`: "p=5", `{"p":true}`: "p=true", `{"p":["a","b"]}`: "p=a&p=b", `{"p":{"a":1}}`: "p=%7B%22a%22%3A1%7D",
		`{"p":null}`: "-", `{"p":[]}`: "-", `{"p":[["a"]]}`: "-", `{"q":"x"}`: "",
	} {
		o, err := decode([]byte(payload))
		if err != nil {
			t.Fatal(err)
		}
		form, err := o.Parameters([]string{"p"})
		if want == "-" {
			if !errors.Is(err, ErrObject) {
				t.Errorf("%s: %v, %v", payload, form, err)
			}
		} else if err != nil || form.Encode() != want {
			t.Errorf("%s: %q, %v", payload, form.Encode(), err)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(object(f, "ec", good(nil)), false)
	f.Add(object(f, "rs", good(members{"max_age": 0, "resource": []string{"a", "b"}})), true)
	f.Add(unsigned(`{"alg":"none"}`, `{"client_id":"portal","claims":{"id_token":{}}}`), true)
	f.Add("..", true)
	f.Fuzz(func(t *testing.T, raw string, relaxed bool) {
		r := rules()
		r.Relaxed = relaxed
		o, err := Read(raw, r)
		if err != nil {
			if !errors.Is(err, ErrObject) {
				t.Errorf("%v", err)
			}
			return
		}
		if client, err := o.text("client_id"); err != nil || client != r.ClientID {
			t.Errorf("an object of %q was read", client)
		}
		if _, err := o.Parameters([]string{"scope", "claims", "resource", "max_age"}); err != nil && !errors.Is(err, ErrObject) {
			t.Error(err)
		}
	})
}
