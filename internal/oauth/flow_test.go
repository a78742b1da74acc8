package oauth

import (
	"strings"
	"testing"
)

func TestAPersonSignsInAndTheClientGetsTokens(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		s := w.signIn(w.account)
		r := w.tokens("portal", "scope=openid profile email offline_access admin.read")
		if r.get("token_type") != "Bearer" || r.JSON["expires_in"] != float64(300) || r.get("refresh_token") == "" {
			t.Errorf("token response: %s", r.Body)
		}
		if r.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("Cache-Control: %q", r.Header.Get("Cache-Control"))
		}
		at := claims(t, r.get("access_token"))
		for name, want := range map[string]any{
			"iss": w.r.Issuer, "sub": w.account.String(), "client_id": "portal", "acr": "urn:test:pwd",
			"auth_time": float64(s.AuthTime.Unix()), "sid": s.ID.String(),
			"scope": "admin.read email offline_access openid profile",
		} {
			if at[name] != want {
				t.Errorf("access token %s = %v, want %v", name, at[name], want)
			}
		}
		for _, name := range []string{"jti", "gid"} {
			if v, _ := at[name].(string); v == "" {
				t.Errorf("access token has no %s", name)
			}
		}
		if aud, _ := at["aud"].([]any); len(aud) != 2 || aud[0] != w.r.Issuer || aud[1] != testAPI {
			t.Errorf("aud = %v", at["aud"])
		}
		id := claims(t, r.get("id_token"))
		for name, want := range map[string]any{
			"iss": w.r.Issuer, "sub": w.account.String(), "aud": "portal", "azp": "portal", "nonce": "n",
			"acr": "urn:test:pwd", "auth_time": float64(s.AuthTime.Unix()), "sid": s.ID.String(),
		} {
			if id[name] != want {
				t.Errorf("ID token %s = %v, want %v", name, id[name], want)
			}
		}
		if half, _ := id["at_hash"].(string); len(half) != 22 {
			t.Errorf("at_hash = %v", id["at_hash"])
		}
		for name := range id {
			if !strings.Contains(" iss sub aud exp iat jti auth_time nonce acr amr azp at_hash sid ", " "+name+" ") {
				t.Errorf("the ID token leaks %s", name)
			}
		}
		next := w.renew("portal", r.get("refresh_token"))
		if next.Status != 200 || next.get("refresh_token") == r.get("refresh_token") || next.get("id_token") == "" {
			t.Fatalf("refresh: %d %s", next.Status, next.Body)
		}
		again := claims(t, next.get("id_token"))
		if again["auth_time"] != id["auth_time"] || again["sub"] != id["sub"] || again["nonce"] != nil || again["at_hash"] == id["at_hash"] {
			t.Errorf("ID token of the refresh: %v", again)
		}
	})
}
