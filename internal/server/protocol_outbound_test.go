package server_test

import (
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// canaryHere listens on all addresses of this machine, at a port that nobody
// exempted, and counts who knocks.
func canaryHere(t *testing.T) (port string, knocks *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp4", ":0")
	if err != nil {
		t.Fatal(err)
	}
	knocks = &atomic.Int64{}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			knocks.Add(1)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-ended })
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return port, knocks
}

// Whatever a client registers, nobody on this machine or its network is called.
func TestProtocolNoAddressOfAClientLeadsIntoTheHouse(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		port, knocks := canaryHere(t)
		b, _ := s.enter(t, robinEmail, "conformance-2")
		told := s.site.publish("")
		_, _, hint := s.used(t, b, map[string]any{"backchannel_logout_uri": told})
		self, err := os.Hostname() // a name like any other, until it is looked up
		if err != nil {
			t.Fatal(err)
		}
		for _, host := range []string{self, "2130706433", "127.0.0.1", "localhost", "a.localhost", "localhost.", "[::1]", "[::ffff:127.0.0.1]", "ip6-localhost", "0.0.0.0",
			"10.0.0.1", "192.168.1.1", "169.254.169.254", "[fe80::1]", "[fd00::1]", "LOCALHOST", "127.0.0.1.", "user@127.0.0.1"} {
			address := "https://" + host + ":" + port + "/"
			if r := s.tryRegister(t, map[string]any{"subject_type": "pairwise", "sector_identifier_uri": address}); r.status != http.StatusBadRequest || r.get("error") != "invalid_client_metadata" {
				t.Errorf("sector at %s: %d %s", host, r.status, r.body)
			}
			// What is fetched later is refused now, or comes to nothing then.
			if r := s.tryRegister(t, map[string]any{"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": address}); r.status == http.StatusCreated {
				got := s.authenticated(t, "private_key_jwt", r, "first", "/oauth/revoke", query("token", "x"))
				if got.status != http.StatusUnauthorized || got.get("error") != "invalid_client" {
					t.Errorf("keys at %s: %d %s", host, got.status, got.body)
				}
			} else if r.get("error") != "invalid_client_metadata" {
				t.Errorf("keys at %s: %d %s", host, r.status, r.body)
			}
			if r := s.tryRegister(t, map[string]any{"request_uris": []string{address}}); r.status == http.StatusCreated {
				q := s.request(r.get("client_id"), "redirect_uri", registeredAt)
				if o := s.ask(b.tab(), outside(q, "request_uri", address)); o.get("error") != "invalid_request_uri" {
					t.Errorf("objects at %s: %s %v", host, o.mode, o.values)
				}
			} else if r.get("error") != "invalid_client_metadata" {
				t.Errorf("objects at %s: %d %s", host, r.status, r.body)
			}
			if r := s.tryRegister(t, map[string]any{"backchannel_logout_uri": address}); r.status == http.StatusCreated {
				s.walk(b, s.request(r.get("client_id"), "redirect_uri", registeredAt))
			} else if r.get("error") != "invalid_client_metadata" {
				t.Errorf("back channel at %s: %d %s", host, r.status, r.body)
			}
		}
		b.open(s.leave("id_token_hint", hint))
		eventually(t, "a logout token where it may go", func() bool { return len(s.site.asked(told)) > 0 })
		time.Sleep(200 * time.Millisecond) // deliveries run side by side
		if n := knocks.Load(); n != 0 {
			t.Errorf("the canary heard %d knocks", n)
		}
	})
}

// Also where a client may be called, it sends us nowhere else, not for long, and
// not much.
func TestProtocolAClientsAnswerIsShortQuickAndItsOwn(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		port, knocks := canaryHere(t)
		elsewhere := s.site.publish(`["` + registeredAt + `"]`)
		long := strings.Repeat(" ", 2<<20)
		object := func(q url.Values) string { return signedBy(t, "object", s.asObject(q)) }
		for what, answer := range map[string]func(body string) func(int, http.ResponseWriter, *http.Request){
			"a redirect into the house": func(string) func(int, http.ResponseWriter, *http.Request) {
				return func(_ int, w http.ResponseWriter, r *http.Request) {
					http.Redirect(w, r, "https://127.0.0.1:"+port+"/", http.StatusFound)
				}
			},
			"a redirect to a good document": func(string) func(int, http.ResponseWriter, *http.Request) {
				return func(_ int, w http.ResponseWriter, r *http.Request) {
					http.Redirect(w, r, elsewhere, http.StatusMovedPermanently)
				}
			},
			"two megabytes": func(body string) func(int, http.ResponseWriter, *http.Request) {
				return func(_ int, w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(long + body)) }
			},
			"an error with a good document": func(body string) func(int, http.ResponseWriter, *http.Request) {
				return func(_ int, w http.ResponseWriter, _ *http.Request) {
					w.WriteHeader(http.StatusInternalServerError)
					_, _ = w.Write([]byte(body))
				}
			},
		} {
			sector := s.site.answer(answer(`["` + registeredAt + `"]`))
			if r := s.tryRegister(t, map[string]any{"subject_type": "pairwise", "sector_identifier_uri": sector}); r.status != http.StatusBadRequest || r.get("error") != "invalid_client_metadata" {
				t.Errorf("sector, %s: %d %s", what, r.status, r.body)
			}
			client := s.register(t, map[string]any{"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": s.site.answer(answer(asJSON(t, keySet("first"))))})
			if r := s.authenticated(t, "private_key_jwt", client, "first", "/oauth/revoke", query("token", "x")); r.status != http.StatusUnauthorized || r.get("error") != "invalid_client" {
				t.Errorf("keys, %s: %d %s", what, r.status, r.body)
			}
			var q url.Values
			address := s.site.answer(func(n int, w http.ResponseWriter, r *http.Request) { answer(object(q))(n, w, r) })
			client = s.register(t, map[string]any{"jwks": keySet("object"), "request_uris": []string{address}})
			q = s.request(client.get("client_id"), "redirect_uri", registeredAt)
			if o := s.ask(s.known(t), outside(q, "request_uri", address)); o.get("error") != "invalid_request_uri" && o.get("error") != "invalid_request_object" || o.values.Has("code") {
				t.Errorf("object, %s: %s %v", what, o.mode, o.values)
			}
		}
		slow := s.site.answer(func(_ int, w http.ResponseWriter, r *http.Request) {
			for range 100 { // a byte at a time, for ever
				if _, err := w.Write([]byte(" ")); err != nil {
					return
				}
				w.(http.Flusher).Flush()
				select {
				case <-r.Context().Done():
					return
				case <-time.After(200 * time.Millisecond):
				}
			}
		})
		began := time.Now()
		if r := s.tryRegister(t, map[string]any{"subject_type": "pairwise", "sector_identifier_uri": slow}); r.status != http.StatusBadRequest {
			t.Errorf("sector, slowly: %d %s", r.status, r.body)
		}
		if took := time.Since(began); took > 10*time.Second { // three, on a machine that has nothing else to do
			t.Errorf("waited %s", took)
		}
		if len(s.site.asked(elsewhere)) != 0 || knocks.Load() != 0 {
			t.Errorf("redirects were followed: %d and %d times", len(s.site.asked(elsewhere)), knocks.Load())
		}
	})
}

// What a signature says about its own key is not looked at (RFC 8725 §3.10).
func TestProtocolNobodyIsAskedForTheKeyThatASignatureNames(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		trap := s.site.publish(asJSON(t, keySet("stranger")))
		stranger := keyOf("stranger")
		client, b := s.agreed(t, map[string]any{"jwks": keySet("object"), "token_endpoint_auth_method": "private_key_jwt"})
		id := client.get("client_id")
		for name, value := range map[string]any{"jku": trap, "x5u": trap, "jwk": stranger.Public()} {
			signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: stranger.Key}, (&jose.SignerOptions{}).WithHeader(jose.HeaderKey(name), value).WithHeader("kid", "object"))
			if err != nil {
				t.Fatal(err)
			}
			sign := func(claims map[string]any) string {
				jws, err := signer.Sign([]byte(asJSON(t, claims)))
				if err != nil {
					t.Fatal(err)
				}
				raw, err := jws.CompactSerialize()
				if err != nil {
					t.Fatal(err)
				}
				return raw
			}
			q := s.request(id, "redirect_uri", registeredAt)
			if o := s.ask(b.tab(), outside(q, "request", sign(s.asObject(q)))); o.get("error") != "invalid_request_object" {
				t.Errorf("an object with %s: %s %v", name, o.mode, o.values)
			}
			now := s.now()
			r := s.post(t, "", "", "/oauth/revoke", "token", "x", "client_id", id, "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", "client_assertion",
				sign(map[string]any{"iss": id, "sub": id, "aud": s.issuer("conformance"), "jti": randomText(16), "exp": now.Add(time.Minute).Unix()}))
			if r.status != http.StatusUnauthorized || r.get("error") != "invalid_client" {
				t.Errorf("an assertion with %s: %d %s", name, r.status, r.body)
			}
			own, _ := s.verified(t, s.tokens(t, s.known(t), s.request("conformance-1")).get("id_token"))
			if o := s.ask(s.known(t), s.request("conformance-1", "prompt", "none", "id_token_hint", sign(own))); o.get("error") != "invalid_request" {
				t.Errorf("a hint with %s: %v", name, o.values)
			}
		}
		if len(s.site.asked(trap)) != 0 {
			t.Error("somebody was asked")
		}
	})
}
