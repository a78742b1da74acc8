package server_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portico-id/portico/internal/database/dbtest"
)

// Here stand the rows of OpenID Connect Core that the plans run once for each
// response type, in its own mode and by form_post.

// flows runs fn for every response type, in its own mode and by form_post.
func flows(t *testing.T, fn func(t *testing.T, kind, mode string)) {
	t.Helper()
	for _, kind := range responseTypes {
		for _, mode := range []string{"", "form_post"} {
			t.Run(strings.ReplaceAll(kind, " ", "+")+" "+mode, func(t *testing.T) { fn(t, kind, mode) })
		}
	}
}

// modeOf is where the answer to a response type belongs.
func modeOf(kind, mode string) string {
	switch {
	case mode != "":
		return mode
	case kind == "code":
		return "query"
	}
	return "fragment"
}

func bringsID(kind string) bool { return strings.Contains(kind, "id_token") }

// answers insists that a client got an answer, where it asked for it.
func (s *suite) answers(t *testing.T, what string, q url.Values, o outcome) {
	t.Helper()
	if want := modeOf(q.Get("response_type"), q.Get("response_mode")); o.mode != want || o.get("error") != "" ||
		o.get("iss") != s.issuer("conformance") || o.values.Has("state") != q.Has("state") || o.get("state") != q.Get("state") {
		t.Fatalf("%s: %s, want %s: %v %s", what, o.mode, want, o.values, o.page.says())
	}
}

// refuses insists that a client got an error, where it asked for the answer,
// and nothing else.
func (s *suite) refuses(t *testing.T, what string, q url.Values, o outcome, code string) {
	t.Helper()
	if want := modeOf(q.Get("response_type"), q.Get("response_mode")); o.mode != want || o.get("error") != code ||
		o.get("iss") != s.issuer("conformance") || o.get("state") != q.Get("state") || o.to != q.Get("redirect_uri") ||
		o.values.Has("code") || o.values.Has("id_token") || o.values.Has("access_token") || !o.values.Has("session_state") {
		t.Errorf("%s: %s to %q, want %s by %s: %v", what, o.mode, o.to, code, want, o.values)
	}
}

// received is all that came of a request, from both endpoints.
type received struct {
	ids     []map[string]any
	access  []string
	refresh string
}

func (s *suite) collect(t *testing.T, q url.Values, o outcome) (got received) {
	t.Helper()
	if o.values.Has("id_token") {
		id, _ := s.verified(t, o.get("id_token"))
		got.ids = append(got.ids, id)
	}
	if o.values.Has("access_token") {
		got.access = append(got.access, o.get("access_token"))
	}
	if o.values.Has("code") {
		r := s.post(t, q.Get("client_id"), s.secretOf(q.Get("client_id")), "/oauth/token", "grant_type", "authorization_code",
			"code", o.get("code"), "redirect_uri", q.Get("redirect_uri"))
		if r.status != http.StatusOK {
			t.Fatalf("exchange: %d %s", r.status, r.body)
		}
		id, _ := s.verified(t, r.get("id_token"))
		if id["at_hash"] != halfHash(r.get("access_token")) {
			t.Errorf("at_hash of the token endpoint: %v", id["at_hash"])
		}
		got.ids, got.access, got.refresh = append(got.ids, id), append(got.access, r.get("access_token")), r.get("refresh_token")
	}
	if len(got.ids) == 0 {
		t.Fatalf("no ID token at all: %v", o.values)
	}
	for _, id := range got.ids {
		if id["nonce"] != q.Get("nonce") || id["sub"] != got.ids[0]["sub"] || id["sid"] == nil || id["sid"] != got.ids[0]["sid"] || id["aud"] != q.Get("client_id") {
			t.Errorf("ID tokens of one sign-in differ: %v", got.ids)
		}
	}
	return got
}

func TestProtocolEveryResponseTypeTakesWhatCoreOffers(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		discovery := s.mustCall(t, http.MethodGet, s.at("/.well-known/openid-configuration"), nil, "")
		acr := texts(discovery.json["acr_values_supported"])
		own, _ := s.verified(t, s.tokens(t, s.known(t), s.request("conformance-1")).get("id_token"))
		hint := s.tokens(t, s.known(t), s.request("conformance-1")).get("id_token")
		flows(t, func(t *testing.T, kind, mode string) {
			for _, c := range []struct {
				what  string
				pairs []string
				check func(t *testing.T, got received)
			}{
				{"nothing more", nil, func(t *testing.T, got received) {
					for _, id := range got.ids {
						if id["name"] != nil || id["email"] != nil {
							t.Errorf("names in the ID token: %v", id)
						}
					}
				}},
				{"no state", []string{"state", ""}, nil},
				{"prompt none", []string{"prompt", "none"}, nil},
				{"parameters nobody knows", []string{"extra", "foobar", "audience", "x", "display", "touch"}, nil},
				{"wishes about the page", []string{"ui_locales", "se es-MX", "claims_locales", "se", "login_hint", samEmail}, nil},
				{"a query in the address", []string{"redirect_uri", exampleCallback + "?dummy1=lorem&dummy2=ipsum"}, nil},
				{"scopes nobody knows", []string{"scope", "openid everything https://evil.example.test/scope"}, func(t *testing.T, got received) {
					for _, access := range got.access {
						if r := s.userinfo(t, access); r.status != http.StatusOK || len(r.json) != 1 {
							t.Errorf("userinfo %s", r.body)
						}
					}
				}},
				{"acr values", []string{"acr_values", "urn:example:gold " + strings.Join(acr, " ")}, func(t *testing.T, got received) {
					for _, id := range got.ids {
						if have, _ := id["acr"].(string); !slices.Contains(acr, have) {
							t.Errorf("acr %v is not advertised", id["acr"])
						}
					}
				}},
				{"a max_age not reached", []string{"max_age", "10000"}, func(t *testing.T, got received) {
					for _, id := range got.ids {
						if at, ok := id["auth_time"].(float64); !ok || at > float64(time.Now().Unix()) {
							t.Errorf("auth_time %v", id["auth_time"])
						}
					}
				}},
				{"a hint of the same person", []string{"prompt", "none", "id_token_hint", hint}, func(t *testing.T, got received) {
					if got.ids[0]["sub"] != own["sub"] {
						t.Errorf("sub %v", got.ids[0]["sub"])
					}
				}},
				{"an email in the ID token", []string{"claims", `{"id_token":{"email":{"essential":true}}}`}, func(t *testing.T, got received) {
					for _, id := range got.ids {
						if id["email"] != robinEmail || id["name"] != nil {
							t.Errorf("email %v, name %v", id["email"], id["name"])
						}
					}
				}},
				{"a name in userinfo", []string{"claims", `{"userinfo":{"name":{"essential":true}}}`}, func(t *testing.T, got received) {
					for _, access := range got.access {
						if r := s.userinfo(t, access); r.get("name") != "Robin Avery" || r.json["email"] != nil || r.json["sub"] != got.ids[0]["sub"] {
							t.Errorf("userinfo %s", r.body)
						}
					}
				}},
				{"claims with their values, and with others", []string{"scope", "openid", "claims", `{"userinfo":{"name":{"value":"Robin Avery"},"nickname":{"value":"Sam"}},` +
					`"id_token":{"email":{"values":["x@example.test","` + robinEmail + `"]},"given_name":{"essential":true,"value":"Sam"},"sub":{"value":"` + own["sub"].(string) + `"}}}`}, func(t *testing.T, got received) {
					for _, access := range got.access {
						if r := s.userinfo(t, access); r.get("name") != "Robin Avery" || r.json["nickname"] != nil {
							t.Errorf("userinfo %s", r.body)
						}
					}
					for _, id := range got.ids {
						if id["email"] != robinEmail || id["given_name"] != nil || id["sub"] != own["sub"] {
							t.Errorf("email %v, given_name %v", id["email"], id["given_name"])
						}
					}
				}},
				{"a small page", []string{"display", "popup", "ui_locales", "es", "claims_locales", "es en"}, nil},
				{"all scopes", []string{"scope", everyScope}, func(t *testing.T, got received) {
					for _, access := range got.access {
						if r := s.userinfo(t, access); r.get("name") != "Robin Avery" || r.json["address"] == nil || r.json["phone_number"] == nil {
							t.Errorf("userinfo %s", r.body)
						}
					}
					for _, id := range got.ids {
						if alone := len(got.access) == 0; (id["name"] != nil) != alone || (id["address"] != nil) != alone {
							t.Errorf("claims of scopes in the ID token: %v", id)
						}
					}
				}},
				{"access without the person", []string{"scope", "openid offline_access", "prompt", "consent"}, func(t *testing.T, got received) {
					if (got.refresh != "") != strings.Contains(kind, "code") {
						t.Errorf("refresh token %q", got.refresh)
					}
				}},
			} {
				t.Run(c.what, func(t *testing.T) {
					q := s.request("conformance-1", append([]string{"response_type", kind, "response_mode", mode}, c.pairs...)...)
					o := s.walk(s.known(t), q)
					s.answers(t, c.what, q, o)
					if strings.Contains(q.Get("redirect_uri"), "?") && o.mode == "query" && o.get("dummy2") != "ipsum" {
						t.Errorf("the registered query is gone: %v", o.values)
					}
					for hash, value := range map[string]string{"at_hash": o.get("access_token"), "c_hash": o.get("code"), "s_hash": q.Get("state")} {
						if id := o.get("id_token"); id != "" {
							claims, _ := s.verified(t, id)
							if value == "" && claims[hash] != nil || value != "" && claims[hash] != halfHash(value) {
								t.Errorf("%s = %v", hash, claims[hash])
							}
						}
					}
					got := s.collect(t, q, o)
					if c.check != nil {
						c.check(t, got)
					}
				})
			}
			q, b := s.request("conformance-1", "response_type", kind, "response_mode", mode), s.known(t)
			s.answers(t, "by POST", q, s.outcome(b, b.follow(b.do(http.MethodPost, s.at("/oauth/authorize"), q, "cross-site"))))
		})
	})
}

func TestProtocolEveryResponseTypeHearsWhatIsWrongWhereItListens(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		sam := s.browser(t)
		p := s.throughAs(sam, sam.open(s.at("/oauth/authorize?"+s.request("conformance-1").Encode())), samEmail)
		hint := s.exchange(t, "conformance-1", s.outcome(sam, p).get("code")).get("id_token")
		if id, _ := s.verified(t, hint); id["sub"] == nil {
			t.Fatal("no hint of somebody else")
		}
		flows(t, func(t *testing.T, kind, mode string) {
			for _, c := range []struct {
				what, code string
				pairs      []string
			}{
				{"two prompts that exclude each other", "invalid_request", []string{"prompt", "none login"}},
				{"a prompt nobody knows", "invalid_request", []string{"prompt", "tea"}},
				{"a max_age that is no number", "invalid_request", []string{"max_age", "soon"}},
				{"a negative max_age", "invalid_request", []string{"max_age", "-1"}},
				{"a display nobody knows", "invalid_request", []string{"display", "hologram"}},
				{"claims that cannot be read", "invalid_request", []string{"claims", `{"userinfo":`}},
				{"a hint that is none", "invalid_request", []string{"id_token_hint", "x.y.z"}},
				{"a hint of somebody else, silently", "login_required", []string{"prompt", "none", "id_token_hint", hint}},
				{"a subject nobody has, silently", "login_required", []string{"prompt", "none", "claims", `{"id_token":{"sub":{"value":"nobody"}}}`}},
				{"an acr nobody reaches", "unmet_authentication_requirements", []string{"claims", `{"id_token":{"acr":{"essential":true,"values":["urn:example:gold","urn:example:mountain"]}}}`}},
				{"a sign-in too old, silently", "login_required", []string{"prompt", "none", "max_age", "0"}},
				{"registration in the request", "registration_not_supported", []string{"registration", "{}"}},
				{"an object that is none", "invalid_request_object", []string{"request", "x.y.z"}},
				{"an address that is not registered", "invalid_request_uri", []string{"request_uri", "https://rp.example.test/object"}},
				{"both", "invalid_request", []string{"request", "x.y.z", "request_uri", "https://rp.example.test/object"}},
				{"a signed response", "invalid_request", []string{"response_mode", "jwt"}},
			} {
				q := s.request("conformance-1", append([]string{"response_type", kind, "response_mode", mode}, c.pairs...)...)
				o := s.ask(s.known(t), q)
				if q.Get("response_mode") == "jwt" {
					q.Set("response_mode", "")
				}
				s.refuses(t, c.what, q, o, c.code)
			}
			base := []string{"response_type", kind, "response_mode", mode}
			q := s.request("conformance-1", append(base, "prompt", "none")...)
			s.refuses(t, "nobody is signed in", q, s.ask(s.browser(t), q), "login_required")
			q = s.request("conformance-1", append(base, "nonce", "")...)
			if o := s.ask(s.known(t), q); bringsID(kind) {
				s.refuses(t, "no nonce", q, o, "invalid_request")
			} else {
				s.answers(t, "no nonce", q, o)
			}
			q = s.request("conformance-1", append(base, "scope", "profile")...)
			if o := s.ask(s.known(t), q); bringsID(kind) {
				s.refuses(t, "an ID token without openid", q, o, "invalid_scope")
			} else {
				s.answers(t, "without openid", q, o)
			}
			q = s.request("conformance-1", append(base, "prompt", "consent")...)
			b := s.known(t)
			p := b.open(s.at("/oauth/authorize?" + q.Encode()))
			if !strings.HasSuffix(p.url.Path, "/consent") {
				t.Fatalf("prompt consent: %s", p.url.Path)
			}
			s.refuses(t, "the person says no", q, s.outcome(b, b.send(p, "answer", "deny")), "access_denied")
			q = s.request("conformance-1", append(base, "prompt", "none")...)
			for _, name := range []string{"scope", "nonce", "response_type", "prompt"} {
				b := s.known(t)
				s.refuses(t, name+" twice", q, s.outcome(b, b.open(s.at("/oauth/authorize?"+q.Encode()+"&"+name+"="+url.QueryEscape(q.Get(name))))), "invalid_request")
			}
			for what, pairs := range map[string][]string{"an address of somebody else": {"redirect_uri", "https://evil.example.test/"}, "a client nobody knows": {"client_id", "nobody"},
				"a query that is not registered": {"redirect_uri", exampleCallback + "?x=1"}} {
				if o := s.ask(s.known(t), s.request("conformance-1", append(base, pairs...)...)); o.mode != "page" || o.page.status != http.StatusBadRequest {
					t.Errorf("%s: %s to %q", what, o.mode, o.to)
				}
			}
		})
	})
}

func TestProtocolEveryResponseTypeAsksThePersonAgain(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		browsers := map[string]*browser{}
		var before map[string]any
		for _, kind := range responseTypes { // a sign-in ends the session before it, so each has its own
			b, id := s.enter(t, robinEmail, "conformance-1")
			browsers[kind] = b
			before, _ = s.verified(t, id)
		}
		time.Sleep(2100 * time.Millisecond) // max_age=1, and auth_time is in seconds
		flows(t, func(t *testing.T, kind, mode string) {
			b := browsers[kind]
			if o := s.ask(b, s.request("conformance-1", "prompt", "none")); o.get("code") == "" {
				t.Fatalf("nobody is signed in: %v", o.values)
			}
			for _, pairs := range [][]string{{"max_age", "1"}, {"prompt", "login"}, {"prompt", "select_account"}, {"max_age", "0"}} {
				what := pairs[0] + " " + pairs[1]
				if mode != "" && pairs[1] != "login" {
					continue // a sign-in costs a password, and max_age=1 a pause
				}
				q := s.request("conformance-1", append([]string{"response_type", kind, "response_mode", mode}, pairs...)...)
				p := b.open(s.at("/oauth/authorize?" + q.Encode()))
				if p.status != http.StatusOK || !strings.HasSuffix(p.url.Path, "/signin") {
					t.Errorf("%s: no sign-in page but %d %s", what, p.status, p.url.Path)
					continue
				}
				o := s.outcome(b, s.through(b, p))
				s.answers(t, what, q, o)
				for _, id := range s.collect(t, q, o).ids {
					if at, _ := id["auth_time"].(float64); at <= before["auth_time"].(float64) || id["sub"] != before["sub"] {
						t.Errorf("%s: auth_time %v after %v", what, id["auth_time"], before["auth_time"])
					}
				}
			}
		})
	})
}

// A code that comes twice takes everything of its sign-in with it: what the
// first exchange bought, and what came beside the code.
func TestProtocolEveryCodeUsedTwiceKillsWhatCameOfIt(t *testing.T) {
	later(t, func(t *testing.T, s *suite) {
		b, _ := s.enter(t, robinEmail, "conformance-1")
		for _, pause := range []time.Duration{0, 30 * time.Second, 3 * time.Minute} {
			for _, kind := range responseTypes {
				if !strings.Contains(kind, "code") {
					continue
				}
				q := s.request("conformance-1", "response_type", kind)
				o := s.walk(b, q)
				s.answers(t, kind, q, o)
				got := s.collect(t, q, o)
				dbtest.Advance(s.db(), pause)
				for _, access := range got.access {
					if r := s.userinfo(t, access); r.status != http.StatusOK {
						t.Fatalf("%s: the token is dead already: %d", kind, r.status)
					}
				}
				if r := s.exchange(t, "conformance-1", o.get("code")); r.status != http.StatusBadRequest || r.get("error") != "invalid_grant" || r.get("access_token") != "" {
					t.Errorf("%s after %s: %d %s", kind, pause, r.status, r.body)
				}
				for _, access := range got.access {
					if r := s.userinfo(t, access); r.status != http.StatusUnauthorized {
						t.Errorf("%s after %s: a token lives: %d", kind, pause, r.status)
					}
				}
			}
		}
		// And one that nobody used in time is worth nothing, which kills nothing.
		o := s.ask(b, s.request("conformance-1"))
		dbtest.Advance(s.db(), 61*time.Second)
		if r := s.exchange(t, "conformance-1", o.get("code")); r.status != http.StatusBadRequest || r.get("error") != "invalid_grant" {
			t.Errorf("too late: %d %s", r.status, r.body)
		}
		if o := s.ask(b, s.request("conformance-1", "prompt", "none")); o.get("code") == "" {
			t.Errorf("afterwards: %v", o.values)
		}
	})
}
