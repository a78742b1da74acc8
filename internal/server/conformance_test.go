package server_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"html"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/portico-id/portico/config"
	"github.com/portico-id/portico/internal/server"
)

const (
	exampleHost     = "op.example.test"
	examplePassword = "meadow-lantern-copper-58"
	exampleCallback = "https://localhost.emobix.co.uk:8443/test/a/portico/callback"
)

// exampleServer runs the example of a conformance realm, as it stands in the
// repository but for its ports and its database.
func exampleServer(t *testing.T, folder string) *server.Server {
	t.Helper()
	text, err := os.ReadFile("../../config/conformance.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	edited := strings.NewReplacer(`listen: ":9000"`, "listen: localhost:0", "private_listen: localhost:9090", "private_listen: 127.0.0.1:0").Replace(string(text))
	env := func(name string) (string, bool) {
		switch name {
		case "PORTICO_DATABASE_URL":
			return "sqlite:" + filepath.Join(folder, "conformance.db"), true
		case "CONFORMANCE_PASSWORD":
			return examplePassword, true
		}
		raw := make([]byte, 32)
		for i := range raw {
			raw[i] = byte(i*31) ^ name[i%len(name)]
		}
		return base64.StdEncoding.EncodeToString(raw), true
	}
	cfg, err := config.Parse("conformance.example.yaml", []byte(edited), env)
	if err != nil {
		t.Fatal(err)
	}
	s, err := server.New(t.Context(), cfg, server.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// visitor is a browser without JavaScript.
type visitor struct {
	t       *testing.T
	handler http.Handler
	cookies map[string]string
}

func (v *visitor) send(method, target string, form url.Values) *httptest.ResponseRecorder {
	v.t.Helper()
	req := httptest.NewRequestWithContext(context.Background(), method, target, strings.NewReader(form.Encode()))
	req.Host = exampleHost
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", "https://"+exampleHost)
	}
	for name, value := range v.cookies {
		req.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	rec := httptest.NewRecorder()
	v.handler.ServeHTTP(rec, req)
	for _, c := range rec.Result().Cookies() {
		v.cookies[c.Name] = c.Value
	}
	return rec
}

func hidden(t *testing.T, page, name string) string {
	t.Helper()
	m := regexp.MustCompile(`name="` + name + `" value="([^"]*)"`).FindStringSubmatch(page)
	if m == nil {
		t.Fatalf("no input %s on\n%s", name, page)
	}
	return html.UnescapeString(m[1])
}

// TestTheConformanceRealmSignsItsTestPersonIn walks the hybrid flow by form
// post, consent included, and finds every claim of the standard in userinfo.
func TestTheConformanceRealmSignsItsTestPersonIn(t *testing.T) {
	folder := t.TempDir()
	first := exampleServer(t, folder)
	first.Close()
	s := exampleServer(t, folder) // made once, kept at the second start
	v := &visitor{t, s.Handler(), map[string]string{}}
	request := url.Values{"client_id": {"conformance-1"}, "redirect_uri": {exampleCallback}, "response_type": {"code id_token token"},
		"response_mode": {"form_post"}, "scope": {"openid profile email phone address"}, "state": {"s"}, "nonce": {"n"}}
	next := v.send(http.MethodGet, "/conformance/oauth/authorize?"+request.Encode(), nil)
	var page string
	for range 8 {
		location := next.Header().Get("Location")
		if location == "" {
			break
		}
		got := v.send(http.MethodGet, location, nil)
		page = got.Body.String()
		switch {
		case strings.Contains(location, "/signin"):
			next = v.send(http.MethodPost, location, url.Values{"csrf": {hidden(t, page, "csrf")}, "email": {"robin.avery@example.test"}, "password": {examplePassword}})
		case strings.Contains(location, "/consent"):
			next = v.send(http.MethodPost, "/conformance/consent", url.Values{"csrf": {hidden(t, page, "csrf")}, "flow": {hidden(t, page, "flow")},
				"account": {hidden(t, page, "account")}, "client": {hidden(t, page, "client")}, "answer": {"allow"}})
		default:
			next = got
		}
	}
	if next.Code != http.StatusOK || !strings.Contains(page, `action="`+exampleCallback+`"`) || hidden(t, page, "state") != "s" ||
		hidden(t, page, "code") == "" || hidden(t, page, "id_token") == "" {
		t.Fatalf("%d %s", next.Code, page)
	}
	req := httptest.NewRequest(http.MethodGet, "/conformance/oauth/userinfo", nil)
	req.Host = exampleHost
	req.Header.Set("Authorization", "Bearer "+hidden(t, page, "access_token"))
	rec := httptest.NewRecorder()
	s.Handler().ServeHTTP(rec, req)
	var claims map[string]any
	if err := json.Unmarshal(rec.Body.Bytes(), &claims); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"sub", "name", "given_name", "family_name", "middle_name", "nickname", "preferred_username", "profile",
		"picture", "website", "gender", "birthdate", "zoneinfo", "locale", "updated_at", "email", "email_verified",
		"phone_number", "phone_number_verified", "address"} {
		if claims[name] == nil {
			t.Errorf("userinfo has no %s: %v", name, claims)
		}
	}
}
