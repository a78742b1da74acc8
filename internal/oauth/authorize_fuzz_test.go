package oauth

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/realm"
)

// FuzzAuthorizationRequest: whatever is asked, nobody is sent anywhere but to a
// registered address or a page of ours, and nothing breaks.
func FuzzAuthorizationRequest(f *testing.F) {
	w := newWorldIn(f, dbtest.SQLite(f), relax(f, func(p *realm.OAuthPolicy) {
		allTypes(p)
		p.Objects, p.OptionalPKCE = realm.ObjectsUnsigned, true
	}, hybrid(), signer(f, nil)))
	w.account = w.newAccount("pat@example.test")
	w.signIn(w.account)
	cookie := http.Header{"Cookie": {w.r.CookieName("") + "=" + w.Cookie("")}}
	for _, seed := range []url.Values{
		request("portal"), request("hybrid", "response_type=id_token token", "response_mode=form_post"), request("third", "prompt=none"),
		request("portal", "redirect_uri=https://evil.example.test/"), request("spa", "redirect_uri=http://evil@127.0.0.1/callback"),
		request("portal", "max_age=0", "acr_values=x", "display=wap"), withObject("signer", w.signObject(w.asObject(request("signer")))),
		reference("portal", pushedPrefix+"x"), request("portal", `claims={"id_token":{"acr":{"essential":true,"values":["x"]}}}`),
		{"flow": {"01900000-0000-7000-8000-000000000000"}},
	} {
		f.Add(seed.Encode())
	}
	f.Add("client_id=portal&client_id=poster&redirect_uri=%zz")
	f.Fuzz(func(t *testing.T, raw string) {
		if strings.ContainsFunc(raw, func(c rune) bool { return c <= ' ' || c > '~' || c == '#' }) {
			return // no browser sends these
		}
		w.t = t
		r := w.do(context.Background(), http.MethodGet, "/oauth/authorize?"+raw, cookie, "")
		if r.Status >= 500 {
			t.Errorf("%d %s", r.Status, r.Body)
		}
		location := r.Header.Get("Location")
		switch {
		case location == "", strings.HasPrefix(location, w.r.Path+"/signin?flow="), strings.HasPrefix(location, w.r.Path+"/consent?flow="):
		case strings.HasPrefix(location, testRedirect), strings.HasPrefix(location, "https://rp.example.test/other?x=1"):
		case allowedRedirect(&realm.Client{RedirectURIs: []string{"http://127.0.0.1/callback"}}, strings.SplitN(strings.SplitN(location, "?", 2)[0], "#", 2)[0]):
		default:
			t.Errorf("sent to %s", location)
		}
		if at := strings.IndexByte(location, '?'); at >= 0 && (strings.Contains(strings.SplitN(location[at:], "#", 2)[0], "access_token=") || strings.Contains(strings.SplitN(location[at:], "#", 2)[0], "id_token=")) {
			t.Errorf("a token in the query: %s", location)
		}
	})
}

func FuzzClaimsParameter(f *testing.F) {
	for _, seed := range []string{`{}`, `{"userinfo":{"name":null,"email":{"essential":true,"value":"x"}}}`, `{"id_token":{"acr":{"values":["a",5]},"sub":{"value":"s"}}}`, `[]`, ``} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		asked, err := parseClaims(raw)
		if err != nil {
			return
		}
		asked.restrict(func(scope string) bool { return scope == realm.ScopeEmail })
		for _, scope := range asked.scopes() {
			if scope != realm.ScopeEmail {
				t.Errorf("the scope %s is left", scope)
			}
		}
		// What is kept with a grant is read back from it.
		stored, err := json.Marshal(asked)
		if err != nil {
			t.Fatal(err)
		}
		var again claimsRequest
		if err := json.Unmarshal(stored, &again); err != nil {
			t.Fatalf("%s: %v", stored, err)
		}
		claimsAbout("s", nil, asked.Userinfo, &account{LoginEmail: "a@example.test", Profile: json.RawMessage(`{}`)})
	})
}
