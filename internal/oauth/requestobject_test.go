package oauth

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portico-id/portico/internal/oauth/clientkeys"
	"github.com/portico-id/portico/internal/realm"
)

func withObject(client, raw string) url.Values {
	return url.Values{"client_id": {client}, "request": {raw}}
}

func TestASignedRequestObjectIsTheWholeRequest(t *testing.T) {
	eachIn(t, nil, []*realm.Client{signer(t, nil)}, func(t *testing.T, w *world) {
		w.signIn(w.account)
		claimsOf := w.asObject(request("signer", "scope=openid"))
		claimsOf["max_age"] = 3600 // as a number, and as an object
		claimsOf["claims"] = map[string]any{"userinfo": map[string]any{"email": map[string]any{"essential": true}}}
		raw := w.signObject(claimsOf)
		// What stands outside counts for nothing, without the scope openid too.
		form := withObject("signer", raw)
		for name, value := range map[string]string{"redirect_uri": "https://evil.example.test/", "scope": "email profile", "nonce": "evil", "state": "evil", "prompt": "login"} {
			form.Set(name, value)
		}
		for _, sent := range []url.Values{withObject("signer", raw), form} {
			q := w.answered(w.authorize(sent), request("signer"))
			r := w.redeem("signer", q.Get("code"))
			if r.Status != http.StatusOK || claims(t, r.get("id_token"))["nonce"] != "n" || r.get("scope") != "openid" {
				t.Fatalf("%s", r.Body)
			}
			if about := w.about(r.get("access_token")); about["email"] != "pat@example.test" || about["name"] != nil {
				t.Errorf("%v", about)
			}
		}
		// The number is read: an old sign-in is not good enough.
		claimsOf["max_age"] = 0
		flow := w.flowIn(w.authorize(withObject("signer", w.signObject(claimsOf))), "/signin")
		w.signIn(w.account)
		w.answered(w.resumeFlow(flow), request("signer"))
	})
}

func TestARequestObjectThatIsNotForUsIsRefusedWhereTheRequestSaysSo(t *testing.T) {
	eachIn(t, nil, []*realm.Client{signer(t, nil)}, func(t *testing.T, w *world) {
		w.signIn(w.account)
		good := w.asObject(request("signer"))
		for name, change := range map[string]func(map[string]any){
			"another audience":    func(c map[string]any) { c["aud"] = "https://other.example.test" },
			"another client":      func(c map[string]any) { c["client_id"] = "portal" },
			"another issuer":      func(c map[string]any) { c["iss"] = "portal" },
			"expired":             func(c map[string]any) { c["exp"] = time.Now().Add(-time.Hour).Unix() },
			"without end":         func(c map[string]any) { delete(c, "exp") },
			"a client assertion":  func(c map[string]any) { c["sub"] = "signer" },
			"with another inside": func(c map[string]any) { c["request"] = "x" },
			"null":                func(c map[string]any) { c["state"] = nil },
		} {
			claimsOf := map[string]any{}
			for k, v := range good {
				claimsOf[k] = v
			}
			change(claimsOf)
			raw := w.signObject(claimsOf)
			form := request("signer", "request="+raw)
			if q := w.answered(w.authorize(form), form); q.Get("error") != errInvalidObject || q.Has("code") {
				t.Errorf("%s: %v", name, q)
			}
			// Without a way back outside there is a page: that inside is not believed.
			if page := w.authorize(withObject("signer", raw)); page.Status != http.StatusBadRequest || page.Location() != "" {
				t.Errorf("%s: %d %s", name, page.Status, page.Location())
			}
		}
		enc := base64.RawURLEncoding.EncodeToString
		payload, _ := json.Marshal(good)
		form := request("signer", "request="+enc([]byte(`{"alg":"none"}`))+"."+enc(payload)+".")
		if q := w.answered(w.authorize(form), form); q.Get("error") != errInvalidObject {
			t.Errorf("unsigned: %v", q)
		}
		form = request("portal", "request="+w.signObject(w.asObject(request("portal"))))
		if q := w.answered(w.authorize(form), form); q.Get("error") != errRequestUnsupported {
			t.Errorf("a client without keys: %v", q)
		}
		form = request("signer", "request="+w.signObject(good), "request_uri=https://rp.example.test/x")
		if q := w.answered(w.authorize(form), form); q.Get("error") != errInvalidRequest {
			t.Errorf("two sources: %v", q)
		}
		// What is wrong with the request itself goes where the object says.
		bad := w.asObject(request("signer", "scope=nonsense"))
		if q := w.answered(w.authorize(withObject("signer", w.signObject(bad))), request("signer")); q.Get("error") != errInvalidScope {
			t.Errorf("a bad scope: %v", q)
		}
		bad = w.asObject(request("signer", "redirect_uri=https://evil.example.test/"))
		if page := w.authorize(withObject("signer", w.signObject(bad))); page.Status != http.StatusBadRequest || page.Location() != "" {
			t.Errorf("a bad redirect URI: %d %s", page.Status, page.Location())
		}
	})
}

func TestTheRegisteredObjectAlgorithmIsHeldTo(t *testing.T) {
	c := signer(t, func(c *realm.Client) { c.RequestObjectAlg = "RS256" })
	eachIn(t, nil, []*realm.Client{c}, func(t *testing.T, w *world) {
		w.signIn(w.account)
		form := request("signer", "request="+w.signObject(w.asObject(request("signer"))))
		if q := w.answered(w.authorize(form), form); q.Get("error") != errInvalidObject {
			t.Errorf("%v", q)
		}
	})
}

func TestASignedObjectMayBePushedOrPosted(t *testing.T) {
	eachIn(t, nil, []*realm.Client{signer(t, nil)}, func(t *testing.T, w *world) {
		w.signIn(w.account)
		raw := w.signObject(w.asObject(request("signer")))
		r := w.push("signer", url.Values{"request": {raw}, "scope": {"nonsense"}, "redirect_uri": {"https://evil.example.test/"}})
		if r.Status != http.StatusCreated {
			t.Fatalf("%s", r.Body)
		}
		if q := w.answered(w.authorize(reference("signer", r.get("request_uri"))), request("signer")); q.Get("code") == "" {
			t.Errorf("%v", q)
		}
		page := w.Browser.Another().Post("/oauth/authorize", withObject("signer", raw))
		if page.Status != http.StatusSeeOther || !strings.Contains(page.Location(), "request=") {
			t.Fatalf("%d %s", page.Status, page.Location())
		}
		if q := w.answered(w.Get(page.Location()), request("signer")); q.Get("code") == "" {
			t.Errorf("%v", q)
		}
	})
}

func TestARelaxedRealmReadsUnsignedObjects(t *testing.T) {
	eachIn(t, func(p *realm.OAuthPolicy) { p.Objects = realm.ObjectsUnsigned }, []*realm.Client{signer(t, nil)}, func(t *testing.T, w *world) {
		w.signIn(w.account)
		object := map[string]any{}
		for name, value := range request("portal") {
			object[name] = value[0]
		}
		payload, _ := json.Marshal(object)
		enc := base64.RawURLEncoding.EncodeToString
		raw := enc([]byte(`{"alg":"none"}`)) + "." + enc(payload) + "."
		form := withObject("portal", raw)
		form.Set("redirect_uri", "https://rp.example.test/unknown") // takes precedence nowhere
		if q := w.answered(w.authorize(form), request("portal")); q.Get("code") == "" {
			t.Errorf("%v", q)
		}
		form = request("signer", "request="+raw)
		if q := w.answered(w.authorize(form), form); q.Get("error") != errInvalidObject {
			t.Errorf("of another client: %v", q)
		}
	})
}

func TestOnlyARegisteredAddressIsEverAskedForARequestObject(t *testing.T) {
	var calls atomic.Int64
	var object atomic.Value
	canary := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		raw, _ := object.Load().(string)
		if raw == "" {
			rw.WriteHeader(http.StatusNotFound)
			return
		}
		_, _ = rw.Write([]byte(raw))
	}))
	defer canary.Close()
	registered := canary.URL + "/object#v1"
	clients := []*realm.Client{signer(t, func(c *realm.Client) { c.RequestURIs = []string{registered} })}
	for name, change := range map[string]func(*realm.OAuthPolicy){
		"a secure realm": nil, "a realm that fetches": func(p *realm.OAuthPolicy) { p.RequestURIs = true },
		"a realm without objects": func(p *realm.OAuthPolicy) { p.RequestURIs, p.Objects = true, realm.ObjectsRefused },
	} {
		t.Run(name, func(t *testing.T) {
			eachIn(t, change, clients, func(t *testing.T, w *world) {
				w.exempt(canary)
				w.signIn(w.account)
				object.Store(w.signObject(w.asObject(request("signer"))))
				calls.Store(0)
				for _, uri := range []string{canary.URL + "/object", canary.URL + "/object#v2", canary.URL + "/other", registered + "x", "http" + strings.TrimPrefix(registered, "https")} {
					form := request("signer", "request_uri="+uri)
					if q := w.answered(w.authorize(form), form); q.Get("error") != errInvalidRequestURI && q.Get("error") != errRequestURI || q.Has("code") {
						t.Errorf("%s: %v", uri, q)
					}
				}
				if calls.Load() != 0 {
					t.Errorf("%d calls for addresses that are not registered", calls.Load())
				}
				form := request("signer", "request_uri="+registered, "scope=email", "-redirect_uri")
				page := w.authorize(form)
				if name != "a realm that fetches" {
					if page.Location() != "" || calls.Load() != 0 {
						t.Errorf("%d calls, %s", calls.Load(), page.Location())
					}
					return
				}
				if q := w.answered(page, request("signer")); q.Get("code") == "" || calls.Load() != 1 {
					t.Errorf("%d calls, %v", calls.Load(), q)
				}
				object.Store("")
				form = request("signer", "request_uri="+registered)
				if q := w.answered(w.authorize(form), form); q.Get("error") != errInvalidRequestURI {
					t.Errorf("nothing there: %v", q)
				}
			})
		})
	}
}

func TestNobodyIsAskedForKeysBecauseABrowserBringsAnObject(t *testing.T) {
	var calls atomic.Int64
	set := clientKeySet(t)
	canary := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		_, _ = rw.Write(set)
	}))
	defer canary.Close()
	c := signer(t, func(c *realm.Client) { c.JWKS, c.JWKSURI = nil, canary.URL+"/keys" })
	eachIn(t, nil, []*realm.Client{c}, func(t *testing.T, w *world) {
		w.exempt(canary)
		w.p.keysOf = clientkeys.New(documents{w.p.outbound})
		w.signIn(w.account)
		calls.Store(0)
		raw := w.signObject(w.asObject(request("signer")))
		form := request("signer", "request="+raw)
		if q := w.answered(w.authorize(form), form); q.Get("error") != errRequestUnsupported || calls.Load() != 0 {
			t.Errorf("%d calls, %v", calls.Load(), q)
		}
		// The client itself may bring it: it proved who it is.
		r := w.push("signer", url.Values{"request": {raw}})
		if r.Status != http.StatusCreated || calls.Load() != 1 {
			t.Fatalf("%d calls, %s", calls.Load(), r.Body)
		}
		// From then on its keys are known.
		if q := w.answered(w.authorize(form), form); q.Get("code") == "" || calls.Load() != 1 {
			t.Errorf("%d calls, %v", calls.Load(), q)
		}
	})
}
