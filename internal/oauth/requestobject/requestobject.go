package requestobject

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// ErrObject says that a string is no request object that may be used.
var ErrObject = errors.New("not a request object of this client for this issuer")

// MaxLength bounds what is read, in bytes.
const MaxLength = 24 << 10

// MaxLifetime is how far its end may be away (FAPI 2.0 Message Signing §5.3.1).
const MaxLifetime = time.Hour

const (
	none       = "none"
	minRSABits = 2048
	maxKeys    = 20 // of a key set without kids, so that one object costs few verifications
)

// signed are the algorithms of the allowlist.
var signed = []jose.SignatureAlgorithm{jose.RS256, jose.PS256, jose.ES256, jose.EdDSA}

// Algorithms lists what Read accepts: without unsigned, all but "none".
func Algorithms(unsigned bool) []string {
	out := make([]string, 0, len(signed)+1)
	for _, alg := range signed {
		out = append(out, string(alg))
	}
	if unsigned {
		out = append(out, none)
	}
	return out
}

// Rules are what an object is held to.
type Rules struct {
	Issuer   string // has to be in aud
	ClientID string // has to be iss and client_id
	Alg      string // the one algorithm registered for the client; "": any
	// Relaxed accepts the algorithm none, and objects without expiry, as OpenID
	// Connect Core §6.1 does. Without it, RFC 9101 and FAPI 2.0 are the measure.
	Relaxed bool
	Now     time.Time
	Skew    time.Duration // that clocks may differ
	// Keys returns the public keys of the client, for a kid or "" for none.
	Keys func(kid string) ([]jose.JSONWebKey, error)
}

// Object is an authentic request: its claims, each once.
type Object map[string]json.RawMessage

// Read checks an object and returns it. ErrObject for everything that is wrong
// with it; other errors are those of Rules.Keys.
func Read(raw string, rules Rules) (Object, error) {
	if len(raw) > MaxLength {
		return nil, fmt.Errorf("%w: too long", ErrObject)
	}
	h, err := readHeader(raw)
	if err != nil {
		return nil, err
	}
	if rules.Alg != "" && h.Alg != rules.Alg {
		return nil, fmt.Errorf("%w: algorithm %q is not the one registered", ErrObject, h.Alg)
	}
	var payload []byte
	if h.Alg == none {
		payload, err = readUnsigned(raw, h, rules)
	} else {
		payload, err = readSigned(raw, rules)
	}
	if err != nil {
		return nil, err
	}
	object, err := decode(payload)
	if err != nil {
		return nil, err
	}
	return object, object.check(rules, h.Alg != none)
}

type header struct {
	Alg  string          `json:"alg"`
	Typ  string          `json:"typ"`
	Crit json.RawMessage `json:"crit"`
	B64  json.RawMessage `json:"b64"`
}

func readHeader(raw string) (header, error) {
	var h header
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return h, fmt.Errorf("%w: three parts expected, found %d", ErrObject, len(parts))
	}
	first, err := base64.RawURLEncoding.Strict().DecodeString(parts[0])
	if err != nil {
		return h, fmt.Errorf("%w: header: %w", ErrObject, err)
	}
	members, err := decode(first)
	if err != nil {
		return h, err
	}
	for name, into := range map[string]*string{"alg": &h.Alg, "typ": &h.Typ} {
		if value, ok := members[name]; ok && json.Unmarshal(value, into) != nil {
			return h, fmt.Errorf("%w: header %s", ErrObject, name)
		}
	}
	h.Crit, h.B64 = members["crit"], members["b64"]
	switch t := strings.TrimPrefix(strings.ToLower(h.Typ), "application/"); t {
	case "", "jwt", "oauth-authz-req+jwt": // RFC 9101 §10.8
		return h, nil
	default:
		return h, fmt.Errorf("%w: type %q", ErrObject, t)
	}
}

func readUnsigned(raw string, h header, rules Rules) ([]byte, error) {
	parts := strings.Split(raw, ".")
	switch {
	case !rules.Relaxed:
		return nil, fmt.Errorf("%w: it is not signed", ErrObject)
	case parts[2] != "" || h.Crit != nil || h.B64 != nil:
		return nil, fmt.Errorf("%w: neither signed nor unsigned", ErrObject)
	}
	payload, err := base64.RawURLEncoding.Strict().DecodeString(parts[1])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrObject, err)
	}
	return payload, nil
}

func readSigned(raw string, rules Rules) ([]byte, error) {
	jws, err := jose.ParseSignedCompact(raw, signed)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrObject, err)
	}
	if len(jws.Signatures) != 1 {
		return nil, fmt.Errorf("%w: one signature expected", ErrObject)
	}
	h := jws.Signatures[0].Protected
	set, err := rules.Keys(h.KeyID)
	if err != nil {
		return nil, fmt.Errorf("find the client's keys: %w", err)
	}
	for _, key := range fitting(set, h.KeyID, h.Algorithm) {
		if payload, err := jws.Verify(key); err == nil {
			return payload, nil
		}
	}
	return nil, fmt.Errorf("%w: no registered key made the signature", ErrObject)
}

// fitting lists the keys that may have signed with an algorithm. A key set may
// hold more than it should: symmetric keys and keys for encryption do not count.
func fitting(set []jose.JSONWebKey, kid, alg string) []any {
	var keys []any
	for _, k := range set {
		if kid != "" && k.KeyID != kid || k.Use == "enc" || k.Algorithm != "" && k.Algorithm != alg {
			continue
		}
		var fits bool
		switch public := k.Public().Key.(type) {
		case *rsa.PublicKey:
			fits = (alg == "RS256" || alg == "PS256") && public.N.BitLen() >= minRSABits
		case *ecdsa.PublicKey:
			fits = alg == "ES256" && public.Curve.Params().BitSize == 256
		case ed25519.PublicKey:
			fits = alg == "EdDSA"
		}
		if fits && len(keys) < maxKeys {
			keys = append(keys, k.Public().Key)
		}
	}
	return keys
}

// decode reads a JSON object whose members each stand there once.
func decode(raw []byte) (Object, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, fmt.Errorf("%w: no JSON object", ErrObject)
	}
	object := Object{}
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return nil, fmt.Errorf("%w: no JSON object", ErrObject)
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrObject, err)
		}
		if _, twice := object[name]; twice {
			return nil, fmt.Errorf("%w: a member stands there twice", ErrObject)
		}
		object[name] = value
	}
	if _, err := d.Token(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrObject, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: something follows it", ErrObject)
	}
	return object, nil
}

// check holds the claims to the rules (RFC 9101 §4, §6.3; OpenID Connect Core
// §6.1). Unsigned, iss and aud prove nothing, but must not contradict.
func (o Object) check(rules Rules, isSigned bool) error {
	client, err := o.text("client_id")
	if err != nil || client != rules.ClientID {
		return fmt.Errorf("%w: client_id is not the client that sent it", ErrObject)
	}
	issuer, err := o.text("iss")
	if err != nil || issuer != rules.ClientID && (isSigned || issuer != "") {
		return fmt.Errorf("%w: iss is not the client", ErrObject)
	}
	audience, err := o.audience()
	if err != nil || !slices.Contains(audience, rules.Issuer) && (isSigned || audience != nil) {
		return fmt.Errorf("%w: aud is not this issuer", ErrObject)
	}
	if subject, err := o.text("sub"); err != nil || subject == rules.ClientID {
		return fmt.Errorf("%w: sub is the client, as in a client assertion", ErrObject)
	}
	for _, nested := range []string{"request", "request_uri"} {
		if _, there := o[nested]; there {
			return fmt.Errorf("%w: it contains %s", ErrObject, nested)
		}
	}
	return o.checkTimes(rules)
}

func (o Object) checkTimes(rules Rules) error {
	expires, hasEnd, err := o.time("exp")
	switch {
	case err != nil:
		return err
	case !hasEnd && !rules.Relaxed:
		return fmt.Errorf("%w: exp is missing", ErrObject)
	case hasEnd && !expires.Add(rules.Skew).After(rules.Now):
		return fmt.Errorf("%w: expired", ErrObject)
	case hasEnd && expires.After(rules.Now.Add(MaxLifetime+rules.Skew)) && !rules.Relaxed:
		return fmt.Errorf("%w: it lives too long", ErrObject)
	}
	for _, name := range []string{"nbf", "iat"} {
		from, there, err := o.time(name)
		switch {
		case err != nil:
			return err
		case there && from.After(rules.Now.Add(rules.Skew)):
			return fmt.Errorf("%w: %s lies ahead", ErrObject, name)
		case there && name == "nbf" && from.Add(MaxLifetime+rules.Skew).Before(rules.Now) && !rules.Relaxed:
			return fmt.Errorf("%w: too old", ErrObject)
		}
	}
	return nil
}

// text is a claim that has to be text if it is there.
func (o Object) text(name string) (string, error) {
	var s string
	if value, there := o[name]; there {
		if err := json.Unmarshal(value, &s); err != nil || bytes.Equal(value, []byte("null")) {
			return "", fmt.Errorf("%w: %s is no text", ErrObject, name)
		}
	}
	return s, nil
}

func (o Object) audience() ([]string, error) {
	value, there := o["aud"]
	if !there {
		return nil, nil
	}
	var one string
	if json.Unmarshal(value, &one) == nil {
		return []string{one}, nil
	}
	several := []string{}
	if err := json.Unmarshal(value, &several); err != nil {
		return nil, fmt.Errorf("%w: aud is no text", ErrObject)
	}
	return several, nil
}

func (o Object) time(name string) (time.Time, bool, error) {
	value, there := o[name]
	if !there {
		return time.Time{}, false, nil
	}
	seconds, err := strconv.ParseFloat(string(value), 64)
	// Beyond the year 9999 no clock is meant, and conversion would overflow.
	if err != nil || seconds < 0 || seconds > 253402300799 {
		return time.Time{}, false, fmt.Errorf("%w: %s is no time", ErrObject, name)
	}
	return time.Unix(int64(seconds), 0), true, nil
}

// Parameters returns those claims that are among names as the parameters of a
// request, as they would stand in a query: a number as its digits, an object
// as its JSON. A list becomes a parameter that is sent several times, for the
// caller to judge. ErrObject for what has no such form.
func (o Object) Parameters(names []string) (url.Values, error) {
	form := url.Values{}
	for _, name := range names {
		value, there := o[name]
		if !there {
			continue
		}
		var list []json.RawMessage
		if json.Unmarshal(value, &list) != nil {
			list = []json.RawMessage{value}
		} else if len(list) == 0 {
			return nil, fmt.Errorf("%w: %s is empty", ErrObject, name)
		}
		for _, one := range list {
			text, err := parameter(one)
			if err != nil {
				return nil, fmt.Errorf("%w: %s %w", ErrObject, name, err)
			}
			form.Add(name, text)
		}
	}
	return form, nil
}

func parameter(value json.RawMessage) (string, error) {
	switch value[0] {
	case '"':
		var s string
		err := json.Unmarshal(value, &s)
		return s, err
	case '[', 'n':
		return "", errors.New("has no value")
	}
	return string(value), nil
}
