package oauth

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/portico-id/portico/internal/realm"
)

func (w *world) about(access string) map[string]any {
	w.t.Helper()
	r := w.do(context.Background(), http.MethodGet, "/oauth/userinfo", http.Header{"Authorization": {"Bearer " + access}}, "")
	if r.Status != http.StatusOK {
		w.t.Fatalf("userinfo: %d %s", r.Status, r.Body)
	}
	return r.JSON
}

func TestSingleClaimsAreFoundWhereTheyWereAskedFor(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		r := w.tokens("portal", "scope=openid offline_access",
			`claims={"userinfo":{"name":{"essential":true},"nickname":null,"nonsense":null,"email#es":null},"id_token":{"email":null,"phone_number":{"essential":true},"auth_time":{"essential":true}},"other":{}}`)
		about := w.about(r.get("access_token"))
		if about["name"] != "Pat Rivera" || about["nickname"] != "P" || about["email"] != nil || about["given_name"] != nil || about["sub"] != w.account.String() {
			t.Errorf("userinfo: %v", about)
		}
		id := claims(t, r.get("id_token"))
		if id["email"] != "pat@example.test" || id["phone_number"] != "+1 555 0100" || id["name"] != nil || id["sub"] != w.account.String() {
			t.Errorf("ID token: %v", id)
		}
		// The grant remembers, also in the tokens of a refresh.
		next := w.renew("portal", r.get("refresh_token"))
		if again := w.about(next.get("access_token")); again["name"] != "Pat Rivera" || again["email"] != nil {
			t.Errorf("userinfo after a refresh: %v", again)
		}
		if again := claims(t, next.get("id_token")); again["email"] != "pat@example.test" || again["iss"] != w.r.Issuer {
			t.Errorf("ID token after a refresh: %v", again)
		}
	})
}

func TestAClaimIsLeftOutIfItDoesNotHaveTheValueAskedFor(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		r := w.tokens("portal", "scope=openid phone",
			`claims={"userinfo":{"given_name":{"value":"Pat"},"family_name":{"value":"Jones"},"locale":{"values":["en","es"]},"address":{"value":{"formatted":"1 Elm Street"}},"email_verified":{"value":false},"phone_number":{"value":"x"}}}`)
		about := w.about(r.get("access_token"))
		if about["given_name"] != "Pat" || about["family_name"] != nil || about["locale"] != "es" || about["address"] == nil ||
			about["email_verified"] != nil || about["phone_number"] != "+1 555 0100" {
			t.Errorf("%v", about)
		}
	})
}

func TestAClientGetsNoClaimOfAScopeItMayNotAskFor(t *testing.T) {
	narrow := &realm.Client{ID: "narrow", SecretHash: realm.HashSecret(testSecret), AuthMethod: realm.AuthBasic, FirstParty: true,
		RedirectURIs: []string{testRedirect}, GrantTypes: []string{realm.GrantCode}, Scopes: []string{"openid"}}
	eachIn(t, nil, []*realm.Client{narrow}, func(t *testing.T, w *world) {
		r := w.tokens("narrow", "scope=openid", `claims={"userinfo":{"email":null,"address":null},"id_token":{"name":{"essential":true}}}`)
		if about := w.about(r.get("access_token")); len(about) != 1 {
			t.Errorf("userinfo: %v", about)
		}
		if id := claims(t, r.get("id_token")); id["name"] != nil {
			t.Errorf("ID token: %v", id)
		}
	})
}

func TestClaimsThatCannotBeReadAreRefused(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.signIn(w.account)
		for _, raw := range []string{"", "x", "[]", `{"userinfo":[]}`, `{"userinfo":{"name":5}}`, `{"id_token":{"acr":{"essential":"yes"}}}`,
			`{`, `null`, `{"userinfo":{` + strings.Repeat(`"a":null,`, 1) + `"b":null}} x`} {
			form := request("portal", "claims="+raw)
			if q := w.answered(w.authorize(form), form); q.Get("error") != errInvalidRequest || q.Has("code") {
				t.Errorf("%q: %v", raw, q)
			}
		}
	})
}

func TestAnEssentialACRIsReachedOrRefusedAndAWishIsOnlyAWish(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.signIn(w.account)
		for change, want := range map[string]string{
			"acr_values=urn:test:strong urn:test:other":                                                  "",
			`claims={"id_token":{"acr":{"values":["urn:test:strong"]}}}`:                                 "",
			`claims={"id_token":{"acr":{"essential":true,"values":["urn:test:strong"]}}}`:                errUnmet,
			`claims={"id_token":{"acr":{"essential":true,"value":"urn:test:strong"}}}`:                   errUnmet,
			`claims={"id_token":{"acr":{"essential":true,"values":["urn:test:strong","urn:test:pwd"]}}}`: "",
			`claims={"id_token":{"acr":{"essential":true}}}`:                                             "",
		} {
			form := request("portal", change)
			q := w.answered(w.authorize(form), form)
			if q.Get("error") != want {
				t.Errorf("%s: %v", change, q)
			}
			if want == "" {
				if id := claims(t, w.redeem("portal", q.Get("code")).get("id_token")); id["acr"] != "urn:test:pwd" {
					t.Errorf("%s: acr = %v", change, id["acr"])
				}
			}
		}
		// A session that was begun otherwise leads to the sign-in page, silently to an error.
		w.exec(`UPDATE sessions SET acr = 'urn:test:weak'`)
		essential := `claims={"id_token":{"acr":{"essential":true,"value":"urn:test:pwd"}}}`
		flow := w.flowIn(w.authorize(request("portal", essential)), "/signin")
		form := request("portal", essential, "prompt=none")
		if q := w.answered(w.authorize(form), form); q.Get("error") != errLoginRequired {
			t.Errorf("silently: %v", q)
		}
		w.signIn(w.account)
		if q := w.answered(w.resumeFlow(flow), request("portal")); q.Get("code") == "" {
			t.Errorf("after signing in: %v", q)
		}
	})
}

func TestTheSubjectAskedForIsTheOnlyOneAccepted(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.signIn(w.account)
		other := w.newAccount("other@example.test")
		form := request("portal", `claims={"id_token":{"sub":{"value":"`+w.account.String()+`"}}}`, "prompt=none")
		if q := w.answered(w.authorize(form), form); q.Get("code") == "" {
			t.Errorf("the same: %v", q)
		}
		form = request("portal", `claims={"id_token":{"sub":{"value":"`+other.String()+`"}}}`, "prompt=none")
		if q := w.answered(w.authorize(form), form); q.Get("error") != errLoginRequired {
			t.Errorf("another: %v", q)
		}
	})
}

func TestConsentIsAskedForSingleClaimsToo(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.signIn(w.account)
		agree := func(flow string) {
			page := w.Get("/consent?flow=" + flow)
			w.Post("/consent", map[string][]string{"flow": {flow}, "account": {w.account.String()}, "client": {page.Value("client")}, "answer": {"allow"}, "csrf": {page.Value("csrf")}})
		}
		plain := request("third", "scope=openid")
		flow := w.flowIn(w.authorize(plain), "/consent")
		agree(flow)
		w.answered(w.resumeFlow(flow), plain)
		more := request("third", "scope=openid", `claims={"userinfo":{"email":null}}`)
		flow = w.flowIn(w.authorize(more), "/consent")
		if page := w.Get("/consent?flow=" + flow); !strings.Contains(page.Text(), "Ver su correo") {
			t.Errorf("the page does not say so: %s", page.Text())
		}
		agree(flow)
		w.answered(w.resumeFlow(flow), more)
		w.answered(w.authorize(more), more) // and is remembered
		w.answered(w.authorize(plain), plain)
	})
}

func TestWishesAboutThePageAreTakenOrLeft(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.signIn(w.account)
		for change, want := range map[string]string{
			"display=page": "", "display=popup": "", "display=touch": "", "display=wap": errInvalidRequest,
			"claims_locales=se de-CH": "", "ui_locales=tlh": "", "unknown=thing": "", "extra_parameter=1": "",
		} {
			form := request("portal", change)
			if q := w.answered(w.authorize(form), form); q.Get("error") != want {
				t.Errorf("%s: %v", change, q)
			}
		}
	})
}
