package oauth

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/realm"
)

// agreeAll remembers that the person agreed to what the tests ask for.
func (w *world) agreeAll(client string, scopes string) {
	w.t.Helper()
	w.exec(`INSERT INTO consents (realm, account_id, client_id, scopes, granted_at) VALUES ($1, $2, $3, $4, $5)`,
		w.r.Name, w.account, client, scopes, w.db.Now(context.Background()))
}

// registered is a client that registered itself, with consent and its header.
func (w *world) registered(changes map[string]any) (id string, auth http.Header, answer reply) {
	w.t.Helper()
	all := map[string]any{"grant_types": []string{"authorization_code", "refresh_token"}}
	for k, v := range changes {
		all[k] = v
	}
	r := w.register(all)
	w.agreeAll(r.get("client_id"), "email offline_access openid profile")
	return r.get("client_id"), http.Header{"Authorization": {basic(r.get("client_id"), r.get("client_secret"))}}, r
}

func (w *world) tokensOf(id string, auth http.Header, changes ...string) reply {
	w.t.Helper()
	redirect := testRedirect
	for _, c := range changes {
		if v, ok := strings.CutPrefix(c, "redirect_uri="); ok {
			redirect = v
		}
	}
	code := w.code(id, append([]string{"scope=openid offline_access"}, changes...)...)
	r := w.do(context.Background(), "POST", "/oauth/token", auth, exchange(id, code, "redirect_uri="+redirect).Encode())
	w.expect("exchange", r, 200, "")
	return r
}

func TestAPairwiseClientNeverSeesWhoItIsElsewhere(t *testing.T) {
	keyed(t, func(t *testing.T, w *world) {
		w.signIn(w.account)
		const elsewhere = "https://elsewhere.example.test/cb"
		one, oneAuth, _ := w.registered(map[string]any{"subject_type": "pairwise"})
		two, twoAuth, _ := w.registered(map[string]any{"subject_type": "pairwise"})
		other, otherAuth, _ := w.registered(map[string]any{"subject_type": "pairwise", "redirect_uris": []string{elsewhere}})
		// Every way in which a client is told a subject.
		subjects := func(id string, auth http.Header, changes ...string) map[string]string {
			r := w.tokensOf(id, auth, changes...)
			at := r.get("access_token")
			refreshed := w.do(context.Background(), "POST", "/oauth/token", auth, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {r.get("refresh_token")}}.Encode())
			look := func(token string) string {
				return w.do(context.Background(), "POST", "/oauth/introspect", auth, "token="+token).get("sub")
			}
			str := func(v any) string { s, _ := v.(string); return s }
			return map[string]string{
				"ID token": str(claims(t, r.get("id_token"))["sub"]), "access token": str(claims(t, at)["sub"]),
				"userinfo": w.get("/oauth/userinfo", "Authorization", "Bearer "+at).get("sub"), "introspection": look(at),
				"refresh token": look(refreshed.get("refresh_token")), "refreshed ID token": str(claims(t, refreshed.get("id_token"))["sub"]),
				"refreshed access token": str(claims(t, refreshed.get("access_token"))["sub"]),
			}
		}
		same := func(all map[string]string) string {
			sub := all["ID token"]
			for where, got := range all {
				if got != sub || got == "" {
					t.Errorf("%s: %q, in the ID token %q", where, got, sub)
				}
			}
			return sub
		}
		first, second, third := same(subjects(one, oneAuth)), same(subjects(two, twoAuth)), same(subjects(other, otherAuth, "redirect_uri="+elsewhere))
		if first != second {
			t.Error("clients of one sector see two people")
		}
		if first == third || first == w.account.String() || third == w.account.String() {
			t.Errorf("subjects can be connected: %s %s %s", first, third, w.account)
		}
		if again := same(subjects(one, oneAuth)); again != first {
			t.Error("the subject changes from one sign-in to the next")
		}
		pub, pubAuth, _ := w.registered(nil)
		if got := same(subjects(pub, pubAuth)); got != w.account.String() {
			t.Errorf("public subject %s", got)
		}

		// A hint names the person as the client knows them, and nobody else.
		id := w.tokensOf(one, oneAuth).get("id_token")
		form := request(one, "scope=openid offline_access", "id_token_hint="+id, "prompt=none")
		if q := w.answered(w.authorize(form), form); q.Get("code") == "" {
			t.Errorf("the right hint: %v", q)
		}
		w.signIn(w.newAccount("sam@example.test"))
		if q := w.answered(w.authorize(form), form); q.Get("error") != errLoginRequired {
			t.Errorf("somebody else's hint: %v", q)
		}
	}, open)
}

func TestAPairwiseSubjectIsOfOneRealm(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		a := newWorldIn(t, db, testRealm(t, "patient"))
		b := newWorldIn(t, db, testRealm(t, "practice"))
		id := database.NewID()
		c := &realm.Client{SubjectType: realm.SubjectPairwise, Sector: "rp.example.test"}
		if a.p.subject(a.r, c, id) == b.p.subject(b.r, c, id) {
			t.Error("two realms agree on a pseudonym")
		}
		if a.p.subject(a.r, c, id) == a.p.subject(a.r, c, database.NewID()) {
			t.Error("two people share a pseudonym")
		}
	})
}

func TestUserinfoIsSignedForTheClientThatAskedForIt(t *testing.T) {
	keyed(t, func(t *testing.T, w *world) {
		w.signIn(w.account)
		for _, alg := range []string{"RS256", "ES256"} {
			id, auth, _ := w.registered(map[string]any{"userinfo_signed_response_alg": alg})
			tokens := w.tokensOf(id, auth, "scope=openid email")
			r := w.get("/oauth/userinfo", "Authorization", "Bearer "+tokens.get("access_token"))
			if r.Status != 200 || r.Header.Get("Content-Type") != "application/jwt" {
				t.Fatalf("%d %s %s", r.Status, r.Header.Get("Content-Type"), r.Body)
			}
			said := claims(t, r.Body)
			if said["iss"] != w.r.Issuer || said["aud"] != id || said["sub"] != w.account.String() || said["email"] != "pat@example.test" || said["nonce"] != nil {
				t.Errorf("%v", said)
			}
			if head := header(t, r.Body); head["alg"] != alg || head["kid"] == nil {
				t.Errorf("%v", head)
			}
			// It is neither an access token nor proof of a sign-in.
			if w.alive(r.Body) {
				t.Error("userinfo passes for an access token")
			}
			form := request(id, "scope=openid email", "id_token_hint="+r.Body)
			if q := w.answered(w.authorize(form), form); q.Get("error") != errInvalidRequest {
				t.Errorf("userinfo passes for an ID token: %v", q)
			}
		}
	}, open)
}

func header(t *testing.T, raw string) map[string]any {
	t.Helper()
	head, _, _ := strings.Cut(raw, ".")
	if _, err := base64.RawURLEncoding.DecodeString(head); err != nil {
		t.Fatal(err)
	}
	return claims(t, "."+head+".")
}

func TestUnsignedIDTokensAreForRelaxedRealmsAlone(t *testing.T) {
	relaxed := func(p *realm.OAuthPolicy) { open(p); p.UnsignedIDTokens = true }
	keyed(t, func(t *testing.T, w *world) {
		w.signIn(w.account)
		id, auth, _ := w.registered(map[string]any{"id_token_signed_response_alg": "none"})
		raw := w.tokensOf(id, auth).get("id_token")
		if head := header(t, raw); head["alg"] != "none" || !strings.HasSuffix(raw, ".") || claims(t, raw)["sub"] != w.account.String() {
			t.Errorf("%s", raw)
		}
		form := request(id, "scope=openid offline_access", "id_token_hint="+raw)
		if q := w.answered(w.authorize(form), form); q.Get("error") != errInvalidRequest {
			t.Errorf("an unsigned hint: %v", q)
		}
		if got := strings.Join(idTokenAlgs(w.r), " "); got != "RS256 ES256 none" {
			t.Errorf("advertised: %s", got)
		}
		// The realm stops being relaxed: what was registered does not outlive that.
		strict := newWorldIn(t, w.db, keyedRealm(t, open))
		strict.account = w.account
		strict.signIn(w.account)
		if head := header(t, strict.tokensOf(id, auth).get("id_token")); head["alg"] != "RS256" {
			t.Errorf("%v", head)
		}
	}, relaxed)
}

func TestATokenIsForTheResourcesThatWereAskedFor(t *testing.T) {
	keyed(t, func(t *testing.T, w *world) {
		const other = "https://other.example.test"
		ctx := context.Background()
		w.signIn(w.account)
		aud := func(r reply) string {
			switch v := claims(t, r.get("access_token"))["aud"].(type) {
			case string:
				return v
			case []any:
				var out []string
				for _, one := range v {
					out = append(out, one.(string))
				}
				return strings.Join(out, " ")
			}
			return ""
		}
		ask := func(resources ...string) url.Values {
			form := request("signer")
			form["resource"] = resources
			return form
		}
		redeem := func(form url.Values, resources ...string) reply {
			t.Helper()
			code := w.answered(w.authorize(form), form).Get("code")
			sent := exchange("signer", code)
			if resources != nil {
				sent["resource"] = resources
			}
			return w.withAssertion(ctx, "/oauth/token", w.assertion("signer"), sent)
		}
		if got := aud(redeem(ask(testAPI))); got != testAPI {
			t.Errorf("one resource: %q", got)
		}
		both := redeem(ask(testAPI, other))
		if got := aud(both); got != testAPI+" "+other {
			t.Errorf("two resources: %q", got)
		}
		if got := aud(redeem(ask(testAPI, other), other)); got != other {
			t.Errorf("narrowed at the exchange: %q", got)
		}
		refresh := func(token string, resources ...string) reply {
			return w.withAssertion(ctx, "/oauth/token", w.assertion("signer"), url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}, "resource": resources})
		}
		narrow := refresh(both.get("refresh_token"), testAPI)
		if got := aud(narrow); got != testAPI {
			t.Errorf("narrowed at the refresh: %q", got)
		}
		if got := aud(refresh(narrow.get("refresh_token"), testAPI, other)); got != testAPI+" "+other {
			t.Errorf("the grant keeps both: %q", got)
		}
		for _, bad := range []string{"https://unknown.example.test", "api", "/api", "https://api.example.test/admin#f", "https://api.example.test/admin#", testAPI + "/", "", "%"} {
			form := ask(bad)
			if q := w.answered(w.authorize(form), form); q.Get("error") != errInvalidTarget {
				t.Errorf("authorize %q: %v", bad, q)
			}
			w.expect("alone "+bad, w.withAssertion(ctx, "/oauth/token", w.assertion("signer"), url.Values{"grant_type": {"client_credentials"}, "resource": {bad}}), 400, errInvalidTarget)
		}
		form := ask(testAPI)
		code := w.answered(w.authorize(form), form).Get("code")
		sent := exchange("signer", code)
		sent["resource"] = []string{other}
		w.expect("more than was granted", w.withAssertion(ctx, "/oauth/token", w.assertion("signer"), sent), 400, errInvalidTarget)
		w.expect("burns no code", w.withAssertion(ctx, "/oauth/token", w.assertion("signer"), exchange("signer", code)), 200, "")
		if got := aud(w.withAssertion(ctx, "/oauth/token", w.assertion("signer"), url.Values{"grant_type": {"client_credentials"}, "resource": {other}})); got != other {
			t.Errorf("alone: %q", got)
		}
		if got := aud(redeem(request("signer"))); got != w.r.Issuer+" "+other {
			t.Errorf("without resource: %q", got)
		}
	})
}

func TestDiscoveryTellsTheTruthAboutClients(t *testing.T) {
	keyed(t, func(t *testing.T, w *world) {
		d := w.get("/.well-known/openid-configuration").JSON
		list := func(name string) string {
			var out []string
			values, _ := d[name].([]any)
			for _, v := range values {
				out = append(out, v.(string))
			}
			return strings.Join(out, " ")
		}
		for name, want := range map[string]string{
			"subject_types_supported":                          "public pairwise",
			"token_endpoint_auth_methods_supported":            "client_secret_basic client_secret_post private_key_jwt none",
			"introspection_endpoint_auth_methods_supported":    "client_secret_basic client_secret_post private_key_jwt",
			"token_endpoint_auth_signing_alg_values_supported": "PS256 ES256 EdDSA",
			"id_token_signing_alg_values_supported":            "RS256 ES256",
			"userinfo_signing_alg_values_supported":            "RS256 ES256",
		} {
			if got := list(name); got != want {
				t.Errorf("%s = %q, want %q", name, got, want)
			}
		}
		if d["registration_endpoint"] != w.r.Issuer+"/oauth/register" {
			t.Errorf("%v", d["registration_endpoint"])
		}
	}, open, func(p *realm.OAuthPolicy) { p.StrictAssertions = true })
}

func TestTheSignInPageLearnsTheClientsLogoAndTerms(t *testing.T) {
	keyed(t, func(t *testing.T, w *world) {
		id := w.register(map[string]any{"logo_uri": "https://rp.example.test/logo.png", "policy_uri": "https://rp.example.test/policy", "tos_uri": "https://rp.example.test/terms"}).get("client_id")
		page := w.authorize(request(id, "scope=openid"))
		if !strings.HasPrefix(page.Location(), w.r.Path+"/signin?flow=") {
			t.Fatalf("%d %s", page.Status, page.Location())
		}
		u, _ := url.Parse(page.Location())
		var request string
		if err := w.db.QueryRow(context.Background(), `SELECT request FROM interactions`).Scan(&request); err != nil {
			t.Fatal(err)
		}
		form, _ := url.ParseQuery(request)
		a, err := w.p.readAuthorization(context.Background(), w.r, form)
		if err != nil || a.client.LogoURI == "" || a.client.PolicyURI == "" || a.client.TermsURI == "" || u.Query().Get("flow") == "" {
			t.Errorf("%v %+v", err, a)
		}
	}, open)
}
