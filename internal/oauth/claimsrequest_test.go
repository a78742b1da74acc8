package oauth

import "testing"

func TestWhatIsNotUnderstoodInAClaimsRequestIsIgnored(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for _, raw := range []string{
			`{"userinfo":{"verified_claims":[{"verification":{"trust_framework":null},"claims":{"given_name":null}}],"nickname":null}}`,
			`{"userinfo":{"foo":"bar","nickname":null},"id_token":{"x":[1],"y":5,"z":true}}`,
			`{"userinfo":{"nickname":null},"id_token":null,"purpose":"why"}`,
			`{"userinfo":{"nickname":{"purpose":["a"],"ask":5}},"UserInfo":7}`,
		} {
			r := w.tokens("portal", "scope=openid", "claims="+raw)
			if about := w.about(r.get("access_token")); about["nickname"] != "P" || len(about) != 2 {
				t.Errorf("%s: %v", raw, about)
			}
		}
	})
}

func TestAnEssentialACRThatIsNoTextIsRefused(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.signIn(w.account)
		for raw, want := range map[string]string{
			`{"id_token":{"acr":{"essential":true,"values":[1,2]}}}`:                  errInvalidRequest,
			`{"id_token":{"acr":{"essential":true,"values":["urn:test:pwd",2]}}}`:     errInvalidRequest,
			`{"id_token":{"acr":{"essential":true,"values":[null]}}}`:                 errInvalidRequest,
			`{"id_token":{"acr":{"essential":true,"value":{"urn:test:pwd":1}}}}`:      errInvalidRequest,
			`{"id_token":{"acr":{"essential":true,"value":""}}}`:                      errInvalidRequest,
			`{"id_token":{"acr":{"essential":true,"value":null}}}`:                    "",
			`{"id_token":{"acr":{"essential":true,"values":["urn:test:pwd"]}}}`:       "",
			`{"id_token":{"acr":{"values":[1,2]}}}`:                                   "",
			`{"userinfo":{"acr":{"essential":true,"values":[1]}},"id_token":{"x":1}}`: "",
		} {
			form := request("portal", "claims="+raw)
			if q := w.answered(w.authorize(form), form); q.Get("error") != want {
				t.Errorf("%s: %v", raw, q)
			}
		}
	})
}
