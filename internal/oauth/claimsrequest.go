package oauth

import (
	"encoding/json"
	"errors"
	"slices"

	"github.com/portico-id/portico/internal/realm"
)

// maxClaims bounds how many claims one request may name: all there are, in both
// places, and as many again that mean nothing here.
const maxClaims = 128

// claimsRequest is the parameter claims (OpenID Connect Core §5.5): single
// claims beside those that scopes stand for. It is kept with the grant.
type claimsRequest struct {
	Userinfo map[string]claimRequest `json:"userinfo,omitempty"`
	IDToken  map[string]claimRequest `json:"id_token,omitempty"`
}

// claimRequest is how one claim is asked for. The zero value asks for it
// without more (null).
type claimRequest struct {
	Essential bool              `json:"essential,omitempty"`
	Value     json.RawMessage   `json:"value,omitempty"`
	Values    []json.RawMessage `json:"values,omitempty"`
}

// scopeOfClaim is the scope that covers a claim about the person: a client that
// may not ask for the scope may not ask for its parts either.
var scopeOfClaim = func() map[string]string {
	of := map[string]string{
		"name": realm.ScopeProfile, "given_name": realm.ScopeProfile, "family_name": realm.ScopeProfile,
		"locale": realm.ScopeProfile, "updated_at": realm.ScopeProfile,
		"email": realm.ScopeEmail, "email_verified": realm.ScopeEmail,
		"phone_number": realm.ScopePhone, "phone_number_verified": realm.ScopePhone,
		"address": realm.ScopeAddress,
	}
	for _, name := range profileClaims {
		of[name] = realm.ScopeProfile
	}
	return of
}()

var errClaims = errors.New("no claims request")

// parseClaims reads the parameter. Members and claims that mean nothing here
// are ignored, whatever they look like (OpenID Connect Core §5.5, §5.5.1); what
// means something and cannot be read is refused.
func parseClaims(raw string) (*claimsRequest, error) {
	members, err := jsonMembers([]byte(raw))
	if err != nil {
		return nil, err
	}
	q, named := &claimsRequest{}, 0
	for _, place := range []struct {
		name string
		into *map[string]claimRequest
		also []string // beside those about the person
	}{
		{"userinfo", &q.Userinfo, []string{"sub"}},
		{"id_token", &q.IDToken, []string{"sub", "acr", "auth_time"}},
	} {
		asked := map[string]json.RawMessage{}
		if raw, ok := members[place.name]; ok && !isNull(raw) {
			if asked, err = jsonMembers(raw); err != nil {
				return nil, err
			}
		}
		if named += len(asked); named > maxClaims {
			return nil, errClaims
		}
		*place.into = map[string]claimRequest{}
		for name, raw := range asked {
			if _, ok := scopeOfClaim[name]; !ok && !slices.Contains(place.also, name) {
				continue
			}
			how := claimRequest{}
			if err := json.Unmarshal(raw, &how); err != nil {
				return nil, err
			}
			(*place.into)[name] = how
		}
	}
	if acr, ok := q.IDToken["acr"]; ok && acr.Essential && !acr.onlyTexts() {
		return nil, errClaims // a demand that is dropped would let any sign-in pass
	}
	return q, nil
}

// jsonMembers reads an object without looking into its members.
func jsonMembers(raw []byte) (map[string]json.RawMessage, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		return nil, err
	}
	if members == nil {
		return nil, errClaims // null
	}
	return members, nil
}

func isNull(raw json.RawMessage) bool { return string(raw) == "null" }

// empty reports whether nothing was asked for.
func (q *claimsRequest) empty() bool {
	return q == nil || len(q.Userinfo) == 0 && len(q.IDToken) == 0
}

// forUserinfo and forIDToken are safe to ask of no request at all.

func (q *claimsRequest) forUserinfo() map[string]claimRequest {
	if q == nil {
		return nil
	}
	return q.Userinfo
}

func (q *claimsRequest) forIDToken() map[string]claimRequest {
	if q == nil {
		return nil
	}
	return q.IDToken
}

// scopes lists the scopes under which the claims fall, for the consent page.
func (q *claimsRequest) scopes() []string {
	var out []string
	for _, asked := range []map[string]claimRequest{q.forUserinfo(), q.forIDToken()} {
		for name := range asked {
			if scope := scopeOfClaim[name]; scope != "" && !slices.Contains(out, scope) {
				out = append(out, scope)
			}
		}
	}
	slices.Sort(out)
	return out
}

// restrict drops the claims that a client may not ask for.
func (q *claimsRequest) restrict(allowed func(scope string) bool) {
	for _, asked := range []map[string]claimRequest{q.Userinfo, q.IDToken} {
		for name := range asked {
			if scope := scopeOfClaim[name]; scope != "" && !allowed(scope) {
				delete(asked, name)
			}
		}
	}
}

// texts lists the values a claim may have, as far as they are text; nil when
// none is demanded.
func (q claimRequest) texts() []string {
	var out []string
	for _, raw := range append([]json.RawMessage{q.Value}, q.Values...) {
		var s string
		if len(raw) > 0 && json.Unmarshal(raw, &s) == nil && s != "" {
			out = append(out, s)
		}
	}
	return out
}

// onlyTexts reports whether the values are what they have to be for acr: none
// at all, or text.
func (q claimRequest) onlyTexts() bool {
	demanded := len(q.Values)
	if len(q.Value) > 0 && !isNull(q.Value) {
		demanded++
	}
	return len(q.texts()) == demanded
}

// aboutPerson reports whether claims are asked for that only the account knows.
func aboutPerson(asked map[string]claimRequest) bool {
	for name := range asked {
		if scopeOfClaim[name] != "" {
			return true
		}
	}
	return false
}

// accepts reports whether a claim has a value that was asked for. Asked for
// with values it does not have, a claim is left out: the client has no use for
// another one (OpenID Connect Core §5.5.1).
func (q claimRequest) accepts(value any) bool {
	wanted := q.Values
	if len(q.Value) > 0 && !isNull(q.Value) {
		wanted = append([]json.RawMessage{q.Value}, wanted...)
	}
	if len(wanted) == 0 {
		return true
	}
	have, err := canonicalJSON(value)
	if err != nil {
		return false
	}
	for _, raw := range wanted {
		var v any
		if json.Unmarshal(raw, &v) != nil {
			continue
		}
		if want, err := canonicalJSON(v); err == nil && want == have {
			return true
		}
	}
	return false
}

// canonicalJSON writes equal values equally: members in order, no spaces.
func canonicalJSON(value any) (string, error) {
	raw, err := json.Marshal(value)
	if err != nil {
		return "", err
	}
	var plain any
	if err := json.Unmarshal(raw, &plain); err != nil {
		return "", err
	}
	raw, err = json.Marshal(plain)
	return string(raw), err
}
