package oauth

import (
	"context"
	"net/http"
	"strings"
	"testing"
)

// RFC 6749 Appendix B and the URL standard know one separator, the ampersand.
func TestASemicolonIsACharacterLikeAnyOther(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.signIn(w.account)
		form := request("portal", "-state").Encode()
		page := w.Get("/oauth/authorize?" + form + "&state=a;b%3Bc;client_id=x&other;thing=1;2")
		if q := w.answered(page, request("portal", "state=a;b;c;client_id=x")); q.Get("code") == "" {
			t.Errorf("authorize: %v", q)
		}
		header := http.Header{}
		posted := w.do(context.Background(), "POST", "/oauth/authorize", header, form+"&state=a;b")
		if location := posted.Header.Get("Location"); posted.Status != 303 || !strings.Contains(location, "state=a%3Bb") {
			t.Errorf("posted: %d %s", posted.Status, location)
		}
		if page := w.Get("/oauth/authorize?" + form + "&state=a;b&state=c;d"); !strings.Contains(page.Location(), "error=invalid_request") {
			t.Errorf("twice: %d %s", page.Status, page.Location())
		}
		r := w.do(context.Background(), "POST", "/oauth/token", http.Header{"Authorization": {basic("service", testSecret)}},
			"grant_type=client_credentials&note=a;b")
		w.expect("token", r, 200, "")

		hint := w.tokens("portal").get("id_token")
		if page := w.Get(logoutRequestOf(hint, "-state") + "&state=a;b"); page.Location() != "https://rp.example.test/bye?state=a%3Bb" || w.signedIn() {
			t.Errorf("logout: %d %s", page.Status, page.Location())
		}
		again := w.freshTokens("portal").get("id_token")
		out := w.do(context.Background(), "POST", "/oauth/logout", nil, strings.TrimPrefix(logoutRequestOf(again, "-state"), "/oauth/logout?")+"&state=a;b")
		if location := out.Header.Get("Location"); !strings.Contains(location, "state=a%3Bb") {
			t.Errorf("posted logout: %d %s", out.Status, location)
		}
	})
}
