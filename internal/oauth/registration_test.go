package oauth

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/oauth/clientkeys"
	"github.com/portico-id/portico/internal/outbound"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/secret"
)

// site is what a client publishes, on this machine and therefore exempt.
type site struct {
	*httptest.Server
	mu    sync.Mutex
	pages map[string]string
	calls atomic.Int64
}

func (s *site) set(path, body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pages[path] = body
}

// publishes gives the client of a test a site that the provider may call.
func (w *world) publishes(exempt bool) *site {
	w.t.Helper()
	s := &site{pages: map[string]string{}}
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, req *http.Request) {
		s.calls.Add(1)
		s.mu.Lock()
		body, ok := s.pages[req.URL.Path]
		s.mu.Unlock()
		if target, moved := strings.CutPrefix(body, "-> "); moved {
			http.Redirect(rw, req, target, http.StatusFound)
			return
		}
		if !ok {
			http.NotFound(rw, req)
			return
		}
		_, _ = rw.Write([]byte(body))
	}))
	w.t.Cleanup(s.Close)
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	o := outbound.Options{RootCAs: &tls.Config{RootCAs: pool}}
	if exempt {
		o.Exempt = []string{s.Listener.Addr().String()}
	}
	w.p.outbound = outbound.New(o)
	w.p.keysOf = clientkeys.New(documents{w.p.outbound})
	return s
}

// open lets anybody register, and errors go to the client without a page in
// between; see strangers_test.go for realms where they do not.
func open(p *realm.OAuthPolicy) {
	p.Registration.Mode, p.Registration.TrustRedirects = realm.RegistrationOpen, true
	p.Registration.PerNetworkPerHour, p.Registration.PerRealmPerHour = 1000, 1000
}

// document is a registration that is accepted, with changes; nil removes.
func document(changes map[string]any) string {
	m := map[string]any{"redirect_uris": []string{testRedirect}, "client_name": "Growth Diary"}
	for name, value := range changes {
		if value == nil {
			delete(m, name)
		} else {
			m[name] = value
		}
	}
	raw, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return string(raw)
}

func (w *world) registration(method, path, token, body string) reply {
	w.t.Helper()
	h := http.Header{"Content-Type": {"application/json"}}
	if token != "" {
		h.Set("Authorization", "Bearer "+token)
	}
	return w.do(context.Background(), method, strings.TrimPrefix(path, w.r.Issuer), h, body)
}

func (w *world) register(changes map[string]any) reply {
	w.t.Helper()
	r := w.registration("POST", "/oauth/register", "", document(changes))
	if r.Status != 201 {
		w.t.Fatalf("registration: %d %s", r.Status, r.Body)
	}
	return r
}

func TestAClientRegistersAndSignsPeopleIn(t *testing.T) {
	keyed(t, func(t *testing.T, w *world) {
		r := w.register(map[string]any{"logo_uri": "https://rp.example.test/logo.png", "unknown_member": []int{1}, "grant_types": []string{"authorization_code", "refresh_token"}})
		id, secretText := r.get("client_id"), r.get("client_secret")
		if len(secretText) < 43 || r.JSON["client_secret_expires_at"] != 0.0 || r.get("registration_client_uri") != w.r.Issuer+"/oauth/register/"+id ||
			r.get("registration_access_token") == "" || r.JSON["client_id_issued_at"] == nil || r.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%v %s", r.Header, r.Body)
		}
		for name, want := range map[string]string{"token_endpoint_auth_method": "client_secret_basic", "id_token_signed_response_alg": "RS256",
			"subject_type": "public", "application_type": "web", "client_name": "Growth Diary", "logo_uri": "https://rp.example.test/logo.png"} {
			if r.get(name) != want {
				t.Errorf("%s = %q", name, r.get(name))
			}
		}
		if r.JSON["unknown_member"] != nil {
			t.Error("what is not known is not registered")
		}
		got := w.registration("GET", r.get("registration_client_uri"), r.get("registration_access_token"), "")
		if got.Status != 200 || got.get("client_id") != id || got.get("registration_access_token") == "" || got.get("client_secret") != "" {
			t.Errorf("read: %d %s", got.Status, got.Body)
		}

		s := w.signIn(w.account)
		w.exec(`INSERT INTO consents (realm, account_id, client_id, scopes, granted_at) VALUES ($1, $2, $3, 'offline_access openid', $4)`,
			w.r.Name, w.account, id, w.db.Now(context.Background()))
		if s.AccountID != w.account {
			t.Fatal("session of another account")
		}
		form := exchange("third", w.code(id))
		auth := http.Header{"Authorization": {basic(id, secretText)}}
		w.expect("the secret in the body", w.do(context.Background(), "POST", "/oauth/token", nil, form.Encode()+"&client_id="+id+"&client_secret="+secretText), 401, errInvalidClient)
		tokens := w.do(context.Background(), "POST", "/oauth/token", auth, form.Encode())
		w.expect("exchange", tokens, 200, "")
		if !w.alive(tokens.get("access_token")) {
			t.Error("userinfo refuses")
		}

		// Warm, everything stays within two round trips.
		count := func(name string, most int, fn func(ctx context.Context) reply) reply {
			t.Helper()
			ctx, trips := dbtest.CountTrips(context.Background())
			r := fn(ctx)
			w.expect(name, r, 200, "")
			if n := trips.Trips(); n > most {
				t.Errorf("%s: %d round trips, want %d at most", name, n, most)
			}
			return r
		}
		code := w.code(id)
		tokens = count("exchange", 2, func(ctx context.Context) reply {
			return w.do(ctx, "POST", "/oauth/token", auth, exchange("third", code).Encode())
		})
		tokens = count("refresh", 2, func(ctx context.Context) reply {
			return w.do(ctx, "POST", "/oauth/token", auth, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tokens.get("refresh_token")}}.Encode())
		})
		count("userinfo", 1, func(ctx context.Context) reply {
			return w.do(ctx, "GET", "/oauth/userinfo", http.Header{"Authorization": {"Bearer " + tokens.get("access_token")}}, "")
		})
		count("introspection", 2, func(ctx context.Context) reply {
			return w.do(ctx, "POST", "/oauth/introspect", auth, "token="+tokens.get("access_token"))
		})
	}, open)
}

func TestADeletedClientIsGoneOnEveryReplicaAtOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		r := keyedRealm(t, open)
		w := newWorldIn(t, db, r)
		w.account = w.newAccount("pat@example.test")
		w.signIn(w.account)
		other := newWorldIn(t, db, r) // a second replica
		c := w.register(map[string]any{"grant_types": []string{"authorization_code", "refresh_token", "client_credentials"}})
		id, auth := c.get("client_id"), http.Header{"Authorization": {basic(c.get("client_id"), c.get("client_secret"))}}
		w.exec(`INSERT INTO consents (realm, account_id, client_id, scopes, granted_at) VALUES ($1, $2, $3, 'offline_access openid', $4)`,
			w.r.Name, w.account, id, w.db.Now(context.Background()))
		first, second := w.code(id), w.code(id)
		tokens := other.do(context.Background(), "POST", "/oauth/token", auth, exchange("third", first).Encode())
		other.expect("before", tokens, 200, "")
		if !other.alive(tokens.get("access_token")) || !w.alive(tokens.get("access_token")) {
			t.Fatal("userinfo refuses")
		}
		// The secret is taken away by a change of method; the other replica remembers the old client.
		changed := w.registration("PUT", c.get("registration_client_uri"), c.get("registration_access_token"), document(map[string]any{
			"client_id": id, "token_endpoint_auth_method": "client_secret_post", "grant_types": []string{"authorization_code", "refresh_token", "client_credentials"}}))
		w.expect("change", changed, 200, "")
		other.expect("the old method", other.do(context.Background(), "POST", "/oauth/token", auth, exchange("third", second).Encode()), 401, errInvalidClient)
		form := exchange("third", second, "client_id="+id, "client_secret="+c.get("client_secret"))
		other.expect("the new method, the same secret", other.do(context.Background(), "POST", "/oauth/token", nil, form.Encode()), 200, "")

		if gone := w.registration("DELETE", c.get("registration_client_uri"), c.get("registration_access_token"), ""); gone.Status != 204 || gone.Body != "" {
			t.Fatalf("delete: %d %s", gone.Status, gone.Body)
		}
		secretForm := func(v url.Values) string {
			v.Set("client_id", id)
			v.Set("client_secret", c.get("client_secret"))
			return v.Encode()
		}
		for name, replica := range map[string]*world{"here": w, "there": other} {
			if replica.alive(tokens.get("access_token")) {
				t.Errorf("%s: the access token lives", name)
			}
			replica.expect(name+": refresh", replica.do(context.Background(), "POST", "/oauth/token", nil, secretForm(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tokens.get("refresh_token")}})), 401, errInvalidClient)
			replica.expect(name+": alone", replica.do(context.Background(), "POST", "/oauth/token", nil, secretForm(url.Values{"grant_type": {"client_credentials"}})), 401, errInvalidClient)
			replica.expect(name+": alone, with a code", replica.do(context.Background(), "POST", "/oauth/token", nil, secretForm(url.Values{"grant_type": {"client_credentials"}, "code": {"x"}, "refresh_token": {"x"}})), 401, errInvalidClient)
			replica.expect(name+": registration", replica.registration("GET", c.get("registration_client_uri"), c.get("registration_access_token"), ""), 401, errInvalidToken)
			if page := replica.authorize(request(id)); page.Status != 400 || page.Location() != "" {
				t.Errorf("%s: authorization: %d %s", name, page.Status, page.Location())
			}
		}
	})
}

func TestWhatWouldHurtLaterIsRefusedAtRegistration(t *testing.T) {
	keyed(t, func(t *testing.T, w *world) {
		s := w.publishes(false)
		private := s.URL + "/x"
		keys := clientKeysOnce()
		privateKey, _ := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: keys["ES256"].key, KeyID: "x"}}})
		symmetric := json.RawMessage(`{"keys":[{"kty":"oct","k":"AAAA"}]}`)
		var good json.RawMessage = jwksOf(keys["ES256"])
		for _, uri := range []string{
			"", "callback", "/callback", "//rp.example.test/cb", "http://rp.example.test/cb", "https://rp.example.test/cb#", "https://rp.example.test/cb#f",
			"https://user@rp.example.test/cb", "https:rp.example.test", "https:///cb", "HTTPS://rp.example.test/cb", "javascript:alert(1)", "JavaScript:alert(1)",
			"data:text/html,x", "file:///etc/passwd", "https://*.example.test/cb", "https://rp.example.test/a/../cb", "https://rp.example.test/%2e%2e/cb",
			"https://rp.example.test/c b", "https://rp.example.test\\@evil.example.test/", "https://rp.example.test/\u00e9", "http://127.0.0.1/cb", "http://localhost/cb",
			"com.example.app:/cb", "urn:ietf:wg:oauth:2.0:oob", "https://rp.example.test/" + strings.Repeat("a", 3000), "\x00https://rp.example.test/",
		} {
			w.expect("redirect "+uri, w.registration("POST", "/oauth/register", "", document(map[string]any{"redirect_uris": []string{testRedirect, uri}})), 400, errRedirectURI)
			w.expect("post-logout "+uri, w.registration("POST", "/oauth/register", "", document(map[string]any{"post_logout_redirect_uris": []string{uri}})), 400, errClientMetadata)
		}
		w.expect("no redirect", w.registration("POST", "/oauth/register", "", document(map[string]any{"redirect_uris": nil})), 400, errRedirectURI)
		for name, changes := range map[string]map[string]any{
			"implicit":             {"response_types": []string{"id_token"}},
			"a made-up type":       {"response_types": []string{"code magic"}},
			"password grant":       {"grant_types": []string{"password"}},
			"implicit grant":       {"grant_types": []string{"authorization_code", "implicit"}},
			"grants that misfit":   {"response_types": []string{"code"}, "grant_types": []string{"client_credentials"}},
			"a public service":     {"grant_types": []string{"client_credentials"}, "response_types": []string{}, "token_endpoint_auth_method": "none"},
			"refresh alone":        {"grant_types": []string{"refresh_token"}, "redirect_uris": nil},
			"client_secret_jwt":    {"token_endpoint_auth_method": "client_secret_jwt"},
			"key without keys":     {"token_endpoint_auth_method": "private_key_jwt"},
			"two sets of keys":     {"jwks": good, "jwks_uri": "https://rp.example.test/jwks"},
			"a private key":        {"jwks": json.RawMessage(privateKey)},
			"a symmetric key":      {"jwks": symmetric},
			"an empty set":         {"jwks": json.RawMessage(`{"keys":[]}`)},
			"keys over http":       {"jwks_uri": "http://rp.example.test/jwks"},
			"keys of this machine": {"jwks_uri": private},
			"keys of the network":  {"jwks_uri": "https://10.0.0.1/jwks"},
			"keys of the cloud":    {"jwks_uri": "https://169.254.169.254/latest"},
			"file of keys":         {"jwks_uri": "file:///etc/passwd"},
			"HMAC assertions":      {"jwks": good, "token_endpoint_auth_method": "private_key_jwt", "token_endpoint_auth_signing_alg": "HS256"},
			"unsigned assertions":  {"jwks": good, "token_endpoint_auth_method": "private_key_jwt", "token_endpoint_auth_signing_alg": "none"},
			"unsigned ID tokens":   {"id_token_signed_response_alg": "none"},
			"HMAC ID tokens":       {"id_token_signed_response_alg": "HS256"},
			"encrypted ID tokens":  {"id_token_encrypted_response_alg": "RSA-OAEP"},
			"unsigned userinfo":    {"userinfo_signed_response_alg": "none"},
			"unsigned objects":     {"request_object_signing_alg": "none"},
			"bound tokens":         {"dpop_bound_access_tokens": true},
			"http logo":            {"logo_uri": "http://rp.example.test/logo"},
			"script logo":          {"logo_uri": "javascript:alert(1)"},
			"data logo":            {"logo_uri": "data:image/svg+xml,x"},
			"script policy":        {"policy_uri": "javascript:alert(1)"},
			"quoted terms":         {"tos_uri": "https://rp.example.test/\"><script>"},
			"http login":           {"initiate_login_uri": "http://rp.example.test/login"},
			"http request":         {"request_uris": []string{"http://rp.example.test/request"}},
			"http logout":          {"backchannel_logout_uri": "http://rp.example.test/logout"},
			"private logout":       {"backchannel_logout_uri": "https://192.168.0.1/logout"},
			"foreign frame":        {"frontchannel_logout_uri": "https://other.example.test/logout"},
			"a subject type":       {"subject_type": "secret"},
			"many hosts, pairwise": {"subject_type": "pairwise", "redirect_uris": []string{testRedirect, "https://other.example.test/cb"}},
			"private sector":       {"sector_identifier_uri": private},
			"http sector":          {"sector_identifier_uri": "http://rp.example.test/sector"},
			"scope of the API":     {"scope": "openid admin.manage"},
			"unknown scope":        {"scope": "openid everything"},
			"negative age":         {"default_max_age": -1},
			"hidden letters":       {"client_name": "Portal\u202e"},
			"control letters":      {"client_name": "a\nb"},
			"long name":            {"client_name": strings.Repeat("x", 201)},
			"wrong type":           {"client_name": 7},
			"wrong list":           {"redirect_uris": testRedirect},
		} {
			w.expect(name, w.registration("POST", "/oauth/register", "", document(changes)), 400, errClientMetadata)
		}
		for name, body := range map[string]string{"empty": "", "list": "[]", "text": `"x"`, "cut off": `{"redirect_uris":`, "twice": `{"redirect_uris":["` + testRedirect + `"],"client_name":"a","client_name":"b"}`} {
			w.expect(name, w.registration("POST", "/oauth/register", "", body), 400, errClientMetadata)
		}
		w.expect("a form", w.do(context.Background(), "POST", "/oauth/register", http.Header{"Content-Type": {contentTypeForm}}, "client_name=x"), 400, errClientMetadata)
		if r := w.registration("POST", "/oauth/register", "", `{"client_name":"`+strings.Repeat("x", 70<<10)+`"}`); r.Status != 413 {
			t.Errorf("a large body: %d", r.Status)
		}
		if s.calls.Load() != 0 {
			t.Errorf("%d calls to a private address", s.calls.Load())
		}
		if n := w.count(`SELECT count(*) FROM registered_clients`); n != 0 {
			t.Errorf("%d were registered", n)
		}
		for name, changes := range map[string]map[string]any{
			"native":    {"application_type": "native", "token_endpoint_auth_method": "none", "redirect_uris": []string{"com.example.app:/cb", "http://127.0.0.1/cb", "http://[::1]:7/cb", "https://app.example.test/cb"}},
			"query":     {"redirect_uris": []string{"https://rp.example.test/cb?x=1"}},
			"login":     {"initiate_login_uri": "https://rp.example.test/login"},
			"everyone":  {"logo_uri": "https://rp.example.test/l", "policy_uri": "https://rp.example.test/p", "tos_uri": "https://rp.example.test/t", "contacts": []string{"dev@example.test"}},
			"key":       {"jwks": good, "token_endpoint_auth_method": "private_key_jwt", "token_endpoint_auth_signing_alg": "ES256"},
			"nulls":     {"jwks": json.RawMessage("null"), "client_name": json.RawMessage("null")},
			"logout":    {"backchannel_logout_uri": "https://rp.example.test/bc", "frontchannel_logout_uri": "https://rp.example.test/fc", "post_logout_redirect_uris": []string{"https://rp.example.test/bye"}},
			"services":  {"grant_types": []string{"client_credentials"}, "redirect_uris": nil},
			"localised": {"client_name#es": "Tablas"},
		} {
			r := w.register(changes)
			if got := w.registration("GET", r.get("registration_client_uri"), r.get("registration_access_token"), ""); got.get("initiate_login_uri") != r.get("initiate_login_uri") {
				t.Errorf("%s: %s", name, got.Body)
			}
			if (r.get("client_secret") == "") != (r.get("token_endpoint_auth_method") == "none" || r.get("token_endpoint_auth_method") == "private_key_jwt") ||
				(r.get("client_secret") == "") != (r.JSON["client_secret_expires_at"] == nil) {
				t.Errorf("%s: %s", name, r.Body)
			}
		}
	}, open)
}

func TestARegistrationIsItsClientsOwn(t *testing.T) {
	keyed(t, func(t *testing.T, w *world) {
		a, b := w.register(nil), w.register(nil)
		uri, tok := a.get("registration_client_uri"), a.get("registration_access_token")
		for name, token := range map[string]string{"none": "", "another's": b.get("registration_access_token"), "the secret": a.get("client_secret"), "garbage": "x"} {
			for _, method := range []string{"GET", "PUT", "DELETE"} {
				r := w.registration(method, uri, token, document(map[string]any{"client_id": a.get("client_id")}))
				w.expect(method+" "+name, r, 401, errInvalidToken)
				if !strings.HasPrefix(r.Header.Get("WWW-Authenticate"), "Bearer") {
					t.Errorf("%s %s: %q", method, name, r.Header.Get("WWW-Authenticate"))
				}
			}
		}
		w.expect("an unknown one", w.registration("GET", "/oauth/register/"+realm.RegisteredPrefix+strings.Repeat("A", 22), tok, ""), 401, errInvalidToken)
		w.expect("a configured one", w.registration("DELETE", "/oauth/register/portal", tok, ""), 401, errInvalidToken)
		w.expect("without its name", w.registration("PUT", uri, tok, document(nil)), 400, errClientMetadata)
		w.expect("as another", w.registration("PUT", uri, tok, document(map[string]any{"client_id": b.get("client_id")})), 400, errClientMetadata)
		w.expect("with a secret of its choice", w.registration("PUT", uri, tok, document(map[string]any{"client_id": a.get("client_id"), "client_secret": "x"})), 400, errClientMetadata)
		w.expect("with a bad URI", w.registration("PUT", uri, tok, document(map[string]any{"client_id": a.get("client_id"), "redirect_uris": []string{"javascript:x"}})), 400, errRedirectURI)
		r := w.registration("PUT", uri, tok, document(map[string]any{"client_id": a.get("client_id"), "client_secret": a.get("client_secret"), "client_name": nil}))
		w.expect("change", r, 200, "")
		if got := w.registration("GET", uri, tok, ""); got.get("client_name") != "" || got.get("client_secret") != "" {
			t.Errorf("what was left out is still there: %s", got.Body)
		}
		var dump strings.Builder
		rows, err := w.db.Query(context.Background(), `SELECT metadata FROM registered_clients`)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var m string
			if err := rows.Scan(&m); err != nil {
				t.Fatal(err)
			}
			dump.WriteString(m)
		}
		for _, canary := range []string{a.get("client_secret"), tok} {
			if strings.Contains(dump.String(), canary) || strings.Contains(w.log.String(), canary) {
				t.Error("a secret is stored or logged in the clear")
			}
		}
	}, open)
}

func TestOnlyWhoMayRegisters(t *testing.T) {
	initial := secret.NewToken().Reveal()
	byToken := func(p *realm.OAuthPolicy) {
		open(p)
		p.Registration.Mode, p.Registration.TokenHashes = realm.RegistrationToken, [][]byte{realm.HashSecret(initial)}
	}
	keyed(t, func(t *testing.T, w *world) {
		w.expect("no token", w.registration("POST", "/oauth/register", "", document(nil)), 401, errInvalidToken)
		w.expect("another token", w.registration("POST", "/oauth/register", secret.NewToken().Reveal(), document(nil)), 401, errInvalidToken)
		r := w.registration("POST", "/oauth/register", initial, document(nil))
		w.expect("the token", r, 201, "")
		w.expect("is not the client's", w.registration("GET", r.get("registration_client_uri"), initial, ""), 401, errInvalidToken)
	}, byToken)
	keyed(t, func(t *testing.T, w *world) {
		r := w.registration("POST", "/oauth/register", initial, document(nil))
		w.expect("off", r, 404, errAccessDenied)
		if d := w.get("/.well-known/openid-configuration"); d.JSON["registration_endpoint"] != nil {
			t.Error("advertised although it is off")
		}
		ctx, trips := dbtest.CountTrips(context.Background())
		w.do(ctx, "GET", "/oauth/authorize?client_id="+realm.RegisteredPrefix+strings.Repeat("A", 22), nil, "")
		if trips.Trips() != 0 {
			t.Error("an unknown client costs a query in a realm without registration")
		}
	})
	keyed(t, func(t *testing.T, w *world) {
		for range 3 {
			w.register(nil)
		}
		r := w.registration("POST", "/oauth/register", "", document(nil))
		w.expect("a flood", r, 429, errTooMany)
		if r.Header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
	}, open, func(p *realm.OAuthPolicy) { p.Registration.PerNetworkPerHour = 3 })
}
