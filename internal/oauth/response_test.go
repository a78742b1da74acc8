package oauth

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/portico-id/portico/internal/oauth/token"
	"github.com/portico-id/portico/internal/realm"
)

func TestEachResponseTypeBringsWhatItNamesInTheFragment(t *testing.T) {
	eachIn(t, allTypes, []*realm.Client{hybrid()}, func(t *testing.T, w *world) {
		w.signIn(w.account)
		for _, responseType := range realm.ResponseTypes {
			form := request("hybrid", "response_type="+responseType, "scope=openid email offline_access")
			page := w.authorize(form)
			if responseType == realm.ResponseCode {
				w.answered(page, form)
				continue
			}
			q := w.fragment(page, form)
			words := strings.Fields(responseType)
			for parameter, word := range map[string]string{"code": "code", "access_token": "token", "id_token": "id_token"} {
				if q.Has(parameter) != contains(words, word) {
					t.Errorf("%s: %s is %q", responseType, parameter, q.Get(parameter))
				}
			}
			if q.Has("refresh_token") {
				t.Errorf("%s: a refresh token in the answer", responseType)
			}
			if access := q.Get("access_token"); access != "" {
				if q.Get("token_type") != "Bearer" || q.Get("expires_in") != "300" || !w.alive(access) {
					t.Errorf("%s: access token: %v", responseType, q)
				}
			}
			if raw := q.Get("id_token"); raw != "" {
				id := claims(t, raw)
				for claim, of := range map[string]string{"c_hash": q.Get("code"), "at_hash": q.Get("access_token"), "s_hash": "s"} {
					want := any(nil)
					if of != "" {
						want = token.HalfHash(of)
					}
					if id[claim] != want {
						t.Errorf("%s: %s = %v, want %v", responseType, claim, id[claim], want)
					}
				}
				if id["nonce"] != "n" || id["sub"] != w.account.String() {
					t.Errorf("%s: %v", responseType, id)
				}
				// Only who gets no access token finds claims of its scopes in the ID token.
				if (id["email"] != nil) != (responseType == realm.ResponseIDToken) {
					t.Errorf("%s: email = %v", responseType, id["email"])
				}
			}
			if code := q.Get("code"); code != "" {
				r := w.redeem("hybrid", code)
				if r.Status != http.StatusOK || r.get("refresh_token") == "" || claims(t, r.get("id_token"))["nonce"] != "n" {
					t.Errorf("%s: exchange: %s", responseType, r.Body)
				}
			}
		}
	})
}

func contains(list []string, one string) bool {
	for _, other := range list {
		if one == other {
			return true
		}
	}
	return false
}

func TestTheOrderOfResponseTypeWordsMeansNothing(t *testing.T) {
	eachIn(t, allTypes, []*realm.Client{hybrid()}, func(t *testing.T, w *world) {
		w.signIn(w.account)
		form := request("hybrid", "response_type=token id_token  code")
		if q := w.fragment(w.authorize(form), form); !q.Has("code") || !q.Has("id_token") || !q.Has("access_token") {
			t.Errorf("%v", q)
		}
	})
}

func TestOnlyCodeIsPossibleUnlessRealmAndClientAllowMore(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.signIn(w.account)
		for _, responseType := range append([]string{"token", "none", "code none", "id_token id_token", "CODE"}, realm.ResponseTypes[1:]...) {
			form := request("portal", "response_type="+responseType)
			q := w.answered(w.authorize(form), form)
			if q.Get("error") != errUnsupportedResponse || q.Has("code") || q.Has("access_token") || q.Has("id_token") {
				t.Errorf("%s: %v", responseType, q)
			}
		}
	})
	eachIn(t, allTypes, []*realm.Client{hybrid()}, func(t *testing.T, w *world) {
		w.signIn(w.account)
		form := request("portal", "response_type=code id_token")
		if q := w.fragment(w.authorize(form), form); q.Get("error") != errUnauthorizedClient {
			t.Errorf("%v", q)
		}
		r := w.send("/oauth/token", "hybrid", url.Values{"grant_type": {"implicit"}})
		w.expect("the grant implicit at the token endpoint", r, 400, errUnsupportedGrant)
	})
}

func TestNonceIsNeededIfAndOnlyIfAnIDTokenComesWithTheAnswer(t *testing.T) {
	eachIn(t, allTypes, []*realm.Client{hybrid()}, func(t *testing.T, w *world) {
		w.signIn(w.account)
		for _, responseType := range realm.ResponseTypes {
			form := request("hybrid", "response_type="+responseType, "-nonce")
			q := w.answered(w.authorize(form), form)
			if needed := strings.Contains(responseType, "id_token"); (q.Get("error") == errInvalidRequest) != needed {
				t.Errorf("%s: %v", responseType, q)
			}
		}
	})
}

func TestTokensNeverTravelInTheQuery(t *testing.T) {
	eachIn(t, allTypes, []*realm.Client{hybrid()}, func(t *testing.T, w *world) {
		w.signIn(w.account)
		for _, responseType := range realm.ResponseTypes[1:] {
			form := request("hybrid", "response_type="+responseType, "response_mode=query")
			q := w.fragment(w.authorize(form), form)
			if q.Get("error") != errInvalidRequest || q.Has("code") || q.Has("access_token") || q.Has("id_token") {
				t.Errorf("%s: %v", responseType, q)
			}
		}
		form := request("hybrid", "response_mode=web_message")
		if q := w.answered(w.authorize(form), form); q.Get("error") != errInvalidRequest {
			t.Errorf("an unknown mode: %v", q)
		}
	})
}

func TestAnAnswerIsPostedByAPageThatWorksWithoutJavaScript(t *testing.T) {
	eachIn(t, allTypes, []*realm.Client{hybrid()}, func(t *testing.T, w *world) {
		w.signIn(w.account)
		for _, responseType := range realm.ResponseTypes {
			form := request("hybrid", "response_type="+responseType, "response_mode=form_post", `state="><script>alert(1)</script>`)
			page := w.authorize(form)
			q := w.posted(page, form)
			if responseType == realm.ResponseCode {
				if r := w.redeem("hybrid", q.Get("code")); r.Status != http.StatusOK {
					t.Errorf("%s", r.Body)
				}
			}
			policy := page.Header.Get("Content-Security-Policy")
			if !strings.Contains(policy, "form-action 'self' https://rp.example.test") || strings.Contains(policy, "unsafe") ||
				strings.Contains(page.Body, "<script>") || strings.Contains(page.Body, "onload=") {
				t.Errorf("policy %s\n%s", policy, page.Body)
			}
			if page.Header.Get("Cache-Control") != "no-store" || !strings.Contains(page.Body, "form-post.js") || page.ByID("form-post-continue") == "" {
				t.Errorf("%s\n%s", page.Header.Get("Cache-Control"), page.Body)
			}
		}
		for _, change := range []string{"prompt=none login", "scope=nonsense", "max_age=x", "response_type=nonsense"} {
			form := request("hybrid", change, "response_mode=form_post")
			if q := w.posted(w.authorize(form), form); q.Get("error") == "" || q.Has("code") {
				t.Errorf("%s: %v", change, q)
			}
		}
		form := request("hybrid", "response_mode=form_post", "redirect_uri=https://rp.example.test/other?x=1")
		w.posted(w.authorize(form), form)
	})
}

func TestACodeReplayEndsTheTokensOfTheFrontChannelToo(t *testing.T) {
	eachIn(t, allTypes, []*realm.Client{hybrid()}, func(t *testing.T, w *world) {
		w.signIn(w.account)
		form := request("hybrid", "response_type=code id_token token")
		q := w.fragment(w.authorize(form), form)
		if r := w.redeem("hybrid", q.Get("code")); r.Status != http.StatusOK || !w.alive(q.Get("access_token")) {
			t.Fatalf("%s", r.Body)
		}
		w.expect("replay", w.redeem("hybrid", q.Get("code")), 400, errInvalidGrant)
		if w.alive(q.Get("access_token")) {
			t.Error("the access token of the answer survived the replay of its code")
		}
	})
}

func TestAnImplicitAnswerOfASessionThatHasEndedIsNone(t *testing.T) {
	eachIn(t, allTypes, []*realm.Client{hybrid()}, func(t *testing.T, w *world) {
		w.signIn(w.account)
		w.exec(`UPDATE accounts SET state = 'disabled' WHERE id = $1`, w.account)
		for _, responseType := range realm.ResponseTypes {
			w.flowIn(w.authorize(request("hybrid", "response_type="+responseType)), "/signin")
		}
		if n := w.count(`SELECT count(*) FROM grants`); n != 0 {
			t.Errorf("%d grants", n)
		}
	})
}

func TestAFlowAnsweredImplicitlyKeepsTypeModeAndNonce(t *testing.T) {
	eachIn(t, allTypes, []*realm.Client{hybrid()}, func(t *testing.T, w *world) {
		form := request("hybrid", "response_type=id_token token", "response_mode=form_post", "-code_challenge", "-code_challenge_method")
		flow := w.flowIn(w.authorize(form), "/signin")
		w.signIn(w.account)
		if q := w.posted(w.resumeFlow(flow), form); !q.Has("access_token") || claims(t, q.Get("id_token"))["nonce"] != "n" {
			t.Errorf("%v", q)
		}
	})
}

func TestPKCEIsOptionalOnlyForClientsThatAuthenticateInARelaxedRealm(t *testing.T) {
	eachIn(t, func(p *realm.OAuthPolicy) { p.OptionalPKCE = true }, nil, func(t *testing.T, w *world) {
		w.signIn(w.account)
		without := []string{"-code_challenge", "-code_challenge_method"}
		if r := w.redeem("portal", w.code("portal", without...), "-code_verifier"); r.Status != http.StatusOK {
			t.Errorf("without PKCE: %s", r.Body)
		}
		// RFC 9700 §2.1.1: a verifier without a challenge is a sign of mix-up.
		w.expect("a verifier nobody asked for", w.redeem("portal", w.code("portal", without...)), 400, errInvalidGrant)
		form := request("spa", without...)
		if q := w.answered(w.authorize(form), form); q.Get("error") != errInvalidRequest {
			t.Errorf("a public client: %v", q)
		}
		form = request("portal", "-code_challenge")
		if q := w.answered(w.authorize(form), form); q.Get("error") != errInvalidRequest {
			t.Errorf("half of PKCE: %v", q)
		}
		// Downgrade: who began with PKCE has to end with it.
		code := w.code("portal")
		w.expect("wrong verifier", w.redeem("portal", code, "code_verifier="+strings.Repeat("x", 43)), 400, errInvalidGrant)
		w.expect("then none", w.redeem("portal", code, "-code_verifier"), 400, errInvalidGrant)
		if r := w.redeem("portal", code); r.Status != http.StatusOK {
			t.Errorf("the right one: %s", r.Body)
		}
	})
	each(t, func(t *testing.T, w *world) {
		w.signIn(w.account)
		form := request("portal", "-code_challenge", "-code_challenge_method")
		if q := w.answered(w.authorize(form), form); q.Get("error") != errInvalidRequest {
			t.Errorf("a secure realm: %v", q)
		}
		// A code from before the realm became strict is worth nothing.
		code := w.code("portal")
		w.exec(`UPDATE authorization_codes SET request = $1`, `{"redirect_uri":"`+testRedirect+`"}`)
		if r := w.redeem("portal", code, "-code_verifier"); r.Status != http.StatusBadRequest {
			t.Errorf("a code without a challenge: %s", r.Body)
		}
	})
}

func TestDiscoveryNamesWhatTheRealmAllows(t *testing.T) {
	discover := func(w *world) reply {
		return w.do(context.Background(), http.MethodGet, pathDiscovery, nil, "")
	}
	list := func(v any) string {
		var words []string
		all, _ := v.([]any)
		for _, one := range all {
			words = append(words, one.(string))
		}
		return strings.Join(words, ",")
	}
	each(t, func(t *testing.T, w *world) {
		d := discover(w).JSON
		if list(d["response_types_supported"]) != "code" || strings.Contains(list(d["grant_types_supported"]), "implicit") ||
			list(d["request_object_signing_alg_values_supported"]) != "RS256,PS256,ES256,EdDSA" || d["request_uri_parameter_supported"] != false ||
			d["request_parameter_supported"] != true || d["claims_parameter_supported"] != true ||
			d["pushed_authorization_request_endpoint"] != w.r.URL("/oauth/par") || d["require_pushed_authorization_requests"] != false {
			t.Errorf("%v", d)
		}
	})
	eachIn(t, func(p *realm.OAuthPolicy) {
		allTypes(p)
		p.Objects, p.RequestURIs, p.RequirePAR = realm.ObjectsUnsigned, true, true
	}, nil, func(t *testing.T, w *world) {
		d := discover(w).JSON
		if list(d["response_types_supported"]) != strings.Join(realm.ResponseTypes, ",") || !strings.Contains(list(d["grant_types_supported"]), "implicit") ||
			!strings.HasSuffix(list(d["request_object_signing_alg_values_supported"]), ",none") || d["request_uri_parameter_supported"] != true ||
			d["require_request_uri_registration"] != true || d["require_pushed_authorization_requests"] != true {
			t.Errorf("%v", d)
		}
	})
	eachIn(t, func(p *realm.OAuthPolicy) { p.Objects = realm.ObjectsRefused }, nil, func(t *testing.T, w *world) {
		d := discover(w).JSON
		if d["request_parameter_supported"] != false || d["request_object_signing_alg_values_supported"] != nil {
			t.Errorf("%v", d)
		}
	})
}
