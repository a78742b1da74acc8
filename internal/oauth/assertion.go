package oauth

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"

	"github.com/portico-id/portico/internal/oauth/clientkeys"
	"github.com/portico-id/portico/internal/realm"
)

// assertionType names a signed assertion as credentials (RFC 7523 §2.2).
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

const (
	// maxAssertion is how far ahead an assertion may expire: so long it is
	// remembered. A strict realm accepts what FAPI clients send.
	maxAssertion       = time.Hour
	maxStrictAssertion = 5 * time.Minute
	maxJTI             = 255
)

// errReplayed is the answer to an assertion that was used before.
var errReplayed = refuse(errInvalidClient, "The client assertion was used before.")

// assertionAlgorithms are those a realm accepts of client assertions.
func assertionAlgorithms(r *realm.Realm) []jose.SignatureAlgorithm {
	if r.OAuth.StrictAssertions {
		return []jose.SignatureAlgorithm{jose.PS256, jose.ES256, jose.EdDSA} // FAPI 2.0 §5.4.1
	}
	return clientkeys.Algorithms
}

// assertionClaims is what an assertion says. The decoder is the one of
// go-jose: it knows upper from lower case and refuses a claim that is there twice.
type assertionClaims struct {
	Issuer    string          `json:"iss"`
	Subject   string          `json:"sub"`
	Audience  json.RawMessage `json:"aud"`
	ExpiresAt *float64        `json:"exp"`
	NotBefore *float64        `json:"nbf"`
	IssuedAt  *float64        `json:"iat"`
	ID        string          `json:"jti"`
}

// byAssertion authenticates a client by what it signed (private_key_jwt:
// OpenID Connect Core §9, RFC 7523 §3). Everything that can be refused without
// its keys is refused before they are looked for. The assertion is spent by
// the unit's batch, in one transaction with what it buys, and also when the
// request fails; one that was not accepted is not spent, so that nobody can
// spend the identifiers of others.
func (p *Provider) byAssertion(ctx context.Context, u *unit, form url.Values) (*realm.Client, error) {
	refused := func(format string, args ...any) error {
		e := refuse(errInvalidClient, descriptionClient)
		e.cause = fmt.Errorf("client assertion: "+format, args...)
		return e
	}
	if form.Get("client_assertion_type") != assertionType {
		return nil, refused("unknown type")
	}
	signed, err := clientkeys.Parse(form.Get("client_assertion"), assertionAlgorithms(u.realm))
	if err != nil {
		return nil, refused("%v", err)
	}
	var claims assertionClaims
	if err := json.Unmarshal(signed.Claims, &claims); err != nil {
		return nil, refused("%v", err)
	}
	if id := form.Get("client_id"); id != "" && id != claims.Subject {
		return nil, refused("client_id is another client's")
	}
	expires, err := claims.check(u.realm, signed.Type, u.now)
	if err != nil {
		return nil, refused("%v", err)
	}
	found, err := p.askingClient(ctx, u, claims.Subject)
	switch {
	case errors.Is(err, errNoClient):
		return nil, refused("unknown client")
	case err != nil:
		return nil, err
	case found.AuthMethod != realm.AuthKey:
		return nil, refused("the client is registered for %s", found.AuthMethod)
	case found.AuthAlg != "" && found.AuthAlg != signed.Alg:
		return nil, refused("the client is registered for %s", found.AuthAlg)
	}
	if err := p.keysOf.Verify(ctx, found, signed); err != nil {
		return nil, refused("%v", err) // also when its keys cannot be had: not wrapped
	}
	jti := sha256.Sum256([]byte(claims.ID))
	u.assertion = &write{`
		INSERT INTO client_assertions (realm, client_id, jti_hash, expires_at) VALUES ($1, $2, $3, $4)`,
		[]any{u.realm.Name, found.ID, jti[:], expires.Add(u.realm.OAuth.ClockSkew)}, nil}
	return found, nil
}

// check looks at the claims alone and returns when the assertion expires.
func (a *assertionClaims) check(r *realm.Realm, typ string, now time.Time) (time.Time, error) {
	longest := maxAssertion
	if r.OAuth.StrictAssertions {
		longest = maxStrictAssertion
	}
	skew := r.OAuth.ClockSkew
	switch t := strings.TrimPrefix(strings.ToLower(typ), "application/"); {
	case t != "" && t != "jwt" && t != "client-authentication+jwt":
		return time.Time{}, fmt.Errorf("type %q", typ)
	case a.Subject == "" || a.Issuer != a.Subject:
		return time.Time{}, errors.New("iss and sub are not the client")
	case a.ID == "" || len(a.ID) > maxJTI:
		return time.Time{}, errors.New("no jti, or too long")
	case a.ExpiresAt == nil:
		return time.Time{}, errors.New("no exp")
	case !audienceIsOurs(r, a.Audience):
		return time.Time{}, errors.New("aud is not this realm")
	}
	// Numbers are compared before they become times: some do not fit.
	seconds := float64(now.UnixMicro()) / 1e6
	switch {
	case *a.ExpiresAt <= seconds-skew.Seconds():
		return time.Time{}, errors.New("expired")
	case *a.ExpiresAt > seconds+(longest+skew).Seconds():
		return time.Time{}, errors.New("exp is too far ahead")
	case a.NotBefore != nil && *a.NotBefore > seconds+skew.Seconds():
		return time.Time{}, errors.New("not valid yet")
	case a.IssuedAt != nil && *a.IssuedAt > seconds+skew.Seconds():
		return time.Time{}, errors.New("issued in the future")
	}
	return time.Unix(int64(*a.ExpiresAt)+1, 0).UTC(), nil
}

// audienceIsOurs reports whether an assertion was made for this realm and for
// nobody else. Standards name three values: the issuer, the token endpoint,
// and the endpoint it is sent to (RFC 7523 §3, RFC 9126 §2). A list has to
// consist of these; a strict realm takes the issuer alone, as a string, since
// an endpoint's address can be made up by another issuer's metadata.
func audienceIsOurs(r *realm.Realm, raw json.RawMessage) bool {
	var one string
	if err := json.Unmarshal(raw, &one); err == nil {
		return one == r.Issuer || !r.OAuth.StrictAssertions && slices.Contains(ourEndpoints(r), one)
	}
	var several []string
	if err := json.Unmarshal(raw, &several); err != nil || r.OAuth.StrictAssertions || len(several) == 0 {
		return false
	}
	return !slices.ContainsFunc(several, func(a string) bool { return a != r.Issuer && !slices.Contains(ourEndpoints(r), a) })
}

func ourEndpoints(r *realm.Realm) []string {
	return []string{r.URL(pathToken), r.URL(pathIntrospect), r.URL(pathRevoke), r.URL(pathPAR)}
}
