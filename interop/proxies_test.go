package interop

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"text/template"
	"time"
)

// start runs a server until the test ends and waits for it to listen at the
// registered address.
func start(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
	})
	err := poll(30*time.Second, func() error {
		select {
		case <-ended:
			t.Fatalf("%s ended at once", cmd.Path)
		default:
		}
		c, err := net.DialTimeout("tcp", listenAddress, time.Second)
		if err == nil {
			c.Close()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func issuerHost(t *testing.T) string {
	t.Helper()
	u, err := url.Parse(idp.Issuer)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

func TestOAuth2Proxy(t *testing.T) {
	binary := filepath.Join(idp.dir, "oauth2-proxy")
	build := exec.CommandContext(t.Context(), "go", "build", "-C", "oauth2proxy", "-o", binary, "github.com/oauth2-proxy/oauth2-proxy/v7")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	// What stands behind the proxy: it repeats what it is told.
	behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]string{"email": r.Header.Get("X-Forwarded-Email"),
			"access": r.Header.Get("X-Forwarded-Access-Token"), "id": strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")})
	}))
	t.Cleanup(behind.Close)
	start(t, exec.Command(binary, "--provider=oidc", "--oidc-issuer-url="+idp.Issuer, "--client-id="+clientID, "--client-secret="+idp.Secret,
		"--redirect-url="+redirectURI, "--proxy-prefix=", "--http-address="+listenAddress, "--upstream="+behind.URL, "--email-domain=*",
		"--code-challenge-method=S256", "--scope="+strings.Join(scopes, " "), "--insecure-oidc-skip-nonce=false",
		"--cookie-secret=0123456789abcdef0123456789abcdef", "--cookie-secure=false", "--cookie-refresh=1s",
		"--pass-access-token=true", "--pass-authorization-header=true", "--skip-provider-button=true",
		"--whitelist-domain="+issuerHost(t), "--request-logging=false", "--auth-logging=false"))

	b := newBrowser(t)
	told := func() (got struct{ Email, Access, ID string }) {
		t.Helper()
		_, page := b.visit("http://"+listenAddress+"/", "")
		if err := json.Unmarshal([]byte(page), &got); err != nil {
			t.Fatalf("%v\n%s", err, page)
		}
		return got
	}
	first := told()
	if first.Email != idp.Email || first.Access == "" || first.ID == "" {
		t.Fatalf("%+v", first)
	}
	// It counts the age of its cookie in whole seconds.
	time.Sleep(2100 * time.Millisecond)
	if again := told(); again.Access == first.Access || again.Email != idp.Email {
		t.Error("the proxy did not refresh")
	}
	end := idp.Issuer + "/oauth/logout?" + url.Values{"id_token_hint": {first.ID}, "post_logout_redirect_uri": {signedOutURI}}.Encode()
	if bye, _ := b.visit("http://"+listenAddress+"/sign_out?rd="+url.QueryEscape(end), signedOutURI); bye.String() != signedOutURI {
		t.Errorf("signed out to %s", bye)
	}
	b.signedOut()
}

var apacheConf = template.Must(template.New("apache").Parse(`ServerRoot "{{.Dir}}"
DefaultRuntimeDir "{{.Dir}}"
PidFile "{{.Dir}}/apache.pid"
Listen {{.Listen}}
ServerName localhost
{{if .Root}}User www-data
Group www-data
{{end}}ErrorLog /dev/stderr
LogLevel warn
{{range .Modules}}LoadModule {{.}}_module /usr/lib/apache2/modules/mod_{{.}}.so
{{end}}
DocumentRoot "{{.Dir}}/htdocs"
OIDCProviderMetadataURL {{.Issuer}}/.well-known/openid-configuration
OIDCClientID {{.ClientID}}
OIDCClientSecret {{.Secret}}
OIDCRedirectURI {{.RedirectURI}}
OIDCCryptoPassphrase 0123456789abcdef0123456789abcdef
OIDCScope "openid profile email offline_access"
OIDCPKCEMethod S256
OIDCInfoHook iat access_token id_token userinfo refresh_token
<Location />
  AuthType openid-connect
  Require claim email:{{.Email}}
</Location>
`))

func TestModAuthOpenIDC(t *testing.T) {
	const module = "/usr/lib/apache2/modules/mod_auth_openidc.so"
	apache, err := exec.LookPath("apache2")
	if _, missing := os.Stat(module); err != nil || missing != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("apache2 and libapache2-mod-auth-openidc are needed")
		}
		t.Skip("install apache2 and libapache2-mod-auth-openidc")
	}
	dir := filepath.Join(idp.dir, "apache")
	if err := os.MkdirAll(filepath.Join(dir, "htdocs"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(idp.dir, 0o711); err != nil { // its workers are another user
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "htdocs", "index.html"), []byte("<p>behind the door</p>"), 0o644); err != nil {
		t.Fatal(err)
	}
	var conf strings.Builder
	if err := apacheConf.Execute(&conf, map[string]any{"Dir": dir, "Listen": listenAddress, "Root": os.Getuid() == 0, "Issuer": idp.Issuer,
		"Modules":  []string{"mpm_event", "authn_core", "authz_core", "authz_user", "auth_openidc"},
		"ClientID": clientID, "Secret": idp.Secret, "RedirectURI": redirectURI, "Email": idp.Email}); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "apache.conf")
	if err := os.WriteFile(file, []byte(conf.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, exec.Command(apache, "-f", file, "-DFOREGROUND"))

	b := newBrowser(t)
	b.client.Transport = &http.Transport{DisableKeepAlives: true}
	if _, page := b.visit("http://"+listenAddress+"/index.html", ""); page != "<p>behind the door</p>" {
		t.Fatal(page)
	}
	info := func() (got struct {
		Access   string         `json:"access_token"`
		Refresh  string         `json:"refresh_token"`
		Userinfo map[string]any `json:"userinfo"`
		IDToken  map[string]any `json:"id_token"`
	}) {
		t.Helper()
		_, page := b.visit(redirectURI+"?info=json", "")
		if err := json.Unmarshal([]byte(page), &got); err != nil {
			t.Fatalf("%v\n%s", err, page)
		}
		return got
	}
	first := info()
	if first.Userinfo["email"] != idp.Email || first.IDToken["iss"] != idp.Issuer || first.Refresh == "" {
		t.Fatalf("%+v", first)
	}
	home := "http://" + listenAddress + "/index.html"
	if at, _ := b.visit(redirectURI+"?"+url.Values{"refresh": {home}, "access_token": {first.Access}}.Encode(), ""); at.String() != home {
		t.Errorf("refreshing ends at %s", at)
	}
	if again := info(); again.Access == first.Access || again.Refresh == first.Refresh {
		t.Error("it did not refresh")
	}
	if bye, _ := b.visit(fmt.Sprintf("%s?logout=%s", redirectURI, url.QueryEscape(signedOutURI)), signedOutURI); !strings.HasPrefix(bye.String(), signedOutURI) {
		t.Errorf("signed out to %s", bye)
	}
	b.signedOut()
}
