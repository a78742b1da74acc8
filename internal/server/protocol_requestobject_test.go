package server_test

import (
	"maps"
	"net/http"
	"net/url"
	"testing"
	"time"
)

// asObject is a request as the claims of an object.
func (s *suite) asObject(q url.Values) map[string]any {
	claims := map[string]any{"iss": q.Get("client_id"), "aud": s.issuer("conformance"), "exp": time.Now().Add(5 * time.Minute).Unix(), "nbf": time.Now().Unix()}
	for name := range q {
		claims[name] = q.Get(name)
	}
	return claims
}

// outside is what has to stand beside an object (OpenID Connect Core §6.1).
func outside(q url.Values, name, value string) url.Values {
	return url.Values{"client_id": {q.Get("client_id")}, "redirect_uri": {q.Get("redirect_uri")}, "response_type": {q.Get("response_type")}, "scope": {"openid"}, name: {value}}
}

func TestProtocolRequestObjectsSayAllThereIsToSay(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		client := s.register(t, map[string]any{"jwks": keySet("object"), "response_types": []string{"code", "code id_token"}, "grant_types": []string{"authorization_code", "implicit"}})
		b := s.known(t)
		fresh := func() url.Values {
			return s.request(client.get("client_id"), "redirect_uri", registeredAt, "nonce", "inside", "state", "inside")
		}
		if o := s.walk(b, fresh()); o.get("code") == "" { // consent, once
			t.Fatalf("%s %v", o.mode, o.values)
		}
		for _, c := range []struct {
			what    string
			object  func(map[string]any) string
			outside map[string]string
			code    string // "": answered
		}{
			{"not signed", func(m map[string]any) string { return unsigned(t, m) }, nil, ""},
			{"not signed, with nothing but what the plan sends", func(m map[string]any) string {
				return unsigned(t, without(m, "exp", "nbf", "iss", "aud"))
			}, nil, ""},
			{"signed", func(m map[string]any) string { return signedBy(t, "object", m) }, nil, ""},
			{"other parameters outside", func(m map[string]any) string { return signedBy(t, "object", m) },
				map[string]string{"state": "outside", "nonce": "outside", "prompt": "login"}, ""},
			{"a number as max_age", func(m map[string]any) string {
				m["max_age"] = 3600
				return signedBy(t, "object", m)
			}, nil, ""},
			{"an object as claims", func(m map[string]any) string {
				m["claims"] = map[string]any{"userinfo": map[string]any{"name": nil}}
				return signedBy(t, "object", without(m, "prompt"))
			}, nil, ""},
			{"a signature of somebody else", func(m map[string]any) string { return signedBy(t, "stranger", m) }, nil, "invalid_request_object"},
			{"expired", func(m map[string]any) string {
				m["exp"] = time.Now().Add(-10 * time.Minute).Unix()
				return signedBy(t, "object", m)
			}, nil, "invalid_request_object"},
			{"of tomorrow", func(m map[string]any) string {
				m["nbf"] = time.Now().Add(10 * time.Minute).Unix()
				return signedBy(t, "object", m)
			}, nil, "invalid_request_object"},
			{"for another issuer", func(m map[string]any) string {
				m["aud"] = "https://other.example.test/"
				return signedBy(t, "object", m)
			}, nil, "invalid_request_object"},
			{"of another client", func(m map[string]any) string {
				m["client_id"], m["iss"] = "conformance-1", "conformance-1"
				return signedBy(t, "object", m)
			}, nil, "invalid_request_object"},
			{"with a signature cut off", func(m map[string]any) string {
				raw := signedBy(t, "object", m)
				before, _, _ := cutLast(raw, ".")
				return before + "."
			}, nil, "invalid_request_object"},
			{"no object at all", func(map[string]any) string { return "x" }, nil, "invalid_request_object"},
		} {
			t.Run(c.what, func(t *testing.T) {
				q := fresh()
				sent := outside(q, "request", c.object(s.asObject(q)))
				for name, value := range c.outside {
					sent.Set(name, value)
				}
				o := s.walk(b.tab(), sent)
				if o.to != registeredAt || o.get("error") != c.code || (o.get("code") != "") != (c.code == "") {
					t.Fatalf("%s to %q: %v %s", o.mode, o.to, o.values, o.page.h1())
				}
				if c.code == "" && o.get("state") != "inside" {
					t.Errorf("state %q", o.get("state"))
				}
			})
		}
		// The redirect URI of an object is held to what is registered, and then
		// nobody is told.
		q := fresh()
		q.Set("redirect_uri", "https://evil.example.test/")
		if o := s.ask(b.tab(), outside(q, "request", unsigned(t, s.asObject(q)))); o.mode != "page" || o.page.status != http.StatusBadRequest {
			t.Errorf("redirect URI inside: %s to %q", o.mode, o.to)
		}
		// A realm that relaxes nothing wants a signature.
		q = s.request("conformance-1")
		claims := s.asObject(q)
		claims["aud"] = s.issuer("strict")
		tab := b.tab()
		if o := s.outcome(tab, tab.open(s.issuer("strict")+"/oauth/authorize?"+outside(q, "request", unsigned(t, claims)).Encode())); o.get("error") == "" || o.values.Has("code") {
			t.Errorf("unsigned in a strict realm: %s %v", o.mode, o.values)
		}
	})
}

func without(m map[string]any, names ...string) map[string]any {
	m = maps.Clone(m)
	for _, name := range names {
		delete(m, name)
	}
	return m
}

func TestProtocolRequestObjectsAreFetchedFromRegisteredAddressesOnly(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		first, second, broken, never := s.site.publish(""), s.site.publish(""), s.site.publish("nothing"), s.site.publish("")
		client := s.register(t, map[string]any{"jwks": keySet("object"), "request_uris": []string{first + "#v1", second, broken}})
		b := s.known(t)
		q := s.request(client.get("client_id"), "redirect_uri", registeredAt, "state", "inside")
		s.walk(b, q)
		s.site.set(first, unsigned(t, s.asObject(q)))
		s.site.set(second, signedBy(t, "object", s.asObject(q)))
		s.site.set(never, unsigned(t, s.asObject(q)))
		for _, c := range []struct{ what, uri, code string }{
			{"unsigned, at an address with a fragment", first + "#v1", ""}, {"signed", second, ""},
			{"what is there is no object", broken, "invalid_request_object"},
			{"an address that is not registered", never, "invalid_request_uri"},
			{"the same address with another fragment", first + "#v2", "invalid_request_uri"},
			{"a pushed request that nobody pushed", "urn:ietf:params:oauth:request_uri:" + randomText(32), "invalid_request_uri"},
		} {
			before := len(s.site.asked(c.uri))
			o := s.ask(b.tab(), outside(q, "request_uri", c.uri))
			if o.to != registeredAt || o.get("error") != c.code || (o.get("code") != "") != (c.code == "") || c.code == "" && o.get("state") != "inside" {
				t.Errorf("%s: %s to %q: %v", c.what, o.mode, o.to, o.values)
			}
			if c.code == "invalid_request_uri" && len(s.site.asked(c.uri)) != before {
				t.Errorf("%s: somebody was asked", c.what)
			}
		}
		if len(s.site.asked(never)) != 0 {
			t.Error("an address that is not registered was asked")
		}
		// A realm without request URIs asks nobody at all.
		tab := b.tab()
		o := s.outcome(tab, tab.open(s.issuer("strict")+"/oauth/authorize?"+outside(s.request("conformance-1"), "request_uri", never).Encode()))
		if o.get("error") != "request_uri_not_supported" || len(s.site.asked(never)) != 0 {
			t.Errorf("strict realm: %s %v", o.mode, o.values)
		}
	})
}
