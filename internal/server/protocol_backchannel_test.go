package server_test

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/portico-id/portico/internal/database/dbtest"
)

func TestProtocolTheBackChannelHearsWhoLeft(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		ear, deaf := s.site.publish(""), s.site.publish("")
		client := s.register(t, map[string]any{"backchannel_logout_uri": ear, "backchannel_logout_session_required": true,
			"post_logout_redirect_uris": []string{"https://rp.example.test/left"}})
		s.register(t, map[string]any{"backchannel_logout_uri": deaf}) // nobody signed in to it
		b := s.browser(t)
		q := s.request(client.get("client_id"), "redirect_uri", registeredAt)
		code := s.walk(b, q).get("code")
		r := s.post(t, client.get("client_id"), client.get("client_secret"), "/oauth/token", "grant_type", "authorization_code", "code", code, "redirect_uri", registeredAt)
		id, _ := s.verified(t, r.get("id_token"))
		if sid, _ := id["sid"].(string); sid == "" {
			t.Fatalf("no sid: %v", id)
		}
		if len(s.site.asked(ear)) != 0 {
			t.Fatal("the client was told before anybody left")
		}
		o := s.outcome(b, b.open(s.leave("id_token_hint", r.get("id_token"), "post_logout_redirect_uri", "https://rp.example.test/left", "state", "s")))
		if o.to != "https://rp.example.test/left" || o.get("state") != "s" {
			t.Errorf("%s to %q: %v", o.mode, o.to, o.values)
		}
		eventually(t, "a logout token", func() bool { return len(s.site.asked(ear)) > 0 })
		hit := s.site.asked(ear)[0]
		form, err := url.ParseQuery(hit.body)
		if err != nil || hit.method != http.MethodPost || hit.kind != "application/x-www-form-urlencoded" || hit.version != tls.VersionTLS13 || len(form) != 1 {
			t.Fatalf("%+v", hit)
		}
		claims, header := s.verified(t, form.Get("logout_token"))
		if kind := header.ExtraHeaders["typ"]; header.Algorithm != "RS256" || kind != "logout+jwt" {
			t.Errorf("alg %s, typ %v", header.Algorithm, kind)
		}
		audience := claims["aud"] == client.get("client_id")
		if list, ok := claims["aud"].([]any); ok {
			audience = len(list) == 1 && list[0] == client.get("client_id")
		}
		if claims["iss"] != s.issuer("conformance") || !audience || claims["sid"] != id["sid"] || claims["sub"] != id["sub"] || claims["jti"] == nil || claims["jti"] == "" || claims["iat"] == nil || claims["exp"] == nil {
			t.Errorf("%v", claims)
		}
		events, _ := claims["events"].(map[string]any)
		member, ok := events["http://schemas.openid.net/event/backchannel-logout"].(map[string]any)
		if !ok || len(member) != 0 || len(events) != 1 {
			t.Errorf("events %v", claims["events"])
		}
		if _, ok := claims["nonce"]; ok {
			t.Error("a logout token with a nonce passes for an ID token")
		}
		if len(s.site.asked(deaf)) != 0 {
			t.Error("a client that nobody used was told")
		}
	})
}

// logoutTokens are those that came to an address, verified.
func (s *suite) logoutTokens(t *testing.T, address string) (all []map[string]any) {
	t.Helper()
	for _, hit := range s.site.asked(address) {
		form, err := url.ParseQuery(hit.body)
		if err != nil || hit.method != http.MethodPost || len(form) != 1 {
			t.Fatalf("%+v", hit)
		}
		claims, header := s.verified(t, form.Get("logout_token"))
		if kind := header.ExtraHeaders["typ"]; kind != "logout+jwt" {
			t.Errorf("typ %v", kind)
		}
		issued, _ := claims["iat"].(float64)
		expires, _ := claims["exp"].(float64)
		if expires <= issued || expires-issued > 120 {
			t.Errorf("it lives from %v to %v", issued, expires)
		}
		if _, nonce := claims["nonce"]; nonce || claims["jti"] == nil || claims["iss"] != s.issuer("conformance") {
			t.Errorf("%v", claims)
		}
		all = append(all, claims)
	}
	return all
}

// used registers a client and signs somebody in to it; the ID token comes back.
func (s *suite) used(t *testing.T, b *browser, metadata map[string]any) (client reply, id map[string]any, raw string) {
	t.Helper()
	client = s.register(t, metadata)
	redirect := registeredAt
	if uris, ok := metadata["redirect_uris"].([]string); ok {
		redirect = uris[0]
	}
	o := s.walk(b, s.request(client.get("client_id"), "redirect_uri", redirect))
	r := s.post(t, client.get("client_id"), client.get("client_secret"), "/oauth/token", "grant_type", "authorization_code", "code", o.get("code"), "redirect_uri", redirect)
	if r.status != http.StatusOK {
		t.Fatalf("%s %v, %d %s", o.mode, o.values, r.status, r.body)
	}
	id, _ = s.verified(t, r.get("id_token"))
	return client, id, r.get("id_token")
}

func TestProtocolAClientThatDoesNotAnswerIsToldAgain(t *testing.T) {
	protocol(t, func(t *testing.T, s *suite) {
		busy := s.site.answer(func(n int, w http.ResponseWriter, _ *http.Request) {
			if n == 1 {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		})
		slow := s.site.answer(func(n int, _ http.ResponseWriter, r *http.Request) {
			if n == 1 { // longer than anybody waits
				select {
				case <-r.Context().Done():
				case <-time.After(10 * time.Second):
				}
			}
		})
		never, unused, elsewhere := s.site.publish(""), s.site.publish(""), s.site.publish("")
		moved := s.site.answer(func(n int, w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, never, http.StatusTemporaryRedirect)
		})
		refused := s.site.answer(func(n int, w http.ResponseWriter, _ *http.Request) {
			if n == 1 { // Back-Channel Logout §2.8: the client did not take it
				w.WriteHeader(http.StatusBadRequest)
			}
		})
		b, _ := s.enter(t, robinEmail, "conformance-2")
		other, _ := s.enter(t, robinEmail, "conformance-2")
		ids, clients := map[string]map[string]any{}, map[string]string{}
		var hint string
		for _, address := range []string{busy, slow, moved, refused} {
			metadata := map[string]any{"backchannel_logout_uri": address, "backchannel_logout_session_required": address == busy}
			if address == slow {
				metadata["subject_type"] = "pairwise"
			}
			var client reply
			client, ids[address], hint = s.used(t, b, metadata)
			clients[address] = client.get("client_id")
		}
		s.register(t, map[string]any{"backchannel_logout_uri": unused})
		s.used(t, other, map[string]any{"backchannel_logout_uri": elsewhere})
		if p := b.open(s.leave("id_token_hint", hint)); p.status != http.StatusOK || p.location != nil {
			t.Fatalf("%d %v", p.status, p.location)
		}
		for what, address := range map[string]string{"503": busy, "no answer": slow, "a redirect": moved, "400": refused} {
			eventually(t, "another try after "+what, func() bool { return len(s.site.asked(address)) >= 2 })
			seen := map[any]bool{}
			for _, claims := range s.logoutTokens(t, address) {
				if claims["aud"] != clients[address] || claims["sub"] != ids[address]["sub"] || claims["sid"] == nil || claims["sid"] != ids[address]["sid"] {
					t.Errorf("after %s: %v, want those of %v", what, claims, ids[address])
				}
				seen[claims["jti"]] = true
			}
			if n := len(s.site.asked(address)); len(seen) != n {
				t.Errorf("after %s: %d tokens with %d identifiers", what, n, len(seen))
			}
		}
		if n := len(s.site.asked(busy)); n != 2 {
			t.Errorf("a client that took it was told %d times", n)
		}
		for what, address := range map[string]string{"where a redirect led": never, "a client that nobody used": unused, "a client of another session": elsewhere} {
			if n := len(s.site.asked(address)); n != 0 {
				t.Errorf("%s was called %d times", what, n)
			}
		}
		if o := s.ask(other, s.request("conformance-2", "prompt", "none")); o.get("code") == "" {
			t.Errorf("the other session ended too: %v", o.values)
		}
	})
}

// Whoever was to be told when the server died is told when it is back.
func TestProtocolTheBackChannelOutlivesACrash(t *testing.T) {
	protocol(t, func(t *testing.T, shared *suite) {
		dsn := dbtest.SQLiteURL
		if shared.db().Engine() != "sqlite" {
			dsn = dbtest.PostgresURL
		}
		c := &child{world: &world{log: &logBuffer{}, http: newClient()}}
		s := &suite{world: c.world, site: shared.site}
		var err error
		if c.settings, err = s.configure(t, dsn(t), startMail(t)); err != nil {
			t.Fatal(err)
		}
		c.file = filepath.Join(t.TempDir(), "idp.yaml")
		if err := os.WriteFile(c.file, []byte(c.yaml), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.kill)
		c.start(t)
		down := make(chan struct{})
		ear := s.site.answer(func(_ int, w http.ResponseWriter, _ *http.Request) {
			select {
			case <-down:
				_, _ = io.WriteString(w, "thank you")
			default:
				w.WriteHeader(http.StatusBadGateway)
			}
		})
		b := s.browser(t)
		_, id, hint := s.used(t, b, map[string]any{"backchannel_logout_uri": ear})
		p := b.open(s.leave("id_token_hint", hint))
		c.kill()
		if p.status != http.StatusOK {
			t.Fatalf("%d", p.status)
		}
		before := len(s.site.asked(ear))
		close(down)
		c.revive(t)
		eventually(t, "a logout token after the crash", func() bool { return len(s.site.asked(ear)) > before })
		all := s.logoutTokens(t, ear)
		if last := all[len(all)-1]; last["sid"] != id["sid"] || last["sub"] != id["sub"] {
			t.Errorf("%v, want those of %v", last, id)
		}
		if o := s.ask(b, s.request("conformance-2", "prompt", "none")); o.get("error") != "login_required" {
			t.Errorf("signed in again by a crash: %v", o.values)
		}
	})
}
