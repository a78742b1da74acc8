package oauth

import (
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/ory/fosite"

	"github.com/portico-id/portico/internal/realm"
)

// ourFiles parses every file of the module that ends up in a binary.
func ourFiles(t *testing.T) map[string]*ast.File {
	t.Helper()
	files := map[string]*ast.File{}
	root := os.DirFS("../..")
	err := fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules" || d.Name() == "testdata"):
			return fs.SkipDir
		case d.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		raw, err := fs.ReadFile(root, path)
		if err != nil {
			return err
		}
		files[path], err = parser.ParseFile(token.NewFileSet(), path, raw, parser.SkipObjectResolution)
		return err
	})
	if err != nil || len(files) < 100 {
		t.Fatal(len(files), err)
	}
	return files
}

// fosite brings a second, older JOSE library along. It stays in the binary, but
// nothing that came from outside ever gets there: we parse with our own, and of
// fosite only those parts are used that parse nothing.
func TestNothingForeignIsParsedByTheOtherJOSELibrary(t *testing.T) {
	// What of fosite's packages may be named. Its parsers of requests, objects and
	// assertions, its fetchers, its signers and its ready compositions may not.
	allowed := map[string][]string{
		"github.com/ory/fosite/token/jwt":      {"IDTokenClaims", "Headers"},
		"github.com/ory/fosite/handler/openid": {"Session", "ErrNoSessionFound", "OpenIDConnectRequestStorage", "OpenIDConnectTokenStrategy", "OpenIDConnectExplicitHandler", "OpenIDConnectRefreshHandler", "IDTokenHandleHelper", "NewOpenIDConnectRequestValidator"},
		"github.com/ory/fosite/handler/oauth2": {"CoreStorage", "CoreStrategy", "TokenRevocationStorage", "AuthorizeExplicitGrantHandler", "RefreshTokenGrantHandler", "ClientCredentialsGrantHandler", "HandleHelper", "TokenRevocationHandler"},
		"github.com/ory/fosite/handler/pkce":   {"Handler", "PKCERequestStorage"},
		"github.com/ory/fosite/storage":        {"Transactional"},
	}
	refused := []string{"NewAuthorizeRequest", "NewPushedAuthorizeRequest", "NewIntrospectionRequest", "NewRevocationRequest", "IntrospectToken",
		"DefaultJWKSFetcherStrategy", "NewDefaultJWKSFetcherStrategy", "DefaultOpenIDConnectClient", "DefaultClientAuthenticationStrategy"}
	for path, file := range ourFiles(t) {
		names := map[string]string{}
		for _, spec := range file.Imports {
			imported := strings.Trim(spec.Path.Value, `"`)
			if strings.HasPrefix(imported, "github.com/go-jose/go-jose/v3") || strings.HasPrefix(imported, "gopkg.in/square/go-jose") {
				t.Errorf("%s imports %s", path, imported)
			}
			if !strings.HasPrefix(imported, "github.com/ory/") {
				continue
			}
			if _, known := allowed[imported]; !known && imported != "github.com/ory/fosite" || !strings.HasPrefix(path, "internal/oauth/") {
				t.Errorf("%s imports %s", path, imported)
			}
			name := imported[strings.LastIndex(imported, "/")+1:]
			if spec.Name != nil {
				name = spec.Name.Name
			}
			names[name] = imported
		}
		ast.Inspect(file, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			of, ok := s.X.(*ast.Ident)
			empty := ok && names[of.Name] == "github.com/ory/fosite" && s.Sel.Name == "NewAuthorizeRequest" // makes one, reads none
			if slices.Contains(refused, s.Sel.Name) && !empty {
				t.Errorf("%s uses %s", path, s.Sel.Name)
			}
			if ok && allowed[names[of.Name]] != nil && !slices.Contains(allowed[names[of.Name]], s.Sel.Name) {
				t.Errorf("%s uses %s.%s", path, of.Name, s.Sel.Name)
			}
			return true
		})
	}
}

// What fosite asks a client for before it would parse an object or an assertion
// of it: our clients do not even have the methods.
func TestFositeFindsNoKeysOfClients(t *testing.T) {
	c := client{&realm.Client{ID: "signer", AuthMethod: realm.AuthKey, JWKS: clientKeySet(t), JWKSURI: "https://rp.example.test/jwks"}, "https://id.example.test"}
	if _, ok := fosite.Client(c).(fosite.OpenIDConnectClient); ok {
		t.Error("fosite sees the client's keys, its algorithms and its request URIs")
	}
	if hash := c.GetHashedSecret(); hash != nil {
		t.Error("fosite sees the client's secret")
	}
	w := &configurator{Config: baseConfig()}
	if w.Config.JWKSFetcherStrategy != nil || len(w.Config.PushedAuthorizeEndpointHandlers) != 0 || len(w.Config.TokenIntrospectionHandlers) != 0 {
		t.Error("something of fosite's fetches or introspects")
	}
	for _, jti := range []func() error{
		func() error { return store{}.ClientAssertionJWTValid(context.Background(), "x") },
		func() error { return store{}.SetClientAssertionJWT(context.Background(), "x", time.Now()) },
	} {
		if jti() == nil {
			t.Error("fosite accepts an assertion")
		}
	}
}

// An access token is signed and stored nowhere, though fosite asks storage to
// keep it. Its grant is what ends it.
func TestAnAccessTokenIsStoredNowhereAndEndsWithItsGrant(t *testing.T) {
	eachIn(t, allTypes, []*realm.Client{hybrid()}, func(t *testing.T, w *world) {
		everything := func() map[string]int64 {
			rows := map[string]int64{}
			for _, table := range []string{"grants", "authorization_codes", "refresh_tokens", "revoked_access_tokens", "pushed_requests", "interactions", "client_assertions"} {
				rows[table] = w.count(`SELECT count(*) FROM ` + table)
			}
			return rows
		}
		delta := func(what string, want map[string]int64, fn func() reply) reply {
			t.Helper()
			before := everything()
			r := fn()
			w.expect(what, r, 200, "")
			for table, n := range everything() {
				if n-before[table] != want[table] {
					t.Errorf("%s: %d rows more in %s, want %d", what, n-before[table], table, want[table])
				}
			}
			return r
		}
		w.signIn(w.account)
		code := w.code("portal", "scope=openid offline_access admin.read")
		bought := delta("exchange", map[string]int64{"refresh_tokens": 1}, func() reply { return w.redeem("portal", code) })
		renewed := delta("refresh", map[string]int64{"refresh_tokens": 1}, func() reply { return w.renew("portal", bought.get("refresh_token")) })
		alone := delta("client credentials", nil, func() reply {
			return w.send("/oauth/token", "service", url.Values{"grant_type": {"client_credentials"}})
		})
		form := request("hybrid", "response_type=code token", "scope=openid")
		front := w.answered(w.authorize(form), form).Get("access_token")
		for _, raw := range []string{bought.get("access_token"), renewed.get("access_token"), alone.get("access_token"), front} {
			jti, _ := claims(t, raw)["jti"].(string)
			for _, column := range []string{"grants.session_data", "authorization_codes.request", "revoked_access_tokens.jti", "audit_events.details"} {
				table, name, _ := strings.Cut(column, ".")
				if jti == "" || w.count(fmt.Sprintf(`SELECT count(*) FROM %s WHERE %s LIKE $1 OR %s LIKE $2`, table, name, name), "%"+jti+"%", "%"+raw[len(raw)-20:]+"%") != 0 {
					t.Errorf("%s holds a token", column)
				}
			}
		}
		active := func(client, raw string) any {
			return w.send("/oauth/introspect", client, url.Values{"token": {raw}}).JSON["active"]
		}
		for _, raw := range []string{bought.get("access_token"), renewed.get("access_token")} {
			if !w.alive(raw) || active("portal", raw) != true {
				t.Error("dead at once")
			}
		}
		w.exec(`UPDATE grants SET revoked_at = created_at WHERE id = $1`, uuid.MustParse(claims(t, bought.get("access_token"))["gid"].(string)))
		for _, raw := range []string{bought.get("access_token"), renewed.get("access_token")} {
			if w.alive(raw) || active("portal", raw) != false {
				t.Error("outlives its grant")
			}
			if _, err := w.p.VerifyAccessToken(t.Context(), w.r, raw, testAPI); err == nil {
				t.Error("an API takes it after its grant")
			}
		}
		if active("service", alone.get("access_token")) != true || !w.alive(front) {
			t.Error("other grants ended too")
		}
	})
}

func TestIntrospectionTellsAllAudiencesOfAToken(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		several := w.tokens("portal", "scope=openid admin.read").get("access_token")
		one := w.tokens("portal", "scope=openid").get("access_token")
		for _, asking := range []string{"portal", "api"} {
			r := w.send("/oauth/introspect", asking, url.Values{"token": {several}})
			aud, _ := r.JSON["aud"].([]any)
			if r.JSON["active"] != true || len(aud) != 2 || aud[0] != w.r.Issuer || aud[1] != testAPI {
				t.Errorf("%s: %s", asking, r.Body)
			}
		}
		// Alone it is a string (RFC 7519 §4.1.3), and for nobody else.
		if r := w.send("/oauth/introspect", "portal", url.Values{"token": {one}}); r.JSON["active"] != true || r.get("aud") != w.r.Issuer {
			t.Errorf("one audience: %s", r.Body)
		}
		if r := w.send("/oauth/introspect", "api", url.Values{"token": {one}}); r.JSON["active"] != false || len(r.JSON) != 1 {
			t.Errorf("not for this API: %s", r.Body)
		}
	})
}
