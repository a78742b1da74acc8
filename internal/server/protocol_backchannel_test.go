package server_test

import (
	"crypto/tls"
	"net/http"
	"net/url"
	"testing"
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
