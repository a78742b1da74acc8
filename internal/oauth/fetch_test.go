package oauth

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"testing"
	"time"

	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/realm"
)

func byAddress(p *realm.OAuthPolicy) {
	open(p)
	p.Objects, p.RequestURIs = realm.ObjectsUnsigned, true
}

// unsignedObject is a request as an object without a signature.
func (w *world) unsignedObject(form url.Values, lives ...time.Duration) string {
	w.t.Helper()
	said := w.asObject(form)
	for _, life := range lives {
		said["exp"] = w.p.db.Now(w.t.Context()).Add(life).Unix()
	}
	inside, err := json.Marshal(said)
	if err != nil {
		w.t.Fatal(err)
	}
	return b64([]byte(`{"alg":"none"}`)) + "." + b64(inside) + "."
}

func hashOf(body string) string {
	sum := sha256.Sum256([]byte(body))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func TestBrowsersCannotMakeUsFetchAClientsObjectsWithoutEnd(t *testing.T) {
	keyed(t, func(t *testing.T, w *world) {
		w.signIn(w.account)
		s := w.publishes(true)
		id := w.register(map[string]any{"request_uris": []string{s.URL + "/object"}}).get("client_id")
		other := w.register(map[string]any{"request_uris": []string{s.URL + "/other"}}).get("client_id")
		w.agreeAll(id, "openid")
		w.agreeAll(other, "openid")
		s.set("/object", w.unsignedObject(request(id, "scope=openid")))
		s.set("/other", w.unsignedObject(request(other, "scope=openid")))
		ask := func(client, path string) string {
			form := request(client, "scope=openid", "request_uri="+s.URL+path)
			return w.answered(w.authorize(form), form).Get("error")
		}
		for i := range w.r.OAuth.FetchesPerMinute {
			if code := ask(id, "/object"); code != "" {
				t.Fatalf("%d: %s", i, code)
			}
		}
		for range 3 {
			if code := ask(id, "/object"); code != errUnavailable {
				t.Errorf("one too many: %q", code)
			}
		}
		if n := s.calls.Load(); n != int64(w.r.OAuth.FetchesPerMinute) {
			t.Errorf("%d calls", n)
		}
		if code := ask(other, "/other"); code != "" {
			t.Errorf("another client: %s", code)
		}
		dbtest.Advance(w.db, time.Minute+2*time.Second)
		if code := ask(id, "/object"); code != "" {
			t.Errorf("a minute later: %s", code)
		}
	}, byAddress, func(p *realm.OAuthPolicy) { p.FetchesPerMinute = 7 })
}

func TestAnObjectWhoseHashStandsInItsAddressIsFetchedOnce(t *testing.T) {
	keyed(t, func(t *testing.T, w *world) {
		w.signIn(w.account)
		s := w.publishes(true)
		// What the client registers has to be the whole address, so it registers first
		// and writes its objects for the name it is given.
		registered := w.register(nil)
		id := registered.get("client_id")
		w.agreeAll(id, "openid")
		object := w.unsignedObject(request(id, "scope=openid"), 15*time.Minute)
		named, stale := s.URL+"/named#"+hashOf(object), s.URL+"/stale#"+hashOf("what stood there once")
		w.expect("change", w.registration("PUT", registered.get("registration_client_uri"), registered.get("registration_access_token"),
			document(map[string]any{"client_id": id, "request_uris": []string{named, stale}})), 200, "")
		w.agreeAll(id, "openid")
		s.set("/named", object)
		s.set("/stale", object)
		fetched := func(uri string) int64 {
			before := s.calls.Load()
			form := request(id, "scope=openid", "request_uri="+uri)
			if q := w.answered(w.authorize(form), form); !q.Has("code") {
				t.Errorf("%s: %v", uri, q)
			}
			return s.calls.Load() - before
		}
		if n := fetched(named); n != 1 {
			t.Errorf("at first: %d calls", n)
		}
		s.set("/named", "somebody else writes here now")
		if n := fetched(named); n != 0 {
			t.Errorf("again: %d calls", n)
		}
		for range 2 { // the fragment is no hash of what stands there: nothing is kept
			if n := fetched(stale); n != 1 {
				t.Errorf("a hash of something else: %d calls", n)
			}
		}
		s.set("/named", object)
		dbtest.Advance(w.db, objectFreshFor)
		if n := fetched(named); n != 1 {
			t.Errorf("a while later: %d calls", n)
		}
		// What is kept is judged anew each time.
		dbtest.Advance(w.db, 6*time.Minute)
		form, before := request(id, "scope=openid", "request_uri="+named), s.calls.Load()
		if q := w.answered(w.authorize(form), form); q.Get("error") != errInvalidObject || s.calls.Load() != before {
			t.Errorf("expired meanwhile: %v, %d calls", q, s.calls.Load()-before)
		}
	}, byAddress)
}

func TestRememberedObjectsAreBounded(t *testing.T) {
	var o objects
	now := time.Now()
	for i := range 3 * maxObjects {
		o.keep(hashOf(string(rune('a'+i%26)))+string(rune(i+1000)), "x", now)
		if len(o.known) > maxObjects {
			t.Fatalf("%d kept", len(o.known))
		}
	}
	o.keep("a", "object", now)
	if raw, ok := o.find("a", now.Add(objectFreshFor-1)); !ok || raw != "object" {
		t.Error("forgotten")
	}
	if _, ok := o.find("a", now.Add(objectFreshFor)); ok {
		t.Error("kept for ever")
	}
	if _, ok := o.find("b", now); ok {
		t.Error("found what is not there")
	}
}

func TestAnAddressOfARequestObjectIsAPublicOne(t *testing.T) {
	keyed(t, func(t *testing.T, w *world) {
		for _, uri := range []string{"https://127.0.0.1/o", "https://10.0.0.1/o#x", "https://[::1]/o", "https://localhost/o", "https://169.254.169.254/latest#" + hashOf("x"),
			"http://rp.example.test/o", "https://user@rp.example.test/o", "/o", "javascript:alert(1)", "https://192.168.1.1/o", "https://a.localhost./o"} {
			w.expect(uri, w.registration("POST", "/oauth/register", "", document(map[string]any{"request_uris": []string{uri}})), 400, errClientMetadata)
		}
		for _, uri := range []string{"https://rp.example.test/o", "https://rp.example.test/o#" + hashOf("x"), "https://rp.example.test/o?a=b#v1"} {
			w.expect(uri, w.registration("POST", "/oauth/register", "", document(map[string]any{"request_uris": []string{uri}})), 201, "")
		}
	}, byAddress)
}
