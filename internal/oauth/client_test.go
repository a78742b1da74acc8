package oauth

import (
	"context"
	"net/http"
	"net/url"
	"testing"
)

func TestAClientAuthenticatesWithItsRegisteredMethodOnly(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.signIn(w.account)
		post := func(id, secret string) url.Values { return url.Values{"client_id": {id}, "client_secret": {secret}} }
		for _, test := range []struct {
			name, header string
			body         url.Values
			status       int
			code         string
		}{
			{"basic client by post", "", post("portal", testSecret), 401, errInvalidClient},
			{"post client by basic", basic("poster", testSecret), nil, 401, errInvalidClient},
			{"wrong secret", basic("portal", testSecret+"x"), nil, 401, errInvalidClient},
			{"prefix of the secret", basic("portal", testSecret[:20]), nil, 401, errInvalidClient},
			{"empty secret", basic("portal", ""), nil, 401, errInvalidClient},
			{"empty secret by post", "", post("poster", ""), 401, errInvalidClient},
			{"no secret", "", url.Values{"client_id": {"portal"}}, 401, errInvalidClient},
			{"unknown", basic("nobody", testSecret), nil, 401, errInvalidClient},
			{"unknown, no secret", "", url.Values{"client_id": {"nobody"}}, 401, errInvalidClient},
			{"nothing", "", nil, 401, errInvalidClient},
			{"public client with a secret", basic("spa", "x"), nil, 401, errInvalidClient},
			{"public client with an empty secret", "", post("spa", ""), 401, errInvalidClient},
			{"both ways", basic("portal", testSecret), post("portal", testSecret), 400, errInvalidRequest},
			{"two names", basic("portal", testSecret), url.Values{"client_id": {"poster"}}, 400, errInvalidRequest},
			{"bearer", "Bearer x", url.Values{"client_id": {"portal"}}, 401, errInvalidClient},
			{"not base64", "Basic !", url.Values{"client_id": {"spa"}}, 401, errInvalidClient},
			{"hash of the secret", basic("portal", string((&world{}).hashOf())), nil, 401, errInvalidClient},
			{"assertion", "", url.Values{"client_id": {"spa"}, "client_assertion": {"x"}}, 401, errInvalidClient},
		} {
			form := exchange("portal", w.code("portal"))
			for k, v := range test.body {
				form[k] = v
			}
			header := http.Header{}
			if test.header != "" {
				header.Set("Authorization", test.header)
			}
			r := w.do(context.Background(), "POST", "/oauth/token", header, form.Encode())
			w.expect(test.name, r, test.status, test.code)
			if test.status == 401 && r.Header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s: no WWW-Authenticate", test.name)
			}
		}
		for _, client := range []string{"portal", "poster", "spa"} {
			if r := w.redeem(client, w.code(client)); r.Status != 200 {
				t.Errorf("%s: %s", client, r.Body)
			}
		}
		r := w.do(context.Background(), "POST", "/oauth/token", http.Header{"Authorization": {basic("portal", testSecret)}},
			exchange("portal", w.code("portal"), "client_id=portal").Encode())
		if r.Status != 200 {
			t.Errorf("naming itself in the body too: %s", r.Body)
		}
	})
}

func (*world) hashOf() []byte { return testClients()[0].SecretHash }

func TestAClientGetsTokensForItself(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		form := url.Values{"grant_type": {"client_credentials"}, "scope": {"profile"}}
		r := w.send("/oauth/token", "service", form)
		if r.Status != 200 || r.get("refresh_token") != "" || r.get("id_token") != "" || r.get("scope") != "profile" {
			t.Fatalf("%d %s", r.Status, r.Body)
		}
		at := claims(t, r.get("access_token"))
		if at["sub"] != "service" || at["client_id"] != "service" || at["aud"] != "https://reports.example.test" || at["gid"] != nil || at["auth_time"] != nil {
			t.Errorf("%v", at)
		}
		if w.alive(r.get("access_token")) {
			t.Error("a client opened userinfo")
		}
		c, err := w.p.VerifyAccessToken(context.Background(), w.r, r.get("access_token"), "https://reports.example.test")
		if err != nil || c.ClientID != "service" || c.AccountID.String() != "00000000-0000-0000-0000-000000000000" {
			t.Errorf("%+v, %v", c, err)
		}
		w.expect("client without the grant", w.send("/oauth/token", "portal", form), 400, errUnauthorizedClient)
		w.expect("public client", w.send("/oauth/token", "spa", form), 400, errInvalidGrant)

		if r := w.send("/oauth/revoke", "service", url.Values{"token": {r.get("access_token")}}); r.Status != 200 {
			t.Errorf("revoke: %s", r.Body)
		}
		if _, err := w.p.VerifyAccessToken(context.Background(), w.r, r.get("access_token"), "https://reports.example.test"); err == nil {
			t.Error("revoked and alive")
		}
	})
}

func TestAClientUsesTheGrantsItIsRegisteredFor(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.expect("code", w.send("/oauth/token", "service", exchange("service", "x")), 400, errUnauthorizedClient)
		w.expect("refresh", w.renew("norefresh", "x"), 400, errUnauthorizedClient)
		form := request("service")
		if page := w.authorize(form); page.Status != 400 || page.Location() != "" {
			t.Errorf("authorize without a redirect URI: %d", page.Status)
		}
	})
}
