package oauth

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/portico-id/portico/internal/oauth/token"
)

// audience lists whom an access token is for.
func audience(t testing.TB, r reply) string {
	t.Helper()
	raw, err := json.Marshal(claims(t, r.get("access_token"))["aud"])
	var aud token.Audience
	if err == nil {
		err = json.Unmarshal(raw, &aud)
	}
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(aud, " ")
}

func TestATokenOfFewerScopesIsForNoAPIThatOnlyTheOthersOpened(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		both := w.tokens("portal", "scope=openid offline_access admin.read")
		for scope, want := range map[string]string{"openid": w.r.Issuer, "openid admin.read": w.r.Issuer + " " + testAPI, "admin.read": testAPI} {
			next := w.renew("portal", both.get("refresh_token"), "scope="+scope)
			w.expect(scope, next, 200, "")
			if got := audience(t, next); got != want {
				t.Errorf("%s: for %s, want %s", scope, got, want)
			}
			both = next
		}
		// With a resource beside the scopes, it has to be one they open.
		w.expect("an API without its scope", w.renew("portal", both.get("refresh_token"), "scope=openid", "resource="+testAPI), 400, errInvalidTarget)

		// The client asked for this API and no other, userinfo among those.
		one := w.tokens("portal", "scope=openid offline_access admin.read", "resource="+testAPI)
		if got := audience(t, one); got != testAPI {
			t.Fatalf("for %s", got)
		}
		w.expect("openid alone", w.renew("portal", one.get("refresh_token"), "scope=openid"), 400, errInvalidScope)
		next := w.renew("portal", one.get("refresh_token"), "scope=admin.read")
		if w.expect("and the token is not burnt", next, 200, ""); audience(t, next) != testAPI {
			t.Errorf("for %s", audience(t, next))
		}
		if next := w.renew("portal", next.get("refresh_token")); audience(t, next) != testAPI || next.get("scope") != "admin.read offline_access openid" {
			t.Errorf("everything again: %s", next.Body)
		}
	})
}
