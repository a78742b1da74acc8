package oauth

import (
	"context"
	"crypto"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/oauth/token"
)

func (w *world) get(path string, header ...string) reply {
	w.t.Helper()
	h := http.Header{}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return w.do(context.Background(), http.MethodGet, path, h, "")
}

func TestUserinfoTellsWhatTheScopesAllow(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		names := func(r reply) string {
			var out []string
			for name := range r.JSON {
				out = append(out, name)
			}
			slices.Sort(out)
			return strings.Join(out, " ")
		}
		for scope, want := range map[string]string{
			"openid":         "sub",
			"openid email":   "email email_verified sub",
			"openid profile": "family_name given_name locale name nickname sub updated_at",
			"openid phone":   "phone_number phone_number_verified sub",
			"openid address": "address sub",
		} {
			r := w.get("/oauth/userinfo", "Authorization", "Bearer "+w.tokens("portal", "scope="+scope).get("access_token"))
			if r.Status != 200 || names(r) != want {
				t.Errorf("%s: %d %s, want %s", scope, r.Status, r.Body, want)
			}
			if r.JSON["sub"] != w.account.String() || r.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: %s", scope, r.Body)
			}
		}
	})
}

func TestUserinfoTakesTheTokenInHeaderOrBody(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		at := w.tokens("portal").get("access_token")
		ctx, auth := context.Background(), http.Header{"Authorization": {"Bearer " + at}}
		for name, r := range map[string]reply{
			"GET":           w.do(ctx, "GET", "/oauth/userinfo", auth, ""),
			"POST":          w.do(ctx, "POST", "/oauth/userinfo", auth, ""),
			"POST body":     w.do(ctx, "POST", "/oauth/userinfo", nil, "access_token="+at),
			"lower case":    w.get("/oauth/userinfo", "Authorization", "bearer "+at),
			"POST no type":  w.do(ctx, "POST", "/oauth/userinfo", http.Header{"Authorization": auth["Authorization"], "Content-Type": {"text/plain"}}, ""),
			"POST of a SPA": w.do(ctx, "POST", "/oauth/userinfo", http.Header{"Authorization": auth["Authorization"], "Origin": {"https://spa.example.test"}}, ""),
		} {
			if r.Status != 200 || r.get("sub") != w.account.String() {
				t.Errorf("%s: %d %s", name, r.Status, r.Body)
			}
		}
		for name, test := range map[string]struct {
			r      reply
			status int
			code   string
		}{
			"query":        {w.get("/oauth/userinfo?access_token=" + at), 400, errInvalidRequest},
			"both":         {w.do(ctx, "POST", "/oauth/userinfo", auth, "access_token="+at), 400, errInvalidRequest},
			"garbage":      {w.get("/oauth/userinfo", "Authorization", "Bearer x"), 401, errInvalidToken},
			"without":      {w.get("/oauth/userinfo"), 401, ""},
			"no openid":    {w.get("/oauth/userinfo", "Authorization", "Bearer "+w.tokens("portal", "scope=email").get("access_token")), 403, errInsufficientScope},
			"basic":        {w.get("/oauth/userinfo", "Authorization", basic("portal", testSecret)), 401, ""},
			"other issuer": {w.get("/oauth/userinfo", "Authorization", "Bearer "+at[:len(at)-8]+"AAAAAAAA"), 401, errInvalidToken},
		} {
			w.expect(name, test.r, test.status, test.code)
			if !strings.HasPrefix(test.r.Header.Get("WWW-Authenticate"), "Bearer ") {
				t.Errorf("%s: WWW-Authenticate %q", name, test.r.Header.Get("WWW-Authenticate"))
			}
		}
	})
}

func TestIntrospectionNeedsAClientAndTellsItItsOwn(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		r := w.tokens("portal", "scope=openid offline_access admin.read")
		at, rt := r.get("access_token"), r.get("refresh_token")
		ask := func(client, raw string) reply {
			return w.send("/oauth/introspect", client, url.Values{"token": {raw}, "token_type_hint": {"access_token"}})
		}
		got := ask("portal", at)
		if got.JSON["active"] != true || got.get("sub") != w.account.String() || got.get("client_id") != "portal" || got.get("iss") != w.r.Issuer {
			t.Errorf("%s", got.Body)
		}
		if got := ask("portal", rt); got.JSON["active"] != true {
			t.Errorf("refresh token: %s", got.Body)
		}
		if got := ask("api", at); got.JSON["active"] != true {
			t.Errorf("the API it is for: %s", got.Body)
		}
		for name, got := range map[string]reply{
			"another client": ask("third", at), "the API, refresh token": ask("api", rt), "garbage": ask("portal", "x"),
			"ID token": ask("portal", r.get("id_token")), "the API, not its audience": ask("api", w.tokens("portal", "scope=openid").get("access_token")),
		} {
			if got.Status != 200 || strings.TrimSpace(got.Body) != `{"active":false}` {
				t.Errorf("%s: %s", name, got.Body)
			}
		}
		w.expect("bearer", w.do(context.Background(), "POST", "/oauth/introspect", http.Header{"Authorization": {"Bearer " + at}}, "token="+at), 401, errInvalidClient)
		w.expect("public client", ask("spa", at), 401, errInvalidClient)
		w.expect("nobody", ask("", at), 401, errInvalidClient)
		w.expect("no token", w.send("/oauth/introspect", "portal", url.Values{}), 400, errInvalidRequest)
		dbtest.Advance(w.db, 6*time.Minute)
		if got := ask("portal", at); got.JSON["active"] != false {
			t.Errorf("expired: %s", got.Body)
		}
	})
}

func TestRevokingATokenEndsItsGrant(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for _, which := range []string{"access_token", "refresh_token"} {
			for _, hint := range []string{"", "access_token", "refresh_token", "x"} {
				r := w.tokens("portal")
				other := w.send("/oauth/revoke", "third", url.Values{"token": {r.get(which)}, "token_type_hint": {hint}})
				if other.Status != 400 || !w.alive(r.get("access_token")) {
					t.Errorf("another client: %d %s", other.Status, other.Body)
				}
				got := w.send("/oauth/revoke", "portal", url.Values{"token": {r.get(which)}, "token_type_hint": {hint}})
				if got.Status != 200 || got.Body != "" {
					t.Errorf("%s: %d %s", which, got.Status, got.Body)
				}
				if w.alive(r.get("access_token")) {
					t.Errorf("%s, hint %q: the access token is alive", which, hint)
				}
				w.expect("refresh", w.renew("portal", r.get("refresh_token")), 400, errInvalidGrant)
			}
		}
		first := w.tokens("spa")
		second := w.renew("spa", first.get("refresh_token"))
		if got := w.send("/oauth/revoke", "spa", url.Values{"token": {first.get("refresh_token")}}); got.Status != 200 || w.alive(second.get("access_token")) {
			t.Errorf("a used refresh token does not end the family: %d", got.Status)
		}
		if got := w.send("/oauth/revoke", "portal", url.Values{"token": {"unknown"}}); got.Status != 200 {
			t.Errorf("unknown: %d", got.Status)
		}
		w.expect("no client", w.send("/oauth/revoke", "", url.Values{"token": {"x"}}), 401, errInvalidClient)
		w.expect("no token", w.send("/oauth/revoke", "portal", url.Values{}), 400, errInvalidRequest)
	})
}

func TestADatabaseThatIsAwayIsNeitherARefusalNorReuse(t *testing.T) {
	t.Run("postgres", func(t *testing.T) {
		w := newWorld(t, dbtest.Postgres(t))
		r, code := w.tokens("portal"), w.code("portal")
		w.db.Close()
		at := r.get("access_token")
		for name, got := range map[string]reply{
			"exchange": w.redeem("portal", code), "refresh": w.renew("portal", r.get("refresh_token")),
			"revoke":        w.send("/oauth/revoke", "portal", url.Values{"token": {r.get("refresh_token")}}),
			"revoke access": w.send("/oauth/revoke", "portal", url.Values{"token": {at}}),
			"introspect":    w.send("/oauth/introspect", "portal", url.Values{"token": {at}}),
			"userinfo":      w.get("/oauth/userinfo", "Authorization", "Bearer "+at),
		} {
			w.expect(name, got, 503, errUnavailable)
			if got.Header.Get("Retry-After") == "" {
				t.Errorf("%s: no Retry-After", name)
			}
		}
		for _, path := range []string{"/oauth/authorize?" + request("portal").Encode(), "/oauth/logout"} {
			if page := w.Get(path); page.Status != 503 || len(page.Header.Values("Set-Cookie")) != 0 {
				t.Errorf("%s: %d %v", path, page.Status, page.Header.Values("Set-Cookie"))
			}
		}
		if _, err := w.p.VerifyAccessToken(context.Background(), w.r, at, w.r.Issuer); err == nil || !unavailable(err) {
			t.Errorf("VerifyAccessToken: %v", err)
		}
		for _, path := range []string{pathDiscovery, pathJWKS} {
			if got := w.get(path); got.Status != 200 {
				t.Errorf("%s: %d", path, got.Status)
			}
		}
		if got := w.send("/oauth/token", "service", url.Values{"grant_type": {"client_credentials"}}); got.Status != 200 {
			t.Errorf("client_credentials needs no database: %s", got.Body)
		}
		w.expect("wrong secret", w.do(context.Background(), "POST", "/oauth/token", http.Header{"Authorization": {basic("portal", "x")}},
			exchange("portal", code).Encode()), 401, errInvalidClient)
	})
}

func TestNothingOfOneRealmCountsInAnother(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		r, code := w.tokens("portal"), w.code("portal")
		other := newWorldIn(t, w.db, testRealm(t, "practice"))
		other.expect("code", other.redeem("portal", code), 400, errInvalidGrant)
		other.expect("refresh token", other.renew("portal", r.get("refresh_token")), 400, errInvalidGrant)
		if other.alive(r.get("access_token")) {
			t.Error("userinfo of another realm")
		}
		if got := other.send("/oauth/introspect", "portal", url.Values{"token": {r.get("access_token")}}); got.JSON["active"] != false {
			t.Errorf("introspection: %s", got.Body)
		}
		if got := other.send("/oauth/revoke", "portal", url.Values{"token": {r.get("refresh_token")}}); got.Status != 200 {
			t.Errorf("revocation: %d", got.Status)
		}
		if _, err := other.p.VerifyAccessToken(context.Background(), other.r, r.get("access_token"), w.r.Issuer); err == nil {
			t.Error("VerifyAccessToken of another realm")
		}
		form := request("portal", "id_token_hint="+r.get("id_token"))
		if q := other.answered(other.authorize(form), form); q.Get("error") != errInvalidRequest {
			t.Errorf("hint: %v", q)
		}
		if !w.alive(r.get("access_token")) || w.redeem("portal", code).Status != 200 {
			t.Error("another realm ended what is not its own")
		}
	})
}

func TestDiscoveryIsTrueAndCanBeCached(t *testing.T) {
	db := dbtest.SQLite(t)
	w := newWorld(t, db)
	for _, path := range []string{pathDiscovery, pathMetadata} {
		r := w.get(path, "Origin", "https://spa.example.test")
		if r.Status != 200 || r.get("issuer") != w.r.Issuer || r.Header.Get("Access-Control-Allow-Origin") != "*" ||
			!strings.Contains(r.Header.Get("Cache-Control"), "max-age") || r.Header.Get("Content-Type") != contentTypeJSON {
			t.Errorf("%s: %d %s %v", path, r.Status, r.Body, r.Header)
		}
		if again := w.get(path, "If-None-Match", r.Header.Get("ETag")); again.Status != 304 || again.Body != "" {
			t.Errorf("%s: %d", path, again.Status)
		}
		for name, value := range r.JSON {
			if endpoint, ok := value.(string); ok && (strings.HasSuffix(name, "_endpoint") || name == "jwks_uri") {
				path := strings.TrimPrefix(endpoint, w.r.Issuer)
				if got := w.get(path).Status; got == 404 && !strings.HasSuffix(endpoint, "/token") {
					if posted := w.send(path, "", nil).Status; posted == 404 {
						t.Errorf("%s leads nowhere: %s", name, endpoint)
					}
				}
			}
		}
		for _, method := range r.JSON["code_challenge_methods_supported"].([]any) {
			if method != "S256" {
				t.Errorf("%v", method)
			}
		}
	}
	var set struct{ Keys []map[string]string }
	r := w.get(pathJWKS)
	if err := json.Unmarshal([]byte(r.Body), &set); err != nil || len(set.Keys) != 2 {
		t.Fatalf("%s %v", r.Body, err)
	}
	for _, key := range set.Keys {
		if key["d"] != "" || key["kid"] == "" || key["use"] != "sig" {
			t.Errorf("%v", key)
		}
	}
	if again := w.get(pathJWKS, "If-None-Match", r.Header.Get("ETag")); again.Status != 304 {
		t.Errorf("JWKS: %d", again.Status)
	}
}

func TestScriptsOfOtherOriginsReachWhatTheyNeed(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t))
	for _, path := range []string{pathDiscovery, pathJWKS, pathToken, pathUserinfo, pathRevoke} {
		r := w.do(context.Background(), http.MethodOptions, path, http.Header{"Origin": {"https://spa.example.test"},
			"Access-Control-Request-Method": {"POST"}, "Access-Control-Request-Headers": {"authorization,content-type"}}, "")
		if r.Status != 204 || r.Header.Get("Access-Control-Allow-Origin") != "*" || r.Header.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s: %d %v", path, r.Status, r.Header)
		}
	}
	for _, path := range []string{pathAuthorize, pathIntrospect, pathLogout, pathConsent} {
		for _, method := range []string{http.MethodOptions, http.MethodGet, http.MethodPost} {
			r := w.do(context.Background(), method, path, http.Header{"Origin": {"https://spa.example.test"}}, "")
			if r.Header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s %s: CORS", method, path)
			}
		}
	}
}

func TestEachClientGetsItsSignatureAlgorithm(t *testing.T) {
	w := newWorld(t, dbtest.SQLite(t))
	for client, alg := range map[string]string{"portal": "ES256", "poster": "RS256"} {
		r := w.tokens(client)
		keys := func(kid string) (crypto.PublicKey, string, bool) {
			key, got, ok := w.p.keys.Public(context.Background(), w.r, kid)
			if got != alg {
				t.Errorf("%s: %s", client, got)
			}
			return key, got, ok
		}
		if _, err := token.ReadIdentity(r.get("id_token"), keys); err != nil {
			t.Errorf("%s: %v", client, err)
		}
	}
}

func TestWhatHasExpiredIsCleanedUp(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.flowIn(w.authorize(request("portal")), "/signin")
		r := w.tokens("portal")
		w.send("/oauth/revoke", "service", url.Values{"token": {w.send("/oauth/token", "service", url.Values{"grant_type": {"client_credentials"}}).get("access_token")}})
		if err := w.p.CleanUp(context.Background()); err != nil {
			t.Fatal(err)
		}
		if w.renew("portal", r.get("refresh_token")).Status != 200 {
			t.Error("cleaned up alive")
		}
		dbtest.Advance(w.db, w.r.Lifetimes.GrantAbsolute+2*time.Hour)
		if err := w.p.CleanUp(context.Background()); err != nil {
			t.Fatal(err)
		}
		for _, table := range []string{"interactions", "authorization_codes", "refresh_tokens", "grants", "revoked_access_tokens"} {
			if n := w.count(`SELECT count(*) FROM ` + table); n != 0 {
				t.Errorf("%d left in %s", n, table)
			}
		}
	})
}

func TestTwoRoundTripsAtMost(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		r := w.tokens("portal")
		consented := request("third", "scope=openid")
		w.exec(`INSERT INTO consents (realm, account_id, client_id, scopes, granted_at) VALUES ($1, $2, 'third', 'openid', $3)`,
			w.r.Name, w.account, w.db.Now(context.Background()))
		count := func(name string, most int, fn func(ctx context.Context) int) {
			t.Helper()
			ctx, trips := dbtest.CountTrips(context.Background())
			if status := fn(ctx); status >= 400 {
				t.Errorf("%s: %d", name, status)
			}
			if n := trips.Trips(); n > most {
				t.Errorf("%s: %d round trips, want %d at most", name, n, most)
			}
		}
		cookie := http.Header{"Cookie": {w.r.CookieName("") + "=" + w.Cookie("")}}
		for name, form := range map[string]url.Values{"first party": request("portal"), "remembered consent": consented} {
			count("authorization, "+name, 2, func(ctx context.Context) int {
				got := w.do(ctx, http.MethodGet, "/oauth/authorize?"+form.Encode(), cookie, "")
				if !strings.Contains(got.Header.Get("Location"), "code=") {
					t.Errorf("%s: %s", name, got.Header.Get("Location"))
				}
				return got.Status
			})
		}
		auth := http.Header{"Authorization": {basic("portal", testSecret)}}
		code := w.code("portal")
		count("exchange", 2, func(ctx context.Context) int {
			return w.do(ctx, "POST", "/oauth/token", auth, exchange("portal", code).Encode()).Status
		})
		count("refresh", 2, func(ctx context.Context) int {
			return w.do(ctx, "POST", "/oauth/token", auth, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {r.get("refresh_token")}}.Encode()).Status
		})
		count("client credentials", 0, func(ctx context.Context) int {
			return w.do(ctx, "POST", "/oauth/token", http.Header{"Authorization": {basic("service", testSecret)}}, "grant_type=client_credentials").Status
		})
		count("userinfo", 1, func(ctx context.Context) int {
			return w.do(ctx, "GET", "/oauth/userinfo", http.Header{"Authorization": {"Bearer " + r.get("access_token")}}, "").Status
		})
		count("revocation", 2, func(ctx context.Context) int {
			return w.do(ctx, "POST", "/oauth/revoke", auth, "token="+r.get("refresh_token")).Status
		})
	})
}
